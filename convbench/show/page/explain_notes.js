"use strict";
// What more is there to know of a step: its notes, which lines each position reads, what if, and the proof?
convbench.makeNotes = (page, grids, { agreement }, ran) => {
  const { state, self, data, change } = page;
  const { make, count, p, button, narrow } = convbench.dom;
  const { grid, lineSpan, listTable } = grids;
  const { trace } = data;

  // For each position the rows or columns that it reads, and how often each is read.
  function rulers() {
    const words = convbench.words.notes;
    return self.spec.axes.map((axis, i) => {
      const letter = ["oh", "ow"][i];
      const position = [state.p, state.q][i];
      const [from, to] = lineSpan(i);
      const outside = (line) => line < 0 || line >= axis.size;
      return grid({ id: `ruler-${i}`, title: words.rulers[i], note: words.ruler,
        rows: { from: 0, to: axis.positions, first: position, last: position, most: 10 },
        columns: { from: -axis.padding, to: axis.size + axis.end, first: from, last: to, most: narrow() ? 9 : 14 },
        rowName: (one) => `${letter}=${one}`,
        at: (one, line) => {
          const offset = line - (one * axis.stride - axis.padding);
          const read = offset >= 0 && offset < axis.extent && offset % axis.dilation === 0;
          return { text: read ? "●" : outside(line) ? "·" : "", role: read && one === position ? "patch" : "zero" };
        },
        foot: { name: words.readRow, cell: (line) => (outside(line) ? { text: "", role: "zero" } :
          { text: axis.readers[line] ? `${axis.readers[line]}×` : words.never, role: axis.readers[line] ? "" :
            "unread" }) } });
    });
  }
  // Buttons for another stride, dilation or padding, where it still has an output.
  function whatIf() {
    const variants = [["stride", 1, 2], ["dilation", 1, 2], ["padding", 0, 1]].map(([name, usual, other]) => {
      const value = self.spec[name].every((one) => one === usual) ? other : usual;
      const changed = { ...convbench.parse(state.shape), mode: state.mode, [name]: [value, value] };
      if (name === "padding") changed.end = changed.padding;
      if (convbench.complaint(changed)) return null;
      const { p: rows, q: columns } = convbench.derive(changed);
      return button(`${convbench.words.choose[name]} ${value}: ${rows}×${columns}`,
        () => change({ shape: convbench.text(changed) }));
    });
    return make("p", { class: "ways" }, convbench.words.choose.whatIf, variants);
  }
  function proofTables() {
    const words = convbench.words.proof;
    if (!page.isTraced()) return [p(words.not(trace.spec, data.seed)), agreement()];
    const rows = trace.proof.map((one) => make("tr", {}, make("td", { class: one.holds ? "good" : "wrong" },
      one.holds ? "✓" : "✗"), make("td", {}, one.name, make("small", {}, one.against)),
    make("td", { class: "n" }, count(one.compared)), make("td", { class: "n" }, String(one.worst))));
    return [p(words.by), listTable(words.heads, rows, words.table, 2), agreement()];
  }
  function of(step, story, slice) {
    const lines = story.notes(step, slice).map((line) => p(line));
    if (step === 8) return ran.claims();
    if (step === 3) return [whatIf(), ...lines, make("div", { class: "grids" }, rulers())];
    return step === 7 ? [...lines, make("h3", {}, convbench.words.proof.title), ...proofTables()] : lines;
  }

  return { of };
};
