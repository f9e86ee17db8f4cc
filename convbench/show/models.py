"""How does a whole model look as a table of its convolutions, in a pipe, as JSON, and as a suite?"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.errors import plural
from convbench.show.console import print_tabbed, result_console, side_console
from convbench.show.ledger import hanging
from convbench.show.pages import fit
from convbench.show.tables import plain_table
from convbench.show.units import amount, seconds
from convbench.suites import COLUMNS, MODEL_COLUMNS, PAIRS, SIZES

if TYPE_CHECKING:
    from convbench.models.calls import Shape
    from convbench.models.costs import ModelCosts, Row
    from convbench.models.forward import Census
    from convbench.models.reach import Extent

# From so many columns on a convolution is one line, and the rest of it is shown.
ONE_LINE_FROM, ALL_FROM = 110, 80
WOULD = "would run"  # "ran", if nothing was timed: the operands of this size were not convolved
# Each column's heading and least width.
WIDTHS = {
    "count": 5,
    "time": 8,
    "of time": 7,
    "": 8,
    "% of peak": 9,
    "MACs": 6,
    "share": 7,
    "FLOP/B": 6,
    "field": 9,
    "blow-up": 7,
    "ran": 8,
    WOULD: 9,
}
TIMED = ("count", "time", "of time", "", "% of peak", "MACs", "ran")
COUNTED = ("count", "MACs", "share", "FLOP/B", "field", "blow-up", WOULD)
NARROW = ("count", "time", "of time", "", "% of peak", "MACs", "share", "FLOP/B")  # of either, on a small terminal
BAR = 8
COLUMNS_PIPED = (
    "name spec kind count macs macs_total macs_share intensity field_low field_high field_exact blow_up ran time_share "
    "time_s low_s high_s undisturbed percent_of_ceiling bound dtype layout dgrads wgrads bias functional"
).split()
SUITE_COLUMNS = (*COLUMNS, "count", "macs", "pad_b", "pad_r", "pass", "dtype", "layout", "skip", *MODEL_COLUMNS)


def print_model(costs: "ModelCosts", said: Sequence[str] = (), *, by_time: bool = True) -> None:
    """Tables on a terminal; elsewhere rows on stdout, and the totals on stderr.

    Args:
        said: the advice, which comes last.
        by_time: the slowest first; otherwise in the order of the model.
    """
    console = result_console()
    if console.is_terminal:
        console.print(page(costs, console.width, said, by_time=by_time))
        return
    print_tabbed(console, COLUMNS_PIPED)
    for row in costs.by_time if by_time else costs.rows:
        print_tabbed(console, _piped(row, costs))
    for line in (*remarks(costs, piped=True), *said):
        side_console().print(line, markup=False)


def page(costs: "ModelCosts", width: int, said: Sequence[str] = (), *, by_time: bool = True) -> RenderableType:
    """The table, the totals and the advice, no wider than `width` (from 60 to 120)."""
    width = fit(width)
    title = Text.assemble((costs.model, "bold"), (f"  {_origin(costs)}", "dim"))
    rows = costs.by_time if by_time else costs.rows
    cells = {row: _cells(row, costs) for row in rows}
    mixed = len({(row.shape.dtype, row.shape.layout) for row in rows}) > 1
    shown = [
        name
        for name in (TIMED if costs.time_s is not None else COUNTED)
        if (width >= ALL_FROM or name in NARROW) and any(cells[row][name] for row in rows)
    ]
    one_line = width >= ONE_LINE_FROM and _width(cells, shown, mixed=mixed) <= width
    table = _wide(cells, shown, mixed=mixed) if one_line else _blocks(cells, shown, width, mixed=mixed)
    parts = [title, table, Text(), *hanging(remarks(costs), width)]
    return Group(*parts, *([Text(), *(Text(line) for line in wrap(" ".join(said), width - 1))] if said else []))


def remarks(costs: "ModelCosts", *, piped: bool = False) -> Iterator[str]:
    """The totals, and what the table cannot show: what is not a problem here, what was not counted, what is a bound."""
    found, total = costs.census, amount(costs.macs, "MAC")
    distinct = f"{len(costs.rows)} of them distinct" if len(costs.rows) < len(found.calls) else "all distinct"
    yield f"{plural(len(found.calls), 'convolution')}, {distinct}: {total} ({costs.macs:,}), padding counted"
    if found.torch_macs is not None:
        counted = found.torch_macs + found.torch_gradient_macs
        yield f"torch's FlopCounterMode counts {'the same' if costs.torch_agrees else f'{counted:,} for them'}"
        if costs.torch_agrees and costs.training and counted != sum(costs.macs_by_pass.values()):
            yield f"but {counted:,} with gradients: it takes the wgrad of a grouped convolution for that of a dense one"
        if costs.conv_share is not None:
            rest = ", ".join(f"{op.removeprefix('aten.')} {amount(macs, 'MAC')}" for op, macs in found.other_macs)
            share = _percent(costs.conv_share)
            whose = "the MACs that were counted" if found.uncounted else "the model's MACs"
            yield f"{share} of {whose} are convolutions{f'; the rest: {rest}' if rest else ''}"
    if costs.training:
        by_pass = costs.macs_by_pass
        parts = ", ".join(f"{name} {amount(macs, 'MAC')}" for name, macs in by_pass.items())
        whole = sum(by_pass.values())
        yield f"a training step: {amount(whole, 'MAC')} ({whole:,}): {parts}"
        if without := [call.name for call in found.calls if not call.dgrad]:
            whose = without[0] if len(without) == 1 else f"{plural(len(without), 'convolution')}, first {without[0]}"
            yield f"no dgrad: {whose}, whose input needs no gradient"
    if kinds := _kinds(costs):
        yield kinds
    if costs.conv_time_share is not None:
        passes = f"{costs.passes} pass{'es' * (costs.passes != 1)}"
        step = "of a training step " if costs.training else ""
        yield (
            f"time {step}on this CPU, {plural(costs.threads, 'thread')}: median of the undisturbed calls of {passes}; "
            f"the convolutions take {seconds(costs.time_s)}, {_percent(costs.conv_time_share)} of all operators' time"
        )
        if any(row.noisy for row in costs.rows):
            from convbench.models.timing import ENOUGH

            few = f"undisturbed below {ENOUGH}" if piped else "~"  # a mark would make text of a number
            yield f"{few}: too few undisturbed samples; the time is not to be trusted, and its % of peak is left out"
        if any(row.percent is not None for row in costs.rows):
            yield "% of peak: of the roofline of this machine, by convbench ceilings"
    if costs.unmeasured:
        yield f"not timed: {costs.unmeasured}"
    if any(row.ran and any(row.shape.spec.surplus) for row in costs.problems):
        yield (
            f"{WOULD if costs.time_s is None else 'ran'}: torch pads opposite sides equally; if they differ, x is "
            f"padded first with F.pad, whose own kernel and copy are not included"
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
    if costs.time_s is not None:  # its columns leave no room for the field
        yield from _ran_on_the_cpu(found)
        return
    if any(row.shape.blow_up is not None for row in costs.rows):
        yield "blow-up: size of the patch matrix / size of x"
    if any(row.field is None for row in costs.rows):
        yield "field: receptive field, input pixels that one output sees; empty if not followed"
    else:
        yield "field: receptive field, input pixels that one output sees, along its longer axis; all: the whole input"
    if any(not extent.exact for row in costs.rows for call in row.calls for extent in call.field or ()):
        yield "field <=: an upper bound, behind operators that crop, shuffle or interpolate the image"
    if found.unfollowed:
        ops = ", ".join(f"{op} ({count})" for op, count in found.unfollowed)
        yield f"behind these operators the only bound on the field is the whole input: {ops}"
    yield from _ran_on_the_cpu(found)


def _ran_on_the_cpu(found: "Census") -> Iterator[str]:
    if found.why_not_meta:
        yield f"run on the CPU, because the meta device does not work: {found.why_not_meta}"


def _kinds(costs: "ModelCosts") -> str:
    """The dtypes and layouts, where they are not the usual ones."""
    kinds = Counter((call.shape.dtype, call.shape.layout) for call in costs.census.calls)
    if set(kinds) <= {("fp32", "nchw")}:
        return ""
    words = [f"{number} in {dtype}{' channels_last' * (layout == 'nhwc')}" for (dtype, layout), number in kinds.items()]
    return f"the convolutions run {', '.join(words)}"


def record(costs: "ModelCosts", said: Sequence[str] = (), *, by_time: bool = True) -> dict[str, Any]:
    """Everything as plain values."""
    found = costs.census
    return {
        "model": costs.model,
        "origin": costs.origin,
        "inputs": [list(one.shape) for one in costs.inputs],
        "input": ",".join(map(str, costs.inputs)),
        "convolutions": len(found.calls),
        "macs": costs.macs,
        "macs_by_torch": found.torch_macs,
        "other_macs": dict(found.other_macs),
        "conv_share_of_macs": costs.conv_share,
        "macs_by_pass": costs.macs_by_pass if costs.training else None,
        "conv_share_of_time": costs.conv_time_share,
        "time_s": costs.time_s,
        "other_s": dict(costs.others_s),
        "disturbed": costs.disturbed if costs.time_s is not None else None,
        "threads": costs.threads,
        "passes": costs.passes,
        "not_timed": costs.unmeasured,
        "not_counted": [{"operator": op, "module": module} for op, module in found.uncounted],
        "field_unfollowed": dict(found.unfollowed),
        "device": found.device,
        "why_not_meta": found.why_not_meta,
        "rows": [
            dict(zip(COLUMNS_PIPED, _piped(row, costs), strict=True)) | {"names": [call.name for call in row.calls]}
            for row in (costs.by_time if by_time else costs.rows)
        ],
        "advice": list(said),
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
        "dtype": shape.dtype if shape.dtype != "fp32" else "",
        "layout": shape.layout if shape.layout != "nchw" else "",
    }


def _problem(shape: "Shape", *, mixed: bool) -> str:
    """Its text; with dtype and layout, if those of the model differ."""
    text = f"dgrad of {shape}" if shape.transposed and shape.why_no_spec is None else str(shape)
    return f"{text} {shape.dtype} {shape.layout}" if mixed else text


def source(costs: "ModelCosts") -> str:
    """`torchvision 0.29.2 resnet50 input 1x3x224x224`."""
    shapes = ",".join(map(str, costs.inputs))
    return f"{costs.origin} {costs.model} input {shapes}"


def _origin(costs: "ModelCosts") -> str:
    return source(costs).replace(f" {costs.model} ", " ", 1)


Cells = Mapping["Row", Mapping[str, Text]]


def _width(cells: Cells, shown: Sequence[str], *, mixed: bool) -> int:
    """Of the table in which each convolution is a line, with whole names and problems."""
    names = max(len(row.name) for row in cells), max(len(_problem(row.shape, mixed=mixed)) for row in cells)
    others = (max(len(name), *(len(own[name]) for own in cells.values())) for name in shown)
    return sum(one + 2 for one in (*names, *others))


def _wide(cells: Cells, shown: Sequence[str], *, mixed: bool) -> Table:
    table = plain_table()
    table.add_column("convolution", no_wrap=True)
    table.add_column("problem", no_wrap=True)
    for name in shown:
        table.add_column(name, justify=_side(name), no_wrap=True)
    for row, own in cells.items():
        table.add_row(
            Text(row.name, "bold"), Text(_problem(row.shape, mixed=mixed), "dim"), *(own[name] for name in shown)
        )
    return table


def _side(name: str) -> Literal["left", "right"]:
    return "right" if name else "left"


def _blocks(cells: Cells, shown: Sequence[str], width: int, *, mixed: bool) -> Group:
    """Each convolution and its numbers below; what torch ran takes the room that is left."""
    widths = {name: WIDTHS[name] for name in shown}
    for name in {"ran", WOULD} & set(widths):
        spare = width - sum(one + 1 for one in widths.values()) - 2
        longest = max((len(own[name]) for own in cells.values()), default=0)
        widths[name] = max(widths[name], min(longest, widths[name] + spare))
    parts: list[RenderableType] = [_line({name: Text(name, "dim") for name in WIDTHS}, widths)]
    for row, own in cells.items():
        parts += [
            Text.assemble((row.name, "bold"), (f"  {_problem(row.shape, mixed=mixed)}", "dim")),
            _line(own, widths),
        ]
    return Group(*parts)


def _line(cells: Mapping[str, Text], widths: Mapping[str, int]) -> Table:
    """Columns of fixed width, so the lines are below one another."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(width=1)
    for name, width in widths.items():
        table.add_column(width=width, justify=_side(name), no_wrap=True, overflow="ellipsis")
    table.add_row("", *(cells[name] for name in widths))
    return table


