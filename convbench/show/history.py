"""How does the history of a row look: a sparkline, the first and the last time, and where it changed?"""

from collections.abc import Iterator, Sequence
from math import log

from rich.console import Group, RenderableType
from rich.text import Text

from convbench.case import RowKey
from convbench.compare import Gate
from convbench.errors import percent
from convbench.history import Point, Series
from convbench.outcome import Timed
from convbench.show.changes import STYLE, factor
from convbench.show.units import seconds

BARS = "▁▂▃▄▅▆▇█"
# Where there is no time: wrong or failed, and everything else.
BROKEN, ABSENT = "!", "·"
FLAT = 0.02  # times this close together are drawn level
COLUMNS = (
    "suite name spec device threads dtype layout precision pass epilogue backend run time outcome median_s q25_s q75_s "
    "change ratio ratio_low ratio_high note"
).split()


def value_of(point: Point, *, relative: bool) -> float | None:
    """Its median in seconds, or with `relative` as a multiple of torch's; None if there is none."""
    if point.result is None or not isinstance(point.result.outcome, Timed):
        return None
    timed = point.result.outcome
    if not relative:
        return timed.median_s
    return None if timed.comparison is None else 1 / timed.comparison.ratio


def sparkline(series: Series, *, relative: bool = False) -> str:
    """A bar for each run, the slowest the highest; logarithmic, from the fastest to the slowest run."""
    values = [value_of(one, relative=relative) for one in series.points]
    known = [log(one) for one in values if one is not None]
    if not known:
        return "".join(_mark(one) for one in series.points)
    low, high = min(known), max(known)
    if high - low < FLAT:  # otherwise noise would fill the whole height
        middle = (low + high) / 2
        low, high = middle - FLAT / 2, middle + FLAT / 2
    steps = len(BARS) - 1
    return "".join(
        _mark(point) if value is None else BARS[round((log(value) - low) / (high - low) * steps)]
        for point, value in zip(series.points, values, strict=True)
    )


def _mark(point: Point) -> str:
    return BROKEN if point.outcome in ("wrong", "failed") else ABSENT


def change_words(point: Point) -> str:
    """`slower, 0.910 (0.901-0.920), since main-5 (2026-11-30)`."""
    assert point.change is not None
    return f"{point.change.verdict}, {factor(point.change.judged)}, since {point.run} ({_day(point.time)})"


def history_table(found: Sequence[Series], *, relative: bool, width: int) -> Group:
    """A line for each row with its sparkline, and a line for each change, under a heading for each case."""
    blocks: dict[RowKey, list[Series]] = {}
    for one in found:
        blocks.setdefault(one.key.block, []).append(one)
    longest = max((len(one.key.backend) for one in found), default=0)
    parts: list[RenderableType] = []
    for key, block in blocks.items():
        heading = Text(key.name if key.suite == "shape" else f"{key.suite}:{key.name}", "bold")
        heading.append("  " + key.case.spec if key.case.spec != key.name else "", "dim")
        heading.append("  " + key.axes, "cyan")
        parts.append(heading)
        for one in block:
            line = Text(f"  {one.key.backend:{longest}}  ")
            room = max(8, width - len(line) - 24)
            bars = sparkline(one, relative=relative)
            line.append(bars if len(bars) <= room else "…" + bars[1 - room :], "cyan")
            line.append("  " + _ends(one, relative=relative))
            parts.append(line)
            parts += [Text(f"    {change_words(at)}", STYLE[_verdict(at)]) for at in one.points if at.moved]
            parts += [Text(f"    {words}", "dim") for words in _notes(one)]
    return Group(*parts)


def _verdict(point: Point) -> str:
    return "" if point.change is None else point.change.verdict


def _ends(series: Series, *, relative: bool) -> str:
    values = [value for one in series.points if (value := value_of(one, relative=relative)) is not None]
    if not values:
        return "no ratio to torch" if relative else "never timed"
    first, last = (f"{one:.3g}x torch's" if relative else seconds(one) for one in (values[0], values[-1]))
    return first if len(values) == 1 else f"{first} -> {last}"


def _notes(series: Series) -> Iterator[str]:
    """What was not compared, or not decided for a reason, with the last run that it is of."""
    last: dict[str, list[Point]] = {}
    for one in series.points:
        if one.note:
            last.setdefault(one.note, []).append(one)
    for note, points in last.items():
        yield f"{note}: {points[-1].run}" + (f" and {len(points) - 1} more" if len(points) > 1 else "")


def method(gate: Gate, runs: int, *, found: Sequence[Series]) -> str:
    """How the changes were found, in one sentence."""
    changes = sum(one.moved for series in found for one in series.points)
    what = "speed relative to torch" if gate.relative else "speed"
    return (
        f"{runs} kept runs, {changes} {'change' if changes == 1 else 'changes'} of {what} by more than "
        f"{percent(gate.margin)} (ratio: time before/after, >1: faster; joint confidence {percent(gate.confidence)}, "
        f"not counting machine drift); {BROKEN} wrong or failed, {ABSENT} not timed"
    )


def history_rows(found: Sequence[Series]) -> Iterator[list[str | float | None]]:
    """The cells of COLUMNS for each row and run."""
    for series in found:
        cells = series.key.cells
        head = [str(cells[name]) for name in COLUMNS[: COLUMNS.index("backend") + 1]]
        for one in series.points:
            timed = one.result.outcome if one.result is not None and isinstance(one.result.outcome, Timed) else None
            judged = None if one.change is None else one.change.judged
            yield [
                *head,
                one.run,
                one.time,
                one.outcome,
                *((timed.median_s, *timed.quartiles_s) if timed else (None,) * 3),
                _verdict(one),
                *((judged.ratio, judged.low, judged.high) if judged else (None,) * 3),
                one.note,
            ]


def _day(time: str) -> str:
    return time.partition("T")[0]
