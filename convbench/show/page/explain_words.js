"use strict";
// Every sentence of the stage, its settings and its tabs, in one table; another language is another such file.
(() => {
  const s = (value, noun, nouns = `${noun}s`) => `${convbench.dom.count(value)} ${value === 1 ? noun : nouns}`;
  const count = (value) => convbench.dom.count(value);
  const times = (...sizes) => sizes.join(" × ");
  const listed = (noun, values) => {
    if (values.length === 1) return `${noun} ${values[0]}`;
    if (values.at(-1) - values[0] === values.length - 1) return `${noun}s ${values[0]} to ${values.at(-1)}`;
    return `${noun}s ${values.length > 6 ? [...values.slice(0, 3), "…", values.at(-1)].join(", ") : values.join(", ")}`;
  };

  const paddingWords = ({ padding, end }) => {
    const sides = [padding[0], end[0], padding[1], end[1]];
    return `padding ${convbench.even({ padding, end }) ? padding.join(" × ") :
      sides.map((side, i) => `${side} ${en.quiz.sides[i]}`).join(", ")}`;
  };

  const en = {
    language: "English",
    locale: "en-US",
    page: {
      title: "One convolution, number by number",
      tabs: "Views", steps: "Steps", algorithms: "Algorithms", backward: "Backward", quiz: "Quiz",
      change: "Change", problem: "Change the image, the kernel and the sizes (s)", numbers: "Numbers",
      colours: "Colours", values: "Show values as (v)", share: "Copy link", copied: "Copied",
      address: "See the address bar", print: "Print", theme: "Dark or light (t)", present: "Present (f)",
      close: "Close", story: "This step", picture: "Picture", code: "In PyTorch", copy: "Copy", more: "More",
      codeLabel: "This step in PyTorch", time: "Time", previous: "Previous step", next: "Next step", play: "Play",
      pause: "Pause", slower: "Slower", faster: "Faster", speed: "Speed", edit: "New value", sign: "Change the sign", keys: "Keys",
      drop: "Drop the picture", tables: "The same numbers as tables", language: "Language",
      footer: "Made by convbench. Cross-correlation, as in torch: the kernel is not flipped. Sums are in float64; of " +
        "whole numbers they are exact, and equal means equal.",
      canvas: "Image, kernel, patches and output. Tab reaches the same numbers as tables; in them arrows move and " +
        "Enter changes a number or goes to an output.",
    },
    choose: {
      image: "Image x", kernel: "Kernel w", sizes: "Sizes", counted: "the counting numbers", own: "Your picture",
      pictures: { seven: "seven", rings: "rings", house: "house", face: "face" }, file: "Choose a file",
      theme: "Theme", dropIt: "Drop or paste a picture, or", undo: "Undo all edits",
      seeded: "Random", kernels: { identity: "Identity", "sobel-x": "Sobel x", "sobel-y": "Sobel y",
        laplacian: "Laplacian", blur: "Blur", sharpen: "Sharpen" },
      took: (was, now, colour) => `Your picture: ${was.join("×")} ${was.join() === now.join() ? "" : "reduced to " +
        `${now.join("×")} `}(height × width), in ${colour ? "colour" : "grey"}.`,
      tookKernel: (name) => `Kernel: ${name}.`, light: "light", dark: "dark", auto: "as the system",
      noPicture: "That is not a picture.", unreadable: "This browser cannot read that picture.",
      typed: "Problem", n: "N images", c: "C_in channels", h: "H height", w: "W width", k: "C_out filters",
      r: "kH height", s: "kW width", groups: "G groups", seed: "seed", rows: "rows", columns: "columns",
      stride: "stride", padding: "padding", dilation: "dilation", numbers: "numbers", sides: "sides", mode: "mode",
      sidesHint: "1 for all sides, 1x2 for rows and columns, or 1x2x0x1 for top, bottom, left and right",
      input: "x (N, C_in, H, W)", weight: "w (C_out, C_in/G, kH, kW)", whatIf: "What if: ",
      sameNumbers: "The same numbers on a terminal: ", padsAlike: "F.conv2d pads opposite sides alike; this is ",
      padsZeros: "F.conv2d pads with zeros only; this is ", thenConv: " and then F.conv2d without padding.",
    },
    pick: { n: "image", c: "channel", k: "filter", p: "output row", q: "output column",
      previous: (what) => `previous ${what}`, next: (what) => `next ${what}` },
    keys: [["space", "play, pause"], ["← →", "previous and next position; while presenting, step"],
      ["↑ ↓", "an output row up and down"], ["[ ]", "previous and next step; 1 to 8 as well"],
      ["− +", "slower, faster"], ["v", "numbers or colours"], ["s", "image, kernel and sizes"],
      ["c k n", "next channel, filter, image; with Shift the one before"], ["a", "the algorithms, and the next of them"],
      ["d", "backward: dX, dW and the overlaps"], ["?", "quiz"], ["f", "present"], ["t", "dark or light"],
      ["Esc", "close, or release a pinned cell"]],
    stage: {
      across: "across", down: "down", empty: "empty", inPatch: "in the patch", padding: "padding",
      unread: "never read", weight: "weight", followed: "the output that is followed",
      edit: "Click a number and type, or drag it up and down.", tap: "Tap a number to change it.", paint: "Draw on the image; Shift erases.",
      seek: "Click an output or a column to go there.",
      moreRows: (value) => s(value, "more row"), moreColumns: (value) => s(value, "more column"),
      channelOf: (c, many) => `channel ${c} of 0–${many - 1}`, filterOf: (k, many) => `filter ${k} of 0–${many - 1}`,
      notRead: (k, group, from, to, c) => `Filter ${k} is in group ${group}, which reads channels ${from} to ${to}; ` +
        `channel ${c} is not among them.`,
      patchesOf: (n) => `patches of image ${n}`,
    },
    links: {
      notRead: (name, k, c) => `${name}: filter ${k} does not read channel ${c}.`,
      never: (name) => `${name} is read by no output: stride, dilation or the floor leave it out.`,
      read: (name, many, list) => `${name} is read ${count(many)}×: ${list}.`,
      through: (y, w) => `${y} through ${w}`, more: (many) => `… ${many} more`, padded: " (padding)",
      output: (name, l, sum) => `${name}, column l = ${l}: ${sum}.`,
      entry: (place, tap, output, pixel) => `patches(${place}): kernel element (c,kh,kw) = (${tap}) of output ` +
        `(${output}) reads ${pixel}.`,
      weight: (name, row, many, channel) => `${name}, row ${row} of the patch matrix: it meets ` +
        `${s(many, "number")} of channel ${channel}, one for each output.`,
    },
    spoken: (p, q, k, n, total, products, left) => `y in row ${p}, column ${q} of filter ${k}, image ${n} is ` +
      `${total}: ${products.map(([x, w]) => `${x} times ${w}`).join(", plus ")}` +
      `${left ? `, and ${left} more products` : ""}.`,
    steps: {
      of: (step) => `Step ${step} of 8`,
      names: ["Operands", "One cell", "Positions", "Unfold", "Flatten w", "Multiply", "Reshape", "PyTorch"],
      titles: ["Operands", "One cell, by loops", "Positions, and why not loops", "Unfold", "Flatten w", "Multiply",
        "Reshape + proof", "What PyTorch really did here"],
      texts: {
        1: ({ spec }) => `Input image ${times(spec.n, spec.c, spec.h, spec.w)}: batch × input_channel × height × width. ` +
          `Kernel (filter) ${times(spec.k, spec.cg, spec.r, spec.s)}: output_channel × ` +
          `input_channel${spec.groups > 1 ? "/groups" : ""} × kernel_height × kernel_width. ` +
          "No computation has happened yet.",
        2: ({ spec }) => "The kernel is laid on the image as it is. What lies on top of each other is multiplied, and " +
          `the ${s(spec.taps, "product is", "products are")} added: one number of y. Then the next one, output after ` +
          "output.",
        3: ({ spec }) => "Computed directly, this takes nested for-loops over height, width, kernel rows and kernel " +
          `columns: ${s(spec.macs, "turn")}. That is inefficient and difficult to parallelize, so there is an ` +
          "intermediate representation: patches.",
        4: ({ spec }) => "Each column is one patch, the neighborhood that the kernel covers at one location, flattened " +
          `into a vector. ${s(spec.taps, "row")} = C_in${spec.groups > 1 ? "/G" : ""}·kH·kW = ` +
          `${spec.cg}·${spec.r}·${spec.s}; ${s(spec.l, "column")} = H_out·W_out = ${spec.p}·${spec.q}.`,
        5: ({ spec }) => `${spec.cg === 1 ? `These ${s(spec.taps, "value is a kernel element", "values are kernel elements")}` +
          `, not channels.` : `These ${count(spec.taps)} values are kernel elements: ${spec.r}·${spec.s} for each of ` +
          `${spec.cg} channels.`} The same (c, kh, kw) order as the rows of the patch matrix, so each weight meets its ` +
          "pixel.",
        6: () => "Each flattened patch is dot-multiplied with each flattened kernel; the shared index p is summed over. " +
          "Convolution has become linear algebra.",
        7: () => "Back in spatial form: (batch, output_channel, H_out, W_out). The image-like structure is restored, now " +
          "with feature responses instead of raw pixels.",
        8: () => "What happens conceptually need not be what runs: PyTorch chooses by the sizes. The insight stays: a " +
          "convolution is unfold, flatten and one matrix multiplication, and reshape.",
      },
      shapes: {
        positions: "positions of the kernel (sliding locations)",
        patches: "batch × flattened patch × sliding location",
        flat: (groups) => `${groups > 1 ? "groups × " : ""}output channels × flattened kernel weights`,
        each: (spec) => (spec.groups > 1 ? ` for each of ${spec.groups} groups` : spec.n > 1 ? " for each image" : ""),
      },
      moreTerms: (value) => `… ${s(value, "more term")}`,
      equalLoops: (value) => `${s(value, "output equals", "outputs equal")} those of the loops`,
      unlikeLoops: (worst) => `differs from the loops by ${worst}`,
    },
    notes: {
      before: "Before this come the data set, its transforms and its DataLoader: convbench run does that.",
      cross: "Cross-correlation: the kernel is laid on the image as it is, not flipped.",
      slices: (cg) => `Each filter has a slice for each of its ${cg} channels; their sums are added.`,
      groups: (spec, k, group, channels) => `${spec.groups} groups: filter o=${k} is in group ${group}, which reads ` +
        `${listed("channel", channels)} of x only.`,
      shown: (channels, cg, filters, kg) => `On the stage: ${listed("channel", channels)} of ${cg}, ` +
        `${listed("filter", filters)} of ${kg}; the sums have all of them.`,
      bytes: (x, w, y) => `x ${count(x)} B + w ${count(w)} B in, y ${count(y)} B out, in fp32.`,
      indices: "b image, o output channel, c input channel, (oh, ow) place in y, (kh, kw) place in the kernel.",
      rows: "rows", columns: "columns",
      flipped: (value) => `A flipped kernel (a true convolution) would give ${value} here.`,
      overhang: "The patch hangs over the border: rows and columns outside x are zeros.",
      copies: (mode) => `The patch hangs over the border: outside x are copies of x, ${mode}.`,
      work: (taps) => `${s(taps, "multiplication")} and ${s(taps - 1, "addition")} for this output.`,
      letters: (even) => `${even ? "P padding, " : ""}D dilation, K kernel size, S stride; W_out likewise from W.`,
      rest: (value, axis) => `The floor leaves out ${s(value, ["row", "column"][axis])} at the end of the padded x.`,
      unread: (axis, size, lines) => `${lines.length} of ${s(size, ["row", "column"][axis])} of x ` +
        `${lines.length === 1 ? "is" : "are"} never read: ` +
        `${listed(["row", "column"][axis], lines)}.`,
      allRead: "Every row and every column of x is read.",
      outputs: (spec) => `N·C_out·H_out·W_out = ${s(spec.n * spec.k * spec.l, "output")}, each a sum of ` +
        `${s(spec.taps, "product")}.`,
      rulers: ["which rows each oh reads", "which columns each ow reads"], ruler: "● read, · padding line",
      readRow: "read", never: "never",
      order: "Row order is (c, kh, kw), with kw changing fastest.",
      rowsOf: (from, to, all, group) => `Rows ${from} to ${to} of ${all} belong to group ${group}.`,
      stored: (x, patches, growth) => `x is ${count(x)} B in fp32, the patch matrix ${count(patches)} B (${growth}×). ` +
        "F.unfold stores this matrix; an implicit GEMM forms it in tiles and never stores it whole.",
      view: "It costs nothing; it is a view: no number moves.",
      einsum: (groups) => "b batch, o output channel, p patch dimension (summed over), l sliding location" +
        `${groups > 1 ? ", g group" : ""}.`,
      output: (shape, groups) => `output → batch × ${groups > 1 ? "group × output_channel/groups" : "output_channel"} × ` +
        `sliding_location = ${shape}.`,
      macs: (spec) => `${count(spec.macs)} MACs = ${s(spec.macs, "multiplication")} and ` +
        `${s(spec.n * spec.k * spec.l * (spec.taps - 1), "addition")}; by convention ${count(2 * spec.macs)} FLOPs, ` +
        "2 per MAC.",
      onPadding: (many) => `This count includes ${s(many, "product")} with zeros of the padding.`,
      fold: (name, value, often, sum) => "F.fold is not this step: it adds overlapping patches into an image the size of " +
        `x. ${name} = ${value} is in ${s(often, "patch", "patches")}, so it would come back ` +
        `${often === 1 ? "unchanged" : `as ${sum}`}.`,
    },
    proof: {
      same: (equal, shape, many) => `${s(equal, "number")} equal to the trace of ${shape}, which ` +
        `${s(many, "comparison")} with PyTorch and float64 proved.`,
      other: (outputs, shape) => `What is shown was computed here: ${s(outputs, "output")} equal by loops and by unfold. ` +
        `PyTorch and float64 proved ${shape}.`,
      unproved: (shape) => `What is shown was computed here. PyTorch and float64 proved ${shape}.`,
      leftOut: (names) => ` Too large for the file, and left out of it: ${names.join(", ")}.`,
      wrong: (faults) => `THIS PAGE DIFFERS FROM WHAT WAS PROVED. ${faults.join("; ")}. Do not trust its numbers.`,
      own: "What is shown differs between the loops and unfold. Do not trust its numbers.",
      title: "Proof", by: "By convbench, with torch, before this page was written:", table: "Proof by convbench",
      heads: ["holds", "checked, and against what", "numbers", "max|Δ|"],
      not: (shape, seed) => `This setting is not the one that was proved with torch when the page was written (${shape}, ` +
        `seed ${seed}, zeros). What follows is compared within the page:`,
    },
    ran: {
      builds: (name, elements) => `For ${s(elements, "element")} in one image PyTorch takes ${name}: it really builds ` +
        "the patch matrix and multiplies, as shown.",
      direct: () => "For this PyTorch hands the call to oneDNN: it builds no patch matrix itself.",
      left: "builds the patch matrix", right: "oneDNN", elements: "Elements of the image",
      least: "1 element", most: "10 million",
      all: "PyTorch builds the patch matrix when all of these hold",
      tests: (spec, elements) => [`batch of ${spec.n}, 1 is needed`, `groups = ${spec.groups}`,
        `kernel ${spec.r}×${spec.s}, at most one side above 3`, `${s(elements, "element")}, at most 20,480`],
      size: (side, name) => `The size of the image decides: up to ${side}×${side} it is ${name}, from ` +
        `${side + 1}×${side + 1} on oneDNN.`,
      told: (words) => words,
      evidence: "Seen by convbench ran when this page was written", none: "Nothing was watched when this page was written; convbench ran shows it.",
      seen: { fact: "seen", inference: "follows", unknown: "unknown" },
      padded: "PyTorch pads opposite sides alike and with zeros only, so x is padded first.",
    },
    ways: {
      many: (name, products) => `${name} has ${count(products)} products; under Algorithms each way computes it when asked.`,
      notHere: (reason) => `Not here: ${reason}`,
      counted: (points) => "The same numbers by every algorithm. Counted for the whole problem as on the terminal: " +
        "multiplications and additions that combine x with w; separately (multiplications + additions) the transforms " +
        "of x and y, for each image, and of w, once; memory besides x, w and y in fp32. Winograd's tiles have up to " +
        `${points} points an axis here, on the terminal more.`,
      heads: ["algorithm", "multiplications", "additions", "transforms", "of w", "memory"],
      costs: "What each algorithm costs",
      compute: (name, products) => `Compute ${name} this way (${count(products)} products)`,
      compared: (many) => `${s(many, "number")} compared with the loops`,
      rounds: " (its roots of unity are not whole numbers, so it rounds)",
      arithmetic: "Row κ of column j is found by arithmetic alone; nothing of the matrix is stored:",
      columnHeads: ["κ", "(c, kh, kw)", "(row, column)", "address in x", "value"],
      column: "One column of the implicit matrix", zero: "none: a zero",
      afterEach: (c) => `y after each kernel element of channel ${c}, from zero:`,
      toeplitz: (rows, columns) => `${rows}×${columns}; rows are outputs l, columns pixels of x`,
      toeplitzRow: (l, many) => `row l = ${l}: ${count(many)} not zero, times x as one vector = `,
      tile: "Tile", tileSize: "outputs of a tile", usual: "the usual",
      points: (rows, columns) => `Interpolation points ${rows}${columns ? ` for rows, ${columns} for columns` : ""}; exact ` +
        "rationals.",
      tileAt: (place, many, channel) => `Tile ${place} of ${many}, channel ${channel}:`,
      circular: (size) => `the ${size} circular values`, wrapped: "~crossed out~ where the kernel wrapped round the border",
      corner: (size, strided) => `Shown rounded to whole numbers; the valid corner is ${size}` +
        `${strided ? ", and the stride keeps the cells on a filled ground" : ""}.`,
    },
    backward: {
      gradient: "gradient of the output", label: "Gradient of the output, dY",
      terminalOnes: "as --backward: ones", terminal: "as --backward: drawn from −3..3, without 0", ones: "all ones",
      idea: "Backward reads the same products the other way: what met in y's sum gets back y's gradient times its " +
        "partner.",
      none: "nothing reads it", overlaps: "overlaps, fold(unfold(1))",
      weights: (name, value) => `dW = dY · patchesᵀ: ${name} = Σ over b, oh, ow of dY · the first row of the patches = ` +
        value,
      fold: (name, value, sum, often) => `fold does not undo unfold: it adds each number as often as it was read. ` +
        `${name} = ${value} would come back as ${sum}, ${often} times itself. dX is also a transposed convolution of ` +
        "dY with w.",
    },
    quiz: {
      level: "Level", titles: ["output sizes and sums of products", "stride, padding and dilation",
        "patches, parameters and MACs", "gradients and memory"],
      question: (number) => `Question ${number}.`, answer: "Your answer", check: "Check", next: "Next question",
      right: "✓ Right.", wrong: "✗ Not quite.", number: "Type a number.", walk: "Walk through this problem",
      outputs: "outputs", output: "output", score: (right, of) => `${right} of ${of} right so far.`,
      problem: (spec) => `x is ${times(spec.n, spec.c, spec.h, spec.w)}, ${s(spec.k, "filter")} of ` +
        `${spec.r} × ${spec.s}, stride ${spec.stride.join(" × ")}, ${paddingWords(spec)}, dilation ` +
        `${spec.dilation.join(" × ")}.`,
      sides: ["at the top", "at the bottom", "on the left", "on the right"],
      size: (out, whole) => `How large is ${out}, the output's size along ${whole}?`,
      positions: "At how many positions does the kernel fit?",
      cell: (p, q) => `What is y[0,0,${p},${q}]?`,
      zeros: "; 0 is padding where the kernel lies outside x",
      pixel: (p, q, r, c) => `For y[0,0,${p},${q}], which number of x is multiplied by w[0,0,${r},${c}]?`,
      place: (row, column, value) => `row ${row}, column ${column}: ${value} is there`,
      entry: (j, l) => `What is in row ${j}, column ${l} of the patch matrix?`,
      entryWhy: (j, tap, l, output, pixel, outside) => `Row ${j} is the kernel element (c,kh,kw) = (${tap}), column ${l} ` +
        `the output (oh,ow) = (${output}): it reads ${pixel}${outside ? ", which is padding" : ""}`,
      readers: (row, column) => `Which outputs read x[0,0,${row},${column}]? Mark all of them, or none.`,
      readersWhy: (all) => (all.length ? `These read it: ${all.join(" ")}` : "No output reads it: stride or dilation " +
        "skips it"),
      unread: (rows) => `How many of the ${rows} rows of x does no output read?`,
      unreadWhy: (lines) => (lines.length ? `${listed("row", lines)} ${lines.length > 1 ? "are" : "is"} never read: ` +
        s(lines.length, "row") : "Every row is read: 0 rows are left out"),
      macs: "How many multiply-adds (MACs) does it take, those on padding included?",
      overlap: (row, column) => `With w all ones and dY all ones: what is dX[0,0,${row},${column}]?`,
      overlapWhy: (row, rows, column, columns) => "It counts the patches that read it, as fold(unfold(·)) does: row " +
        `${row} is read ${rows}×, column ${column} ${columns}×, so ${rows}·${columns} = ${rows * columns}`,
      gradient: (r, c) => `With dY all ones: what is dW[0,0,${r},${c}]?`,
      gradientWhy: (sum) => `Each output gives its 1 times the pixel that this weight met: ${sum}`,
      bytes: "How many bytes does the patch matrix take in fp32?",
      rows: "How many rows has the patch matrix?", weights: "How many weights has w?",
    },
    complaints: {
      names: { n: "N", c: "C_in", h: "H", w: "W", k: "C_out", r: "kH", s: "kW" },
      whole: (name, value) => `${name} must be a whole number from 1 on, not ${value}.`,
      wholes: (name, least, values) => `${name} must be whole numbers from ${least} on, not ${values}.`,
      divide: (g, c, k, cTry, kTry) => `${g} groups must divide the channels (C_in = ${c}) and the filters (C_out = ` +
        `${k}); try C_in = ${cTry} and C_out = ${kTry}.`,
      reflect: (name, most, padding) => `reflect mirrors at most ${name} - 1 = ${most} lines, and padding is ${padding}.`,
      circular: (name, most, padding) => `circular wraps at most ${name} = ${most} lines, and padding is ${padding}.`,
      noOutput: (kernel, image) => `No output: the dilated kernel ${kernel} is larger than the padded input ${image}; ` +
        "try more padding or a smaller kernel.",
      padding: (given) => `padding is “${given}”: write 1, or 1x2 for rows and columns, or 1x2x0x1 for top, bottom, ` +
        "left and right.",
      problem: (given, example) => `Not a problem: “${given}”; write it like ${example}.`,
      part: (word, example) => `“_${word}” is not a part of a problem; write it like ${example}.`,
      twice: (part, given) => `${part} stands twice in “${given}”.`,
      large: "A size or a padding above 4,096 is more than this page shows; try a smaller one.",
      products: (many, most) => `One filter's output would take ${count(many)} products; this page answers at once up ` +
        `to ${count(most)}. Try a smaller H, W or C_in.`,
      numbers: (many, most) => `Padded x, w and y would hold ${count(many)} numbers; this page shows up to ` +
        `${count(most)}. Try a smaller N, C_in, C_out, H or W.`,
      mode: (mode, modes) => `Padding ${mode}: choose among ${modes}.`,
      seed: "seed must be a whole number from 0 to 4,294,967,295.",
      number: "Type a number, at most 1,000,000.",
    },
  };

  convbench.languages = { en };
  convbench.words = en;
})();
