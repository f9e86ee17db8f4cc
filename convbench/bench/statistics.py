"""Which of two interleaved candidates is faster, without assuming a distribution?"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from math import exp, inf, log, sqrt
from statistics import NormalDist, median

from convbench.outcome import PairedRatio

FEWEST_FOR_MODES = 12
LEAST_SHARE, LEAST_APART, MOST_WITHIN = 1 / 7, 1.2, 1 / 8
MOST_SORTED = 1000  # values up to which the averages of all pairs are computed, half a million of them
MOST_EXACT = 60  # values up to which the signed-rank distribution is counted out; its tails are below the normal ones


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRule:
    """When is a verdict allowed?

    Attributes:
        confidence: joint confidence of all verdicts of a case, however often the samples are checked.
        margin: two backends that cannot be told apart, but are within this factor of each other, are a tie.
        least: clean pairs below which no verdict is given.
    """

    confidence: float = 0.998
    margin: float = 0.02
    least: int = 12

    def verdict(self, ratio: float, low: float, high: float) -> str:
        """The verdict of the ratio baseline / candidate and its interval.

        An interval holds for the run it comes from, and effects that cannot be controlled (where the
        operands are, what else uses the cache) change ratios by some thousandths from run to run. So a
        difference must be certain, and at least half the margin in size.
        """
        if low > 1 and ratio >= 1 + self.margin / 2:
            return "faster"
        if high < 1 and ratio <= 1 / (1 + self.margin / 2):
            return "slower"
        return "tie" if low >= 1 / (1 + self.margin) and high <= 1 + self.margin else "undecided"


def compare(ratios: Sequence[float], error: float, rule: VerdictRule) -> PairedRatio:
    """The verdict of the paired ratios baseline / candidate, round by round; above 1 the candidate is faster.

    If the ratios have two modes, a verdict only holds if each of them alone would give the same.

    Args:
        ratios: one for each round; positive, and not empty.
        error: the probability of a miss that this look may spend.
    """
    ratio, low, high = map(exp, centre([log(one) for one in ratios], error))
    verdict = rule.verdict(ratio, low, high)
    if any(rule.verdict(mode.centre, mode.centre, mode.centre) != verdict for mode in modes(ratios)):
        verdict = "undecided"
    return PairedRatio(ratio=ratio, low=low, high=high, verdict=verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One of two clusters of samples: its share of them, and its median."""

    share: float
    centre: float


def modes(values: Sequence[float]) -> tuple[Mode, ...]:
    """The two modes of positive values, the smaller first; nothing where they have one.

    The logarithms are cut in two where that leaves the least variance within (Otsu 1979, A threshold
    selection method from gray-level histograms). Two modes they are when each holds a seventh of the
    values, the medians are a fifth apart, and the variance within is an eighth of the whole at most: cutting
    a normal distribution leaves 0.36 of it (1 - 2 / pi), an even one 0.25.
    """
    ordered = sorted(map(log, values))
    count = len(ordered)
    if count < FEWEST_FOR_MODES:
        return ()
    sums = [0.0, *accumulate(ordered)]
    squares = [0.0, *accumulate(one * one for one in ordered)]

    def spread(start: int, end: int) -> float:
        """Sum of squared deviations of a part."""
        return squares[end] - squares[start] - (sums[end] - sums[start]) ** 2 / (end - start)

    cut = min(range(1, count), key=lambda place: spread(0, place) + spread(place, count))
    parts = [ordered[:cut], ordered[cut:]]
    found = tuple(Mode(share=len(part) / count, centre=exp(median(part))) for part in parts)
    apart = found[1].centre / found[0].centre
    whole, within = spread(0, count), spread(0, cut) + spread(cut, count)
    if min(mode.share for mode in found) < LEAST_SHARE or apart < LEAST_APART or within > MOST_WITHIN * whole:
        return ()
    return found


