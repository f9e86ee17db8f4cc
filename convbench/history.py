"""How did the times of a problem change over many runs, and where?

A row of each run is compared with the first runs since the last change, pooled, as `compare` compares two files: by
distribution-free intervals of batch medians. Where the whole interval is beyond the margin, a new level begins. The
first runs, because a slowdown that creeps would take a mean of all of them with it. The error is divided among all
these looks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from convbench.backend import BASELINE
from convbench.case import RowKey
from convbench.compare import IDENTITY, POOLED, Difference, Gate, RowChange, compare_pairs
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong

Pair = tuple[Mapping[str, str], Result]
_MOVED = ("faster", "slower")
MOST_RUNS = 4  # that a level is known by: each then has four of the batches that are compared
_OUTCOMES = {Timed: "timed", Verified: "verified", Skipped: "skipped", Wrong: "wrong", Failed: "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRun:
    """One run of the history: its name, when it began, and its rows."""

    name: str
    time: str
    pairs: Sequence[Pair]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One row in one run.

    Attributes:
        result: None if the run has no such row.
        change: against the first runs since the last change; None for the first of a level, and if it was not compared.
        begins: whether a level begins with it, because it is faster or slower, or was timed in another way.
        note: why it was not compared.
    """

    run: str
    time: str
    result: Result | None
    change: RowChange | None = None
    begins: bool = False
    note: str = ""

    @property
    def outcome(self) -> str:
        """In the words of the CSV; empty if the run has no such row."""
        return "" if self.result is None else _OUTCOMES[type(self.result.outcome)]

    @property
    def moved(self) -> bool:
        """Whether it is certainly faster or slower than the level before."""
        return self.change is not None and self.change.verdict in _MOVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One row over all runs."""

    key: RowKey
    points: tuple[Point, ...]


def one_machine(runs: Sequence[HistoryRun]) -> tuple[list[HistoryRun], dict[str, str]]:
    """The rows from the machine of the newest run; and of each run that has others, how its machine differs.

    What is newest is asked for each device: rows of a CPU name no GPU.
    """
    newest: dict[str, Mapping[str, str]] = {}
    for run in reversed(runs):
        for row, _ in run.pairs:
            newest.setdefault(row["device"], row)
    kept: list[HistoryRun] = []
    left_out: dict[str, str] = {}
    for run in runs:
        own = []
        for row, result in run.pairs:
            facts = _facts(row, newest[row["device"]])
            if facts:
                left_out.setdefault(run.name, "; ".join(map(str, facts)))
            else:
                own.append((row, result))
        if own:
            kept.append(replace(run, pairs=own))
    return kept, left_out


def _facts(row: Mapping[str, str], newest: Mapping[str, str]) -> list[Difference]:
    """What differs in the machine of two rows of one device."""
    return [
        Difference(name=name, before=row[name], after=newest[name]) for name in IDENTITY if row[name] != newest[name]
    ]


def history(runs: Sequence[HistoryRun], *, wanted: Callable[[Result], bool], gate: Gate) -> list[Series]:
    """The rows that are `wanted`, each over all runs, the oldest first.

    Args:
        gate: its confidence is that of all comparisons together.
    """
    tables = [_by_key(run.pairs) for run in runs]
    keys = dict.fromkeys(
        key for table in tables for key, pairs in table.items() if any(wanted(result) for _, result in pairs)
    )
    keys = dict.fromkeys(key for key in keys if not (gate.relative and key.backend == BASELINE))
    looks = sum(max(0, sum(_timed(table.get(key, ())) for table in tables) - 1) for key in keys)
    shared = replace(gate, confidence=1 - (1 - gate.confidence) / max(1, looks))
    return [Series(key=key, points=tuple(_points(key, runs, tables, shared))) for key in keys]


def _by_key(pairs: Sequence[Pair]) -> dict[RowKey, list[Pair]]:
    """The rows of one run, whatever random numbers they were timed on."""
    found: dict[RowKey, list[Pair]] = {}
    for row, result in pairs:
        key = result.key(row["threads"])
        found.setdefault(replace(key, case=key.case.unseeded), []).append((row, result))
    return found


def _timed(pairs: Sequence[Pair]) -> bool:
    return bool(pairs) and all(isinstance(result.outcome, Timed) for _, result in pairs)


def _points(
    key: RowKey, runs: Sequence[HistoryRun], tables: Sequence[Mapping[RowKey, list[Pair]]], gate: Gate
) -> list[Point]:
    torch = replace(key, backend=BASELINE)
    level: list[list[Pair]] = []  # of the first runs since the last change: this row, and torch's
    points = []
    for run, table in zip(runs, tables, strict=True):
        own = table.get(key, [])
        point = Point(run=run.name, time=run.time, result=own[-1][1] if own else None)
        if not _timed(own):
            points.append(point)
            continue
        if any(isinstance(result.outcome, Timed) and result.outcome.noise.noisy for _, result in own):
            points.append(replace(point, note="too few clean samples"))
            continue
        rows = [*own, *(table.get(torch, []) if torch != key else [])]
        if not level:
            points.append(replace(point, begins=True))
            level = [rows]
            continue
        known = [pair for pairs in level for pair in pairs]
        found = compare_pairs(known, rows, gate=gate, across=True, before="before", after=run.name)
        change = next((one for one in found.rows if one.key.backend == key.backend), None)
        reason = next((one.reason for one in found.apart if one.key.backend == key.backend), "")
        begins = change is None or change.verdict in _MOVED
        notes = [reason] if change is None else [one for one in change.note.split("; ") if not one.startswith(POOLED)]
        points.append(replace(point, change=change, begins=begins, note="; ".join(notes)))
        level = [rows] if begins else [*level, rows][:MOST_RUNS]
    return points
