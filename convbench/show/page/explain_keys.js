"use strict";
// What do the keys do? In a table they walk from cell to cell, elsewhere through time, steps, channels and tabs.
convbench.makeKeys = (page) => {
  const { state, self, change, pans, roving } = page;
  const $ = (id) => document.getElementById(id);
  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  function stepCell([down, right]) {
    const { spec } = self;
    change({ p: Math.min(Math.max(state.p + down, 0), spec.p - 1),
      q: Math.min(Math.max(state.q + right, 0), spec.q - 1) });
  }
  // The focus moves in its table, and a window on a large one moves with it.
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
    pans[id] = [i, j];
    roving[id] = `${i},${j}`;
    page.redrawTables();
    go($(`grid-${id}`)?.querySelector(`td[data-i="${i}"][data-j="${j}"]`));
  }
  function turn(name, size, by) {
    change({ [name]: (state[name] + by + size) % size });
  }
  // Back and forth in time: a position, or an eighth of a step without positions.
  function nudge(by) {
    page.play(false);
    const { entry, l, index } = page.at();
    const { steps } = page.clock.plan;
    const seconds = entry.slots ? convbench.timeline.timeOf(entry, l + by) :
      page.clock.time - entry.start + by * entry.length / 8;
    const within = entry.slots ? l + by >= 0 && l + by < self.spec.l : seconds >= 0 && seconds <= entry.length;
    if (within) page.seek(entry.start + seconds);
    else page.seek(by > 0 ? steps[Math.min(steps.length - 1, index + 1)].start : Math.max(0, entry.start - 0.01));
    page.rest();
  }
  function arrow(event, td, by) {
    event.preventDefault();
    const [down, right] = by;
    if (td?.dataset.key.startsWith("y:")) { // in y the output itself moves
      const id = td.closest("table").dataset.grid;
      stepCell(by);
      roving[id] = `${state.p},${state.q}`;
      page.giveBack({ grid: id, i: state.p, j: state.q });
    } else if (td) walkGrid(td, by);
    else if (state.present) page.go(page.at().index + (down || right));
    else if (!page.isStep() || down) stepCell(by);
    else nudge(right);
  }
  function acts(event) {
    const { spec } = self;
    const by = event.shiftKey ? -1 : 1;
    const names = Object.keys(convbench.ALGORITHMS);
    const at = () => page.at().index;
    const next = (to) => (page.isStep() ? page.go(at() + to) : page.show("steps"));
    return {
      " ": () => page.isStep() && page.play(!page.clock.playing),
      "[": () => next(-1), "]": () => next(1), pageup: () => next(-1), pagedown: () => next(1),
      home: () => page.go(0), end: () => page.go(convbench.timeline.STEPS - 1),
      "-": () => page.rate(-1), "+": () => page.rate(1), "=": () => page.rate(1),
      v: () => change({ colours: 1 - state.colours }),
      s: () => page.drawer.open(!page.drawer.isOpen()),
      f: () => page.present(!state.present),
      t: () => page.turnTheme(),
      c: () => turn("c", spec.c, by), k: () => turn("k", spec.k, by), n: () => turn("n", spec.n, by),
      a: () => (state.view === "algorithms" ?
        change({ algorithm: names[(names.indexOf(state.algorithm) + by + names.length) % names.length] }) :
        page.show("algorithms")),
      d: () => page.show(state.view === "backward" ? "steps" : "backward"),
      "?": () => page.show("quiz"),
      escape: () => {
        if (page.drawer.isOpen()) page.drawer.open(false);
        else if (state.present) page.present(false);
        else page.release();
      },
    };
  }
  // In the quiz a digit belongs to the answer, and no key leaves the question for a step.
  function inQuiz({ key, target }) {
    if (/^[\d−-]$/.test(key)) {
      if ($("answer") && target !== $("answer")) $("answer").focus(); // where it is typed now
      return true;
    }
    return /^(?:Arrow\w+|Home|End|Page\w+|[ [\]+=vckn])$/.test(key);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    if (target.closest?.("input:not([type=range]), select")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const td = target.closest?.("td[data-key]");
    if (state.view === "quiz" && inQuiz(event)) return;
    if (!td) page.letGo();
    const by = ARROWS[event.key];
    const own = by || /^(Home|End|PageUp|PageDown)$/.test(event.key);
    if (own && target.matches?.("input[type=range]")) return;
    if (td && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      roving[td.closest("table").dataset.grid] = `${td.dataset.i},${td.dataset.j}`;
      page.enter(td);
    } else if (by) arrow(event, td, by);
    else if (/^[1-8]$/.test(event.key)) page.go(Number(event.key) - 1);
    else if ((event.key === " " || event.key === "Enter") && target.closest?.("button, summary, a")) return;
    else {
      const act = acts(event)[event.key.toLowerCase()];
      if (!act) return;
      event.preventDefault();
      act();
    }
  });
};
