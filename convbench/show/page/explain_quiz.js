"use strict";
// What can a reader be asked about a convolution, from easy to hard, and was the answer right?
// Question i of a level and a seed is always the same; each is about a small problem of its own, so the page does not
// tell. The levels are those of `convbench explain --quiz`.
(() => {
  const words = () => convbench.words.quiz;
  function pick(random, values) {
    return values[random() % values.length];
  }

  // Small problems of each level; what is not named is one, or plain.
  const PROBLEMS = {
    1: (random) => ({ h: pick(random, [4, 5]), w: pick(random, [4, 5]), r: pick(random, [2, 2, 3]), s: 2 }),
    2(random) {
      const padding = [random() % 2, random() % 2];
      const end = random() % 4 ? padding : [random() % 2, random() % 2]; // now and then opposite sides differ
      return { h: pick(random, [4, 5, 6]), w: pick(random, [4, 5, 6]), r: 2, s: pick(random, [2, 3]), padding, end,
        stride: [pick(random, [1, 2, 2]), pick(random, [1, 2])], dilation: [pick(random, [1, 1, 2]), 1] };
    },
    3(random) {
      const padding = [random() % 2, random() % 2];
      return { c: pick(random, [1, 2, 3]), h: pick(random, [4, 5]), w: pick(random, [4, 5]), k: pick(random, [1, 2, 4]),
        r: 2, s: pick(random, [2, 3]), padding, end: padding };
    },
    4(random) {
      const padding = [random() % 2, random() % 2];
      return { h: pick(random, [3, 4, 5]), w: pick(random, [3, 4]), r: 2, s: 2, padding, end: padding };
    },
  };
  const PLAIN = { n: 1, c: 1, k: 1, stride: [1, 1], padding: [0, 0], end: [0, 0], dilation: [1, 1], groups: 1 };
  const isPlain = (spec) => ["stride", "padding", "end", "dilation"].every((name) => spec[name].join() ===
    PLAIN[name].join());
  function smallProblem(level, random) {
    for (;;) {
      const spec = { ...PLAIN, ...PROBLEMS[level](random), seed: 1 + random() % 999 };
      if (!convbench.complaint(spec) && (level !== 2 || !isPlain(spec))) return spec;
    }
  }
  // The numbers of its seed, made small enough for a head: one digit in x, and no minus on level 1.
  function numbersOf(spec, level) {
    const { x, w } = convbench.problem(spec);
    return { x: x.map((value) => value % 9 + 1), w: level === 1 ? w.map(Math.abs) : w };
  }

  const { text } = convbench.dom;
  const factor = (value) => (value < 0 ? `(${text(value)})` : text(value));
  const joined = (terms) => terms.map((term) => `${term.x}·${factor(term.w)}`).join(" + ");

  // Each: (self, random) -> what is asked, the right answer, why, and what of the problem has to be seen.
  const KINDS = {
    size(self, random) {
      const axis = self.spec.axes[random() % 2];
      const [out, whole] = axis === self.spec.axes[0] ? ["H_out", "H"] : ["W_out", "W"];
      return { prompt: words().size(out, whole), answer: axis.positions, shows: [],
        why: `${out} = ⌊(${axis.size} + ${convbench.bothEnds(axis)} − ${axis.dilation}·(${axis.taps}−1) − 1) / ` +
          `${axis.stride}⌋ + 1 = ⌊${axis.room}/${axis.stride}⌋ + 1 = ${axis.positions}` };
    },
    positions({ spec }) {
      return { prompt: words().positions, answer: spec.l, shows: [],
        why: `H_out·W_out = ${spec.p}·${spec.q} = ${spec.l}` };
    },
    cell(self, random) {
      const [p, q] = self.position(random() % self.spec.l);
      const terms = convbench.terms(self, { n: 0, k: 0, p, q });
      const answer = convbench.totalOf(terms);
      return { prompt: words().cell(p, q), at: [p, q], answer, shows: ["x", "w"], why: `${joined(terms)} = ${text(answer)}` +
        `${terms.some((term) => term.outside) ? words().zeros : ""}` };
    },
    pixel(self, random) {
      const [p, q] = self.position(random() % self.spec.l);
      const { r, s, x, row, column } = pick(random, convbench.terms(self, { n: 0, k: 0, p, q }));
      return { prompt: words().pixel(p, q, r, s), at: [p, q, r, s], answer: x, shows: ["x", "w"],
        why: words().place(`${p} + ${r} = ${row}`, `${q} + ${s} = ${column}`, x) };
    },
    entry(self, random) {
      const { spec } = self;
      const [j, l] = [random() % (spec.c * spec.r * spec.s), random() % spec.l];
      const [c, r, s] = self.tap(j);
      const [row, column] = self.place(r, s, ...self.position(l));
      const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
      return { prompt: words().entry(j, l), at: [j, l], answer: self.patch(0, j, l), shows: ["x"],
        why: words().entryWhy(j, [c, r, s], l, self.position(l), `x[0,${c},${row},${column}]`, outside) };
    },
    readers(self, random) {
      const { spec } = self;
      const [row, column] = [random() % spec.h, random() % spec.w];
      const answer = convbench.readersOf(self, row, column).map(({ p, q }) => p * spec.q + q).sort((a, b) => a - b);
      return { prompt: words().readers(row, column), cells: true, at: [row, column], answer, shows: ["x", "w"],
        why: words().readersWhy(answer.map((l) => `(${self.position(l).join(",")})`)) };
    },
    unread({ spec }) {
      const { unread, size } = spec.axes[0];
      return { prompt: words().unread(size), answer: unread.length, shows: ["x"], why: words().unreadWhy(unread) };
    },
    macs({ spec }) {
      return { prompt: words().macs, answer: spec.macs, shows: [], why: "N·C_out·H_out·W_out·C_in·kH·kW = " +
        `${[spec.n, spec.k, spec.p, spec.q, spec.cg, spec.r, spec.s].join("·")} = ${spec.macs}` };
    },
    overlap({ spec }, random) {
      const [row, column] = [random() % spec.h, random() % spec.w];
      const [rows, columns] = [spec.axes[0].readers[row], spec.axes[1].readers[column]];
      return { prompt: words().overlap(row, column), at: [row, column], answer: rows * columns, shows: ["x"],
        why: words().overlapWhy(row, rows, column, columns) };
    },
    gradient(self, random) {
      const { spec } = self;
      const j = random() % spec.taps;
      const [, r, s] = self.tap(j);
      const met = convbench.dom.range([0, spec.l]).map((l) => self.patch(0, j, l));
      const answer = met.reduce((sum, value) => sum + value, 0);
      return { prompt: words().gradient(r, s), at: [r, s], answer, shows: ["x"],
        why: words().gradientWhy(`${met.join(" + ")} = ${answer}`) };
    },
    bytes({ spec }) {
      const answer = 4 * spec.c * spec.r * spec.s * spec.l;
      return { prompt: words().bytes, answer, shows: [],
        why: `C_in·kH·kW·H_out·W_out·4 = ${[spec.c, spec.r, spec.s, spec.p, spec.q, 4].join("·")} = ${answer}` };
    },
    rows({ spec }) {
      const answer = spec.c * spec.r * spec.s;
      return { prompt: words().rows, answer, shows: [], why: `C_in·kH·kW = ${spec.c}·${spec.r}·${spec.s} = ${answer}` };
    },
    weights({ spec }) {
      const answer = spec.k * spec.taps;
      return { prompt: words().weights, answer, shows: [],
        why: `C_out·C_in·kH·kW = ${spec.k}·${spec.cg}·${spec.r}·${spec.s} = ${answer}` };
    },
  };
  const LEVELS = { 1: ["size", "cell", "positions", "pixel"], 2: ["size", "cell", "readers", "unread"],
    3: ["rows", "entry", "weights", "macs"], 4: ["overlap", "bytes", "gradient"] };

  function question(number, level = 1, seed = 1) {
    const random = convbench.mersenneTwister(10000 * level + 1000 * seed + number);
    const kind = LEVELS[level][number % LEVELS[level].length];
    const spec = smallProblem(level, random);
    const self = convbench.problem(spec, numbersOf(spec, level));
    return { kind, number, level, seed, spec, self, shape: convbench.text(spec), ...KINDS[kind](self, random) };
  }

  // An answer is a number as text, or a list of marked positions; null where it is no number.
  function grade(asked, given) {
    if (asked.cells) {
      const marked = [...given].sort((a, b) => a - b);
      return marked.length === asked.answer.length && marked.every((l, i) => l === asked.answer[i]);
    }
    const typed = String(given).trim().replace("−", "-");
    return /^-?\d+$/.test(typed) ? Number(typed) === asked.answer : null;
  }

  convbench.quiz = { question, grade, levels: LEVELS };
})();

