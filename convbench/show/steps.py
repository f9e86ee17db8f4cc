"""What is drawn of each step of the walk: its numbers, what to know of them, and what they cost?"""

# ruff: noqa: RUF001, RUF002  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.text import Text

from convbench.explain.letters import CUDNN, TORCH, Letters
from convbench.explain.program import step_code
from convbench.explain.sheet import set_text
from convbench.explain.steps import Comparison, SlidingAxis, Term, Walk
from convbench.show.grid import (
    FAINT,
    KERNEL,
    OUTPUT,
    PATCH,
    Block,
    Role,
    Span,
    flow,
    grid,
    in_role,
    plural,
    wrap_words,
)
from convbench.show.units import numeral, seconds, tuple_text

if TYPE_CHECKING:
    from convbench.explain.price import Price

GRID_COLUMNS = 10
NARROWEST_CELL = 3  # a digit and its brackets: more columns than room / 3 are not worth a try
TERMS = 12
TAPS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What of large tensors is in sight, in which letters, and what was seen here.

    Attributes:
        channel: of the kernel's slices (0 to C/G-1), the first one shown; `channels` is how many.
        rows: of each image; `patch_rows` of the patch matrix.
        prices: what the three ways took here, on one thread; empty where nothing was timed.
        here: what PyTorch did here, as sentences; empty where it was not watched.
        operands: the lines of Python that make x and w; empty where nobody asked.
    """

    channel: int = 0
    channels: int = 2
    rows: int = 8
    patch_rows: int = 12
    letters: Letters = TORCH
    prices: "tuple[Price, ...]" = ()
    here: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step as drawn: a title, a formula next to it, the numbers, what to know of them and what they cost."""

    title: str
    aside: str
    body: Block
    notes: list[str]
    cost: str


def _by_times(sizes: Sequence[int]) -> str:
    """`1 × 4 × 9`, a shape as a person writes it."""
    return " × ".join(map(str, sizes))


def _in_code(walk: Walk, step: str, room: int, view: View) -> Block:
    """The step's line of torch."""
    block: Block = []
    for line in step_code(walk, view.operands)[step].line.splitlines():
        first, *others = wrap(line, room - 7, break_on_hyphens=False, subsequent_indent="    ") or [""]
        block.append(Text.assemble(("torch  " if not block else " " * 7, FAINT), first))
        block += [Text(" " * 7 + other) for other in others]
    return block


def _operands(walk: Walk, room: int, view: View) -> Step:
    spec, cell = walk.spec, walk.cell
    channels = list(dict.fromkeys(term.channel for term in walk.terms))
    blocks = []  # each channel of x next to the kernel's slice for it
    shown = list(enumerate(channels))[view.channel : view.channel + view.channels]
    for c, channel in shown:
        blocks.append(_image(walk, channel, room, view))
        blocks.append(_kernel(walk, c, room, view))

    y_block = output(walk, room, view, lambda p, q: "?" if (p, q) == (cell.p, cell.q) else ".")
    body = flow([*blocks, y_block], room)
    if len(channels) > len(shown):
        body.append(Text(f"… {plural(len(channels) - len(shown), 'more channel')} of x and of w", style=FAINT))
    for count, noun, option in ((spec.k, "more filter", "--filter"), (spec.n, "more image", "--image")):
        if count > 1:
            body.append(Text(f"… {plural(count - 1, noun)}: {option}", style=FAINT))
    legend = [
        in_role("patch", PATCH),
        in_role("kernel", KERNEL),
        in_role("output", OUTPUT),
    ]
    if walk.on_padding:
        legend.append(Text("·0 zero of the padding"))
    body += [Text(), Text("   ").join(legend), *_in_code(walk, "operands", room, view)]
    per_group = "input_channel/groups" if spec.groups > 1 else "input_channel"
    notes = [
        f"Input image {_by_times(walk.x.shape)}: batch × input_channel × height × width.",
        f"Kernel (filter) {_by_times(walk.w.shape)}: output_channel × {per_group} × kernel_height × kernel_width.",
        "Cross-correlation: the kernel is laid on the image as it is, not flipped.",
    ]
    if len(channels) > 1:
        notes.append(f"Each filter has a slice for each of its {len(channels)} channels; their sums are added.")
    if spec.groups > 1:
        notes.append(
            f"{spec.groups} groups: filter {view.letters.k}={cell.k} is in group {walk.group}, which reads "
            f"{_listed('channel', channels)} of x only."
        )
    cost = f"x {walk.x_nbytes:,} B + w {walk.w_nbytes:,} B in, y {walk.y_nbytes:,} B out, in fp32."
    return Step(
        "OPERANDS", f"x {tuple_text(walk.x.shape)} ⋆ w {tuple_text(walk.w.shape)}{_options(walk)}", body, notes, cost
    )


