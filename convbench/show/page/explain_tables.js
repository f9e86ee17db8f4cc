"use strict";
// How do a screen reader, the keyboard and a printer get the numbers of the stage? As tables, with what is there so far.
convbench.makeTables = ({ state, self }, grids) => {
  const { make } = convbench.dom;
  const { first, reads, xGrid, wGrid, yGrid, matrix, grid, WIDE } = grids;
  const { text } = convbench.dom;

  function flat(known) {
    const { spec } = self;
    return grid({ id: "flat", title: `w_flat o=${state.k}`, rows: { from: 0, to: 1, most: 1 },
      rowName: () => `o=${state.k}`, corner: "(c,kh,kw)", columnName: (j) => self.tap(j).join(","),
      columns: { from: 0, to: spec.taps, first: (state.c - first()) * spec.r * spec.s || 0, most: WIDE().columns },
      at: (_, j) => (j >= known ? { text: "", key: `f:${j}`, role: "zero", label: convbench.words.stage.empty } :
        { text: `(${text(self.w[state.k * spec.taps + j])})`, key: `f:${j}`, role: "kernel" }) });
  }
  function kernel(id) {
    const from = first();
    return reads(state.c) ? wGrid({ id }) : make("p", {}, convbench.words.stage.notRead(state.k, self.group(state.k),
      from, from + self.spec.cg - 1, state.c));
  }
  // The tables of a step; `full` says how much is computed; `prefix` keeps ids apart on paper.
  function of(step, full, prefix = "") {
    const id = (name) => `${prefix}${name}`;
    const image = () => [xGrid({ id: id("x") }), kernel(id("w"))];
    const y = (filled) => yGrid({ id: id("y"), filled });
    return {
      1: () => [...image(), y(0)], 2: () => [...image(), y(full.y)], 3: () => [...image(), y(0)],
      4: () => [...image(), matrix({ id: id("patches"), columns: full.columns })],
      5: () => [...image(), flat(full.wFlat)],
      6: () => [...image(), matrix({ id: id("product"), multiplied: true, outputs: full.yFlat })],
      7: () => [matrix({ id: id("product"), multiplied: true }), y(full.y)], 8: () => [],
    }[step]();
  }
  // x, w and y of the followed output, above a tab.
  const operands = () => [xGrid(), kernel("w"), yGrid()];

  return { of, operands };
};
