"use strict";
// What flies from grid to grid in a moment: patches to their column, weights to their row, sums to their place?
convbench.makeFlights = (ink, strip) => {
  const { clamp, mix, ease, landing, LAND, FLIGHT } = convbench.timeline;
  const { place } = convbench.layout;
  const { size } = ink;

  // Between two rectangles, on an arch that is `lift` high.
  function arch(from, to, t, lift) {
    const e = ease(t);
    const bend = (a, b, over) => (1 - e) ** 2 * a + 2 * (1 - e) * e * over + e * e * b;
    return { x: bend(from.x, to.x, (from.x + to.x) / 2), y: bend(from.y, to.y, Math.min(from.y, to.y) - lift),
      w: mix(from.w, to.w, e), h: mix(from.h, to.h, e) };
  }
  const sumPart = (s) => (s - 0.5) / (LAND - 0.5); // how far the sum of a slot has flown

  function sumToY({ slice, spec, moment, boxes: { x, y } }) {
    const t = sumPart(moment.s);
    if (t <= 0 || t >= 1) return;
    const [p, q] = slice.self.position(moment.l);
    const at = place(x, 0, p * spec.stride[0], q * spec.stride[1]);
    slice.filters.forEach((_, b) => {
      const end = place(y, b, p, q);
      const side = Math.max(end.w, size.em * 1.6);
      const from = { x: at.x + (spec.axes[1].extent * x.cw - side) / 2, y: at.y + (spec.axes[0].extent * x.ch -
        side) / 2, w: side, h: side };
      ink.flying(arch(from, end, t, size.em * 3), "y", slice.y(b, moment.l), slice, "output");
    });
  }
  function patchToColumn({ slice, moment, boxes: { x, patches } }) {
    for (let j = 0; j < slice.taps; j++) {
      const t = (moment.s - landing(j, slice.taps) + FLIGHT) / FLIGHT;
      if (t <= 0 || t >= 1) continue;
      const to = place(patches, 0, j, moment.l, strip());
      ink.flying(arch(place(x, ...slice.place(j, moment.l)), to, t, size.em * 2.4), "patches",
        slice.patch(j, moment.l), slice, "patch");
    }
  }
  function weightsToRow({ slice, spec, moment, boxes: { w, wFlat }, full }) {
    const tail = Math.max(1.2, slice.taps * 0.15);
    const u = (moment.u - 0.1) / 0.7 * spec.taps;
    slice.filters.forEach((_, b) => {
      for (let j = full.wFlat; j < slice.taps; j++) {
        const t = clamp((u - j + tail) / (tail + 1));
        if (t <= 0) continue;
        const [, r, s] = slice.self.tap(slice.tap0 + j);
        const from = place(w, b * slice.channels.length + Math.floor(j / (spec.r * spec.s)), r, s);
        ink.flying(arch(from, place(wFlat, 0, b, j), t, size.em), "wFlat", slice.w(b, j), slice, "kernel");
      }
    });
  }
  // w_flat rides from column to column, and the sums fall into the row of y.
  function rowToColumn({ slice, moment: { l, s }, boxes: { patches, wFlat, yFlat }, look, slide }) {
    for (let j = 0; j < slice.taps; j++) {
      const here = place(patches, 0, j, l, strip());
      const from = l ? place(patches, 0, j, l - 1, strip()) : place(wFlat, 0, look.b, j);
      const at = l ? { ...here, x: mix(from.x, here.x, slide) } : arch(from, here, slide, size.em * 2);
      const value = slice.w(look.b, j);
      if (at.w > 30 && at.h > 17) ink.rider(at, value, slice, slide < 1);
      else if (!l && slide < 1) ink.flying(at, "wFlat", value, slice, "kernel");
    }
    const t = sumPart(s);
    if (t <= 0 || t >= 1) return;
    slice.filters.forEach((_, b) => {
      const end = place(yFlat, 0, b, l, strip());
      const top = patches.y + (patches.rows - 1) * patches.ch;
      ink.flying({ ...end, y: mix(top, end.y, ease(t)) }, "yFlat", slice.y(b, l), slice, "output");
    });
  }
  function rowToImage({ slice, spec, moment, boxes: { yFlat, y }, full }) {
    const tail = Math.max(1.4, spec.l * 0.06);
    const u = clamp((moment.u - 0.12) / 0.76) * spec.l;
    const tiny = ink.small(y, "y", slice);
    slice.filters.forEach((_, b) => {
      for (let l = full.y; l < Math.min(spec.l, Math.ceil(u + tail)); l++) {
        const t = clamp((u - l + tail) / (tail + 1));
        if (t <= 0) continue;
        const from = place(yFlat, 0, b, clamp(l, strip(), strip() + yFlat.shown - 1), strip());
        const at = arch(from, place(y, b, ...slice.self.position(l)), t, -2 * size.em);
        if (tiny) ink.cell(at, "y", slice.y(b, l), slice);
        else ink.flying(at, "y", slice.y(b, l), slice, "output");
      }
    });
  }

  const OF_STEP = { 2: sumToY, 4: patchToColumn, 5: weightsToRow, 6: rowToColumn, 7: rowToImage };
  return (scene) => OF_STEP[scene.step]?.(scene);
};
