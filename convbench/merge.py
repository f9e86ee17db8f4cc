"""How do the results of many machines become one file, without a loss and without a doubt?

A row knows its place in the whole sweep (`plan`), so the rows alone say what is missing. All backends of a case stay
together: their ratios are of one machine.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from operator import itemgetter
from statistics import mean, median, quantiles
from sys import intern

from convbench.case import ROW_KEY_COLUMNS
from convbench.errors import ConvbenchError, plural
from convbench.rows import csv_line, text_row
from convbench.schema import COLUMNS
from convbench.shards import KIND, Sweep, environment_of
from convbench.store import read_rows

_Kind = tuple[str, ...]  # the processor: CPU and GPU
_CASE = tuple(column for column in ROW_KEY_COLUMNS if column != "backend")
# Two rows that differ in these alone are of one measurement, or say the same.
_INCIDENTAL = (
    *("time", "command", "machine", "shard", "canaries_s", "schema", "plan", "key", "environment"),
    *("attempt", "suspect"),
)
_HEADER = csv_line(dict(zip(COLUMNS, COLUMNS, strict=True)))
_BACKEND, _OUTCOME, _CANARIES, _ATTEMPT, _SUSPECT, _FOREIGN, _STEAL = map(
    COLUMNS.index, ("backend", "outcome", "canaries_s", "attempt", "suspect", "foreign", "steal")
)
_case_of = itemgetter(*map(COLUMNS.index, _CASE))
_block_of = itemgetter(*map(COLUMNS.index, (*_CASE, "machine", "plan", "attempt")))
_essence_of = itemgetter(*(place for place, column in enumerate(COLUMNS) if column not in _INCIDENTAL))
_MEASURED = ("timed", "verified", "wrong")
SLOW = 1.3  # a machine whose canaries take so much longer than those of its kind is not to be believed
BUSY = 0.05  # a load is named from this share of all CPU time
FEWEST_CANARIES = 4  # measurements of a kind, to say what is usual


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """The rows of a case that one machine made, one after the other.

    Attributes:
        kind: the processor.
        rows: their cells, in the order of COLUMNS, as in a file.
    """

    file: str
    case: tuple[str, ...]
    kind: _Kind
    machine: str
    environment: str
    sweep: Sweep | None
    place: int
    backends: tuple[str, ...]
    measured: bool
    time: str
    shard: str
    canaries_s: tuple[float, ...]
    command: str
    rows: tuple[tuple[str, ...], ...]

    @property
    def essence(self) -> tuple[tuple[str, ...], ...]:
        """The rows without what differs between two that are of one measurement, or say the same."""
        return tuple(map(_essence_of, self.rows))


@dataclass(slots=True, kw_only=True)
class Merged:
    """One file from many.

    Attributes:
        text: the CSV file.
        missing: for each sweep and kind of machine the places of cases that no row is of, counted from 1, and a command
            of that sweep.
        lines: what a reader must know, a sentence each.
    """

    text: list[str]
    missing: list["Missing"] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Cases of a sweep that no machine of a kind has run, or not with all backends."""

    sweep: Sweep
    kind: str
    places: tuple[int, ...]
    command: str


