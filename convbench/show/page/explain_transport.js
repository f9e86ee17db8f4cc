"use strict";
// How does a reader go through time? Chapters, a scrubber, play and speed.
convbench.makeTransport = (page) => {
  const { clock, state } = page;
  const { make } = convbench.dom;
  const $ = (id) => document.getElementById(id);
  const RATES = convbench.setting.SPEEDS;
  const LEAST_WIDE = 4; // of a chapter, in seconds of its length
  let chapters = [];
  let places = []; // of the chapters, {left, wide} in pixels: to ask for them in each frame would take longer than it
  let total = 1;
  const ICONS = { play: "M6 3.5v13L16.5 10z", pause: "M5 4h3.5v12H5zM11.5 4H15v12h-3.5z" };

  // Once for each plan or language.
  function build() {
    chapters.forEach((one) => one.remove());
    const { names, titles } = convbench.words.steps;
    chapters = clock.plan.steps.map((entry, i) => {
      const one = make("button", { type: "button", class: "chapter", title: titles[i], tabindex: "-1" },
        make("i", {}), make("span", { "data-name": `${i + 1} ${names[i]}` }, make("b", {}, `${i + 1}`), ` ${names[i]}`));
      one.style.setProperty("--long", LEAST_WIDE + Math.min(entry.length, 8));
      one.addEventListener("click", () => page.go(i));
      $("time").insertBefore(one, $("scrub"));
      return one;
    });
    measure();
  }
  function measure() {
    places = chapters.map((one) => ({ left: one.offsetLeft, wide: one.offsetWidth }));
    total = $("time").clientWidth || 1;
  }
  function show(at) {
    chapters.forEach((one, i) => {
      one.style.setProperty("--done", i < at.index ? 1 : i > at.index ? 0 : at.u);
      if (i === at.index) one.setAttribute("aria-current", "step");
      else one.removeAttribute("aria-current");
    });
    const x = places[at.index].left + places[at.index].wide * at.u;
    $("head").style.left = `${x}px`;
    const { of, names } = convbench.words.steps;
    if (document.activeElement !== $("scrub") || clock.playing) $("scrub").value = x / total * 1000;
    $("scrub").setAttribute("aria-valuetext", `${of(at.index + 1)}, ${names[at.index]}`);
    const label = `${at.index + 1}/${names.length} ${names[at.index]}`;
    if ($("where").textContent !== label) $("where").textContent = label;
  }
  function scrub(share) {
    const x = share * total;
    const found = places.findIndex(({ left, wide }) => x < left + wide);
    const i = found < 0 ? places.length - 1 : found;
    const u = Math.max(0, Math.min(0.9999, (x - places[i].left) / places[i].wide));
    const entry = clock.plan.steps[i];
    page.seek(entry.start + u * entry.length);
  }
  function showPlaying() {
    const name = clock.playing ? "pause" : "play";
    $("play").querySelector("path").setAttribute("d", ICONS[name]);
    $("play").setAttribute("aria-label", convbench.words.page[name]);
    $("play").classList.toggle("new", !clock.started);
  }
  function rate(by) {
    const at = RATES.indexOf(state.speed) + by;
    page.change({ speed: RATES[Math.max(0, Math.min(RATES.length - 1, at))] });
  }

  $("play").addEventListener("click", () => page.play(!clock.playing));
  $("prev").addEventListener("click", () => page.go(page.at().index - 1));
  $("next").addEventListener("click", () => page.go(page.at().index + 1));
  $("slower").addEventListener("click", () => rate(-1));
  $("faster").addEventListener("click", () => rate(1));
  $("scrub").addEventListener("input", (event) => {
    page.play(false);
    scrub(event.target.value / 1000);
  });
  return { RATES, build, measure, show, showPlaying, rate };
};
