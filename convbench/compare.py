"""What got faster, slower or wrong between two results files?"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log
from pathlib import Path
from statistics import median

from convbench.anonymous import ANONYMOUS
from convbench.backend import BASELINE
from convbench.bench.shift import MOST_BATCHES, Shift, batch_medians, shift
from convbench.case import RowKey
from convbench.errors import ConvbenchError, percent, printable
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong
from convbench.runs import kind_of, machine_name
from convbench.store import read_pairs

# What must match for two files to be comparable, and what may be the subject of the comparison.
IDENTITY = ("machine", "cpu", "gpu")
VERSIONS = ("driver", "python", "torch", "cuda", "cudnn", "onednn", "convbench", "commit")
# Of several rows with one key, the worst counts.
_OUTCOMES = {Wrong: "wrong", Failed: "failed", Timed: "timed", Verified: "verified", Skipped: "skipped"}
_BROKEN = ("wrong", "failed")
POOLED = "runs pooled"
# What makes torch twice as fast need not make all else twice as fast: a change relative to torch in the other direction
# must be more than this of torch's own, in logarithms.
OF_TORCH = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What is a change, and which one is too much?

    A factor is old time / new time: above 1 is faster. All intervals of a comparison hold together
    with the confidence (the error is divided among the rows: Bonferroni).

    Attributes:
        margin: two times within this factor of each other are the same.
        allowance: slower by more than this is a regression.
        relative: judge each backend's ratio to torch in its own file, not its time.
        undecided: what a comparison that is undecided counts as: pass, fail, or neither if empty.
    """

    confidence: float = 0.99
    margin: float = 0.015
    allowance: float = 0.015
    relative: bool = False
    undecided: str = ""

    def verdict(self, found: Shift) -> str:
        """faster, slower or same if the whole interval is there, else undecided."""
        least, most = 1 / (1 + self.margin), 1 + self.margin
        if found.low > most:
            return "faster"
        if found.high < least:
            return "slower"
        return "same" if least <= found.low and found.high <= most else "undecided"

    def state(self, found: Shift) -> str:
        """ok or regression where the whole interval is on that side of the allowance, else undecided."""
        limit = 1 / (1 + self.allowance)
        if found.high < limit:
            return "regression"
        return "ok" if found.low >= limit else "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One backend on one case, timed in both files.

    Attributes:
        before_s, after_s: medians.
        time: old time / new time.
        to_torch: the same for the ratio torch / this in each file; None without torch in both, and for torch itself.
        verdict: faster, slower, same or undecided.
        state: ok, regression or undecided for the gate.
        note: what a reader must know about it.
        noisy: in which files this backend has too few clean samples, "before" or "after".
    """

    key: RowKey
    before_s: float
    after_s: float
    time: Shift
    to_torch: Shift | None
    judged: Shift
    verdict: str
    state: str
    note: str = ""
    noisy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """A row without times to compare in both files.

    Attributes:
        before, after: its outcomes, empty if the file does not have it.
        reason: in words.
        regression: it was neither wrong nor failed, and is now.
    """

    key: RowKey
    before: str
    after: str
    reason: str
    regression: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One backend over all its compared rows: the geometric mean of the factors.

    Its bounds are the geometric means of the rows' bounds: if all of those hold, so do these.
    """

    backend: str
    rows: int
    factor: Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact about the machine, or a version, that differs between the files."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before or 'unknown'} -> {self.after or 'unknown'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far torch itself moved: in how many of its cases beyond the margin, and overall."""

    cases: int
    moved: int
    factor: Shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The comparison of two files.

    Attributes:
        machine: facts about the machine that differ; only non-empty if that was allowed.
        versions: versions that differ.
        verified: rows that are right in both files and timed in neither.
        anonymous: neither file names its machine.
    """

    before: str
    after: str
    gate: Gate
    machine: tuple[Difference, ...]
    versions: tuple[Difference, ...]
    rows: tuple[RowChange, ...]
    apart: tuple[Apart, ...]
    verified: int
    wholes: tuple[Whole, ...]
    drift: Drift | None
    anonymous: bool = False

    @property
    def state(self) -> str:
        """regression before undecided before nothing (to compare) before ok."""
        states = {row.state for row in self.rows}
        if "regression" in states or any(one.regression for one in self.apart):
            return "regression"
        if "undecided" in states:
            return "undecided"
        return "ok" if self.rows or self.verified else "nothing"

    @property
    def drifted(self) -> bool:
        """Did torch certainly move: beyond the margin in one case, or overall with an interval that excludes 1?"""
        if self.drift is None:
            return False
        whole = self.drift.factor
        apart = whole.low > 1 or whole.high < 1
        return self.drift.moved > 0 or (apart and abs(log(whole.ratio)) > log(1 + self.gate.margin))


Pair = tuple[Mapping[str, str], Result]


def compare_files(
    before: str | Path,
    after: str | Path,
    *,
    gate: Gate,
    across: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Changes:
    """What changed from one file to the other.

    Args:
        tell: as `read_rows`.

    Raises:
        ConvbenchError: a file cannot be read, or they are of different machines and `across` is not set.
    """
    old, new = (read_pairs(file, tell=tell) for file in (before, after))
    return compare_pairs(old, new, gate=gate, across=across, before=str(before), after=str(after))


def compare_pairs(
    old: Sequence[Pair], new: Sequence[Pair], *, gate: Gate, across: bool = False, before: str, after: str
) -> Changes:
    """What changed from some rows to others, which are called `before` and `after`.

    Raises:
        ConvbenchError: they are of different machines and `across` is not set.
    """
    machine = _machine_facts(old, new)
    if machine and not across:
        raise ConvbenchError(
            f"{before} and {after} are from different machines: {'; '.join(map(str, machine))}; use --across to "
            f"compare them anyway, or set CONVBENCH_MACHINE if only the host name changes"
        )
    # Different threads were allowed: one count is compared with one other, and is not part of the key.
    other_threads = any(fact.name == "threads" and "," not in fact.before + fact.after for fact in machine)
    versions = _facts(VERSIONS, old, new)
    steady = all(fact.name != "torch" for fact in versions)  # otherwise torch itself may have changed
    rows, apart, verified, drift = _match(old, new, gate, threads=not other_threads, steady=steady)
    return Changes(
        before=printable(before),
        after=printable(after),
        gate=gate,
        machine=tuple(machine),
        versions=tuple(versions),
        rows=tuple(rows),
        apart=tuple(apart),
        verified=verified,
        wholes=tuple(_wholes(rows)),
        drift=drift,
        anonymous=any(row["machine"] == ANONYMOUS for side in (old, new) for row, _ in side),
    )


def by_kind(old: Sequence[Pair], new: Sequence[Pair]) -> dict[str, tuple[list[Pair], list[Pair]]]:
    """The rows of both files by kind of machine, if they are shards run on several kinds; else all as one.

    A kind that only one file has is with the empty list of the other. Files without a common kind are not taken apart.
    """
    kinds = dict.fromkeys(kind_of(row) for row, _ in (*old, *new))
    common = {kind_of(row) for row, _ in old} & {kind_of(row) for row, _ in new}
    if len(kinds) < 2 or "" in kinds or not common:
        return {"": (list(old), list(new))}
    return {
        kind: ([pair for pair in old if kind_of(pair[0]) == kind], [pair for pair in new if kind_of(pair[0]) == kind])
        for kind in kinds
    }


def _machine_facts(old: Sequence[Pair], new: Sequence[Pair]) -> list[Difference]:
    """What differs in the machine for the devices that both files have."""
    shared = {row["device"] for row, _ in old} & {row["device"] for row, _ in new}
    found: dict[str, Difference] = {}
    for device in sorted(shared):
        mine, yours = ([one for one in side if one[0]["device"] == device] for side in (old, new))
        for fact in _facts(IDENTITY, mine, yours):
            found.setdefault(fact.name, fact)
        threads = [{row["threads"] for row, _ in side} for side in (mine, yours)]
        if not threads[0] & threads[1]:  # if some agree, those are compared
            found.setdefault("threads", _fact("threads", *threads))
        for name in IDENTITY:  # otherwise two machines in one file would be pooled silently
            several = [_cells(name, side) for side in (mine, yours)]
            if max(map(len, several)) > 1:
                found.setdefault(name, _fact(name, *several))
    return list(found.values())


def _facts(names: Iterable[str], old: Sequence[Pair], new: Sequence[Pair]) -> list[Difference]:
    pairs = ((name, _cells(name, old), _cells(name, new)) for name in names)
    return [_fact(name, mine, yours) for name, mine, yours in pairs if mine != yours]


def _cells(name: str, pairs: Iterable[Pair]) -> set[str]:
    """What a column holds. A shard may be run by any machine of a kind, so its name is none."""
    return {machine_name(row) if name == "machine" else row[name] for row, _ in pairs}


def _fact(name: str, before: set[str], after: set[str]) -> Difference:
    return Difference(name=name, before=", ".join(sorted(before)), after=", ".join(sorted(after)))


def _match(
    old: Sequence[Pair], new: Sequence[Pair], gate: Gate, *, threads: bool, steady: bool
) -> tuple[list[RowChange], list[Apart], int, Drift | None]:
    mine, yours = _by_key(old, threads=threads), _by_key(new, threads=threads)
    timed = [key for key in mine if key in yours and _outcome(mine[key]) == _outcome(yours[key]) == "timed"]
    mixed = {key: words for key in timed if (words := _mixture(mine[key], yours[key]))}
    both = [key for key in timed if key not in mixed]
    torch_of = {key.block: key for key in both if key.backend == BASELINE}
    judged, apart = both, [_apart(key, mine, yours, words) for key, words in mixed.items()]
    if gate.relative:
        judged = [key for key in both if key.backend != BASELINE and _ratios(key, torch_of, mine, yours)]
        words = (
            f"--relative needs {BASELINE} with the same number of rows of this case, timed in the same way, in both "
            f"files"
        )
        apart += [_apart(key, mine, yours, words) for key in both if key not in judged and key.backend != BASELINE]
    confidence = 1 - (1 - gate.confidence) / max(1, len(judged))
    rows = [_change(key, torch_of, mine, yours, gate, confidence, steady=steady) for key in judged]
    if steady and not gate.relative:
        blocks: dict[RowKey, list[RowChange]] = defaultdict(list)
        for row in rows:
            blocks[row.key.block].append(row)
        rows = [_doubted(row, blocks[row.key.block], gate) if row.key.backend == BASELINE else row for row in rows]
    verified = 0
    for key in dict.fromkeys([*mine, *yours]):
        outcomes = [_outcome(side.get(key, [])) for side in (mine, yours)]
        if outcomes == ["verified", "verified"]:
            verified += 1
        elif outcomes != ["timed", "timed"]:
            apart.append(_apart(key, mine, yours))
    torches = [_samples_shift(mine[key], yours[key], confidence) for key in torch_of.values()]
    drift = None
    if torches:
        moved = sum(gate.verdict(one) in ("faster", "slower") for one in torches)
        drift = Drift(cases=len(torches), moved=moved, factor=_mean(torches))
    return rows, apart, verified, drift


def _by_key(pairs: Iterable[Pair], *, threads: bool) -> dict[RowKey, list[Result]]:
    """The rows that are compared as one, whatever random numbers they were timed on."""
    found: dict[RowKey, list[Result]] = defaultdict(list)
    for row, result in pairs:
        key = result.key(row["threads"] if threads else "")
        found[replace(key, case=key.case.unseeded)].append(result)
    return dict(found)


def _outcome(results: Sequence[Result]) -> str:
    words = {_OUTCOMES[type(result.outcome)] for result in results}
    return next((word for word in _OUTCOMES.values() if word in words), "")


def _mixture(mine: Iterable[Result], yours: Iterable[Result]) -> str:
    """Why the times of one row cannot be compared (they are of several regimes), or ""."""
    before, after = _regimes(mine), _regimes(yours)
    if len(before | after) == 1:
        return ""
    return f"timed {' and '.join(sorted(before))} before, {' and '.join(sorted(after))} after: not comparable"


def _regimes(results: Iterable[Result]) -> set[str]:
    return {result.outcome.regime for result in results if isinstance(result.outcome, Timed)}


def _reason(results: Sequence[Result]) -> str:
    for result in results:
        match result.outcome:
            case Wrong(check):
                return check.evidence or ""
            case Failed(reason) | Skipped(reason):
                return reason
    return ""


def _apart(
    key: RowKey, mine: Mapping[RowKey, list[Result]], yours: Mapping[RowKey, list[Result]], reason: str = ""
) -> Apart:
    before, after = _outcome(mine.get(key, [])), _outcome(yours.get(key, []))
    return Apart(
        key=key,
        before=before,
        after=after,
        reason=reason or _reason(yours.get(key, [])) or _reason(mine.get(key, [])),
        regression=after in _BROKEN and before not in ("", *_BROKEN),
    )


def _change(
    key: RowKey,
    torch_of: Mapping[RowKey, RowKey],
    mine: Mapping[RowKey, list[Result]],
    yours: Mapping[RowKey, list[Result]],
    gate: Gate,
    confidence: float,
    *,
    steady: bool,
) -> RowChange:
    time = _samples_shift(mine[key], yours[key], confidence)
    ratios = _ratios(key, torch_of, mine, yours)
    notes = []
    torch = torch_of.get(key.block)
    same = _samples(mine[key]) == _samples(yours[key])
    if same:
        notes.append("identical in both files")
    if ratios and torch and same and _samples(mine[torch]) == _samples(yours[torch]):
        to_torch: Shift | None = time
    else:  # the ratio torch / this grows when this gets faster, so new / old of it is old / new of the time
        to_torch = shift(_batches(ratios[1]), _batches(ratios[0]), confidence=confidence) if ratios else None
    if (runs := (len(mine[key]), len(yours[key]))) != (1, 1):
        notes.append(f"{POOLED}: {runs[0]} and {runs[1]}")
    judged = to_torch if gate.relative and to_torch is not None else time
    verdict, state, machine = gate.verdict(judged), gate.state(judged), ""
    if where := _noisy(mine, yours, (key, torch) if gate.relative and torch else (key,)):
        verdict = state = "undecided"
        notes.append(f"undecided: too few clean samples {' and '.join(where)}")
    elif judged is time and (doubt := _doubt(mine[key], yours[key])):  # the ratio to torch cancels it
        verdict = state = "undecided"
        notes.append(f"undecided: {doubt}")
    elif steady and judged is time and to_torch is not None and not _goes_with(verdict, to_torch, gate):
        machine = (
            f"not {verdict} relative to torch by more than {percent(gate.margin)} in the same rounds, so it may have "
            "been the machine"
        )
    elif (
        judged is not time
        and torch
        and (moved := _larger_of_torch(judged, mine[torch], yours[torch], gate, confidence))
    ):
        machine = (
            f"torch itself became {gate.verdict(moved)} here (time before/after: {moved.ratio:.2f}), and what changed "
            "it need not change both alike"
        )
    if machine:
        notes.append(f"undecided: {machine}")
        verdict, state = "undecided", "undecided" if state == "regression" else state
    return RowChange(
        key=key,
        before_s=_median(mine[key]),
        after_s=_median(yours[key]),
        time=time,
        to_torch=to_torch,
        judged=judged,
        verdict=verdict,
        state=state,
        note="; ".join(notes),
        noisy=_noisy(mine, yours, (key,)),
    )


def _noisy(
    mine: Mapping[RowKey, list[Result]], yours: Mapping[RowKey, list[Result]], keys: Sequence[RowKey]
) -> tuple[str, ...]:
    """In which files too few samples were clean for a verdict."""
    return tuple(
        name
        for name, side in (("before", mine), ("after", yours))
        if any(isinstance(one.outcome, Timed) and one.outcome.noise.noisy for key in keys for one in side[key])
    )


def _doubt(mine: Iterable[Result], yours: Iterable[Result]) -> str:
    """Why the times of one row are not those of an undisturbed machine, and in which file; "" if they are."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, side in (("before", mine), ("after", yours)):
        for words in dict.fromkeys(one.outcome.noise.doubt for one in side if isinstance(one.outcome, Timed)):
            found[words].append(name)
    return "; ".join(f"{words} {' and '.join(where)}" for words, where in found.items() if words)


