"""A comparison of two files as a table, as tab-separated rows, and in sentences."""

from collections.abc import Iterator, Sequence
from math import inf, log
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.backend import BASELINE
from convbench.bench.shift import Shift
from convbench.case import RowKey
from convbench.compare import Apart, Changes, Gate, RowChange
from convbench.errors import percent, plural
from convbench.show.tables import plain_table
from convbench.show.units import seconds

STYLE = {
    "faster": "green",
    "slower": "yellow",
    "same": "cyan",
    "undecided": "dim",
    "regression": "bold red",
}
COLUMNS = (
    "suite name spec device threads dtype layout precision pass epilogue backend outcome_before outcome_after "
    "median_before_s median_after_s ratio ratio_low ratio_high to_torch to_torch_low to_torch_high verdict gate reason"
).split()
TIME, SPEED = "time before/after", "vs torch after/before"  # the headings of the two factors
ORDER = ("regression", "undecided", "ok")


def factor(found: Shift | None, *, interval: bool = True) -> str:
    """`0.952 (0.941-0.960)`; `0.952 (no bound)` if there are too few samples for the confidence."""
    if found is None:
        return ""
    if not interval:
        return _digits(found.ratio)
    known = _bounded(found)
    return f"{_digits(found.ratio)} ({f'{_digits(found.low)}-{_digits(found.high)}' if known else 'no bound'})"


def _bounded(found: Shift) -> bool:
    return found.low > 0 and found.high < inf


def _digits(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.4g}"


def headline(changes: Changes) -> str:
    """The answer in one sentence."""
    gate, rows = changes.gate, len(changes.rows)
    broken = sum(one.regression for one in changes.apart)
    counts = {state: sum(row.state == state for row in changes.rows) for state in ORDER}
    beyond = f"slower by more than {percent(gate.allowance)}"
    match changes.state:
        case "regression":
            parts = [f"{counts['regression']} of {rows} rows {beyond}"] if counts["regression"] else []
            parts += [f"{broken} became wrong or failed"] if broken else []
            parts += [f"{counts['undecided']} undecided"] if counts["undecided"] else []
            return f"REGRESSION: {', '.join(parts)}"
        case "undecided":
            counted = f"; counts as a {gate.undecided} (--undecided)" if gate.undecided else ""
            unjudged = f"the gate of {counts['undecided']} of {plural(rows, 'row')}"
            limit = f"{percent(gate.allowance)} slower"
            return f"UNDECIDED: {unjudged} (limit: {limit}); none is a certain regression{counted}"
        case "nothing":
            return "NOTHING COMPARED: no row was timed, or verified, in both files"
    what = f"none of {rows} rows is {beyond}" if rows else ""
    right = f"{changes.verified} verified in both files" if changes.verified else ""
    return f"OK: {'; '.join(part for part in (what, right) if part)}"


def remarks(changes: Changes) -> list[str]:
    """What else the reader must know: different machines, different versions, drift."""
    found = []
    if changes.machine:
        found.append(f"WARNING: different machines: {'; '.join(map(str, changes.machine))}")
    elif changes.anonymous:
        found.append("anonymous: only CPU, GPU and threads show whether both files are from the same machine")
    drift = changes.drift
    if changes.drifted and drift is not None:
        what = (
            "the ratios to torch hide it"
            if changes.gate.relative
            else "the machine drifted, or torch changed; --relative compares ratios to torch"
        )
        where = f"its interval beyond the margin in {drift.moved} of {plural(drift.cases, 'case')}"
        if doubted := sum(_doubted(row, changes.gate) for row in changes.rows):
            where += f" ({doubted} undecided, see the notes)"
        if not drift.moved:
            where = "though no single case is significant"
        found.append(f"WARNING: torch itself {_overall(drift.factor)}, {where}: {what}")
    elif drift is not None and abs(log(drift.factor.ratio)) > log(1 + changes.gate.margin):
        found.append(
            f"torch itself: {TIME} {factor(drift.factor)} overall, too uncertain to say whether the machine drifted"
        )
    if changes.versions:
        found.append("versions: " + "; ".join(map(str, changes.versions)))
    return found