def _image(walk: Walk, channel: int, room: int, view: View) -> Block:
    """One channel of x with the cell's patch marked."""
    spec, cell, rows, columns = walk.spec, walk.cell, walk.rows, walk.columns
    image = walk.x[cell.n, channel]

    def look(row: int, column: int) -> tuple[str, Role | None]:
        inside = 0 <= row < spec.h and 0 <= column < spec.w
        text = numeral(image[row, column].item()) if inside else "·0"
        return text, PATCH if row in rows and column in columns else None

    return grid(
        f"x[{cell.n},{channel}]",
        Span(min(0, rows[0]), max(spec.h, rows[-1] + 1), rows[0], rows[-1], view.rows),
        Span(min(0, columns[0]), max(spec.w, columns[-1] + 1), columns[0], columns[-1], GRID_COLUMNS),
        look,
        room,
    )


def _kernel(walk: Walk, c: int, room: int, view: View) -> Block:
    """One channel of the cell's filter."""
    spec, cell = walk.spec, walk.cell
    kernel = walk.w[cell.k, c]
    return grid(
        f"w[{cell.k},{c}]",
        Span(0, spec.r, 0, 0, view.rows),
        Span(0, spec.s, 0, 0, GRID_COLUMNS),
        lambda r, s: (numeral(kernel[r, s].item()), KERNEL),
        room,
    )


def _one_cell(walk: Walk, room: int, view: View) -> Step:
    spec, cell, names = walk.spec, walk.cell, view.letters
    stride, padding, dilation = spec.stride, spec.padding, spec.dilation
    first_channel = walk.terms[0].channel
    channel = f"{first_channel}+{names.c}" if first_channel else names.c
    body = wrap_words(
        [
            Text(f"y[{names.n},{names.k},{names.p},{names.q}] = Σ"),
            Text(
                f"x[{names.n}, {channel}, {names.p}·{stride[0]}−{padding[0]}+{names.r}·{dilation[0]}, "
                f"{names.q}·{stride[1]}−{padding[1]}+{names.s}·{dilation[1]}]",
                style=PATCH.style,
            ),
            Text("·"),
            Text(f"w[{names.k},{names.c},{names.r},{names.s}]", style=KERNEL.style),
        ],
        room,
    )
    places = [
        [
            (
                f"{letter}={position}: {lines} {position}·{stride[axis]} − {padding[axis]} + "
                f"{set_text(range(taps))}·{dilation[axis]}"
            ),
            f"= {set_text(found)}",
        ]
        for axis, (letter, position, lines, taps, found) in enumerate(
            ((names.p, cell.p, "rows", spec.r, walk.rows), (names.q, cell.q, "columns", spec.s, walk.columns))
        )
    ]
    body += flow([wrap_words([Text(word) for word in place], room) for place in places], room)
    channel_sums = walk.channel_sums
    many = len(channel_sums) > 1
    for c, channel_sum in list(enumerate(channel_sums))[view.channel : view.channel + view.channels]:
        terms = walk.terms_of(c)
        shown = _worth_seeing(terms)
        more = [Text(f"… {plural(len(terms) - len(shown), 'more term')}")] if len(shown) < len(terms) else []
        lead = f"{names.c}={c}: " if many else ""
        words = [*_joined([_product(term) for term in shown]), *more]
        body += wrap_words(words, room, lead=lead)
        sums = [Text(word) for word in _signed([term.product for term in shown])]
        total = Text(f"= {numeral(channel_sum)}") if many else Text("= ") + in_role(numeral(walk.total), OUTPUT)
        body += wrap_words([Text("="), *sums, *(Text("…") for _ in more), total], room, lead=" " * len(lead))
    if many:
        shown_sums = [Text(word) for word in _signed(channel_sums[:TERMS])]
        left = len(channel_sums) - TERMS
        more = [Text(f"… {plural(left, 'more channel')}")] if left > 0 else []
        total = Text("= ") + in_role(numeral(walk.total), OUTPUT)
        body += wrap_words([Text(f"over {names.c}:"), *shown_sums, *more, total], room)
    notes = [f"A flipped kernel (a true convolution) would give {numeral(walk.flipped)} here."]
    if names is TORCH:
        notes.insert(
            0, "b image, o output channel, c input channel, (oh, ow) place in y, (kh, kw) place in the kernel."
        )
    if any(term.padding for term in walk.terms):
        notes.append("The patch hangs over the border: rows and columns outside x are zeros, ·0.")
    cost = f"{plural(len(walk.terms), 'multiplication')} and {plural(len(walk.terms) - 1, 'addition')} for this output."
    formula = f"index = {names.p}·stride − padding + {names.r}·dilation"
    return Step("ONE CELL, BY LOOPS", formula, body + _in_code(walk, "loops", room, view), notes, cost)


