"use strict";
// How do the numbers stand in grids? Roles as colour and brackets, one stop for Tab, a window where there are many.
convbench.makeGrids = ({ state, self, known, pans, roving }) => {
  const { make, text, role, narrow, windowOf, range } = convbench.dom;
  const { totalOf } = convbench;
  const words = () => convbench.words;

  function memo(name, way) {
    if (!known.has(name)) {
      if (known.size > 60) known.delete(known.keys().next().value);
      known.set(name, way());
    }
    return known.get(name);
  }

  // Grids. A cell says what it is by its key: x:c,row,column w:c,r,s y:p,q m:row,l f:row l:l.

  // rows and columns: {from, to, first, last, most}, all lines and those that must be seen.
  function grid({ id, title, note, rows, columns, at, rowName = text, columnName = text, foot, corner = "", lead }) {
    const [seenRows, seenColumns] = [rows, columns].map((lines, axis) => {
      const pan = pans[id]?.[axis];
      return range(windowOf(lines.from, lines.to, pan ?? lines.first ?? lines.from, pan ?? lines.last ?? lines.first ??
        lines.from,
        lines.most));
    });
    const cut = [["moreRows", rows, seenRows], ["moreColumns", columns, seenColumns]]
      .filter(([, lines, seen]) => seen.length < lines.to - lines.from)
      .map(([noun, lines, seen]) => `… ${words().stage[noun](lines.to - lines.from - seen.length)}`);
    const cells = (i) => seenColumns.map((j) => {
      const cell = at(i, j);
      const td = make("td", { class: cell.role, role: cell.key ? "gridcell" : null, "data-key": cell.key, "data-i": i,
        "data-j": j, tabindex: cell.key ? "-1" : null, "aria-label": cell.label }, cell.text);
      return td;
    });
    const keyed = seenRows.length && seenColumns.length && at(seenRows[0], seenColumns[0]).key;
    const table = make("table", { role: keyed ? "grid" : null, "aria-label": title, id: `grid-${id}` },
      make("thead", {}, make("tr", {}, make("td", { class: "zero" }, corner), lead &&
        make("th", { scope: "col" }, lead.name),
        seenColumns.map((j) => make("th", { scope: "col" }, columnName(j))))),
      make("tbody", {}, seenRows.map((i) => make("tr", {}, make("th", { scope: "row" }, rowName(i)),
        lead && lead.cell(i), cells(i)))),
      foot && make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, foot.name), lead &&
        make("td", { class: "zero" }, ""),
        seenColumns.map((j) => {
          const cell = foot.cell(j);
          return make("td", { class: cell.role, "data-key": cell.key, tabindex: cell.key ? "-1" : null,
            role: cell.key ? "gridcell" : null, "data-i": "foot", "data-j": j }, cell.text);
        }))));
    if (keyed) {
      table.dataset.grid = id;
      table.dataset.limits = JSON.stringify([rows.from, rows.to, columns.from, columns.to]);
      const all = Array.from(table.querySelectorAll("td[data-key]"));
      const wanted = all.find((td) => `${td.dataset.i},${td.dataset.j}` === roving[id]) ??
        all.find((td) => td.classList.contains("output") || td.classList.contains("patch")) ?? all[0];
      if (wanted) wanted.tabIndex = 0;
    }
    return make("figure", { class: "grid" }, make("figcaption", {}, title, note &&
      make("span", { class: "quiet" }, ` ${note}`),
      cut.length > 0 && make("span", { class: "quiet" }, ` ${cut.join(", ")}`)),
        make("div", { class: "scroll" }, table));
  }
  // A small table of numbers that is linked to nothing.
  function plain(title, rows, note) {
    return grid({ id: `plain-${title}`, title, note, rows: { from: 0, to: rows.length, most: 12 },
      columns: { from: 0, to: rows[0].length, most: narrow() ? 7 : 12 }, at: (i, j) => ({ text: rows[i][j] }) });
  }

  // Sizes of windows.
  const WIDE = () => {
    if (narrow()) return { x: 8, w: 7, y: 8, rows: 10, columns: 6 };
    const roomy = self.spec.wp + self.spec.s + self.spec.q <= 20; // x, w and y side by side
    return { x: roomy ? 13 : 9, w: 11, y: roomy ? 10 : 6, rows: 16, columns: 14 };
  };

  const first = () => self.group(state.k) * self.spec.cg; // the first channel that the filter reads
  const reads = (c) => c >= first() && c < first() + self.spec.cg;
  const lineSpan = (axis) => {
    const position = axis === 0 ? state.p : state.q;
    const start = position * self.spec.stride[axis] - self.spec.padding[axis];
    return [start, start + self.spec.axes[axis].extent - 1];
  };
  const inPatch = (row, column) => [row, column].every((line, axis) => {
    const [from, to] = lineSpan(axis);
    return line >= from && line <= to && (line - from) % self.spec.dilation[axis] === 0;
  });

  function xGrid({ id = "x", n = state.n, c = state.c, title, value, most, mark = true } = {}) {
    const { spec } = self;
    const [rows, columns] = [0, 1].map((axis) => {
      const [from, to] = lineSpan(axis);
      const size = [spec.h, spec.w][axis];
      return { from: value ? 0 : -spec.padding[axis], to: size + (value ? 0 : spec.end[axis]), first: from,
        last: to,
        most: most ?? WIDE().x };
    });
    return grid({ id, title: title ?? `x[${n},${c}]`, note: spec.c > 1 && !title ?
      words().stage.channelOf(c, spec.c) : null, rows, columns,
      at: (row, column) => {
        const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
        const number = value ? value(row, column) : self.padded(n, c, row + spec.padding[0], column + spec.padding[1]);
        const marked = mark && reads(c) && inPatch(row, column);
        const unread = !outside && (spec.axes[0].unread.includes(row) || spec.axes[1].unread.includes(column));
        const shown = outside && spec.mode === "zeros" ? "·0" : outside ? `·${text(number)}` : text(number);
        return { text: marked ? `[${shown}]` : shown, key: `x:${c},${row},${column}`,
          role: [marked && "patch", outside && (spec.mode === "zeros" ? "pad" : "copy"), unread &&
            "unread"].filter(Boolean).join(" "),
          label: [text(number), marked && words().stage.inPatch, outside && words().stage.padding, unread &&
            words().stage.unread].filter(Boolean).join(", ") };
      } });
  }
  function wGrid({ id = "w", k = state.k, c = state.c - first(), title, value, most } = {}) {
    const { spec } = self;
    return grid({ id, title: title ?? `w[${k},${c}]`, note: spec.k > 1 && !title ?
      words().stage.filterOf(k, spec.k) : null,
      rows: { from: 0, to: spec.r, most: most ?? WIDE().w }, columns: { from: 0, to: spec.s, most: most ?? WIDE().w },
      at: (r, s) => {
        const number = text(value ? value(r, s) : self.weight(k, c, r, s));
        return { text: `(${number})`, key: `w:${c},${r},${s}`, role: "kernel", label: `${number}, ${words().stage.weight}` };
      } });
  }
  const yPlane = (k = state.k, n = state.n) => memo(`y ${n} ${k}`, () => convbench.ALGORITHMS.shift.run(self, n, k));
  // Only the first `known` outputs are there; the others are empty.
  function yGrid({ id = "y", k = state.k, title, value, most, keyed = true, filled = Infinity } = {}) {
    const { spec } = self;
    const plane = value ? null : yPlane(k);
    const span = (axis) => ({ from: 0, to: [spec.p, spec.q][axis], first: [state.p, state.q][axis],
      last: [state.p, state.q][axis], most: most ?? WIDE().y });
    return grid({ id, title: title ?? `y[${state.n},${k}]`, note: title ? null : `${spec.p}×${spec.q}`, rows: span(0),
      columns: span(1),
      at: (row, column) => {
        const key = keyed ? `y:${row},${column}` : undefined;
        if (row * spec.q + column >= filled) return { text: "", key, role: "zero", label: words().stage.empty };
        const number = text(value ? value(row, column) : plane[row * spec.q + column]);
        const here = row === state.p && column === state.q;
        return { text: here ? `<${number}>` : number, key, role: here ? "output" : "",
          label: `${number}${here ? `, ${words().stage.followed}` : ""}` };
      } });
  }

  const cellTerms = () => convbench.terms(self, state);
  function products(terms, most) {
    const shown = terms.length <= most ? terms : terms.filter((term) => !term.outside).slice(0, most);
    const parts = shown.flatMap((term, i) => [i ? " + " : "",
      role("patch", text(term.x)),
      role("kernel", text(term.w))]);
    return shown.length < terms.length ? [...parts, ` + ${words().steps.moreTerms(terms.length - shown.length)}`] : parts;
  }
  const sumOf = (terms, most) => [...products(terms, most), " = ", role("output", text(totalOf(terms)))];

  // The patch matrix of the cell's image and group; with w_flat on its left and y below it when multiplied.
  function matrix({ multiplied = false, id = multiplied ? "product" : "patches", columns = Infinity, outputs = Infinity } = {}) {
    const { spec } = self;
    const l = state.p * spec.q + state.q;
    const start = reads(state.c) ? (state.c - first()) * spec.r * spec.s : 0;
    const plane = multiplied ? yPlane() : null;
    return grid({ id, title: words().stage.patchesOf(state.n), corner: "(c,kh,kw)",
      rows: { from: 0, to: spec.taps, first: start, last: start + spec.r * spec.s - 1, most: WIDE().rows },
      columns: { from: 0, to: spec.l, first: l, last: l, most: WIDE().columns },
      rowName: (j) => `(${[first() + self.tap(j)[0], ...self.tap(j).slice(1)].join(",")})`,
      columnName: (j) => (j === l ? `[${j}]` : `${j}`),
      lead: multiplied ? { name: "w_flat", cell: (j) => make("td",
        { class: "kernel", "data-key": `f:${j}`, role: "gridcell", tabindex: "-1",
        "data-i": j, "data-j": "lead" }, `(${text(self.w[state.k * spec.taps + j])})`) } : null,
      at: (j, column) => {
        const [, r, s] = self.tap(j);
        const place = self.place(r, s, ...self.position(column));
        const outside = place[0] < 0 || place[0] >= spec.h || place[1] < 0 || place[1] >= spec.w;
        const key = `m:${j},${column}`;
        if (column >= columns) return { text: "", key, role: "zero", label: words().stage.empty };
        const number = text(self.patch(state.n, first() * spec.r * spec.s + j, column));
        const shown = outside ? `·${number}` : number;
        return { text: column === l ? `[${shown}]` : shown, key,
          role: `${column === l ? "patch" : ""} ${outside ? "pad" : ""}`.trim(),
          label: `${number}${column === l ? `, ${words().stage.inPatch}` : ""}` +
            `${outside ? `, ${words().stage.padding}` : ""}` };
      },
      foot: multiplied ? { name: `y o=${state.k}`, cell: (column) => (column >= outputs ?
        { text: "", key: `l:${column}`, role: "zero" } :
        { text: column === l ? `<${text(plane[column])}>` : text(plane[column]), key: `l:${column}`,
          role: column === l ? "output" : "" }) } : null });
  }

  function listTable(heads, rows, label, texts = 1) {
    const reached = { class: "scroll", tabindex: "0", role: "group", "aria-label": label };
    return make("div", reached, make("table", { class: "counts", "aria-label": label },
      make("thead", {}, make("tr", {}, heads.map((head, i) =>
        make("th", { scope: "col", class: i >= texts ? "n" : null }, head)))),
      make("tbody", {}, rows)));
  }

  return { memo, grid, plain, WIDE, first, reads, lineSpan, xGrid, wGrid, yPlane, yGrid, cellTerms, products, sumOf,
    matrix, listTable };
};
