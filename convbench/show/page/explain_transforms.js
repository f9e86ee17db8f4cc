"use strict";
// How do Winograd's tiles and the Fourier transform lead to the same numbers?
(() => {
  // Rationals as [numerator, denominator] in BigInt, the denominator positive.
  function gcd(a, b) {
    a = a < 0n ? -a : a;
    while (b) [a, b] = [b, a % b];
    return a;
  }
  function ratio(top, bottom = 1n) {
    const shared = gcd(top, bottom < 0n ? -bottom : bottom) || 1n;
    const sign = bottom < 0n ? -1n : 1n;
    return [sign * top / shared, sign * bottom / shared];
  }
  const times = (a, b) => ratio(a[0] * b[0], a[1] * b[1]);
  const plus = (a, b) => ratio(a[0] * b[1] + b[0] * a[1], a[1] * b[1]);
  const power = (a, n) => ratio(a[0] ** BigInt(n), a[1] ** BigInt(n));

  // A^T (m, t), G (t, r), B^T (t, t), t = m + r - 1, with A^T [(G w) * (B^T x)] = the m outputs of an r-tap filter.
  // Toom-Cook on the points 0, 1, -1, 2, -2 and infinity, transposed (Winograd 1980; Lavin and Gray 2016). G and A
  // evaluate at the points; B interpolates and so carries the fractions.
  function winogradMatrices(m, r) {
    const t = m + r - 1;
    const points = [0n, 1n, -1n, 2n, -2n].slice(0, t - 1).map((point) => ratio(point));
    const evaluate = (count) => [...points.map((point) => Array.from({ length: count }, (_, i) => power(point, i))),
      Array.from({ length: count }, (_, i) => ratio(i === count - 1 ? 1n : 0n))];
    const product = (chosen) => chosen.reduce((poly, point) => {
      const next = Array.from({ length: poly.length + 1 }, () => ratio(0n));
      poly.forEach((value, i) => {
        next[i + 1] = plus(next[i + 1], value);
        next[i] = plus(next[i], times(value, ratio(-point[0], point[1])));
      });
      return next;
    }, [ratio(1n)]);
    const fill = (poly) => Array.from({ length: t }, (_, i) => poly[i] ?? ratio(0n));
    const bt = points.map((point, i) => {
      const others = points.filter((_, j) => j !== i);
      const scale = others.reduce((value, other) => times(value, plus(point, ratio(-other[0], other[1]))), ratio(1n));
      return fill(product(others)).map((value) => times(value, ratio(scale[1], scale[0])));
    });
    bt.push(fill(product(points)));
    const a = evaluate(m);
    return { t, points, g: evaluate(r), bt, at: Array.from({ length: m }, (_, i) => a.map((row) => row[i])) };
  }

  const LARGEST_TILE = 6; // with more points the constants, and on a machine the rounding errors, grow fast
  // Outputs of one tile along an axis: four points where the kernel allows.
  function defaultTile(taps) {
    return taps === 1 ? 1 : Math.max(2, 5 - taps);
  }
  function winogradTiles(spec, m) {
    return [spec.r, spec.s].map((taps) => (taps === 1 ? 1 : Math.min(m ?? defaultTile(taps), LARGEST_TILE + 1 - taps)));
  }
  function winogradWhyNot(spec) {
    if (spec.stride.some((value) => value !== 1)) {
      return `stride ${spec.stride.join("×")}: a tile's outputs must be neighbours, so it needs stride 1`;
    }
    if (spec.dilation.some((value) => value !== 1)) {
      return `dilation ${spec.dilation.join("×")}: its points interpolate neighbouring taps, so it needs dilation 1`;
    }
    if (spec.r === 1 && spec.s === 1) return "a 1×1 kernel has nothing to share between neighbours";
    if (Math.max(spec.r, spec.s) > LARGEST_TILE - 1) {
      return `kernel ${spec.r}×${spec.s}: two outputs would need more than ${LARGEST_TILE} points, and rounding ` +
        `grows with them`;
    }
    return null;
  }

  // A matrix of rationals as whole numbers over one denominator, so that float64 stays exact.
  function whole(matrix) {
    let common = 1n;
    for (const [, bottom] of matrix.flat()) common = common * bottom / gcd(common, bottom);
    return { common: Number(common), rows: matrix.map((row) =>
      row.map(([top, bottom]) => Number(top * common / bottom))) };
  }
  function sandwich(left, block, right) { // left block right^T
    const half = left.map((row) => block[0].map((_, j) => row.reduce((sum, value, i) => sum + value * block[i][j], 0)));
    return half.map((row) => right.map((other) => other.reduce((sum, value, j) => sum + value * row[j], 0)));
  }
  function winogradPlan(spec, m) {
    const tiles = winogradTiles(spec, m);
    const axes = [spec.r, spec.s].map((taps, axis) => ({ m: tiles[axis], r: taps,
      ...winogradMatrices(tiles[axis], taps) }));
    return { axes, rows: Math.ceil(spec.p / tiles[0]), columns: Math.ceil(spec.q / tiles[1]) };
  }
  // U and V of the first channel, their product summed over all channels, the outputs of tile (i, j); V over `common`.
  function winogradTile(self, n, k, plan, i, j) {
    const { spec } = self;
    const [vertical, horizontal] = plan.axes;
    const [bv, bh] = [whole(vertical.bt), whole(horizontal.bt)];
    const [gv, gh] = [whole(vertical.g).rows, whole(horizontal.g).rows];
    const [av, ah] = [whole(vertical.at).rows, whole(horizontal.at).rows];
    const first = self.group(k) * spec.cg;
    const shown = {};
    const sum = Array.from({ length: vertical.t }, () => new Array(horizontal.t).fill(0));
    for (let c = 0; c < spec.cg; c++) {
      const data = Array.from({ length: vertical.t }, (_, a) => Array.from({ length: horizontal.t }, (__, b) => {
        const [row, column] = [i * vertical.m + a, j * horizontal.m + b];
        return row < spec.hp && column < spec.wp ? self.padded(n, first + c, row, column) : 0; // beyond: cut off below
      }));
      const kernel = Array.from({ length: spec.r }, (_, r) => Array.from({ length: spec.s }, (__, s) =>
        self.weight(k, c, r, s)));
      const [u, v] = [sandwich(gv, kernel, gh), sandwich(bv.rows, data, bh.rows)];
      for (let a = 0; a < vertical.t; a++) for (let b = 0; b < horizontal.t; b++) sum[a][b] += u[a][b] * v[a][b];
      if (c === 0) Object.assign(shown, { data, kernel, u, v });
    }
    const common = bv.common * bh.common;
    const outputs = sandwich(av, sum, ah).map((row) => row.map((value) => value / common));
    return { ...shown, common, sum, outputs };
  }
  function winograd(self, n, k, { m } = {}) {
    const { spec } = self;
    const plan = winogradPlan(spec, m);
    const [{ m: mv }, { m: mh }] = plan.axes;
    const y = new Float64Array(spec.l);
    for (let i = 0; i < plan.rows; i++) {
      for (let j = 0; j < plan.columns; j++) {
        winogradTile(self, n, k, plan, i, j).outputs.forEach((row, a) => row.forEach((value, b) => {
          const [p, q] = [i * mv + a, j * mh + b];
          if (p < spec.p && q < spec.q) y[p * spec.q + q] = value;
        }));
      }
    }
    return y;
  }
  // What one transform, left times block times right^T, takes: [multiplications, additions].
  function transformCost(left, right) {
    const line = (matrix) => matrix.reduce(([mul, add], row) => {
      const used = row.filter(([top]) => top !== 0n);
      const scaled = used.filter(([top, bottom]) => bottom !== 1n || (top !== 1n && top !== -1n)).length;
      return [mul + scaled, add + used.length - 1];
    }, [0, 0]);
    const [a, b] = [line(left), line(right)];
    return [0, 1].map((which) => a[which] * right[0].length + b[which] * left.length);
  }

  // The discrete Fourier transform of a power of two (Cooley and Tukey 1965), in place.
  const roots = new Map();
  function rootsOf(size) {
    if (!roots.has(size)) {
      const angle = (i) => 2 * Math.PI * i / size;
      roots.set(size, [Float64Array.from({ length: size / 2 }, (_, i) => Math.cos(angle(i))),
        Float64Array.from({ length: size / 2 }, (_, i) => Math.sin(angle(i)))]);
    }
    return roots.get(size);
  }
  function transform(real, imaginary, sign) {
    const size = real.length;
    if (size === 1) return;
    const half = size / 2;
    const parts = [0, 1].map((odd) => {
      const [re, im] = [new Float64Array(half), new Float64Array(half)];
      for (let i = 0; i < half; i++) [re[i], im[i]] = [real[2 * i + odd], imaginary[2 * i + odd]];
      transform(re, im, sign);
      return [re, im];
    });
    const [[evenRe, evenIm], [oddRe, oddIm]] = parts;
    const [cosines, sines] = rootsOf(size);
    for (let i = 0; i < half; i++) { // a butterfly: one complex product, two complex sums
      const [cosine, sine] = [cosines[i], sign * sines[i]];
      const [re, im] = [oddRe[i] * cosine - oddIm[i] * sine, oddRe[i] * sine + oddIm[i] * cosine];
      [real[i], imaginary[i]] = [evenRe[i] + re, evenIm[i] + im];
      [real[i + half], imaginary[i + half]] = [evenRe[i] - re, evenIm[i] - im];
    }
  }
  function transform2d({ re, im }, rows, columns, sign) {
    for (let row = 0; row < rows; row++) {
      const [from, to] = [row * columns, (row + 1) * columns];
      transform(re.subarray(from, to), im.subarray(from, to), sign);
    }
    const [lineRe, lineIm] = [new Float64Array(rows), new Float64Array(rows)];
    for (let column = 0; column < columns; column++) {
      for (let row = 0; row < rows; row++) {
        [lineRe[row], lineIm[row]] = [re[row * columns + column], im[row * columns + column]];
      }
      transform(lineRe, lineIm, sign);
      for (let row = 0; row < rows; row++) {
        [re[row * columns + column], im[row * columns + column]] = [lineRe[row], lineIm[row]];
      }
    }
  }
  // The powers of two that hold the padded image.
  function transformSize(spec) {
    return [spec.hp, spec.wp].map((size) => 2 ** Math.ceil(Math.log2(size)));
  }
  // All values of the circular correlation; those whose kernel crosses the border have wrapped around.
  function circular(self, n, k) {
    const { spec } = self;
    const first = self.group(k) * spec.cg;
    const [rows, columns] = transformSize(spec);
    const size = rows * columns;
    const sum = { re: new Float64Array(size), im: new Float64Array(size) };
    for (let c = 0; c < spec.cg; c++) {
      const x = { re: new Float64Array(size), im: new Float64Array(size) };
      const plane = self.plane(n, first + c);
      for (let row = 0; row < spec.hp; row++) {
        x.re.set(plane.subarray(row * spec.wp, (row + 1) * spec.wp), row * columns);
      }
      const w = { re: new Float64Array(size), im: new Float64Array(size) };
      for (let r = 0; r < spec.r; r++) {
        for (let s = 0; s < spec.s; s++) {
          w.re[r * spec.dilation[0] * columns + s * spec.dilation[1]] = self.weight(k, c, r, s);
        }
      }
      transform2d(x, rows, columns, -1);
      transform2d(w, rows, columns, -1);
      for (let i = 0; i < size; i++) { // times the conjugate: correlation, not convolution
        sum.re[i] += x.re[i] * w.re[i] + x.im[i] * w.im[i];
        sum.im[i] += x.im[i] * w.re[i] - x.re[i] * w.im[i];
      }
    }
    transform2d(sum, rows, columns, 1);
    return sum.re.map((value) => value / size);
  }
  function fft(self, n, k) {
    const { spec } = self;
    const full = circular(self, n, k);
    const [, columns] = transformSize(spec);
    const y = new Float64Array(spec.l);
    for (let p = 0, l = 0; p < spec.p; p++) {
      for (let q = 0; q < spec.q; q++) y[l++] = full[p * spec.stride[0] * columns + q * spec.stride[1]];
    }
    return y;
  }

  Object.assign(convbench, { LARGEST_TILE, circular, transformSize, winogradMatrices, winogradPlan, winogradTile,
    winogradTiles, winogradWhyNot, transformCost, winograd, fft, defaultTile });
})();
