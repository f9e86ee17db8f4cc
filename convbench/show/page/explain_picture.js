"use strict";
// What does the stage show at a moment? A function of (slice, moment, boxes); only a film strip eases by the clock.
convbench.makePicture = (ink) => {
  const { clamp, mix, ease, filled, landing } = convbench.timeline;
  const { place, outline: outlineOf } = convbench.layout;
  const { paint, tone, size, say, cell } = ink;
  const byTimes = (...sizes) => sizes.join("×");
  let strip = 0; // the first column of the film strip that is seen, as it eases
  const flights = convbench.makeFlights(ink, () => strip);

  // All that the grids of one frame share.
  function sceneOf(slice, moment, boxes, look) {
    const { step, l, s, fast } = moment;
    const part = { 2: 0.3, 4: 0.3, 6: 0.35 }[step];
    const slide = part ? ease(s / part) : 1;
    const moving = look.l === null;
    const now = look.l ?? l;
    const before = Math.max(0, l - 1);
    const active = step === 2 || step === 4 || step === 6 || !moving;
    return { slice, spec: slice.spec, moment, step, boxes, look, slide, moving, now, before, active, fast,
      eased: moving && !fast ? mix(before, now, slide) : now, full: filled(moment, slice.spec),
      ring: (key, here = true) => (here && look.selected === key ? 2 : here && look.linked.has(key) ? 1 : 0) };
  }
  function easeStrip(scene, { dt, jump }) {
    const { boxes, spec, step, full, look } = scene;
    const { shown } = boxes.patches;
    const at = look.l ?? (step === 7 ? full.y : scene.eased);
    const want = clamp(at - shown * 0.62, 0, Math.max(0, spec.l - shown));
    strip = jump || scene.fast || step === 7 ? want : mix(strip, want, Math.min(1, dt * 9));
    if (Math.abs(strip - want) < 0.01) strip = want;
    return strip !== want;
  }

  function caption(box, name, shape, colour, lift = 0.75) {
    if (box.alpha < 0.05) return box.x;
    let end = box.x + 1 + size.em * 0.6;
    ink.faded(box.alpha, () => {
      const y = box.y - size.em * lift;
      end += say(name, box.x + 1, y, { colour, weight: 600, scale: 1 });
      end += say(shape, end, y, { font: tone.mono });
    });
    return end; // where its words end
  }
  const windowNote = (shown, all, first) => (shown < all ? ` ${first}–${first + shown - 1}` : "");

  // The rectangle that the kernel covers on channel a of x.
  function kernelOn(scene, a, p, q) {
    const { spec, boxes: { x } } = scene;
    const at = place(x, a, p * spec.stride[0], q * spec.stride[1]);
    return { x: at.x - 1, y: at.y - 1, w: spec.axes[1].extent * x.cw + 2, h: spec.axes[0].extent * x.ch + 2 };
  }
  function frame(scene, a, p, q, alpha = 1) {
    const { cw, alpha: seen } = scene.boxes.x;
    ink.faded(alpha * seen, () => ink.outline(kernelOn(scene, a, p, q), tone.patch, cw > 15 ? 3 : 2, { inset: 0,
      part: 0.06 }));
  }

  function drawX(scene) {
    const { slice, spec, boxes: { x: box }, active, slide, look } = scene;
    if (box.alpha < 0.02) return;
    const tiny = ink.small(box, "x", slice);
    const inPatch = new Set();
    if (active && !look.readers) for (let j = 0; j < slice.taps; j++) inPatch.add(slice.place(j, scene.now).join());
    const tinted = slide > 0.6 && !tiny;
    ink.faded(box.alpha, () => slice.channels.forEach((channel, a) => {
      if (tiny) tinyPlane(scene, a);
      else for (let row = 0; row < spec.hp; row++) for (let column = 0; column < spec.wp; column++) {
        const padded = slice.outside(row, column);
        const hit = inPatch.has(`${a},${row},${column}`);
        cell(place(box, a, row, column), "x", slice.x(a, row, column), slice, {
          padded, role: hit && tinted && !padded ? "patch" : "",
          struck: !padded && unread(spec, row, column),
          ring: look.linked.size || look.selected ? scene.ring(xKey(spec, channel, row, column)) : 0 });
      }
    }));
    if (active && scene.step !== 3) slidingFrame(scene);
    if (scene.step === 2) weightsInCorners(scene);
    const padding = convbench.paddingText(spec);
    caption(box, "x", byTimes(spec.n, spec.c, spec.h, spec.w) + (padding === "0" ? "" : ` +${padding}`) +
      windowNote(slice.channels.length, spec.c, slice.channels[0]), tone.ink);
  }
  const xKey = (spec, channel, row, column) => `x:${channel},${row - spec.padding[0]},${column - spec.padding[1]}`;
  const unread = (spec, row, column) => !spec.axes[0].readers[row - spec.padding[0]] ||
    !spec.axes[1].readers[column - spec.padding[1]];
  function tinyPlane({ slice, spec, boxes: { x: box }, look }, a) {
    const at = place(box, a, 0, 0);
    const whole = { x: at.x, y: at.y, w: spec.wp * box.cw, h: spec.hp * box.ch };
    paint.strokeStyle = tone.line;
    paint.lineWidth = 1;
    paint.strokeRect(whole.x - 0.5, whole.y - 0.5, whole.w + 1, whole.h + 1);
    paint.imageSmoothingEnabled = false;
    const zeros = spec.mode === "zeros";
    paint.drawImage(ink.bitmap(`x${a}`, "x", spec.hp, spec.wp, (row, column) => (zeros && slice.outside(row, column) ?
      null : slice.x(a, row, column)), slice), whole.x, whole.y, whole.w, whole.h);
    const [, channel, row, column] = /^x:(\d+),(-?\d+),(-?\d+)$/.exec(look.key ?? "") ?? [];
    if (Number(channel) !== slice.channels[a]) return;
    ink.outline(place(box, a, Number(row) + spec.padding[0], Number(column) + spec.padding[1]), tone.focus, 2,
      { inset: -1 });
  }
  function slidingFrame(scene) {
    const { slice, spec, moving, fast, before, now, slide, look } = scene;
    const at = (l) => [Math.floor(l / spec.q), l % spec.q];
    const [to, from] = [at(now), moving && !fast ? at(before) : at(now)];
    const wraps = from[0] !== to[0];
    const alpha = look.readers ? 0.25 : wraps ? 0.45 + 0.55 * Math.abs(2 * slide - 1) : 1;
    slice.channels.forEach((_, a) => frame(scene, a, mix(from[0], to[0], slide), mix(from[1], to[1], slide), alpha));
  }
  // Step 2: `×2` in the corner of each pixel of the patch.
  function weightsInCorners({ slice, boxes: { x: box }, look, slide, now, fast }) {
    if (box.cw < 36 || slide < 0.6 || slice.colours || fast) return;
    const { short } = convbench.dom;
    ink.faded(clamp((slide - 0.6) / 0.4), () => {
      for (let j = 0; j < slice.taps; j++) {
        const at = place(box, ...slice.place(j, now));
        const words = `×${short(slice.w(look.b, j))}`;
        const high = Math.min(at.h * 0.25, at.w / 4, at.w / words.length / 0.62);
        say(words, at.x + at.w - high * 0.3, at.y + at.h - high * 0.4, { align: "right", colour: tone.kernel,
          scale: high / size.em, font: tone.mono, weight: 600 });
      }
    });
  }
  // Step 3: positions are counted across, then down.
  function countPositions(scene) {
    const { spec, moment: { u }, boxes: { x: box } } = scene;
    const at = clamp(u / 0.85) * (spec.q + spec.p);
    const settled = (value) => Math.floor(value) + ease(clamp((value % 1) / 0.5));
    const count = (words, x, y, align) => say(words, x, y, { align, base: align === "right" ? "middle" : "alphabetic",
      colour: tone.patch, font: tone.mono, weight: 600 });
    const [across, down] = [Math.min(spec.q, at), clamp(at - spec.q, 0, spec.p)];
    const [below, roomy] = [box.y + outlineOf(box).h + size.em * 1.4, box.cw * spec.stride[1] > 12];
    if (roomy) {
      for (let q = 0; q < Math.ceil(across); q++) {
        frame(scene, 0, 0, q, 0.16);
        const { x, w } = kernelOn(scene, 0, 0, q);
        count(String(q + 1), x + w / 2, below, "center");
      }
      for (let p = 0; p < Math.ceil(down); p++) {
        frame(scene, 0, p, 0, 0.16);
        const { y, h } = kernelOn(scene, 0, p, 0);
        count(String(p + 1), box.x - size.em * 0.6, y + h / 2, "right");
      }
    } else {
      const { across: acrossWord, down: downWord } = convbench.words.stage;
      const words = [`${Math.ceil(across)} ${acrossWord}`, ...(down ? [`${Math.ceil(down)} ${downWord}`] : [])];
      count(words.join(", "), box.x + box.cols * box.cw / 2, below, "center");
    }
    const [p, q] = at < spec.q ? [0, Math.min(spec.q - 1, settled(at))] :
      [Math.min(spec.p - 1, settled(at - spec.q)), 0];
    frame(scene, 0, p, q);
    return (row, column) => (row === 0 && column < across) || (column === 0 && row < down);
  }

  function drawW(scene) {
    const { slice, spec, boxes: { w: box }, look } = scene;
    if (box.alpha < 0.02) return;
    const each = spec.r * spec.s;
    ink.faded(box.alpha, () => slice.filters.forEach((_, b) => {
      for (let j = 0; j < slice.taps; j++) {
        const [c, r, s] = slice.self.tap(slice.tap0 + j);
        cell(place(box, b * slice.channels.length + Math.floor(j / each), r, s), "w", slice.w(b, j), slice,
          { role: "kernel", ring: scene.ring(`w:${c},${r},${s}`, b === look.b) });
      }
    }));
    const shape = outlineOf(box).w > size.em * 7 || scene.step < 4 ? byTimes(spec.k, spec.cg, spec.r, spec.s) : "";
    caption(box, "w", shape + (shape && windowNote(slice.filters.length, spec.k, slice.filters[0])), tone.kernel);
  }

  function drawPatches(scene) {
    const { slice, spec, step, moment, boxes: { patches: box }, active, look, moving, fast, slide } = scene;
    if (box.alpha < 0.02) return;
    const marked = step === 6 && moving && !fast && slide < 0.5 ? scene.before : scene.now;
    const seen = { x: box.x - 2, y: box.y - size.em * 1.5, w: box.shown * box.cw + 4,
      h: box.rows * box.ch + size.em * 1.6 };
    const last = Math.min(spec.l, Math.ceil(strip + box.shown));
    ink.faded(box.alpha, () => ink.clipped(seen, () => {
      for (let l = Math.floor(strip); l < last; l++) column(scene, l, active && !look.readers && l === marked &&
        step !== 5);
    }));
    const gone = step === 4 && moving && moment.s < 0.5;
    if (active && !look.readers && step !== 5 && !gone && scene.now >= strip - 0.5 && scene.now < strip + box.shown) {
      const at = place(box, 0, 0, scene.eased, strip);
      ink.faded(box.alpha, () => ink.outline({ ...at, h: box.rows * box.ch }, tone.patch, 2.5, { inset: -0.5,
        part: 0.1 }));
    }
    if (spec.l > box.shown) wholeMatrix(scene);
    caption(box, "patches", byTimes(spec.n, spec.c * spec.r * spec.s, spec.l), tone.patch, 1.95);
  }
  function column(scene, l, marked) {
    const { slice, step, moment, boxes: { patches: box }, full, look, moving, fast } = scene;
    const { self } = slice;
    if (box.cw >= size.em * 1.2 || l % 5 === 0 || marked) say(String(l), box.x + (l - strip + 0.5) * box.cw,
      box.y - size.em * 0.45, { align: "center", font: tone.mono, scale: 0.8, weight: marked ? 700 : 400,
        colour: marked ? tone.patch : tone.quiet });
    for (let j = 0; j < slice.taps; j++) {
      const at = place(box, 0, j, l, strip);
      const there = l < full.columns || (step === 4 && l === moment.l && moment.s >= landing(j, slice.taps));
      if (!there) {
        cell(at, "x", 0, slice, { empty: true });
        continue;
      }
      const [, row, across] = slice.place(j, l);
      const pair = step === 6 && marked && at.w > 30 && at.h > 17;
      const padded = slice.outside(row, across);
      cell(at, "patches", slice.patch(j, l), slice, { padded, role: marked ? "patch" : "",
        inside: pair ? ink.shared(at, slice).inside : at,
        ring: look.linked.size ? scene.ring(`m:${slice.tap0 + j},${l}`) : 0 });
      if (pair && (!moving || fast)) ink.rider(at, self.w[slice.filters[look.b] * slice.spec.taps + slice.tap0 + j],
        slice, false);
    }
  }
  // Below a film strip: all columns as one thin picture, and where the strip is.
  function wholeMatrix({ slice, spec, boxes: { patches: box }, full }) {
    const [x, y, w, h] = [box.x, box.y + box.rows * box.ch + size.em * 0.7, box.shown * box.cw, size.em * 0.75];
    const part = full.columns / spec.l;
    ink.faded(box.alpha, () => {
      paint.fillStyle = tone.cell;
      paint.fillRect(x, y, w, h);
      paint.imageSmoothingEnabled = true;
      if (part > 0) {
        const all = ink.bitmap("all", "patches", slice.taps, spec.l, slice.patch, slice);
        paint.drawImage(all, 0, 0, Math.max(1, all.width * part), slice.taps, x, y, w * part, h);
      }
      paint.strokeStyle = tone.patch;
      paint.lineWidth = 2;
      paint.strokeRect(x + w * strip / spec.l, y - 2, Math.max(3, w * box.shown / spec.l), h + 4);
    });
  }

  function drawWFlat(scene) {
    const { slice, spec, boxes: { wFlat: box }, look, full } = scene;
    if (box.alpha < 0.02) return;
    ink.faded(box.alpha, () => slice.filters.forEach((_, b) => {
      for (let j = 0; j < slice.taps; j++) {
        const there = full.wFlat >= spec.taps || j < full.wFlat;
        cell(place(box, 0, b, j), "wFlat", slice.w(b, j), slice, there ? { role: "kernel",
          ring: scene.ring(`f:${slice.tap0 + j}`, b === look.b) } : { empty: true });
      }
    }));
    caption(box, "w_flat", byTimes(spec.kg, spec.taps), tone.kernel);
  }

  // Step 6: the row of w_flat and the column of the patches meet in one cell of y.
  // Nothing that can be read is struck through: not the thin picture of all columns, not the caption of y.
  function meeting({ slice, spec, step, boxes: { patches, wFlat, yFlat }, look, eased, now }, captionEnd) {
    if (step !== 6 || yFlat.alpha < 0.5 || now < strip - 0.5 || now >= strip + yFlat.shown) return;
    const end = place(yFlat, 0, look.b, eased, strip);
    const row = place(wFlat, 0, look.b, slice.taps - 1);
    const [x, y] = [end.x + end.w / 2, end.y + end.h / 2];
    ink.faded(0.75, () => {
      const under = patches.y + patches.rows * patches.ch + (spec.l > patches.shown ? size.em * 1.45 + 4 : 2);
      const [top, bottom] = x < captionEnd + 3 ? [1.7, 0.5].map((lift) => yFlat.y - size.em * lift) : [end.y, end.y];
      if (top > under) ink.line(x, under, x, top, tone.patch);
      if (bottom < end.y) ink.line(x, bottom, x, end.y, tone.patch);
      if (row.x < end.x && Math.abs(row.y + row.h / 2 - y) < 2) ink.line(row.x + row.w + 3, y, yFlat.x - 3, y,
        tone.kernel);
    });
  }
  function drawYFlat(scene) {
    const { slice, spec, step, boxes: { yFlat: box }, full, look } = scene;
    if (box.alpha < 0.02) return 0;
    const last = Math.min(spec.l, Math.ceil(strip + box.shown));
    const seen = { x: box.x - 2, y: box.y - 3, w: box.shown * box.cw + 4, h: box.rows * box.ch + 6 };
    ink.faded(box.alpha, () => ink.clipped(seen, () => slice.filters.forEach((_, b) => {
      for (let l = Math.floor(strip); l < last; l++) {
        const gone = step === 7 && l < full.y; // its place is below now
        cell(place(box, 0, b, l, strip), "yFlat", slice.y(b, l), slice, l < full.yFlat ? {
          role: gone ? "" : "output", ring: scene.ring(`l:${l}`, b === look.b) } : { empty: true });
      }
    })));
    return caption(box, "y", byTimes(spec.n, spec.k, spec.l), tone.output);
  }

  function drawY(scene, counted) {
    const { slice, spec, boxes: { y: box }, full, look } = scene;
    if (box.alpha < 0.02) return;
    const tiny = ink.small(box, "y", slice);
    ink.faded(box.alpha, () => slice.filters.forEach((_, b) => {
      if (tiny) return tinyY(scene, b);
      for (let p = 0; p < spec.p; p++) for (let q = 0; q < spec.q; q++) {
        const l = p * spec.q + q;
        const ring = scene.ring(`y:${p},${q}`, b === look.b);
        const at = place(box, b, p, q);
        cell(at, "y", slice.y(b, l), slice, l < full.y ? { role: "output", ring } : { empty: true, ring });
        if (l >= full.y && counted?.(p, q)) ink.outline(at, tone.output, 1.5, { inset: 1.5 });
      }
      return undefined;
    }));
    const numbers = full.y > 0 && (tiny || slice.colours) && slice.mostY > 0;
    if (numbers && box.alpha > 0.9) {
      const at = outlineOf(box);
      const wide = Math.min(at.w * 0.5, size.em * 9);
      if (at.y + at.h + size.em * 1.6 < size.height) ink.legend(at.x + (at.w - wide) / 2, at.y + at.h + size.em * 0.9,
        wide, slice.mostY);
    }
    caption(box, "y", byTimes(spec.n, spec.k, spec.p, spec.q) + windowNote(slice.filters.length, spec.k,
      slice.filters[0]), tone.output);
  }
  function tinyY({ slice, spec, boxes: { y: box }, full, active, look, step, now }, b) {
    const at = place(box, b, 0, 0);
    const [rows, rest] = [Math.floor(full.y / spec.q), full.y % spec.q];
    paint.strokeStyle = tone.line;
    paint.lineWidth = 1;
    paint.strokeRect(at.x - 0.5, at.y - 0.5, spec.q * box.cw + 1, spec.p * box.ch + 1);
    paint.imageSmoothingEnabled = false;
    const all = ink.bitmap(`y${b}`, "y", spec.p, spec.q, (p, q) => slice.y(b, p * spec.q + q), slice);
    const part = (row, high, wide) => paint.drawImage(all, 0, row, all.width * wide / spec.q, high, at.x,
      at.y + row * box.ch, wide * box.cw, high * box.ch);
    if (rows) part(0, rows, spec.q);
    if (rest) part(rows, 1, rest);
    if (!active || (step !== 2 && look.l === null)) return;
    const [p, q] = slice.self.position(now);
    ink.outline(place(box, b, p, q), tone.output, 2, { inset: -1 });
  }

  // One frame; returns whether something still moves by the clock.
  function draw(slice, moment, boxes, look) {
    const scene = sceneOf(slice, moment, boxes, look);
    const easing = easeStrip(scene, look);
    ink.clear();
    ink.faded(boxes.signAlpha ?? 1, () => boxes.signs.forEach(([sign, x, y]) => say(sign, x, y, { align: "center",
      base: "middle", scale: 2 })));
    drawX(scene);
    const counted = scene.step === 3 ? countPositions(scene) : null;
    drawW(scene);
    drawPatches(scene);
    drawWFlat(scene);
    meeting(scene, drawYFlat(scene));
    drawY(scene, counted);
    if (scene.moving && !scene.fast && !look.readers) flights(scene);
    return easing;
  }

  return { draw, strip: () => strip };
};
