"""Which of two interleaved candidates is faster, without assuming a distribution?"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from statistics import median

from convbench.outcome import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When is a verdict allowed?

    Attributes:
        confidence: of all verdicts of a case together, however often the samples were looked at.
        margin: two backends that cannot be told apart, but lie within this factor of each other, are a tie.
        least: clean pairs below which no verdict is given.
    """

    confidence: float = 0.99
    margin: float = 0.02
    least: int = 12

    def verdict(self, ratio: float, low: float, high: float) -> str:
        """What the ratio baseline / candidate and its interval say.

        An interval holds for the run that it comes from, and what nobody can hold still (where the
        operands lie, who else uses the cache) moves ratios by some thousandths from run to run. So a
        difference must be sure, and half the margin in size.
        """
        if low > 1 and ratio >= 1 + self.margin / 2:
            return "faster"
        if high < 1 and ratio <= 1 / (1 + self.margin / 2):
            return "slower"
        return "tie" if low >= 1 / (1 + self.margin) and high <= 1 + self.margin else "undecided"


def median_interval(values: Sequence[float], error: float) -> tuple[float, float]:
    """An interval that misses the median with probability `error` at most, for any distribution.

    The k-th smallest and k-th largest of n values enclose the median with probability
    1 - 2 * P(Binomial(n, 1/2) < k): David and Nagaraja 2003, Order Statistics, section 7.1.
    Too few values for the error give (-inf, inf).
    """
    n, ordered = len(values), sorted(values)
    allowed = Fraction(error / 2) * 2**n  # exact: 2^n leaves the range of a float at n = 1024
    k, below, ways = 0, 0, 1  # below = 2^n * P(Binomial(n, 1/2) < k), ways = n over k
    while k < n // 2 and below + ways <= allowed:
        below += ways
        ways = ways * (n - k) // (k + 1)
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k else (-inf, inf)


def compare(ratios: Sequence[float], error: float, rule: Rule) -> Comparison:
    """What the paired ratios baseline / candidate say, round by round; above 1 the candidate is faster.

    Args:
        ratios: one for each round; not empty.
        error: the probability of a miss that this look may spend.
    """
    (low, high), ratio = median_interval(ratios, error), median(ratios)
    return Comparison(ratio=ratio, low=low, high=high, verdict=rule.verdict(ratio, low, high))