def _cells(row: "Row", costs: "ModelCosts") -> dict[str, Text]:
    shape, low_high, share, percent = row.shape, row.field, row.time_share, row.percent
    most = max((one.time_share or 0.0 for one in costs.rows), default=0.0)
    return {
        "count": Text(str(row.count)),
        "time": Text(f"{'~' * row.noisy}{seconds(row.time_s)}"),
        "of time": Text("" if share is None else _percent(share)),
        "": Text("" if share is None or not most else _bar(share / most), "dim" if row.noisy else ""),
        "% of peak": Text("" if percent is None else f"{percent:.0f} %"),
        "MACs": Text(amount(row.macs, "").strip()),
        "share": Text(_percent(row.macs / costs.macs) if costs.macs else ""),
        "FLOP/B": Text(f"{shape.intensity:.3g}"),
        "field": Text("" if low_high is None else _field(*low_high)),
        "blow-up": Text("" if shape.blow_up is None else f"{shape.blow_up:.3g}"),
        "ran": Text(row.ran),
        WOULD: Text(row.ran),
    }


def _bar(share: float) -> str:
    """Eighths of a cell, so that two bars that differ by little still differ."""
    whole, part = divmod(round(share * BAR * 8), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[part] * bool(part)


def _field(low: "Extent", high: "Extent") -> str:
    ends = ["all" if one.whole else str(one.size) for one in (low, high)]
    bound = "" if low.exact and high.exact else "<="
    return bound + ("-".join(ends) if ends[0] != ends[1] else ends[0])


def _piped(row: "Row", costs: "ModelCosts") -> list[str | float | None]:
    shape, field = row.shape, row.field
    low_s, high_s = row.ends_s or (None, None)
    ends = (None, None) if field is None else tuple("all" if one.whole else one.size for one in field)
    return [
        row.name,
        str(shape),
        shape.kind,
        row.count,
        shape.macs,
        row.macs,
        row.macs / costs.macs if costs.macs else None,
        shape.intensity,
        *ends,
        None if field is None else all(one.exact for one in field),
        shape.blow_up,
        row.ran,
        row.time_share,
        row.time_s,
        low_s,
        high_s,
        row.clean if row.times else None,
        row.percent,
        row.bound,
        shape.dtype,
        shape.layout,
        *(
            (sum(call.dgrad for call in row.calls), sum(call.wgrad for call in row.calls))
            if costs.training
            else ("", "")
        ),
        row.calls[0].bias,
        row.calls[0].functional,
    ]


def _percent(share: float) -> str:
    """0 and 100 % only if exact."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 <= share < 1 else f"{share:.1%}".replace("%", " %")
