"use strict";
// What does each algorithm do with the same numbers, and what does it cost?
convbench.makeWays = ({ state, self, known, change, draw }, grids) => {
  const { make, text, count, bytes, p, quiet, formula, role, button, narrow, range } = convbench.dom;
  const { memo, grid, plain, WIDE, first, reads, yGrid, yPlane, cellTerms, sumOf, matrix, listTable } = grids;
  const EASY = 300000; // products that every way computes without being asked

  // Every way to y[n, k] against the loops.
  function agreement() {
    const { spec } = self;
    if (spec.l * spec.taps > EASY) {
      return p(convbench.words.ways.many(`y[${state.n},${state.k}]`, spec.l * spec.taps));
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
        make("span", { class: "why quiet" }, convbench.words.ways.notHere(reason))));
      const found = bill(spec, options);
      const apart = (work) => (work ? `${count(work.multiplications)} + ${count(work.additions)}` : "0");
      return make("tr", {}, head, ...[count(found.multiplications), count(found.additions),
        apart(found.transforms), apart(found.weights),
        found.memory ? bytes(found.memory) : "0"].map((value) => make("td", { class: "n" }, value)));
    });
    const { title, note } = convbench.ALGORITHMS[state.algorithm];
    const reason = convbench.whyNot(state.algorithm, spec);
    const heavy = spec.l * spec.taps > EASY && !known.has(`${state.algorithm} ${state.n} ${state.k} ${state.m}`);
    const words = convbench.words.ways;
    return [p(words.counted(convbench.LARGEST_TILE)), listTable(words.heads, rows, words.costs),
    make("h3", { id: "way-title" }, title),
    p(reason ? `${words.notHere(reason)}.` : note(spec, options)),
    ...(reason ? [] : heavy ?
      [button(words.compute(`y[${state.n},${state.k}]`, spec.l * spec.taps), () => {
      way(state.algorithm);
      draw();
    })] : [result(), ...VIEWS_OF[state.algorithm]()])];
  }
  function result() {
    const loops = way("loops");
    const worst = convbench.difference(way(state.algorithm), loops);
    const holds = worst <= tolerance(state.algorithm, loops);
    return make("p", { class: holds ? "good" : "wrong", id: "result" },
      `${holds ? "✓" : "✗"} y[${state.n},${state.k}]: ${convbench.words.ways.compared(loops.length)}, max|Δ| ` +
      `${worst ? worst.toExponential(1) : 0}${state.algorithm === "fft" ? convbench.words.ways.rounds : ""}`);
  }
  const VIEWS_OF = {
    loops: () => [make("pre", {},
      `for b, o, oh, ow:               # here ${state.n}, ${state.k}, ${state.p}, ${state.q}\n  y[b,o,oh,ow] = 0\n` +
      `  for c in 0..${self.spec.cg - 1}:\n    for kh in 0..${self.spec.r - 1}:\n      for kw in ` +
        `0..${self.spec.s - 1}:\n` +
      `        y[b,o,oh,ow] += x[b, ${first()}+c, ` +
        `oh*${self.spec.stride[0]}-${self.spec.padding[0]}+kh*${self.spec.dilation[0]}, ` +
      `ow*${self.spec.stride[1]}-${self.spec.padding[1]}+kw*${self.spec.dilation[1]}] * w[o,c,kh,kw]`),
        make("p", { class: "sum" }, ...sumOf(cellTerms(), 25))],
    unfold: () => [matrix({ multiplied: true })],
    implicit() {
      const { spec } = self;
      const terms = cellTerms().slice(0, 16);
      const l = state.n * spec.l + state.p * spec.q + state.q;
      return [formula(`GEMM (i, j) = (${state.k % spec.kg}, ${l})${spec.groups > 1 ?
        `, g = ${self.group(state.k)}` : ""} ↔ o = ${state.k}; b = ⌊j/(H_out·W_out)⌋ = ${state.n}, oh = ⌊j/W_out⌋ mod ` +
        `H_out = ${state.p}, ow = j mod W_out = ${state.q}`),
      p(convbench.words.ways.arithmetic),
      listTable(convbench.words.ways.columnHeads,
        terms.map((term, j) => make("tr", {}, make("td", {}, String(j)),
        [`(${term.channel}, ${term.r}, ${term.s})`, `(${text(term.row)}, ${text(term.column)})`,
          term.outside && spec.mode === "zeros" ? convbench.words.ways.zero :
            count(((state.n * spec.c + term.channel) * spec.h +
            spec.axes[0].source[term.row + spec.padding[0]]) * spec.w +
            spec.axes[1].source[term.column + spec.padding[1]]), text(term.x)].map((value) =>
              make("td", { class: "n" }, value)))), convbench.words.ways.column),
      spec.taps > terms.length ? quiet(`… ${convbench.words.stage.moreRows(spec.taps - terms.length)}.`) : null];
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
          title: `+ (${text(self.weight(state.k, c, r, s))}) · x, (kh,kw) = (${r},${s})`,
          value: (row, column) => now[row * spec.q + column], most: 6 });
      });
      return [p(convbench.words.ways.afterEach(first() + c)),
        make("div", { class: "grids" }, frames),
        spec.r * spec.s > most ? quiet(`… ${spec.r * spec.s - most}`) : null];
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
      return [grid({ id: "toeplitz", title: `T[${state.k}]`,
        note: convbench.words.ways.toeplitz(spec.l, spec.cg * spec.h * spec.w),
        corner: "l", rows: { from: 0, to: spec.l, first: l, last: l, most: WIDE().rows },
        columns: { from: 0, to: spec.cg * spec.h * spec.w, first: start, last: start, most: narrow() ? 7 : 17 },
        at: (i, j) => {
          const value = row(i).get(j);
          const shown = value === undefined ? "·" : text(value);
          return { text: i === l && value !== undefined ? `(${shown})` : shown, role: value === undefined ? "zero" :
            i === l ? "kernel" : "" };
        } }),
      formula(convbench.words.ways.toeplitzRow(l, row(l).size),
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
      const list = make("select", { "aria-label": convbench.words.ways.tileSize },
        make("option", { value: "0" }, convbench.words.ways.usual),
        [2, 3, 4, 5].filter((m) => m + Math.max(spec.r, spec.s) - 1 <= convbench.LARGEST_TILE)
          .map((m) => make("option", { value: m, selected: m === state.m }, `m = ${m}`)));
      list.addEventListener("change", () => change({ m: Number(list.value) }));
      const points = (axis) => [...axis.points.map(fraction), "∞"].join(", ");
      return [make("label", { class: "inline ways" }, convbench.words.ways.tile, " ", list),
        p(convbench.words.ways.points(points(v), v.t === h.t ? null : points(h))),
        make("div", { class: "grids" }, plain("G", show(v.g)), plain("Bᵀ", show(v.bt)), plain("Aᵀ", show(v.at))),
        v.t === h.t && v.m === h.m ? null : make("div", { class: "grids" }, plain("G →", show(h.g)), plain("Bᵀ →", show(h.bt)),
          plain("Aᵀ →", show(h.at))),
        p(convbench.words.ways.tileAt(`(${i},${j})`, `${plan.rows}×${plan.columns}`, first())),
        make("div", { class: "grids" }, plain("D", numbers(tile.data)), plain("U = G·w·Gᵀ", numbers(tile.u)),
          plain("V = Bᵀ·D·B", numbers(tile.v, tile.common)), plain("M = Σc U∘V", numbers(tile.sum, tile.common)),
            plain("Aᵀ·M·A", numbers(tile.outputs)))];
    },
    fft() {
      const { spec } = self;
      const full = memo(`circular ${state.n} ${state.k}`, () => convbench.circular(self, state.n, state.k));
      const [rows, columns] = spec.axes.map((axis) => axis.room + 1);
      const size = convbench.transformSize(spec);
      const wrapped = (line, axis) => line > size[axis] - spec.axes[axis].extent;
      const span = (axis, position) => ({ from: 0, to: size[axis], first: position * spec.stride[axis],
        last: position * spec.stride[axis], most: WIDE().y });
      return [grid({ id: "circular", title: convbench.words.ways.circular(size.join("×")),
        note: convbench.words.ways.wrapped,
        rows: span(0, state.p), columns: span(1, state.q),
        at: (row, column) => {
          const value = text(Math.round(full[row * size[1] + column]));
          if (wrapped(row, 0) || wrapped(column, 1)) return { text: `~${value}~`, role: "wrap" };
          const here = row === state.p * spec.stride[0] && column === state.q * spec.stride[1];
          const kept = row < rows && column < columns && row % spec.stride[0] === 0 &&
            column % spec.stride[1] === 0;
          return { text: here ? `<${value}>` : value, role: here ? "output" : kept ? "" : "zero" };
        } }),
      quiet(convbench.words.ways.corner(`${rows}×${columns}`, spec.stride.some((value) => value > 1)))];
    },
  };

  return { algorithms: algorithmsPanel, agreement, agrees };
};
