"""What does it cost to use one backend everywhere, instead of the best one per layer?

There are two kinds of numbers, which are never mixed. Seconds are measured medians. Which of two is faster, and by
how much, only depends on the ratios of shared rounds: medians may be from different moments.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, log

from convbench.backend import BASELINE
from convbench.case import Problem, RowKey
from convbench.outcome import PairedRatio, Result, Timed

ITSELF = PairedRatio(ratio=1.0, low=1.0, high=1.0, verdict="tie")  # the baseline against itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One backend over the cases of a suite that only differ in the problem.

    Attributes:
        done, cases: how many cases it was timed on, and how many any backend was.
        geomean: geometric mean of the ratios to the baseline; None unless it covers all cases, because a mean over
            different cases is not comparable.
        total_s: seconds for all layers, each as often as in its model, from its own medians; None unless all were
            done.
        regret: how much longer that is than with the fastest per layer, by the ratios; None if one is missing.
    """

    backend: str
    done: int
    cases: int
    geomean: float | None
    total_s: float | None
    regret: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """A suite as a whole.

    Attributes:
        found: the backends that were timed: ranked by regret, or in their own order without a ranking.
        unsure, compared: how many rows are undecided or noisy, and how many were compared with the baseline.
        ranked: whether there is a ranking: not if most rows are undecided or noisy.
        winner, second: the first two of the ranking; None without one, or without two in it.
        level: whether these two are a tie: no verdict separates them, or the medians contradict the order.
    """

    found: tuple[Standing, ...]
    unsure: int
    compared: int
    ranked: bool
    winner: Standing | None
    second: Standing | None
    level: bool


def sizes_apart(problems: Iterable[Problem]) -> bool:
    """Whether several layers occur in several sizes: then each size is summarised separately."""
    problems = list(problems)
    return len({one.size for one in problems}) > 1 and len({one.layer for one in problems}) > 1


def standings(results: Iterable[Result]) -> Standings:
    """Every backend everywhere, and which one is best, if that is known."""
    blocks = _blocks(results)
    against = {block: _against_baseline(row) for block, row in blocks.items()}
    compared = [one for row in against.values() for one in row.values() if one is not ITSELF]
    unsure = sum(one.verdict == "undecided" for one in compared)
    ranked = 2 * unsure <= len(compared)
    best = {block: max(one.ratio for one in row.values()) for block, row in against.items() if row}
    found = []
    for backend in dict.fromkeys(name for row in blocks.values() for name in row):
        done = [block for block, row in blocks.items() if backend in row]
        whole = len(done) == len(blocks)
        total_s = _total_s(backend, blocks) if whole else None
        geomean = regret = None
        if ranked and all(backend in row for row in against.values()):
            weights = {block: _count(row) * _timed(row[BASELINE]).median_s for block, row in blocks.items()}
            ratios = {block: row[backend].ratio for block, row in against.items()}
            geomean = exp(sum(map(log, ratios.values())) / len(ratios))
            least_s = sum(weights[block] / best[block] for block in blocks)
            regret = sum(weights[block] / ratios[block] for block in blocks) / least_s - 1
        found.append(
            Standing(
                backend=backend, done=len(done), cases=len(blocks), geomean=geomean, total_s=total_s, regret=regret
            )
        )
    if ranked:
        found.sort(key=lambda one: (one.regret is None, one.regret or 0.0, -one.done))
    first = [one for one in found if one.regret is not None][:2]
    winner, second = first if len(first) == 2 else (None, None)
    return Standings(
        found=tuple(found),
        unsure=unsure,
        compared=len(compared),
        ranked=ranked,
        winner=winner,
        second=second,
        level=winner is not None and second is not None and _level(winner, second, list(against.values())),
    )


def _level(winner: Standing, second: Standing, against: Sequence[Mapping[str, PairedRatio]]) -> bool:
    """Whether nothing separates the first two: the medians say otherwise, or every verdict between them is a tie."""
    assert winner.total_s is not None
    assert second.total_s is not None
    if winner.total_s >= second.total_s:
        return True
    both = [(row[winner.backend], row[second.backend]) for row in against]
    return not any(_apart(one, other) or _apart(other, one) for one, other in both)


