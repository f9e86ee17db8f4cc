"""How does a whole model look as a table of its convolutions, in a pipe, as JSON, and as a suite?"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.show.console import print_tabbed, result_console, side_console
from convbench.show.grid import plural
from convbench.show.ledger import hanging
from convbench.show.pages import fit
from convbench.show.tables import plain_table
from convbench.show.units import amount
from convbench.suites import COLUMNS, MODEL_COLUMNS, PAIRS, SIZES

if TYPE_CHECKING:
    from convbench.models.calls import Shape
    from convbench.models.costs import ModelCosts, Row
    from convbench.models.reach import Extent

# From so many columns on a convolution is one line, and the rest of it is shown.
ONE_LINE_FROM, ALL_FROM = 110, 80
HEADINGS = ("times", "MACs", "share", "FLOP/B", "field", "blow-up", "ran", "time")
WIDTHS = (5, 6, 7, 6, 9, 7, 8, 7)
FEW = (0, 1, 2, 3, 4, 7)
COLUMNS_PIPED = (
    "name spec kind count macs macs_total macs_share intensity field_low field_high field_exact blow_up ran time_share "
    "bias functional"
).split()
SUITE_COLUMNS = (*COLUMNS, "count", "macs", "pad_b", "pad_r", "pass", "skip", *MODEL_COLUMNS)


def print_model(costs: "ModelCosts") -> None:
    """Tables on a terminal; elsewhere rows on stdout, and the totals on stderr."""
    console = result_console()
    if console.is_terminal:
        console.print(page(costs, console.width))
        return
    print_tabbed(console, COLUMNS_PIPED)
    for row in costs.rows:
        print_tabbed(console, _piped(row, costs))
    for line in remarks(costs):
        side_console().print(line, markup=False)


def page(costs: "ModelCosts", width: int) -> RenderableType:
    """The table and the totals, no wider than `width` (from 60 to 120)."""
    width = fit(width)
    title = Text.assemble((costs.model, "bold"), (f"  {_origin(costs)}", "dim"))
    shown = [number for number in (range(len(HEADINGS)) if width >= ALL_FROM else FEW) if _told(number, costs)]
    one_line = width >= ONE_LINE_FROM and _width(costs, shown) <= width
    table = _wide(costs, shown) if one_line else _blocks(costs, shown, width)
    return Group(title, table, Text(), *hanging(remarks(costs), width))


def _told(number: int, costs: "ModelCosts") -> bool:
    """A column in which there is something."""
    return HEADINGS[number] not in ("ran", "time") or any(_cells(row, costs)[number] for row in costs.rows)


def remarks(costs: "ModelCosts") -> Iterator[str]:
    """The totals, and what the table cannot show: what is not a problem here, what was not counted, what is a bound."""
    found, total = costs.census, amount(costs.macs, "MAC")
    distinct = f"{len(costs.rows)} of them distinct" if len(costs.rows) < len(found.calls) else "all distinct"
    yield f"{plural(len(found.calls), 'convolution')}, {distinct}: {total} ({costs.macs:,}), padding counted"
    if found.torch_macs is not None:
        agrees = found.torch_macs == costs.macs
        yield f"torch's FlopCounterMode counts {'the same' if agrees else f'{found.torch_macs:,} for them'}"
        if costs.conv_share is not None:
            rest = ", ".join(f"{op.removeprefix('aten.')} {amount(macs, 'MAC')}" for op, macs in found.other_macs)
            share = _percent(costs.conv_share)
            whose = "the MACs that were counted" if found.uncounted else "the model's MACs"
            yield f"{share} of {whose} are convolutions{f'; the rest: {rest}' if rest else ''}"
    if costs.conv_time_share is not None:
        passes = f"{costs.passes} pass{'es' * (costs.passes != 1)}"
        yield (
            f"time: share of the convolutions' total, median of {passes} on the CPU; they take "
            f"{_percent(costs.conv_time_share)} of the time of all operators"
        )
    if costs.unmeasured:
        yield f"not timed: {costs.unmeasured}"
    if any(row.ran and any(row.shape.spec.surplus) for row in costs.problems):
        yield (
            "ran: torch pads opposite sides equally; if they differ, x is padded first with F.pad, whose own "
            "kernel and copy are not included"
        )
    for why, count in costs.others.items():
        yield f"{plural(count, 'convolution')} counted here, but not a problem for bench or verify: {why}"
    if found.complex_calls:
        yield (
            f"{plural(found.complex_calls, 'complex convolution')}, counted as the real ones that torch turns them into"
        )
    if padded := [call.name for call in found.calls if call.padded]:
        many = plural(len(padded), "convolution")
        yield f"{many} on an image that the model pads with zeros, shown with that padding, first {padded[0]}"
    for op in dict.fromkeys(op for op, _ in found.uncounted):
        where = [module or "the model itself" for one, module in found.uncounted if one == op]
        yield f"NOT COUNTED: {op}, {plural(len(where), 'time')}, first in {where[0]}"
    if any(call.functional for call in found.calls):
        names = [call.name for call in found.calls if call.functional]
        yield f"{plural(len(names), 'call')} without an nn.Conv module, first {names[0]}"
    if any(row.field is None for row in costs.rows):
        yield "field: receptive field, input pixels that one output sees; empty if not followed"
    else:
        yield "field: receptive field, input pixels that one output sees, along its longer axis; all: the whole input"
    if any(not extent.exact for row in costs.rows for call in row.calls for extent in call.field or ()):
        yield "field <=: an upper bound, behind operators that crop, shuffle or interpolate the image"
    if found.unfollowed:
        ops = ", ".join(f"{op} ({count})" for op, count in found.unfollowed)
        yield f"behind these operators the only bound on the field is the whole input: {ops}"
    if found.why_not_meta:
        yield f"run on the CPU, because the meta device does not work: {found.why_not_meta}"


def record(costs: "ModelCosts") -> dict[str, Any]:
    """Everything as plain values."""
    found = costs.census
    return {
        "model": costs.model,
        "origin": costs.origin,
        "inputs": [list(shape) for shape in costs.inputs],
        "convolutions": len(found.calls),
        "macs": costs.macs,
        "macs_by_torch": found.torch_macs,
        "other_macs": dict(found.other_macs),
        "conv_share_of_macs": costs.conv_share,
        "conv_share_of_time": costs.conv_time_share,
        "passes": costs.passes,
        "not_timed": costs.unmeasured,
        "not_counted": [{"operator": op, "module": module} for op, module in found.uncounted],
        "field_unfollowed": dict(found.unfollowed),
        "device": found.device,
        "why_not_meta": found.why_not_meta,
        "rows": [
            dict(zip(COLUMNS_PIPED, _piped(row, costs), strict=True)) | {"names": [call.name for call in row.calls]}
            for row in costs.rows
        ],
    }


def write_suite(costs: "ModelCosts", file: TextIO) -> None:
    """The table as a suite for `bench` and `verify`; a transposed convolution is the dgrad that it is.

    One that is no problem of theirs has no sizes, and says why in `skip`.
    """
    out = csv.DictWriter(file, SUITE_COLUMNS, lineterminator="\n")
    out.writeheader()
    for row in costs.rows:
        piped = dict(zip(COLUMNS_PIPED, _piped(row, costs), strict=True))
        cells: dict[str, str | float | None] = {column: piped[column] for column in MODEL_COLUMNS}
        # Before a * a name ends, and its number of times follows.
        cells |= {"name": row.name.replace("*", "x"), "source": source(costs), "count": row.count}
        out.writerow(cells | {"macs": row.shape.macs} | _suite_cells(row.shape))


def _suite_cells(shape: "Shape") -> dict[str, str | int]:
    """The sizes of the problem, or why it is none."""
    if (why := shape.why_no_spec) is not None:
        return {"skip": why}
    spec = shape.spec
    pairs = zip(PAIRS, (spec.stride, spec.padding, spec.dilation), strict=True)
    bottom, right = spec.padding_end or ("", "")
    return {
        **{size: getattr(spec, size) for size in SIZES},
        **{column: side for columns, pair in pairs for column, side in zip(columns, pair, strict=True)},
        "pad_b": bottom,
        "pad_r": right,
        "groups": spec.groups,
        "pass": shape.pass_ if shape.transposed else "",
    }


def _problem(shape: "Shape") -> str:
    return f"dgrad of {shape}" if shape.transposed and shape.why_no_spec is None else str(shape)


def source(costs: "ModelCosts") -> str:
    """`torchvision 0.29.2 resnet50 input 1x3x224x224`."""
    shapes = ",".join("x".join(map(str, shape)) for shape in costs.inputs)
    return f"{costs.origin} {costs.model} input {shapes}"


def _origin(costs: "ModelCosts") -> str:
    return source(costs).replace(f" {costs.model} ", " ", 1)


def _width(costs: "ModelCosts", shown: Sequence[int]) -> int:
    """Of the table in which each convolution is a line, with whole names and problems."""
    rows = [(row.name, _problem(row.shape), *map(str, _cells(row, costs))) for row in costs.rows]
    headings: tuple[str, ...] = ("convolution", "problem", *HEADINGS)
    columns = (0, 1, *(number + 2 for number in shown))
    return sum(max(len(row[number]) for row in (headings, *rows)) + 2 for number in columns)


def _wide(costs: "ModelCosts", shown: Sequence[int]) -> Table:
    table = plain_table()
    table.add_column("convolution", no_wrap=True)
    table.add_column("problem", no_wrap=True)
    for number in shown:
        table.add_column(HEADINGS[number], justify="right", no_wrap=True)
    for row in costs.rows:
        cells = _cells(row, costs)
        table.add_row(Text(row.name, "bold"), Text(_problem(row.shape), "dim"), *(cells[number] for number in shown))
    return table


def _blocks(costs: "ModelCosts", shown: Sequence[int], width: int) -> Group:
    """Each convolution and its numbers below; what torch ran takes the room that is left."""
    widths = dict(enumerate(WIDTHS))
    spare = width - sum(widths[number] + 1 for number in shown) - 2
    ran = HEADINGS.index("ran")
    longest = max((len(row.ran) for row in costs.rows), default=0)
    widths[ran] = max(widths[ran], min(longest, widths[ran] + spare))
    columns = {number: widths[number] for number in shown}
    parts: list[RenderableType] = [_line([Text(name, "dim") for name in HEADINGS], columns)]
    for row in costs.rows:
        parts += [
            Text.assemble((row.name, "bold"), (f"  {_problem(row.shape)}", "dim")),
            _line(_cells(row, costs), columns),
        ]
    return Group(*parts)


def _line(cells: Sequence[Text], widths: Mapping[int, int]) -> Table:
    """Columns of fixed width, so the lines are below one another."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(width=1)
    for width in widths.values():
        table.add_column(width=width, justify="right", no_wrap=True, overflow="ellipsis")
    table.add_row("", *(cells[number] for number in widths))
    return table