def merge(files: Sequence[str], *, across: bool = False, tell: Callable[[str], None] = lambda _: None) -> Merged:
    """One file from many: each case once for each kind of machine, in the order of the sweep.

    A case that was measured more than once stays, as attempts: the first complete and successful one is the result.

    Args:
        across: whether rows of different versions, or of different sweeps, are put together.

    Raises:
        ConvbenchError: a file cannot be read; or the files are of different sweeps or versions.
    """
    blocks = [block for file in files for block in _blocks(file, tell)]
    if not blocks:
        raise ConvbenchError(
            f"there are no rows in {', '.join(files)}; give files of convbench bench or verify --shard"
        )
    _refuse_mixture(blocks, across)
    order = {sweep: number for number, sweep in enumerate(dict.fromkeys(block.sweep for block in blocks))}
    names: dict[Sweep | None, set[str]] = defaultdict(set)
    for block in blocks:
        names[block.sweep].update(block.backends)
    cases: dict[tuple[object, ...], list[_Block]] = defaultdict(list)
    for block in blocks:
        cases[(block.sweep, block.kind, block.case)].append(block)
    suspects = _suspects(blocks)
    merged = Merged(text=[_HEADER])
    same = again = 0
    complete: dict[tuple[Sweep, _Kind], set[int]] = defaultdict(set)
    commands: dict[tuple[Sweep, _Kind], str] = {}
    for own in sorted(cases.values(), key=lambda own: (order[own[0].sweep], own[0].place, own[0].kind)):
        sweep = own[0].sweep
        kept = _attempts(own, len(names[sweep]))
        same += len(own) - len(kept)
        again += len(kept) > 1
        if sweep is not None:
            commands.setdefault((sweep, own[0].kind), own[0].command)
            if set(kept[0].backends) >= names[sweep]:
                complete[(sweep, own[0].kind)].add(kept[0].place)
        for number, block in enumerate(kept, start=1):
            merged.text += _marked(block, number, suspects.get((block.machine, block.kind), ""))
    if same:
        merged.lines.append(f"{plural(same, 'case')} that were in two files are kept once")
    if again:
        merged.lines.append(
            f"{plural(again, 'case')} were measured more than once; the column attempt counts the further ones"
        )
    for (machine, kind), why in suspects.items():
        rows = sum(len(block.rows) for block in blocks if (block.machine, block.kind) == (machine, kind))
        merged.lines.append(f"{machine or 'a machine'} is suspect: {why}; its {plural(rows, 'row')} are marked")
    for (sweep, kind), command in commands.items():
        if left := tuple(sorted({*range(1, sweep.cases + 1)} - complete[(sweep, kind)])):
            merged.missing.append(Missing(sweep=sweep, kind=kind[-1] or kind[0], places=left, command=command))
    return merged


def _blocks(file: str, tell: Callable[[str], None]) -> Iterable[_Block]:
    rows = _cells(file, tell)
    first, backends = 0, set[str]()
    for number in range(1, len(rows) + 1):
        backends.add(rows[number - 1][_BACKEND])
        if (
            number < len(rows)
            and rows[number][_BACKEND] not in backends
            and _block_of(rows[number]) == _block_of(rows[first])
        ):
            continue
        try:
            yield _block(file, rows[first:number])
        except (ConvbenchError, ValueError) as error:
            raise ConvbenchError(f"{file}, row {first + 2} is damaged: {error}") from None
        first, backends = number, set()


def _cells(file: str, tell: Callable[[str], None]) -> list[tuple[str, ...]]:
    """The rows of a file as the cells of this version of the format, in order.

    A file of this very version is not taken apart any further than that: most of them are, and they are many.
    """
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            own = lines.readline() == _HEADER
            rows = [tuple(map(intern, row)) for row in csv.reader(lines, strict=True)] if own else []
    except (OSError, ValueError, csv.Error):
        own = False
    if own and all(len(row) == len(COLUMNS) for row in rows):
        return rows
    return [tuple(text_row(row).values()) for row in read_rows(file, tell=tell)]


def _block(file: str, rows: Sequence[tuple[str, ...]]) -> _Block:
    row = dict(zip(COLUMNS, rows[0], strict=True))
    sweep, place = Sweep.read(row["plan"]) or (None, 0)
    return _Block(
        file=file,
        case=_case_of(rows[0]),
        kind=tuple(row[column] for column in KIND),
        machine=row["machine"],
        environment=row["environment"] or environment_of(row),
        sweep=sweep,
        place=place,
        backends=tuple(one[_BACKEND] for one in rows),
        measured=all(one[_OUTCOME] in (*_MEASURED, "skipped") for one in rows),
        time=row["time"],
        shard=row["shard"],
        canaries_s=tuple(map(float, rows[-1][_CANARIES].split())),
        command=row["command"],
        rows=tuple(rows),
    )


