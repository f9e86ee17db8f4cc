"""How often does the verifier cry wolf, and how many bugs does it find? It is run on kernels whose answer is known.

Every kernel of `kernels.CORRECT` must pass and every bug of `mutants.ANYWHERE` must be found, on random shapes.
The tolerances that others use judge the same outputs next to it. What the default command finds: `suite`.
"""

import multiprocessing
import random
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod, sqrt
from multiprocessing.connection import Connection

import torch
from torch import Tensor

from convbench.call.bind import conditions
from convbench.call.memory import Guard
from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import LAYOUTS, Case, Problem
from convbench.errors import unknown
from convbench.outcome import Failed, Skipped, Verified, Wrong
from convbench.spec import ConvSpec
from convbench.verify.answers import question
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.probes import Probes
from convbench.verify.selftest.kernels import CORRECT, DTYPES, Kernel, as_backend
from convbench.verify.selftest.mutants import ANYWHERE
from convbench.verify.trial import weigh

KERNELS = (*CORRECT, *ANYWHERE)
SHAPES = 200

# The published rates. On two sets of random shapes a prototype of the same criterion rejected 0 of 2,514 and 0 of
# 2,510 correct runs, and found 5,971 of 5,971 and 5,844 of 5,850 bugs; the six left were none (each rounded once).
MOST_FALSE_ALARMS = 0
LEAST_FOUND = 0.999
# What it takes to say so: none of n speaks for a rate below 3 / n with 95 % confidence (the rule of three).
LEAST_CORRECT_RUNS = 2_500
LEAST_BUG_RUNS = 5_000

# Small, so that a case takes milliseconds: products of a convolution, and elements of x or w.
MOST_MACS, MOST_ELEMENTS = 400_000, 250_000
# Sums of 1 to 2^15.5, 46,000 terms.
MOST_TERMS_LOG2 = 15.5
# An ideal output that lies nearer to the truth than this, of the sum of its absolute terms, is no other sum.
SAME = 1e-9

Rule = Callable[[Tensor, Tensor, str], bool]


def _allclose(rtol: float, atol: float) -> Rule:
    return lambda out, truth, _: torch.allclose(out, truth, rtol=rtol, atol=atol)


def _assert_close(out: Tensor, truth: Tensor, dtype: str) -> bool:
    """torch.testing.assert_close without its message: rtol and atol of its table, by dtype."""
    rtol = {"fp32": 1.3e-6, "fp16": 1e-3, "bf16": 1.6e-2}[dtype]
    return torch.allclose(out, truth, rtol=rtol, atol=1e-5)


def _miopen_rms(out: Tensor, truth: Tensor, dtype: str) -> bool:
    """The root mean square of the error over the largest value: MIOpen's driver, for its forward convolution."""
    out, truth = out.double(), truth.double()
    largest = max(float(out.abs().max()), float(truth.abs().max()), torch.finfo(torch.float64).tiny)
    limit = {"fp32": 1.5e-6, "fp16": 8.2e-3, "bf16": 6.6e-2}[dtype]
    error = float((out - truth).norm())
    return error <= limit * largest * sqrt(out.numel())


def _xla(out: Tensor, truth: Tensor, _: str) -> bool:
    """The error over one plus the larger value, at most 0.1: what XLA asks of algorithms that it picks from."""
    out, truth = out.double(), truth.double()
    error = (out - truth).abs() / (torch.maximum(out.abs(), truth.abs()) + 1)
    return bool((error <= 0.1).all())


# `rule(out, truth, dtype)`: whether it accepts an output, given the truth in the output's dtype.
RULES: dict[str, Rule] = {
    "allclose": _allclose(1e-5, 1e-8),
    "assert_close": _assert_close,
    "1e-3": _allclose(1e-3, 1e-3),
    "1e-2": _allclose(1e-2, 1e-2),
    "MIOpen": _miopen_rms,
    "XLA": _xla,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One kernel on one case.

    Attributes:
        kernel, kind: its name and kind.
        rejected: whether `examine` found it wrong; a correct kernel that it could not run counts as well.
        probe: which probe did, where that is known.
        evidence: what was said of it.
        rejected_by: those of RULES that found its plain output wrong.
        equivalent: a bug that is none on this case, and does not count.
    """

    case: Case
    kernel: str
    kind: str
    rejected: bool
    probe: str
    evidence: str
    rejected_by: frozenset[str]
    equivalent: bool

    @property
    def is_bug(self) -> bool:
        return self.kind != "correct"

    @property
    def counts(self) -> bool:
        return not self.equivalent

    @property
    def fault(self) -> bool:
        """Whether it speaks against the verifier: a false alarm, or a bug that was missed."""
        return self.counts and self.rejected != self.is_bug

    def is_rejected(self, rule: str) -> bool:
        """By one of RULES, or by ours for ""."""
        return rule in self.rejected_by if rule else self.rejected


def measure(cases: Iterable[Case], kernels: Iterable[Kernel] = KERNELS) -> Iterator[list[Judged]]:
    """Each case's kernels, judged; operands and truth are drawn and computed once a case."""
    kernels = list(kernels)
    for case in cases:
        subject = SharedCase(prepare_exam(case))
        yield [subject.judge(kernel) for kernel in kernels if kernel.takes(case)]


def measure_with(processes: int, cases: Sequence[Case], kernels: Iterable[Kernel] = KERNELS) -> Iterator[list[Judged]]:
    """`measure` by some processes side by side, in the order of the cases.

    Raises:
        RuntimeError: one of them died.
    """
    context, names = multiprocessing.get_context("spawn"), [kernel.name for kernel in kernels]
    workers, readers = [], []
    for first in range(processes):
        reader, writer = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(writer, cases[first::processes], names), daemon=True)
        worker.start()
        writer.close()  # the worker's alone: its death is the end of the pipe, and ours is its
        workers.append(worker)
        readers.append(reader)
    for index in range(len(cases)):
        try:
            yield readers[index % processes].recv()
        except EOFError:
            worker = workers[index % processes]
            worker.join()
            raise RuntimeError(
                f"a process of the self-test ended with {worker.exitcode} on {cases[index].flags()}"
            ) from None
    for worker in workers:
        worker.join()


