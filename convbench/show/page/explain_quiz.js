"use strict";
// What can a reader be asked about a convolution, and was the answer right?
// Question i of a seed is always the same; each is about a small problem of its own, so the page does not tell.
(() => {
  function pick(random, values) {
    return values[random() % values.length];
  }

  // A small problem that has an output.
  function smallProblem(random) {
    for (;;) {
      const padding = [random() % 2, random() % 2];
      const end = random() % 4 ? padding : [random() % 2, random() % 2]; // now and then opposite sides differ
      const spec = { n: 1, c: pick(random, [1, 1, 2]), h: pick(random, [4, 5, 6]), w: pick(random, [4, 5, 6]),
        k: pick(random, [1, 2]), r: pick(random, [2, 3]), s: pick(random, [2, 3]),
        stride: [pick(random, [1, 1, 2]), pick(random, [1, 1, 2])], padding, end,
        dilation: [pick(random, [1, 1, 1, 2]), pick(random, [1, 1, 1, 2])], groups: 1, seed: 1 + random() % 999 };
      if (!convbench.complaint(spec)) return spec;
    }
  }

  const joined = (terms) => terms.map((term) => `${term.outside ? "·0" : term.x}·(${term.w})`).join(" + ");

  // Each: (self, random) -> what is asked, the right answer, why, and what of the problem has to be seen.
  const KINDS = {
    size(self, random) {
      const number = random() % 2;
      const axis = self.spec.axes[number];
      const [out, whole, taps] = [["H_out", "H", "kH"], ["W_out", "W", "kW"]][number];
      return { prompt: `How large is ${out}, the output's size along ${whole}?`, answer: axis.positions, shows: [],
        why: `${out} = ⌊(${axis.size} + ${convbench.bothEnds(axis)} − ${axis.dilation}·(${axis.taps}−1) − 1) / ` +
          `${axis.stride}⌋ + 1 ` +
          `= ⌊${axis.room}/${axis.stride}⌋ + 1 = ${axis.positions}, with ${whole} = ${axis.size} and ${taps} = ` +
            `${axis.taps}` };
    },
    cell(self, random) {
      const [p, q] = self.position(random() % self.spec.l);
      const terms = convbench.terms(self, { n: 0, k: 0, p, q });
      const answer = terms.reduce((sum, term) => sum + term.product, 0);
      return { prompt: `What is y[0,0,${p},${q}]?`, at: [p, q], answer, shows: ["x", "w"],
        why: `${joined(terms)} = ${answer}` };
    },
    entry(self, random) {
      const { spec } = self;
      const [j, l] = [random() % (spec.c * spec.r * spec.s), random() % spec.l];
      const [c, r, s] = self.tap(j);
      const [p, q] = self.position(l);
      const [row, column] = self.place(r, s, p, q);
      return { prompt: `What stands in row ${j}, column ${l} of the patch matrix of image 0?`, at: [j, l],
        answer: self.patch(0, j, l), shows: ["x"],
        why: `Row ${j} is the tap (c,kh,kw) = (${c},${r},${s}) and column ${l} the output (oh,ow) = (${p},${q}): it ` +
          `reads ` +
          `x[0,${c},${row},${column}], ` +
            `${row < 0 || row >= spec.h || column < 0 || column >= spec.w ? "which is padding" :
            "in the image"}` };
    },
    readers(self, random) {
      const { spec } = self;
      const [row, column] = [random() % spec.h, random() % spec.w];
      const answer = convbench.readersOf(self, row, column).map(({ p, q }) => p * spec.q + q).sort((a, b) => a - b);
      return { prompt: `Which outputs read x[0,0,${row},${column}]? Mark all of them, or none.`, cells: true,
        at: [row, column], answer, shows: ["x", "w"],
        why: answer.length ? `These read it: ${answer.map((l) => `(${self.position(l).join(",")})`).join(" ")}` :
          "No output reads it: stride or dilation skips it" };
    },
    macs(self) {
      const { spec } = self;
      return { prompt: "How many multiply-adds (MACs) does it take, taps on padding counted?", answer: spec.macs,
        shows: [],
        why: `N·C_out·H_out·W_out·C_in/G·kH·kW = ${[spec.n, spec.k, spec.p, spec.q, spec.cg, spec.r, spec.s].join("·")} = ` +
          `${spec.macs}` };
    },
    overlap(self, random) {
      const { spec } = self;
      const [row, column] = [random() % spec.h, random() % spec.w];
      const [rows, columns] = [spec.axes[0].readers[row], spec.axes[1].readers[column]];
      return { prompt: `With w all ones, one filter and dY all ones: what is dX[0,0,${row},${column}]?`,
        at: [row, column],
        answer: rows * columns, shows: ["x"],
        why: `It counts the patches that read it, as fold(unfold(·)) does: row ${row} is read ${rows}×, column ` +
          `${column} ` +
          `${columns}×, so ${rows}·${columns} = ${rows * columns}` };
    },
    rows(self) {
      const { spec } = self;
      return { prompt: "How many rows has the patch matrix of one image?", answer: spec.c * spec.r * spec.s, shows: [],
        why: `One for each tap: C_in·kH·kW = ${spec.c}·${spec.r}·${spec.s} = ${spec.c * spec.r * spec.s}` };
    },
    weights(self) {
      const { spec } = self;
      return { prompt: "How many weights has w?", answer: spec.k * spec.taps, shows: [],
        why: `C_out·C_in/G·kH·kW = ${spec.k}·${spec.cg}·${spec.r}·${spec.s} = ${spec.k * spec.taps}; dilation adds none` };
    },
  };
  const ORDER = Object.keys(KINDS);

  function question(number, seed = 1) {
    const random = convbench.mersenneTwister(1000 * seed + number);
    const kind = ORDER[number % ORDER.length];
    const spec = smallProblem(random);
    const self = convbench.problem(spec);
    return { kind, number, seed, spec, shape: convbench.text(spec), ...KINDS[kind](self, random) };
  }

  // An answer is a number as text, or a list of marked positions.
  function grade(asked, given) {
    if (asked.cells) {
      const marked = [...given].sort((a, b) => a - b);
      return marked.length === asked.answer.length && marked.every((l, i) => l === asked.answer[i]);
    }
    return String(given).trim() !== "" && Number(String(given).trim().replace("−", "-")) === asked.answer;
  }

  convbench.quiz = { question, grade, kinds: ORDER };
})();

