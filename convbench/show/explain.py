"""How does the walk of one convolution look on a terminal, and as JSON?"""

# ruff: noqa: RUF001, RUF002  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.text import Text

from convbench.explain.steps import Axis, Comparison, Term, Walk
from convbench.show.console import pipe_width, result_console
from convbench.show.grid import (
    FAINT,
    KERNEL,
    OUTPUT,
    PATCH,
    Block,
    Role,
    Span,
    beside,
    flow,
    grid,
    heading,
    in_role,
    plural,
    remarks,
    wrap_words,
)

if TYPE_CHECKING:
    from torch import Tensor

NARROWEST, WIDEST = 60, 120
# From here on there is room for a pane of notes on the right; below, notes stand under the step.
PANE_FROM, PANE = 112, 38

GRID_ROWS, GRID_COLUMNS = 8, 10
PATCH_ROWS = 12
TERMS = 12
CHANNELS = 2
TAPS = 24


@dataclass(frozen=True, slots=True)
class Step:
    """One step as drawn: a title, a formula beside it, the numbers, and what to know of them."""

    title: str
    aside: str
    body: Block
    notes: list[str]


def draw(walk: Walk, remark: str = "") -> None:
    """Print the walk as wide as the terminal; a pipe gets 80 columns, or COLUMNS. The remark ends its last step."""
    console = result_console()
    width = console.width if console.is_terminal else pipe_width()
    for line in page(walk, width, remark):
        line.rstrip()
        console.print(line.plain if console.no_color else line, markup=False)


def page(walk: Walk, width: int, remark: str = "") -> Iterator[Text]:
    """The lines of the whole walk, none wider than `width` (from 60 to 120)."""
    width = min(max(width, NARROWEST), WIDEST)
    room = width - PANE - 3 if width >= PANE_FROM else width
    steps = (_operands, _one_cell, _positions, _unfold, _flatten, _multiply, _reshape)
    for number, step in enumerate(steps, start=1):
        drawn = step(walk, room - 2)
        if remark and number == len(steps):
            drawn.notes.append(remark)
        yield from heading(f"{number}/{len(steps)} {drawn.title}", drawn.aside, width)
        body = [Text("  ") + line for line in drawn.body]
        if room == width:
            yield from body
            yield from (Text("  ") + line for line in remarks(drawn.notes, width - 4))
        else:
            yield from beside([body, remarks(drawn.notes, PANE)], starts=[0, room + 1])
        if number < len(steps):
            yield Text()


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


def _operands(walk: Walk, room: int) -> Step:
    spec, cell = walk.spec, walk.cell
    channels = list(dict.fromkeys(term.channel for term in walk.terms))
    rows, columns = walk.rows, walk.columns
    x_blocks, w_blocks = [], []
    for c, channel in list(enumerate(channels))[:CHANNELS]:
        image, kernel = walk.x[cell.n, channel], walk.w[cell.k, c]

        def look_x(row: int, column: int, image: "Tensor" = image) -> tuple[str, Role | None]:
            inside = 0 <= row < spec.h and 0 <= column < spec.w
            text = _number(image[row, column].item()) if inside else "·0"
            return text, PATCH if row in rows and column in columns else None

        def look_w(r: int, s: int, kernel: "Tensor" = kernel) -> tuple[str, Role | None]:
            return _number(kernel[r, s].item()), KERNEL

        x_blocks.append(
            grid(
                f"x[{cell.n},{channel}]",
                Span(min(0, rows[0]), max(spec.h, rows[-1] + 1), rows[0], rows[-1], GRID_ROWS),
                Span(min(0, columns[0]), max(spec.w, columns[-1] + 1), columns[0], columns[-1], GRID_COLUMNS),
                look_x,
                room,
            )
        )
        w_blocks.append(
            grid(
                f"w[{cell.k},{c}]",
                Span(0, spec.r, 0, 0, GRID_ROWS),
                Span(0, spec.s, 0, 0, GRID_COLUMNS),
                look_w,
                room,
            )
        )

    y_block = _output(walk, room, lambda p, q: "?" if (p, q) == (cell.p, cell.q) else ".")
    body = flow([*x_blocks, *w_blocks, y_block], room)
    if len(channels) > CHANNELS:
        body.append(Text(f"… {plural(len(channels) - CHANNELS, 'more channel')} of x and of w", style=FAINT))
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
        "Cross-correlation: the kernel is laid on x as it is, not flipped.",
    ]
    if len(channels) > 1:
        notes.append(f"Each filter has a slice for each of its {len(channels)} channels; their sums are added.")
    if spec.groups > 1:
        notes.append(
            f"{spec.groups} groups: filter k={cell.k} is in group {walk.group}, which reads "
            f"{_listed('channel', channels)} of x only."
        )
    return Step("OPERANDS", f"x {_shape(walk.x.shape)} ⋆ w {_shape(walk.w.shape)}{_options(walk)}", body, notes)