def _work(writer: Connection, cases: Sequence[Case], names: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is told by the parent
    torch.set_num_threads(1)  # the other core has a process of its own
    for judged in measure(cases, choose_kernels(names)):
        writer.send(judged)


class SharedCase:
    """A case with what its kernels share."""

    def __init__(self, exam: Exam) -> None:
        self._exam, self._probes = exam, Probes(exam)

    @cached_property
    def _truth(self) -> Tensor:
        """The truth in the case's dtype, which is all that the others compare with."""
        return self._exam.truth.y.to(TORCH_DTYPE[self._exam.case.dtype])

    @cached_property
    def _operands64(self) -> list[Tensor]:
        return [lay_out(operand.double(), self._exam.case.layout) for operand in self._exam.operands.values()]

    def judge(self, kernel: Kernel) -> Judged:
        """Ours on all that `examine` does, and the others on one plain call."""
        case = self._exam.case
        one = as_backend(kernel)
        answers = question(one, self._probes)
        outcome = answers if isinstance(answers, Failed | Skipped) else weigh(one, self._probes, answers)
        match outcome:
            case Verified():
                rejected, probe, evidence = False, "", ""
            case Wrong(check):
                rejected, probe, evidence = True, check.probe, check.evidence or ""
            case Failed(message) | Skipped(message):  # no proof of a bug, and no pass
                rejected, probe, evidence = kernel.kind == "correct", "", f"failed: {message}"
        out = self._call(kernel)
        return Judged(
            case=case,
            kernel=kernel.name,
            kind=kernel.kind,
            rejected=rejected,
            probe=probe,
            evidence=evidence,
            rejected_by=frozenset(name for name, accepts in RULES.items() if not accepts(out, self._truth, case.dtype)),
            equivalent=self.is_equivalent(kernel, out),
        )

    def _call(self, kernel: Kernel) -> Tensor:
        """The output of a plain call; the operands end as they began."""
        guard = Guard(**self._exam.operands)
        with conditions(self._exam.case):
            out = _bound(kernel, self._exam.case, (self._exam.x, self._exam.w))()
        guard.restore()
        return out

    def is_equivalent(self, kernel: Kernel, out: Tensor) -> bool:
        """Whether a bug is none here: its ideal output is the truth, or each output is the nearest there is.

        A bug of behaviour is always one.
        """
        truth = self._exam.truth
        match kernel.kind:
            case "structure":
                ideal = _bound(kernel, self._exam.case, self._operands64)()
                return bool(((ideal - truth.y).abs() <= SAME * truth.magnitude).all())
            case "precision":
                return nearest(out, truth.y)
        return False


def _bound(kernel: Kernel, case: Case, operands: Sequence[Tensor]) -> Callable[[], Tensor]:
    """The call on padding that the kernel knows."""
    return as_backend(kernel).bind(case, operands)


def nearest(out: Tensor, y: Tensor) -> bool:
    """Whether no output has a neighbour in its dtype that lies nearer to y (float64)."""
    error = (out.double() - y).abs()
    up, down = (torch.nextafter(out, torch.full_like(out, end)).double() for end in (torch.inf, -torch.inf))
    return bool(((error <= (up - y).abs()) & (error <= (down - y).abs())).all())


def choose_kernels(names: Sequence[str], among: Sequence[Kernel] | None = None) -> list[Kernel]:
    """The kernels of these names, all of them for no name; among those for random shapes, or others.

    Raises:
        ConvbenchError: there is none of a name.
    """
    among = KERNELS if among is None else among
    known = {kernel.name: kernel for kernel in among}
    for name in names:
        if name not in known:
            raise unknown("kernel", name, known, more=" (a run without --backend lists them)")
    return [known[name] for name in names] or list(among)


def random_cases(count: int, *, seed: int, dtypes: Sequence[str] = DTYPES) -> list[Case]:
    """`count` random shapes in each dtype, each with a layout and a seed of its own; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311  # shapes are no secret
    found = []
    for _ in range(count):
        spec = random_spec(dice)
        problem = Problem(suite="self-test", name=str(spec), spec=spec)
        for dtype in DTYPES:  # all are drawn, so that fewer dtypes have the same cases
            case = Case(problem=problem, dtype=dtype, layout=dice.choice(LAYOUTS), seed=dice.randrange(2**32))
            found += [case] if dtype in dtypes else []
    return found


def random_spec(dice: random.Random) -> ConvSpec:
    """A small problem whose sums have 1 to tens of thousands of terms, every length as likely on a scale of powers."""
    terms = 2 ** dice.uniform(0, MOST_TERMS_LOG2)
    while True:
        square = dice.random() < 0.4
        r = dice.choice((1, 2, 3, 3, 3, 3, 4, 5, 7))
        groups = dice.choice((1, 1, 1, 2, 2, 3, 4, 8))
        channels = max(1, round(terms / (r * r)))
        strides = [dice.choice((1, 1, 1, 2, 3)) for _ in range(2)]
        dilations = [dice.choice((1, 1, 1, 2, 3)) for _ in range(2)]
        kernel = [r, r if square else dice.choice((r, r, 1, 2, 3, 5))]
        outs = [dice.randint(1, 12) for _ in range(2)]
        pads = [dice.randint(0, 3) for _ in range(2)]
        if square:
            strides, dilations, outs, pads = ([one[0]] * 2 for one in (strides, dilations, outs, pads))
        rest = [dice.randrange(stride) for stride in strides]
        sides = [
            (out - 1) * stride + dilation * (taps - 1) + 1 - 2 * min(pad, dilation * (taps - 1)) + more
            for out, stride, dilation, taps, pad, more in zip(
                outs, strides, dilations, kernel, pads, rest[:1] * 2 if square else rest, strict=True
            )
        ]
        padding = [min(pad, dilation * (taps - 1)) for pad, dilation, taps in zip(pads, dilations, kernel, strict=True)]
        n, k = dice.choice((1, 2, 2, 3)), groups * max(1, round(2 ** dice.uniform(0, 4.5)))
        if min(sides) < 1:
            continue
        spec = ConvSpec(
            n=n,
            c=groups * channels,
            h=sides[0],
            w=sides[1],
            k=k,
            r=kernel[0],
            s=kernel[1],
            stride=(strides[0], strides[1]),
            padding=(padding[0], padding[1]),
            dilation=(dilations[0], dilations[1]),
            groups=groups,
        )
        # Where every output lies on padding alone there is nothing to do wrong.
        if (
            spec.inner_macs > 0
            and spec.macs <= MOST_MACS
            and max(map(prod, (spec.x_shape, spec.w_shape))) <= MOST_ELEMENTS
        ):
            return spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many of some runs were rejected."""

    rejected: int
    runs: int

    @classmethod
    def of(cls, judged: Iterable[Judged], rule: str = "") -> "Rate":
        """Over those that count; by one of RULES, or by ours for ""."""
        found = [one.is_rejected(rule) for one in judged if one.counts]
        return cls(rejected=sum(found), runs=len(found))

    @property
    def share(self) -> float:
        """Of no runs it is NaN."""
        return self.rejected / self.runs if self.runs else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the whole measurement says of the verifier.

    Attributes:
        alarms: correct runs that it rejected.
        found: bugs that it rejected.
        equivalent: bugs that were none where they were planted, and were removed.
        by_choice: somebody chose the size, so that it need not be enough for the published rates.
    """

    alarms: Rate
    found: Rate
    equivalent: int
    by_choice: bool

    @classmethod
    def of(cls, judged: Iterable[Judged], *, by_choice: bool) -> "Finding":
        judged = list(judged)
        return cls(
            alarms=Rate.of(one for one in judged if not one.is_bug),
            found=Rate.of(one for one in judged if one.is_bug),
            equivalent=sum(one.equivalent for one in judged),
            by_choice=by_choice,
        )

    @property
    def enough(self) -> bool:
        """Whether there were as many runs as the published rates speak of."""
        return self.alarms.runs >= LEAST_CORRECT_RUNS and self.found.runs >= LEAST_BUG_RUNS

    @property
    def keeps_rates(self) -> bool:
        """Whether it does as well as published, on however many runs."""
        missed = self.found.runs - self.found.rejected
        return self.alarms.rejected <= MOST_FALSE_ALARMS and missed <= (1 - LEAST_FOUND) * self.found.runs

    @property
    def met(self) -> bool:
        return self.keeps_rates and (self.enough or self.by_choice)

    @property
    def nothing(self) -> bool:
        """Whether nothing at all was judged."""
        return not self.alarms.runs and not self.found.runs