// The panel that asks, grades and explains.
convbench.makeQuiz = ({ state, change, drawPanel }, { grid }) => {
  const { make, text, plural, p, quiet, button, range } = convbench.dom;
  const $ = (id) => document.getElementById(id);
  let score = { right: 0, of: 0 };
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
      button("Next question", () => { verdict = null; marked = new Set(); change({ asked: state.asked + 1 }); },
        { id: "next-question" }));
    form.addEventListener("submit", (event) => { event.preventDefault(); check(); });
    const { h: rows, w: columns } = asked.spec;
    const images = asked.shows.includes("x") ? range([0, asked.spec.c]).map((c) =>
      plainNamed(`x[0,${c}]`, rows, columns, (i, j) => text(own.pixel(0, c, i, j)),
      (i, j) => (asked.kind === "readers" || asked.kind === "overlap") && c === 0 && i === asked.at[0] &&
        j === asked.at[1])) : [];
    const kernels = asked.shows.includes("w") ? range([0, asked.spec.c]).map((c) =>
      plainNamed(`w[0,${c}]`, asked.spec.r, asked.spec.s, (r, s) => `(${text(own.weight(0, c, r, s))})`, () => false)) :
        [];
    const choices = asked.cells ? make("div", { role: "group", "aria-label": "outputs" },
      range([0, own.spec.p]).map((row) => make("div", {},
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
    const { stride, dilation } = asked.spec;
    return [p(make("b", {}, `Question ${state.asked + 1}. `), make("code", {}, asked.shape)),
      quiet(`x is ${asked.spec.n}×${asked.spec.c}×${rows}×${columns}, ${plural(asked.spec.k, "filter")} of ` +
        `${asked.spec.r}×${asked.spec.s}, stride ${stride.join("×")}, ${paddingWords(asked.spec)}, ` +
        `dilation ${dilation.join("×")}.`),
      p(make("b", {}, asked.prompt)), make("div", { class: "grids" }, images, kernels), choices, form,
      make("p", { id: "graded", class: verdict ? (verdict.right ? "right" : "wrong") : null },
        verdict ? `${verdict.right ? "✓ Right." : "✗ Not so."} ${asked.why}.` : ""),
      verdict ? button("Walk through this problem", () => change({ shape: asked.shape, mode: "zeros",
        seed: asked.spec.seed, n: 0, k: 0,
        view: "1" })) : null,
      quiet(`${score.right} of ${score.of} right so far.`)];
  }
  function paddingWords({ padding, end }) {
    const names = ["at the top", "at the bottom", "on the left", "on the right"];
    const sides = [padding[0], end[0], padding[1], end[1]];
    return convbench.even({ padding, end }) ? `padding ${padding.join("×")}` :
      `padding ${sides.map((side, i) => `${side} ${names[i]}`).join(", ")}`;
  }
  function plainNamed(title, rows, columns, at, asked) {
    return grid({ id: `quiz-${title}`, title, rows: { from: 0, to: rows, most: 12 },
      columns: { from: 0, to: columns, most: 12 },
      at: (i, j) => ({ text: asked(i, j) ? `[${at(i, j)}]` : at(i, j), role: asked(i, j) ? "patch" : "" }) });
  }

  return { quiz: quizPanel };
};