def _refuse_mixture(blocks: Sequence[_Block], across: bool) -> None:
    """Raise if the rows are of several sweeps, or, for one kind of machine, of several versions."""
    if across:
        return
    sweeps: dict[Sweep | None, _Block] = {}
    versions: dict[_Kind, dict[str, _Block]] = defaultdict(dict)
    for block in blocks:
        sweeps.setdefault(block.sweep, block)
        versions[block.kind].setdefault(block.environment, block)
    if len(sweeps) > 1:
        one, other = list(sweeps.values())[:2]
        raise ConvbenchError(
            f"{one.file} is of {_named(one)}, {other.file} of {_named(other)}: other cases or other backends; merge "
            f"files of one command, or add --across"
        )
    for own in versions.values():
        if len(own) > 1:
            one, other = list(own.values())[:2]
            raise ConvbenchError(
                f"{one.file} and {other.file} have different versions of torch, its libraries, Python or convbench "
                f"(environment {one.environment} and {other.environment}); add --across to merge them anyway"
            )


def _named(block: _Block) -> str:
    return "no known sweep" if block.sweep is None else f"sweep {block.sweep.digest} ({block.sweep.cases:,} cases)"


def _attempts(blocks: Sequence[_Block], backends: int) -> list[_Block]:
    """The blocks of a case, each once: the complete ones first, then those where nothing failed, by time."""
    distinct = list({block.essence: block for block in reversed(blocks)}.values())
    return sorted(distinct, key=lambda one: (len(one.backends) < backends, not one.measured, one.time))


def _marked(block: _Block, attempt: int, suspect: str) -> Iterable[str]:
    """The lines of a block, with its attempt and what is suspect about its machine."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for row in block.rows:
        cells = [*row]
        if attempt > 1:
            cells[_ATTEMPT] = str(attempt)
        if suspect:
            cells[_SUSPECT] = suspect
        writer.writerow(cells)
    return lines.getvalue().splitlines(keepends=True)


def _suspects(blocks: Sequence[_Block]) -> dict[tuple[str, _Kind], str]:
    """By machine and kind, why it cannot be trusted: its canaries take longer than those of its kind usually do."""
    measured: dict[tuple[_Kind, str], dict[tuple[object, ...], tuple[str, tuple[float, ...]]]] = defaultdict(dict)
    for block in blocks:
        if block.canaries_s:
            threads = block.case[_CASE.index("threads")]
            where = (block.machine, block.shard, block.canaries_s)  # the rows since a measurement repeat it
            measured[(block.kind, threads)].setdefault(where, (block.machine, block.canaries_s))
    found: dict[tuple[str, _Kind], float] = {}
    for (kind, _), by_place in measured.items():
        every = list(by_place.values())
        if len(every) < FEWEST_CANARIES or len({len(own) for _, own in every}) > 1:
            continue
        usual = [quantiles(own, n=4, method="inclusive")[0] for own in zip(*(own for _, own in every), strict=True)]
        for machine, own in every:
            slower = exp(mean(log(one / other) for one, other in zip(own, usual, strict=True)))
            if slower > SLOW:
                found[(machine, kind)] = max(slower, found.get((machine, kind), 0.0))
    return {
        where: f"its canaries took up to {slower:.1f} times as long as usual for its kind{_load(blocks, *where)}"
        for where, slower in found.items()
    }


def _load(blocks: Iterable[_Block], machine: str, kind: _Kind) -> str:
    """What else a machine did, as its rows know: a busy one is told from one that is slow by nature."""
    rows = [row for block in blocks if (block.machine, block.kind) == (machine, kind) for row in block.rows]
    known = [tuple(map(float, shares)) for row in rows if all(shares := (row[_FOREIGN], row[_STEAL]))]
    if not known:
        return ""
    foreign, steal = (median(own) for own in zip(*known, strict=True))
    words = [
        f"{what} {100 * share:.0f} % of its CPUs"
        for share, what in ((foreign, "other processes used"), (steal, "the hypervisor took"))
        if share > BUSY
    ]
    if not words:
        return f", though other work used less than {100 * BUSY:.0f} % of its CPUs"
    return f", while {' and '.join(words)}"
