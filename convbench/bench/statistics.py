"""Which of two interleaved candidates is faster, without assuming a distribution?"""

from collections.abc import Iterator, Sequence
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
        margin: two backends within this factor of each other are a tie for whoever has to choose.
        first_look: pairs before the samples are looked at for the first time.
    """

    confidence: float = 0.99
    margin: float = 0.015
    first_look: int = 12

    def looks(self) -> Iterator[int]:
        """The numbers of pairs at which a verdict may be given: each a quarter more than the last."""
        pairs = self.first_look
        while True:
            yield pairs
            pairs += max(1, pairs // 4)

    def verdict(self, low: float, high: float) -> str:
        """What an interval of the ratio baseline / candidate says."""
        if low >= 1 / (1 + self.margin) and high <= 1 + self.margin:
            return "tie"
        if low > 1:
            return "faster"
        return "slower" if high < 1 else "undecided"


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """A confidence interval of the median from order statistics, for any distribution.

    The k-th smallest and k-th largest of n values enclose the median with probability
    1 - 2 * P(Binomial(n, 1/2) < k): David and Nagaraja 2003, Order Statistics, section 7.1.
    Too few values for the confidence give (-inf, inf).
    """
    n, ordered = len(values), sorted(values)
    allowed = Fraction((1 - confidence) / 2) * 2**n  # exact: 2^n leaves the range of a float at n = 1024
    k, below, ways = 0, 0, 1  # below = 2^n * P(Binomial(n, 1/2) < k), ways = n over k
    while k < n // 2 and below + ways <= allowed:
        below += ways
        ways = ways * (n - k) // (k + 1)
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k else (-inf, inf)


def compare(
    baseline_s: Sequence[float], candidate_s: Sequence[float], *, candidates: int = 1, rule: Rule | None = None
) -> Comparison:
    """The paired ratios baseline / candidate, round by round; above 1 the candidate is faster.

    The samples may be looked at again and again, and the timing stopped at a verdict: look
    number i spends the share 1/(i*(i+1)) of the allowed error, which adds up to 1, so by the
    union bound all intervals hold together. The error is also shared out among the candidates
    (Bonferroni). That holds for samples that do not drift; because some do (a thread pool was
    seen to settle for a second), a verdict must come out the same at two looks in a row.

    Args:
        baseline_s, candidate_s: samples of the same rounds, in order.
        candidates: how many are compared with this baseline.
    """
    rule = rule or Rule()
    ratios = [base / own for base, own in zip(baseline_s, candidate_s, strict=True)]
    error = (1 - rule.confidence) / candidates
    low, high, verdict, before = -inf, inf, "undecided", ""
    for number, pairs in enumerate(rule.looks(), start=1):
        if pairs > len(ratios):
            verdict = "undecided"
            break
        low, high = median_interval(ratios[:pairs], 1 - error / (number * (number + 1)))
        verdict = rule.verdict(low, high)
        if verdict == before != "undecided":
            break
        before = verdict
    return Comparison(ratio=median(ratios), low=low, high=high, verdict=verdict)
