"""How do the backends compare with torch, and how far is each case from the machine's limits?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10

from convbench.backend import BASELINE
from convbench.bench.decision import sizes_apart
from convbench.case import RowKey
from convbench.device import find_device
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong
from convbench.show.scene import SHAPES, Item, Line, Mark, Scene, Words, shortened, stacked
from convbench.show.tables import suite_title
from convbench.show.units import seconds

WIDTH = 860.0
MOST_CASES = 60  # of a ratio chart; a taller one is unreadable
_MARGIN, _NAMES, _LANE = 16.0, 210.0, 11.0
SOLID = ("faster", "slower")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of a file, with its number among all rows."""

    number: int
    file: str
    row: Mapping[str, str]
    result: Result

    @property
    def key(self) -> RowKey:
        return self.result.key(self.row["threads"])

    @property
    def status(self) -> str:
        """The verdict of a timed row, the outcome of any other."""
        match self.result.outcome:
            case Timed(comparison=None):
                return "baseline" if self.result.backend == BASELINE else "timed"
            case Timed(comparison=compared):
                assert compared is not None
                return compared.verdict
            case Verified():
                return "verified"
            case Skipped():
                return "skipped"
            case Wrong():
                return "wrong"
            case Failed():
                return "failed"

    @property
    def axes(self) -> str:
        """The rest of the case; the forward pass without epilogue is not mentioned."""
        count = self.row["threads"]
        threads = f" {count} thread{'' if count == '1' else 's'}" if count else ""
        return " ".join(self.key.case.axes) + threads

    @property
    def group(self) -> tuple[str, str, str]:
        """Those of one group are compared with each other: file, suite, axes."""
        return (self.file, self.result.case.problem.suite, self.axes)

    def number_of(self, column: str) -> float | None:
        """A cell as a number; None if the column is missing, empty or no finite number."""
        try:
            value = float(self.row.get(column) or "nan")
        except ValueError:
            return None
        return value if isfinite(value) else None


def grouped(entries: Iterable[Entry]) -> dict[tuple[str, str, str], list[Entry]]:
    """The entries by group, in order; several layers in several sizes are several groups."""
    found: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.group].append(entry)
    apart: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    for (file, suite, axes), own in found.items():
        sizes = sizes_apart(entry.result.case.problem for entry in own)
        for entry in own:
            size = f" {entry.result.case.problem.size or 'as they are'}" if sizes else ""
            apart[file, suite, axes + size].append(entry)
    return dict(apart)


def group_title(group: tuple[str, str, str], groups: Mapping[tuple[str, str, str], Sequence[Entry]]) -> str:
    """Suite, or its one problem, and axes, with the file where there are several."""
    file, _, axes = group
    several = len({one[0] for one in groups}) > 1
    return f"{suite_title(entry.result for entry in groups[group])}, {axes}" + (f" ({file})" if several else "")


def series(entries: Iterable[Entry]) -> dict[str, int]:
    """A number for each backend: the baseline first, then as they come. It decides colour and shape."""
    names = dict.fromkeys(entry.result.backend for entry in entries if isinstance(entry.result.outcome, Timed))
    return {name: number for number, name in enumerate(sorted(names, key=lambda name: name != BASELINE))}