def _goes_with(verdict: str, found: Shift, gate: Gate) -> bool:
    """Whether a factor is beyond the margin in the direction of a verdict.

    Of a backend's time relative to torch: whether it also changed by itself, so it was not only the machine. One that
    drops out early only has samples of about a second: a change of the machine then looks like its own.
    """
    match verdict:
        case "faster":
            return found.ratio > 1 + gate.margin
        case "slower":
            return found.ratio < 1 / (1 + gate.margin)
    return True


def _larger_of_torch(
    to_torch: Shift, mine: Iterable[Result], yours: Iterable[Result], gate: Gate, confidence: float
) -> Shift | None:
    """torch's own change, if that is certain, and one relative to torch in the other direction is less than half of it.

    A change in the same direction is not doubted: it shows in the time itself.
    """
    if gate.verdict(to_torch) not in ("faster", "slower") and gate.state(to_torch) != "regression":
        return None
    torch = _samples_shift(mine, yours, confidence)
    moved = gate.verdict(torch) in ("faster", "slower")
    return torch if moved and 0 < -log(to_torch.ratio) / log(torch.ratio) < OF_TORCH else None


def _doubted(torch: RowChange, block: Iterable[RowChange], gate: Gate) -> RowChange:
    """torch's own row; undecided if most of the others of its case changed with it, so it may have been the machine.

    One changed with it if its time changed the same way, and torch certainly did not change more.
    """
    others = [row for row in block if row.to_torch is not None]  # which torch's own row has not
    if torch.verdict not in ("faster", "slower") or not others:
        return torch
    opposite = "faster" if torch.verdict == "slower" else "slower"  # what another is to a torch that changed more
    with_it = [
        row
        for row in others
        if row.to_torch and _goes_with(torch.verdict, row.time, gate) and gate.verdict(row.to_torch) != opposite
    ]
    if 2 * len(with_it) <= len(others):
        return torch
    words = (
        f"undecided: most other backends became {torch.verdict} too, and torch did not clearly change more than they, "
        f"so it may have been the machine"
    )
    return replace(
        torch,
        verdict="undecided",
        state="undecided" if torch.state == "regression" else torch.state,
        note="; ".join(filter(None, (torch.note, words))),
    )


