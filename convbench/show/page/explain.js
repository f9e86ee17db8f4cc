"use strict";
// The page of explain: one state and one clock; the stage is drawn from both, everything around it from the state.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const { timeline, address, dom } = convbench;
  const { trace } = data;
  const { setting } = convbench;
  const [FULL, AFTER_MS, EASE_S, LATEST_S, FRAME_S] = [0.9999, 150, 0.11, 0.1, 0.016];
  const START = { shape: trace.spec, mode: "zeros", seed: data.seed, ...trace.cell, c: trace.terms[0][0], view: "1",
    at: -1, image: "", kernel: "", x: "", w: "", own: "", colours: 0, speed: 1, algorithm: "loops", m: 0,
    g: "terminal", level: 1, asked: 0, theme: "auto", lang: "en", present: 0, embed: 0 }; // at -1: where a step rests
  const state = { ...START };
  const self = {}; // the problem that is shown, with its numbers
  const known = new Map(); // planes of it that were computed
  const pans = {}; // where a table was moved to
  const roving = {}; // the cell of each table that Tab reaches
  const clock = { time: 0, playing: false, stopAt: null, started: false, plan: null };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const stage = { boxes: null, settled: null, version: 0, slice: null, sliceKey: "" };
  const page = { state, self, known, pans, roving, data, clock, START, change, complain, at, seek, play, go, show, rest,
    isStep, isTraced, isDrawn, agrees, slice, story, code, redrawTables, toCell, wake, render, draw, present, turnTheme, boxes: () => stage.boxes, moving: () => waiting, strip: () => picture.strip() };
  const grids = convbench.makeGrids(page);
  const pointing = convbench.makePointing(page, grids);
  Object.assign(page, pointing);
  const { markTables, look, focusMark, giveBack } = pointing;
  const ways = convbench.makeWays(page, grids);
  const ink = convbench.makeInk($("canvas"));
  const picture = convbench.makePicture(ink);
  const tables = convbench.makeTables(page, grids);
  const ran = convbench.makeRan(page, $("really"));
  const notes = convbench.makeNotes(page, grids, ways, ran);
  const panels = { algorithms: ways.algorithms, ...convbench.makeBackward(page, grids),
    ...convbench.makeQuiz(Object.assign(page, { drawPanel: () => chrome.drawPanel() }), grids) };
  const chrome = convbench.makeChrome(page, { tables, notes, ran, panels: () => panels, grids });
  const drawer = convbench.makeDrawer(page);
  const transport = convbench.makeTransport(page);
  const hands = convbench.makeHands(page);
  Object.assign(page, { drawer, hands, ink, rate: transport.rate });
  convbench.makeKeys(page);

  // The problem.

  function complain(sentence, isFault = true) {
    $("complaint").textContent = sentence;
    $("complaint").hidden = !sentence;
    $("complaint").classList.toggle("fault", isFault);
  }
  const SOURCES = ["shape", "mode", "seed", "image", "kernel", "own", "x", "w"];
  function rebuild(spec, next) {
    const where = clock.plan && at();
    const own = convbench.unpackOwn(next.own);
    Object.assign(self, convbench.problem(spec, convbench.chosen(spec, { ...next, own })));
    known.clear();
    const before = stage.key;
    stage.key = [next.shape, next.mode].join();
    stage.version += 1;
    if (before === stage.key) return; // other numbers at the same places
    pointing.forget();
    hands.deselect();
    for (const name of Object.keys(pans)) delete pans[name];
    clock.plan = timeline.plan(self.spec.l);
    if (where) {
      const entry = clock.plan.steps[where.index];
      clock.time = entry.start + Math.min(where.u, FULL) * entry.length;
    }
    transport.build();
  }
  // The change as a whole, or a sentence that says why not.
  function change(parts) {
    const next = { ...state, ...parts };
    setting.knowSources(next);
    try {
      const spec = setting.problemOf(next, data.limits);
      next.shape = convbench.text(spec);
      setting.dropEdits(state, next, parts);
      if (!self.spec || SOURCES.some((name) => next[name] !== state[name])) rebuild(spec, next);
    } catch (error) {
      complain(error.message);
      return false;
    }
    complain("");
    setting.settle(next, parts, self, START);
    const moved = ["n", "k", "c", "p", "q"].filter((name) => next[name] !== state[name]);
    if (moved.length) for (const name of Object.keys(pans)) delete pans[name];
    const spoken = next.lang !== state.lang;
    Object.assign(state, next);
    if (spoken) translate();
    if (moved.includes("p") || moved.includes("q")) toCell();
    if ("view" in parts && isStep() && Number(next.view) !== at().index + 1) stand(Number(next.view));
    follow();
    draw();
    return true;
  }
  function translate() {
    convbench.words = convbench.languages[state.lang];
    chrome.translate();
    if (clock.plan) transport.build();
    stage.told = "";
  }
  // Are these the numbers that `convbench explain` draws; and are they the very ones of the trace?
  function isDrawn() {
    return !state.image && !state.kernel && !state.x && !state.w;
  }
  function isTraced() {
    return isDrawn() && convbench.text(self.spec) === trace.spec && state.mode === "zeros" && state.seed === data.seed;
  }
  // The stage's outputs against the loops and the matrix product; null where that would take long.
  function agrees() {
    return ways.agrees(slice().filters);
  }

  // Time.

  function at() {
    return timeline.at(clock.plan, clock.time);
  }
  function isStep() {
    return !setting.TABS.includes(state.view);
  }
  // The step and, where it has positions, the output that is followed are those of the time.
  function follow() {
    if (!isStep()) return;
    const now = at();
    state.view = String(now.index + 1);
    if (now.entry.slots) [state.p, state.q] = self.position(now.l);
  }
  function toCell() {
    if (!isStep()) return;
    const { entry } = at();
    if (!entry.slots) return;
    clock.playing = false;
    clock.time = entry.start + timeline.timeOf(entry, state.p * self.spec.q + state.q);
    transport.showPlaying();
  }
  function seek(time) {
    clock.time = timeline.clamp(time, 0, clock.plan.total);
    follow();
    wake();
  }
  // Where a step stands when nobody plays it: at the followed output, or full; the first one at its beginning.
  function restingTime(step) {
    const entry = clock.plan.steps[step - 1];
    if (step === 1) return entry.start;
    return entry.start + (entry.slots ? timeline.timeOf(entry, state.p * self.spec.q + state.q) : FULL * entry.length);
  }
  function stand(step) {
    clock.playing = false;
    clock.time = restingTime(step);
    transport.showPlaying();
  }
  function play(on, stopAt = null) {
    if (on && clock.time >= clock.plan.total - 0.01) clock.time = 0;
    Object.assign(clock, { playing: on, stopAt, started: clock.started || on });
    stage.last = 0;
    transport.showPlaying();
    if (on) {
      pointing.point(null);
      wake();
    } else rest();
  }
  // A step that was asked for plays once and rests full; with reduced motion it is full at once.
  function go(index) {
    const entry = clock.plan.steps[Math.max(0, Math.min(timeline.STEPS - 1, index))];
    const end = entry.start + FULL * entry.length;
    hands.deselect();
    pointing.forget();
    const wasRoom = !isStep();
    state.view = String(entry.step);
    seek(calm.matches ? end : entry.start);
    if (wasRoom) chrome.show();
    play(!calm.matches, calm.matches ? null : end);
  }
  function show(tab) {
    if (clock.playing) play(false);
    change({ view: tab === "steps" ? String(at().index + 1) : tab });
    if (tab === "quiz") panels.focusQuiz();
  }
  // When time stands still, tables, the spoken sentence and the address follow.
  function rest() {
    redrawTables();
    speak();
    later();
    wake();
  }
  function speak() {
    const step = at().index + 1;
    const terms = grids.cellTerms();
    const shown = terms.slice(0, 9).map((term) => [dom.text(term.x), dom.text(term.w)]);
    $("spoken").textContent = step === 2 || step === 4 || step === 6 || !isStep() ? convbench.words.spoken(state.p,
      state.q, state.k, state.n, dom.text(convbench.totalOf(terms)), shown, terms.length - shown.length) :
      `${convbench.words.steps.titles[step - 1]}. ${$("live").textContent}`;
  }

  // Drawing.

  function slice() {
    const key = [stage.version, state.n, state.k, state.c, state.colours].join();
    if (key !== stage.sliceKey) {
      stage.slice = convbench.slice(self, state, { plane: (k) => grids.yPlane(k), version: key });
      stage.sliceKey = key;
    }
    return stage.slice;
  }
  function story() {
    return convbench.tell(self, state);
  }
  function code(step) {
    return convbench.program(self, step, state);
  }
  // Text is built when it changes, not for each frame.
  function tellStory(now, { l, b }) {
    const k = slice().filters[b];
    const key = [stage.sliceKey, now.step, l ?? now.l, k, state.lang, state.p, state.q, clock.playing].join();
    if (key === stage.told) return;
    stage.told = key;
    const words = convbench.words.steps;
    const { step } = now;
    const told = story();
    $("eyebrow").textContent = words.of(step);
    $("title").textContent = words.titles[step - 1];
    $("shape").replaceChildren(...chrome.lines(told.shape(step)));
    $("text").textContent = told.text(step);
    $("live").replaceChildren(...chrome.lines(l === null ? told.live({ step, l: now.l, k, agrees: step === 7 &&
      agrees() }) : [told.sumOf(l, k, step === 6)]));
    // A picture as text is one long word, of which the beginning is shown.
    $("code").replaceChildren(...code(step).join("\n").split(/("[\w-]{60,}={0,2}")/).map((part, i) => (i % 2 ?
      dom.make("span", { class: "long" }, part) : part)));
    if ($("more").open && !clock.playing) fillMore(step, told);
    const { edit, tap, paint, seek: go_ } = convbench.words.stage;
    $("tip").textContent = step === 8 ? "" : step === 4 || step === 6 || step === 2 ? go_ : step === 7 ? "" : state.image ?
      paint : matchMedia("(pointer: coarse)").matches ? tap : edit;
    document.documentElement.dataset.step = step;
    showMore();
  }
  // Whether a column goes on below what is seen of it.
  function showMore() {
    for (const id of ["story", "really"]) {
      const { scrollHeight, scrollTop, clientHeight } = $(id);
      $(id).classList.toggle("below", scrollHeight - scrollTop - clientHeight > 2);
    }
  }
  function fillMore(step, told) {
    $("notes").replaceChildren(...notes.of(step, told, slice()));
  }
  // Boxes move to a new layout by the clock; everything else is where the time says.
  function settleBoxes(step, dt) {
    const goal = convbench.layout.boxesOf(slice(), step, ink.size);
    if (!stage.boxes || calm.matches) {
      stage.boxes = { ...goal, signAlpha: 1 };
      return false;
    }
    const part = 1 - Math.exp(-dt / EASE_S);
    let moving = false;
    for (const [name, to] of Object.entries(goal)) {
      const from = stage.boxes[name];
      if (name === "signs" || from.across !== to.across) continue;
      for (const side of ["x", "y", "cw", "ch", "alpha"]) {
        const near = Math.abs(from[side] - to[side]) < (side === "alpha" ? 0.01 : 0.3);
        if (near) continue;
        to[side] = timeline.mix(from[side], to[side], part);
        moving = true;
      }
    }
    stage.boxes = { ...goal, signAlpha: moving ? 0 : 1 };
    return moving;
  }
  function advance(dt) {
    clock.time = Math.min(clock.time + dt * state.speed, clock.plan.total);
    const end = clock.stopAt ?? clock.plan.total;
    if (clock.time >= end) {
      clock.time = end;
      play(false);
    }
    follow();
  }
  let waiting = false;
  function wake() {
    if (waiting || document.hidden) return;
    waiting = true;
    requestAnimationFrame(frame);
  }
  function frame(stamp) {
    waiting = false;
    const dt = stage.last ? Math.min(LATEST_S, (stamp - stage.last) / 1000) : 0;
    if (clock.playing) advance(dt);
    if (!isStep()) return;
    const again = render(dt || FRAME_S) || clock.playing;
    stage.last = again ? stamp : 0;
    if (again) wake();
  }
  // The stage as it is now, and its words; whether boxes or the film strip still move.
  function render(dt) {
    const now = at();
    const seen = look();
    const moving = settleBoxes(now.step, dt);
    const easing = picture.draw(slice(), now, stage.boxes, { ...seen, dt, jump: calm.matches || !stage.last });
    tellStory(now, seen);
    transport.show(now);
    ran.show(now.step === 8);
    mark(now);
    return moving || easing;
  }
  // What a test reads: how many cells hold a number.
  function mark(now) {
    const full = timeline.filled(now, self.spec);
    Object.assign($("stage").dataset, { step: now.step, l: now.l, columns: full.columns, wFlat: full.wFlat,
      yFlat: full.yFlat, y: full.y });
  }
  function redrawTables() {
    if (!isStep()) return chrome.showRoom();
    const mark_ = focusMark();
    const now = at();
    $("tables").replaceChildren(...tables.of(now.step, timeline.filled(now, self.spec)));
    if (mark_?.grid) giveBack(mark_);
    return markTables();
  }
  function draw() {
    const mark_ = focusMark();
    chrome.show();
    drawer.show();
    giveBack(mark_);
    stage.told = "";
    if (isStep() && !clock.playing) redrawTables();
    if (!clock.playing) speak();
    markTables();
    later();
    wake();
  }

  // The address.

  function fragment() {
    const found = { ...state, at: -1, own: state.image === "own" ? state.own : "" };
    if (isStep()) {
      const now = at();
      const resting = Math.abs(restingTime(now.index + 1) - clock.time) < 1e-3 * now.entry.length;
      if (!resting) found.at = Number(now.u.toFixed(4));
    }
    return address.write(found, START);
  }
  let written = location.hash;
  function keepAddress() {
    if (location.hash !== written) return; // somebody has just gone to another one
    try {
      history.replaceState(null, "", fragment() || location.pathname + location.search);
      written = location.hash;
    } catch {
      // a frame of a notebook has no address
    }
  }
  let timer = null;
  function later() { // a browser refuses hundreds of changes in a row
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!clock.playing) keepAddress();
    }, AFTER_MS);
  }
  // Everything as an address says; what it leaves out is as at the start.
  function open(hash) {
    clearTimeout(timer);
    clock.playing = false;
    const wanted = address.read(hash, START);
    const done = change(wanted);
    if (done && isStep()) {
      // follow() has put the view of the old time there.
      const view = setting.STEPS.includes(wanted.view) ? Number(wanted.view) : 1;
      [state.p, state.q] = [setting.within(wanted.p, self.spec.p), setting.within(wanted.q, self.spec.q)];
      const entry = clock.plan.steps[view - 1];
      const asked = wanted.at >= 0 && wanted.at <= 1;
      seek(asked ? entry.start + Math.min(wanted.at, FULL) * entry.length : restingTime(view));
    }
    if (done) {
      transport.showPlaying();
      rest();
    }
    return done;
  }
  window.addEventListener("hashchange", () => {
    written = location.hash;
    if (location.hash !== fragment()) open(location.hash);
  });

  // Buttons around the stage.

  function present(on) {
    change({ present: on ? 1 : 0 });
    if (on) document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
    resize();
  }
  function turnTheme() {
    const dark = state.theme === "dark" || (state.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    change({ theme: dark ? "light" : "dark" });
    resize();
  }
  async function copy(words, button, done = convbench.words.page.copied) {
    const before = Array.from(button.childNodes);
    try {
      await navigator.clipboard.writeText(words);
      button.replaceChildren(done);
    } catch {
      button.replaceChildren(convbench.words.page.address);
    }
    setTimeout(() => button.replaceChildren(...before), 1500);
  }
  $("share").addEventListener("click", () => {
    keepAddress();
    copy(location.href, $("share"), "✓");
  });
  $("copy").addEventListener("click", () => copy($("code").textContent, $("copy")));
  $("print").addEventListener("click", () => window.print());
  $("theme").addEventListener("change", (event) => {
    change({ theme: event.target.value });
    resize();
  });
  $("lang").addEventListener("change", (event) => change({ lang: event.target.value }));
  $("dark").addEventListener("click", turnTheme);
  $("full").addEventListener("click", () => present(true));
  $("as-numbers").addEventListener("click", () => change({ colours: 0 }));
  $("as-colours").addEventListener("click", () => change({ colours: 1 }));
  $("more").addEventListener("toggle", () => { if ($("more").open) fillMore(at().step, story()); });
  for (const one of [$("more"), $("torch")]) one.addEventListener("toggle", showMore);
  for (const id of ["story", "really"]) $(id).addEventListener("scroll", showMore);
  document.addEventListener("fullscreenchange", () => {
    if (!document.fullscreenElement && state.present) change({ present: 0 });
    resize();
  });
  function resize() {
    ink.readTones();
    ink.resize();
    stage.boxes = null;
    stage.last = 0;
    transport.measure();
    showMore();
    stage.version += 1; // its colours are other ones
    wake();
  }
  let printing = false;
  function forPrint(on) {
    if (printing === on) return;
    printing = on;
    chrome.paper(on);
  }
  window.addEventListener("beforeprint", () => forPrint(true));
  window.addEventListener("afterprint", () => forPrint(false));
  matchMedia("print").addEventListener("change", (event) => forPrint(event.matches));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", resize);
  document.addEventListener("visibilitychange", wake);
  let wasNarrow = dom.narrow();
  new ResizeObserver(() => {
    hands.deselect();
    resize();
    if (dom.narrow() !== wasNarrow) {
      wasNarrow = dom.narrow();
      draw();
    }
  }).observe($("canvas"));

  Object.assign(convbench, { state: () => ({ ...state }), trace, page, look,
    filled: () => timeline.filled(at(), self.spec) });
  window.convbench = convbench;
  $("app").hidden = false;
  $("torch").open = !matchMedia("(max-width: 699px), (max-height: 600px)").matches;
  chrome.translate();
  ink.readTones();
  // A setting in the address that cannot be shown leaves its sentence, and the page as it was made.
  if (!open(location.hash)) {
    const sentence = $("complaint").textContent;
    open("");
    complain(sentence);
  }
  resize();
})();