def ratio_chart(title: str, entries: Sequence[Entry], numbers: Mapping[str, int]) -> Scene | None:
    """Each backend's ratio torch / this with its interval, case by case; None without any.

    Of more than 60 cases the 60 that take torch longest are drawn, and the chart says so.
    """
    blocks: dict[RowKey, list[Entry]] = defaultdict(list)
    for entry in entries:
        outcome = entry.result.outcome
        if isinstance(outcome, Timed) and outcome.comparison is not None:
            blocks[entry.key.block].append(entry)
    if not blocks:
        return None
    total = len(blocks)
    kept = sorted(blocks, key=lambda key: _torch_time(blocks[key]), reverse=True)[:MOST_CASES]
    blocks = {key: block for key, block in blocks.items() if key in set(kept)}
    drawn = [entry for block in blocks.values() for entry in block]
    names = [name for name in numbers if any(entry.result.backend == name for entry in drawn)]
    left, right = _MARGIN + _NAMES, WIDTH - _MARGIN - 8
    ratios = [_ratio(entry)[0] for entry in drawn]
    axis = LogAxis.around([*ratios, 1.0], left, right)

    scene = Scene(width=WIDTH, height=0, title=f"Ratio to torch: {title}")
    y = _heading(scene, title, names, numbers)
    note = (
        "time of torch / time of this: right of 1 is faster; bar: interval; "
        "filled: decided, hollow: tie, hollow and dashed: undecided"
    )
    scene.items.append(Words(x=_MARGIN, y=y + 4, text=note, size=11, ink="quiet"))
    y += 20
    if total > len(blocks):
        words = f"{len(blocks)} of {total} cases: the ones that take torch longest; the table has all"
        scene.items.append(Words(x=_MARGIN, y=y, text=words, size=11, ink="quiet"))
        y += 16
    top = y + 4
    marks: list[Item] = []
    y = top
    for block_key, several in blocks.items():
        block = sorted(several, key=lambda entry: numbers[entry.result.backend])
        height = max(_LANE * len(block), 12.0) + 7
        scene.items.append(Line(points=((left, y), (right, y)), ink="line", width=0.7))
        label = shortened(block_key.name, _NAMES - 12, 11.5)
        scene.items.append(Words(x=left - 8, y=y + height / 2 + 4, text=label, anchor="end", size=11.5))
        for lane, entry in enumerate(block):
            middle = y + height / 2 + _LANE * (lane - (len(block) - 1) / 2)
            marks += _ratio_marks(entry, axis, middle, numbers[entry.result.backend])
        y += height
    for value, label in axis.ticks():
        x = axis.place(value)
        scene.items.append(
            Line(points=((x, top), (x, y)), ink="quiet" if value == 1 else "line", width=1.5 if value == 1 else 0.7)
        )
        scene.items.append(Words(x=x, y=y + 15, text=label, anchor="middle", size=11, ink="quiet"))
    scene.items += marks
    scene.height = y + 26
    return scene