def _samples(results: Iterable[Result]) -> list[tuple[float, ...]]:
    return [result.outcome.samples_s for result in results if isinstance(result.outcome, Timed)]


def _rounds(results: Iterable[Result]) -> list[dict[int, float]]:
    return [result.outcome.by_round for result in results if isinstance(result.outcome, Timed)]


def _median(results: Iterable[Result]) -> float:
    return median(value for run in _samples(results) for value in run)


def _samples_shift(mine: Iterable[Result], yours: Iterable[Result], confidence: float) -> Shift:
    old, new = _samples(mine), _samples(yours)
    if old == new:  # the same measurement in both files has not changed, however noisy it was
        return Shift(ratio=1.0, low=1.0, high=1.0)
    return shift(_batches(old), _batches(new), confidence=confidence)


def _batches(runs: Sequence[Sequence[float]]) -> list[float]:
    """The batches of several runs: more runs show how runs differ, and must not narrow the interval."""
    each = MOST_BATCHES // len(runs)
    if not each:
        return batch_medians([median(run) for run in runs])
    return [value for run in runs for value in batch_medians(run, each)]


def _ratios(
    key: RowKey,
    torch_of: Mapping[RowKey, RowKey],
    mine: Mapping[RowKey, list[Result]],
    yours: Mapping[RowKey, list[Result]],
) -> tuple[list[list[float]], list[list[float]]] | None:
    """torch / this, round by round, of each run in both files; None if a run has no torch."""
    torch = torch_of.get(key.block)
    if torch is None or torch == key or _regimes(mine[torch]) != _regimes(mine[key]):
        return None
    sides = []
    for side in (mine, yours):
        base, own = _rounds(side[torch]), _rounds(side[key])
        if len(base) != len(own):
            return None
        pairs = zip(base, own, strict=True)
        ratios = [[them[number] / us[number] for number in us if number in them] for them, us in pairs]
        if not all(ratios):
            return None
        sides.append(ratios)
    return sides[0], sides[1]


def _wholes(rows: Iterable[RowChange]) -> list[Whole]:
    groups: dict[str, list[Shift]] = defaultdict(list)
    for row in rows:
        groups[row.key.backend].append(row.judged)
    return [Whole(backend=name, rows=len(group), factor=_mean(group)) for name, group in groups.items()]


def _mean(shifts: Sequence[Shift]) -> Shift:
    def mean(values: Iterable[float]) -> float:
        return exp(sum(map(log, values)) / len(shifts))

    known = all(one.low > 0 and one.high < inf for one in shifts)
    return Shift(
        ratio=mean(one.ratio for one in shifts),
        low=mean(one.low for one in shifts) if known else 0.0,
        high=mean(one.high for one in shifts) if known else inf,
    )
