"""By what factor did times change between two runs that were not interleaved?

Samples of one run resemble their neighbours, so they are first gathered into batches of
consecutive rounds, and the medians of the batches are compared (the method of batch means:
Schmeiser 1982, Batch size effects in the analysis of simulation output). The interval is that of
Hodges and Lehmann for a shift, here of logarithms, from the exact distribution of the Mann-Whitney
statistic (Lehmann 1963; Hollander, Wolfe and Chicken 2013, Nonparametric Statistical Methods,
section 4.3). It assumes no distribution, but that both runs have the same one but for the factor,
and that batches are independent. What moved the whole machine between two runs is not part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import comb, exp, inf, log
from statistics import median

# On shipped results, the first half of each row against its second, 16 batches gave a third fewer false
# alarms than 32; their interval still reaches an error of 2 / C(32, 16) = 3e-9.
MOST_BATCHES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A factor with its interval; (0, inf) where the samples are too few for the confidence."""

    ratio: float
    low: float
    high: float


def shift(before: Sequence[float], after: Sequence[float], *, confidence: float) -> Shift:
    """The factor before / after between two independent sets of positive values.

    Args:
        before, after: medians of batches, in any unit; at least one each.
        confidence: that the interval encloses the factor.
    """
    ours, theirs = list(map(log, before)), list(map(log, after))
    shifts = sorted(one - other for one in ours for other in theirs)
    rank = _rank(len(before), len(after), confidence)
    low, high = (exp(shifts[rank - 1]), exp(shifts[-rank])) if rank else (0.0, inf)
    return Shift(ratio=exp(median(shifts)), low=low, high=high)


def batch_medians(samples: Sequence[float], most: int = MOST_BATCHES) -> list[float]:
    """The medians of at most `most` batches of consecutive samples, as equal in length as can be."""
    count = min(most, len(samples))
    edges = [number * len(samples) // count for number in range(count + 1)] if count else []
    return [median(samples[start:end]) for start, end in pairwise(edges)]


def _rank(n: int, m: int, confidence: float) -> int:
    """The largest k with P(U < k) <= (1 - confidence) / 2; 0 where even k = 1 is too much."""
    allowed = (1 - confidence) / 2 * comb(n + m, n)
    rank = below = 0
    for ways in _orderings(n, m):
        below += ways
        if below > allowed:
            break
        rank += 1
    return rank


@lru_cache(maxsize=4 * MOST_BATCHES**2)
def _orderings(n: int, m: int) -> tuple[int, ...]:
    """How many of the C(n + m, n) orders of two samples have the Mann-Whitney statistic 0, 1, ..., n*m.

    The coefficients of the Gaussian binomial, the product of (1 - q^(m+i)) / (1 - q^i) for
    i = 1..n: Andrews 1976, The Theory of Partitions, chapter 3.
    """
    ways = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for degree in range(n * m, m + i - 1, -1):
            ways[degree] -= ways[degree - m - i]
        for degree in range(i, n * m + 1):
            ways[degree] += ways[degree - i]
    return tuple(ways)