def _doubted(row: RowChange, gate: Gate) -> bool:
    """Is it a row of torch whose interval is beyond the margin, and which is undecided for another reason?"""
    beyond = gate.verdict(row.judged) in ("faster", "slower")
    return row.key.backend == BASELINE and row.verdict == "undecided" and beyond


def _overall(found: Shift) -> str:
    """`is slower overall (time before/after: 0.885)`, as the column of that name has it."""
    if found.ratio == 1:
        return "is as fast as before overall"
    return f"is {'slower' if found.ratio < 1 else 'faster'} overall ({TIME}: {_digits(found.ratio)})"


def method(changes: Changes) -> str:
    """What the columns are, and how they were computed."""
    gate = changes.gate
    if gate.relative:
        what = (
            f"{SPEED}: by what factor the speed relative to torch changed (>1: faster), from the rounds of each file; "
            f"it decides change and gate, except in rows that a note below calls undecided."
        )
    else:
        what = (
            f"{TIME}: estimated ratio (>1: faster), from the medians of batches of rounds, so it can differ from "
            f"the ratio of the medians shown; it decides change and gate, except in rows that a note below calls "
            f"undecided."
        )
    rule = (
        f"change: 'same' is within {percent(gate.margin)}. gate: slower by more than {percent(gate.allowance)} is a "
        f"REGRESSION."
    )
    lines = [f"{what} Joint confidence {percent(gate.confidence)}, not counting machine drift. {rule}"]
    shifts = [one for row in changes.rows for one in (row.time, row.to_torch) if one is not None]
    if any(not _bounded(one) for one in shifts):
        lines.append("no bound: too few samples for this confidence.")
    if any(row.noisy for row in changes.rows):
        lines.append("~ too few clean samples.")
    return " ".join(lines)


def apart_lines(changes: Changes) -> list[str]:
    """What could not be compared: failures in full, the rest counted by outcome."""
    lines = [
        f"{one.after.upper()} {one.key.backend} on {one.key.name} ({one.key.case.spec}; {one.key.axes}), "
        f"was {one.before}: {one.reason}"
        for one in changes.apart
        if one.regression
    ]
    groups: dict[tuple[str, str, str], list[Apart]] = {}
    for one in changes.apart:
        if not one.regression:
            groups.setdefault((one.before, one.after, one.key.backend), []).append(one)
    for (_, _, backend), group in groups.items():
        first = group[0]
        cases = first.key.name if len(group) == 1 else f"{len(group)} cases, e.g. {first.key.name}"
        lines.append(f"{apart_words(first)}: {backend} on {cases}" + (f": {first.reason}" if first.reason else ""))
    return lines


def note_lines(changes: Changes) -> list[str]:
    """Why rows were not decided or what else is to know about them, counted by what it is."""
    groups: dict[str, list[RowChange]] = {}
    for row in changes.rows:
        if row.note:
            groups.setdefault(row.note, []).append(row)
    lines = []
    for note, group in groups.items():
        first = f"{group[0].key.backend} on {group[0].key.name}"
        lines.append(f"{note}: {first if len(group) == 1 else f'{len(group)} rows, e.g. {first}'}")
    return lines


def apart_words(one: Apart) -> str:
    """What happened to a row without times to compare."""
    if not one.before or not one.after:
        return f"only in the {'first' if one.before else 'second'} file ({one.before or one.after})"
    return f"{one.before} in both" if one.before == one.after else f"{one.before}, then {one.after}"


def gate_title(gate: Gate) -> str:
    """`gate (5 %)`."""
    return f"gate ({percent(gate.allowance)})"


