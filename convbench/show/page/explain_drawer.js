"use strict";
// How does a reader choose the image, the kernel and the sizes?
convbench.makeDrawer = (page) => {
  const { state, self, change } = page;
  const { make, button } = convbench.dom;
  const $ = (id) => document.getElementById(id);
  const form = $("form");
  const NUMBERS = ["n", "c", "h", "w", "k", "r", "s", "groups", "stride0", "stride1", "dilation0", "dilation1"];

  // The form.
  function fromForm() {
    const value = (name) => (form.elements[name].value.trim() === "" ? NaN : Number(form.elements[name].value));
    const spec = { stride: [0, 1].map((i) => value(`stride${i}`)), dilation: [0, 1].map((i) => value(`dilation${i}`)),
      ...convbench.readPadding(form.elements.padding.value), groups: value("groups"), mode: form.elements.mode.value };
    for (const letter of convbench.SIZES) spec[letter] = value(letter);
    return { spec, mode: spec.mode, seed: value("seed") };
  }
  form.addEventListener("input", (event) => {
    if (event.target.name === "shape") return;
    try {
      const { spec, mode, seed } = fromForm();
      const problem = convbench.complaint(spec);
      if (problem) throw new Error(problem);
      change({ shape: convbench.text(spec), mode, seed });
    } catch (error) {
      page.complain(error.message);
    }
  });
  const typed = () => change({ shape: form.elements.shape.value.trim() });
  form.elements.shape.addEventListener("change", typed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    typed();
  });
  form.elements.mode.append(...convbench.MODES.map((mode) => make("option", { value: mode }, mode)));
  function showForm() {
    const { spec } = self;
    const values = { shape: convbench.text(spec), padding: convbench.paddingText(spec), mode: state.mode,
      seed: state.seed };
    for (const name of NUMBERS) {
      values[name] = /\d$/.test(name) ? spec[name.slice(0, -1)][Number(name.at(-1))] : spec[name];
    }
    for (const [name, value] of Object.entries(values)) {
      const field = form.elements[name];
      if (field !== document.activeElement || name === "shape") field.value = value;
    }
  }
  // The command that shows the same numbers, where there is one, and the padding that torch would be given.
  function showSame() {
    const { spec } = self;
    const words = convbench.words.choose;
    const [zeros, even] = [state.mode === "zeros", convbench.even(spec)];
    const command = `convbench explain ${convbench.text(spec)} --at ${state.p},${state.q} --filter ${state.k}` +
      `${state.n ? ` --image ${state.n}` : ""}${state.seed ? ` --seed ${state.seed}` : ""}`;
    const sides = [spec.padding[1], spec.end[1], spec.padding[0], spec.end[0]].join(", "); // F.pad begins on the left
    const padded = `F.pad(x, (${sides})${zeros ? "" : `, mode="${state.mode}"`})`;
    $("same").replaceChildren(...(zeros && page.isDrawn() ? [words.sameNumbers, make("code", {}, command), " "] : []),
      ...(zeros && even ? [] : [zeros ? words.padsAlike : words.padsZeros, make("code", {}, padded), words.thenConv]));
  }

  // Pictures and kernels.
  function thumbnail(planeOf, h, w) {
    const one = make("canvas", { width: w, height: h });
    const paint = one.getContext("2d");
    const data = paint.createImageData(w, h);
    for (let i = 0; i < h * w; i++) data.data.set([...new Array(3).fill(planeOf(Math.floor(i / w), i % w)), 255], i * 4);
    paint.putImageData(data, 0, 0);
    return one;
  }
  function choice(label, name, chosen, act, child) {
    return button(child ?? label, act, { role: "radio", "aria-label": child ? label : null,
      "aria-checked": String(chosen), "data-name": name });
  }
  const named = (words, name) => words.pictures[name] ?? { "": words.counted, own: words.own }[name];
  function showPictures() {
    const words = convbench.words.choose;
    const of = (name, child) => choice(named(words, name), name, state.image === name, () => pick(name), child);
    const side = 28;
    $("thumbs").replaceChildren(of("", "1 2 3"), ...Object.keys(convbench.PICTURES).map((name) => of(name,
      thumbnail((i, j) => convbench.drawn(name, 0, i, j, side, side), side, side))), of("own", ownThumbnail()));
  }
  function ownThumbnail() {
    const own = convbench.unpackOwn(state.own);
    return own ? thumbnail((i, j) => own.planes[0][i * own.w + j], own.h, own.w) : "+";
  }
  function showKernels() {
    const words = convbench.words.choose;
    const of = (name, label) => choice(label, name, state.kernel === name && !state.w, () => pickKernel(name));
    $("chips").replaceChildren(of("", self.w.length > 9 || state.seed ? words.seeded : "1 2 3"), ...Object.keys(convbench.KERNELS).map((name) =>
      of(name, words.kernels[name])));
  }
  function resized(parts) {
    return convbench.text({ ...convbench.parse(state.shape), ...parts });
  }
  // A picture looks like a picture and meets a kernel that finds its edges, unless the reader has chosen or typed one;
  // the counted numbers bring their own. `told` is what became of a picture.
  function pick(name, told = "") {
    if (name === "own" && !state.own) return $("file").click();
    if (name === "") return change({ image: "", kernel: "", x: "", w: "", colours: 0, shape: page.START.shape });
    const [h, w] = name === "own" ? ownSize() : [convbench.PICTURES[name].side, convbench.PICTURES[name].side];
    const fresh = state.image === "" && state.kernel === "" && state.w === "";
    const done = change({ image: name, x: "", shape: resized({ n: 1, h, w, ...(fresh ? { r: 3, s: 3 } : {}) }),
      ...(fresh ? { kernel: "sobel-x" } : {}), ...(state.image === "" ? { colours: 1 } : {}) });
    const { kernels, tookKernel } = convbench.words.choose;
    if (done && (told || fresh)) page.complain([told, state.kernel && tookKernel(kernels[state.kernel])]
      .filter(Boolean).join(" "), false);
    return done;
  }
  function pickKernel(name) {
    change({ kernel: name, w: "", ...(name ? { shape: resized({ r: 3, s: 3 }) } : {}) });
  }
  function ownSize() {
    const { h, w } = convbench.unpackOwn(state.own);
    return [h, w];
  }

  // One's own image, made small: grey, or its colours where x has three channels.
  async function take(file) {
    const words = convbench.words.choose;
    if (!file?.type.startsWith("image/")) return page.complain(words.noPicture);
    try {
      const image = await createImageBitmap(file);
      const scale = Math.min(1, convbench.MOST_OWN / Math.max(image.width, image.height));
      const [w, h] = [image.width, image.height].map((size) => Math.max(1, Math.round(size * scale)));
      const small = make("canvas", { width: w, height: h });
      const paint = small.getContext("2d", { willReadFrequently: true });
      Object.assign(paint, { imageSmoothingQuality: "high", fillStyle: "#fff" });
      paint.fillRect(0, 0, w, h); // what is transparent is white
      paint.drawImage(image, 0, 0, w, h);
      const { data } = paint.getImageData(0, 0, w, h);
      const plane = (at) => Uint8Array.from({ length: w * h }, (_, i) => Math.round(at(...data.slice(4 * i, 4 * i + 3))));
      const planes = self.spec.c === 3 ? [0, 1, 2].map((i) => plane((...rgb) => rgb[i])) :
        [plane((r, g, b) => 0.299 * r + 0.587 * g + 0.114 * b)];
      state.own = convbench.packOwn({ h, w, planes });
      pick("own", words.took([image.height, image.width], [h, w], planes.length > 1));
    } catch {
      page.complain(words.unreadable);
    }
    return undefined;
  }
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", (event) => {
    take(event.target.files[0]);
    event.target.value = "";
  });
  addEventListener("paste", (event) => {
    const file = Array.from(event.clipboardData?.files ?? []).at(0);
    if (file) take(file);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("stage").classList.add("drop");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("stage").classList.remove("drop");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("stage").classList.remove("drop");
    take(event.dataTransfer.files[0]);
  });

  // The drawer itself.
  const isOpen = () => !$("drawer").classList.contains("closed");
  function open(on) {
    $("drawer").classList.toggle("closed", !on);
    for (const id of ["problem", "change"]) $(id).setAttribute("aria-expanded", String(on));
    (on ? $("shut") : $("change")).focus({ preventScroll: true });
  }
  for (const id of ["problem", "change"]) $(id).addEventListener("click", () => open(!isOpen()));
  $("shut").addEventListener("click", () => open(false));
  $("undo").addEventListener("click", () => change({ x: "", w: "" }));

  let drawn = "";
  function show() {
    showForm();
    showSame();
    $("undo").hidden = !state.x && !state.w;
    const key = [state.image, state.kernel, state.own, state.w, state.seed, self.w.length > 9,
      convbench.words.locale].join();
    if (key === drawn) return; // thumbnails are not drawn for each edit
    drawn = key;
    const focused = document.activeElement?.dataset?.name;
    const list = document.activeElement?.closest?.("#thumbs, #chips")?.id;
    showPictures();
    showKernels();
    if (list) $(list).querySelector(`[data-name="${focused}"]`)?.focus();
  }
  return { show, open, isOpen, take };
};