def centre(values: Sequence[float], error: float) -> tuple[float, float, float]:
    """The centre of symmetry of `values`, and an interval that misses it with probability `error` at most.

    Estimate and interval are order statistics of the Walsh averages, the means of all n (n + 1) / 2
    pairs of values, each paired with itself as well: Hodges and Lehmann 1963, Estimates of location
    based on rank tests; Hollander, Wolfe and Chicken 2013, Nonparametric Statistical Methods,
    sections 3.2 and 3.3. They hold for any symmetric distribution. Where the noise is normal they need
    two thirds of the values that the median does, and fewer still where it has two peaks.
    Too few values for the error give (-inf, inf).

    Returns:
        The estimate, the low end and the high end. Beyond MOST_SORTED values each is to a billionth of their range,
        and rounded so the interval is never the smaller for it.
    """
    n = len(values)
    count, rank = n * (n + 1) // 2, signed_rank(n, error)
    ends = (rank, count + 1 - rank) if rank else ()
    found = _walsh_averages(values, ((count + 1) // 2, count // 2 + 1, *ends))
    middle = (found[0][1] + found[1][0]) / 2
    return (middle, found[2][0], found[3][1]) if rank else (middle, -inf, inf)


def signed_rank(n: int, error: float) -> int:
    """The largest k with P(T < k) <= error / 2, for Wilcoxon's signed-rank statistic T of n values; 0 without any.

    Beyond MOST_EXACT values T counts as normal, without a correction for its steps. Its tails are
    lighter (its fourth cumulant is negative), so for an error of 0.08 or less the interval covers more than it says.
    """
    if error <= 0:
        return 0
    if n <= MOST_EXACT:
        allowed, below, rank = Fraction(error / 2) * 2**n, 0, 0
        for ways in _subsets(n):
            below += ways
            if below > allowed:
                break
            rank += 1
        return rank
    mean, deviation = n * (n + 1) / 4, sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return max(0, int(mean + deviation * NormalDist().inv_cdf(error / 2)))


@lru_cache(maxsize=MOST_EXACT + 1)
def _subsets(n: int) -> tuple[int, ...]:
    """How many of the 2^n subsets of the ranks 1..n have the sum 0, 1, ..., n (n + 1) / 2."""
    ways = [1]
    for rank in range(1, n + 1):
        ways = [a + b for a, b in zip(ways + [0] * rank, [0] * rank + ways, strict=True)]
    return tuple(ways)


def _walsh_averages(values: Sequence[float], places: Sequence[int]) -> list[tuple[float, float]]:
    """Two ends that enclose the Walsh average of each place, counted from 1 in ascending order."""
    import numpy as np  # here, for tables are drawn without it

    n = len(values)
    if n > MOST_SORTED:
        ordered = sorted(values)
        return [_walsh_average(ordered, place) for place in places]
    own = np.array(values)
    sums = np.add.outer(own, own)[np.tri(n, dtype=bool)]
    sums.partition([place - 1 for place in places])
    return [(float(sums[place - 1]) / 2,) * 2 for place in places]


def _walsh_average(ordered: Sequence[float], place: int) -> tuple[float, float]:
    """Two ends that enclose the Walsh average of this place, by bisection: there may be ten million."""
    low, high = ordered[0], ordered[-1]
    if _pairs_up_to(ordered, 2 * low) >= place:
        return low, low
    close = (high - low) * 1e-9
    while high - low > close and low < (between := (low + high) / 2) < high:
        if _pairs_up_to(ordered, 2 * between) >= place:
            high = between
        else:
            low = between
    return low, high


def _pairs_up_to(ordered: Sequence[float], most: float) -> int:
    """How many pairs, each with itself as well, have a sum of at most `most`."""
    count, last = 0, len(ordered) - 1
    for first, value in enumerate(ordered):
        while last >= first and value + ordered[last] > most:
            last -= 1
        if last < first:
            break
        count += last - first + 1
    return count
