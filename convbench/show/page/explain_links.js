"use strict";
// Which cells belong to the same products?
convbench.makeLinks = ({ state, self }, { first, reads }) => {
  const { text, plural, count, range } = convbench.dom;
  const { totalOf } = convbench;

  // A key as the products it takes part in: channels within the group, and taps at positions.
  function takesPart(key) {
    const { spec } = self;
    const [kind, rest] = key.split(":");
    const numbers = rest.split(",").map(Number);
    const every = (size) => range([0, size]);
    if (kind === "y" || kind === "l") {
      const [row, column] = kind === "y" ? numbers : self.position(numbers[0]);
      return { channels: every(spec.cg), pairs: every(spec.r).flatMap((r) =>
        every(spec.s).map((s) => ({ r, s, p: row, q: column }))) };
    }
    if (kind === "w" || kind === "f") {
      const [c, r, s] = kind === "w" ? numbers : self.tap(numbers[0]);
      return { channels: [c], pairs: every(spec.p).flatMap((row) =>
        every(spec.q).map((column) => ({ r, s, p: row, q: column }))) };
    }
    if (kind === "m") {
      const [c, r, s] = self.tap(numbers[0]);
      const [row, column] = self.position(numbers[1]);
      return { channels: [c], pairs: [{ r, s, p: row, q: column }] };
    }
    const [channel, row, column] = numbers;
    const channels = reads(channel) ? [channel - first()] : [];
    const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
    const pairs = outside ? every(spec.r).flatMap((r) => every(spec.s).flatMap((s) => {
      const up = row + spec.padding[0] - r * spec.dilation[0];
      const left = column + spec.padding[1] - s * spec.dilation[1];
      const found = { r, s, p: up / spec.stride[0], q: left / spec.stride[1] };
      return up >= 0 && left >= 0 && Number.isInteger(found.p) && Number.isInteger(found.q) && found.p < spec.p &&
        found.q < spec.q ?
        [found] : [];
    })) : convbench.readersOf(self, row, column);
    return { channels, pairs };
  }
  function linkedKeys(key) {
    const { spec } = self;
    const { channels, pairs } = takesPart(key);
    const keys = new Set([key]);
    for (const c of channels) {
      for (const { r, s, p: row, q: column } of pairs) {
        const place = self.place(r, s, row, column);
        const j = (c * spec.r + r) * spec.s + s;
        const l = row * spec.q + column;
        keys.add(`x:${first() + c},${place}`).add(`w:${c},${r},${s}`).add(`y:${row},${column}`).add(`m:${j},${l}`)
          .add(`f:${j}`).add(`l:${l}`);
        const source = place.map((line, axis) => spec.axes[axis].source[line + spec.padding[axis]]);
        if (source.every((line) => line >= 0)) keys.add(`x:${first() + c},${source}`);
      }
    }
    return keys;
  }
  function describe(key) {
    const { spec } = self;
    const [kind, rest] = key.split(":");
    const numbers = rest.split(",").map(Number);
    const { channels, pairs } = takesPart(key);
    const list = (all) => all.slice(0, 4).join(", ") + (all.length > 4 ? `, … ${all.length - 4} more` : "");
    if (kind === "x") {
      const [c, row, column] = numbers;
      const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
      const value = self.padded(state.n, c, row + spec.padding[0], column + spec.padding[1]);
      const name = `x[${state.n},${c},${row},${column}] = ${text(value)}${outside ? " (padding)" : ""}`;
      if (!channels.length) return `${name}: filter ${state.k} does not read channel ${c}.`;
      if (!pairs.length) return `${name} is read by no output: stride, dilation or the floor leave it out.`;
      return `${name} is read ${count(pairs.length)}×: ` +
        `${list(pairs.map((one) => `y(${one.p},${one.q}) through w(${one.r},${one.s})`))}.`;
    }
    if (kind === "y" || kind === "l") {
      const [row, column] = kind === "y" ? numbers : self.position(numbers[0]);
      const own = convbench.terms(self, { ...state, p: row, q: column });
      return `y[${state.n},${state.k},${row},${column}], column l = ${row * spec.q + column}: ` +
        `${own.slice(0, 6).map((term) => `${text(term.x)}·${text(term.w)}`).join(" + ")}` +
        `${own.length > 6 ? " + …" : ""} = ${text(totalOf(own))}.`;
    }
    if (kind === "m") {
      const { r, s, p: row, q: column } = pairs[0];
      const place = self.place(r, s, row, column);
      return `patches(${numbers}): tap (c,r,s) = (${first() + channels[0]},${r},${s}) of output (${row},${column}) ` +
        `reads ` +
        `x[${state.n},${first() + channels[0]},${place}] = ` +
          `${text(self.patch(state.n, (first() * spec.r * spec.s) + numbers[0], numbers[1]))}.`;
    }
    const [c, r, s] = kind === "w" ? numbers : self.tap(numbers[0]);
    return `w[${state.k},${c},${r},${s}] = ${text(self.weight(state.k, c, r, s))}, row ` +
      `${(c * spec.r + r) * spec.s + s} of the patch matrix: ` +
      `it meets ${plural(pairs.length, "number")} of channel ${first() + c}, one for each output.`;
  }

  return { linkedKeys, describe };
};
