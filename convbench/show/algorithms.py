"""How do other algorithms, and the gradients, look in a terminal and as JSON? In the style of the walk."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.text import Text

from convbench.errors import plural
from convbench.explain.algorithms.catalogue import NotHere
from convbench.explain.algorithms.trace import ANSWER, AlgorithmStage, Matrix, Numbers, Trace
from convbench.explain.algorithms.work import Work
from convbench.explain.backward import Backward, GradientTerm
from convbench.explain.letters import TAP, TORCH, Letters
from convbench.explain.steps import Comparison
from convbench.show.grid import (
    FAINT,
    KERNEL,
    OUTPUT,
    PATCH,
    ROLES,
    Block,
    Role,
    Span,
    flow,
    grid,
    heading,
    in_role,
    remarks,
    wrap_words,
)
from convbench.show.units import amount, tuple_text

if TYPE_CHECKING:
    from torch import Tensor

GRID_ROWS, GRID_COLUMNS = 9, 10
MATRICES = 6
PARTS = 10
GROUPS = ((0, 2), (2, 3), (3, 4), (4, 7))  # of the table's columns: products, transforms, weights, memory

WORK_NOTES = (
    "transforms: multiplications + additions for x and y, in each run; weights: for w, once for all images.",
    "A factor of 1 or -1 in a Winograd matrix is not a multiplication; an FFT's rotation by 1 is counted.",
    "A weight on padding gives a product with zero; loops and Toeplitz skip those.",
    "moved: bytes in fp32, of x, w and y once, of each intermediate twice; implicit-gemm's tiles stay on chip.",
    "extra: bytes needed besides x, w and y.",
)


def algorithms_page(
    shown: Sequence[Trace | NotHere], everyone: Sequence[Trace | NotHere], width: int
) -> Iterator[Text]:
    """The stages of the requested algorithms, then a table of all."""
    for one in shown:
        match one:
            case Trace():
                yield from trace_page(one, width)
            case NotHere():
                yield from heading(one.title.upper(), "not here", width)
                yield from _indented(_wrapped(f"{one.why_not}.", width - 2))
        yield Text()
    yield from table(everyone, width)


def also_proved(traces: Sequence[Trace], width: int) -> Iterator[Text]:
    """One line below a walk: the algorithms with the same y, and the products of those that need fewer."""
    words = []
    for trace in traces:
        products = trace.counts.core.multiplications
        saved = f": {_count(products)} products" if products < trace.spec.macs else ""
        words.append(Text.assemble(("✓ ", "green"), trace.title + saved))
    yield from wrap_words(words, width, lead="  the same y:  ", space="   ")


def trace_page(trace: Trace, width: int) -> Iterator[Text]:
    """One algorithm, its stages with the followed cell marked, and its proof."""
    cell = trace.cell
    yield from heading(trace.title.upper(), f"y[{cell.n},{cell.k},{cell.p},{cell.q}]", width)
    yield from _indented(_wrapped(trace.idea, width - 2))
    for number, stage in enumerate(trace.stages, start=1):
        yield from stage_lines(stage, f"{number}/{len(trace.stages)}", width)
    yield from _indented(_proof(trace.proof, width - 2))


def stage_lines(stage: AlgorithmStage, number: str, width: int) -> Iterator[Text]:
    """A title with its formula, the matrices side by side, the facts."""
    room = width - 2
    title = Text.assemble((f"{number} ", FAINT), (f"{stage.title} ", "bold"))
    lines = wrap_words([title, *(Text(word) for word in stage.formula.split())], width - 4)
    yield from (Text("    " if i else "") + line for i, line in enumerate(lines))
    matrices = [matrix for matrix in stage.matrices if len(matrix.numbers) and len(matrix.numbers[0])]
    alone = all(len(matrix.numbers) == 1 or len(matrices) == 1 for matrix in matrices)
    blocks = [draw_matrix(matrix, room, room if alone else GRID_COLUMNS) for matrix in matrices[:MATRICES]]
    if blocks:
        yield from _indented(flow(blocks, room))
    if len(matrices) > MATRICES:
        more = plural(len(matrices) - MATRICES, "more").removesuffix("s")
        yield Text(f"  … {more}, up to {matrices[-1].label}", style=FAINT)
    yield from _indented(remarks([str(fact) for fact in stage.facts], width - 4))


def draw_matrix(matrix: Matrix, room: int, most: int) -> Block:
    """A window of it that shows the followed numbers."""
    texts = Texts(matrix.numbers)
    rows = matrix.followed.any(dim=1).nonzero().flatten().tolist()
    # Of the last such row: what comes of the others.
    columns = matrix.followed[rows[-1]].nonzero().flatten().tolist() if rows else []

    def look(row: int, column: int) -> tuple[str, Role | None]:
        text = texts(row, column)
        if matrix.aside is not None and matrix.aside[row, column]:
            text = "·" if text == "0" else f"~{text}"
        if not matrix.followed[row, column]:
            return text, None
        role = matrix.role if isinstance(matrix.role, str) else matrix.role[row]
        return text, ROLES.get(role)

    return grid(
        matrix.label,
        Span(0, matrix.followed.shape[0], *_ends(rows), GRID_ROWS),
        Span(0, matrix.followed.shape[1], *_ends(columns), most),
        look,
        room,
        row_names=matrix.rows,
        column_names=matrix.columns,
    )


def _ends(places: Sequence[int]) -> tuple[int, int]:
    """The first of them, and the last where a window holds both."""
    if not places:
        return 0, 0
    return places[0], places[-1] if places[-1] - places[0] < GRID_ROWS else places[0]


class Texts:
    """The numbers of a matrix as texts: fractions exact, rounding errors of an FFT rounded away."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.noise = 0.0
        if not isinstance(numbers, tuple) and numbers.numel():
            self.noise = 1e-10 * float(numbers.abs().max())

    def __call__(self, row: int, column: int) -> str:
        value = self.numbers[row][column] if isinstance(self.numbers, tuple) else self.numbers[row, column].item()
        match value:
            case Fraction():
                return fraction_text(value)
            case complex():
                real, imaginary = (0.0 if abs(part) <= self.noise else part for part in (value.real, value.imag))
                if not imaginary:
                    return _number(real)
                sign = "-" if imaginary < 0 else "+"
                return f"{_number(real) if real else ''}{sign if real or sign == '-' else ''}{_number(abs(imaginary))}i"
            case _:
                return _number(0.0 if abs(value) <= self.noise else value)


