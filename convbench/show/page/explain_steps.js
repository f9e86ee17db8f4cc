"use strict";
// What is there to see in each of the seven steps, and backward?
convbench.makeSteps = ({ state, self, data, change }, grids, agreement) => {
  const { make, text, signed, count, plural, p, quiet, formula, role, button, narrow, windowOf, range } = convbench.dom;
  const { totalOf } = convbench;
  const { memo, grid, WIDE, first, reads, lineSpan, xGrid, wGrid, yGrid, cellTerms, products, sumOf, matrix,
    listTable } = grids;
  const { trace } = data;

  const steps = {
    1() {
      const { spec } = self;
      const channels = range([first(), first() + spec.cg]);
      const most = narrow() ? 6 : 7;
      const shown = channels.slice(0, 6);
      const terms = cellTerms();
      const sums = channels.map((c) => totalOf(terms.filter((term) => term.channel === c)));
      return [p(`x has N = ${plural(spec.n, "image")} of C = ${plural(spec.c, "channel")}, ${spec.h}×${spec.w} each; ` +
        `w has K = `,
        `${plural(spec.k, "filter")} of ${spec.r}×${spec.s} with a slice for each of the ` +
          `${plural(spec.cg, "channel")} it reads; `,
        `y is ${spec.p}×${spec.q} for each filter.`),
      spec.groups > 1 ? p(`${spec.groups} groups: filter k = ${state.k} is in group ${self.group(state.k)} and reads ` +
        `channels ` +
        `${first()} to ${first() + spec.cg - 1} of x only; w is (K, C/G, R, S) = (${spec.k}, ${spec.cg}, ${spec.r}, ` +
          `${spec.s}).`) : null,
      p("Cross-correlation: the kernel is laid on x as it is, not flipped."),
      ...(spec.cg === 1 ? [] : shown).map((c, i) => make("div", { class: "grids step" },
        xGrid({ id: `all-x-${c}`, c, title: `x[${state.n},${c}]`, most }),
        wGrid({ id: `all-w-${i}`, c: i, title: `w[${state.k},${i}]`, most }),
          formula("Σ over r, s = ", text(sums[i])))),
      channels.length > shown.length ? quiet(`… ${plural(channels.length - shown.length, "more channel")}.`) : null,
      spec.cg === 1 ? p("The patch, the kernel and the output that is followed are marked above; any other output " +
        "can be chosen there.") :
        formula(`y[${state.n},${state.k},${state.p},${state.q}] = `, signed(sums.slice(0, 12)),
          sums.length > 12 ? " + …" : "", " = ", role("output", text(totalOf(terms))))];
    },
    2() {
      const { spec } = self;
      const terms = cellTerms();
      const flipped = terms.reduce((sum, term) => sum + term.x * term.mirrored, 0);
      const axis = (letter, position, i, taps, name) => {
        const start = position * spec.stride[i] - spec.padding[i];
        const lines = range([0, taps]).map((tap) => text(start + tap * spec.dilation[i]));
        return formula(`${letter} = ${position}: ${name} ${position}·${spec.stride[i]} − ${spec.padding[i]} + ` +
          `{0..${taps - 1}}·${spec.dilation[i]} = {${lines.join(", ")}}`);
      };
      const channels = range([0, spec.cg]);
      return [formula(`y[n,k,p,q] = Σ x[n, ${first() ? `${first()}+` : ""}c, ` +
        `p·${spec.stride[0]}−${spec.padding[0]}+r·${spec.dilation[0]}, ` +
        `q·${spec.stride[1]}−${spec.padding[1]}+s·${spec.dilation[1]}] · w[k,c,r,s]`),
      axis("p", state.p, 0, spec.r, "rows"), axis("q", state.q, 1, spec.s, "columns"),
      ...channels.slice(0, 8).map((c) => {
        const own = terms.filter((term) => term.c === c);
        return make("p", { class: "sum" }, spec.cg > 1 ? `c = ${c}: ` : "", ...products(own, 25), " = ",
          text(totalOf(own)));
      }),
      channels.length > 8 ? quiet(`… ${plural(channels.length - 8, "more channel")}.`) : null,
      make("p", { class: "sum" }, "Together: ", role("output", text(totalOf(terms)))),
      p(`A flipped kernel (a true convolution) would give ${text(flipped)} here.`),
      terms.some((term) => term.outside) ? p(spec.mode === "zeros" ?
        "The patch hangs over the border: outside x stand zeros, ·0." :
        `The patch hangs over the border: outside x stand copies of x, ${spec.mode}.`) : null];
    },
    3() {
      const { spec } = self;
      const rulers = spec.axes.map((axis, i) => {
        const position = [state.p, state.q][i];
        const [from, to] = lineSpan(i);
        return grid({ id: `ruler-${i}`, title: `which ${["rows", "columns"][i]} each ${["p", "q"][i]} reads`,
          note: "● read, · padding line",
          rows: { from: 0, to: axis.positions, first: position, last: position, most: 10 },
          columns: { from: -axis.padding, to: axis.size + axis.end, first: from, last: to, most: narrow() ? 9 : 22 },
          rowName: (one) => `${["p", "q"][i]}=${one}`,
          at: (one, line) => {
            const offset = line - (one * axis.stride - axis.padding);
            const read = offset >= 0 && offset < axis.extent && offset % axis.dilation === 0;
            return { text: read ? "●" : line < 0 || line >= axis.size ? "·" : "", role: read && one === position ?
              "patch" : "zero" };
          },
          foot: { name: "read", cell: (line) => (line < 0 || line >= axis.size ? { text: "", role: "zero" } :
            { text: axis.readers[line] ? `${axis.readers[line]}×` : "never", role: axis.readers[line] ? "" :
              "unread" }) } });
      });
      const variants = [["stride", 1, 2], ["dilation", 1, 2], ["padding", 0, 1]].map(([name, usual, other]) => {
        const value = spec[name].every((one) => one === usual) ? other : usual;
        const changed = { ...convbench.parse(state.shape), mode: state.mode, [name]: [value, value] };
        if (name === "padding") changed.end = changed.padding;
        if (convbench.complaint(changed)) return null;
        const { p: rows, q: columns } = convbench.derive(changed);
        return button(`${name} ${value}: ${rows}×${columns}`, () => change({ shape: convbench.text(changed) }));
      });
      const lost = spec.axes.flatMap((axis, i) => [
        axis.rest ? `The floor leaves out ${plural(axis.rest, ["row", "column"][i])} at the end of the padded x.` :
          null,
        axis.unread.length ? `${axis.unread.length} of ${axis.size} ${["rows", "columns"][i]} of x are never read: ` +
          `${axis.unread.slice(0, 8).join(", ")}${axis.unread.length > 8 ? ", …" : ""}.` : null]).filter(Boolean);
      return [formula(`⌊(H + ${convbench.even(spec) ? "2·padding" : "top + bottom"} − dilation·(R − 1) − 1) / ` +
        "stride⌋ + 1, along each axis"),
        ...spec.axes.map((axis) =>
          formula(`${axis.letters[0]} = ⌊(${axis.size} + ${convbench.bothEnds(axis)} − ` +
          `${axis.dilation}·(${axis.taps}−1) − 1) / ${axis.stride}⌋ + 1 = ⌊${axis.room}/${axis.stride}⌋ + 1 = ` +
          `${axis.positions}`)),
        formula(`P·Q = ${spec.p}·${spec.q} = ${spec.l} positions`),
        make("p", { class: "ways" }, "What if: ", variants),
        ...(lost.length ? lost : ["Every row and every column of x is read."]).map((line) => p(line)),
        make("div", { class: "grids" }, rulers)];
    },
    4() {
      const { spec } = self;
      const [xBytes, patchBytes] = [4 * self.x.length, 4 * spec.n * spec.c * spec.r * spec.s * spec.l];
      return [formula(`l = p·Q + q = ${state.p}·${spec.q} + ${state.q} = ${state.p * spec.q + state.q}`), matrix(),
        p(`${plural(spec.taps, "row")} for the taps ${spec.groups > 1 ? "C/G" : "C"}·R·S = ` +
          `${spec.cg}·${spec.r}·${spec.s}; `,
          `${plural(spec.l, "column")} for the positions P·Q. Neither counts channels. Rows run in (c, r, s) order: ` +
            `s fastest, c slowest.`),
        spec.groups > 1 ? p(`Shown are rows ${first() * spec.r * spec.s} to ` +
          `${first() * spec.r * spec.s + spec.taps - 1} of ` +
          `${spec.c * spec.r * spec.s}: those of group ${self.group(state.k)}.`) : null,
        p(`x is ${count(xBytes)} B in fp32, the patch matrix ${count(patchBytes)} B ` +
          `(${Number((patchBytes / xBytes).toPrecision(4))}×). `,
          "F.unfold stores it; an implicit GEMM forms it in tiles and never stores it whole.")];
    },
    5() {
      const { spec } = self;
      return [formula(`(K, C/G, R, S) = (${spec.k}, ${spec.cg}, ${spec.r}, ${spec.s}) → ` +
        (spec.groups === 1 ? `(K, C·R·S) = (${spec.k}, ${spec.taps})` :
          `(G, K/G, C/G·R·S) = (${spec.groups}, ${spec.kg}, ${spec.taps})`)),
      make("div", { class: "grids" }, reads(state.c) ? wGrid({ id: "flat-source" }) : null,
        grid({ id: "flat", title: `w_flat of filter ${state.k}`, rows: { from: 0, to: 1, most: 1 }, rowName: () =>
          `k=${state.k}`,
          columns: { from: 0, to: spec.taps, first: (state.c - first()) * spec.r * spec.s || 0, most: WIDE().columns },
          corner: "(c,r,s)", columnName: (j) => self.tap(j).join(","),
          at: (_, j) => ({ text: `(${text(self.w[state.k * spec.taps + j])})`, key: `f:${j}`, role: "kernel" }) })),
      p("The same (c, r, s) order as the rows of the patch matrix, so that tap meets tap. No number moves: it is a " +
        "view of w.")];
    },
    6() {
      const { spec } = self;
      const onPadding = spec.mode === "zeros" ?
        spec.n * spec.k * spec.cg * (spec.r * spec.s * spec.l - inImage(0) * inImage(1)) : 0;
      return [formula(`einsum('${spec.groups === 1 ? "bpl,op->bol" : "bgpl,gop->bgol"}', patches, w_flat): w_flat ` +
        `${spec.kg}×${spec.taps} · ` +
        `patches ${spec.taps}×${spec.l} = y ${spec.kg}×${spec.l}${spec.groups > 1 ? ", in each group" : ""}`),
      p("Each weight on the left meets its row; column l, added up, is one output below."), matrix(true),
      formula(`column l = ${state.p * spec.q + state.q}: `, ...sumOf(cellTerms(), 16)),
      p(`As GEMM: M = ${spec.kg}, N = ${spec.n * spec.l}, K = ` +
        `${spec.taps}${spec.groups > 1 ? ` for each of ${spec.groups} groups` : ""}. `,
        `${count(spec.macs)} MAC = ${count(spec.macs)} multiplications + ` +
          `${count(spec.n * spec.k * spec.l * (spec.taps - 1))} additions; `,
        `"${count(2 * spec.macs)} FLOPs" counts two for each.`,
        onPadding ? ` ${count(onPadding)} of the multiplications are by a zero of the padding.` : "")];
    },
    7() {
      const { spec } = self;
      const filters = range(windowOf(0, spec.k, state.k, state.k, 6));
      const own = self.spec;
      const ask = [Math.min(Math.max(lineSpan(0)[0], 0), own.h - 1), Math.min(Math.max(lineSpan(1)[0], 0), own.w - 1)];
      const often = convbench.overlap(spec, ...ask);
      const value = self.pixel(state.n, state.c, ...ask);
      return [formula(`y_flat (${spec.n}, ${spec.k}, ${spec.l}) → (N, K, P, Q) = (${spec.n}, ${spec.k}, ${spec.p}, ` +
        `${spec.q}): l → (p, q) = (⌊l/Q⌋, l mod Q)`),
        make("div", { class: "grids" }, filters.map((k) => yGrid({ id: `all-y-${k}`, k, title: `y[${state.n},${k}]`,
          most: narrow() ? 6 : 7 }))),
        filters.length < spec.k ? quiet(`… ${plural(spec.k - filters.length, "more filter")}.`) : null,
        p(`F.fold is not this step: it sums overlaps and gives back x's size. x[${state.n},${state.c},${ask}] is ` +
          `${text(value)}, ` +
          `is read ${often}×, and would come back as ${text(value * often)}.`),
        make("h3", {}, "Proof"), ...proofTables()];
    },
  };
  function inImage(i) {
    return self.spec.axes[i].readers.reduce((sum, one) => sum + one, 0);
  }
  function proofTables() {
    const found = [];
    if (convbench.text(self.spec) === trace.spec && state.mode === "zeros" && state.seed === data.seed) {
      found.push(p("By convbench, with torch, before this page was written:"),
        listTable(["", "checked", "numbers", "max|Δ|", "against"],
        trace.proof.map((one) => make("tr", {}, make("td", { class: one.holds ? "good" : "wrong" }, one.holds ? "✓" :
          "✗"),
          make("td", {}, one.name), make("td", { class: "n" }, count(one.compared)),
            make("td", { class: "n" }, String(one.worst)),
          make("td", {}, one.against))), "Proof by convbench"));
    } else {
      found.push(p(`This setting is not the one that was proved with torch when the page was written (${trace.spec}, ` +
        `seed ${data.seed}, zeros). `,
        "What follows is compared within the page:"));
    }
    return [...found, agreement()];
  }

  function backwardPanel() {
    const { spec } = self;
    const dx = memo(`dx ${state.n} ${state.c} ${state.g}`, () =>
      convbench.inputGradient(self, state.n, state.c, state.g));
    const dw = memo(`dw ${state.k} ${state.g}`, () => convbench.filterGradient(self, state.k, state.g));
    const g = (row, column) => self.gradient(state.g, state.n, state.k, row, column);
    const most = narrow() ? 7 : 8;
    const list = make("select", { "aria-label": "gradient of the output" },
      make("option", { value: "terminal", selected: state.g === "terminal" },
        convbench.takesOnes(spec) ? "as --backward: ones" : "as --backward: drawn from −3..3, without 0"),
      make("option", { value: "ones", selected: state.g === "ones" }, "all ones"));
    list.addEventListener("change", () => change({ g: list.value }));
    const value = (row, column) => text(dx[row * spec.w + column]);
    const [row, column] = [0, 1].map((axis) => Math.min(Math.max(lineSpan(axis)[0], 0), [spec.h, spec.w][axis] - 1));
    const pairs = convbench.readersOf(self, row, column);
    const group = Math.floor(state.c / spec.cg);
    const sum = pairs.flatMap((one) => range([group * spec.kg, (group + 1) * spec.kg]).map((k) =>
      [self.gradient(state.g, state.n, k, one.p, one.q),
        self.weight(k, state.c - group * spec.cg, one.r, one.s)]));
    const c = reads(state.c) ? state.c - first() : 0;
    return [make("label", { class: "inline ways" }, "Gradient of the output, dY ", list),
      p("Backward reads the same products the other way: what met in y's sum gets back y's gradient times its " +
        "partner."),
      make("div", { class: "grids" }, yGrid({ id: "g", title: `dY[${state.n},${state.k}]`, value: g, most }),
        xGrid({ id: "dx", title: `dX[${state.n},${state.c}]`, value: (i, j) => dx[i * spec.w + j], most }),
        wGrid({ id: "dw", c, title: `dW[${state.k},${c}]`, value: (r, s) => dw[(c * spec.r + r) * spec.s + s] }),
        xGrid({ id: "overlap", title: "overlaps, fold(unfold(1))", value: (i, j) => convbench.overlap(spec, i, j),
          most })),
      formula(`dX = fold(w_flatᵀ · dY): dX[${state.n},${state.c},${row},${column}] = `,
        sum.slice(0, 12).map(([a, b]) => `${text(a)}·(${text(b)})`).join(" + ") || "nothing reads it", sum.length > 12 ?
          " + …" : "", ` = ${value(row, column)}`),
      formula(`dW = dY · patchesᵀ: dW[${state.k},${c},0,0] = Σ over n, p, q of dY · the first row of the patches = ` +
        `${text(dw[c * spec.r * spec.s])}`),
      p(`fold does not undo unfold: it adds each number as often as it was read. ` +
        `x[${state.n},${state.c},${row},${column}] = ` +
        `${text(self.pixel(state.n, state.c, row, column))} would come back as ` +
          `${text(self.pixel(state.n, state.c, row, column) * convbench.overlap(spec, row, column))}, ` +
        `${convbench.overlap(spec, row, column)} times itself. dX is also a transposed convolution of dY with w.`)];
  }

  return { ...steps, backward: backwardPanel };
};
