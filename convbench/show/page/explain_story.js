"use strict";
// What is said about a step at a moment? Plain data: texts, and tokens [role, text] for what has a colour.
(() => {
  const MOST_TERMS = 9;
  const MOST_LISTED = 9;
  const BYTES = 4;
  const times = (...sizes) => sizes.join(" × ");
  const tuple = (...sizes) => `(${sizes.join(",")})`;
  const inImage = (spec, i) => spec.axes[i].readers.reduce((sum, one) => sum + one, 0);

  // What PyTorch runs on a CPU in fp32 by the sizes (ATen's Convolution.cpp, use_mkldnn).
  const MOST_ELEMENTS = 20480;
  function torchPath(spec, elements = spec.c * spec.h * spec.w) {
    const tests = [spec.n === 1, spec.groups === 1, !(spec.r > 3 && spec.s > 3), elements <= MOST_ELEMENTS];
    const builds = tests.every(Boolean);
    const small = spec.dilation.some((one) => one > 1) ? "SlowDilated2d" : "Slow2d";
    return { elements, tests, builds, small, name: builds ? small : "oneDNN" };
  }

  function tell(self, state) {
    const { dom, words } = convbench;
    const { text, signed, short } = dom;
    const { spec } = self;
    const first = self.group(state.k) * spec.cg;
    const steps = words.steps;
    const factor = (value) => (value < 0 ? `(${text(value)})` : text(value));
    const total = (terms) => ["output", text(terms.reduce((sum, term) => sum + term.product, 0))];
    // The sum of an output, pixel before weight as in the loops, or weight before pixel as in the matrix product.
    function sumOf(l, k, weightFirst) {
      const [p, q] = self.position(l);
      const terms = convbench.terms(self, { n: state.n, k, p, q });
      const inside = terms.length > MOST_TERMS ? terms.filter((term) => !term.outside) : terms;
      const shown = (inside.length ? inside : terms).slice(0, MOST_TERMS);
      const tokens = shown.flatMap((term, i) => {
        const pixel = ["patch", text(term.x)];
        const weight = ["kernel", factor(term.w)];
        return [i ? " + " : "", ...(weightFirst ? [weight, "·", pixel] : [pixel, "·", weight])];
      });
      const left = terms.length - shown.length;
      return [...tokens, ...(left ? [` + ${steps.moreTerms(left)}`] : []), " = ", total(terms)];
    }
    function sizeFormula(axis) {
      const { size, dilation, taps, stride, positions } = axis;
      return [`${axis === spec.axes[0] ? "H" : "W"}_out = ⌊(${size} + ${convbench.bothEnds(axis)} − ${dilation}·(${taps}` +
        `−1) − 1) / ${stride}⌋ + 1 = `, ["output", String(positions)]];
    }
    function column(l) {
      const [p, q] = self.position(l);
      const start = first * spec.r * spec.s;
      const shown = dom.range([0, Math.min(spec.taps, MOST_LISTED)]).map((j) => short(self.patch(state.n, start + j, l)));
      return [[`l = oh·W_out + ow = ${p}·${spec.q} + ${q} = `, ["patch", String(l)]],
        ["(", ["patch", shown.join(", ")], spec.taps > MOST_LISTED ? ", …" : "", ")ᵀ"]];
    }
    function flatKernel(k) {
      const shown = Array.from(self.w.subarray(k * spec.taps, k * spec.taps + Math.min(spec.taps, MOST_LISTED)), short);
      return [`w_flat[o=${k}] = `, ["kernel", shown.join(" ")], spec.taps > MOST_LISTED ? " …" : ""];
    }

    // One or two lines that change with the moment; `at` is {step, l, k, agrees}.
    function live({ step, l, k, agrees }) {
      if (step === 1) return [[["patch", "x"], " ∗ ", ["kernel", "w"], " = ", ["output", "?"]]];
      if (step === 2 || step === 6) return [sumOf(l, k, step === 6)];
      if (step === 3) return spec.axes.map(sizeFormula);
      if (step === 4) return column(l);
      if (step === 5) return [flatKernel(k)];
      if (step === 8 || !agrees) return [];
      return [agrees.holds ? [["good", "✓ "], steps.equalLoops(agrees.outputs)] :
        [["wrong", `✗ ${steps.unlikeLoops(agrees.worst)}`]]];
    }
    const groups = spec.groups > 1;
    const flatX = [spec.n, spec.c * spec.r * spec.s, spec.l];
    const shapes = {
      1: () => [["x ", ["strong", tuple(spec.n, spec.c, spec.h, spec.w)], " ⋆ w ",
        ["strong", tuple(spec.k, spec.cg, spec.r, spec.s)]]],
      2: () => [["y[b,o,oh,ow] = Σ x · w"], ["index = oh·stride − padding + kh·dilation"]],
      3: () => [[`H_out × W_out = ${spec.p} × ${spec.q} = `, ["strong", dom.count(spec.l)], ` ${steps.shapes.positions}`]],
      4: () => [["patches → ", ["strong", times(...flatX)], ` ${steps.shapes.patches}`]],
      5: () => [["w_flat → ", ["strong", groups ? times(spec.groups, spec.kg, spec.taps) : times(spec.k, spec.taps)],
        ` ${steps.shapes.flat(spec.groups)}`]],
      6: () => [[`einsum('${groups ? "b g p l, g o p → b g o l" : "b p l, o p → b o l"}')`],
        ["w_flat ", ["kernel", `${spec.kg}×${spec.taps}`], " · patches ", ["patch", `${spec.taps}×${spec.l}`], " = y ",
          ["output", `${spec.kg}×${spec.l}`], steps.shapes.each(spec)]],
      7: () => [[groups ? "(b, g, o, l) = " : "(b, o, l) = ", groups ? tuple(spec.n, spec.groups, spec.kg, spec.l) :
        tuple(spec.n, spec.k, spec.l), " → (b, o, H_out, W_out) = ", ["strong", tuple(spec.n, spec.k, spec.p, spec.q)]]],
      8: () => [],
    };

    const terms = () => convbench.terms(self, state);
    const bytes = (many) => BYTES * many;
    function operandNotes({ channels, filters }) {
      return [words.notes.before, words.notes.cross, spec.cg > 1 && words.notes.slices(spec.cg),
        groups && words.notes.groups(spec, state.k, self.group(state.k), dom.range([first, first + spec.cg])),
        (channels.length < spec.c || filters.length < spec.k) && words.notes.shown(channels, spec.c, filters, spec.k),
        words.notes.bytes(bytes(self.x.length), bytes(self.w.length), bytes(spec.n * spec.k * spec.l))];
    }
    function loopNotes() {
      const line = (letter, position, axis, taps, name) => {
        const start = position * spec.stride[axis] - spec.padding[axis];
        const found = dom.range([0, taps]).map((tap) => text(start + tap * spec.dilation[axis]));
        return `${letter}=${position}: ${name} ${position}·${spec.stride[axis]} − ${spec.padding[axis]} + ` +
          `{0..${taps - 1}}·${spec.dilation[axis]} = {${found.join(",")}}`;
      };
      const own = terms();
      const flipped = own.reduce((sum, term) => sum + term.x * term.mirrored, 0);
      const over = own.some((term) => term.outside);
      const sums = dom.range([0, Math.min(spec.cg, 12)]).map((c) => convbench.totalOf(own.filter((one) => one.c === c)));
      return [`y[b,o,oh,ow] = Σ x[b, ${first ? `${first}+` : ""}c, oh·${spec.stride[0]}−${spec.padding[0]}+kh·` +
        `${spec.dilation[0]}, ow·${spec.stride[1]}−${spec.padding[1]}+kw·${spec.dilation[1]}] · w[o,c,kh,kw]`,
      line("oh", state.p, 0, spec.r, words.notes.rows), line("ow", state.q, 1, spec.s, words.notes.columns),
      spec.cg > 1 && `y[${state.n},${state.k},${state.p},${state.q}] = ${signed(sums)}` +
        `${spec.cg > 12 ? " + …" : ""} = ${text(convbench.totalOf(own))}`,
      words.notes.indices, words.notes.flipped(text(flipped)),
      over && (spec.mode === "zeros" ? words.notes.overhang : words.notes.copies(spec.mode)),
      words.notes.work(own.length)];
    }
    function positionNotes() {
      const lost = spec.axes.flatMap((axis, i) => [axis.rest && words.notes.rest(axis.rest, i),
        axis.unread.length && words.notes.unread(i, axis.size, axis.unread)]).filter(Boolean);
      const both = convbench.even(spec) ? "2P" : "top + bottom";
      return [`H_out = ⌊(H + ${both} − D(K − 1) − 1) / S⌋ + 1`, words.notes.letters(convbench.even(spec)),
        ...(lost.length ? lost : [words.notes.allRead]), words.notes.outputs(spec)];
    }
    function unfoldNotes() {
      const [x, patches] = [bytes(self.x.length), bytes(flatX[0] * flatX[1] * flatX[2])];
      const from = first * spec.r * spec.s;
      return [words.notes.order, groups && words.notes.rowsOf(from, from + spec.taps - 1, flatX[1], self.group(state.k)),
        words.notes.stored(x, patches, Number((patches / x).toPrecision(4)))];
    }
    function multiplyNotes() {
      const wasted = spec.mode === "zeros" ? spec.n * spec.k * spec.cg * (spec.r * spec.s * spec.l -
        inImage(spec, 0) * inImage(spec, 1)) : 0;
      const shape = groups ? [spec.n, spec.groups, spec.kg, spec.l] : [spec.n, spec.k, spec.l];
      return [words.notes.einsum(spec.groups), words.notes.output(times(...shape), spec.groups), words.notes.macs(spec),
        wasted && words.notes.onPadding(wasted)];
    }
    function reshapeNotes() {
      const [row, column] = [0, 1].map((axis) => {
        const line = [state.p, state.q][axis] * spec.stride[axis] - spec.padding[axis];
        return Math.min(Math.max(line, 0), spec.axes[axis].size - 1);
      });
      const often = convbench.overlap(spec, row, column);
      const value = self.pixel(state.n, state.c, row, column);
      return [!groups && words.notes.view, words.notes.fold(
        `x[${state.n},${state.c},${row},${column}]`, text(value), often, text(value * often))];
    }
    const notes = { 1: operandNotes, 2: loopNotes, 3: positionNotes, 4: unfoldNotes, 5: () => [words.notes.view],
      6: multiplyNotes, 7: reshapeNotes, 8: () => [] };

    return {
      text: (step) => steps.texts[step]({ spec }),
      shape: (step) => shapes[step](),
      notes: (step, shown) => notes[step](shown).filter(Boolean),
      live, sumOf,
    };
  }

  Object.assign(convbench, { tell, torchPath });
})();