// The panel that asks, grades and explains.
convbench.makeQuiz = ({ state, change, drawPanel }, { grid }) => {
  const { make, text, p, quiet, button, range } = convbench.dom;
  const $ = (id) => document.getElementById(id);
  let score = { right: 0, of: 0 };
  let marked = new Set();
  let verdict = null;

  // Where the next key belongs: the field, or the first output to mark.
  const focus = () => ($("answer") ?? $("choice-0"))?.focus({ preventScroll: true });
  function go(parts) {
    [verdict, marked] = [null, new Set()];
    change(parts);
    focus();
  }
  function levels() {
    const words = convbench.words.quiz;
    return make("div", { class: "levels", role: "radiogroup", "aria-label": words.level }, make("span", {},
      `${words.level} `), Object.keys(convbench.quiz.levels).map((level) => button(level, () => go({
      level: Number(level), asked: 0 }), { role: "radio", "aria-checked": String(Number(level) === state.level),
      "aria-label": `${words.level} ${level}: ${words.titles[level - 1]}`, id: `level-${level}` })),
    make("span", { class: "quiet" }, ` ${words.titles[state.level - 1]}`));
  }
  function quizPanel() {
    const words = convbench.words.quiz;
    const asked = convbench.quiz.question(state.asked, state.level);
    const own = asked.self;
    const answer = make("input", { type: "text", inputmode: "decimal", autocomplete: "off", id: "answer" });
    const check = () => {
      if (verdict) return;
      const right = convbench.quiz.grade(asked, asked.cells ? marked : answer.value);
      if (right === null) {
        $("graded").textContent = words.number;
        answer.select();
        return;
      }
      score = { right: score.right + right, of: score.of + 1 };
      verdict = { right, given: asked.cells ? null : answer.value };
      drawPanel();
      $("spoken").textContent = $("graded").textContent;
      $("next-question").focus();
    };
    if (verdict?.given) answer.value = verdict.given;
    const form = make("form", { class: "quiz" }, asked.cells ? null : make("label", {}, `${words.answer} `, answer),
      make("button", { disabled: verdict !== null }, words.check),
      button(words.next, () => go({ asked: state.asked + 1 }), { id: "next-question" }));
    form.addEventListener("submit", (event) => { event.preventDefault(); check(); });
    const { h: rows, w: columns, c: channels } = asked.spec;
    const isAsked = (c, i, j) => (asked.kind === "readers" || asked.kind === "overlap") && c === 0 &&
      i === asked.at[0] && j === asked.at[1];
    const images = asked.shows.includes("x") ? range([0, channels]).map((c) => plainNamed(`x[0,${c}]`, rows, columns,
      (i, j) => text(own.pixel(0, c, i, j)), (i, j) => isAsked(c, i, j))) : [];
    const kernels = asked.shows.includes("w") ? range([0, channels]).map((c) => plainNamed(`w[0,${c}]`, asked.spec.r,
      asked.spec.s, (r, s) => `(${text(own.weight(0, c, r, s))})`, () => false)) : [];
    const choices = asked.cells ? make("div", { role: "group", "aria-label": words.outputs },
      range([0, own.spec.p]).map((row) => make("div", {}, range([0, own.spec.q]).map((column) => {
        const l = row * own.spec.q + column;
        return button(marked.has(l) ? `✓${row},${column}` : `${row},${column}`, () => {
          if (verdict) return;
          if (marked.has(l)) marked.delete(l); else marked.add(l);
          drawPanel();
          $(`choice-${l}`).focus();
        }, { "aria-pressed": String(marked.has(l)), id: `choice-${l}`, "aria-label": `${words.output} ${row}, ${column}` });
      })))) : null;
    const edits = (numbers) => convbench.writeEdits(new Map(numbers.entries()));
    return [levels(), p(make("b", {}, `${words.question(state.asked + 1)} `), make("code", {}, asked.shape)),
      quiet(words.problem(asked.spec)), p(make("b", {}, asked.prompt)),
      make("div", { class: "grids" }, images, kernels), choices, form,
      make("p", { id: "graded", role: "status", class: verdict ? (verdict.right ? "right" : "wrong") : null },
        verdict ? `${verdict.right ? words.right : words.wrong} ${asked.why}.` : ""),
      verdict ? button(words.walk, () => change({ shape: asked.shape, mode: "zeros", seed: 0, image: "", kernel: "",
        x: edits(own.x), w: edits(own.w), colours: 0, n: 0, k: 0, view: "1" })) : null,
      quiet(words.score(score.right, score.of))];
  }
  function plainNamed(title, rows, columns, at, asked) {
    return grid({ id: `quiz-${title}`, title, rows: { from: 0, to: rows, most: 12 },
      columns: { from: 0, to: columns, most: 12 },
      at: (i, j) => ({ text: asked(i, j) ? `[${at(i, j)}]` : at(i, j), role: asked(i, j) ? "patch" : "" }) });
  }

  return { quiz: quizPanel, focusQuiz: focus };
};
