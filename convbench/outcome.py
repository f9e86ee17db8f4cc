"""What came of one backend on one case?"""

from dataclasses import dataclass
from statistics import median, quantiles

from convbench.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One output against the float64 oracle.

    Attributes:
        worst_of_bound: the largest error as a share of its own bound; at most 1 is right.
        relative_l2: norm of the error over norm of the truth.
        evidence: where and how it is wrong; None when it is right.
    """

    worst_of_bound: float
    relative_l2: float
    evidence: str | None = None

    @property
    def passed(self) -> bool:
        return self.evidence is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a backend costs besides its steady time: seconds, bytes, and what really ran."""

    prepare_s: float | None
    first_call_s: float
    peak_nbytes: int | None = None
    ran: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Paired ratios, the baseline's time over this backend's: above 1 is faster.

    Attributes:
        ratio: median of the paired ratios.
        low, high: a distribution-free confidence interval of that median.
        verdict: faster, slower, tie or undecided.
    """

    ratio: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The output lies within its bound, and the inputs are unharmed."""

    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Right before the timing and after it, and timed.

    Attributes:
        samples_s: seconds a call, one for each interleaved round, in order.
        comparison: against the baseline; None for the baseline itself or without one.
    """

    check: Check
    samples_s: tuple[float, ...]
    bill: Bill
    comparison: Comparison | None = None

    @property
    def median_s(self) -> float:
        return median(self.samples_s)

    @property
    def quartiles_s(self) -> tuple[float, float]:
        if len(self.samples_s) < 2:
            return (self.samples_s[0], self.samples_s[0])
        first, _, third = quantiles(self.samples_s, n=4, method="inclusive")
        return (first, third)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not done, for a reason that is no fault: never a pass."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """It answered, and the answer is provably wrong."""

    check: Check


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised, ran out of memory, or did not run what it promises to run."""

    message: str


Outcome = Verified | Timed | Skipped | Wrong | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row: a case, a backend by name, and the outcome."""

    case: Case
    backend: str
    family: str
    outcome: Outcome
