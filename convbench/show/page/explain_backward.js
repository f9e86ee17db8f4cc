"use strict";
// What are the gradients of the same convolution: dX, dW, and the overlaps of fold?
convbench.makeBackward = ({ state, self, change }, grids) => {
  const { make, text, p, formula, narrow, range } = convbench.dom;
  const { memo, first, reads, lineSpan, xGrid, wGrid, yGrid } = grids;

  function chooseGradient() {
    const words = convbench.words.backward;
    const list = make("select", { "aria-label": words.gradient },
      make("option", { value: "terminal", selected: state.g === "terminal" },
        convbench.takesOnes(self.spec) ? words.terminalOnes : words.terminal),
      make("option", { value: "ones", selected: state.g === "ones" }, words.ones));
    list.addEventListener("change", () => change({ g: list.value }));
    return make("label", { class: "inline ways" }, words.label, " ", list);
  }
  // What dX of a pixel adds up: [gradient, weight] for each output and filter that read it.
  function partsOf(row, column) {
    const { spec } = self;
    const group = Math.floor(state.c / spec.cg);
    return convbench.readersOf(self, row, column).flatMap((one) =>
      range([group * spec.kg, (group + 1) * spec.kg]).map((k) => [self.gradient(state.g, state.n, k, one.p, one.q),
        self.weight(k, state.c - group * spec.cg, one.r, one.s)]));
  }
  function backwardPanel() {
    const { spec } = self;
    const words = convbench.words.backward;
    const dx = memo(`dx ${state.n} ${state.c} ${state.g}`, () =>
      convbench.inputGradient(self, state.n, state.c, state.g));
    const dw = memo(`dw ${state.k} ${state.g}`, () => convbench.filterGradient(self, state.k, state.g));
    const most = narrow() ? 7 : 8;
    const value = (row, column) => dx[row * spec.w + column];
    const [row, column] = [0, 1].map((axis) => Math.min(Math.max(lineSpan(axis)[0], 0), [spec.h, spec.w][axis] - 1));
    const sum = partsOf(row, column);
    const terms = sum.slice(0, 12).map(([a, b]) => `${text(a)}·(${text(b)})`).join(" + ") || words.none;
    const c = reads(state.c) ? state.c - first() : 0;
    const pixel = self.pixel(state.n, state.c, row, column);
    const often = convbench.overlap(spec, row, column);
    return [chooseGradient(), p(words.idea), make("div", { class: "grids" },
      yGrid({ id: "g", title: `dY[${state.n},${state.k}]`, most, value: (i, j) => self.gradient(state.g, state.n, state.k,
        i, j) }),
      xGrid({ id: "dx", title: `dX[${state.n},${state.c}]`, value, most }),
      wGrid({ id: "dw", c, title: `dW[${state.k},${c}]`, value: (r, s) => dw[(c * spec.r + r) * spec.s + s] }),
      xGrid({ id: "overlap", title: words.overlaps, value: (i, j) => convbench.overlap(spec, i, j), most })),
    formula(`dX = fold(w_flatᵀ · dY): dX[${state.n},${state.c},${row},${column}] = ${terms}` +
      `${sum.length > 12 ? " + …" : ""} = ${text(value(row, column))}`),
    formula(words.weights(`dW[${state.k},${c},0,0]`, text(dw[c * spec.r * spec.s]))),
    p(words.fold(`x[${state.n},${state.c},${row},${column}]`, text(pixel), text(pixel * often), often))];
  }

  return { backward: backwardPanel };
};