def _one_cell(walk: Walk, room: int) -> Step:
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
                f"{_set(range(taps))}·{dilation[axis]}"
            ),
            f"= {_set(found)}",
        ]
        for axis, (letter, position, lines, taps, found) in enumerate(
            (("p", cell.p, "rows", spec.r, walk.rows), ("q", cell.q, "columns", spec.s, walk.columns))
        )
    ]
    body += flow([wrap_words([Text(word) for word in place], room) for place in places], room)
    channel_sums = walk.channel_sums
    many = len(channel_sums) > 1
    for c, channel_sum in enumerate(channel_sums[:CHANNELS]):
        terms = walk.terms_of(c)
        shown = list(terms) if len(terms) <= TERMS else [term for term in terms if not term.padding][:TERMS]
        more = [Text(f"… {plural(len(terms) - len(shown), 'more term')}")] if len(shown) < len(terms) else []
        lead = f"c={c}: " if many else ""
        words = [*_joined([_product(term) for term in shown]), *more]
        body += wrap_words(words, room, lead=lead)
        sums = [Text(word) for word in _signed([term.product for term in shown])]
        total = Text(f"= {_number(channel_sum)}") if many else Text("= ") + in_role(_number(walk.total), OUTPUT)
        body += wrap_words([Text("="), *sums, *(Text("…") for _ in more), total], room, lead=" " * len(lead))
    if many:
        shown_sums = [Text(word) for word in _signed(channel_sums[:TERMS])]
        left = len(channel_sums) - TERMS
        more = [Text(f"… {plural(left, 'more channel')}")] if left > 0 else []
        total = Text("= ") + in_role(_number(walk.total), OUTPUT)
        body += wrap_words([Text("over c:"), *shown_sums, *more, total], room)
    notes = [f"A flipped kernel (a true convolution) would give {_number(walk.flipped)} here."]
    if any(term.padding for term in walk.terms):
        notes.append("The patch hangs over the border: rows and columns outside x are zeros, ·0.")
    return Step("ONE CELL, BY LOOPS", "index = p·stride − padding + r·dilation", body, notes)


