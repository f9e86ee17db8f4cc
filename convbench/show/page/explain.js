"use strict";
// The page of explain: one state, drawn anew when it changes; links between cells are drawn without it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const VIEWS = [["1", "1 Operands"], ["2", "2 One cell"], ["3", "3 Positions"], ["4", "4 Unfold"], ["5", "5 Flatten w"],
    ["6", "6 Multiply"], ["7", "7 Reshape + proof"], ["algorithms", "Algorithms"], ["backward", "Backward"], ["quiz", "Quiz"]];
  const STEPS = 7;
  const EASY = 300000; // products that every way computes without being asked
  const { trace } = data;
  const START = { shape: trace.spec, mode: "zeros", seed: data.seed, ...trace.cell, c: trace.terms[0][0], view: "1", algorithm: "loops",
    m: 0, g: "ones", theme: "auto", asked: 0 };
  let state = { ...START };
  let self = null; // the problem that is shown, with its numbers
  const known = new Map(); // planes of it that were computed
  const pans = {}; // where a grid was moved to
  const roving = {}; // the cell of each grid that Tab reaches
  let hovered = null;
  let held = null;
  let score = { right: 0, of: 0 };

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }
  const text = (value) => (Object.is(value, -0) ? "0" : String(Number.isInteger(value) ? value : Number(value.toPrecision(7))))
    .replace("-", "−");
  const signed = (values) => values.map((value, i) => (i === 0 ? text(value) : `${value < 0 ? "−" : "+"} ${text(Math.abs(value))}`)).join(" ");
  const count = (value) => value.toLocaleString("en-US");
  const bytes = (value) => (value < 10000 ? `${count(value)} B` :
    value < 1e7 ? `${(value / 1000).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`);
  const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
  const p = (...children) => make("p", {}, ...children);
  const quiet = (...children) => make("p", { class: "quiet" }, ...children);
  const formula = (...children) => make("p", { class: "formula" }, ...children);
  const role = (name, value) => make("span", { class: name }, { patch: `[${value}]`, kernel: `(${value})`,
    output: `<${value}>` }[name]);
  const button = (label, act, attributes = {}) => {
    const element = make("button", { type: "button", ...attributes }, label);
    element.addEventListener("click", act);
    return element;
  };
  function memo(name, way) {
    if (!known.has(name)) {
      if (known.size > 60) known.delete(known.keys().next().value);
      known.set(name, way());
    }
    return known.get(name);
  }
  const narrow = () => window.innerWidth < 700;

  // Settings.

  function tooLarge(spec) {
    if (Math.max(...convbench.SIZES.map((letter) => spec[letter]), ...spec.padding) > 4096) {
      return "A size or a padding above 4,096 is more than this page shows; try a smaller one.";
    }
    const one = convbench.derive(spec);
    const numbers = one.n * one.c * one.hp * one.wp + one.k * one.taps + one.n * one.k * one.l;
    if (one.l * one.taps > data.limits.products) {
      return `One filter's output would take ${count(one.l * one.taps)} products; this page answers at once up to ` +
        `${count(data.limits.products)}. Try a smaller h, w or c.`;
    }
    if (numbers > data.limits.numbers) {
      return `Padded x, w and y would hold ${count(numbers)} numbers; this page shows up to ${count(data.limits.numbers)}. ` +
        "Try a smaller n, c, k, h or w.";
    }
    return null;
  }
  // The change as a whole, or a sentence that says why not.
  function change(parts) {
    const next = { ...state, ...parts };
    try {
      const spec = { ...convbench.parse(next.shape), mode: next.mode, seed: next.seed };
      if (!convbench.MODES.includes(next.mode)) throw new Error(`Padding ${next.mode}: choose among ${convbench.MODES.join(", ")}.`);
      if (!(Number.isInteger(next.seed) && next.seed >= 0 && next.seed < 2 ** 32)) {
        throw new Error("seed must be a whole number from 0 to 4,294,967,295.");
      }
      const problem = convbench.complaint(spec) ?? tooLarge(spec);
      if (problem) throw new Error(problem);
      if (!self || convbench.text(spec) !== convbench.text(self.spec) || spec.mode !== self.spec.mode ||
          spec.seed !== self.spec.seed) {
        self = convbench.problem(spec);
        known.clear();
        held = null;
        for (const name of Object.keys(pans)) delete pans[name];
      }
    } catch (error) {
      $("complaint").textContent = error.message;
      return false;
    }
    $("complaint").textContent = "";
    const { spec } = self;
    const within = (value, size) => (Number.isInteger(value) ? Math.min(Math.max(value, 0), size - 1) : 0);
    for (const [name, size] of [["n", spec.n], ["k", spec.k], ["c", spec.c], ["p", spec.p], ["q", spec.q]]) {
      next[name] = within(next[name], size);
    }
    // A filter of another group reads other channels.
    const first = self.group(next.k) * spec.cg;
    if (!("c" in parts) && (next.c < first || next.c >= first + spec.cg)) next.c = first;
    if (!VIEWS.some(([name]) => name === next.view)) next.view = "1";
    if (!(next.algorithm in convbench.ALGORITHMS)) next.algorithm = "loops";
    if (!(next.g in convbench.GRADIENTS)) next.g = "ones";
    if (!["auto", "light", "dark"].includes(next.theme)) next.theme = "auto";
    if (!(Number.isInteger(next.m) && next.m >= 0 && next.m <= 5)) next.m = 0;
    if (!(Number.isInteger(next.asked) && next.asked >= 0)) next.asked = 0;
    if (["n", "k", "c", "p", "q"].some((name) => next[name] !== state[name])) {
      for (const name of Object.keys(pans)) delete pans[name];
    }
    state = next;
    draw();
    return true;
  }
  const move = (parts) => change(parts);

  const NUMBERS = ["n", "c", "h", "w", "k", "r", "s", "groups", "stride0", "stride1", "padding0", "padding1", "dilation0",
    "dilation1"];
  const form = $("form");
  function fromForm() {
    const value = (name) => (form.elements[name].value.trim() === "" ? NaN : Number(form.elements[name].value));
    const spec = { stride: [0, 1].map((i) => value(`stride${i}`)), padding: [0, 1].map((i) => value(`padding${i}`)),
      dilation: [0, 1].map((i) => value(`dilation${i}`)), groups: value("groups"), mode: form.elements.mode.value };
    for (const letter of convbench.SIZES) spec[letter] = value(letter);
    return { spec, mode: spec.mode, seed: value("seed") };
  }
  form.addEventListener("input", (event) => {
    if (event.target.name === "shape") return;
    const { spec, mode, seed } = fromForm();
    const problem = convbench.complaint(spec);
    if (problem) $("complaint").textContent = problem;
    else change({ shape: convbench.text(spec), mode, seed });
  });
  form.elements.shape.addEventListener("change", (event) => change({ shape: event.target.value.trim() }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change({ shape: form.elements.shape.value.trim() });
  });
  form.elements.mode.append(...convbench.MODES.map((mode) => make("option", { value: mode }, mode)));
  function drawSettings() {
    const { spec } = self;
    const values = { shape: convbench.text(spec), mode: state.mode, seed: state.seed };
    for (const name of NUMBERS) {
      values[name] = /\d$/.test(name) ? spec[name.slice(0, -1)][Number(name.at(-1))] : spec[name];
    }
    for (const [name, value] of Object.entries(values)) {
      const field = form.elements[name];
      if (field !== document.activeElement || name === "shape") field.value = value;
    }
    $("shape-now").textContent = convbench.text(spec) + (state.mode === "zeros" ? "" : `, padding ${state.mode}`);
    const command = `convbench explain ${convbench.text(spec)} --at ${state.p},${state.q} --filter ${state.k}` +
      `${state.n ? ` --image ${state.n}` : ""}${state.seed ? ` --seed ${state.seed}` : ""}`;
    $("same").replaceChildren(...(state.mode === "zeros" ? ["The same numbers on a terminal: ", make("code", {}, command)] :
      [`F.conv2d pads with zeros only; this is F.pad(x, …, mode="${state.mode}") and then F.conv2d without padding.`]));
  }

  // Grids. A cell says what it is by its key: x:c,row,column w:c,r,s y:p,q m:row,l f:row l:l.

  function windowOf(from, to, first, last, most) {
    if (to - from <= most) return [from, to];
    let start = last - first + 1 >= most ? first : Math.round((first + last + 1 - most) / 2);
    start = Math.min(Math.max(start, from), to - most);
    return [start, start + most];
  }
  const range = ([from, to]) => Array.from({ length: to - from }, (_, i) => from + i);

  // rows and columns: {from, to, first, last, most}, all lines and those that must be seen.
  function grid({ id, title, note, rows, columns, at, rowName = text, columnName = text, foot, corner = "", lead }) {
    const [seenRows, seenColumns] = [rows, columns].map((lines, axis) => {
      const pan = pans[id]?.[axis];
      return range(windowOf(lines.from, lines.to, pan ?? lines.first ?? lines.from, pan ?? lines.last ?? lines.first ?? lines.from,
        lines.most));
    });
    const cut = [["row", rows, seenRows], ["column", columns, seenColumns]]
      .filter(([, lines, seen]) => seen.length < lines.to - lines.from)
      .map(([noun, lines, seen]) => `… ${plural(lines.to - lines.from - seen.length, `more ${noun}`)}`);
    const cells = (i) => seenColumns.map((j) => {
      const cell = at(i, j);
      const td = make("td", { class: cell.role, role: cell.key ? "gridcell" : null, "data-key": cell.key, "data-i": i,
        "data-j": j, tabindex: cell.key ? "-1" : null, "aria-label": cell.label }, cell.text);
      return td;
    });
    const keyed = seenRows.length && seenColumns.length && at(seenRows[0], seenColumns[0]).key;
    const table = make("table", { role: keyed ? "grid" : null, "aria-label": title, id: `grid-${id}` },
      make("thead", {}, make("tr", {}, make("td", { class: "zero" }, corner), lead && make("th", { scope: "col" }, lead.name),
        seenColumns.map((j) => make("th", { scope: "col" }, columnName(j))))),
      make("tbody", {}, seenRows.map((i) => make("tr", {}, make("th", { scope: "row" }, rowName(i)),
        lead && lead.cell(i), cells(i)))),
      foot && make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, foot.name), lead && make("td", { class: "zero" }, ""),
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
    return make("figure", { class: "grid" }, make("figcaption", {}, title, note && make("span", { class: "quiet" }, ` ${note}`),
      cut.length > 0 && make("span", { class: "quiet" }, ` ${cut.join(", ")}`)), make("div", { class: "scroll" }, table));
  }
  // A small table of numbers that is linked to nothing.
  function plain(title, rows, note) {
    return grid({ id: `plain-${title}`, title, note, rows: { from: 0, to: rows.length, most: 12 },
      columns: { from: 0, to: rows[0].length, most: narrow() ? 7 : 12 }, at: (i, j) => ({ text: rows[i][j] }) });
  }

  // Sizes of windows.
  const WIDE = () => (narrow() ? { x: 8, y: 8, rows: 10, columns: 6 } : { x: 11, y: 8, rows: 16, columns: 14 });

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
      return { from: value ? 0 : -spec.padding[axis], to: size + (value ? 0 : spec.padding[axis]), first: from, last: to,
        most: most ?? WIDE().x };
    });
    return grid({ id, title: title ?? `x[${n},${c}]`, note: spec.c > 1 && !title ? `channel ${c} of 0–${spec.c - 1}` : null, rows, columns,
      at: (row, column) => {
        const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
        const number = value ? value(row, column) : self.padded(n, c, row + spec.padding[0], column + spec.padding[1]);
        const marked = mark && reads(c) && inPatch(row, column);
        const unread = !outside && (spec.axes[0].unread.includes(row) || spec.axes[1].unread.includes(column));
        const shown = outside && spec.mode === "zeros" ? "·0" : outside ? `·${text(number)}` : text(number);
        return { text: marked ? `[${shown}]` : shown, key: `x:${c},${row},${column}`,
          role: [marked && "patch", outside && (spec.mode === "zeros" ? "pad" : "copy"), unread && "unread"].filter(Boolean).join(" "),
          label: `${text(number)}${marked ? ", in the patch" : ""}${outside ? ", padding" : ""}${unread ? ", never read" : ""}` };
      } });
  }
  function wGrid({ id = "w", k = state.k, c = state.c - first(), title, value, most } = {}) {
    const { spec } = self;
    return grid({ id, title: title ?? `w[${k},${c}]`, note: spec.k > 1 && !title ? `filter ${k} of 0–${spec.k - 1}` : null,
      rows: { from: 0, to: spec.r, most: most ?? WIDE().y }, columns: { from: 0, to: spec.s, most: most ?? WIDE().y },
      at: (r, s) => {
        const number = text(value ? value(r, s) : self.weight(k, c, r, s));
        return { text: `(${number})`, key: `w:${c},${r},${s}`, role: "kernel", label: `${number}, weight` };
      } });
  }
  const yPlane = (k = state.k, n = state.n) => memo(`y ${n} ${k}`, () => convbench.ALGORITHMS.shift.run(self, n, k));
  function yGrid({ id = "y", k = state.k, title, value, most, keyed = true } = {}) {
    const { spec } = self;
    const plane = value ? null : yPlane(k);
    const span = (axis) => ({ from: 0, to: [spec.p, spec.q][axis], first: [state.p, state.q][axis],
      last: [state.p, state.q][axis], most: most ?? WIDE().y });
    return grid({ id, title: title ?? `y[${state.n},${k}]`, note: title ? null : `${spec.p}×${spec.q}`, rows: span(0), columns: span(1),
      at: (row, column) => {
        const number = text(value ? value(row, column) : plane[row * spec.q + column]);
        const here = row === state.p && column === state.q;
        return { text: here ? `<${number}>` : number, key: keyed ? `y:${row},${column}` : undefined, role: here ? "output" : "",
          label: `${number}${here ? ", the output that is followed" : ""}` };
      } });
  }

  function picker(name, label, size) {
    const step = (by) => () => change({ [name]: (state[name] + by + size) % size });
    return make("span", { class: "picker", role: "group", "aria-label": label },
      button("−", step(-1), { "aria-label": `previous ${label}`, id: `less-${name}`, disabled: size === 1 }),
      make("b", {}, `${name} = ${state[name]}`),
      button("+", step(1), { "aria-label": `next ${label}`, id: `more-${name}`, disabled: size === 1 }));
  }
  function drawStage() {
    const { spec } = self;
    $("stage").hidden = state.view === "quiz"; // its questions are about problems of their own
    $("pickers").replaceChildren(picker("n", "image", spec.n), picker("c", "channel", spec.c), picker("k", "filter", spec.k),
      picker("p", "output row", spec.p), picker("q", "output column", spec.q));
    $("grids").replaceChildren(xGrid(), reads(state.c) ? wGrid() : make("p", {}, `Filter ${state.k} is in group ${self.group(state.k)}, which ` +
      `reads channels ${first()} to ${first() + spec.cg - 1}; channel ${state.c} is not among them.`), yGrid());
    const terms = cellTerms();
    $("sum").replaceChildren(`y[${state.n},${state.k},${state.p},${state.q}] = `, ...sumOf(terms, 12));
    const total = text(totalOf(terms));
    $("spoken").textContent = `y in row ${state.p}, column ${state.q} of filter ${state.k}, image ${state.n} is ${total}: ` +
      `${terms.slice(0, 9).map((term) => `${text(term.x)} times ${text(term.w)}`).join(", plus ")}` +
      `${terms.length > 9 ? `, and ${terms.length - 9} more products` : ""}.`;
  }
  const cellTerms = () => convbench.terms(self, state);
  const totalOf = (terms) => terms.reduce((sum, term) => sum + term.product, 0);
  function products(terms, most) {
    const shown = terms.length <= most ? terms : terms.filter((term) => !term.outside).slice(0, most);
    const parts = shown.flatMap((term, i) => [i ? " + " : "", role("patch", term.outside && self.spec.mode === "zeros" ? "·0" : text(term.x)),
      role("kernel", text(term.w))]);
    return shown.length < terms.length ? [...parts, ` + … ${plural(terms.length - shown.length, "more term")}`] : parts;
  }
  const sumOf = (terms, most) => [...products(terms, most), " = ", role("output", text(totalOf(terms)))];

  // Links: whatever belongs to the same products as the cell that is pointed at.

  // A key as the products it takes part in: channels within the group, and taps at positions.
  function takesPart(key) {
    const { spec } = self;
    const [kind, rest] = key.split(":");
    const numbers = rest.split(",").map(Number);
    const every = (count) => range([0, count]);
    if (kind === "y" || kind === "l") {
      const [row, column] = kind === "y" ? numbers : self.position(numbers[0]);
      return { channels: every(spec.cg), pairs: every(spec.r).flatMap((r) => every(spec.s).map((s) => ({ r, s, p: row, q: column }))) };
    }
    if (kind === "w" || kind === "f") {
      const [c, r, s] = kind === "w" ? numbers : self.tap(numbers[0]);
      return { channels: [c], pairs: every(spec.p).flatMap((row) => every(spec.q).map((column) => ({ r, s, p: row, q: column }))) };
    }
    if (kind === "m") {
      const [c, r, s] = self.tap(numbers[0]);
      const [row, column] = self.position(numbers[1]);
      return { channels: [c], pairs: [{ r, s, p: row, q: column }] };
    }
    const [channel, row, column] = numbers;
    const channels = reads(channel) ? [channel - first()] : [];
    const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
    const pairs = outside ? every(spec.r).flatMap((r) => every(spec.s).flatMap((s) => {
      const up = row + spec.padding[0] - r * spec.dilation[0];
      const left = column + spec.padding[1] - s * spec.dilation[1];
      const found = { r, s, p: up / spec.stride[0], q: left / spec.stride[1] };
      return up >= 0 && left >= 0 && Number.isInteger(found.p) && Number.isInteger(found.q) && found.p < spec.p && found.q < spec.q ?
        [found] : [];
    })) : convbench.readersOf(self, row, column);
    return { channels, pairs };
  }
  function linkedKeys(key) {
    const { spec } = self;
    const { channels, pairs } = takesPart(key);
    const keys = new Set([key]);
    for (const c of channels) {
      for (const { r, s, p: row, q: column } of pairs) {
        const place = self.place(r, s, row, column);
        const j = (c * spec.r + r) * spec.s + s;
        const l = row * spec.q + column;
        keys.add(`x:${first() + c},${place}`).add(`w:${c},${r},${s}`).add(`y:${row},${column}`).add(`m:${j},${l}`)
          .add(`f:${j}`).add(`l:${l}`);
        const source = place.map((line, axis) => spec.axes[axis].source[line + spec.padding[axis]]);
        if (source.every((line) => line >= 0)) keys.add(`x:${first() + c},${source}`);
      }
    }
    return keys;
  }
  function describe(key) {
    const { spec } = self;
    const [kind, rest] = key.split(":");
    const numbers = rest.split(",").map(Number);
    const { channels, pairs } = takesPart(key);
    const list = (all) => all.slice(0, 4).join(", ") + (all.length > 4 ? `, … ${all.length - 4} more` : "");
    if (kind === "x") {
      const [c, row, column] = numbers;
      const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
      const value = self.padded(state.n, c, row + spec.padding[0], column + spec.padding[1]);
      const name = `x[${state.n},${c},${row},${column}] = ${text(value)}${outside ? " (padding)" : ""}`;
      if (!channels.length) return `${name}: filter ${state.k} does not read channel ${c}.`;
      if (!pairs.length) return `${name} is read by no output: stride, dilation or the floor leave it out.`;
      return `${name} is read ${count(pairs.length)}×: ${list(pairs.map((one) => `y(${one.p},${one.q}) through w(${one.r},${one.s})`))}.`;
    }
    if (kind === "y" || kind === "l") {
      const [row, column] = kind === "y" ? numbers : self.position(numbers[0]);
      const own = convbench.terms(self, { ...state, p: row, q: column });
      return `y[${state.n},${state.k},${row},${column}], column l = ${row * spec.q + column}: ` +
        `${own.slice(0, 6).map((term) => `${text(term.x)}·${text(term.w)}`).join(" + ")}` +
        `${own.length > 6 ? " + …" : ""} = ${text(totalOf(own))}.`;
    }
    if (kind === "m") {
      const { r, s, p: row, q: column } = pairs[0];
      const place = self.place(r, s, row, column);
      return `patches(${numbers}): tap (c,r,s) = (${first() + channels[0]},${r},${s}) of output (${row},${column}) reads ` +
        `x[${state.n},${first() + channels[0]},${place}] = ${text(self.patch(state.n, (first() * spec.r * spec.s) + numbers[0], numbers[1]))}.`;
    }
    const [c, r, s] = kind === "w" ? numbers : self.tap(numbers[0]);
    return `w[${state.k},${c},${r},${s}] = ${text(self.weight(state.k, c, r, s))}, row ${(c * spec.r + r) * spec.s + s} of the patch matrix: ` +
      `it meets ${plural(pairs.length, "number")} of channel ${first() + c}, one for each output.`;
  }
  function drawLinks() {
    const key = hovered ?? held;
    const keys = key === null ? new Set() : linkedKeys(key);
    document.querySelectorAll("td[data-key]").forEach((td) => {
      td.classList.toggle("linked", keys.has(td.dataset.key));
      td.classList.toggle("held", td.dataset.key === held);
    });
    const hint = key === null ? "" : describe(key);
    if ($("hint").textContent !== hint) $("hint").textContent = hint;
  }
  function hover(key) {
    if (key === hovered) return;
    hovered = key;
    drawLinks();
  }
  const keyOf = (event) => event.target.closest?.("td[data-key]")?.dataset.key ?? null;
  document.addEventListener("mouseover", (event) => hover(keyOf(event)));
  document.addEventListener("focusin", (event) => hover(keyOf(event)));
  document.addEventListener("focusout", () => hover(null));
  // An output or a column is followed; anything else is held.
  function choose(key) {
    const [kind, rest] = key.split(":");
    const numbers = rest.split(",").map(Number);
    if (kind === "y") move({ p: numbers[0], q: numbers[1] });
    else if (kind === "l" || kind === "m") {
      const [row, column] = self.position(numbers.at(-1));
      const c = kind === "m" ? first() + self.tap(numbers[0])[0] : state.c;
      move({ p: row, q: column, c });
    } else {
      held = held === key ? null : key;
      drawLinks();
    }
  }
  document.addEventListener("click", (event) => {
    const td = event.target.closest?.("td[data-key]");
    if (!td) return;
    const grid = td.closest("table").dataset.grid;
    roving[grid] = `${td.dataset.i},${td.dataset.j}`;
    choose(td.dataset.key);
  });

  // The panels.

  const PANELS = {
    1() {
      const { spec } = self;
      const channels = range([first(), first() + spec.cg]);
      const most = narrow() ? 6 : 7;
      const shown = channels.slice(0, 6);
      const terms = cellTerms();
      const sums = channels.map((c) => totalOf(terms.filter((term) => term.channel === c)));
      return [p(`x has N = ${plural(spec.n, "image")} of C = ${plural(spec.c, "channel")}, ${spec.h}×${spec.w} each; w has K = `,
        `${plural(spec.k, "filter")} of ${spec.r}×${spec.s} with a slice for each of the ${plural(spec.cg, "channel")} it reads; `,
        `y is ${spec.p}×${spec.q} for each filter.`),
      spec.groups > 1 ? p(`${spec.groups} groups: filter k = ${state.k} is in group ${self.group(state.k)} and reads channels ` +
        `${first()} to ${first() + spec.cg - 1} of x only; w is (K, C/G, R, S) = (${spec.k}, ${spec.cg}, ${spec.r}, ${spec.s}).`) : null,
      p("Cross-correlation: the kernel is laid on x as it is, not flipped."),
      ...(spec.cg === 1 ? [] : shown).map((c, i) => make("div", { class: "grids step" }, xGrid({ id: `all-x-${c}`, c, title: `x[${state.n},${c}]`, most }),
        wGrid({ id: `all-w-${i}`, c: i, title: `w[${state.k},${i}]`, most }), formula("Σ over r, s = ", text(sums[i])))),
      channels.length > shown.length ? quiet(`… ${plural(channels.length - shown.length, "more channel")}.`) : null,
      spec.cg === 1 ? p("The patch, the kernel and the output that is followed are marked above; any other output can be chosen there.") :
        formula(`y[${state.n},${state.k},${state.p},${state.q}] = `, signed(sums.slice(0, 12)),
          sums.length > 12 ? " + …" : "", " = ", role("output", text(totalOf(terms))))];
    },
    2() {
      const { spec } = self;
      const terms = cellTerms();
      const flipped = terms.reduce((sum, term) => sum + term.x * term.mirrored, 0);
      const axis = (letter, position, i, taps, name) => formula(`${letter} = ${position}: ${name} ${position}·${spec.stride[i]} − ` +
        `${spec.padding[i]} + {0..${taps - 1}}·${spec.dilation[i]} = {` +
        `${range([0, taps]).map((tap) => position * spec.stride[i] - spec.padding[i] + tap * spec.dilation[i]).map(text).join(", ")}}`);
      const channels = range([0, spec.cg]);
      return [formula(`y[n,k,p,q] = Σ x[n, ${first() ? `${first()}+` : ""}c, p·${spec.stride[0]}−${spec.padding[0]}+r·${spec.dilation[0]}, ` +
        `q·${spec.stride[1]}−${spec.padding[1]}+s·${spec.dilation[1]}] · w[k,c,r,s]`),
      axis("p", state.p, 0, spec.r, "rows"), axis("q", state.q, 1, spec.s, "columns"),
      ...channels.slice(0, 8).map((c) => {
        const own = terms.filter((term) => term.c === c);
        return make("p", { class: "sum" }, spec.cg > 1 ? `c = ${c}: ` : "", ...products(own, 25), " = ", text(totalOf(own)));
      }),
      channels.length > 8 ? quiet(`… ${plural(channels.length - 8, "more channel")}.`) : null,
      make("p", { class: "sum" }, "Together: ", role("output", text(totalOf(terms)))),
      p(`A flipped kernel (a true convolution) would give ${text(flipped)} here.`),
      terms.some((term) => term.outside) ? p(spec.mode === "zeros" ? "The patch hangs over the border: outside x stand zeros, ·0." :
        `The patch hangs over the border: outside x stand copies of x, ${spec.mode}.`) : null];
    },
    3() {
      const { spec } = self;
      const rulers = spec.axes.map((axis, i) => {
        const position = [state.p, state.q][i];
        const [from, to] = lineSpan(i);
        return grid({ id: `ruler-${i}`, title: `which ${["rows", "columns"][i]} each ${["p", "q"][i]} reads`, note: "● read, · padding line",
          rows: { from: 0, to: axis.positions, first: position, last: position, most: 10 },
          columns: { from: -axis.padding, to: axis.size + axis.padding, first: from, last: to, most: narrow() ? 9 : 22 },
          rowName: (one) => `${["p", "q"][i]}=${one}`,
          at: (one, line) => {
            const offset = line - (one * axis.stride - axis.padding);
            const read = offset >= 0 && offset < axis.extent && offset % axis.dilation === 0;
            return { text: read ? "●" : line < 0 || line >= axis.size ? "·" : "", role: read && one === position ? "patch" : "zero" };
          },
          foot: { name: "read", cell: (line) => (line < 0 || line >= axis.size ? { text: "", role: "zero" } :
            { text: axis.readers[line] ? `${axis.readers[line]}×` : "never", role: axis.readers[line] ? "" : "unread" }) } });
      });
      const variants = [["stride", 1, 2], ["dilation", 1, 2], ["padding", 0, 1]].map(([name, usual, other]) => {
        const value = spec[name].every((one) => one === usual) ? other : usual;
        const changed = { ...convbench.parse(state.shape), mode: state.mode, [name]: [value, value] };
        if (convbench.complaint(changed)) return null;
        const { p: rows, q: columns } = convbench.derive(changed);
        return button(`${name} ${value}: ${rows}×${columns}`, () => change({ shape: convbench.text(changed) }));
      });
      const lost = spec.axes.flatMap((axis, i) => [
        axis.rest ? `The floor leaves out ${plural(axis.rest, ["row", "column"][i])} at the end of the padded x.` : null,
        axis.unread.length ? `${axis.unread.length} of ${axis.size} ${["rows", "columns"][i]} of x are never read: ` +
          `${axis.unread.slice(0, 8).join(", ")}${axis.unread.length > 8 ? ", …" : ""}.` : null]).filter(Boolean);
      return [formula("⌊(H + 2·padding − dilation·(R − 1) − 1) / stride⌋ + 1, along each axis"),
        ...spec.axes.map((axis) => formula(`${axis.letters[0]} = ⌊(${axis.size} + 2·${axis.padding} − ${axis.dilation}·(${axis.taps}−1) − 1) ` +
          `/ ${axis.stride}⌋ + 1 = ⌊${axis.room}/${axis.stride}⌋ + 1 = ${axis.positions}`)),
        formula(`P·Q = ${spec.p}·${spec.q} = ${spec.l} positions`),
        make("p", { class: "ways" }, "What if: ", variants),
        ...(lost.length ? lost : ["Every row and every column of x is read."]).map((line) => p(line)),
        make("div", { class: "grids" }, rulers)];
    },
    4() {
      const { spec } = self;
      const [xBytes, patchBytes] = [4 * self.x.length, 4 * spec.n * spec.c * spec.r * spec.s * spec.l];
      return [formula(`l = p·Q + q = ${state.p}·${spec.q} + ${state.q} = ${state.p * spec.q + state.q}`), matrix(),
        p(`${plural(spec.taps, "row")} for the taps ${spec.groups > 1 ? "C/G" : "C"}·R·S = ${spec.cg}·${spec.r}·${spec.s}; `,
          `${plural(spec.l, "column")} for the positions P·Q. Neither counts channels. Rows run in (c, r, s) order: s fastest, c slowest.`),
        spec.groups > 1 ? p(`Shown are rows ${first() * spec.r * spec.s} to ${first() * spec.r * spec.s + spec.taps - 1} of ` +
          `${spec.c * spec.r * spec.s}: those of group ${self.group(state.k)}.`) : null,
        p(`x is ${count(xBytes)} B in fp32, the patch matrix ${count(patchBytes)} B (${Number((patchBytes / xBytes).toPrecision(4))}×). `,
          "F.unfold stores it; an implicit GEMM forms it in tiles and never stores it whole.")];
    },
    5() {
      const { spec } = self;
      return [formula(`(K, C/G, R, S) = (${spec.k}, ${spec.cg}, ${spec.r}, ${spec.s}) → ` +
        (spec.groups === 1 ? `(K, C·R·S) = (${spec.k}, ${spec.taps})` :
          `(G, K/G, C/G·R·S) = (${spec.groups}, ${spec.kg}, ${spec.taps})`)),
      make("div", { class: "grids" }, reads(state.c) ? wGrid({ id: "flat-source" }) : null,
        grid({ id: "flat", title: `w_flat of filter ${state.k}`, rows: { from: 0, to: 1, most: 1 }, rowName: () => `k=${state.k}`,
          columns: { from: 0, to: spec.taps, first: (state.c - first()) * spec.r * spec.s || 0, most: WIDE().columns },
          corner: "(c,r,s)", columnName: (j) => self.tap(j).join(","),
          at: (_, j) => ({ text: `(${text(self.w[state.k * spec.taps + j])})`, key: `f:${j}`, role: "kernel" }) })),
      p("The same (c, r, s) order as the rows of the patch matrix, so that tap meets tap. No number moves: it is a view of w.")];
    },
    6() {
      const { spec } = self;
      const onPadding = spec.mode === "zeros" ? spec.n * spec.k * spec.cg * (spec.r * spec.s * spec.l - inImage(0) * inImage(1)) : 0;
      return [formula(`einsum('${spec.groups === 1 ? "bpl,op->bol" : "bgpl,gop->bgol"}', patches, w_flat): w_flat ${spec.kg}×${spec.taps} · ` +
        `patches ${spec.taps}×${spec.l} = y ${spec.kg}×${spec.l}${spec.groups > 1 ? ", in each group" : ""}`),
      p("Each weight on the left meets its row; column l, added up, is one output below."), matrix(true),
      formula(`column l = ${state.p * spec.q + state.q}: `, ...sumOf(cellTerms(), 16)),
      p(`As GEMM: M = ${spec.kg}, N = ${spec.n * spec.l}, K = ${spec.taps}${spec.groups > 1 ? ` for each of ${spec.groups} groups` : ""}. `,
        `${count(spec.macs)} MAC = ${count(spec.macs)} multiplications + ${count(spec.n * spec.k * spec.l * (spec.taps - 1))} additions; `,
        `"${count(2 * spec.macs)} FLOPs" counts two for each.`,
        onPadding ? ` ${count(onPadding)} of the multiplications are by a zero of the padding.` : "")];
    },
    7() {
      const { spec } = self;
      const filters = range(windowOf(0, spec.k, state.k, state.k, 6));
      const own = self.spec;
      const ask = [Math.min(Math.max(lineSpan(0)[0], 0), own.h - 1), Math.min(Math.max(lineSpan(1)[0], 0), own.w - 1)];
      const often = convbench.overlap(spec, ...ask);
      const value = self.pixel(state.n, state.c, ...ask);
      return [formula(`y_flat (${spec.n}, ${spec.k}, ${spec.l}) → (N, K, P, Q) = (${spec.n}, ${spec.k}, ${spec.p}, ${spec.q}): l → (p, q) = (⌊l/Q⌋, l mod Q)`),
        make("div", { class: "grids" }, filters.map((k) => yGrid({ id: `all-y-${k}`, k, title: `y[${state.n},${k}]`, most: narrow() ? 6 : 7 }))),
        filters.length < spec.k ? quiet(`… ${plural(spec.k - filters.length, "more filter")}.`) : null,
        p(`F.fold is not this step: it sums overlaps and gives back x's size. x[${state.n},${state.c},${ask}] is ${text(value)}, ` +
          `is read ${often}×, and would come back as ${text(value * often)}.`),
        make("h3", {}, "Proof"), ...proofTables()];
    },
    algorithms: () => algorithmsPanel(),
    backward: () => backwardPanel(),
    quiz: () => quizPanel(),
  };

  function inImage(i) {
    return self.spec.axes[i].readers.reduce((sum, one) => sum + one, 0);
  }
  // The patch matrix of the cell's image and group; with w_flat on its left and y below it when multiplied.
  function matrix(multiplied = false) {
    const { spec } = self;
    const l = state.p * spec.q + state.q;
    const start = reads(state.c) ? (state.c - first()) * spec.r * spec.s : 0;
    const plane = multiplied ? yPlane() : null;
    return grid({ id: multiplied ? "product" : "patches", title: `patches of image ${state.n}`, corner: "(c,r,s)",
      rows: { from: 0, to: spec.taps, first: start, last: start + spec.r * spec.s - 1, most: WIDE().rows },
      columns: { from: 0, to: spec.l, first: l, last: l, most: WIDE().columns },
      rowName: (j) => `(${[first() + self.tap(j)[0], ...self.tap(j).slice(1)].join(",")})`,
      columnName: (j) => (j === l ? `[${j}]` : `${j}`),
      lead: multiplied ? { name: "w_flat", cell: (j) => make("td", { class: "kernel", "data-key": `f:${j}`, role: "gridcell", tabindex: "-1",
        "data-i": j, "data-j": "lead" }, `(${text(self.w[state.k * spec.taps + j])})`) } : null,
      at: (j, column) => {
        const [, r, s] = self.tap(j);
        const place = self.place(r, s, ...self.position(column));
        const outside = place[0] < 0 || place[0] >= spec.h || place[1] < 0 || place[1] >= spec.w;
        const number = text(self.patch(state.n, first() * spec.r * spec.s + j, column));
        const shown = outside ? `·${number}` : number;
        return { text: column === l ? `[${shown}]` : shown, key: `m:${j},${column}`,
          role: `${column === l ? "patch" : ""} ${outside ? "pad" : ""}`.trim(), label: `${number}${column === l ? ", in the patch" : ""}${outside ? ", padding" : ""}` };
      },
      foot: multiplied ? { name: `y k=${state.k}`, cell: (column) => ({ text: column === l ? `<${text(plane[column])}>` : text(plane[column]),
        key: `l:${column}`, role: column === l ? "output" : "" }) } : null });
  }

  function listTable(heads, rows, label) {
    return make("div", { class: "scroll" }, make("table", { class: "counts", "aria-label": label },
      make("thead", {}, make("tr", {}, heads.map((head, i) => make("th", { scope: "col", class: i && head !== "against" ? "n" : null }, head)))),
      make("tbody", {}, rows)));
  }
  function proofTables() {
    const found = [];
    if (convbench.text(self.spec) === trace.spec && state.mode === "zeros" && state.seed === data.seed) {
      found.push(p("By convbench, with torch, before this page was written:"), listTable(["", "checked", "numbers", "max|Δ|", "against"],
        trace.proof.map((one) => make("tr", {}, make("td", { class: one.holds ? "good" : "wrong" }, one.holds ? "✓" : "✗"),
          make("td", {}, one.name), make("td", { class: "n" }, count(one.compared)), make("td", { class: "n" }, String(one.worst)),
          make("td", {}, one.against))), "Proof by convbench"));
    } else {
      found.push(p(`This setting is not the one that was proved with torch when the page was written (${trace.spec}, seed ${data.seed}, zeros). `,
        "What follows is compared within the page:"));
    }
    return [...found, agreement()];
  }
  // Every way to y[n, k] against the loops.
  function agreement() {
    const { spec } = self;
    if (spec.l * spec.taps > EASY) {
      return p(`y[${state.n},${state.k}] has ${count(spec.l * spec.taps)} products; under Algorithms each way computes it when asked.`);
    }
    const loops = way("loops");
    const rows = Object.entries(convbench.ALGORITHMS).filter(([name]) => !convbench.whyNot(name, spec)).map(([name, { title }]) => {
      const worst = convbench.difference(way(name), loops);
      return [title, worst, worst <= tolerance(name, loops)];
    });
    return make("p", { class: rows.every(([, , holds]) => holds) ? "good" : "wrong", id: "agreement" },
      rows.map(([title, worst, holds]) => `${holds ? "✓" : "✗"} ${title} (max|Δ| ${worst ? worst.toExponential(0) : 0})`).join("   "));
  }
  // Only the FFT rounds: its roots of unity are no whole numbers.
  function tolerance(name, loops) {
    return name === "fft" ? 1e-9 * Math.max(1, ...loops.map(Math.abs)) : 0;
  }
  function way(name) {
    return memo(`${name} ${state.n} ${state.k} ${state.m}`, () =>
      convbench.ALGORITHMS[name].run(self, state.n, state.k, { m: state.m || undefined }));
  }

  // Algorithms.

  function algorithmsPanel() {
    const { spec } = self;
    const options = { m: state.m || undefined };
    const names = Object.keys(convbench.ALGORITHMS);
    const rows = names.map((name) => {
      const { title, count: bill } = convbench.ALGORITHMS[name];
      const reason = convbench.whyNot(name, spec);
      const head = make("th", { scope: "row" }, button(title, () => change({ algorithm: name }), { "aria-pressed": String(state.algorithm === name) }));
      if (reason) return make("tr", {}, head, make("td", { colspan: 4 }, make("span", { class: "why quiet" }, `not here: ${reason}`)));
      const found = bill(spec, options);
      const apart = found.transforms;
      return make("tr", {}, head, ...[count(found.multiplications), count(found.additions),
        apart ? (apart.operations ? `≈ ${count(apart.operations)}` : `${count(apart.multiplications)} + ${count(apart.additions)}`) : "0",
        found.memory ? bytes(found.memory) : "0"].map((value) => make("td", { class: "n" }, value)));
    });
    const { title, note } = convbench.ALGORITHMS[state.algorithm];
    const reason = convbench.whyNot(state.algorithm, spec);
    const heavy = spec.l * spec.taps > EASY && !known.has(`${state.algorithm} ${state.n} ${state.k} ${state.m}`);
    return [p("The same numbers, by every way. Counted for the whole problem: multiplications and additions of the products themselves, ",
      "transforms apart (multiplications + additions), memory beside x, w and y in fp32."),
    listTable(["way", "multiplications", "additions", "transforms", "memory"], rows, "What each algorithm costs"),
    make("h3", { id: "way-title" }, title),
    reason ? p(`Not here: ${reason}.`) : p(note(spec, options)),
    ...(reason ? [] : heavy ? [button(`Compute y[${state.n},${state.k}] this way (${count(spec.l * spec.taps)} products)`, () => {
      way(state.algorithm);
      draw();
    })] : [result(), ...VIEWS_OF[state.algorithm]()])];
  }
  function result() {
    const loops = way("loops");
    const worst = convbench.difference(way(state.algorithm), loops);
    const holds = worst <= tolerance(state.algorithm, loops);
    return make("p", { class: holds ? "good" : "wrong", id: "result" }, `${holds ? "✓" : "✗"} y[${state.n},${state.k}]: ${plural(loops.length, "number")} ` +
      `compared with the loops, max|Δ| ${worst ? worst.toExponential(1) : 0}` +
      `${state.algorithm === "fft" ? " (its roots of unity are not whole numbers, so it rounds)" : ""}`);
  }
  const VIEWS_OF = {
    loops: () => [make("pre", {}, `for n, k, p, q:                 # here ${state.n}, ${state.k}, ${state.p}, ${state.q}\n  y[n,k,p,q] = 0\n` +
      `  for c in 0..${self.spec.cg - 1}:\n    for r in 0..${self.spec.r - 1}:\n      for s in 0..${self.spec.s - 1}:\n` +
      `        y[n,k,p,q] += x[n, ${first()}+c, p*${self.spec.stride[0]}-${self.spec.padding[0]}+r*${self.spec.dilation[0]}, ` +
      `q*${self.spec.stride[1]}-${self.spec.padding[1]}+s*${self.spec.dilation[1]}] * w[k,c,r,s]`), make("p", { class: "sum" }, ...sumOf(cellTerms(), 25))],
    unfold: () => [matrix(true)],
    implicit() {
      const { spec } = self;
      const terms = cellTerms().slice(0, 16);
      const l = state.n * spec.l + state.p * spec.q + state.q;
      return [formula(`GEMM (i, j) = (${state.k % spec.kg}, ${l})${spec.groups > 1 ? ` of group ${self.group(state.k)}` : ""} ↔ k = ${state.k}; ` +
        `n = ⌊j/(P·Q)⌋ = ${state.n}, p = ⌊j/Q⌋ mod P = ${state.p}, q = j mod Q = ${state.q}`),
      p("Row κ of column j is found by arithmetic alone; nothing of the matrix is stored:"),
      listTable(["κ", "(c, r, s)", "(row, column)", "address in x", "value"], terms.map((term, j) => make("tr", {}, make("td", {}, String(j)),
        [`(${term.channel}, ${term.r}, ${term.s})`, `(${text(term.row)}, ${text(term.column)})`,
          term.outside && spec.mode === "zeros" ? "none: a zero" : count(((state.n * spec.c + term.channel) * spec.h + spec.axes[0].source[term.row + spec.padding[0]]) * spec.w +
            spec.axes[1].source[term.column + spec.padding[1]]), text(term.x)].map((value) => make("td", { class: "n" }, value)))), "One column of the implicit matrix"),
      spec.taps > terms.length ? quiet(`… ${plural(spec.taps - terms.length, "more row")}.`) : null];
    },
    shift() {
      const { spec } = self;
      const c = reads(state.c) ? state.c - first() : 0;
      const most = Math.min(spec.r * spec.s, 9);
      const sum = new Float64Array(spec.l);
      const frames = range([0, most]).map((tap) => {
        const [, r, s] = self.tap(c * spec.r * spec.s + tap);
        for (let l = 0; l < spec.l; l++) sum[l] += self.weight(state.k, c, r, s) * self.patch(state.n, (first() + c) * spec.r * spec.s + tap, l);
        const now = sum.slice();
        return yGrid({ id: `shift-${tap}`, title: `+ (${text(self.weight(state.k, c, r, s))}) · x shifted to (r,s) = (${r},${s})`,
          value: (row, column) => now[row * spec.q + column], most: 6 });
      });
      return [p(`y after each tap of channel ${first() + c}${spec.cg > 1 ? ", from zero" : ""}:`), make("div", { class: "grids" }, frames),
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
      return [grid({ id: "toeplitz", title: `T of filter ${state.k}`, note: `${spec.l}×${spec.cg * spec.h * spec.w}; rows are outputs l, columns pixels of x`,
        corner: "l \\ pixel", rows: { from: 0, to: spec.l, first: l, last: l, most: WIDE().rows },
        columns: { from: 0, to: spec.cg * spec.h * spec.w, first: start, last: start, most: narrow() ? 7 : 17 },
        at: (i, j) => {
          const value = row(i).get(j);
          const shown = value === undefined ? "·" : text(value);
          return { text: i === l && value !== undefined ? `(${shown})` : shown, role: value === undefined ? "zero" : i === l ? "kernel" : "" };
        } }),
      formula(`row l = ${l}: ${plural(row(l).size, "entry").replace("entrys", "entries")} not zero, times x as one vector = `,
        role("output", text(yPlane()[l])))];
    },
    winograd() {
      const { spec } = self;
      const plan = convbench.winogradPlan(spec, state.m || undefined);
      const [v, h] = plan.axes;
      const [i, j] = [Math.floor(state.p / v.m), Math.floor(state.q / h.m)];
      const tile = convbench.winogradTile(self, state.n, state.k, plan, i, j);
      const fraction = ([top, bottom]) => text(Number(top)) + (bottom === 1n ? "" : `/${bottom}`);
      const show = (matrix) => matrix.map((row) => row.map(fraction));
      const numbers = (matrix, over = 1) => matrix.map((row) => row.map((value) => text(value / over)));
      const list = make("select", { "aria-label": "outputs of a tile" }, make("option", { value: "0" }, "the usual"),
        [2, 3, 4, 5].filter((m) => m + Math.max(spec.r, spec.s) - 1 <= convbench.LARGEST_TILE)
          .map((m) => make("option", { value: m, selected: m === state.m }, `m = ${m}`)));
      list.addEventListener("change", () => change({ m: Number(list.value) }));
      const points = (axis) => [...axis.points.map(fraction), "∞"].join(", ");
      return [make("label", { class: "inline ways" }, "Tile ", list),
        p(`Interpolation points ${points(v)}${v.t === h.t ? "" : ` for rows, ${points(h)} for columns`}; exact rationals.`),
        make("div", { class: "grids" }, plain("G", show(v.g)), plain("Bᵀ", show(v.bt)), plain("Aᵀ", show(v.at))),
        v.t === h.t && v.m === h.m ? null : make("div", { class: "grids" }, plain("G, columns", show(h.g)), plain("Bᵀ, columns", show(h.bt)), plain("Aᵀ, columns", show(h.at))),
        p(`Tile (${i},${j}) of ${plan.rows}×${plan.columns}, channel ${first()}:`),
        make("div", { class: "grids" }, plain("D, the data", numbers(tile.data)), plain("U = G·w·Gᵀ", numbers(tile.u)),
          plain("V = Bᵀ·D·B", numbers(tile.v, tile.common)), plain("M = Σc U∘V", numbers(tile.sum, tile.common)), plain("Aᵀ·M·A, the outputs", numbers(tile.outputs)))];
    },
    fft() {
      const { spec } = self;
      const full = memo(`circular ${state.n} ${state.k}`, () => convbench.circular(self, state.n, state.k));
      const [rows, columns] = spec.axes.map((axis) => axis.room + 1);
      const span = (axis, position) => ({ from: 0, to: [spec.hp, spec.wp][axis], first: position * spec.stride[axis],
        last: position * spec.stride[axis], most: WIDE().y });
      return [grid({ id: "circular", title: `the ${spec.hp}×${spec.wp} circular values`, note: "~crossed out~ where the kernel wrapped round the border",
        rows: span(0, state.p), columns: span(1, state.q),
        at: (row, column) => {
          const value = text(Math.round(full[row * spec.wp + column]));
          if (row >= rows || column >= columns) return { text: `~${value}~`, role: "wrap" };
          const here = row === state.p * spec.stride[0] && column === state.q * spec.stride[1];
          const kept = row % spec.stride[0] === 0 && column % spec.stride[1] === 0;
          return { text: here ? `<${value}>` : value, role: here ? "output" : kept ? "" : "zero" };
        } }),
      quiet(`Shown rounded to whole numbers; the valid corner is ${rows}×${columns}` +
        `${spec.stride.some((value) => value > 1) ? ", and of it the stride keeps each value on a filled ground" : ""}.`)];
    },
  };

  // Backward.

  function backwardPanel() {
    const { spec } = self;
    const dx = memo(`dx ${state.n} ${state.c} ${state.g}`, () => convbench.inputGradient(self, state.n, state.c, state.g));
    const dw = memo(`dw ${state.k} ${state.g}`, () => convbench.filterGradient(self, state.k, state.g));
    const g = (row, column) => convbench.GRADIENTS[state.g](spec, state.n, state.k, row, column);
    const most = narrow() ? 7 : 8;
    const list = make("select", { "aria-label": "gradient of the output" }, make("option", { value: "ones", selected: state.g === "ones" }, "all ones"),
      make("option", { value: "counting", selected: state.g === "counting" }, "1, 2, 3, 4, 5 and again"));
    list.addEventListener("change", () => change({ g: list.value }));
    const value = (row, column) => text(dx[row * spec.w + column]);
    const [row, column] = [0, 1].map((axis) => Math.min(Math.max(lineSpan(axis)[0], 0), [spec.h, spec.w][axis] - 1));
    const pairs = convbench.readersOf(self, row, column);
    const group = Math.floor(state.c / spec.cg);
    const sum = pairs.flatMap((one) => range([group * spec.kg, (group + 1) * spec.kg]).map((k) =>
      [convbench.GRADIENTS[state.g](spec, state.n, k, one.p, one.q), self.weight(k, state.c - group * spec.cg, one.r, one.s)]));
    const c = reads(state.c) ? state.c - first() : 0;
    return [make("label", { class: "inline ways" }, "Gradient of the output, dY ", list),
      p("Backward reads the same products the other way: what met in y's sum gets back y's gradient times its partner."),
      make("div", { class: "grids" }, yGrid({ id: "g", title: `dY[${state.n},${state.k}]`, value: g, most }),
        xGrid({ id: "dx", title: `dX[${state.n},${state.c}]`, value: (i, j) => dx[i * spec.w + j], most }),
        wGrid({ id: "dw", c, title: `dW[${state.k},${c}]`, value: (r, s) => dw[(c * spec.r + r) * spec.s + s] }),
        xGrid({ id: "overlap", title: "overlaps, fold(unfold(1))", value: (i, j) => convbench.overlap(spec, i, j), most })),
      formula(`dX = fold(w_flatᵀ · dY): dX[${state.n},${state.c},${row},${column}] = `,
        sum.slice(0, 12).map(([a, b]) => `${text(a)}·(${text(b)})`).join(" + ") || "nothing reads it", sum.length > 12 ? " + …" : "", ` = ${value(row, column)}`),
      formula(`dW = dY · patchesᵀ: dW[${state.k},${c},0,0] = Σ over n, p, q of dY · the first row of the patches = ${text(dw[c * spec.r * spec.s])}`),
      p(`fold does not undo unfold: it adds each number as often as it was read. x[${state.n},${state.c},${row},${column}] = ` +
        `${text(self.pixel(state.n, state.c, row, column))} would come back as ${text(self.pixel(state.n, state.c, row, column) * convbench.overlap(spec, row, column))}, ` +
        `${convbench.overlap(spec, row, column)} times itself. dX is also a transposed convolution of dY with w.`)];
  }

  // Quiz.

  let marked = new Set();
  let verdict = null;
  function quizPanel() {
    const asked = convbench.quiz.question(state.asked);
    const own = convbench.problem(asked.spec);
    const answer = make("input", { type: "text", inputmode: "numeric", autocomplete: "off", id: "answer" });
    const check = () => {
      if (verdict) return;
      const given = asked.cells ? marked : answer.value;
      if (!asked.cells && answer.value.trim() === "") return;
      const right = convbench.quiz.grade(asked, given);
      score = { right: score.right + right, of: score.of + 1 };
      verdict = { right, given: asked.cells ? null : answer.value };
      drawPanel();
      $("spoken").textContent = $("graded").textContent;
      $("next-question").focus();
    };
    if (verdict?.given) answer.value = verdict.given;
    const form = make("form", { class: "quiz" }, asked.cells ? null : make("label", {}, "Your answer ", answer),
      make("button", { disabled: verdict !== null }, "Check"),
      button("Next question", () => { verdict = null; marked = new Set(); change({ asked: state.asked + 1 }); }, { id: "next-question" }));
    form.addEventListener("submit", (event) => { event.preventDefault(); check(); });
    const { h: rows, w: columns } = asked.spec;
    const images = asked.shows.includes("x") ? range([0, asked.spec.c]).map((c) => plainNamed(`x[0,${c}]`, rows, columns, (i, j) => text(own.pixel(0, c, i, j)),
      (i, j) => (asked.kind === "readers" || asked.kind === "overlap") && c === 0 && i === asked.at[0] && j === asked.at[1])) : [];
    const kernels = asked.shows.includes("w") ? range([0, asked.spec.c]).map((c) =>
      plainNamed(`w[0,${c}]`, asked.spec.r, asked.spec.s, (r, s) => `(${text(own.weight(0, c, r, s))})`, () => false)) : [];
    const choices = asked.cells ? make("div", { role: "group", "aria-label": "outputs" }, range([0, own.spec.p]).map((row) => make("div", {},
      range([0, own.spec.q]).map((column) => {
        const l = row * own.spec.q + column;
        const one = button(marked.has(l) ? `✓${row},${column}` : `${row},${column}`, () => {
          if (verdict) return;
          if (marked.has(l)) marked.delete(l); else marked.add(l);
          drawPanel();
          $(`choice-${l}`).focus();
        }, { "aria-pressed": String(marked.has(l)), id: `choice-${l}`, "aria-label": `output ${row}, ${column}` });
        return one;
      })))) : null;
    const { stride, padding, dilation } = asked.spec;
    return [p(make("b", {}, `Question ${state.asked + 1}. `), make("code", {}, asked.shape)),
      quiet(`x is ${asked.spec.n}×${asked.spec.c}×${rows}×${columns}, ${plural(asked.spec.k, "filter")} of ${asked.spec.r}×${asked.spec.s}, stride ${stride.join("×")}, padding ${padding.join("×")}, ` +
        `dilation ${dilation.join("×")}.`),
      p(make("b", {}, asked.prompt)), make("div", { class: "grids" }, images, kernels), choices, form,
      make("p", { id: "graded", class: verdict ? (verdict.right ? "right" : "wrong") : null },
        verdict ? `${verdict.right ? "✓ Right." : "✗ Not so."} ${asked.why}.` : ""),
      verdict ? button("Walk through this problem", () => change({ shape: asked.shape, mode: "zeros", seed: asked.spec.seed, n: 0, k: 0,
        view: "1" })) : null,
      quiet(`${score.right} of ${score.of} right so far.`)];
  }
  function plainNamed(title, rows, columns, at, marked) {
    return grid({ id: `quiz-${title}`, title, rows: { from: 0, to: rows, most: 12 }, columns: { from: 0, to: columns, most: 12 },
      at: (i, j) => ({ text: marked(i, j) ? `[${at(i, j)}]` : at(i, j), role: marked(i, j) ? "patch" : "" }) });
  }

  // Tabs.

  const tabs = VIEWS.map(([name, title]) => button(title, () => change({ view: name }), { role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}` }));
  $("tabs").append(...tabs);
  $("panels").append(...VIEWS.map(([name, title]) => make("section", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true },
    make("h2", {}, name in [..."01234567"] ? `Step ${title}` : title), make("div", { class: "body" }))));
  function drawPanel(only = state.view) {
    $(`panel-${only}`).querySelector(".body").replaceChildren(...PANELS[only]().filter(Boolean));
  }
  let printing = false;
  function drawPanels() {
    for (const [name] of VIEWS) {
      const here = name === state.view;
      $(`tab-${name}`).setAttribute("aria-selected", String(here));
      $(`tab-${name}`).tabIndex = here ? 0 : -1;
      $(`panel-${name}`).hidden = !here && !printing;
      if (here || printing) drawPanel(name);
      else $(`panel-${name}`).querySelector(".body").replaceChildren();
    }
  }
  $("tabs").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const at = VIEWS.findIndex(([name]) => name === state.view);
    const next = VIEWS[(at + by + VIEWS.length) % VIEWS.length][0];
    change({ view: next });
    $(`tab-${next}`).focus();
  });

  // What is drawn anew must not take the focus away.
  function focusMark() {
    const at = document.activeElement;
    const td = at?.closest?.("td[data-key]");
    if (td) return { grid: td.closest("table").dataset.grid, i: td.dataset.i, j: td.dataset.j };
    return at?.id ? { id: at.id } : at?.textContent && at.closest?.("#panels") ? { words: at.textContent } : null;
  }
  function giveFocus(mark) {
    if (!mark) return;
    const found = mark.id ? $(mark.id) : mark.grid ? $(`grid-${mark.grid}`)?.querySelector(`td[data-i="${mark.i}"][data-j="${mark.j}"]`) :
      Array.from(document.querySelectorAll("#panels button")).find((one) => one.textContent === mark.words);
    if (found && found !== document.activeElement) found.focus({ preventScroll: true });
  }
  function draw() {
    const mark = focusMark();
    document.documentElement.dataset.theme = state.theme;
    $("theme").value = state.theme;
    drawSettings();
    drawStage();
    drawPanels();
    giveFocus(mark);
    drawLinks();
    later();
  }

  // The state stands in the address, so that it can be shared.
  const KEPT = ["shape", "mode", "seed", "n", "c", "k", "p", "q", "view", "algorithm", "m", "g", "theme", "asked"];
  function fragment() {
    const found = new URLSearchParams();
    for (const name of KEPT) if (state[name] !== START[name]) found.set(name, state[name]);
    return found.size ? `#${found}` : "";
  }
  function fromFragment() {
    const found = { ...START };
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
      if (KEPT.includes(name)) found[name] = typeof START[name] === "number" ? Number(value) : value;
    }
    return found;
  }
  let timer = null;
  function later() { // a browser refuses hundreds of changes in a row
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, "", fragment() || location.pathname + location.search), 150);
  }
  window.addEventListener("hashchange", () => {
    if (location.hash !== fragment()) change(fromFragment());
  });

  // Keys.

  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  function stepCell([down, right]) {
    const { spec } = self;
    change({ p: Math.min(Math.max(state.p + down, 0), spec.p - 1), q: Math.min(Math.max(state.q + right, 0), spec.q - 1) });
  }
  function walkGrid(td, [down, right]) {
    const table = td.closest("table");
    const id = table.dataset.grid;
    const go = (next) => {
      if (!next) return false;
      table.querySelectorAll('td[tabindex="0"]').forEach((one) => { one.tabIndex = -1; });
      next.tabIndex = 0;
      roving[id] = `${next.dataset.i},${next.dataset.j}`;
      next.focus();
      return true;
    };
    const rows = Array.from(table.querySelectorAll("tbody tr, tfoot tr"));
    const own = Array.from(td.parentElement.querySelectorAll("td[data-key]"));
    const line = down ? rows[rows.indexOf(td.parentElement) + down] : td.parentElement;
    const next = down ? line?.querySelector(`td[data-key][data-j="${td.dataset.j}"]`) : own[own.indexOf(td) + right];
    if (go(next)) return;
    const [i, j] = [Number(td.dataset.i) + down, Number(td.dataset.j) + right];
    const [top, bottom, left, end] = JSON.parse(table.dataset.limits);
    if (Number.isNaN(i) || Number.isNaN(j) || i < top || i >= bottom || j < left || j >= end) return;
    pans[id] = [i, j]; // the window moves on
    roving[id] = `${i},${j}`;
    drawStage();
    drawPanels();
    go($(`grid-${id}`)?.querySelector(`td[data-i="${i}"][data-j="${j}"]`));
  }
  function turn(name, size, by) {
    change({ [name]: (state[name] + by + size) % size });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const td = event.target.closest?.("td[data-key]");
    const arrow = ARROWS[event.key];
    if (td && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      roving[td.closest("table").dataset.grid] = `${td.dataset.i},${td.dataset.j}`;
      choose(td.dataset.key);
    } else if (td && arrow && td.dataset.key.startsWith("y:")) { // in y the output itself moves
      event.preventDefault();
      const id = td.closest("table").dataset.grid;
      stepCell(arrow);
      roving[id] = `${state.p},${state.q}`;
      giveFocus({ grid: id, i: state.p, j: state.q });
    } else if (td && arrow) {
      event.preventDefault();
      walkGrid(td, arrow);
    } else if (arrow) {
      event.preventDefault();
      stepCell(arrow);
    } else act(event);
  });
  function act(event) {
    const { spec } = self;
    const by = event.shiftKey ? -1 : 1;
    const step = (to) => change({ view: String(Math.min(Math.max((Number(state.view) || (to > 0 ? 0 : STEPS + 1)) + to, 1), STEPS)) });
    const names = Object.keys(convbench.ALGORITHMS);
    const actions = {
      "[": () => step(-1),
      "]": () => step(1),
      c: () => turn("c", spec.c, by),
      k: () => turn("k", spec.k, by),
      n: () => turn("n", spec.n, by),
      a: () => (state.view === "algorithms" ?
        change({ algorithm: names[(names.indexOf(state.algorithm) + by + names.length) % names.length] }) : change({ view: "algorithms" })),
      d: () => change({ view: state.view === "backward" ? "1" : "backward" }),
      "?": () => {
        change({ view: "quiz" });
        ($("answer") ?? $("choice-0")).focus();
      },
      escape: () => { held = null; hovered = null; drawLinks(); },
    };
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  }

  // Play, share, print, theme.

  let playing = null;
  function play(on) {
    clearInterval(playing);
    playing = on ? setInterval(() => {
      const l = (state.p * self.spec.q + state.q + 1) % self.spec.l;
      const [row, column] = self.position(l);
      change({ p: row, q: column });
    }, 900) : null;
    $("play").textContent = on ? "■ Stop" : "▶ Play";
    $("play").setAttribute("aria-pressed", String(on));
  }
  $("play").addEventListener("click", () => play(playing === null));
  $("share").addEventListener("click", async () => {
    const address = location.href.split("#")[0] + fragment();
    try {
      await navigator.clipboard.writeText(address);
      $("share").textContent = "Copied";
    } catch {
      history.replaceState(null, "", address); // without leave to copy, it stands in the address bar
      $("share").textContent = "See the address bar";
    }
    setTimeout(() => { $("share").textContent = "Copy link"; }, 1500);
  });
  $("print").addEventListener("click", () => window.print());
  $("theme").addEventListener("change", (event) => change({ theme: event.target.value }));
  function forPrint(on) {
    if (printing === on) return;
    printing = on;
    drawPanels();
  }
  window.addEventListener("beforeprint", () => forPrint(true));
  window.addEventListener("afterprint", () => forPrint(false));
  window.matchMedia("print").addEventListener("change", (event) => forPrint(event.matches));
  let wasNarrow = narrow();
  window.addEventListener("resize", () => {
    if (narrow() !== wasNarrow) {
      wasNarrow = narrow();
      draw();
    }
  });

  // Does this page compute what convbench proved? Counts equal numbers, or names the first that differs.
  function check(proved = trace, seed = data.seed) {
    const own = convbench.problem({ ...convbench.parse(proved.spec), seed });
    const { spec } = own;
    let equal = 0;
    const wrong = [];
    const same = (name, want, got) => {
      if (want === null) return; // too large to be carried
      if (want.length !== got.length) {
        wrong.push(`${name}: ${got.length} numbers, ${want.length} were proved`);
        return;
      }
      for (let i = 0; i < want.length; i++) {
        if (want[i] === got[i]) equal += 1;
        else {
          wrong.push(`${name}[${i}] is ${got[i]}, ${want[i]} was proved`);
          return;
        }
      }
    };
    const cell = proved.cell;
    const terms = convbench.terms(own, cell);
    const channelSums = range([0, spec.cg]).map((c) => totalOf(terms.filter((term) => term.c === c)));
    const all = (size, at) => (size === undefined ? [] : Array.from({ length: size }, (_, i) => at(i)));
    const whole = (size, way) => range([0, size]).flatMap((i) => Array.from(way(i)));
    same("x", proved.x, own.x);
    same("w", proved.w, own.w);
    same("terms", proved.terms.flat(), terms.slice(0, proved.terms.length)
      .flatMap((term) => [term.channel, term.r, term.s, term.row, term.column, term.x, term.w, term.product]));
    same("sums", proved.sums, [...channelSums, totalOf(terms), terms.reduce((sum, term) => sum + term.x * term.mirrored, 0)]);
    spec.axes.forEach((axis, i) => same(`axis ${i}`, proved.axes[i],
      [axis.room, axis.rest, axis.positions, ...axis.readers, axis.unread.length, ...axis.unread]));
    if (proved.patches) same("patches", proved.patches, all(spec.n * spec.c * spec.r * spec.s * spec.l, (i) => {
      const [n, rest] = [Math.floor(i / (spec.c * spec.r * spec.s * spec.l)), i % (spec.c * spec.r * spec.s * spec.l)];
      return own.patch(n, Math.floor(rest / spec.l), rest % spec.l);
    }));
    same("y of the filter", proved.y_plane, proved.y_plane && convbench.ALGORITHMS.shift.run(own, cell.n, cell.k));
    if (proved.y) same("y", proved.y, whole(spec.n * spec.k, (i) => convbench.ALGORITHMS.shift.run(own, Math.floor(i / spec.k), i % spec.k)));
    if (proved.folded) same("folded", proved.folded, all(spec.c * spec.h * spec.w, (i) => {
      const [c, row, column] = [Math.floor(i / (spec.h * spec.w)), Math.floor(i / spec.w) % spec.h, i % spec.w];
      return own.pixel(cell.n, c, row, column) * convbench.overlap(spec, row, column);
    }));
    const { counts } = proved;
    const padded = spec.n * spec.k * spec.cg * (spec.r * spec.s * spec.l - spec.axes.map((axis) =>
      axis.readers.reduce((sum, one) => sum + one, 0)).reduce((a, b) => a * b));
    same("counts", [counts.position, ...counts.gemm, counts.macs, counts.multiplications, counts.additions, counts.on_padding, counts.x_nbytes, counts.patches_nbytes],
      [cell.p * spec.q + cell.q, spec.kg, spec.n * spec.l, spec.taps, spec.macs, convbench.ALGORITHMS.loops.count(spec).multiplications,
        convbench.ALGORITHMS.loops.count(spec).additions, padded, 4 * own.x.length, convbench.ALGORITHMS.unfold.count(spec).memory]);
    return { equal, wrong };
  }
  function tellVerdict() {
    const { equal, wrong } = check();
    const failed = trace.proof.filter((one) => !one.holds).map((one) => `${one.name}: ${one.evidence}`);
    const bad = [...wrong, ...failed];
    const part = ["x", "w", "y", "patches"].some((name) => trace[name] === null) ? " The larger tensors were left out of the file." : "";
    $("verdict").className = `verdict ${bad.length ? "wrong" : "good"}`;
    $("verdict").textContent = bad.length ? `✗ THIS PAGE DIFFERS FROM WHAT WAS PROVED. ${bad.join("; ")}. Do not trust its numbers.` :
      `✓ ${count(equal)} numbers equal to the trace of ${trace.spec}, which ${plural(trace.proof.length, "comparison")} with torch and float64 proved.${part}`;
  }

  Object.assign(convbench, { check, state: () => ({ ...state }), trace });
  window.convbench = convbench;
  $("app").hidden = false;
  if (narrow()) $("settings").open = false;
  // A setting in the address that cannot be shown leaves its sentence, and the page as it was made.
  if (!change(fromFragment())) {
    const sentence = $("complaint").textContent;
    change({ ...START });
    $("complaint").textContent = sentence;
  }
  tellVerdict();
})();
