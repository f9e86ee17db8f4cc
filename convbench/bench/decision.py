"""What does it cost to use one backend everywhere, rather than the best for each layer?"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log

from convbench.backend import BASELINE
from convbench.case import Problem, RowKey
from convbench.outcome import Result, Timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One backend over the cases of a suite that agree in all but the problem.

    Attributes:
        done, cases: how many of the cases it was timed on, of those that any backend was.
        geomean: geometric mean of torch's time over its own, where both were timed; None without any.
        total_s: seconds for all layers, each as often as its model has it; None unless all were done.
        regret: how much longer that is than with the quickest for each layer.
    """

    backend: str
    done: int
    cases: int
    geomean: float | None
    total_s: float | None
    regret: float | None


def sizes_apart(problems: Iterable[Problem]) -> bool:
    """Whether several layers stand there in several sizes: then each size is a whole of its own."""
    problems = list(problems)
    return len({one.size for one in problems}) > 1 and len({one.layer for one in problems}) > 1


def paired_times(results: Iterable[Result]) -> dict[RowKey, dict[str, float]]:
    """Seconds a call by block of rows and backend, fit to be compared with each other.

    Where the baseline was timed, that is its median over the paired ratio: who is decided early
    has medians of other moments than who stays to the end.
    """
    results = list(results)
    base_s = {
        result.key().block: result.outcome.median_s
        for result in results
        if result.backend == BASELINE and isinstance(result.outcome, Timed)
    }
    times: dict[RowKey, dict[str, float]] = defaultdict(dict)
    for result in results:
        if isinstance(result.outcome, Timed):
            block, compared = result.key().block, result.outcome.comparison
            paired_s = base_s[block] / compared.ratio if compared and block in base_s else None
            times[block][result.backend] = paired_s or result.outcome.median_s
    return dict(times)


def standings(results: Iterable[Result]) -> list[Standing]:
    """The backends that were timed at all, the cheapest whole first."""
    results = list(results)
    times = paired_times(results)
    ratios: dict[str, list[float]] = defaultdict(list)
    for result in results:
        if isinstance(result.outcome, Timed):
            if result.backend == BASELINE:
                ratios[BASELINE].append(1.0)
            elif result.outcome.comparison is not None:
                ratios[result.backend].append(result.outcome.comparison.ratio)
    counts = {result.key().block: result.case.problem.count for result in results}
    best_s = sum(counts[block] * min(row.values()) for block, row in times.items())
    found = []
    for backend in dict.fromkeys(name for row in times.values() for name in row):
        own = [counts[block] * row[backend] for block, row in times.items() if backend in row]
        total_s = sum(own) if len(own) == len(times) else None
        own_ratios = ratios[backend]
        found.append(
            Standing(
                backend=backend,
                done=len(own),
                cases=len(times),
                geomean=exp(sum(map(log, own_ratios)) / len(own_ratios)) if own_ratios else None,
                total_s=total_s,
                regret=None if total_s is None else total_s / best_s - 1,
            )
        )
    return sorted(found, key=lambda one: (one.total_s is None, one.total_s or 0.0, -one.done))
