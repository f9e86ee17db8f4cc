"use strict";
// Which lines of torch compute each step of what is shown?
(() => {
  const MOST_LISTED = 36; // numbers that are written out; more are a comment
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
  function numbers(name, values, sizes, drawn) {
    if (drawn) return [...drawn];
    const shape = tuple(...sizes);
    if (values.length > MOST_LISTED) return [`${name} = ...  # ${sizes.join("×")}, as shown`];
    return [`${name} = torch.tensor([${Array.from(values).join(", ")}]).reshape${shape}.double()`];
  }
  // As `convbench explain` draws them; `drawn` says which of the two are as drawn.
  function operands({ spec, x, w }, drawn) {
    const { n, c, h, w: width, k, cg, r, s, seed } = spec;
    const [xShape, wShape] = [[n, c, h, width], [k, cg, r, s]];
    const chosen = seed > 0 || w.length > 9;
    const generator = chosen && (drawn.w || (drawn.x && seed)) ?
      [`generator = torch.Generator().manual_seed(${seed})`] : [];
    const counted = seed ? `x = torch.randint(1, 98, ${tuple(...xShape)}, generator=generator).double()` :
      `x = (torch.arange(${x.length}) % 97 + 1).reshape${tuple(...xShape)}.double()`;
    const weights = chosen ? ["numbers = torch.tensor([-3, -2, -1, 1, 2, 3])",
      `w = numbers[torch.randint(6, ${tuple(...wShape)}, generator=generator)].double()`] :
      [`w = (torch.arange(${w.length}) + 1).reshape${tuple(...wShape)}.double()`];
    // The generator draws x first, so w alone as drawn with a seed draws an x that is not used.
    const unused = seed && drawn.w && !drawn.x ? [`torch.randint(1, 98, ${tuple(...xShape)}, generator=generator)`] :
      [];
    return [...generator, ...numbers("x", x, xShape, drawn.x && [counted]), ...unused,
      ...numbers("w", w, wShape, drawn.w && weights)];
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

  // The lines of a step of self for the followed cell.
  function program(self, step, cell, drawn) {
    const { spec } = self;
    const { image, padding, before } = paddingOf(spec);
    const split = spec.groups > 1 ? `.unflatten(1, (${spec.groups}, -1))` : "";
    const [stride, dilation] = [["stride", spec.stride, 1], ["dilation", spec.dilation, 1]];
    const padded = ["padding", padding, 0];
    return {
      1: () => operands(self, drawn),
      2: () => [window(spec, cell, self.group(cell.k) * spec.cg)],
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
