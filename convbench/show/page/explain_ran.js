"use strict";
// What did PyTorch really do? What was watched when the page was written, and the rule for any other sizes.
convbench.makeRan = ({ self, data, isTraced }, box) => {
  const { make, p, count } = convbench.dom;
  const DECADES = 7; // of the ruler: 1 to 10 million elements
  const share = (elements) => `${Math.log10(Math.max(1, elements)) / DECADES * 100}%`;
  const LIMIT = 20480;
  let asked = null; // elements that the slider asks about
  let shown = "";

  function ruler(path) {
    const words = convbench.words.ran;
    const cut = path.tests.slice(0, 3).every(Boolean) ? share(LIMIT) : "0%";
    const slider = make("input", { type: "range", min: 0, max: DECADES, step: 0.01, "aria-label": words.elements,
      id: "elements", "aria-valuetext": count(path.elements) });
    slider.value = Math.log10(path.elements);
    slider.addEventListener("input", () => {
      asked = Math.round(10 ** Number(slider.value));
      redraw(true);
    });
    const at = make("span", { class: "below at" }, count(LIMIT));
    at.style.left = share(LIMIT);
    const rule = make("div", { class: "rule" }, make("span", { class: "above start patch-ink" }, words.left),
      make("span", { class: "above end kernel-ink" }, words.right), make("div", { class: "track" }), slider, at,
      make("span", { class: "below start" }, words.least), make("span", { class: "below end" }, words.most));
    rule.style.setProperty("--cut", cut);
    return rule;
  }
  function rule(path) {
    const words = convbench.words.ran;
    return [p(path.builds ? words.builds(path.name, path.elements) : words.direct())];
  }
  // At which square image PyTorch turns from one way to the other, where that is up to the size.
  function sizeSentence({ tests, small }) {
    const side = Math.floor(Math.sqrt(LIMIT / self.spec.c));
    return tests.slice(0, 3).every(Boolean) && side > 0 ? convbench.words.ran.size(side, small) : null;
  }
  function tests(path) {
    const words = convbench.words.ran;
    return make("ul", { class: "tests", "aria-label": words.all }, words.tests(self.spec, path.elements)
      .map((one, i) => make("li", { class: path.tests[i] ? "yes" : "no" }, one)));
  }
  function evidence() {
    const words = convbench.words.ran;
    const { runs } = data.evidence;
    if (!runs.length) return p(words.none);
    return make("table", { class: "evidence" }, make("caption", {}, words.evidence),
      make("tbody", {}, runs.map((run) => make("tr", {}, specOf(run), make("td", {}, inShort(run))))));
  }
  const specOf = (run) => make("th", { scope: "row" }, make("code", {}, run.spec),
    make("small", {}, `torch ${run.torch}, ${run.machine}`));
  const isKnown = (claim) => claim && claim.kind !== "unknown";
  // What ran, and whether it built the patch matrix, or else why it ran.
  function inShort({ claims }) {
    const of = (about) => claims.find((one) => one.about === about);
    const second = isKnown(of("patch matrix")) ? of("patch matrix") : of("rule");
    return [of("backend"), second].filter(isKnown).map((one) => convbench.words.ran.told(one.words)).join("; ");
  }
  // Every claim, and whether it was seen or follows.
  function claims() {
    const words = convbench.words.ran;
    return data.evidence.runs.flatMap((run) => [p(make("code", {}, run.spec)), make("ul", {}, run.claims.map((claim) =>
      make("li", {}, `${words.told(claim.words)} (${words.seen[claim.kind] ?? claim.kind})`)))]);
  }
  // What was watched for the very problem that is shown.
  const watched = () => (isTraced() && asked === null ? data.evidence.sentences : []);
  function contents() {
    const { spec } = self;
    const path = convbench.torchPath(spec, asked ?? spec.c * spec.h * spec.w);
    const words = convbench.words.ran;
    const seen = watched().map(words.told);
    const padded = spec.mode !== "zeros" || !convbench.even(spec);
    const size = padded || watched().some((one) => one.startsWith("The size ")) ? null : sizeSentence(path);
    return [make("div", { class: "fact" }, seen.length ? seen.map((one) => p(one)) : rule(path), size && p(size)),
      padded && !seen.length ? p(words.padded) : null, ruler(path), tests(path), evidence()]
      .filter(Boolean);
  }
  function redraw(keepFocus) {
    box.replaceChildren(...contents());
    if (keepFocus) document.getElementById("elements").focus({ preventScroll: true });
  }
  // Called for each frame; only what changed is built.
  function show(visible) {
    box.hidden = !visible;
    const key = visible ? `${convbench.text(self.spec)} ${self.spec.mode} ${isTraced()} ${convbench.words.locale}` : "";
    if (key === shown) return;
    [shown, asked] = [key, null];
    if (visible) redraw(false);
  }
  return { show, contents, claims };
};
