"use strict";
// Which ways lead to the same numbers, and what does each of them cost?
// A way computes y[n, k] (p, q) from the operands by itself; counts are of the whole problem, fp32 for bytes. Where the
// padding is not zeros they are those of x padded before; only Toeplitz takes that padding into its matrix.
(() => {
  const BYTES = 4;
  const { winograd, winogradPlan, winogradTiles, winogradWhyNot, transformCost, transformSize, fft } = convbench;

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
      note: (spec) => `kH·kW = ${spec.r * spec.s} 1×1 convolutions of the whole image, one for each kernel element, ` +
        "shifted and added up in y (kn2row): the kernel's elements are the outer loop." },
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

  Object.assign(convbench, { ALGORITHMS, whyNot, compute, difference, toeplitzRow, unfolded, nonzeros });
})();