def _cells(row: "Row", costs: "ModelCosts") -> list[Text]:
    shape = row.shape
    low_high = row.field
    return [
        Text(str(row.count)),
        Text(amount(row.macs, "").strip()),
        Text(_percent(row.macs / costs.macs) if costs.macs else ""),
        Text(f"{shape.intensity('fp32'):.3g}"),
        Text("" if low_high is None else _field(*low_high)),
        Text("" if shape.blow_up is None else f"{shape.blow_up:.3g}"),
        Text(row.ran),
        Text("" if row.time_share is None else _percent(row.time_share)),
    ]


def _field(low: "Extent", high: "Extent") -> str:
    ends = ["all" if one.whole else str(one.size) for one in (low, high)]
    bound = "" if low.exact and high.exact else "<="
    return bound + ("-".join(ends) if ends[0] != ends[1] else ends[0])


def _piped(row: "Row", costs: "ModelCosts") -> list[str | float | None]:
    shape, field = row.shape, row.field
    ends = (None, None) if field is None else tuple("all" if one.whole else one.size for one in field)
    return [
        row.name,
        str(shape),
        shape.kind,
        row.count,
        shape.macs,
        row.macs,
        row.macs / costs.macs if costs.macs else None,
        shape.intensity("fp32"),
        *ends,
        None if field is None else all(one.exact for one in field),
        shape.blow_up,
        row.ran,
        row.time_share,
        row.calls[0].bias,
        row.calls[0].functional,
    ]


def _percent(share: float) -> str:
    """0 and 100 % only if exact."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 <= share < 1 else f"{share:.1%}".replace("%", " %")
