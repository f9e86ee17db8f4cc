"use strict";
// Which cells belong to the same products?
convbench.makeLinks = ({ state, self }, { first, reads }) => {
  const { text, range } = convbench.dom;
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
  // What a cell is, in a sentence; k is its filter.
  function describe(key, k = state.k) {
    const { spec } = self;
    const words = convbench.words.links;
    const [kind, rest] = key.split(":");
    const numbers = rest.split(",").map(Number);
    const { channels, pairs } = takesPart(key);
    if (kind === "x") {
      const [c, row, column] = numbers;
      const outside = row < 0 || row >= spec.h || column < 0 || column >= spec.w;
      const value = self.padded(state.n, c, row + spec.padding[0], column + spec.padding[1]);
      const name = `x[${state.n},${c},${row},${column}] = ${text(value)}${outside ? words.padded : ""}`;
      if (!channels.length) return words.notRead(name, k, c);
      if (!pairs.length) return words.never(name);
      const list = pairs.slice(0, 4).map((one) => words.through(`y(${one.p},${one.q})`, `w(${one.r},${one.s})`));
      return words.read(name, pairs.length, [...list, ...(pairs.length > 4 ? [words.more(pairs.length - 4)] : [])]
        .join(", "));
    }
    if (kind === "y" || kind === "l") {
      const [row, column] = kind === "y" ? numbers : self.position(numbers[0]);
      const own = convbench.terms(self, { ...state, k, p: row, q: column });
      return words.output(`y[${state.n},${k},${row},${column}]`, row * spec.q + column, `${own.slice(0, 6)
        .map((term) => `${text(term.x)}·${text(term.w)}`).join(" + ")}${own.length > 6 ? " + …" : ""} = ` +
        text(totalOf(own)));
    }
    if (kind === "m") {
      const { r, s, p: row, q: column } = pairs[0];
      const channel = first() + channels[0];
      const value = text(self.patch(state.n, first() * spec.r * spec.s + numbers[0], numbers[1]));
      return words.entry(String(numbers), `${channel},${r},${s}`, `${row},${column}`,
        `x[${state.n},${channel},${self.place(r, s, row, column)}] = ${value}`);
    }
    const [c, r, s] = kind === "w" ? numbers : self.tap(numbers[0]);
    return words.weight(`w[${k},${c},${r},${s}] = ${text(self.weight(k, c, r, s))}`, (c * spec.r + r) * spec.s + s,
      pairs.length, first() + c);
  }

  return { linkedKeys, describe };
};
