"""How does the walk of one convolution look in a terminal, and as JSON?"""

# ruff: noqa: RUF001, RUF002  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.text import Text

from convbench.explain import STEPS
from convbench.explain.sheet import set_text
from convbench.explain.steps import Comparison, SlidingAxis, Term, Walk
from convbench.show.frames import Frame
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
    heading,
    in_role,
    plural,
    wrap_words,
)
from convbench.show.pages import fit, print_page, room_for_text, with_notes
from convbench.show.units import numeral, tuple_text

if TYPE_CHECKING:
    from torch import Tensor

GRID_COLUMNS = 10
NARROWEST_CELL = 3  # a digit and its brackets: more columns than room / 3 are not worth a try
TERMS = 12
TAPS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The visible part of large tensors.

    Attributes:
        channel: of the kernel's slices (0 to C/G-1), the first one shown; `channels` is how many.
        rows: of each image; `patch_rows` of the patch matrix.
        remark: a sentence that ends the last step.
    """

    channel: int = 0
    channels: int = 2
    rows: int = 8
    patch_rows: int = 12
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step as drawn: a title, a formula next to it, the numbers, notes and their cost."""

    title: str
    aside: str
    body: Block
    notes: list[str]
    cost: str


def draw(walk: Walk, steps: Sequence[str] = STEPS, view: View | None = None) -> None:
    """Print the steps as wide as the terminal; a pipe gets 80 columns, or COLUMNS."""
    print_page(lambda width: page(walk, width, steps, view))


def more(width: int) -> Block:
    """Other commands for the same problem."""
    options = ("--interactive", "--html FILE", "--algorithm all", "--backward")
    commands = ("convbench why QUESTION", "convbench ran", "convbench cost")
    asks = [Text(ask, style=FAINT) for ask in (*options, *commands)]
    return wrap_words(asks, width, lead="  and more:    ", space="   ")


def page(walk: Walk, width: int, steps: Sequence[str] = STEPS, view: View | None = None) -> Iterator[Text]:
    """The lines of these steps, separated by blank lines, none wider than `width` (from 60 to 120)."""
    for i, step in enumerate(steps):
        if i:
            yield Text()
        yield from draw_step(walk, step, width, view).lines


def draw_step(walk: Walk, step: str, width: int, view: View | None = None) -> Frame:
    """One of STEPS as a frame."""
    width = fit(width)
    number, view = STEPS.index(step), view or View()
    drawn = (_operands, _one_cell, _positions, _unfold, _flatten, _multiply, _reshape)[number](
        walk, room_for_text(width) - 2, view
    )
    title = f"{number + 1}/{len(STEPS)} {drawn.title}"
    remark = [view.remark] if view.remark and step == STEPS[-1] else []
    notes = [*drawn.notes, *remark, f"Cost: {drawn.cost}"]
    lines = [*heading(title, drawn.aside, width), *with_notes(drawn.body, notes, width)]
    for line in lines:
        line.rstrip()
    return Frame(title=title, width=width, lines=tuple(lines))


def record(walk: Walk) -> dict[str, Any]:
    """Every number of the walk as plain values, tensors as nested lists in their own shapes."""
    return {
        "spec": str(walk.spec),
        "cell": asdict(walk.cell) | {"group": walk.group},
        "x": walk.x.tolist(),
        "w": walk.w.tolist(),
        "one_cell": {
            "terms": [asdict(term) | {"product": term.product} for term in walk.terms],
            "channel_sums": walk.channel_sums,
            "total": walk.total,
            "rows": walk.rows,
            "columns": walk.columns,
            "flipped": walk.flipped,
        },
        "axes": [
            asdict(axis)
            | {
                "room": axis.room,
                "rest": axis.rest,
                "positions": axis.positions,
                "readers": axis.readers.tolist(),
                "unread": axis.unread,
            }
            for axis in walk.axes
        ],
        "variants": [
            {"change": variant.change, "spec": str(variant.spec), "p": variant.spec.p, "q": variant.spec.q}
            for variant in walk.variants
        ],
        "unfolded": {
            "patches": walk.patches.tolist(),
            "column": walk.position,
            "first_row": walk.first_row,
            "taps": walk.taps,
            "padding": walk.padding.tolist(),
            "x_nbytes": walk.x_nbytes,
            "patches_nbytes": walk.patches_nbytes,
        },
        "multiplied": {
            "formula": walk.formula,
            "w_flat": walk.w_flat.tolist(),
            "y_flat": walk.y_flat.tolist(),
            "gemm": walk.gemm,
            "macs": walk.macs,
            "multiplications": walk.multiplications,
            "additions": walk.additions,
            "on_padding": walk.on_padding,
        },
        "y": walk.y.tolist(),
        "is_view": walk.is_view,
        "folded": walk.folded.tolist(),
        "proof": [asdict(comparison) | {"holds": comparison.holds} for comparison in walk.proof],
    }