def _positions(walk: Walk, room: int, view: View) -> Step:
    spec, names = walk.spec, view.letters
    body = []
    for letter, axis in zip((names.P, names.Q), walk.axes, strict=True):
        even = axis.padding == axis.padding_end
        padding = f"2·{axis.padding}" if even else f"{axis.padding} + {axis.padding_end}"
        body += wrap_words(
            [
                Text(
                    f"{letter} = ⌊({axis.size} + {padding} − {axis.dilation}·({axis.taps}−1) − 1) / {axis.stride}⌋ + 1"
                ),
                Text(f"= ⌊{axis.room}/{axis.stride}⌋ + 1 = {axis.positions}"),
            ],
            room,
            lead="",
        )
    p, q = (axis.positions for axis in walk.axes)
    body += wrap_words(
        [
            Text(f"{names.P} × {names.Q} = {p} × {q} = {plural(walk.own.shape[1], 'position')} of the kernel"),
            Text("(sliding locations)"),
        ],
        room,
    )
    changes = [Text(f"{variant.change}: {variant.spec.p}×{variant.spec.q}") for variant in walk.variants]
    if changes:
        body += wrap_words(changes, room, lead="what if  ", space="   ")
    notes = _reading_notes(walk.axes)
    if names is TORCH:
        notes.insert(0, _meaning(walk))
    several = [
        word for word, count in (("image", spec.n), ("filter", spec.k), ("channel", spec.c_per_group)) if count > 1
    ]
    each = f", for each {' and '.join(several)}" if several else ""
    notes.append(
        f"Computed directly, this takes nested for-loops over height, width, kernel rows and kernel columns{each}: "
        f"{walk.multiplications:,} turns of the innermost one. Loops in Python are inefficient and difficult to "
        "parallelize, so there is an intermediate representation: patches."
    )
    if view.prices and view.prices[0].loops_s < view.prices[0].einsum_s:
        notes.append("At this size the loops still win: each call of PyTorch has a fixed cost.")
    body += _in_code(walk, "positions", room, view)
    for price in view.prices:
        body += _price(price, room)
    outputs = f"{names.N}·{names.K}·{names.P}·{names.Q}"
    cost = f"{outputs} = {plural(walk.y.numel(), 'output')}, each a sum of {plural(len(walk.terms), 'product')}."
    if names is TORCH:
        both = "2P" if spec.padding_end is None else "top + bottom"
        formula = f"H_out = ⌊(H + {both} − D(K − 1) − 1) / S⌋ + 1"
    else:
        both = "2·padding" if spec.padding_end is None else "top + bottom"
        formula = f"⌊(H + {both} − dilation·(R−1) − 1) / stride⌋ + 1"
    return Step("POSITIONS, AND WHY NOT LOOPS", formula, body, notes, cost)