def roofline_chart(title: str, entries: Sequence[Entry], numbers: Mapping[str, int]) -> Scene | None:
    """Operations per second over operations a byte, each timed row a mark; roofs where they were measured.

    Williams, Waterman and Patterson 2009, Roofline. Operations and bytes are those of the direct
    algorithm with x, w and y moved once, so Winograd and FFT may pass a roof.
    """
    points = []
    for entry in entries:
        case, gflops = entry.result.case, entry.number_of("gflops")
        if isinstance(entry.result.outcome, Timed) and gflops:  # an empty batch does nothing
            points.append((case.spec.intensity(case.dtype), gflops, entry))
    if not points:
        return None
    roofs = _roofs(entry for _, _, entry in points)
    left, right = _MARGIN + 64, WIDTH - _MARGIN - 8
    x_axis = LogAxis.around([x for x, _, _ in points], left, right)
    scene = Scene(width=WIDTH, height=0, title=f"Roofline: {title}")
    names = [name for name in numbers if any(entry.result.backend == name for _, _, entry in points)]
    top = _heading(scene, f"Roofline: {title}", names, numbers)
    if not roofs:
        words = "no roofs: the file has no measured ceilings (columns peak_flops_per_s and peak_bytes_per_s)"
        scene.items.append(Words(x=_MARGIN, y=top + 4, text=words, size=11, ink="quiet"))
        top += 18
    bottom = top + 380
    y_axis = LogAxis.around([*(y for _, y, _ in points), *(roof.flops_per_s * 1e-9 for roof in roofs)], bottom, top + 8)
    for value, label in x_axis.ticks():
        x = x_axis.place(value)
        scene.items.append(Line(points=((x, top + 8), (x, bottom)), ink="line", width=0.7))
        scene.items.append(Words(x=x, y=bottom + 15, text=label, anchor="middle", size=11, ink="quiet"))
    for value, label in y_axis.ticks():
        y = y_axis.place(value)
        scene.items.append(Line(points=((left, y), (right, y)), ink="line", width=0.7))
        scene.items.append(Words(x=left - 6, y=y + 4, text=label, anchor="end", size=11, ink="quiet"))
    for place, roof in enumerate(roofs):
        peak = roof.flops_per_s * 1e-9
        for moved in sorted({roof.most_bytes_per_s * 1e-9, roof.least_bytes_per_s * 1e-9}, reverse=True):
            low, high = max(x_axis.low, y_axis.low / moved), x_axis.high
            corner = min(max(peak / moved, low), high)
            line = [(x, min(peak, moved * x)) for x in (low, corner, high)]
            placed = tuple((x_axis.place(x), y_axis.place(y)) for x, y in line)
            scene.items.append(Line(points=placed, width=1.8, dashed=place % 2 == 1))
        range_of = (roof.least_bytes_per_s, roof.most_bytes_per_s)
        speeds = dict.fromkeys(f"{value * 1e-9:,.0f}" for value in range_of)  # a set has no order
        text = f"{roof.what}: {peak:,.0f} GFLOP/s, {' to '.join(speeds)} GB/s"
        y = y_axis.place(peak) - 5 - 13 * sum(one.flops_per_s == roof.flops_per_s for one in roofs[:place])
        scene.items.append(Words(x=right - 4, y=y, text=text, anchor="end", size=11))
    for x, y, entry in points:
        number = numbers[entry.result.backend]
        filled = entry.status not in ("tie", "undecided")
        scene.items.append(_mark(entry, x_axis.place(x), y_axis.place(y), number, filled=filled))
    scene.items.append(
        Words(x=(left + right) / 2, y=bottom + 34, text="FLOP per byte that must be moved", anchor="middle", size=12)
    )
    scene.items.append(Words(x=_MARGIN, y=top + 3, text="GFLOP/s", size=12))
    scene.height = bottom + 46
    return scene


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roof:
    """The ceilings of one kind of case. Small problems move in faster memory, so bandwidth is a range."""

    what: str
    flops_per_s: float
    least_bytes_per_s: float
    most_bytes_per_s: float


