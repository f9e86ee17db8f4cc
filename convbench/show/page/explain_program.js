"use strict";
// Which lines of torch compute each step of what is shown?
(() => {
  const MOST_LISTED = 36; // numbers that are written out; of more, the edited ones
  const MOST_BYTES = 8192; // of a picture as text
  const pair = ([a, b]) => (a === b ? `${a}` : `(${a}, ${b})`);
  const tuple = (...sizes) => `(${sizes.join(", ")})`;
  const options = (spec, names) => names.map(([name, value, usual]) => (value.every((one) => one === usual) ? "" :
    `, ${name}=${pair(value)}`)).join("");

  // F.conv2d and F.unfold pad opposite sides alike and with zeros; anything else is padded before.
  function paddingOf(spec) {
    if (spec.mode === "zeros" && convbench.even(spec)) return { image: "x", padding: spec.padding, before: [] };
    const sides = [spec.padding[1], spec.end[1], spec.padding[0], spec.end[0]].join(", ");
    const mode = spec.mode === "zeros" ? "" : `, mode="${spec.mode}"`;
    return { image: "padded", padding: [0, 0], before: [`padded = F.pad(x, (${sides})${mode})`] };
  }
  const listed = (values) => `torch.tensor([${Array.from(values).join(", ")}], dtype=torch.float64)`;
  // Numbers that were typed over others.
  function edited(name, edits, values) {
    const all = [...convbench.readEdits(edits, values.length)];
    return all.length ? [`${name}.view(-1)[[${all.map(([index]) => index).join(", ")}]] = ` +
      listed(all.map(([, value]) => value))] : [];
  }
  // A picture as text, so that the code runs as it is.
  const isByte = (value) => Number.isInteger(value) && value >= 0 && value <= 255;
  function picture(x, shape, edits) {
    if (x.length > MOST_BYTES) return [`x = torch.zeros${shape}.double()  # in place of the picture: too large to write`];
    return ["import base64", "pixels = base64.urlsafe_b64decode(",
      `    "${convbench.packBytes(Array.from(x, (value) => (isByte(value) ? value : 0)))}")`,
      `x = torch.frombuffer(bytearray(pixels), dtype=torch.uint8, count=${x.length})`,
      `x = x.reshape${shape}.double()`, ...(x.every(isByte) ? [] : edited("x", edits, x))];
  }
  // A kernel by name: turned for each filter, the same for every channel.
  function preset(spec, kernel) {
    const { k, cg, r, s, taps } = spec;
    const { w } = convbench.chosen(spec, { image: "", kernel });
    const turns = Math.min(k, 4);
    const found = convbench.dom.range([0, turns]).flatMap((i) => Array.from(w.subarray(i * taps, i * taps + r * s)));
    const all = k === turns && cg === 1 ? "" : `.repeat(${Math.ceil(k / turns)}, ${cg}, 1, 1)[:${k}]`;
    return `w = ${listed(found)}.reshape${tuple(turns, 1, r, s)}${all}`;
  }
  // As `convbench explain` draws them, or as they were chosen: an image, a kernel, edits of x and of w.
  function operands({ spec, x, w }, { image, kernel, x: xEdits, w: wEdits }) {
    const { n, c, h, w: width, k, cg, r, s, seed } = spec;
    const [xShape, wShape] = [tuple(n, c, h, width), tuple(k, cg, r, s)];
    const [xListed, wListed] = [xEdits && x.length <= MOST_LISTED, wEdits && w.length <= MOST_LISTED];
    const draws = { x: !image && !xListed, w: !kernel && !wListed };
    const chosen = seed > 0 || w.length > 9;
    const generator = chosen && (draws.w || (draws.x && seed)) ?
      [`generator = torch.Generator().manual_seed(${seed})`] : [];
    const counted = seed ? `x = torch.randint(1, 98, ${xShape}, generator=generator).double()` :
      `x = (torch.arange(${x.length}) % 97 + 1).reshape${xShape}.double()`;
    const weights = chosen ? ["numbers = torch.tensor([-3, -2, -1, 1, 2, 3])",
      `w = numbers[torch.randint(6, ${wShape}, generator=generator)].double()`] :
      [`w = (torch.arange(${w.length}) + 1).reshape${wShape}.double()`];
    // The generator draws x first, so w alone as drawn with a seed draws an x that is not used.
    const unused = seed && draws.w && !draws.x ? [`torch.randint(1, 98, ${xShape}, generator=generator)`] : [];
    const ofX = () => (image ? picture(x, xShape, xEdits) : [counted, ...edited("x", xEdits, x)]);
    const ofW = () => [...(kernel ? [preset(spec, kernel)] : weights), ...edited("w", wEdits, w)];
    return [...generator, ...(xListed ? [`x = ${listed(x)}.reshape${xShape}`] : ofX()), ...unused,
      ...(wListed ? [`w = ${listed(w)}.reshape${wShape}`] : ofW())];
  }
  function window(spec, { n, k, p, q }, first) {
    const sides = [spec.padding[1], spec.end[1], spec.padding[0], spec.end[0]];
    const mode = spec.mode === "zeros" ? "" : `, mode="${spec.mode}"`;
    const image = sides.some(Boolean) ? `F.pad(x, (${sides.join(", ")})${mode})` : "x";
    const lines = (axis, place) => {
      const start = place * spec.stride[axis];
      return `${start}:${start + spec.axes[axis].extent}${spec.dilation[axis] > 1 ? `:${spec.dilation[axis]}` : ""}`;
    };
    return `total = (${image}[${n}, ${first}:${first + spec.cg}, ${lines(0, p)}, ${lines(1, q)}] * w[${k}]).sum().item()`;
  }
  const sizeOf = (spec, axis) => {
    const { size, padding, end, dilation, taps, stride } = spec.axes[axis];
    const both = padding === end ? `2 * ${padding}` : `${padding} + ${end}`;
    return `(${size} + ${both} - ${dilation} * (${taps} - 1) - 1) // ${stride} + 1`;
  };

  // The lines of a step of self for a state: the followed cell, and where the numbers come from.
  function program(self, step, state) {
    const { spec } = self;
    const { image, padding, before } = paddingOf(spec);
    const split = spec.groups > 1 ? `.unflatten(1, (${spec.groups}, -1))` : "";
    const [stride, dilation] = [["stride", spec.stride, 1], ["dilation", spec.dilation, 1]];
    const padded = ["padding", padding, 0];
    return {
      1: () => operands(self, state),
      2: () => [window(spec, state, self.group(state.k) * spec.cg)],
      3: () => [`H_out = ${sizeOf(spec, 0)}`, `W_out = ${sizeOf(spec, 1)}`],
      4: () => [...before, `patches = F.unfold(${image}, ${tuple(spec.r, spec.s)}` +
        `${options(spec, [dilation, padded, stride])})${split}`],
      5: () => [`w_flat = w.reshape(${spec.groups > 1 ? `${spec.groups}, ${spec.kg}, -1` : "w.shape[0], -1"})`],
      6: () => [`y_flat = torch.einsum('${spec.groups > 1 ? "bgpl,gop->bgol" : "bpl,op->bol"}', patches, w_flat)`],
      7: () => [`y = y_flat.reshape(${spec.n}, ${spec.k}, H_out, W_out)`],
      8: () => [`y_torch = F.conv2d(${image}, w${options(spec, [stride, padded, dilation])}` +
        `${spec.groups > 1 ? `, groups=${spec.groups}` : ""})`],
    }[step]();
  }

  Object.assign(convbench, { program });
})();