def _operands(walk: Walk, room: int, view: View) -> Step:
    spec, cell = walk.spec, walk.cell
    channels = list(dict.fromkeys(term.channel for term in walk.terms))
    rows, columns = walk.rows, walk.columns
    blocks = []  # each channel of x next to the kernel's slice for it
    shown = list(enumerate(channels))[view.channel : view.channel + view.channels]
    for c, channel in shown:
        image, kernel = walk.x[cell.n, channel], walk.w[cell.k, c]

        def look_x(row: int, column: int, image: "Tensor" = image) -> tuple[str, Role | None]:
            inside = 0 <= row < spec.h and 0 <= column < spec.w
            text = numeral(image[row, column].item()) if inside else "·0"
            return text, PATCH if row in rows and column in columns else None

        def look_w(r: int, s: int, kernel: "Tensor" = kernel) -> tuple[str, Role | None]:
            return numeral(kernel[r, s].item()), KERNEL

        blocks.append(
            grid(
                f"x[{cell.n},{channel}]",
                Span(min(0, rows[0]), max(spec.h, rows[-1] + 1), rows[0], rows[-1], view.rows),
                Span(min(0, columns[0]), max(spec.w, columns[-1] + 1), columns[0], columns[-1], GRID_COLUMNS),
                look_x,
                room,
            )
        )
        blocks.append(
            grid(
                f"w[{cell.k},{c}]",
                Span(0, spec.r, 0, 0, view.rows),
                Span(0, spec.s, 0, 0, GRID_COLUMNS),
                look_w,
                room,
            )
        )

    y_block = _output(walk, room, view, lambda p, q: "?" if (p, q) == (cell.p, cell.q) else ".")
    body = flow([*blocks, y_block], room)
    if len(channels) > len(shown):
        body.append(Text(f"… {plural(len(channels) - len(shown), 'more channel')} of x and of w", style=FAINT))
    legend = [
        in_role("patch", PATCH),
        in_role("kernel", KERNEL),
        in_role("output", OUTPUT),
    ]
    if walk.on_padding:
        legend.append(Text("·0 zero of the padding"))
    body += [Text(), Text("   ").join(legend)]
    notes = [
        "x has N images of C channels, H×W each; w has K filters of R×S; y is P×Q.",
        "Cross-correlation: the kernel is applied to x as it is, not flipped.",
    ]
    if len(channels) > 1:
        notes.append(f"Each filter has a slice for each of its {len(channels)} channels; their sums are added.")
    if spec.groups > 1:
        notes.append(
            f"{spec.groups} groups: filter k={cell.k} is in group {walk.group}, which reads "
            f"{_listed('channel', channels)} of x only."
        )
    cost = f"x {walk.x_nbytes:,} B + w {walk.w_nbytes:,} B in, y {walk.y_nbytes:,} B out, in fp32."
    return Step(
        "OPERANDS", f"x {tuple_text(walk.x.shape)} ⋆ w {tuple_text(walk.w.shape)}{_options(walk)}", body, notes, cost
    )


def _one_cell(walk: Walk, room: int, view: View) -> Step:
    spec, cell = walk.spec, walk.cell
    stride, padding, dilation = spec.stride, spec.padding, spec.dilation
    first_channel = walk.terms[0].channel
    channel = f"{first_channel}+c" if first_channel else "c"
    body = wrap_words(
        [
            Text("y[n,k,p,q] = Σ"),
            Text(
                f"x[n, {channel}, p·{stride[0]}−{padding[0]}+r·{dilation[0]}, "
                f"q·{stride[1]}−{padding[1]}+s·{dilation[1]}]",
                style=PATCH.style,
            ),
            Text("· w[k,c,r,s]", style=KERNEL.style),
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
            (("p", cell.p, "rows", spec.r, walk.rows), ("q", cell.q, "columns", spec.s, walk.columns))
        )
    ]
    body += flow([wrap_words([Text(word) for word in place], room) for place in places], room)
    channel_sums = walk.channel_sums
    many = len(channel_sums) > 1
    for c, channel_sum in list(enumerate(channel_sums))[view.channel : view.channel + view.channels]:
        terms = walk.terms_of(c)
        shown = list(terms) if len(terms) <= TERMS else [term for term in terms if not term.padding][:TERMS]
        more = [Text(f"… {plural(len(terms) - len(shown), 'more term')}")] if len(shown) < len(terms) else []
        lead = f"c={c}: " if many else ""
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
        body += wrap_words([Text("over c:"), *shown_sums, *more, total], room)
    notes = [f"A flipped kernel (a true convolution) would give {numeral(walk.flipped)} here."]
    if any(term.padding for term in walk.terms):
        notes.append("The patch reaches over the border: rows and columns outside x are zeros, ·0.")
    cost = f"{plural(len(walk.terms), 'multiplication')} and {plural(len(walk.terms) - 1, 'addition')} for this output."
    return Step("ONE CELL, BY LOOPS", "index = p·stride − padding + r·dilation", body, notes, cost)


