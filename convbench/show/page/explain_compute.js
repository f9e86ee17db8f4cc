"use strict";
// What are the numbers of one convolution? Arithmetic only, no document: sizes, operands, patches, gradients.
// All operands are small whole numbers, so every float64 sum here is exact and equal means equal.
// Letters as everywhere: n image, c channel, h w input, k filter, r s kernel, p q output; l = p*Q + q.
const convbench = (() => {
  const MODES = ["zeros", "reflect", "replicate", "circular"];
  const SIZES = ["n", "c", "h", "w", "k", "r", "s"];
  const PARTS = { st: "stride", pd: "padding", dl: "dilation", g: "groups" };
  const EXAMPLE = "n1c2h5w5k2r3s3_st2_pd1";
  const told = () => convbench.words.complaints;

  // The numbers of `2`, of `2x1` for rows and columns, of `1x2x0x1` for top, bottom, left and right; else null.
  function readNumbers(given) {
    return /^[0-9]{1,9}(x[0-9]{1,9}(x[0-9]{1,9}x[0-9]{1,9})?)?$/.test(given) ? given.split("x").map(Number) : null;
  }
  // `padding` is that of the top and the left, which the index formulas use; `end` that of the bottom and the right.
  function sidesOf(numbers) {
    const [first, second = first, third, fourth] = numbers;
    if (fourth !== undefined) return { padding: [first, third], end: [second, fourth] };
    return { padding: [first, second], end: [first, second] };
  }
  function readPadding(given) {
    const numbers = readNumbers(given.trim().toLowerCase());
    if (numbers) return sidesOf(numbers);
    throw new Error(told().padding(given));
  }

  // A problem from its text form; throws an Error with a sentence.
  function parse(given) {
    const size = "([0-9]{1,9})";
    const match = new RegExp(`^${SIZES.map((letter) => letter + size).join("")}((?:_\\w+)*)$`)
      .exec(given.trim().toLowerCase());
    if (!match) throw new Error(told().problem(given, EXAMPLE));
    const spec = { stride: [1, 1], padding: [0, 0], end: [0, 0], dilation: [1, 1], groups: 1 };
    SIZES.forEach((letter, i) => { spec[letter] = Number(match[i + 1]); });
    const seen = new Set();
    for (const word of match[8].split("_").slice(1)) {
      const [, part, value] = /^(st|pd|dl|g)(.*)$/.exec(word) ?? [];
      const numbers = part && readNumbers(value);
      if (!numbers || numbers.length > { st: 2, pd: 4, dl: 2, g: 1 }[part]) {
        throw new Error(told().part(word, EXAMPLE));
      }
      if (seen.has(part)) throw new Error(told().twice(PARTS[part], given));
      seen.add(part);
      if (part === "pd") Object.assign(spec, sidesOf(numbers));
      else spec[PARTS[part]] = part === "g" ? numbers[0] : [numbers[0], numbers.at(-1)];
    }
    return spec;
  }

  const even = (spec) => spec.padding.every((start, axis) => start === spec.end[axis]);
  const pair = ([a, b]) => (a === b ? `${a}` : `${a}x${b}`);
  // As `_pd` has it: all four sides only where they are needed.
  function paddingText(spec) {
    const [[top, left], [bottom, right]] = [spec.padding, spec.end];
    return even(spec) ? pair(spec.padding) : [top, bottom, left, right].join("x");
  }
  function text(spec) {
    const parts = [SIZES.map((letter) => letter + spec[letter]).join("")];
    if (pair(spec.stride) !== "1") parts.push(`st${pair(spec.stride)}`);
    if (paddingText(spec) !== "0") parts.push(`pd${paddingText(spec)}`);
    if (pair(spec.dilation) !== "1") parts.push(`dl${pair(spec.dilation)}`);
    if (spec.groups !== 1) parts.push(`g${spec.groups}`);
    return parts.join("_");
  }

  // What is wrong with a setting, in a sentence; null when nothing is.
  function complaint(spec) {
    const words = told();
    const whole = (value, least) => Number.isInteger(value) && value >= least;
    for (const letter of SIZES) {
      if (!whole(spec[letter], 1)) return words.whole(words.names[letter], spec[letter]);
    }
    for (const [name, least, values] of [["stride", 1, spec.stride], ["dilation", 1, spec.dilation],
      ["padding", 0, [...spec.padding, ...spec.end]]]) {
      if (!values.every((value) => whole(value, least))) return words.wholes(name, least, values.join(", "));
    }
    const g = spec.groups;
    if (!whole(g, 1)) return words.whole("groups", g);
    if (spec.c % g || spec.k % g) {
      return words.divide(g, spec.c, spec.k, g * Math.ceil(spec.c / g), g * Math.ceil(spec.k / g));
    }
    for (const [axis, letter] of ["h", "w"].entries()) {
      const padding = Math.max(spec.padding[axis], spec.end[axis]);
      const size = spec[letter];
      if (spec.mode === "reflect" && padding >= size) return words.reflect(words.names[letter], size - 1, padding);
      if (spec.mode === "circular" && padding > size) return words.circular(words.names[letter], size, padding);
    }
    const [eh, ew] = [spec.dilation[0] * (spec.r - 1) + 1, spec.dilation[1] * (spec.s - 1) + 1];
    const [ph, pw] = [spec.h, spec.w].map((size, axis) => size + spec.padding[axis] + spec.end[axis]);
    return eh > ph || ew > pw ? words.noOutput(`${eh}×${ew}`, `${ph}×${pw}`) : null;
  }

  // What follows from the sizes alone.
  function derive(given) {
    const spec = { mode: "zeros", seed: 0, ...given };
    const sentence = complaint(spec);
    if (sentence) throw new Error(sentence);
    spec.axes = [["P", "H", "R", spec.h, spec.r], ["Q", "W", "S", spec.w, spec.s]]
      .map(([out, whole, tap, size, taps], axis) => makeAxis({ letters: [out, whole, tap], size, taps,
        stride: spec.stride[axis], padding: spec.padding[axis], end: spec.end[axis], dilation: spec.dilation[axis],
        mode: spec.mode }));
    [spec.p, spec.q] = spec.axes.map((axis) => axis.positions);
    [spec.hp, spec.wp] = spec.axes.map((axis) => axis.source.length);
    spec.cg = spec.c / spec.groups;
    spec.kg = spec.k / spec.groups;
    spec.taps = spec.cg * spec.r * spec.s;
    spec.l = spec.p * spec.q;
    spec.macs = spec.n * spec.k * spec.l * spec.taps;
    return spec;
  }

  function makeAxis(axis) {
    const extent = axis.dilation * (axis.taps - 1) + 1;
    const lines = axis.size + axis.padding + axis.end;
    const room = lines - extent;
    const positions = Math.floor(room / axis.stride) + 1;
    // For each padded line the line of x that it shows, or -1 for a zero.
    const source = Array.from({ length: lines },
      (_, i) => sourceOf(i - axis.padding, axis.size, axis.mode));
    const readers = new Array(axis.size).fill(0);
    for (let tap = 0; tap < axis.taps; tap++) {
      for (let position = 0; position < positions; position++) {
        const line = source[position * axis.stride + tap * axis.dilation];
        if (line >= 0) readers[line] += 1;
      }
    }
    const unread = readers.flatMap((count, line) => (count ? [] : [line]));
    const outside = (line) => line < axis.padding || line >= axis.padding + axis.size; // of padded x
    return { ...axis, extent, room, rest: room % axis.stride, positions, source, readers, unread, outside };
  }

  function sourceOf(line, size, mode) {
    if (line >= 0 && line < size) return line;
    if (mode === "reflect") return line < 0 ? -line : 2 * (size - 1) - line;
    if (mode === "replicate") return line < 0 ? 0 : size - 1;
    if (mode === "circular") return (line + size) % size;
    return -1;
  }

  // The generator that torch uses on a CPU (Matsumoto and Nishimura 1998), so that a seed means the same here.
  function mersenneTwister(seed) {
    const state = new Uint32Array(624);
    state[0] = seed >>> 0;
    for (let i = 1; i < 624; i++) {
      state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    }
    let next = 624;
    return () => {
      if (next === 624) {
        for (let i = 0; i < 624; i++) {
          const mixed = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
          state[i] = state[(i + 397) % 624] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
        }
        next = 0;
      }
      let y = state[next++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    };
  }

  // The operands of `convbench explain`: with seed 0, x counts to 97 and again, and a w of at most nine numbers too.
  const WEIGHTS = [-3, -2, -1, 1, 2, 3];
  function operands(spec) {
    const random = mersenneTwister(spec.seed);
    const x = new Float64Array(spec.n * spec.c * spec.h * spec.w);
    for (let i = 0; i < x.length; i++) x[i] = (spec.seed ? random() % 97 : i % 97) + 1;
    const w = new Float64Array(spec.k * spec.taps);
    const drawn = spec.seed > 0 || w.length > 9;
    for (let i = 0; i < w.length; i++) w[i] = drawn ? WEIGHTS[random() % 6] : i + 1;
    return { x, w };
  }

  // A problem with its numbers, drawn from the seed or one's own, and the ways to read them.
  function problem(given, own = {}) {
    const spec = derive(given);
    const { x, w } = { ...operands(spec), ...own };
    const [rows, columns] = spec.axes.map((axis) => axis.source);
    const self = { spec, x, w };
    self.pixel = (n, c, row, column) => x[((n * spec.c + c) * spec.h + row) * spec.w + column];
    // Padded coordinates: (0, 0) is the corner of the padding.
    self.padded = (n, c, row, column) =>
      (rows[row] < 0 || columns[column] < 0 ? 0 : self.pixel(n, c, rows[row], columns[column]));
    const gradients = {};
    self.gradient = (name, n, k, p, q) => {
      gradients[name] ??= GRADIENTS[name](spec);
      return gradients[name][((n * spec.k + k) * spec.p + p) * spec.q + q];
    };
    self.weight = (k, c, r, s) => w[((k * spec.cg + c) * spec.r + r) * spec.s + s];
    self.group = (k) => Math.floor(k / spec.kg);
    // Row j of the patch matrix is the tap (c, r, s) in this order, s fastest.
    self.tap = (j) => [Math.floor(j / (spec.r * spec.s)), Math.floor(j / spec.s) % spec.r, j % spec.s];
    self.position = (l) => [Math.floor(l / spec.q), l % spec.q];
    // Where a tap falls at a position, in coordinates of x; outside of it is padding.
    self.place = (r, s, p, q) => [p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0],
      q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1]];
    // The entry (j, l) of the patches of image n; j counts over all channels.
    self.patch = (n, j, l) => {
      const [c, r, s] = self.tap(j);
      const [p, q] = self.position(l);
      const [row, column] = self.place(r, s, p, q);
      return self.padded(n, c, row + spec.padding[0], column + spec.padding[1]);
    };
    // A whole channel with its padding, (hp, wp).
    self.plane = (n, c) => {
      const plane = new Float64Array(spec.hp * spec.wp);
      for (let row = 0, i = 0; row < spec.hp; row++) {
        for (let column = 0; column < spec.wp; column++) plane[i++] = self.padded(n, c, row, column);
      }
      return plane;
    };
    return self;
  }

  // The products of y[n, k, p, q], in the order (c, r, s).
  function terms(self, { n, k, p, q }) {
    const { spec } = self;
    const first = self.group(k) * spec.cg;
    const found = [];
    for (let c = 0; c < spec.cg; c++) {
      for (let r = 0; r < spec.r; r++) {
        for (let s = 0; s < spec.s; s++) {
          const [row, column] = self.place(r, s, p, q);
          const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
          const x = self.padded(n, first + c, row + spec.padding[0], column + spec.padding[1]);
          const w = self.weight(k, c, r, s);
          found.push({ c, r, s, channel: first + c, row, column, x, w, outside, product: x * w,
            mirrored: self.weight(k, c, spec.r - 1 - r, spec.s - 1 - s) });
        }
      }
    }
    return found;
  }

  // The outputs and taps that read x[row, column] of a channel: [{r, s, p, q}], in the order of positions.
  function readersOf(self, row, column) {
    const along = (axis, line) => {
      const found = [];
      for (let position = 0; position < axis.positions; position++) {
        for (let tap = 0; tap < axis.taps; tap++) {
          if (axis.source[position * axis.stride + tap * axis.dilation] === line) found.push([position, tap]);
        }
      }
      return found;
    };
    const [rows, columns] = [along(self.spec.axes[0], row), along(self.spec.axes[1], column)];
    return rows.flatMap(([p, r]) => columns.map(([q, s]) => ({ r, s, p, q })));
  }

  // The gradient of the output that backward begins with, (n, k, p, q). `--backward` takes ones for the note alone.
  const takesOnes = (spec) => text(spec) === "n1c1h4w4k1r2s2" && spec.mode === "zeros" && spec.seed === 0;
  const GRADIENTS = {
    terminal(spec) {
      if (takesOnes(spec)) return GRADIENTS.ones(spec);
      const random = mersenneTwister(spec.seed + 1);
      return Float64Array.from({ length: spec.n * spec.k * spec.l }, () => WEIGHTS[random() % 6]);
    },
    ones: (spec) => new Float64Array(spec.n * spec.k * spec.l).fill(1),
  };

  // dX of one image and channel, (h, w): the columns w_flat^T g, folded: each adds where it was read.
  function inputGradient(self, n, channel, name) {
    const { spec } = self;
    const [group, c] = [Math.floor(channel / spec.cg), channel % spec.cg];
    const [rows, columns] = spec.axes.map((axis) => axis.source);
    const dx = new Float64Array(spec.h * spec.w);
    for (let k = group * spec.kg; k < (group + 1) * spec.kg; k++) {
      for (let p = 0; p < spec.p; p++) {
        for (let q = 0; q < spec.q; q++) {
          const g = self.gradient(name, n, k, p, q);
          for (let r = 0; r < spec.r; r++) {
            const row = rows[p * spec.stride[0] + r * spec.dilation[0]];
            if (row < 0) continue;
            for (let s = 0; s < spec.s; s++) {
              const column = columns[q * spec.stride[1] + s * spec.dilation[1]];
              if (column >= 0) dx[row * spec.w + column] += g * self.weight(k, c, r, s);
            }
          }
        }
      }
    }
    return dx;
  }

  // dW of one filter, (c, r, s): each tap's row of the patches times g, summed over images and positions.
  function filterGradient(self, k, name) {
    const { spec } = self;
    const first = self.group(k) * spec.cg;
    const dw = new Float64Array(spec.taps);
    for (let j = 0; j < spec.taps; j++) {
      const [c, r, s] = self.tap(j);
      let sum = 0;
      for (let n = 0; n < spec.n; n++) {
        for (let p = 0; p < spec.p; p++) {
          for (let q = 0; q < spec.q; q++) {
            sum += self.gradient(name, n, k, p, q) * self.padded(n, first + c,
              p * spec.stride[0] + r * spec.dilation[0], q * spec.stride[1] + s * spec.dilation[1]);
          }
        }
      }
      dw[j] = sum;
    }
    return dw;
  }

  // How many (output, tap) pairs of one filter read a pixel: what fold(unfold(x)) multiplies it by.
  function overlap(spec, row, column) {
    return spec.axes[0].readers[row] * spec.axes[1].readers[column];
  }

  // Both paddings of an axis as they are added up: `2·1`, or `1 + 2` where they differ.
  function bothEnds(axis) {
    return axis.padding === axis.end ? `2·${axis.padding}` : `${axis.padding} + ${axis.end}`;
  }

  return { MODES, SIZES, GRADIENTS, takesOnes, parse, text, readPadding, paddingText, even, bothEnds, complaint, derive,
    problem, terms, readersOf, inputGradient, filterGradient, overlap, mersenneTwister };
})();