def _meaning(walk: Walk) -> str:
    padding = "" if walk.spec.padding_end is not None else "P padding, "
    return f"{padding}D dilation, K kernel size, S stride; W_out likewise from W."


def _price(price: "Price", room: int) -> Block:
    """What three ways to the same y took."""
    about = "about " if price.estimated else ""
    ways = [
        Text(f"{price.what or 'here and now'}:"),
        Text(f"Python loops {about}{seconds(price.loops_s)},"),
        Text(f"unfold + einsum {seconds(price.einsum_s)},"),
        Text(f"F.conv2d {seconds(price.conv2d_s)}"),
    ]
    return wrap_words(ways, room)


def _reading_notes(axes: tuple[SlidingAxis, SlidingAxis]) -> list[str]:
    lines = list(zip(axes, ("row", "column"), strict=True))
    notes = [
        f"The floor leaves out {plural(axis.rest, line)} at the end of the padded x."
        for axis, line in lines
        if axis.rest
    ]
    unread = [
        f"{len(lost)} of {axis.size} {line}s of x are never read: {_listed(line, lost)}."
        for axis, line in lines
        if (lost := axis.unread)
    ]
    return notes + (unread or ["Every row and every column of x is read."])


def _unfold(walk: Walk, room: int, view: View) -> Step:
    spec, cell, names = walk.spec, walk.cell, view.letters
    taps, positions = walk.own.shape
    body = wrap_words(
        [
            Text(f"patches → {_by_times(walk.patches.shape)}", style="bold"),
            Text("batch × flattened patch × sliding location"),
        ],
        room,
        space="   ",
    )
    body += wrap_words(
        [Text(f"l = {names.p}·{names.Q} + {names.q} = {cell.p}·{spec.q} + {cell.q} = {walk.position}")], room
    )
    body += patch_matrix(walk, room, view)
    notes = [
        "Each column is one patch, the neighborhood that the kernel covers at one location, flattened into a vector.",
        (
            f"{plural(taps, 'row')} = {names.taps(spec.groups)} = {spec.c_per_group}·{spec.r}·{spec.s}; "
            f"{plural(positions, 'column')} = {names.P}·{names.Q} = {spec.p}·{spec.q}."
        ),
        f"Row order is ({names.c}, {names.r}, {names.s}), with {names.s} changing fastest.",
        # CUTLASS, media/docs/implicit_gemm_convolution.md.
        "F.unfold stores this matrix; an implicit GEMM forms it in tiles and never stores it whole.",
    ]
    if spec.groups > 1:
        notes.insert(
            1,
            f"Shown are rows {walk.first_row} to {walk.first_row + taps - 1} of {walk.patches.shape[1]}: "
            f"those of group {walk.group}.",
        )
    cost = f"x is {walk.x_nbytes:,} B in fp32, the patch matrix {walk.patches_nbytes:,} B ({walk.growth:.4g}×)."
    aside = f"{tuple_text(walk.x.shape)} → ({names.N}, {names.taps()}, {names.P}·{names.Q})"
    return Step("UNFOLD", aside, body + _in_code(walk, "unfold", room, view), notes, cost)