def _positions(walk: Walk, room: int, _: View) -> Step:
    body = []
    for axis in walk.axes:
        even = axis.padding == axis.padding_end
        padding = f"2·{axis.padding}" if even else f"{axis.padding} + {axis.padding_end}"
        body += wrap_words(
            [
                Text(
                    f"{axis.letters[0]} = ⌊({axis.size} + {padding} − {axis.dilation}·({axis.taps}−1) − 1) "
                    f"/ {axis.stride}⌋ + 1"
                ),
                Text(f"= ⌊{axis.room}/{axis.stride}⌋ + 1 = {axis.positions}"),
            ],
            room,
            lead="",
        )
    p, q = (axis.positions for axis in walk.axes)
    body.append(Text(f"P·Q = {p}·{q} = {walk.own.shape[1]} positions"))
    changes = [Text(f"{variant.change}: {variant.spec.p}×{variant.spec.q}") for variant in walk.variants]
    if changes:
        body += wrap_words(changes, room, lead="what if  ", space="   ")
    cost = f"N·K·P·Q = {plural(walk.y.numel(), 'output')}, each a sum of {plural(len(walk.terms), 'product')}."
    both = "2·padding" if walk.spec.padding_end is None else "top + bottom"
    formula = f"⌊(H + {both} − dilation·(R−1) − 1) / stride⌋ + 1"
    return Step("POSITIONS", formula, body, _reading_notes(walk.axes), cost)


def _reading_notes(axes: tuple[SlidingAxis, SlidingAxis]) -> list[str]:
    lines = list(zip(axes, ("row", "column"), strict=True))
    notes = [
        f"The floor drops {plural(axis.rest, line)} at the end of the padded x." for axis, line in lines if axis.rest
    ]
    unread = [
        f"{len(lost)} of {axis.size} {line}s of x are never read: {_listed(line, lost)}."
        for axis, line in lines
        if (lost := axis.unread)
    ]
    return notes + (unread or ["Every row and every column of x is read."])