def changes_table(changes: Changes, *, width: int) -> Group:
    """The rows under a heading for each case, then each backend as a whole."""
    relative = changes.gate.relative
    judged = 4 if relative else 3  # the column that decides is always there
    longest = max([_WIDTHS[0], *(len(row.key.backend) + 2 for row in changes.rows)])
    choices: list[Sequence[int]] = [range(7), (0, 1, 2, judged, 5, 6), (0, judged, 5, 6)]
    needs = [longest + sum(_WIDTHS[number] + 1 for number in columns[1:]) for columns in choices]
    shown, need = next((one for one in zip(choices, needs, strict=True) if one[1] <= width), (choices[-1], needs[-1]))
    name = max(_WIDTHS[0], longest - max(0, need - width))  # only a name is cut, and only if not even four columns fit
    both = (
        ""
        if relative or 4 not in shown
        else f" {SPEED}: by what factor the speed relative to torch changed (>1: faster)."
    )
    parts: list[RenderableType] = [Text(f"{method(changes)}{both}", "dim")]
    headings = ["", "before", "after", TIME, SPEED, "change", gate_title(changes.gate)]
    if changes.rows:
        parts.append(_lines([[Text(word, "dim") for word in headings]], shown, name))
    blocks: dict[RowKey, list[RowChange]] = {}
    for row in changes.rows:
        blocks.setdefault(row.key.block, []).append(row)
    several = len({key.axes for key in blocks}) > 1
    for key, block in blocks.items():
        heading = Text.assemble((f"{key.suite}:{key.name}" if key.suite != "shape" else key.name, "bold"))
        heading.append("  " + key.case.spec if key.case.spec != key.name else "", "dim")
        heading.append("  " + key.axes if several else "", "cyan")
        parts += [heading, _lines([_cells(row) for row in block], shown, name)]
    if changes.wholes:
        table = plain_table()
        table.add_column("geometric mean", no_wrap=True, min_width=17)
        table.add_column(SPEED if relative else TIME, justify="right", no_wrap=True)
        table.add_column("rows", justify="right")
        for whole in changes.wholes:
            table.add_row(Text(whole.backend), factor(whole.factor), str(whole.rows))
        parts.append(table)
    return Group(*parts)


_WIDTHS = (17, 8, 8, 19, 21, 9, 12)
_LEFT = (0, 5, 6)


def _lines(rows: Sequence[Sequence[Text]], shown: Sequence[int], name: int) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    for number in shown:
        width = _WIDTHS[number] if number else name
        justify: Literal["left", "right"] = "left" if number in _LEFT else "right"
        table.add_column(width=width, justify=justify, overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    return table


def _cells(row: RowChange) -> list[Text]:
    return [
        Text("  " + row.key.backend),
        Text("~" * ("before" in row.noisy) + seconds(row.before_s)),
        Text("~" * ("after" in row.noisy) + seconds(row.after_s)),
        Text(factor(row.time)),
        Text(factor(row.to_torch)),
        Text(row.verdict, STYLE[row.verdict]),
        Text("REGRESSION" if row.state == "regression" else row.state, STYLE.get(row.state, "")),
    ]


def changes_rows(changes: Changes) -> Iterator[list[str | float | None]]:
    """The cells of COLUMNS for each row, compared or not."""
    for row in changes.rows:
        to_torch = row.to_torch
        yield [
            *key_cells(row.key).values(),
            "timed",
            "timed",
            row.before_s,
            row.after_s,
            *(row.time.ratio, row.time.low, row.time.high),
            *((to_torch.ratio, to_torch.low, to_torch.high) if to_torch else (None,) * 3),
            row.verdict,
            row.state,
            "; ".join(filter(None, (row.note, _open(row, changes.gate)))),
        ]
    for one in changes.apart:
        state = "regression" if one.regression else ""
        yield [
            *key_cells(one.key).values(),
            one.before,
            one.after,
            *(None,) * 9,
            state,
            one.reason or apart_words(one),
        ]


def _open(row: RowChange, gate: Gate) -> str:
    """Why its interval does not decide the result: `the interval 0.736 to 0.956 reaches above 0.952`; "" if it does."""
    found = row.judged
    if gate.state(found) != "undecided":
        return ""
    if not _bounded(found):
        return "too few samples for the confidence"
    side = "above" if gate.verdict(found) == "slower" else "below"
    limit = 1 / (1 + gate.allowance)
    return f"the interval {_digits(found.low)} to {_digits(found.high)} reaches {side} {_digits(limit)}"


def key_cells(key: RowKey) -> dict[str, str]:
    """The first of COLUMNS: what must agree in two rows for them to be compared."""
    cells = key.cells
    return {name: str(cells[name]) for name in COLUMNS[: COLUMNS.index("backend") + 1]}
