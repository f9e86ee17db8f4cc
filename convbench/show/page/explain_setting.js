"use strict";
// Which settings can be shown? What cannot is told in a sentence, or brought into its range.
(() => {
  const TABS = ["algorithms", "backward", "quiz"];
  const STEPS = [..."12345678"];
  const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];
  const MOST_SIZE = 4096;

  function tooLarge(spec, limits) {
    const words = convbench.words.complaints;
    if (Math.max(...convbench.SIZES.map((letter) => spec[letter]), ...spec.padding, ...spec.end) > MOST_SIZE) {
      return words.large;
    }
    const one = convbench.derive(spec);
    const numbers = one.n * one.c * one.hp * one.wp + one.k * one.taps + one.n * one.k * one.l;
    if (one.l * one.taps > limits.products) return words.products(one.l * one.taps, limits.products);
    return numbers > limits.numbers ? words.numbers(numbers, limits.numbers) : null;
  }
  // The problem of a state; throws an Error with a sentence.
  function problemOf(next, limits) {
    const words = convbench.words.complaints;
    const spec = { ...convbench.parse(next.shape), mode: next.mode, seed: next.seed };
    if (!convbench.MODES.includes(next.mode)) throw new Error(words.mode(next.mode, convbench.MODES.join(", ")));
    if (!(Number.isInteger(next.seed) && next.seed >= 0 && next.seed < 2 ** 32)) throw new Error(words.seed);
    const problem = convbench.complaint(spec) ?? tooLarge(spec, limits);
    if (problem) throw new Error(problem);
    return spec;
  }
  // Edits belong to the numbers under them; they go when those do. `parts` is what was asked for.
  function dropEdits(state, next, parts) {
    const [was, is] = [convbench.parse(state.shape), convbench.parse(next.shape)];
    const same = (names) => names.every((name) => was[name] === is[name]);
    const kept = (names) => names.every((name) => state[name] === next[name]);
    if (!("x" in parts) && !(same(["n", "c", "h", "w"]) && kept(["image", "own", "seed"]))) next.x = "";
    if (!("w" in parts) && !(same(["k", "c", "r", "s", "groups"]) && kept(["kernel", "seed"]))) next.w = "";
  }
  const within = (value, size) => (Number.isInteger(value) ? Math.min(Math.max(value, 0), size - 1) : 0);
  // What can be chosen freely is brought into its range.
  function settle(next, parts, self, start) {
    const { spec } = self;
    for (const [name, size] of [["n", spec.n], ["k", spec.k], ["c", spec.c], ["p", spec.p], ["q", spec.q]]) {
      next[name] = within(next[name], size);
    }
    // A filter of another group reads other channels.
    const lowest = self.group(next.k) * spec.cg;
    const moved = "k" in parts || "shape" in parts;
    if (!("c" in parts) && moved && (next.c < lowest || next.c >= lowest + spec.cg)) next.c = lowest;
    for (const [name, allowed] of Object.entries({ view: [...STEPS, ...TABS], speed: SPEEDS,
      algorithm: Object.keys(convbench.ALGORITHMS), g: Object.keys(convbench.GRADIENTS),
      theme: ["auto", "light", "dark"], lang: Object.keys(convbench.languages) })) {
      if (!allowed.includes(next[name])) next[name] = start[name];
    }
    for (const name of ["colours", "present", "embed"]) next[name] = next[name] ? 1 : 0;
    if (!(Number.isInteger(next.m) && next.m >= 0 && next.m <= 5)) next.m = 0;
    if (!(Number.isInteger(next.asked) && next.asked >= 0)) next.asked = 0;
    if (!Object.hasOwn(convbench.quiz.levels, next.level)) next.level = 1;
    if (!(next.at >= 0 && next.at <= 1)) next.at = -1;
  }
  // A picture that is none, or a kernel without such a name, is as drawn.
  function knowSources(next) {
    const known = Object.hasOwn(convbench.PICTURES, next.image) || (next.image === "own" &&
      convbench.unpackOwn(next.own));
    if (!known) next.image = "";
    if (!Object.hasOwn(convbench.KERNELS, next.kernel)) next.kernel = "";
  }

  Object.assign(convbench, { setting: { TABS, STEPS, SPEEDS, problemOf, dropEdits, settle, within, knowSources } });
})();
