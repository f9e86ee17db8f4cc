"use strict";
// What is to be seen at a moment of the eight steps? Time as a pure function: no clock, no document.
// A step with positions gives each of them a slot; of many, three are slow and the rest share nine seconds.
convbench.timeline = (() => {
  const STEPS = 8;
  const SLOT = { 2: 0.85, 4: 1.05, 6: 1.05 }; // seconds of one position
  const LENGTH = { 1: 2.5, 3: 4.5, 5: 2.8, 7: 3.4, 8: 4 }; // of a step without positions
  const [MANY, SLOW, REST_S, HOLD_S] = [16, 3, 9, 0.5];
  const LAND = 0.9; // the part of a slot after which its last number has landed
  const FLIGHT = 0.3; // the part of a slot that one number flies
  const clamp = (value, least = 0, most = 1) => Math.max(least, Math.min(most, value));

  // Each step with its start and its length in seconds at speed 1.
  function plan(l) {
    const steps = [];
    let total = 0;
    for (let step = 1; step <= STEPS; step++) {
      const each = SLOT[step];
      const slow = l <= MANY ? l : SLOW;
      const rest = l <= MANY ? 0 : REST_S / (l - SLOW);
      const length = each ? slow * each + (l - slow) * rest + HOLD_S : LENGTH[step];
      steps.push({ step, start: total, length, slots: each ? { each, slow, rest, l } : null });
      total += length;
    }
    return { steps, total };
  }

  // Seconds into a step -> how far it is (u), the position that is worked on (l), how far that is (s); fast: no flights.
  function moment(entry, seconds) {
    const u = clamp(seconds / entry.length);
    if (!entry.slots) return { step: entry.step, u, l: 0, s: u, fast: false };
    const { each, slow, rest, l } = entry.slots;
    const place = Math.max(0, seconds < slow * each ? seconds / each : slow + (seconds - slow * each) / (rest || each));
    const fast = l > slow && place >= slow;
    if (place >= l) return { step: entry.step, u, l: l - 1, s: 1, fast };
    return { step: entry.step, u, l: Math.floor(place), s: place - Math.floor(place), fast };
  }
  // The seconds at which position l is at s; without positions s of the whole step.
  function timeOf(entry, l, s = 0.97) {
    if (!entry.slots) return s * entry.length;
    const { each, slow, rest } = entry.slots;
    return l < slow ? (l + s) * each : slow * each + (l - slow + s) * rest;
  }
  // The seconds of the whole walk -> its step and the moment in it.
  function at(walk, time) {
    const found = walk.steps.findIndex((entry) => time < entry.start + entry.length - 1e-6);
    const index = found < 0 ? STEPS - 1 : found;
    const entry = walk.steps[index];
    return { index, entry, ...moment(entry, time - entry.start) };
  }

  // When the number of row j lands in its column.
  const landing = (j, rows) => 0.55 + (LAND - 0.55) * (rows > 1 ? j / (rows - 1) : 1);
  const share = (u, from, length, whole) => Math.floor(clamp((u - from) / length) * whole + 1e-9);
  // How many columns of the patches, numbers of w_flat, outputs in a row and outputs in place hold a number by then.
  function filled({ step, u, l, s }, spec) {
    const sofar = l + (s >= LAND ? 1 : 0);
    const by = (first, now) => (step < first ? 0 : step === first ? now : null);
    return {
      columns: by(4, sofar) ?? spec.l,
      wFlat: by(5, share(u, 0.1, 0.7, spec.taps)) ?? spec.taps,
      yFlat: by(6, sofar) ?? spec.l,
      y: step === 2 ? sofar : by(7, share(u, 0.12, 0.76, spec.l)) ?? spec.l,
    };
  }
  const ease = (value) => {
    const t = clamp(value);
    return t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2;
  };
  const mix = (from, to, t) => from + (to - from) * t;

  return { STEPS, LAND, FLIGHT, plan, moment, timeOf, at, landing, filled, clamp, ease, mix };
})();