def winners(results: Iterable[Result]) -> dict[RowKey, str]:
    """By block of rows the backend that is faster than all others: its interval is above theirs.

    The intervals of a case hold jointly. A block without such a backend has no winner, and neither has one in which the
    medians contradict, or whose best row is undecided.
    """
    found = {}
    for block, row in _blocks(results).items():
        against = _against_baseline(row)
        ranked = sorted(against, key=lambda name: against[name].ratio, reverse=True)
        if len(ranked) < 2:
            continue
        first, *others = ranked
        apart = all(_apart(against[first], against[other]) for other in others)
        if apart and all(_timed(row[first]).median_s < _timed(row[other]).median_s for other in others):
            found[block] = first
    return found


def leaders(results: Iterable[Result]) -> frozenset[str]:
    """The backends that cannot be told from the fastest, over all cases together; empty where that is unknown.

    A backend is told apart where even the least time that its intervals allow is above the most that those of the
    fastest allow: all cases added up, each layer as often as in its model. Only backends that were timed on every case
    count. It is unknown if fewer than two were, without the baseline, or if one of the leaders would be a backend with
    an undecided row.
    """
    blocks = _blocks(results)
    against = {block: _against_baseline(row) for block, row in blocks.items()}
    names = [
        name for name in dict.fromkeys(name for row in against.values() for name in row) if _everywhere(name, against)
    ]
    if len(names) < 2:
        return frozenset()
    spans = {name: _span_s(name, blocks, against) for name in names}
    first = min(names, key=lambda name: spans[name][1])
    level = {first}
    for name in names:
        slower = spans[name][0] > spans[first][2] and _total_s(name, blocks) > _total_s(first, blocks)
        noisy = any(_timed(row[name]).noise.noisy for row in blocks.values())
        apart = any(_told_apart(row[first], row[name]) for row in against.values())
        if noisy or not (slower and apart):
            level.add(name)
    unsure = any(row[name].verdict == "undecided" for row in against.values() for name in level)
    return frozenset() if unsure else frozenset(level)


def _everywhere(name: str, against: Mapping[RowKey, Mapping[str, PairedRatio]]) -> bool:
    return all(name in row for row in against.values())


def _span_s(
    name: str, blocks: Mapping[RowKey, Mapping[str, Result]], against: Mapping[RowKey, Mapping[str, PairedRatio]]
) -> tuple[float, float, float]:
    """The least, the likely and the most seconds for all cases, by the ratios to the baseline."""
    totals = [0.0, 0.0, 0.0]
    for block, row in against.items():
        weight_s = _count(blocks[block]) * _timed(blocks[block][BASELINE]).median_s
        for place, ratio in enumerate((row[name].high, row[name].ratio, row[name].low)):
            totals[place] += weight_s / ratio if ratio > 0 else inf
    return totals[0], totals[1], totals[2]


def _total_s(name: str, blocks: Mapping[RowKey, Mapping[str, Result]]) -> float:
    return sum(_count(row) * _timed(row[name]).median_s for row in blocks.values())


def _told_apart(one: PairedRatio, other: PairedRatio) -> bool:
    """As `_apart`; of an undecided row its interval counts."""
    return _apart(one, other) or (ITSELF not in (one, other) and one.low > other.high)


def _apart(one: PairedRatio, other: PairedRatio) -> bool:
    """Whether `one` is certainly faster than `other`: by its verdict against the baseline, else by the intervals."""
    if one is ITSELF:
        return other.verdict == "slower"
    if other is ITSELF:
        return one.verdict == "faster"
    return "undecided" not in (one.verdict, other.verdict) and one.low > other.high


def _blocks(results: Iterable[Result]) -> dict[RowKey, dict[str, Result]]:
    """The timed rows, by block of rows and backend."""
    found: dict[RowKey, dict[str, Result]] = defaultdict(dict)
    for result in results:
        if isinstance(result.outcome, Timed):
            found[result.key().block][result.backend] = result
    return dict(found)


def _against_baseline(row: Mapping[str, Result]) -> dict[str, PairedRatio]:
    """The ratios of a block; none where the baseline was not timed."""
    if BASELINE not in row:
        return {}
    ratios = {name: _timed(result).comparison for name, result in row.items()}
    return {name: one for name, one in {**ratios, BASELINE: ITSELF}.items() if one is not None}


def _timed(result: Result) -> Timed:
    assert isinstance(result.outcome, Timed)
    return result.outcome


def _count(row: Mapping[str, Result]) -> int:
    """How often the layer occurs in the model."""
    return next(iter(row.values())).case.problem.count
