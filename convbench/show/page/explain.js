"use strict";
// The page of explain: one state, drawn anew when it changes; links between cells are drawn without it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const VIEWS = [["1", "1 Operands"], ["2", "2 One cell"], ["3", "3 Positions"], ["4", "4 Unfold"],
    ["5", "5 Flatten w"],
    ["6", "6 Multiply"], ["7", "7 Reshape + proof"], ["algorithms", "Algorithms"], ["backward", "Backward"],
      ["quiz", "Quiz"]];
  const STEPS = 7;
  const { trace } = data;
  const START = { shape: trace.spec, mode: "zeros", seed: data.seed, ...trace.cell, c: trace.terms[0][0], view: "1",
    algorithm: "loops",
    m: 0, g: "terminal", theme: "auto", asked: 0 };
  const state = { ...START };
  const self = {}; // the problem that is shown, with its numbers
  const known = new Map(); // planes of it that were computed
  const pans = {}; // where a grid was moved to
  const roving = {}; // the cell of each grid that Tab reaches
  let hovered = null;
  let held = null;
  const page = { state, self, known, pans, roving, data, change, draw, drawPanel };
  const { make, text, count, plural, button, narrow } = convbench.dom;
  const grids = convbench.makeGrids(page);
  const { first, reads, xGrid, wGrid, yGrid, cellTerms, sumOf } = grids;
  const { linkedKeys, describe } = convbench.makeLinks(page, grids);
  const { agreement, ...ways } = convbench.makeWays(page, grids);
  const PANELS = { ...convbench.makeSteps(page, grids, agreement), ...ways, ...convbench.makeQuiz(page, grids) };
  const { totalOf } = convbench;

  // Settings.

  function tooLarge(spec) {
    if (Math.max(...convbench.SIZES.map((letter) => spec[letter]), ...spec.padding, ...spec.end) > 4096) {
      return "A size or a padding above 4,096 is more than this page shows; try a smaller one.";
    }
    const one = convbench.derive(spec);
    const numbers = one.n * one.c * one.hp * one.wp + one.k * one.taps + one.n * one.k * one.l;
    if (one.l * one.taps > data.limits.products) {
      return `One filter's output would take ${count(one.l * one.taps)} products; this page answers at once up to ` +
        `${count(data.limits.products)}. Try a smaller h, w or c.`;
    }
    if (numbers > data.limits.numbers) {
      return `Padded x, w and y would hold ${count(numbers)} numbers; this page shows up to ` +
        `${count(data.limits.numbers)}. ` +
        "Try a smaller n, c, k, h or w.";
    }
    return null;
  }
  // The change as a whole, or a sentence that says why not.
  function change(parts) {
    const next = { ...state, ...parts };
    try {
      const spec = { ...convbench.parse(next.shape), mode: next.mode, seed: next.seed };
      if (!convbench.MODES.includes(next.mode)) throw new Error(`Padding ${next.mode}: choose among ` +
        `${convbench.MODES.join(", ")}.`);
      if (!(Number.isInteger(next.seed) && next.seed >= 0 && next.seed < 2 ** 32)) {
        throw new Error("seed must be a whole number from 0 to 4,294,967,295.");
      }
      const problem = convbench.complaint(spec) ?? tooLarge(spec);
      if (problem) throw new Error(problem);
      if (!self.spec || convbench.text(spec) !== convbench.text(self.spec) || spec.mode !== self.spec.mode ||
          spec.seed !== self.spec.seed) {
        Object.assign(self, convbench.problem(spec));
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
    const lowest = self.group(next.k) * spec.cg;
    if (!("c" in parts) && (next.c < lowest || next.c >= lowest + spec.cg)) next.c = lowest;
    if (!VIEWS.some(([name]) => name === next.view)) next.view = "1";
    if (!(next.algorithm in convbench.ALGORITHMS)) next.algorithm = "loops";
    if (!(next.g in convbench.GRADIENTS)) next.g = "terminal";
    if (!["auto", "light", "dark"].includes(next.theme)) next.theme = "auto";
    if (!(Number.isInteger(next.m) && next.m >= 0 && next.m <= 5)) next.m = 0;
    if (!(Number.isInteger(next.asked) && next.asked >= 0)) next.asked = 0;
    if (["n", "k", "c", "p", "q"].some((name) => next[name] !== state[name])) {
      for (const name of Object.keys(pans)) delete pans[name];
    }
    Object.assign(state, next);
    draw();
    return true;
  }
  const NUMBERS = ["n", "c", "h", "w", "k", "r", "s", "groups", "stride0", "stride1", "dilation0", "dilation1"];
  const form = $("form");
  function fromForm() {
    const value = (name) => (form.elements[name].value.trim() === "" ? NaN : Number(form.elements[name].value));
    const spec = { stride: [0, 1].map((i) => value(`stride${i}`)), dilation: [0, 1].map((i) => value(`dilation${i}`)),
      ...convbench.readPadding(form.elements.padding.value), groups: value("groups"), mode: form.elements.mode.value };
    for (const letter of convbench.SIZES) spec[letter] = value(letter);
    return { spec, mode: spec.mode, seed: value("seed") };
  }
  form.addEventListener("input", (event) => {
    if (event.target.name === "shape") return;
    try {
      const { spec, mode, seed } = fromForm();
      const problem = convbench.complaint(spec);
      if (problem) throw new Error(problem);
      change({ shape: convbench.text(spec), mode, seed });
    } catch (error) {
      $("complaint").textContent = error.message;
    }
  });
  form.elements.shape.addEventListener("change", (event) => change({ shape: event.target.value.trim() }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change({ shape: form.elements.shape.value.trim() });
  });
  form.elements.mode.append(...convbench.MODES.map((mode) => make("option", { value: mode }, mode)));
  function drawSettings() {
    const { spec } = self;
    const values = { shape: convbench.text(spec), padding: convbench.paddingText(spec), mode: state.mode,
      seed: state.seed };
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
    const [zeros, even] = [state.mode === "zeros", convbench.even(spec)];
    const sides = [spec.padding[1], spec.end[1], spec.padding[0], spec.end[0]].join(", "); // F.pad begins on the left
    const padded = `F.pad(x, (${sides})${zeros ? "" : `, mode="${state.mode}"`})`;
    $("same").replaceChildren(...(zeros ? ["The same numbers on a terminal: ", make("code", {}, command)] : []),
      ...(zeros && even ? [] : [zeros ? ". F.conv2d pads opposite sides alike; this is " :
        "F.conv2d pads with zeros only; this is ", make("code", {}, padded), " and then F.conv2d without padding."]));
  }

  // The operands, the output, and the cell that is followed.

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
    $("pickers").replaceChildren(picker("n", "image", spec.n), picker("c", "channel", spec.c),
      picker("k", "filter", spec.k),
      picker("p", "output row", spec.p), picker("q", "output column", spec.q));
    $("grids").replaceChildren(xGrid(), reads(state.c) ? wGrid() :
      make("p", {}, `Filter ${state.k} is in group ${self.group(state.k)}, which ` +
      `reads channels ${first()} to ${first() + spec.cg - 1}; channel ${state.c} is not among them.`), yGrid());
    const terms = cellTerms();
    $("sum").replaceChildren(`y[${state.n},${state.k},${state.p},${state.q}] = `, ...sumOf(terms, 12));
    const total = text(totalOf(terms));
    $("spoken").textContent = `y in row ${state.p}, column ${state.q} of filter ${state.k}, image ${state.n} is ` +
      `${total}: ` +
      `${terms.slice(0, 9).map((term) => `${text(term.x)} times ${text(term.w)}`).join(", plus ")}` +
      `${terms.length > 9 ? `, and ${terms.length - 9} more products` : ""}.`;
  }

  // Links: the cells of the same products as the one that is pointed at.

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
    if (kind === "y") change({ p: numbers[0], q: numbers[1] });
    else if (kind === "l" || kind === "m") {
      const [row, column] = self.position(numbers.at(-1));
      const c = kind === "m" ? first() + self.tap(numbers[0])[0] : state.c;
      change({ p: row, q: column, c });
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

  // Tabs.

  const tabs = VIEWS.map(([name, title]) => button(title, () => change({ view: name }),
    { role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}` }));
  $("tabs").append(...tabs);
  $("panels").append(...VIEWS.map(([name, title]) => make("section",
    { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true },
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
    const found = mark.id ? $(mark.id) : mark.grid ?
      $(`grid-${mark.grid}`)?.querySelector(`td[data-i="${mark.i}"][data-j="${mark.j}"]`) :
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
    change({ p: Math.min(Math.max(state.p + down, 0), spec.p - 1),
      q: Math.min(Math.max(state.q + right, 0), spec.q - 1) });
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
    const step = (to) => change({ view: String(Math.min(Math.max((Number(state.view) || (to > 0 ? 0 : STEPS + 1)) + to,
      1), STEPS)) });
    const names = Object.keys(convbench.ALGORITHMS);
    const actions = {
      "[": () => step(-1),
      "]": () => step(1),
      c: () => turn("c", spec.c, by),
      k: () => turn("k", spec.k, by),
      n: () => turn("n", spec.n, by),
      a: () => (state.view === "algorithms" ?
        change({ algorithm: names[(names.indexOf(state.algorithm) + by + names.length) % names.length] }) :
          change({ view: "algorithms" })),
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

  function tellVerdict() {
    const { equal, wrong } = convbench.check(trace, data.seed);
    const absent = ["x", "w", "y", "y_plane", "patches", "folded"].filter((name) => trace[name] === null);
    const part = absent.length ? ` Too large for the file, and left out of it: ${absent.join(", ")}.` : "";
    $("verdict").className = `verdict ${wrong.length ? "wrong" : "good"}`;
    $("verdict").textContent = wrong.length ?
      `✗ THIS PAGE DIFFERS FROM WHAT WAS PROVED. ${wrong.join("; ")}. Do not trust its numbers.` :
      `✓ ${count(equal)} numbers equal to the trace of ${trace.spec}, which ` +
        `${plural(trace.proof.length, "comparison")} with torch and float64 proved.${part}`;
  }

  Object.assign(convbench, { state: () => ({ ...state }), trace });
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
