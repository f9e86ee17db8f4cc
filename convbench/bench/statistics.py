"""Which of two interleaved candidates is faster, without assuming a distribution?"""

from collections.abc import Sequence
from math import comb, inf
from statistics import median

from convbench.outcome import Comparison

CONFIDENCE = 0.99
# Two backends within this factor of each other are a tie for whoever has to choose one.
TIE_MARGIN = 0.03


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """A confidence interval of the median from order statistics, for any distribution.

    The k-th smallest and k-th largest of n values enclose the median with probability
    1 - 2 * P(Binomial(n, 1/2) < k): David and Nagaraja 2003, Order Statistics, section 7.1.
    Too few values for the confidence give (-inf, inf).
    """
    n, ordered = len(values), sorted(values)
    tail, k = 0.0, 0  # tail = P(Binomial(n, 1/2) < k)
    while k < n // 2 and tail + comb(n, k) / 2**n <= (1 - confidence) / 2:
        tail += comb(n, k) / 2**n
        k += 1
    return (ordered[k - 1], ordered[n - k]) if k else (-inf, inf)


def compare(
    baseline_s: Sequence[float],
    candidate_s: Sequence[float],
    *,
    candidates: int = 1,
    confidence: float = CONFIDENCE,
    margin: float = TIE_MARGIN,
) -> Comparison:
    """The paired ratios baseline / candidate, round by round; above 1 the candidate is faster.

    Args:
        candidates: how many are compared with this baseline; the error is shared out among
            them (Bonferroni), so that `confidence` holds for all verdicts of a case together.
    """
    ratios = [base / own for base, own in zip(baseline_s, candidate_s, strict=True)]
    low, high = median_interval(ratios, 1 - (1 - confidence) / candidates)
    if low >= 1 / (1 + margin) and high <= 1 + margin:
        verdict = "tie"
    elif low > 1:
        verdict = "faster"
    elif high < 1:
        verdict = "slower"
    else:
        verdict = "undecided"
    return Comparison(ratio=median(ratios), low=low, high=high, verdict=verdict)