def _unfold(walk: Walk, room: int, view: View) -> Step:
    spec, cell = walk.spec, walk.cell
    taps, positions = walk.own.shape
    own, padding = walk.own, walk.padding
    names = [f"({channel},{r},{s})" for channel, r, s in walk.taps]
    start, position = view.channel * spec.r * spec.s, walk.position
    first = next((row for row in range(start, taps) if not walk.terms[row].padding), start)

    def look(row: int, column: int) -> tuple[str, Role | None]:
        text = "·0" if padding[row, column] else numeral(own[row, column].item())
        return text, PATCH if column == position else None

    body = [Text(f"l = p·Q + q = {cell.p}·{spec.q} + {cell.q} = {position}")]
    body += grid(
        "(c,r,s)",
        Span(0, taps, first, first, view.patch_rows),
        Span(0, positions, position, position, room // NARROWEST_CELL),
        look,
        room,
        row_names=names,
        marked_column=position,
    )
    per_group = "C/G" if spec.groups > 1 else "C"
    notes = [
        (
            f"{plural(taps, 'row')} for the taps {per_group}·R·S = {spec.c_per_group}·{spec.r}·{spec.s}; "
            f"{plural(positions, 'column')} for the positions P·Q. A row is one tap of one "
            "channel, a column is one position of the kernel."
        ),
        "Row order is (c, r, s), with s changing fastest.",
        # CUTLASS, media/docs/implicit_gemm_convolution.md.
        "F.unfold stores this matrix; an implicit GEMM builds it in tiles and never stores it whole.",
    ]
    if spec.groups > 1:
        notes.insert(
            1,
            f"Shown: rows {walk.first_row} to {walk.first_row + taps - 1} of {walk.patches.shape[1]}, "
            f"for group {walk.group}.",
        )
    cost = f"x is {walk.x_nbytes:,} B in fp32, the patch matrix {walk.patches_nbytes:,} B ({walk.growth:.4g}×)."
    aside = f"{tuple_text(walk.x.shape)} → (N, C·R·S, P·Q) = {tuple_text(walk.patches.shape)}"
    return Step("UNFOLD", aside, body, notes, cost)


def _flatten(walk: Walk, room: int, _: View) -> Step:
    spec, cell = walk.spec, walk.cell
    numbers = walk.w_row.tolist()
    words = [in_role(numeral(value), KERNEL) for value in numbers[:TAPS]]
    if len(numbers) > TAPS:
        words.append(Text(f" … {len(numbers) - TAPS} more"))
    body = wrap_words(words, room, lead=f"w_flat of filter {cell.k} = ", space="")
    names = "(K, C·R·S)" if spec.groups == 1 else "(G, K/G, C/G·R·S)"
    notes = ["The order is (c, r, s), as in the rows of the patch matrix, so taps match."]
    cost = "none; it is a view." if walk.w_is_view else f"a copy of {walk.w_nbytes:,} B."
    return Step(
        "FLATTEN w", f"{tuple_text(walk.w.shape)} → {names} = {tuple_text(walk.w_flat.shape)}", body, notes, cost
    )


def _multiply(walk: Walk, room: int, _: View) -> Step:
    spec, cell = walk.spec, walk.cell
    taps, positions = walk.own.shape
    row = walk.y_row

    def look(_: int, column: int) -> tuple[str, Role | None]:
        return numeral(row[column].item()), OUTPUT if column == walk.position else None

    filters = walk.gemm[0]
    each = " in each group of each image" if spec.groups > 1 else " in each image" if spec.n > 1 else ""
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
    body += grid(
        "l",
        Span(0, 1, 0, 0, 1),
        Span(0, positions, walk.position, walk.position, room // NARROWEST_CELL),
        look,
        room,
        row_names=[f"k={cell.k}"],
        marked_column=walk.position,
    )
    m, n, k = walk.gemm
    cost = (
        f"{walk.macs:,} MACs = {walk.multiplications:,} multiplications and {walk.additions:,} additions (one fewer "
        f"than the taps, per output). That is {walk.flops:,} FLOPs at 2 per MAC."
    )
    groups = f" for each of {spec.groups} groups" if spec.groups > 1 else ""
    notes = [
        "Letters of the formula: b image, p tap, l position, o filter" + (", g group." if spec.groups > 1 else "."),
        f"As GEMM: M={m} N={n} K={k}{groups}" + (f", the {spec.n} images side by side in N." if spec.n > 1 else "."),
    ]
    if walk.on_padding:
        notes.append(f"Products with padding are counted: {walk.on_padding:,} of them.")
    return Step("MULTIPLY", f"einsum('{walk.formula}', patches, w_flat)", body, notes, cost)


def _reshape(walk: Walk, room: int, view: View) -> Step:
    cell = walk.cell
    y = walk.y[cell.n, cell.k]
    body = [*_output(walk, room, view, lambda p, q: numeral(y[p, q].item())), Text(), *_proof(walk.proof, room)]
    if walk.is_view:
        notes, cost = [], "none; the reshape is a view, and no number moves."
    else:
        notes, cost = ["The groups are not adjacent in memory."], f"the reshape copies {walk.y_nbytes:,} B."
    if walk.seen is not None:
        channel, row, column = walk.seen
        name = f"x[{cell.n},{channel},{row},{column}]"
        notes.append(
            f"F.fold is not this step: it sums overlaps and returns x's size. {name} is "
            f"{numeral(walk.x[cell.n, channel, row, column].item())}, is read {walk.seen_readers}×, "
            f"and would come back as {numeral(walk.folded[channel, row, column].item())}."
        )
    return Step(
        "RESHAPE + PROOF",
        f"{tuple_text(walk.y_flat.shape)} → (N, K, P, Q) = {tuple_text(walk.y.shape)}",
        body,
        notes,
        cost,
    )


def _output(walk: Walk, room: int, view: View, text: Callable[[int, int], str]) -> Block:
    """y of the cell's image and filter, with the cell marked."""
    spec, cell = walk.spec, walk.cell
    return grid(
        f"y[{cell.n},{cell.k}]",
        Span(0, spec.p, cell.p, cell.p, view.rows),
        Span(0, spec.q, cell.q, cell.q, GRID_COLUMNS),
        lambda p, q: (text(p, q), OUTPUT if (p, q) == (cell.p, cell.q) else None),
        room,
    )


def _proof(proof: Sequence[Comparison], room: int) -> Block:
    """A table: what was checked, how many numbers, their largest difference, and what they were compared with."""
    lines = [Text(f"  {'':<8}{'compared':>10}  max|Δ|  against", style=FAINT)]
    for comparison in proof:
        mark = Text("✓" if comparison.holds else "✗", style="green" if comparison.holds else "red")
        row = f" {comparison.name:<8}{comparison.compared:>10,}  {comparison.worst:>6g}  "
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