def fraction_text(value: Fraction) -> str:
    """`3`, `8.5`, and `1/24` if three decimals are not exact."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):g}" if 1000 % value.denominator == 0 else f"{value.numerator}/{value.denominator}"


def _number(value: float) -> str:
    near = round(value, 9)
    return str(int(near)) if near == int(near) else f"{value:.4g}"  # and never -0


def _proof(proof: Sequence[Comparison], room: int) -> Block:
    """What y was compared with, and how many other numbers were compared."""
    answers = [one for one in proof if one.name == ANSWER]
    others = sum(one.compared for one in proof) - sum(one.compared for one in answers)
    apart = max(one.worst for one in proof)
    return _proved(
        all(one.holds for one in proof),
        f"all {answers[0].compared:,} outputs match {answers[0].against} and "
        f"{plural(len(answers) - 1, 'independent computation')}; {plural(others, 'intermediate value')} also checked"
        + ("" if apart == 0 else f" (at most {apart:.1g} apart, within their bounds)"),
        room,
    )


def _proved(holds: bool, text: str, room: int) -> Block:
    mark = Text("✓ ", style="green") if holds else Text("✗ ", style="red")
    return [(Text("  ") if i else mark) + Text(line) for i, line in enumerate(wrap(text, room - 2))]


def table(everyone: Sequence[Trace | NotHere], width: int) -> Iterator[Text]:
    """All algorithms, their work and their memory, and why some are missing."""
    traces = [one for one in everyone if isinstance(one, Trace)]
    yield from heading("ALL ALGORITHMS, SAME NUMBERS", "multiplications, additions, bytes", width)
    heads = ("mul", "add", "transforms", "weights", "moved", "extra", "")
    rows = [
        (
            _count(trace.counts.core.multiplications),
            _count(trace.counts.core.additions),
            _work(trace.counts.transform),
            _work(trace.counts.weights),
            _count(trace.moved_nbytes),
            _count(trace.extra_nbytes),
            "✓" if trace.holds else "✗",
        )
        for trace in traces
    ]
    names = [trace.name for trace in traces]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    label = max(map(len, names), default=0)
    for part in _split(widths, width - 2 - label) if rows else []:
        yield Text("  " + _row("", heads[part], label, widths[part]))
        for name, row in zip(names, rows, strict=True):
            yield Text("  " + _row(name, row[part], label, widths[part]))
    missing = [f"{one.name}: {one.why_not}." for one in everyone if isinstance(one, NotHere)]
    yield from _indented(remarks([*missing, *WORK_NOTES], width - 4))


def _split(widths: Sequence[int], room: int) -> Iterator[slice]:
    """Columns that fit next to each other; the others follow below. Those of one group stay together."""
    start = used = 0
    for first, end in GROUPS:
        width = sum(widths[first:end]) + 2 * (end - first)
        if used and used + width > room:
            yield slice(start, first)
            start, used = first, 0
        used += width
    yield slice(start, len(widths))


def _row(name: str, cells: Sequence[str], label: int, widths: Sequence[int]) -> str:
    return name.ljust(label) + "".join(f"  {text:>{size}}" for text, size in zip(cells, widths, strict=True))


def _count(value: int) -> str:
    return f"{value:,}" if value < 1_000_000 else amount(value, "").strip()


def _work(work: Work) -> str:
    if work == Work():
        return "–"
    return f"{_count(work.multiplications)} + {_count(work.additions)}"


def _indented(lines: Sequence[Text]) -> Iterator[Text]:
    return (Text("  ") + line for line in lines)


def _wrapped(text: str, room: int) -> Block:
    return [Text(line) for line in wrap(text, room)]


# The gradients.


def backward_page(found: Backward, width: int, letters: Letters = TORCH) -> Iterator[Text]:
    """The gradient of y, then dx by fold and dw by the patches, each with one number followed to its products."""
    spec = found.spec
    steps = (_given, _through_fold, _through_patches)
    yield from heading("BACKWARD", f"for a gradient g of y {tuple_text(spec.y_shape)}", width)
    for number, step in enumerate(steps, start=1):
        stage, body = step(found, width - 2, letters)
        yield from stage_lines(stage, f"{number}/{len(steps)}", width)
        yield from _indented(body)
    compared = sum(one.compared for one in found.proof)
    against = dict.fromkeys(one.against for one in found.proof if one.name in ("dx", "dw"))
    first, *others = against
    proof = (
        f"dx and dw match {first} and {plural(len(others), 'independent computation')}; {plural(compared, 'number')} "
        "checked in all"
    )
    yield from _indented(_proved(found.holds, proof, width - 2))
    notes = [
        f"Each gradient takes {plural(found.multiplications, 'multiplication')} with padding, the same as y.",
        "fold is the transpose of unfold, not its inverse: it sums where patches overlap.",
    ]
    if spec.n > 1:
        notes.append(f"dw sums over the {spec.n} images.")
    yield from _indented(remarks(notes, width - 4))


def _given(found: Backward, _room: int, _letters: Letters) -> tuple[AlgorithmStage, Block]:
    n, k = found.cell.n, found.cell.k
    used = _places(found.g[n, k].shape, [part.place[3:] for part in found.into_pixel if part.place[0] == k])
    channel = found.pixel[1]
    matrices = (
        Matrix(label=f"g[{n},{k}]", numbers=found.g[n, k], followed=used, role="output"),
        Matrix(
            label=f"w[{k},{found.tap[1]}]",
            numbers=found.w[k, found.tap[1]],
            followed=_places(found.w.shape[2:], [part.place[1:3] for part in found.into_pixel if part.place[0] == k]),
            role="kernel",
        ),
        Matrix(
            label=f"x[{n},{channel}]",
            numbers=found.x[n, channel],
            followed=_places(found.x.shape[2:], [found.pixel[2:]]),
            role="patch",
        ),
    )
    ones = "; all ones, as for Loss = y.sum()" if bool((found.g == 1).all()) else ""
    return AlgorithmStage(title="OPERANDS", formula=f"g = dLoss/dy{ones}", matrices=matrices), []


def _through_fold(found: Backward, room: int, letters: Letters) -> tuple[AlgorithmStage, Block]:
    spec, (n, channel, h, w) = found.spec, found.pixel
    names = tuple(
        f"({found.group * spec.c_per_group + c},{r},{s})"
        for c in range(spec.c_per_group)
        for r in range(spec.r)
        for s in range(spec.s)
    )
    inner = channel % spec.c_per_group * spec.r * spec.s
    own = found.own
    cells = [
        (inner + part.place[1] * spec.s + part.place[2], part.place[3] * spec.q + part.place[4])
        for part in found.into_pixel
    ]
    here = _places(found.dx.shape[2:], [(h, w)])
    matrices = (
        Matrix(label=letters.write(TAP), numbers=own, followed=_places(own.shape, cells), role="patch", rows=names),
        Matrix(label="overlaps", numbers=found.overlaps, followed=here, role="patch"),
        Matrix(label=f"dx[{n},{channel}]", numbers=found.dx[n, channel], followed=here, role="patch"),
    )
    stage = AlgorithmStage(
        title="dx = FOLD(wᵀ g)",
        formula="wᵀ g is the gradient of the patches; fold sums overlaps: a transposed convolution",
        matrices=matrices,
    )
    lead = f"dx[{n},{channel},{h},{w}] ="
    return stage, _sum(lead, found.into_pixel, KERNEL, found.dx[found.pixel].item(), PATCH, room)


def _through_patches(found: Backward, room: int, _letters: Letters) -> tuple[AlgorithmStage, Block]:
    k, c, r, s = found.tap
    stage = AlgorithmStage(
        title="dw = g · PATCHESᵀ",
        formula="for each weight: g times the pixel that it read, over all positions and images",
        matrices=(
            Matrix(
                label=f"dw[{k},{c}]",
                numbers=found.dw[k, c],
                followed=_places(found.dw.shape[2:], [(r, s)]),
                role="kernel",
            ),
        ),
    )
    lead = f"dw[{k},{c},{r},{s}] ="
    return stage, _sum(lead, found.into_tap, PATCH, found.dw[found.tap].item(), KERNEL, room)


def _sum(lead: str, parts: Sequence[GradientTerm], role: Role, total: float, of: Role, room: int) -> Block:
    words = [Text(lead)]
    for i, part in enumerate(parts[:PARTS]):
        plus = Text("+ " if i else "")
        words.append(plus + in_role(_number(part.operand), role) + in_role(_number(part.g), OUTPUT))
    if len(parts) > PARTS:
        words.append(Text(f"+ … {plural(len(parts) - PARTS, 'more product')}"))
    if not parts:
        words.append(Text("no product:"))
    return wrap_words([*words, Text("= ") + in_role(_number(total), of)], room)


def _places(shape: Sequence[int], places: Sequence[Sequence[int]]) -> "Tensor":
    import torch

    marked = torch.zeros(tuple(shape), dtype=torch.bool)
    for row, column in places:
        marked[row, column] = True
    return marked


# As JSON.


def algorithms_record(everyone: Sequence[Trace | NotHere]) -> list[dict[str, Any]]:
    """Every number of every algorithm as plain values.

    A complex one is [real, imaginary]; a fraction that no float represents is a string, "1/24".
    """
    return [asdict(one) if isinstance(one, NotHere) else _trace_record(one) for one in everyone]


def count_numbers(everyone: Sequence[Trace | NotHere]) -> int:
    """The approximate number of values in that record."""
    traces = [one for one in everyone if isinstance(one, Trace)]
    return sum(trace.y.numel() + sum(matrix.followed.numel() for matrix in trace.matrices) for trace in traces)


def backward_record(found: Backward) -> dict[str, Any]:
    """Every number of the gradients as plain values."""
    return {
        "g": found.g.tolist(),
        "columns": found.columns.tolist(),
        "overlaps": found.overlaps.tolist(),
        "dx": found.dx.tolist(),
        "dw": found.dw.tolist(),
        "pixel": found.pixel,
        "tap": found.tap,
        "output_padding": found.output_padding,
        "multiplications": found.multiplications,
        "into_pixel": [asdict(part) | {"product": part.product} for part in found.into_pixel],
        "into_tap": [asdict(part) | {"product": part.product} for part in found.into_tap],
        "proof": _proof_record(found.proof),
    }


def _trace_record(trace: Trace) -> dict[str, Any]:
    return {
        "name": trace.name,
        "title": trace.title,
        "idea": trace.idea,
        "source": trace.source,
        "stages": [
            {
                "title": stage.title,
                "formula": stage.formula,
                "facts": [asdict(fact) for fact in stage.facts],
                "matrices": [
                    {
                        "label": matrix.label,
                        "numbers": _plain(matrix.numbers),
                        "followed": matrix.followed.nonzero().tolist(),
                        "role": matrix.role,
                        "rows": matrix.rows,
                        "columns": matrix.columns,
                        "aside": None if matrix.aside is None else matrix.aside.tolist(),
                    }
                    for matrix in stage.matrices
                ],
            }
            for stage in trace.stages
        ],
        "y": trace.y.tolist(),
        "counts": asdict(trace.counts),
        "moved_nbytes": trace.moved_nbytes,
        "extra_nbytes": trace.extra_nbytes,
        "proof": _proof_record(trace.proof),
    }


def _plain(numbers: Numbers) -> list[Any]:
    import torch

    if isinstance(numbers, torch.Tensor):
        found: list[Any] = torch.view_as_real(numbers).tolist() if numbers.is_complex() else numbers.tolist()
        return found
    return [[float(one) if Fraction(float(one)) == one else str(one) for one in row] for row in numbers]


def _proof_record(proof: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [asdict(comparison) | {"holds": comparison.holds} for comparison in proof]
