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
      const spec = { n: 1, c: pick(random, [1, 1, 2]), h: pick(random, [4, 5, 6]), w: pick(random, [4, 5, 6]),
        k: pick(random, [1, 2]), r: pick(random, [2, 3]), s: pick(random, [2, 3]),
        stride: [pick(random, [1, 1, 2]), pick(random, [1, 1, 2])], padding: [random() % 2, random() % 2],
        dilation: [pick(random, [1, 1, 1, 2]), pick(random, [1, 1, 1, 2])], groups: 1, seed: 1 + random() % 999 };
      if (!convbench.complaint(spec)) return spec;
    }
  }

  const joined = (terms) => terms.map((term) => `${term.outside ? "·0" : term.x}·(${term.w})`).join(" + ");

  // Each: (self, random) -> what is asked, the right answer, why, and what of the problem has to be seen.
  const KINDS = {
    size(self, random) {
      const axis = self.spec.axes[random() % 2];
      const [out, whole, taps] = axis.letters;
      return { prompt: `How large is ${out}, the output's size along ${whole}?`, answer: axis.positions, shows: [],
        why: `${out} = ⌊(${axis.size} + 2·${axis.padding} − ${axis.dilation}·(${axis.taps}−1) − 1) / ${axis.stride}⌋ + 1 ` +
          `= ⌊${axis.room}/${axis.stride}⌋ + 1 = ${axis.positions}, with ${whole} = ${axis.size} and ${taps} = ${axis.taps}` };
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
        why: `Row ${j} is the tap (c,r,s) = (${c},${r},${s}) and column ${l} the output (p,q) = (${p},${q}): it reads ` +
          `x[0,${c},${row},${column}], ${row < 0 || row >= spec.h || column < 0 || column >= spec.w ? "which is padding" :
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
      return { prompt: "How many multiply-adds (MACs) does it take, taps on padding counted?", answer: spec.macs, shows: [],
        why: `N·K·P·Q·C/G·R·S = ${[spec.n, spec.k, spec.p, spec.q, spec.cg, spec.r, spec.s].join("·")} = ${spec.macs}` };
    },
    overlap(self, random) {
      const { spec } = self;
      const [row, column] = [random() % spec.h, random() % spec.w];
      const [rows, columns] = [spec.axes[0].readers[row], spec.axes[1].readers[column]];
      return { prompt: `With w all ones, one filter and dY all ones: what is dX[0,0,${row},${column}]?`, at: [row, column],
        answer: rows * columns, shows: ["x"],
        why: `It counts the patches that read it, as fold(unfold(·)) does: row ${row} is read ${rows}×, column ${column} ` +
          `${columns}×, so ${rows}·${columns} = ${rows * columns}` };
    },
    rows(self) {
      const { spec } = self;
      return { prompt: "How many rows has the patch matrix of one image?", answer: spec.c * spec.r * spec.s, shows: [],
        why: `One for each tap: C·R·S = ${spec.c}·${spec.r}·${spec.s} = ${spec.c * spec.r * spec.s}` };
    },
    weights(self) {
      const { spec } = self;
      return { prompt: "How many weights has w?", answer: spec.k * spec.taps, shows: [],
        why: `K·C/G·R·S = ${spec.k}·${spec.cg}·${spec.r}·${spec.s} = ${spec.k * spec.taps}; dilation adds none` };
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