def _positions(walk: Walk, room: int) -> Step:
    body = []
    for axis in walk.axes:
        body += wrap_words(
            [
                Text(
                    f"{axis.letters[0]} = ⌊({axis.size} + 2·{axis.padding} − {axis.dilation}·({axis.taps}−1) − 1) "
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
    return Step("POSITIONS", "⌊(H + 2·padding − dilation·(R−1) − 1) / stride⌋ + 1", body, _reading_notes(walk.axes))


def _reading_notes(axes: tuple[Axis, Axis]) -> list[str]:
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


def _unfold(walk: Walk, room: int) -> Step:
    spec, cell = walk.spec, walk.cell
    taps, positions = walk.own.shape
    own, padding = walk.own, walk.padding
    names = [f"({channel},{r},{s})" for channel, r, s in walk.taps]
    first = next((row for row, term in enumerate(walk.terms) if not term.padding), 0)

    def look(row: int, column: int) -> tuple[str, Role | None]:
        text = "·0" if padding[row, column] else _number(own[row, column].item())
        return text, PATCH if column == walk.position else None

    body = [Text(f"l = p·Q + q = {cell.p}·{spec.q} + {cell.q} = {walk.position}")]
    body += grid(
        "(c,r,s)",
        Span(0, taps, first, first, PATCH_ROWS),
        Span(0, positions, walk.position, walk.position, room),
        look,
        room,
        row_names=names,
        marked_column=walk.position,
    )
    per_group = "C/G" if spec.groups > 1 else "C"
    notes = [
        (
            f"{plural(taps, 'row')} for the taps {per_group}·R·S = {spec.c_per_group}·{spec.r}·{spec.s}; "
            f"{plural(positions, 'column')} for the positions P·Q. Neither counts channels."
        ),
        "Rows run in (c, r, s) order: s fastest, c slowest.",
        # Implicit GEMM: CUTLASS, media/docs/implicit_gemm_convolution.md.
        (
            f"x is {walk.x_nbytes:,} B in fp32, the patch matrix {walk.patches_nbytes:,} B "
            f"({walk.growth:.4g}×). F.unfold stores it; "
            "an implicit GEMM forms it in tiles and never stores it whole."
        ),
    ]
    if spec.groups > 1:
        notes.insert(
            1,
            f"Shown are rows {walk.first_row} to {walk.first_row + taps - 1} of {walk.patches.shape[1]}: "
            f"those of group {walk.group}.",
        )
    return Step("UNFOLD", f"{_shape(walk.x.shape)} → (N, C·R·S, P·Q) = {_shape(walk.patches.shape)}", body, notes)


def _flatten(walk: Walk, room: int) -> Step:
    spec, cell = walk.spec, walk.cell
    numbers = walk.w_row.tolist()
    words = [in_role(_number(value), KERNEL) for value in numbers[:TAPS]]
    if len(numbers) > TAPS:
        words.append(Text(f"… {len(numbers) - TAPS} more"))
    body = wrap_words(words, room, lead=f"w_flat of filter {cell.k} = ", space="")
    names = "(K, C·R·S)" if spec.groups == 1 else "(G, K/G, C/G·R·S)"
    notes = ["The same (c, r, s) order as the rows of the patch matrix, so that tap meets tap."]
    return Step("FLATTEN w", f"{_shape(walk.w.shape)} → {names} = {_shape(walk.w_flat.shape)}", body, notes)


def _multiply(walk: Walk, room: int) -> Step:
    spec, cell = walk.spec, walk.cell
    taps, positions = walk.own.shape
    row = walk.y_row

    def look(_: int, column: int) -> tuple[str, Role | None]:
        return _number(row[column].item()), OUTPUT if column == walk.position else None

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
        Span(0, positions, walk.position, walk.position, room),
        look,
        room,
        row_names=[f"k={cell.k}"],
        marked_column=walk.position,
    )
    m, n, k = walk.gemm
    groups = f" for each of {spec.groups} groups" if spec.groups > 1 else ""
    notes = [
        "Letters of the formula: b image, p tap, l position, o filter" + (", g group." if spec.groups > 1 else "."),
        f"As GEMM: M={m} N={n} K={k}{groups}" + (f", the {spec.n} images side by side in N." if spec.n > 1 else "."),
        (
            f"{walk.macs:,} MACs = {walk.multiplications:,} multiplications and "
            f"{walk.additions:,} additions (one less than the taps, for each output). "
            f"At 2 FLOPs a MAC: {walk.flops:,} FLOPs."
        ),
    ]
    if walk.on_padding:
        notes.append(f"Products with padding are counted: {walk.on_padding:,} of them.")
    return Step("MULTIPLY", f"einsum('{walk.formula}', patches, w_flat)", body, notes)


def _reshape(walk: Walk, room: int) -> Step:
    cell = walk.cell
    y = walk.y[cell.n, cell.k]
    body = [*_output(walk, room, lambda p, q: _number(y[p, q].item())), Text(), *_proof(walk.proof, room)]
    notes = [
        "The reshape is a view: no number moves."
        if walk.is_view
        else "The reshape copies here, as the groups do not lie side by side in memory."
    ]
    if walk.seen is not None:
        channel, row, column = walk.seen
        name = f"x[{cell.n},{channel},{row},{column}]"
        notes.append(
            f"F.fold is not this step: it sums overlaps and gives back x's size. {name} is "
            f"{_number(walk.x[cell.n, channel, row, column].item())}, is read {walk.seen_readers}×, "
            f"and would come back as {_number(walk.folded[channel, row, column].item())}."
        )
    return Step(
        "RESHAPE + PROOF",
        f"{_shape(walk.y_flat.shape)} → (N, K, P, Q) = {_shape(walk.y.shape)}",
        body,
        notes,
    )


def _output(walk: Walk, room: int, text: Callable[[int, int], str]) -> Block:
    """y of the cell's image and filter, with the cell marked."""
    spec, cell = walk.spec, walk.cell
    return grid(
        f"y[{cell.n},{cell.k}]",
        Span(0, spec.p, cell.p, cell.p, GRID_ROWS),
        Span(0, spec.q, cell.q, cell.q, GRID_COLUMNS),
        lambda p, q: (text(p, q), OUTPUT if (p, q) == (cell.p, cell.q) else None),
        room,
    )


def _proof(proof: Sequence[Comparison], room: int) -> Block:
    """A table: what was checked, how many numbers, how far apart they are, and against what."""
    lines = [Text(f"  {'':<8}{'compared':>10}  max|Δ|  against", style=FAINT)]
    for comparison in proof:
        mark = Text("✓" if comparison.holds else "✗", style="green" if comparison.holds else "red")
        row = f" {comparison.name:<8}{comparison.compared:>10,}  {comparison.worst:>6g}  "
        first, *others = wrap(comparison.against, room - len(row) - 1)
        lines.append(Text() + mark + Text(row + first))
        lines += [Text(" " * (len(row) + 1) + other) for other in others]
    return lines


def _product(term: Term) -> Text:
    return Text() + in_role("·0" if term.padding else _number(term.x), PATCH) + in_role(_number(term.w), KERNEL)


def _joined(products: Sequence[Text]) -> list[Text]:
    return [product if not i else Text("+ ") + product for i, product in enumerate(products)]


def _signed(values: Sequence[float]) -> list[str]:
    """`7`, `+ 16`, `− 33`: the words of a sum."""
    first, *others = values or (0.0,)
    return [_number(first), *(f"{'−' if value < 0 else '+'} {_number(abs(value))}" for value in others)]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"  # and never -0


def _shape(shape: Sequence[int]) -> str:
    return f"({','.join(str(size) for size in shape)})"


def _set(values: Sequence[int]) -> str:
    """`{0,1,2}`, or `{0,1,…,14}` when long."""
    shown = [str(value) for value in values]
    if len(shown) > 7:
        shown = [*shown[:2], "…", shown[-1]]
    return "{" + ",".join(shown) + "}"


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