def _roofs(entries: Iterable[Entry]) -> list[_Roof]:
    kinds: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        peak, moved = entry.number_of("peak_flops_per_s"), entry.number_of("peak_bytes_per_s")
        if peak and moved:
            words = [entry.row[name] for name in ("device", "dtype", "precision")]
            words += (
                [f"{entry.row['threads']} thread{'' if entry.row['threads'] == '1' else 's'}"]
                if find_device(entry.row["device"]).on_host
                else []
            )
            kinds.setdefault(" ".join(words), []).append((peak, moved))
    return [
        _Roof(
            what=what,
            flops_per_s=max(peak for peak, _ in own),
            least_bytes_per_s=min(moved for _, moved in own),
            most_bytes_per_s=max(moved for _, moved in own),
        )
        for what, own in kinds.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAxis:
    """A logarithmic axis from `low` at `start` to `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float) -> "LogAxis":
        """An axis that holds all values with a little room."""
        low, high = log10(min(values)), log10(max(values))
        room = max(0.05 * (high - low), 0.06)
        return cls(low=10 ** (low - room), high=10 ** (high + room), start=start, end=end)

    def place(self, value: float) -> float:
        """The position of a value, clamped to the ends."""
        value = min(max(value, self.low), self.high)
        share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values within, of the coarsest kind that gives four, where their labels have room."""
        powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        values: list[float] = []
        for steps in _STEPS:
            values = [step * 10.0**power for power in powers for step in steps]
            values = [value for value in values if self.low <= value <= self.high]
            if len(values) >= 4:
                break
        taken: list[float] = []
        for value in sorted(values, key=lambda value: value != 1):  # 1 is torch
            if all(abs(self.place(value) - self.place(other)) >= 36 for other in taken):
                taken.append(value)
        return [(value, f"{value:,.6g}") for value in sorted(taken)]


_STEPS = (
    (1.0,),
    (1.0, 2.0, 5.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    *(tuple(1 + step / parts for step in range(9 * parts)) for parts in (1, 2, 5, 10, 20, 50, 100)),
)


def _heading(scene: Scene, title: str, names: Sequence[str], numbers: Mapping[str, int]) -> float:
    """The title and a legend of marks and names; returns the position of the next line."""
    scene.items.append(Words(x=_MARGIN, y=24, text=shortened(title, WIDTH - 2 * _MARGIN, 15), size=15, bold=True))
    x, y = _MARGIN + 6, 46.0
    for name in names:
        text = shortened(name, 240, 12)
        width = 26 + 12 * 0.6 * len(text)
        if x + width > WIDTH - _MARGIN:
            x, y = _MARGIN + 6, y + 18
        number = numbers[name]
        scene.items.append(Mark(x=x, y=y - 4, shape=SHAPES[number % len(SHAPES)], ink=f"s{number % len(SHAPES)}"))
        scene.items.append(Words(x=x + 10, y=y, text=text))
        x += width
    return y + 18


def _torch_time(block: Sequence[Entry]) -> float:
    """About torch's time in a case, by what the first backend says of both."""
    outcome = block[0].result.outcome
    assert isinstance(outcome, Timed)
    return outcome.median_s * _ratio(block[0])[0]


def _ratio(entry: Entry) -> tuple[float, float, float]:
    outcome = entry.result.outcome
    assert isinstance(outcome, Timed)
    assert outcome.comparison is not None
    return outcome.comparison.ratio, outcome.comparison.low, outcome.comparison.high


def _ratio_marks(entry: Entry, axis: LogAxis, y: float, number: int) -> list[Item]:
    ratio, low, high = _ratio(entry)
    ends = (axis.place(low if low > 0 else axis.low), axis.place(high if high < inf else axis.high))
    ink = f"s{number % len(SHAPES)}"
    dashed = entry.status not in (*SOLID, "tie")
    whisker = Line(points=((ends[0], y), (ends[1], y)), ink=ink, width=1.5, dashed=dashed)
    return [whisker, _mark(entry, axis.place(ratio), y, number, filled=entry.status in SOLID)]


def _mark(entry: Entry, x: float, y: float, number: int, *, filled: bool) -> Mark:
    outcome = entry.result.outcome
    assert isinstance(outcome, Timed)
    title = f"{entry.result.backend}, {entry.result.case.problem.name}: {seconds(outcome.median_s)}"
    if outcome.comparison is not None:
        found = outcome.comparison
        title += f", {found.ratio:.3f} ({found.low:.3f}-{found.high:.3f}) {found.verdict}"
    return Mark(
        x=x,
        y=y,
        shape=SHAPES[number % len(SHAPES)],
        ink=f"s{number % len(SHAPES)}",
        filled=filled,
        row=entry.number,
        title=title,
    )


def plot_scene(entries: Sequence[Entry], plots: Sequence[str]) -> Scene | None:
    """The plots of all suites below each other, as one drawing; None if there is nothing to draw.

    Args:
        plots: "ratio", "roofline" or both.
    """
    groups, numbers = grouped(entries), series(entries)
    scenes: list[Scene | None] = []
    if "ratio" in plots:
        scenes += [ratio_chart(group_title(key, groups), own, numbers) for key, own in groups.items()]
    if "roofline" in plots:
        scenes += [roofline_chart(name, own, numbers) for name, own in by_machine(entries).items()]
    found = [scene for scene in scenes if scene is not None]
    return stacked(found, "; ".join(scene.title for scene in found)) if found else None


def by_machine(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """All suites together, for each machine and device: they share their roofs."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        row = entry.row
        found[f"{row['machine']}, {row['gpu'] or row['cpu']}"].append(entry)
    return dict(found)