def patch_matrix(walk: Walk, room: int, view: View) -> Block:
    """The patches that the cell's group reads, with the cell's column marked."""
    spec, names = walk.spec, view.letters
    taps, positions = walk.own.shape
    own, padding = walk.own, walk.padding
    row_names = [f"({channel},{r},{s})" for channel, r, s in walk.taps]
    start, position = view.channel * spec.r * spec.s, walk.position
    first = next((row for row in range(start, taps) if not walk.terms[row].padding), start)

    def look(row: int, column: int) -> tuple[str, Role | None]:
        text = "·0" if padding[row, column] else numeral(own[row, column].item())
        return text, PATCH if column == position else None

    return grid(
        f"({names.c},{names.r},{names.s})",
        Span(0, taps, first, first, view.patch_rows),
        Span(0, positions, position, position, room // NARROWEST_CELL),
        look,
        room,
        row_names=row_names,
        marked_column=position,
    )


def flat_kernel(walk: Walk, room: int, view: View) -> Block:
    """The cell's filter as a row of numbers."""
    numbers = walk.w_row.tolist()
    words = [in_role(numeral(value), KERNEL) for value in numbers[:TAPS]]
    if len(numbers) > TAPS:
        words.append(Text(f" … {len(numbers) - TAPS} more"))
    return wrap_words(words, room, lead=f"w_flat[{view.letters.k}={walk.cell.k}] = ", space="")


def _flatten(walk: Walk, room: int, view: View) -> Step:
    spec, names = walk.spec, view.letters
    groups = "groups × " if spec.groups > 1 else ""
    body = wrap_words(
        [
            Text(f"w_flat → {_by_times(walk.w_flat.shape)}", style="bold"),
            Text(f"{groups}output channels × flattened kernel weights"),
        ],
        room,
        space="   ",
    )
    body += flat_kernel(walk, room, view)
    shape = f"({names.K}, {names.taps()})" if spec.groups == 1 else f"(G, {names.K}/G, {names.taps(spec.groups)})"
    notes = [_elements(walk)]
    notes.append(
        f"The same ({names.c}, {names.r}, {names.s}) order as the rows of the patch matrix, so each weight meets its "
        "pixel."
    )
    cost = "none; it is a view." if walk.w_is_view else f"a copy of {walk.w_nbytes:,} B."
    aside = f"{tuple_text(walk.w.shape)} → {shape}"
    return Step("FLATTEN w", aside, body + _in_code(walk, "flatten", room, view), notes, cost)


def _elements(walk: Walk) -> str:
    spec = walk.spec
    if spec.c_per_group == 1:
        return f"These {plural(spec.taps, 'value')} are kernel elements, not channels."
    return f"These {spec.taps:,} values are kernel elements: {spec.r}·{spec.s} for each of {spec.c_per_group} channels."


def _multiply(walk: Walk, room: int, view: View) -> Step:
    spec, names = walk.spec, view.letters
    taps, positions = walk.own.shape
    filters = walk.gemm[0]
    each = " for each group of each image" if spec.groups > 1 else " for each image" if spec.n > 1 else ""
    body = wrap_words(
        [
            Text(f"w_flat {filters}×{taps}", style=KERNEL.style),
            Text("·"),
            Text(f"patches {taps}×{positions}", style=PATCH.style),
            Text("="),
            Text(f"y {filters}×{positions}", style=OUTPUT.style),
            Text(each.strip()),
        ],
        room,
    )
    body += _dot_product(walk, room, view)
    body += flat_output(walk, room, view)
    body += _in_code(walk, "multiply", room, view)
    m, n, k = walk.gemm
    cost = (
        f"{walk.macs:,} MACs = {walk.multiplications:,} multiplications and {walk.additions:,} additions; "
        f"by convention {walk.flops:,} FLOPs, 2 per MAC."
    )
    groups = f" for each of {spec.groups} groups" if spec.groups > 1 else ""
    group = ", g group" if spec.groups > 1 else ""
    side = f", the {spec.n} images next to each other" if spec.n > 1 else ""
    notes = [
        f"b batch, o output channel, p patch dimension (summed over), l sliding location{group}.",
        "Each flattened patch is dot-multiplied with each flattened kernel; the shared index p is summed over.",
        f"output → batch × output_channel × sliding_location = {_by_times(walk.y_flat.shape)}."
        if spec.groups == 1
        else f"output → batch × group × output_channel/groups × sliding_location = {_by_times(walk.y_flat.shape)}.",
    ]
    if names is CUDNN:
        notes.append(f"As GEMM: M={m} N={n} K={k}{groups}{side}.")
    else:
        notes.append(f"As matrices: {m}×{k} times {k}×{n}{groups}{side}.")
    if walk.on_padding:
        notes.append(f"This count includes {walk.on_padding:,} products with zeros of the padding.")
    return Step("MULTIPLY", f"einsum('{walk.formula}', patches, w_flat)", body, notes, cost)


def _dot_product(walk: Walk, room: int, view: View) -> Block:
    """The cell's filter, its column of the patches, their products and the sum."""
    terms = _worth_seeing(walk.terms)
    left = len(walk.terms) - len(terms)
    more = [Text(f" … {left} more")] if left else []
    weights = wrap_words(
        [*(in_role(numeral(term.w), KERNEL) for term in terms), *more],
        room,
        lead=f"w_flat[{view.letters.k}={walk.cell.k}] ",
        space="",
    )
    column = wrap_words(
        [*(in_role("·0" if term.padding else numeral(term.x), PATCH) for term in terms), *more],
        room,
        lead=f"· column l={walk.position} ",
        space="",
    )
    products = [Text(f"{'+ ' if i else ''}{_factor(term)}") for i, term in enumerate(terms)]
    sums = [*products, *([Text(f"+ … {left} more")] if left else []), Text("= ") + in_role(numeral(walk.total), OUTPUT)]
    return [*flow([weights, column], room, gap=1), *wrap_words(sums, room, lead="= ")]


def _worth_seeing(terms: Sequence[Term]) -> list[Term]:
    """All of a few terms; of many the first ones inside the image, or the first ones where all are padding."""
    if len(terms) <= TERMS:
        return list(terms)
    return ([term for term in terms if not term.padding] or list(terms))[:TERMS]


def _factor(term: Term) -> str:
    weight = numeral(term.w) if term.w >= 0 else f"({numeral(term.w).replace('-', '−')})"
    return f"{weight}·{'0' if term.padding else numeral(term.x)}"


def flat_output(walk: Walk, room: int, view: View) -> Block:
    """What the cell's filter gives at each location, with the cell marked."""
    row, positions = walk.y_row, walk.own.shape[1]
    return grid(
        "l",
        Span(0, 1, 0, 0, 1),
        Span(0, positions, walk.position, walk.position, room // NARROWEST_CELL),
        lambda _, column: (numeral(row[column].item()), OUTPUT if column == walk.position else None),
        room,
        row_names=[f"{view.letters.k}={walk.cell.k}"],
        marked_column=walk.position,
    )


def _reshape(walk: Walk, room: int, view: View) -> Step:
    cell, names = walk.cell, view.letters
    y = walk.y[cell.n, cell.k]
    body = [*output(walk, room, view, lambda p, q: numeral(y[p, q].item())), *_in_code(walk, "reshape", room, view)]
    body += _proof(walk.proof, room)
    notes = ["Back in spatial form: (batch, output_channel, H_out, W_out)."]
    if walk.is_view:
        cost = "none; the reshape is a view: no number moves."
    else:
        notes.append("The groups are not next to each other in memory.")
        cost = f"the reshape copies {walk.y_nbytes:,} B."
    if walk.seen is not None:
        channel, row, column = walk.seen
        name = f"x[{cell.n},{channel},{row},{column}]"
        patches = plural(walk.seen_readers, "patch", "patches")
        notes.append(
            f"F.fold is not this step: it adds overlapping patches into an image the size of x. {name} = "
            f"{numeral(walk.x[cell.n, channel, row, column].item())} is in {patches}, so it "
            f"would come back as {numeral(walk.folded[channel, row, column].item())}."
        )
    flat = f"({names.n}, {names.k}, l)" if walk.spec.groups == 1 else f"({names.n}, g, {names.k}, l)"
    shape = f"({names.n}, {names.k}, {names.P}, {names.Q})"
    whole = [Text(f"{flat} = {tuple_text(walk.y_flat.shape)}"), Text(f"→ {shape} = {tuple_text(walk.y.shape)}")]
    body = [*wrap_words(whole, room), *body]
    aside = f"{tuple_text(walk.y_flat.shape)} → {tuple_text(walk.y.shape)}"
    return Step("RESHAPE + PROOF", aside, body, notes, cost)


def _pytorch(walk: Walk, room: int, view: View) -> Step:
    body: Block = []
    for sentence in view.here or ("Not watched for this page; convbench ran shows it.",):
        body += wrap_words([Text(word) for word in sentence.split()], room)
    body += _in_code(walk, "pytorch", room, view)
    return Step("WHAT PYTORCH REALLY DID HERE", "F.conv2d, fp32", body, [], "")


def output(walk: Walk, room: int, view: View, text: Callable[[int, int], str]) -> Block:
    """y of the cell's image and filter, with the cell marked."""
    spec, cell = walk.spec, walk.cell
    return grid(
        f"y[{cell.n},{cell.k}]",
        Span(0, spec.p, cell.p, cell.p, view.rows),
        Span(0, spec.q, cell.q, cell.q, GRID_COLUMNS),
        lambda p, q: (text(p, q), OUTPUT if (p, q) == (cell.p, cell.q) else None),
        room,
    )


def overview(walk: Walk, room: int, view: View) -> Block:
    """x, the patches, w_flat and y together, linked by the roles: for a screen that has the height."""
    y = walk.y[walk.cell.n, walk.cell.k]
    channel = walk.terms[view.channel * walk.spec.r * walk.spec.s].channel
    images = [
        _image(walk, channel, room, view),
        _kernel(walk, view.channel, room, view),
        output(walk, room, view, lambda p, q: numeral(y[p, q].item())),
    ]
    product = [*patch_matrix(walk, room, view), *flat_kernel(walk, room, view), *flat_output(walk, room, view)]
    return [*flow(images, room), Text(), *product]


DRAWN: Mapping[str, Callable[[Walk, int, View], Step]] = {
    "operands": _operands,
    "loops": _one_cell,
    "positions": _positions,
    "unfold": _unfold,
    "flatten": _flatten,
    "multiply": _multiply,
    "reshape": _reshape,
    "pytorch": _pytorch,
}


def _proof(proof: Sequence[Comparison], room: int) -> Block:
    """A table: what was checked, how many numbers, how far apart they are, and against what."""
    lines = [Text(f"  {'':<8}{'compared':>10}  max|Δ|  against", style=FAINT)]
    for comparison in proof:
        mark = Text("✓" if comparison.holds else "✗", style="green" if comparison.holds else "red")
        row = f" {comparison.name:<8}{comparison.compared:>10,}  {comparison.worst:>6.1g}  "
        first, *others = wrap(comparison.against, room - len(row) - 1)
        lines.append(Text() + mark + Text(row + first))
        lines += [Text(" " * (len(row) + 1) + other) for other in others]
    return lines


def _product(term: Term) -> Text:
    return Text() + in_role("·0" if term.padding else numeral(term.x), PATCH) + in_role(numeral(term.w), KERNEL)


def _joined(products: Sequence[Text]) -> list[Text]:
    return [product if not i else Text("+ ") + product for i, product in enumerate(products)]


def _signed(values: Sequence[float]) -> list[str]:
    """`7`, `+ 16`, `− 33`: the words of a sum."""
    first, *others = values or (0.0,)
    return [numeral(first), *(f"{'−' if value < 0 else '+'} {numeral(abs(value))}" for value in others)]


def _listed(noun: str, values: Sequence[int]) -> str:
    """`row 3`, `rows 3 and 5`, `rows 1, 3, 5, …, 11`, `channels 2 to 5`."""
    if len(values) == 1:
        return f"{noun} {values[0]}"
    if values[-1] - values[0] == len(values) - 1:  # they ascend
        return f"{noun}s {values[0]} to {values[-1]}"
    shown = [*values[:3], "…", values[-1]] if len(values) > 6 else values
    return f"{noun}s {', '.join(str(value) for value in shown)}"


def _options(walk: Walk) -> str:
    """What differs from the plain convolution, as in the text form."""
    _, _, options = str(walk.spec).partition("_")
    return f" · {options.replace('_', ' ')}" if options else ""
