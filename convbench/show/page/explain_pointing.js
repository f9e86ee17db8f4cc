"use strict";
// Which cell is pointed at or pinned, and where is the focus? One link for the stage and for all tables.
convbench.makePointing = (page, grids) => {
  const { state, self, change, roving } = page;
  const { linkedKeys, describe } = convbench.makeLinks(page, grids);
  const NOTHING = { l: null, key: null, readers: false, selected: null, linked: new Set() };
  const marks = { pointed: null, held: null };

  function point(found) {
    if (found?.key === marks.pointed?.key && found?.k === marks.pointed?.k && !found?.chosen) return;
    marks.pointed = found && { ...found, k: found.k ?? state.k };
    markTables();
    page.wake();
  }
  function marked() {
    return marks.pointed ?? marks.held;
  }
  function markTables() {
    const now = marked();
    const keys = now ? linkedKeys(now.key) : new Set();
    document.querySelectorAll("td[data-key]").forEach((td) => {
      td.classList.toggle("linked", keys.has(td.dataset.key));
      td.classList.toggle("held", td.dataset.key === marks.held?.key);
    });
    const hint = now ? describe(now.key, now.k) : "";
    if (document.getElementById("hint").textContent !== hint) document.getElementById("hint").textContent = hint;
  }
  function look() {
    const now = marked();
    const b = Math.max(0, page.slice().filters.indexOf(now?.k ?? state.k));
    if (!now) return { ...NOTHING, b };
    const [kind, rest] = now.key.split(":");
    const numbers = rest.split(",").map(Number);
    const l = { y: () => numbers[0] * self.spec.q + numbers[1], l: () => numbers[0], m: () => numbers[1] }[kind]?.() ??
      null;
    return { l, b, key: now.key, readers: kind === "x", selected: now.chosen ? now.key : null,
      linked: linkedKeys(now.key) };
  }
  function release() {
    [marks.held, marks.pointed] = [null, null];
    markTables();
    page.wake();
  }
  // A key moves the output: the pointer counts again when it moves, and a pinned output is left behind.
  function letGo() {
    if (marks.held && /^[ylm]/.test(marks.held.key)) marks.held = null;
    marks.pointed = null;
    markTables();
    page.wake();
  }
  // An output or a column is followed; anything else is pinned.
  function choose(key) {
    const [kind, rest] = key.split(":");
    const numbers = rest.split(",").map(Number);
    const slots = page.isStep() && page.at().entry.slots;
    if (kind === "y" || kind === "l" || kind === "m") {
      const [p, q] = kind === "y" ? numbers : self.position(numbers.at(-1));
      const c = kind === "m" ? grids.first() + self.tap(numbers[0])[0] : state.c;
      change({ p, q, c });
      if (slots) page.toCell();
    }
    if ((kind !== "y" && kind !== "l" && kind !== "m") || (page.isStep() && !slots)) {
      marks.held = marks.held?.key === key ? null : { key, k: state.k };
      markTables();
    }
    page.rest();
  }
  // Enter in a table: numbers on the stage are typed there, everything else is chosen.
  function enter(td) {
    const { key } = td.dataset;
    const from = { grid: td.closest("table").dataset.grid, i: td.dataset.i, j: td.dataset.j };
    if (page.isStep() && page.hands.target(key) && page.hands.select(key, state.k, from)) return;
    choose(key);
    giveBack(from);
  }
  // What is drawn anew must not take the focus away.
  function focusMark() {
    const here = document.activeElement;
    const td = here?.closest?.("td[data-key]");
    if (td) return { grid: td.closest("table").dataset.grid, i: td.dataset.i, j: td.dataset.j };
    return here?.id ? { id: here.id } : here?.textContent && here.closest?.("#room, #more") ?
      { words: here.textContent } : null;
  }
  function giveBack(mark) {
    if (!mark) return;
    const found = mark instanceof Element ? mark : mark.id ? document.getElementById(mark.id) : mark.grid ?
      document.getElementById(`grid-${mark.grid}`)?.querySelector(`td[data-i="${mark.i}"][data-j="${mark.j}"]`) :
      Array.from(document.querySelectorAll("#room button, #more button")).find((one) => one.textContent === mark.words);
    if (found && found !== document.activeElement) found.focus({ preventScroll: true });
  }
  const keyOf = (event) => event.target.closest?.("td[data-key]")?.dataset.key ?? null;
  const pointAt = (key, chosen) => point(key && { key, k: state.k, chosen });
  document.addEventListener("mouseover", (event) => {
    if (event.target !== document.getElementById("canvas") && !page.hands.chosen()) pointAt(keyOf(event));
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.id !== "edit") pointAt(keyOf(event), true);
  });
  document.addEventListener("focusout", () => { if (!page.hands.chosen()) point(null); });
  document.addEventListener("click", (event) => {
    const td = event.target.closest?.("td[data-key]");
    if (!td) return;
    roving[td.closest("table").dataset.grid] = `${td.dataset.i},${td.dataset.j}`;
    choose(td.dataset.key);
  });

  return { point, markTables, look, release, letGo, choose, enter, focusMark, giveBack,
    forget: () => Object.assign(marks, { pointed: null, held: null }) };
};
