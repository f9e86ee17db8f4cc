"""What is the outcome of one backend on one case?"""

from dataclasses import dataclass, replace
from typing import Any, Self

from convbench.case import Case, RowKey

# How a timed call is made: by the host, or replayed from a captured graph. And where its operands are: in the caches
# from the call before, or in memory.
TIMINGS = ("eager", "graph")
CACHES = ("hot", "cold")
LAUNCHING = 0.8  # of an eager call's time; if the host takes more than this, the device waits


def launch_bound(wall_s: float, host_s: float) -> bool:
    """Whether an eager call waits for its host, by the seconds until the device is idle and until the host is free."""
    return host_s > LAUNCHING * wall_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A map of the errors of one image and channel.

    Attributes:
        name: what is shown, such as "y[0,3]".
        axes: letters of its rows and columns.
        rows, columns: how many outputs there are.
        shares: the errors as shares of their bounds, above 1 is wrong; with fewer cells than outputs
            each cell is the worst of a block.
    """

    name: str
    axes: tuple[str, str]
    rows: int
    columns: int
    shares: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One output against the float64 oracle.

    Attributes:
        worst_of_bound: the largest error as a share of its own bound; at most 1 is right.
        relative_l2: norm of the error over norm of the truth.
        evidence: where and how it is wrong; None if it is right.
        probe: which of the probes it failed: numeric, sharp, memory, repeat, state, lattice, locality,
            batch or gradient; "" if it is right.
        omega: the largest error beyond the rounding of the result, in units of u * M; None if not measured.
        arithmetic: what the errors reveal about the inputs and the sums, as words, or "".
        defect: a known defect of the library underneath that was hit; not a pass, but not a failure either.
        cause: why it is wrong, in a sentence; empty if unknown.
        smallest: the smallest problem found on which it is wrong in the same way, or empty.
        picture: the map of its errors.
        cause_cut, smallest_cut: the experiments or tries after which the search ran out of budget; None if it finished.
            `cause_cut` is 0 if nothing was searched, because similar faults were diagnosed.
    """

    worst_of_bound: float
    relative_l2: float
    evidence: str | None = None
    probe: str = ""
    omega: float | None = None
    arithmetic: str = ""
    defect: str = ""
    cause: str = ""
    smallest: str = ""
    picture: Picture | None = None
    cause_cut: int | None = None
    smallest_cut: int | None = None

    @property
    def passed(self) -> bool:
        return self.evidence is None

    def fails(self, probe: str, evidence: str, arithmetic: str = "") -> Self:
        """The same figures, with the finding of a probe."""
        return replace(self, probe=probe, evidence=evidence, arithmetic=arithmetic or self.arithmetic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The costs of a backend besides its steady time: seconds, bytes, and what really ran.

    Attributes:
        prepare_s: the work done once per weight; None if there is none.
        first_call_s: the first call, including planning and compilation.
        peak_nbytes: peak memory of one call, including the output.
        ran: the operators or kernels.
        cold_s: a call whose operands are not in any cache.
        mapped_s: on a CPU, a call that cannot reuse memory of the call before: every large block is mapped anew.
        wall_s, host_s: on a GPU, a single call from start to idle, and until the host is free again.
        graph_s: on a GPU, a call in a replayed CUDA graph, without launch gaps.
        layout_s: to convert the input from NCHW to the case's layout and the output back, if the
            neighbours are NCHW; not part of the call.
    """

    prepare_s: float | None
    first_call_s: float
    peak_nbytes: int | None = None
    ran: str = ""
    cold_s: float | None = None
    mapped_s: float | None = None
    wall_s: float | None = None
    host_s: float | None = None
    graph_s: float | None = None
    layout_s: float | None = None

    @property
    def launch_bound(self) -> bool | None:
        """Whether eager code on a GPU waits for its launches; None if unknown."""
        return None if self.wall_s is None or self.host_s is None else launch_bound(self.wall_s, self.host_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What else the machine did while a case was timed; None for unknown values.

    Attributes:
        set_aside: the rounds of the disturbed samples that were not used, counted from 0.
        noisy: too few were clean, so disturbed ones were used.
        steal: share of all CPU time that the hypervisor took.
        foreign: share of all CPU time that other processes used.
        switches: how often one of our threads was preempted.
        clock_hz: the SM clock of a GPU, or the fastest core's.
        power_w, temperature_c: the GPU's highest.
        throttle: what throttled the GPU.
        handover_s: time for two CPUs to exchange a cache line, which shows where a hypervisor put them.
        contended: how many other processes computed on the GPU, at most.
        suspect: why the machine cannot be trusted, found when files of several machines were merged.
    """

    set_aside: tuple[int, ...] = ()
    noisy: bool = False
    steal: float | None = None
    foreign: float | None = None
    switches: int | None = None
    clock_hz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    throttle: str = ""
    handover_s: float | None = None
    contended: int | None = None
    suspect: str = ""

    @property
    def doubt(self) -> str:
        """Why the times may not be those of the undisturbed machine, although they agree with each other, or ""."""
        if self.suspect:
            return "on a suspect machine"
        return "on a GPU in use by other processes" if self.contended else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedRatio:
    """Paired ratios, the baseline's time over this backend's: above 1 is faster.

    Attributes:
        ratio: their centre, by Hodges and Lehmann, of the logarithms.
        low, high: a confidence interval of that centre, for any distribution that is symmetric.
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
        bound: what limits it: compute, memory or launch.
        flops_per_s, bytes_per_s: the ceilings used for it.
        probe: the probe that reached the limiting ceiling; empty for launch.
        launch_s: on a CPU where the launch is the limit, how long it takes; it is not part of `time_s`.
    """

    time_s: float
    bound: str
    flops_per_s: float
    bytes_per_s: float
    probe: str
    launch_s: float | None = None

    def percent(self, time_s: float) -> float:
        """The share of the limit that a call of `time_s` seconds reaches: of the launch if that is the limit."""
        return 100 * (self.time_s if self.launch_s is None else self.launch_s) / time_s


@dataclass(frozen=True, slots=True)
class Verified:
    """The output is within its bound, and the inputs are unchanged.

    Attributes:
        check: the error: `worst_of_bound` is the largest as a share of its bound, `relative_l2` its norm.

    Example:
        >>> import convbench as cb
        >>> [r] = cb.verify("torch", on="n1c1h4w4k1r2s2", dtypes="fp64", layouts="nchw", passes="fprop")
        >>> r.outcome.check.passed, r.outcome.check.worst_of_bound <= 1
        (True, True)
    """

    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Timed, and correct before and after the timing.

    Attributes:
        samples_s: seconds per call, one for each interleaved round that was kept, in order.
        rounds: the round of each sample, counted from 0: a backend is timed in few rounds after its verdict. Empty
            means every round that was not set aside, as in older files.
        comparison: against the baseline; None for the baseline itself or without one.
        noise: what else the machine did meanwhile.
        roofline: the least time; None without measured ceilings.
        actual_flops: operations that the backend does, if known.
        flag: what is suspicious about the median compared with the roofline, or empty.
        timing, cache: the regime of the samples, one of TIMINGS and of CACHES.

    Example:
        >>> import convbench as cb
        >>> [r] = cb.bench("torch", on="n1c1h4w4k1r2s2", budget_s=0.05, ceilings=False)
        >>> r.outcome.median_s > 0, r.outcome.regime
        (True, 'eager, hot')
    """

    check: Check
    samples_s: tuple[float, ...]
    bill: Bill
    comparison: PairedRatio | None = None
    noise: Noise = Noise()
    roofline: Roofline | None = None
    actual_flops: int | None = None
    flag: str = ""
    rounds: tuple[int, ...] = ()
    timing: str = TIMINGS[0]
    cache: str = CACHES[0]

    @property
    def regime(self) -> str:
        """The regime of the samples, as words: "eager, hot". Samples of different regimes are not compared."""
        return f"{self.timing}, {self.cache}"

    @property
    def median_s(self) -> float:
        from statistics import median  # here: --help imports this module too, and statistics is a tenth of its time

        return median(self.samples_s)

    @property
    def by_round(self) -> dict[int, float]:
        """The samples by the number of their round: those of one round, of two backends, are a pair."""
        rounds = self.rounds
        if not rounds:
            aside = set(self.noise.set_aside)
            every = list(range(len(self.samples_s) + len(aside)))
            for number in sorted(aside, reverse=True):  # few of many
                del every[number]
            rounds = tuple(every)
        return dict(zip(rounds, self.samples_s, strict=True))

    @property
    def tail_s(self) -> tuple[float, float, float]:
        """The 95th and 99th percentiles of the samples, interpolated as the quartiles are, and the slowest sample."""
        if len(self.samples_s) < 2:
            return (self.samples_s[0],) * 3
        from statistics import quantiles

        shares = quantiles(self.samples_s, n=100, method="inclusive")
        return (shares[94], shares[98], max(self.samples_s))

    @property
    def quartiles_s(self) -> tuple[float, float]:
        if len(self.samples_s) < 2:
            return (self.samples_s[0], self.samples_s[0])
        from statistics import quantiles

        first, _, third = quantiles(self.samples_s, n=4, method="inclusive")
        return (first, third)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not run, for a reason that is not a fault: never a pass.

    Attributes:
        reason: in words.

    Example:
        >>> import convbench as cb
        >>> def dense(x, w, stride, padding, dilation):
        ...     ...
        >>> [r] = cb.verify(dense, on="n1c2h4w4k2r2s2_g2", dtypes="fp32", layouts="nchw")
        >>> r.outcome
        Skipped(reason='dense has no argument groups')
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """It answered, and the answer is provably wrong.

    Attributes:
        check: the error, with its `evidence`, `cause` and `smallest` problem.

    Example:
        >>> import convbench as cb
        >>> def zeros(x, w, spec):
        ...     return x.new_zeros(spec.y_shape)
        >>> [r] = cb.verify(zeros, on="n1c1h4w4k1r2s2", dtypes="fp32", layouts="nchw")
        >>> type(r.outcome).__name__, r.outcome.check.smallest
        ('Wrong', 'n1c1h1w1k1r1s1')
    """

    check: Check


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised, ran out of memory, or did not run what it promises.

    Attributes:
        message: the exception, or what happened, in one line.

    Example:
        >>> import convbench as cb
        >>> def unfinished(x, w, spec):
        ...     raise NotImplementedError("to do")
        >>> [r] = cb.verify(unfinished, on="n1c1h4w4k1r2s2", dtypes="fp32", layouts="nchw")
        >>> r.outcome.message.partition(" (")[0]
        'NotImplementedError: to do'
    """

    message: str


Outcome = Verified | Timed | Skipped | Wrong | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row: a case, a backend by name, and the outcome.

    Attributes:
        case: the problem with its dtype, layout, pass, epilogue, precision, device and seed.
        backend, family: the name of the backend, and how it sums.
        outcome: Verified, Timed, Skipped, Wrong or Failed.
        threads: CPU threads that it had; 0 if unknown.
        chosen: the backend that it did the case with, if it chooses one: `auto` does.

    Example:
        >>> import convbench as cb
        >>> [r] = cb.verify("torch", on="n1c1h4w4k1r2s2", dtypes="fp32", layouts="nchw", passes="fprop")
        >>> r.case.flags()
        '--shape n1c1h4w4k1r2s2 --dtype fp32 --layout nchw --precision ieee --device cpu --seed 0'
    """

    case: Case
    backend: str
    family: str
    outcome: Outcome
    threads: int = 0
    chosen: str = ""

    def __str__(self) -> str:
        """In a line: "torch on conv1 (cpu fp32 nchw ieee): verified, 9 % of its bound"."""
        match self.outcome:
            case Verified(check):
                words = f"verified, {check.worst_of_bound:.0%} of its bound".replace("%", " %")
            case Timed():
                words = f"timed, {self.outcome.median_s:.3g} s a call"
            case Wrong(check):
                words = f"WRONG, {check.cause or check.evidence}"
            case Skipped(reason):
                words = f"skipped: {reason}"
            case Failed(message):
                words = f"FAILED: {message}"
        case = self.case
        kind = f" {case.kind}" if case.kind else ""
        axes = f"{case.device} {case.dtype} {case.layout} {case.precision}{kind}"
        return f"{self.backend} on {case.problem.name} ({axes}): {words}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """In a notebook, where the repr would fill a screen."""
        printer.text(str(self))

    def key(self, threads: str | None = None) -> RowKey:
        """The key of its row in a report; `threads` replaces its own."""
        problem = self.case.problem
        own = str(self.threads or "") if threads is None else threads
        return RowKey(suite=problem.suite, name=problem.name, case=self.case.key, threads=own, backend=self.backend)
