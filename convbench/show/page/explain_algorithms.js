"use strict";
// Which ways lead to the same numbers, and what does each of them cost?
// A way computes y[n, k] (p, q) from the operands by itself; counts are of the whole problem, fp32 for bytes. Where the
// padding is not zeros they are those of x padded before; only Toeplitz takes that padding into its matrix.
(() => {
  const BYTES = 4;

  // The definition: every output by itself.
  function loops(self, n, k) {
    const { spec } = self;
    const first = self.group(k) * spec.cg;
    const y = new Float64Array(spec.l);
    for (let p = 0; p < spec.p; p++) {
      for (let q = 0; q < spec.q; q++) {
        let sum = 0;
        for (let c = 0; c < spec.cg; c++) {
          for (let r = 0; r < spec.r; r++) {
            for (let s = 0; s < spec.s; s++) {
              sum += self.weight(k, c, r, s) * self.padded(n, first + c,
                p * spec.stride[0] + r * spec.dilation[0], q * spec.stride[1] + s * spec.dilation[1]);
            }
          }
        }
        y[p * spec.q + q] = sum;
      }
    }
    return y;
  }

  // The whole patch matrix of the filter's group is stored, (taps, l); then one row times it.
  function unfolded(self, n, group) {
    const { spec } = self;
    const matrix = new Float64Array(spec.taps * spec.l);
    for (let j = 0, i = 0; j < spec.taps; j++) {
      const [c, r, s] = self.tap(j);
      for (let p = 0; p < spec.p; p++) {
        for (let q = 0; q < spec.q; q++) {
          matrix[i++] = self.padded(n, group * spec.cg + c,
            p * spec.stride[0] + r * spec.dilation[0], q * spec.stride[1] + s * spec.dilation[1]);
        }
      }
    }
    return matrix;
  }
  function unfold(self, n, k) {
    const { spec } = self;
    const matrix = unfolded(self, n, self.group(k));
    const y = new Float64Array(spec.l);
    for (let j = 0; j < spec.taps; j++) {
      const weight = self.w[k * spec.taps + j];
      for (let l = 0; l < spec.l; l++) y[l] += weight * matrix[j * spec.l + l];
    }
    return y;
  }

  // Rows and columns of a tile of the implicit GEMM: 4, or the power of two with which there are at most 1,024 tiles.
  function gemmTile(spec) {
    let tile = 4;
    const tiles = () => [spec.n * spec.l, spec.kg, spec.taps].reduce((all, size) => all * Math.ceil(size / tile),
      spec.groups);
    while (tiles() > 1024) tile *= 2;
    return tile;
  }
  // The same product, but a tile of the matrix is gathered when it is needed and then forgotten.
  function implicit(self, n, k) {
    const { spec } = self;
    const side = gemmTile(spec);
    const first = self.group(k) * spec.cg * spec.r * spec.s;
    const y = new Float64Array(spec.l);
    const tile = new Float64Array(side * side);
    for (let l0 = 0; l0 < spec.l; l0 += side) {
      const columns = Math.min(side, spec.l - l0);
      for (let j0 = 0; j0 < spec.taps; j0 += side) {
        const rows = Math.min(side, spec.taps - j0);
        for (let j = 0; j < rows; j++) {
          for (let l = 0; l < columns; l++) tile[j * side + l] = self.patch(n, first + j0 + j, l0 + l);
        }
        for (let j = 0; j < rows; j++) {
          for (let l = 0; l < columns; l++) y[l0 + l] += self.w[k * spec.taps + j0 + j] * tile[j * side + l];
        }
      }
    }
    return y;
  }

  // One tap at a time: a 1x1 convolution of the whole image (kn2row), then shifted and added where it falls on y.
  function shift(self, n, k) {
    const { spec } = self;
    const first = self.group(k) * spec.cg;
    const { source, rows, columns } = shifted(spec);
    const planes = Array.from({ length: spec.cg }, (_, c) => (spec.mode === "zeros" ?
      self.x.subarray((n * spec.c + first + c) * rows * columns, (n * spec.c + first + c + 1) * rows * columns) :
      self.plane(n, first + c)));
    const y = new Float64Array(spec.l);
    for (let r = 0; r < spec.r; r++) {
      for (let s = 0; s < spec.s; s++) {
        const product = new Float64Array(rows * columns);
        planes.forEach((plane, c) => {
          const weight = self.weight(k, c, r, s);
          for (let i = 0; i < product.length; i++) product[i] += weight * plane[i];
        });
        for (let p = 0, l = 0; p < spec.p; p++) {
          const row = source[0](p * spec.stride[0] + r * spec.dilation[0]);
          for (let q = 0; q < spec.q; q++, l++) {
            const column = source[1](q * spec.stride[1] + s * spec.dilation[1]);
            if (row >= 0 && column >= 0) y[l] += product[row * columns + column];
          }
        }
      }
    }
    return y;
  }
  // What is shifted: x itself, or, where the padding is not zeros, x padded before.
  function shifted(spec) {
    if (spec.mode !== "zeros") {
      return { rows: spec.hp, columns: spec.wp, source: [(line) => line, (line) => line] };
    }
    return { rows: spec.h, columns: spec.w, source: spec.axes.map((axis) => (line) => axis.source[line]) };
  }

  // Row l of the matrix T with y = T x: a Map from the index of a pixel, (c, row, column) in the group, to its weight.
  function toeplitzRow(self, k, l) {
    const { spec } = self;
    const [p, q] = self.position(l);
    const row = new Map();
    for (let j = 0; j < spec.taps; j++) {
      const [c, r, s] = self.tap(j);
      const line = spec.axes[0].source[p * spec.stride[0] + r * spec.dilation[0]];
      const column = spec.axes[1].source[q * spec.stride[1] + s * spec.dilation[1]];
      if (line < 0 || column < 0) continue;
      const pixel = (c * spec.h + line) * spec.w + column;
      row.set(pixel, (row.get(pixel) ?? 0) + self.w[k * spec.taps + j]); // a mirrored pixel is read twice
    }
    return row;
  }
  function toeplitz(self, n, k) {
    const { spec } = self;
    const start = (n * spec.c + self.group(k) * spec.cg) * spec.h * spec.w;
    const y = new Float64Array(spec.l);
    for (let l = 0; l < spec.l; l++) {
      for (const [pixel, weight] of toeplitzRow(self, k, l)) y[l] += weight * self.x[start + pixel];
    }
    return y;
  }

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

  function nonzeros(spec) { // of one filter's T, zeros mode or not: distinct pixels that each output reads
    const along = (axis) => {
      let count = 0;
      for (let position = 0; position < axis.positions; position++) {
        const lines = new Set();
        for (let tap = 0; tap < axis.taps; tap++) lines.add(axis.source[position * axis.stride + tap * axis.dilation]);
        lines.delete(-1);
        count += lines.size;
      }
      return count;
    };
    return spec.cg * along(spec.axes[0]) * along(spec.axes[1]);
  }

  // Pairs of an output's position and a tap that lie on the image, of one filter and channel; and how many outputs
  // have one at all. With another padding than zeros all do.
  function onImage(spec) {
    const found = spec.axes.map((axis) => {
      const taps = Array.from({ length: axis.positions }, (_, position) => Array.from({ length: axis.taps },
        (__, tap) => axis.source[position * axis.stride + tap * axis.dilation]).filter((line) => line >= 0).length);
      return { pairs: taps.reduce((sum, one) => sum + one, 0), some: taps.filter(Boolean).length };
    });
    return { pairs: found[0].pairs * found[1].pairs, some: found[0].some * found[1].some };
  }

  // As in convbench/explain/algorithms: multiplications and additions that join x with w; apart from them those of the
  // transforms of x and y, and of w; memory beside x, w and y in bytes.
  function dense(spec) {
    return { multiplications: spec.macs, additions: spec.n * spec.k * spec.l * (spec.taps - 1), memory: 0 };
  }
  const ALGORITHMS = {
    loops: { title: "loops", run: loops,
      count: (spec) => {
        const { pairs, some } = onImage(spec);
        return { multiplications: spec.n * spec.k * spec.cg * pairs,
          additions: spec.n * spec.k * (spec.cg * pairs - some), memory: 0 };
      },
      note: () => "Each output by itself, and nothing stored beside it. Compiled and blocked, this is what direct " +
        "kernels do." },
    unfold: { title: "unfold + matmul", run: unfold,
      count: (spec) => ({ ...dense(spec), memory: BYTES * spec.n * spec.c * spec.r * spec.s * spec.l }),
      note: (spec) => `The patch matrix is stored whole: ${spec.c * spec.r * spec.s}×${spec.l} numbers for each ` +
        `image.` },
    implicit: { title: "implicit GEMM", run: implicit,
      count: (spec) => {
        const [i, j, taps] = [spec.n * spec.l, spec.kg, spec.taps].map((size) => Math.min(size, gemmTile(spec)));
        return { ...dense(spec), memory: BYTES * (i * taps + taps * j + i * j) };
      },
      note: (spec) => "The same matrix product, but tiles of the patch matrix are gathered by index arithmetic when " +
        "they are " +
        `needed (here ${gemmTile(spec)}×${gemmTile(spec)}, in registers or shared memory on a GPU) and never stored.` },
    shift: { title: "shift and add", run: shift,
      count: (spec) => {
        const { rows, columns } = shifted(spec);
        const { pairs, some } = onImage(spec);
        const numbers = spec.n * spec.k * rows * columns;
        return { multiplications: numbers * spec.r * spec.s * spec.cg,
          additions: numbers * spec.r * spec.s * (spec.cg - 1) + spec.n * spec.k * (pairs - some),
          memory: BYTES * numbers };
      },
      note: (spec) => `R·S = ${spec.r * spec.s} 1×1 convolutions of the whole image, one for each tap, shifted and ` +
        "added up in y (kn2row): the kernel's taps are the outer loop." },
    toeplitz: { title: "Toeplitz matrix", run: toeplitz,
      count: (spec) => {
        const [weights, entries] = [spec.k * nonzeros(spec), spec.k * spec.l * spec.c * spec.h * spec.w];
        return { multiplications: spec.n * weights,
          additions: spec.n * (weights - spec.k * onImage(spec).some), memory: BYTES * entries,
          nonzeros: weights, entries };
      },
      note: (spec) => `The convolution as one linear map y = T·x: ${spec.l}×${spec.cg * spec.h * spec.w} for a ` +
        `filter, ` +
        `${nonzeros(spec)} of its ${spec.l * spec.cg * spec.h * spec.w} entries are not zero, and only products with ` +
        "them are counted; its transpose is dX." },
    winograd: { title: "Winograd", run: winograd, whyNot: winogradWhyNot,
      count: (spec, { m } = {}) => {
        const plan = winogradPlan(spec, m);
        const [vertical, horizontal] = plan.axes;
        const [points, tiles] = [vertical.t * horizontal.t, spec.n * plan.rows * plan.columns];
        const [ofX, ofW, ofY] = [vertical.bt, vertical.g, vertical.at].map((left, i) =>
          transformCost(left, [horizontal.bt, horizontal.g, horizontal.at][i]));
        const work = (which) => spec.c * tiles * ofX[which] + spec.k * tiles * ofY[which];
        return { multiplications: tiles * spec.k * spec.cg * points, additions: tiles * spec.k * (spec.cg - 1) * points,
          memory: BYTES * points * (spec.c * tiles + spec.k * spec.cg + spec.k * tiles),
          transforms: { multiplications: work(0), additions: work(1) },
          weights: { multiplications: spec.k * spec.cg * ofW[0], additions: spec.k * spec.cg * ofW[1] }, tiles };
      },
      note: (spec, { m } = {}) => {
        const [mv, mh] = winogradTiles(spec, m);
        return `F(${mv}×${mh}, ${spec.r}×${spec.s}): ${mv * mh} outputs of a tile take ` +
          `${(mv + spec.r - 1) * (mh + spec.s - 1)} multiplications for each channel, not ` +
            `${mv * mh * spec.r * spec.s}; ` +
          "the transforms are counted apart.";
      } },
    fft: { title: "FFT", run: fft,
      count: (spec) => {
        const size = transformSize(spec).reduce((a, b) => a * b);
        const butterflies = size / 2 * Math.log2(size); // of one plane
        const [images, kernels, outputs] = [spec.n * spec.c, spec.k * spec.cg, spec.n * spec.k];
        // A complex product is 4 real multiplications and 2 additions, a complex sum 2 additions; the inverse divides.
        return { multiplications: 4 * size * outputs * spec.cg,
          additions: 2 * size * outputs * spec.cg + 2 * size * outputs * (spec.cg - 1),
          memory: 2 * BYTES * size * (images + kernels + outputs),
          transforms: { multiplications: 4 * butterflies * (images + outputs) + size * outputs,
            additions: 6 * butterflies * (images + outputs) },
          weights: { multiplications: 4 * butterflies * kernels, additions: 6 * butterflies * kernels } };
      },
      note: (spec) => `Padded to powers of two; of the ${transformSize(spec).join("×")} circular values the first ` +
        `${spec.axes[0].room + 1}×${spec.axes[1].room + 1} are right` +
        (spec.stride.some((value) => value > 1) ? "; the stride then throws most of them away." : ".") },
  };

  function whyNot(name, spec) {
    return ALGORITHMS[name].whyNot?.(spec) ?? null;
  }
  function difference(a, b) {
    let worst = 0;
    for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i] - b[i]) || (a[i] === b[i] ? 0 : Infinity));
    return worst;
  }

  // Everything of one problem as flat arrays, for those who want to check this page from outside.
  function compute(given, { m, gradient = "terminal" } = {}) {
    const self = convbench.problem(typeof given === "string" ? convbench.parse(given) : given);
    const { spec } = self;
    const images = Array.from({ length: spec.n }, (_, n) => n);
    const filters = Array.from({ length: spec.k }, (_, k) => k);
    const channels = Array.from({ length: spec.c }, (_, c) => c);
    const all = (way, options) => images.flatMap((n) => filters.flatMap((k) => Array.from(way(self, n, k, options))));
    const patches = images.flatMap((n) => Array.from({ length: spec.c * spec.r * spec.s * spec.l }, (_, i) =>
      self.patch(n, Math.floor(i / spec.l), i % spec.l)));
    return {
      p: spec.p, q: spec.q, macs: spec.macs, x: Array.from(self.x), w: Array.from(self.w), y: all(loops), patches,
      axes: spec.axes.map(({ room, rest, positions, readers, unread }) => ({ room, rest, positions, readers, unread })),
      overlaps: Array.from({ length: spec.h * spec.w }, (_, i) =>
        convbench.overlap(spec, Math.floor(i / spec.w), i % spec.w)),
      dx: images.flatMap((n) => channels.flatMap((c) => Array.from(convbench.inputGradient(self, n, c, gradient)))),
      dw: filters.flatMap((k) => Array.from(convbench.filterGradient(self, k, gradient))),
      algorithms: Object.fromEntries(Object.entries(ALGORITHMS).map(([name, algorithm]) => {
        const reason = whyNot(name, spec);
        return [name, reason ? { whyNot: reason } : { y: all(algorithm.run, { m }), ...algorithm.count(spec, { m }) }];
      })),
    };
  }

  Object.assign(convbench, { ALGORITHMS, LARGEST_TILE, whyNot, compute, difference, circular, transformSize,
    toeplitzRow, unfolded, nonzeros, winogradMatrices, winogradPlan, winogradTile, winogradTiles, defaultTile });
})();
