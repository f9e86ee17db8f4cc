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


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """The least time that the direct algorithm can take on this machine, by measured ceilings.

    Attributes:
        time_s: seconds.
        bound: what decides it: compute, memory or launch.
        flops_per_s, bytes_per_s: the ceilings that it was computed with.
        probe: what reached the one that decides; empty for launch.
    """

    time_s: float
    bound: str
    flops_per_s: float
    bytes_per_s: float
    probe: str

    def percent(self, time_s: float) -> float:
        """How much of the speed at the roofline a call of `time_s` seconds has."""
        return 100 * self.time_s / time_s


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
        roofline: the least time; None where no ceilings were measured.
        actual_flops: operations that the backend does, where they are known.
        flag: what is suspicious about the median against the roofline; empty for nothing.
    """

    check: Check
    samples_s: tuple[float, ...]
    bill: Bill
    comparison: Comparison | None = None
    roofline: Roofline | None = None
    actual_flops: int | None = None
    flag: str = ""

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
