"use strict";
// What does each algorithm do with the same numbers, and what does it cost?
convbench.makeWays = ({ state, self, known, change, draw }, grids) => {
  const { make, text, count, bytes, plural, p, quiet, formula, role, button, narrow, range } = convbench.dom;
  const { memo, grid, plain, WIDE, first, reads, yGrid, yPlane, cellTerms, sumOf, matrix, listTable } = grids;
  const EASY = 300000; // products that every way computes without being asked

  // Every way to y[n, k] against the loops.
  function agreement() {
    const { spec } = self;
    if (spec.l * spec.taps > EASY) {
      return p(`y[${state.n},${state.k}] has ${count(spec.l * spec.taps)} products; under Algorithms each way ` +
        `computes it when asked.`);
    }
    const loops = way("loops");
    const rows = Object.entries(convbench.ALGORITHMS).filter(([name]) =>
      !convbench.whyNot(name, spec)).map(([name, { title }]) => {
      const worst = convbench.difference(way(name), loops);
      return [title, worst, worst <= tolerance(name, loops)];
    });
    return make("p", { class: rows.every(([, , holds]) => holds) ? "good" : "wrong", id: "agreement" },
      rows.map(([title, worst, holds]) =>
        `${holds ? "✓" : "✗"} ${title} (max|Δ| ${worst ? worst.toExponential(0) : 0})`).join("   "));
  }
  // Sums of whole numbers are exact, but for the FFT: its roots of unity are no whole numbers.
  function tolerance(name, loops) {
    const exact = name !== "fft" && self.x.every(Number.isInteger) && self.w.every(Number.isInteger);
    return exact ? 0 : 1e-9 * loops.reduce((most, one) => Math.max(most, Math.abs(one)), 1);
  }
  // The filters' outputs by the loops against those that are drawn, and against unfold and multiply; null where it
  // would take long.
  function agrees(filters) {
    const { spec } = self;
    if (spec.l * spec.taps * filters.length > EASY) return null;
    return memo(`agrees ${state.n} ${filters}`, () => {
      const found = filters.flatMap((k) => {
        const loops = convbench.ALGORITHMS.loops.run(self, state.n, k);
        return [yPlane(k), convbench.ALGORITHMS.unfold.run(self, state.n, k)].map((other) => {
          const worst = convbench.difference(other, loops);
          return { worst, holds: worst <= tolerance("loops", loops) };
        });
      });
      return { outputs: filters.length * spec.l, worst: Math.max(...found.map((one) => one.worst)),
        holds: found.every((one) => one.holds) };
    });
  }
  function way(name) {
    return memo(`${name} ${state.n} ${state.k} ${state.m}`, () =>
      convbench.ALGORITHMS[name].run(self, state.n, state.k, { m: state.m || undefined }));
  }

  function algorithmsPanel() {
    const { spec } = self;
    const options = { m: state.m || undefined };
    const names = Object.keys(convbench.ALGORITHMS);
    const rows = names.map((name) => {
      const { title, count: bill } = convbench.ALGORITHMS[name];
      const reason = convbench.whyNot(name, spec);
      const head = make("th", { scope: "row" }, button(title, () => change({ algorithm: name }),
        { "aria-pressed": String(state.algorithm === name) }));
      if (reason) return make("tr", {}, head, make("td", { colspan: 5 },
        make("span", { class: "why quiet" }, `not here: ${reason}`)));
      const found = bill(spec, options);
      const apart = (work) => (work ? `${count(work.multiplications)} + ${count(work.additions)}` : "0");
      return make("tr", {}, head, ...[count(found.multiplications), count(found.additions),
        apart(found.transforms), apart(found.weights),
        found.memory ? bytes(found.memory) : "0"].map((value) => make("td", { class: "n" }, value)));
    });
    const { title, note } = convbench.ALGORITHMS[state.algorithm];
    const reason = convbench.whyNot(state.algorithm, spec);
    const heavy = spec.l * spec.taps > EASY && !known.has(`${state.algorithm} ${state.n} ${state.k} ${state.m}`);
    return [p("The same numbers, by every way. Counted for the whole problem as on the terminal: multiplications " +
      "and additions that join x with w; apart from them (multiplications + additions) the transforms of x and y, " +
      "for each image, and of w, once; memory beside x, w and y in fp32. Winograd's tiles have up to " +
      `${convbench.LARGEST_TILE} points an axis here, on the terminal more.`),
    listTable(["way", "multiplications", "additions", "transforms", "of w", "memory"], rows,
      "What each algorithm costs"),
    make("h3", { id: "way-title" }, title),
    reason ? p(`Not here: ${reason}.`) : p(note(spec, options)),
    ...(reason ? [] : heavy ?
      [button(`Compute y[${state.n},${state.k}] this way (${count(spec.l * spec.taps)} products)`, () => {
      way(state.algorithm);
      draw();
    })] : [result(), ...VIEWS_OF[state.algorithm]()])];
  }
  function result() {
    const loops = way("loops");
    const worst = convbench.difference(way(state.algorithm), loops);
    const holds = worst <= tolerance(state.algorithm, loops);
    return make("p", { class: holds ? "good" : "wrong", id: "result" },
      `${holds ? "✓" : "✗"} y[${state.n},${state.k}]: ${plural(loops.length, "number")} ` +
      `compared with the loops, max|Δ| ${worst ? worst.toExponential(1) : 0}` +
      `${state.algorithm === "fft" ? " (its roots of unity are not whole numbers, so it rounds)" : ""}`);
  }
  const VIEWS_OF = {
    loops: () => [make("pre", {},
      `for n, k, p, q:                 # here ${state.n}, ${state.k}, ${state.p}, ${state.q}\n  y[n,k,p,q] = 0\n` +
      `  for c in 0..${self.spec.cg - 1}:\n    for r in 0..${self.spec.r - 1}:\n      for s in ` +
        `0..${self.spec.s - 1}:\n` +
      `        y[n,k,p,q] += x[n, ${first()}+c, ` +
        `p*${self.spec.stride[0]}-${self.spec.padding[0]}+r*${self.spec.dilation[0]}, ` +
      `q*${self.spec.stride[1]}-${self.spec.padding[1]}+s*${self.spec.dilation[1]}] * w[k,c,r,s]`),
        make("p", { class: "sum" }, ...sumOf(cellTerms(), 25))],
    unfold: () => [matrix({ multiplied: true })],
    implicit() {
      const { spec } = self;
      const terms = cellTerms().slice(0, 16);
      const l = state.n * spec.l + state.p * spec.q + state.q;
      return [formula(`GEMM (i, j) = (${state.k % spec.kg}, ` +
        `${l})${spec.groups > 1 ? ` of group ${self.group(state.k)}` : ""} ↔ k = ${state.k}; ` +
        `n = ⌊j/(P·Q)⌋ = ${state.n}, p = ⌊j/Q⌋ mod P = ${state.p}, q = j mod Q = ${state.q}`),
      p("Row κ of column j is found by arithmetic alone; nothing of the matrix is stored:"),
      listTable(["κ", "(c, r, s)", "(row, column)", "address in x", "value"],
        terms.map((term, j) => make("tr", {}, make("td", {}, String(j)),
        [`(${term.channel}, ${term.r}, ${term.s})`, `(${text(term.row)}, ${text(term.column)})`,
          term.outside && spec.mode === "zeros" ? "none: a zero" :
            count(((state.n * spec.c + term.channel) * spec.h +
            spec.axes[0].source[term.row + spec.padding[0]]) * spec.w +
            spec.axes[1].source[term.column + spec.padding[1]]), text(term.x)].map((value) =>
              make("td", { class: "n" }, value)))), "One column of the implicit matrix"),
      spec.taps > terms.length ? quiet(`… ${plural(spec.taps - terms.length, "more row")}.`) : null];
    },
    shift() {
      const { spec } = self;
      const c = reads(state.c) ? state.c - first() : 0;
      const most = Math.min(spec.r * spec.s, 9);
      const sum = new Float64Array(spec.l);
      const frames = range([0, most]).map((tap) => {
        const [, r, s] = self.tap(c * spec.r * spec.s + tap);
        for (let l = 0; l < spec.l; l++) sum[l] += self.weight(state.k, c, r, s) * self.patch(state.n,
          (first() + c) * spec.r * spec.s + tap, l);
        const now = sum.slice();
        return yGrid({ id: `shift-${tap}`,
          title: `+ (${text(self.weight(state.k, c, r, s))}) · x shifted to (r,s) = (${r},${s})`,
          value: (row, column) => now[row * spec.q + column], most: 6 });
      });
      return [p(`y after each tap of channel ${first() + c}${spec.cg > 1 ? ", from zero" : ""}:`),
        make("div", { class: "grids" }, frames),
        spec.r * spec.s > most ? quiet(`… ${plural(spec.r * spec.s - most, "more tap")}.`) : null];
    },
    toeplitz() {
      const { spec } = self;
      const l = state.p * spec.q + state.q;
      const rows = new Map();
      const row = (i) => {
        if (!rows.has(i)) rows.set(i, convbench.toeplitzRow(self, state.k, i));
        return rows.get(i);
      };
      const pixels = [...row(l).keys()];
      const start = pixels.length ? Math.min(...pixels) : 0;
      return [grid({ id: "toeplitz", title: `T of filter ${state.k}`,
        note: `${spec.l}×${spec.cg * spec.h * spec.w}; rows are outputs l, columns pixels of x`,
        corner: "l \\ pixel", rows: { from: 0, to: spec.l, first: l, last: l, most: WIDE().rows },
        columns: { from: 0, to: spec.cg * spec.h * spec.w, first: start, last: start, most: narrow() ? 7 : 17 },
        at: (i, j) => {
          const value = row(i).get(j);
          const shown = value === undefined ? "·" : text(value);
          return { text: i === l && value !== undefined ? `(${shown})` : shown, role: value === undefined ? "zero" :
            i === l ? "kernel" : "" };
        } }),
      formula(`row l = ${l}: ${count(row(l).size)} not zero, times x as one vector = `,
        role("output", text(yPlane()[l])))];
    },
    winograd() {
      const { spec } = self;
      const plan = convbench.winogradPlan(spec, state.m || undefined);
      const [v, h] = plan.axes;
      const [i, j] = [Math.floor(state.p / v.m), Math.floor(state.q / h.m)];
      const tile = convbench.winogradTile(self, state.n, state.k, plan, i, j);
      const fraction = ([top, bottom]) => text(Number(top)) + (bottom === 1n ? "" : `/${bottom}`);
      const show = (rows) => rows.map((row) => row.map(fraction));
      const numbers = (rows, over = 1) => rows.map((row) => row.map((value) => text(value / over)));
      const list = make("select", { "aria-label": "outputs of a tile" }, make("option", { value: "0" }, "the usual"),
        [2, 3, 4, 5].filter((m) => m + Math.max(spec.r, spec.s) - 1 <= convbench.LARGEST_TILE)
          .map((m) => make("option", { value: m, selected: m === state.m }, `m = ${m}`)));
      list.addEventListener("change", () => change({ m: Number(list.value) }));
      const points = (axis) => [...axis.points.map(fraction), "∞"].join(", ");
      return [make("label", { class: "inline ways" }, "Tile ", list),
        p(`Interpolation points ${points(v)}${v.t === h.t ? "" : ` for rows, ${points(h)} for columns`}; exact ` +
          `rationals.`),
        make("div", { class: "grids" }, plain("G", show(v.g)), plain("Bᵀ", show(v.bt)), plain("Aᵀ", show(v.at))),
        v.t === h.t && v.m === h.m ? null : make("div", { class: "grids" }, plain("G, columns", show(h.g)),
          plain("Bᵀ, columns", show(h.bt)), plain("Aᵀ, columns", show(h.at))),
        p(`Tile (${i},${j}) of ${plan.rows}×${plan.columns}, channel ${first()}:`),
        make("div", { class: "grids" }, plain("D, the data", numbers(tile.data)), plain("U = G·w·Gᵀ", numbers(tile.u)),
          plain("V = Bᵀ·D·B", numbers(tile.v, tile.common)), plain("M = Σc U∘V", numbers(tile.sum, tile.common)),
            plain("Aᵀ·M·A, the outputs", numbers(tile.outputs)))];
    },
    fft() {
      const { spec } = self;
      const full = memo(`circular ${state.n} ${state.k}`, () => convbench.circular(self, state.n, state.k));
      const [rows, columns] = spec.axes.map((axis) => axis.room + 1);
      const size = convbench.transformSize(spec);
      const wrapped = (line, axis) => line > size[axis] - spec.axes[axis].extent;
      const span = (axis, position) => ({ from: 0, to: size[axis], first: position * spec.stride[axis],
        last: position * spec.stride[axis], most: WIDE().y });
      return [grid({ id: "circular", title: `the ${size.join("×")} circular values`,
        note: "~crossed out~ where the kernel wrapped round the border",
        rows: span(0, state.p), columns: span(1, state.q),
        at: (row, column) => {
          const value = text(Math.round(full[row * size[1] + column]));
          if (wrapped(row, 0) || wrapped(column, 1)) return { text: `~${value}~`, role: "wrap" };
          const here = row === state.p * spec.stride[0] && column === state.q * spec.stride[1];
          const kept = row < rows && column < columns && row % spec.stride[0] === 0 &&
            column % spec.stride[1] === 0;
          return { text: here ? `<${value}>` : value, role: here ? "output" : kept ? "" : "zero" };
        } }),
      quiet(`Shown rounded to whole numbers; the valid corner is ${rows}×${columns}` +
        `${spec.stride.some((value) => value > 1) ? ", and the stride keeps what stands on a filled ground" : ""}.`)];
    },
  };

  return { algorithms: algorithmsPanel, agreement, agrees };
};
