"use strict";
// What stands around the stage: the words of the language, the problem in short, tabs, pickers, the verdict, paper.
convbench.makeChrome = (page, { tables, notes, ran, panels, grids }) => {
  const { state, self, data, change } = page;
  const { make, button, count, p } = convbench.dom;
  const { trace } = data;
  const $ = (id) => document.getElementById(id);
  const TABS = ["steps", "algorithms", "backward", "quiz"];
  const byTimes = (...sizes) => sizes.join("×");
  const lookUp = (path) => path.split(".").reduce((table, name) => table[name], convbench.words);

  // A token is a text, or [role, text].
  const spoken = (tokens) => tokens.map((one) => (typeof one === "string" ? one : make("span", { class: `t-${one[0]}` },
    one[1])));
  const lines = (all) => all.flatMap((tokens, i) => [...(i ? [make("br", {})] : []), ...spoken(tokens)]);

  // Once for each language.
  function translate() {
    document.documentElement.lang = state.lang;
    for (const one of document.querySelectorAll("[data-word]")) one.textContent = lookUp(one.dataset.word);
    for (const one of document.querySelectorAll("[data-label]")) {
      const label = lookUp(one.dataset.label);
      one.setAttribute("aria-label", label.replace(/ \([a-z]\)$/, ""));
      one.title = label;
    }
    $("form").elements.padding.title = convbench.words.choose.sidesHint;
    $("stage").dataset.drop = convbench.words.page.drop;
    $("views").replaceChildren(...TABS.map((name) => button(convbench.words.page[name], () => page.show(name),
      { id: `tab-${name}` })));
    $("keys").replaceChildren(...convbench.words.keys.flatMap(([key, what]) => [make("dt", {}, key),
      make("dd", {}, what)]));
    $("lang").replaceChildren(...Object.entries(convbench.languages).map(([name, { language }]) =>
      make("option", { value: name, selected: name === state.lang }, language)));
  }

  function picker(name, size, place) {
    const words = convbench.words.pick;
    const step = (by) => () => change({ [name]: (state[name] + by + size) % size });
    const letter = { n: "b", c: "c", k: "o", p: "oh", q: "ow" }[name];
    return make("span", { class: "picker", role: "group", "aria-label": words[name] },
      button("−", step(-1), { "aria-label": words.previous(words[name]), id: `${place}less-${name}` }),
      make("b", {}, `${letter} = ${state[name]}`),
      button("+", step(1), { "aria-label": words.next(words[name]), id: `${place}more-${name}` }));
  }
  function pickers(names, place) {
    const { spec } = self;
    const sizes = { n: spec.n, c: spec.c, k: spec.k, p: spec.p, q: spec.q };
    return names.filter((name) => sizes[name] > 1).map((name) => picker(name, sizes[name], place));
  }
  function showProblem() {
    const { spec } = self;
    $("problem").replaceChildren(`x ${byTimes(spec.n, spec.c, spec.h, spec.w)}`, make("i", {}, "∗"),
      make("span", { class: "t-kernel" }, `w ${byTimes(spec.k, spec.cg, spec.r, spec.s)}`),
      make("span", { class: "to-y" }, make("i", {}, "→"), make("span", { class: "t-output" },
        `y ${byTimes(spec.n, spec.k, spec.p, spec.q)}`)));
    $("problem").dataset.shape = convbench.text(spec);
  }

  // Is what is shown right? What was proved elsewhere is said of the problem for which it was.
  let traced = null;
  function verdict() {
    const words = convbench.words.proof;
    traced ??= convbench.check(trace, data.seed);
    const agrees = page.agrees();
    if (traced.wrong.length) return { good: false, text: words.wrong(traced.wrong) };
    if (agrees && !agrees.holds) return { good: false, text: words.own };
    if (!page.isTraced()) {
      return { good: true, text: agrees ? words.other(agrees.outputs, trace.spec) : words.unproved(trace.spec) };
    }
    const absent = ["x", "w", "y", "y_plane", "patches", "folded"].filter((name) => trace[name] === null);
    return { good: true, text: words.same(traced.equal, trace.spec, trace.proof.length) +
      (absent.length ? words.leftOut(absent) : "") };
  }
  function showVerdict() {
    const { good, text } = verdict();
    $("verdict").className = `verdict ${good ? "good" : "wrong"}${page.isTraced() ? "" : " other"}`;
    $("verdict").textContent = `${good ? "✓" : "✗"} ${text}`;
  }

  function showTabs() {
    const tab = page.isStep() ? "steps" : state.view;
    for (const name of TABS) {
      if (name === tab) $(`tab-${name}`).setAttribute("aria-current", "page");
      else $(`tab-${name}`).removeAttribute("aria-current");
    }
    document.documentElement.classList.toggle("in-room", tab !== "steps");
    for (const id of ["story", "stage", "transport"]) $(id).hidden = tab !== "steps";
    $("room").hidden = tab === "steps";
    for (const name of TABS.slice(1)) $(`panel-${name}`).hidden = name !== tab;
  }
  function showPickers() {
    const found = pickers(["n", "c", "k"], "");
    $("pickers").replaceChildren(...found);
    $("stage").classList.toggle("picking", found.length > 0);
  }
  // A tab draws x, w and y above its own panel; the quiz is about problems of its own.
  function showRoom() {
    $("grids").replaceChildren();
    for (const name of TABS.slice(1)) $(`panel-${name}`).querySelector(".body").replaceChildren();
    if (page.isStep()) return;
    $("operands").hidden = state.view === "quiz";
    if (state.view !== "quiz") {
      $("room-pickers").replaceChildren(...pickers(["n", "c", "k", "p", "q"], "room-"));
      $("grids").replaceChildren(...tables.operands());
      $("sum").replaceChildren(`y[${state.n},${state.k},${state.p},${state.q}] = `,
        ...grids.sumOf(grids.cellTerms(), 12));
    }
    drawPanel();
  }
  function drawPanel(name = state.view) {
    $(`panel-${name}`).querySelector(".body").replaceChildren(...panels()[name]().filter(Boolean));
  }

  function show() {
    const { theme, speed, colours } = state;
    document.documentElement.dataset.theme = theme;
    for (const name of ["present", "embed"]) document.documentElement.classList.toggle(name, Boolean(state[name]));
    $("theme").value = theme;
    $("rate").textContent = `${speed}×`;
    $("as-numbers").setAttribute("aria-checked", String(!colours));
    $("as-colours").setAttribute("aria-checked", String(Boolean(colours)));
    showProblem();
    showTabs();
    showPickers();
    showRoom();
    showVerdict();
  }

  // On paper: every step full, with its text, tables, notes and code; then the tabs.
  function paper(on) {
    const steps = on ? convbench.timeline.plan(self.spec.l).steps.map((entry) => printed(entry)) : [];
    const { page: words } = convbench.words;
    const tabs = on ? ["algorithms", "backward"].map((name) => make("section", { id: `printed-${name}` },
      make("h2", {}, words[name]), make("div", {}, panels()[name]().filter(Boolean)))) : [];
    $("paper").replaceChildren(...steps, ...tabs);
  }
  function printed(entry) {
    const { step } = entry;
    const story = page.story();
    const words = convbench.words.steps;
    const end = { ...convbench.timeline.moment(entry, entry.length), step };
    const full = convbench.timeline.filled(end, self.spec);
    const l = state.p * self.spec.q + state.q;
    return make("section", { id: `printed-${step}` }, make("h2", {}, `${words.of(step)}: ${words.titles[step - 1]}`),
      p(lines(story.shape(step))), p(story.text(step)),
      p(lines(story.live({ step, l, k: state.k, agrees: page.agrees() }))),
      make("div", { class: "grids" }, tables.of(step, full, `printed-${step}-`)), notes.of(step, story, page.slice()),
      step === 8 ? ran.contents() : null, make("pre", {}, page.code(step).join("\n")));
  }

  return { translate, show, showRoom, drawPanel, lines, paper, count };
};
