"""One backend tried on one case: may it, is it right, does it leave what is not its own alone?"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from math import inf, nan
from typing import Any, Self

import torch
from torch import Tensor

from convbench.backend import Backend
from convbench.case import Case
from convbench.errors import in_words
from convbench.machine import free_nbytes, held_nbytes
from convbench.outcome import Bill, Check, Failed, Outcome, Result, Skipped, Verified, Wrong
from convbench.verify.check import Exam, prepare_exam, wrong
from convbench.verify.cost import needed_nbytes
from convbench.verify.diagnosis import describe_place
from convbench.verify.gradient import gradient_fault
from convbench.verify.lattice import Lattice
from convbench.verify.locality import Locality
from convbench.call.memory import Guard, poisoned, same_bits
from convbench.verify.operands import arithmetic, settle_layout
from convbench.call.outputs import changed, taken
from convbench.call.profile import profile

# Whatever foreign code raises is its row and not the end of a sweep; sys.exit in it is no exit of ours.
ANY_FAULT = (Exception, SystemExit)
# Traits of a backend's faults, after so many of which no smaller problem and no cause is looked for.
MOST_SHRUNK, MOST_EXPLAINED = 8, 40


class Stage(StrEnum):
    """What a sweep is doing, as the end of "it died ..."."""

    LOADING = "while the backends were loaded"
    TRUTH = "while the truth was computed"
    ASKED = "while being asked what it can do"
    VERIFIED = "while being verified"
    WAITED = "while the CPUs were out of their place"
    TIMED = "while being timed"
    EVICTED = "while the caches were emptied"
    VERIFIED_AGAIN = "while being verified again"
    EXPLAINED = "while the cause of a wrong answer was looked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Who took a device down, and on what."""

    backend: str
    problem: str

    def __str__(self) -> str:
        return f"{self.backend} on {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What ties a sweep to whoever watches over it, from another process perhaps.

    Attributes:
        tell: `tell(backend, stage)`, called before each thing that could be the last; the name is
            empty when it is no backend's doing. It is never called in a timed window.
        memory_nbytes: what this process may hold; None for all that is free.
        lost: the devices that were lost so far, by name.
        faults: the traits of the wrong answers met so far; of more of the same nothing new is expected.
    """

    tell: Callable[[str, Stage], None] = lambda _backend, _stage: None
    memory_nbytes: int | None = None
    lost: dict[str, Loss] = field(default_factory=dict)
    faults: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A backend that ran.

    Attributes:
        call: `call() -> out`, in the case's layout.
        out: what the first call returned.
        check: the verdict on all of its calls.
        bill: what it cost besides its steady time.
    """

    call: Callable[[], Any]
    out: Any
    check: Check
    bill: Bill

    @property
    def outcome(self) -> Verified | Wrong:
        return Verified(self.check) if self.check.passed else Wrong(self.check)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call returned, and how it behaved.

    Attributes:
        out: a copy that nobody else holds: a backend may keep its buffer, and write to it at the next call.
        harmed: the inputs that it changed.
        shifted: whether its output changed after it was returned.
        strayed: whether it wrote beyond its own memory.
    """

    out: Any
    harmed: tuple[str, ...] = ()
    shifted: bool = False
    strayed: bool = False

    @classmethod
    def of(cls, out: Any, guard: Guard) -> Self:
        """Take what was returned, and put the inputs back that were changed."""
        own = taken(out)  # before anything else looks at it
        return cls(own, tuple(guard.restore()), changed(out, own))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a backend answered, before anybody knows whether it is right.

    Attributes:
        poisoned: what the unwritten memory held, in words, with the answer.
        again: of further plain calls; none where the poisoned ones gave the same bits as the first.
        gradient: what is wrong with autograd through it, in words; "" otherwise.
        not_run: that what it promises to run did not run, in words; "" otherwise.
    """

    call: Callable[[], Any]
    bill: Bill
    plain: Answer
    poisoned: Mapping[str, Answer]
    again: tuple[Answer, ...] = ()
    lattice: Answer | None = None
    pierced: Answer | None = None
    gradient: str = ""
    not_run: str = ""


class Probes:
    """The exam of a case and its siblings, shared by all backends; each truth is computed when it is first needed."""

    def __init__(self, exam: Exam) -> None:
        self.exam = exam
        self.locality = Locality(exam=exam)
        self.lattices: dict[bool, Lattice] = {}

    def adopt(self, other: "Probes") -> None:
        """Take over what another's truths are known to be: of the same numbers in another layout."""
        self.exam.adopt(other.exam)
        for small, lattice in other.lattices.items():
            self.lattices[small] = Lattice(case=self.exam.case, small=small)
            self.lattices[small].adopt(lattice)

    def lattice_for(self, family: str) -> Lattice:
        """Whole numbers; small ones for an algorithm that rounds on its way."""
        small = family in ("winograd", "fft")
        if small not in self.lattices:
            self.lattices[small] = Lattice(case=self.exam.case, small=small)
        return self.lattices[small]


def verify(
    cases: Iterable[Case], backends: Sequence[Backend], *, force: bool = False, watch: Watch | None = None
) -> Iterator[Result]:
    """Every backend on every case, in order; the oracle works once a case.

    Foreign backends answer before it does: while their code runs, there is no truth to be found.
    """
    watch = watch or Watch()
    before: Probes | None = None
    for case in cases:
        outcomes: dict[str, Outcome] = {}
        for backend in backends:
            if (refused := refusal(backend, case, force=force, watch=watch)) is not None:
                outcomes[backend.name] = refused
        able = [backend for backend in backends if backend.name not in outcomes]
        if before is not None and not (_same_numbers(before.exam.case, case) and all(one.built_in for one in able)):
            before = None
        probes = _probes(case) if able else None
        if isinstance(probes, Failed):
            outcomes |= {backend.name: probes for backend in able}
        elif probes is not None:
            if before is not None:
                probes.adopt(before)
            outcomes |= _verify_case(probes, able, watch)
            before = probes
        for backend in backends:
            yield Result(case=case, backend=backend.name, family=backend.family, outcome=outcomes[backend.name])


def _probes(case: Case) -> Probes | Failed:
    try:
        return Probes(prepare_exam(case))
    except (MemoryError, RuntimeError) as error:  # for want of memory, most often
        return _of_the_oracle(error)


def _same_numbers(one: Case, other: Case) -> bool:
    return replace(one, layout=other.layout) == other


def _verify_case(probes: Probes, backends: Sequence[Backend], watch: Watch) -> dict[str, Outcome]:
    case = probes.exam.case
    outcomes: dict[str, Outcome] = {}
    answers: dict[str, Answers] = {}

    def ask(backend: Backend) -> None:
        if case.device in watch.lost:
            outcomes[backend.name] = not_run(watch.lost[case.device])
            return
        watch.tell(backend.name, Stage.VERIFIED)
        found = question(backend, probes)
        if isinstance(found, Answers):
            answers[backend.name] = found
            return
        outcomes[backend.name] = found
        if not alive(case.device):
            watch.lost[case.device] = Loss(backend=backend.name, problem=case.problem.name)

    for backend in backends:
        if not backend.built_in:
            ask(backend)
    for backend in backends:
        if backend.built_in:
            ask(backend)
        if backend.name in answers:
            watch.tell("", Stage.TRUTH)
            outcome = weigh(backend, probes, answers.pop(backend.name))
            outcomes[backend.name] = (
                explained(backend, probes.exam, outcome, watch) if isinstance(outcome, Wrong) else outcome
            )
            if isinstance(outcome, Wrong) and not alive(case.device):
                watch.lost[case.device] = Loss(backend=backend.name, problem=case.problem.name)
    return outcomes


def examine(backend: Backend, exam: Exam) -> Verified | Wrong | Failed:
    """The verdict on one backend, by all probes."""
    probes = Probes(exam)
    answers = question(backend, probes)
    return answers if isinstance(answers, Failed) else weigh(backend, probes, answers)


def weigh(backend: Backend, probes: Probes, answers: Answers) -> Verified | Wrong | Failed:
    """What the answers of a backend are worth; here the truth is computed, if nobody has asked for it before."""
    try:
        check = verdict(backend, probes, answers)
    except (MemoryError, RuntimeError, AssertionError) as error:
        return _of_the_oracle(error)
    if not check.passed:
        return Wrong(check)
    return Failed(answers.not_run) if answers.not_run else Verified(check)


def _of_the_oracle(error: BaseException) -> Failed:
    return Failed(f"the oracle: {failure(error).message}")


def explained(backend: Backend, exam: Exam, outcome: Wrong, watch: Watch) -> Wrong:
    """The outcome with what can be found out about it: the first of its backend on each problem and on each axis."""
    from convbench.verify.diagnose.fault import Effort, explain_fault  # it calls examine

    new = fault_traits(backend.name, exam.case) - watch.faults
    known = sum(name == backend.name for name, _ in watch.faults)
    watch.faults.update(new)
    if not new or known >= MOST_EXPLAINED:
        return outcome
    effort = Effort() if known < MOST_SHRUNK else Effort(tries=0)
    # Each question is a step of its own: a watch that counts the seconds of a step ends what hangs, and no long search.
    tell = partial(watch.tell, backend.name, Stage.EXPLAINED)
    tell()
    return Wrong(explain_fault(backend, exam, outcome.check, effort, tell=tell))


def fault_traits(backend: str, case: Case) -> set[tuple[str, str]]:
    """What makes a fault a new one: the problem, and all the rest of the case."""
    axes = f"{case.device} {case.dtype} {case.layout} {case.precision} {case.kind}"
    return {(backend, str(case.spec)), (backend, axes)}


def refusal(
    backend: Backend, case: Case, *, force: bool = False, watch: Watch | None = None
) -> Skipped | Failed | None:
    """Why this backend does not run this case, or None."""
    watch = watch or Watch()
    watch.tell(backend.name, Stage.ASKED)
    try:
        reason = backend.why_not(case, force=force) or too_large(case, backend, limit_nbytes=watch.memory_nbytes)
    except ANY_FAULT as error:
        return failure(error)
    return None if reason is None else Skipped(reason)


def attempt(backend: Backend, exam: Exam, *, profiled: bool = True, answers: Answers | None = None) -> Trial | Failed:
    """Call a backend as a user would, then on poisoned memory, then once more; its operands end as they began.

    `answers` are its own, where they were taken before.
    """
    probes = Probes(exam)
    found = answers or question(backend, probes, profiled=profiled, whole=False)
    if isinstance(found, Failed):
        return found
    outcome = weigh(backend, probes, found)
    if isinstance(outcome, Failed):
        return outcome
    return Trial(call=found.call, out=found.plain.out, check=outcome.check, bill=found.bill)


def question(backend: Backend, probes: Probes, *, profiled: bool | None = None, whole: bool = True) -> Answers | Failed:
    """Take a backend's answers, and judge none; the operands end as they began.

    Args:
        profiled: whether the second plain call is profiled; by default where an operator is promised.
        whole: whether it is asked for whole numbers, and with a NaN among its inputs, as well.
    """
    case, exam = probes.exam.case, probes.exam
    profiled = case.pass_ in backend.must_run if profiled is None else profiled
    guards: list[Guard] = []
    doing = ""

    def take(call: Callable[[], Any], guard: Guard) -> Answer:
        out = call()
        synchronize(case.device)
        return Answer.of(out, guard)

    def guarded(operands: dict[str, Tensor]) -> Guard:
        guards.append(Guard(**operands))  # copies, for which there may be no memory
        return guards[-1]

    try:
        guard = guarded(exam.operands)
        with conditions(case):
            call, prepare_s = bind(backend, exam)
            start = time.perf_counter()
            out = call()
            synchronize(case.device)
            bill = Bill(prepare_s=prepare_s, first_call_s=time.perf_counter() - start)
            plain, poisoned_answers, not_run_words = Answer.of(out, guard), {}, ""
            # A relu that takes the larger of 0 and NaN for 0 hides NaN, but not infinity.
            for poison, words in ((nan, "NaN"), (inf, "infinity")) if case.relu else ((nan, "NaN"),):
                doing = f" on memory that holds {words}"
                with poisoned(case.out_shape, exam.first, poison) as zones:
                    answer = take(call, guard)
                poisoned_answers[words] = replace(answer, strayed=not all(zone.whole for zone in zones))
                del zones
            doing, again = "", []
            if profiled:
                seen = profile(call, case.device)
                again = [Answer.of(seen.out, guard)]
                promised = backend.must_run.get(case.pass_)
                if promised is not None and promised not in seen.operators:
                    not_run_words = (
                        f"RuntimeError: {promised} did not run; seen: {', '.join(seen.operators) or 'no operator'}"
                    )
                bill = replace(bill, peak_nbytes=seen.peak_nbytes, ran=seen.ran)
            elif not all(_alike(answer.out, plain.out) for answer in poisoned_answers.values()):
                # Two calls differ, or it runs other code under the poison, as torch.compile's does.
                again = [take(call, guard) for _ in range(2)]
            lattice, pierced, gradient = None, None, ""
            if whole:
                doing = " on whole numbers"
                sibling = probes.lattice_for(backend.family).exam
                lattice = take(bind(backend, sibling)[0], guarded(sibling.operands))
            if whole and probes.locality.place is not None:
                doing = f" with a NaN in {next(iter(case.operands))}"
                with probes.locality.pierced():
                    out = call()
                    synchronize(case.device)
                pierced = Answer.of(out, guard)
            if whole:
                doing = " under autograd"
                gradient = gradient_fault(backend, exam)
    except ANY_FAULT as error:
        with suppress(*ANY_FAULT):  # a lost device restores nothing
            for guard in guards:
                guard.restore()
        return Failed(failure(error).message + (f" ({doing.strip()})" if doing else ""))
    return Answers(
        call=call,
        bill=bill,
        plain=plain,
        poisoned=poisoned_answers,
        again=tuple(again),
        lattice=lattice,
        pierced=pierced,
        gradient=gradient,
        not_run=not_run_words,
    )


def verdict(backend: Backend, probes: Probes, answers: Answers) -> Check:
    """The figures of the plain answer, and the first fault of any; a known defect of a library is none, and told."""
    case = probes.exam.case
    defects: dict[str, None] = {}
    figures: Check | None = None
    for found in _findings(backend, probes, answers):
        figures = figures or found
        if found.passed:
            figures = replace(figures, arithmetic=figures.arithmetic or found.arithmetic)
            continue
        known = None if backend.defects is None else backend.defects(case, found.probe)
        if known is None:
            return replace(
                found,
                worst_of_bound=max(figures.worst_of_bound, found.worst_of_bound),
                relative_l2=figures.relative_l2,
                omega=figures.omega,
                arithmetic=found.arithmetic or figures.arithmetic,
            )
        defects[known] = None
    assert figures is not None
    return replace(figures, evidence=None, probe="", defect="; ".join(defects))


def _findings(backend: Backend, probes: Probes, answers: Answers) -> Iterator[Check]:
    """What each probe finds, the plain answer first."""
    exam, family, roundings = probes.exam, backend.family, backend.count_roundings(probes.exam.case)
    plain = answers.plain.out

    def manners(answer: Answer) -> Check | None:
        if answer.harmed:
            return wrong(f"it changed its input {' and '.join(answer.harmed)}", "memory")
        if answer.shifted:
            return wrong("its output changed after it was returned", "memory")
        return wrong("it wrote beyond the memory that it had asked for", "memory") if answer.strayed else None

    yield manners(answers.plain) or exam.check(plain, family, roundings)
    if exam.misfit(plain) is not None:
        return
    for words, answer in answers.poisoned.items():
        found = manners(answer)
        if found is None and not _alike(answer.out, plain):
            found = exam.check(answer.out, family, roundings)
            if not found.passed:
                found = found.fails(
                    "memory", f"right on fresh memory, wrong on memory that holds {words}: {found.evidence}"
                )
        if found is not None:
            yield found
    for answer in answers.again:
        found = manners(answer)
        if found is None and not _alike(answer.out, plain):
            found = exam.misfit(answer.out) or _unlike(backend, exam, answer.out, plain)
        if found is not None:
            yield found
    if answers.lattice is not None:
        yield manners(answers.lattice) or probes.lattice_for(family).check(answers.lattice.out, family, roundings)
    if answers.pierced is not None:
        yield manners(answers.pierced) or probes.locality.check(answers.pierced.out, plain, family, roundings)
    if answers.gradient:
        yield wrong(answers.gradient, "gradient")


def _alike(out: Any, plain: Any) -> bool:
    return (
        isinstance(out, Tensor)
        and isinstance(plain, Tensor)
        and (out.shape, out.dtype, out.device) == (plain.shape, plain.dtype, plain.device)
        and same_bits(out, plain)
    )


def _unlike(backend: Backend, exam: Exam, again: Tensor, plain: Tensor) -> Check:
    """A second call that gave other bits: wrong, unless the backend says so of itself, and both are right."""
    found = exam.check(again, backend.family, backend.count_roundings(exam.case))
    if not found.passed:
        return found.fails("repeat", f"right at the first call, wrong at a second one: {found.evidence}")
    if backend.nondeterministic is not None and backend.nondeterministic(exam.case):
        return found
    differs = again != plain
    place = describe_place(differs, exam.case.out_name)
    return found.fails("repeat", f"two equal calls differ in {int(differs.sum()):,} outputs, {place}")


def judge(out: Any, exam: Exam, backend: Backend) -> Check:
    """The verdict on a backend's output, by how the backend says that it sums."""
    return exam.check(taken(out), backend.family, backend.count_roundings(exam.case))


def bind(backend: Backend, exam: Exam) -> tuple[Callable[[], Any], float | None]:
    """`call() -> out` in the case's layout, and the seconds of the prepare step; None without one."""
    case, prepare_s = exam.case, None
    operands: list[Any] = list(exam.operands.values())
    if backend.prepare is not None and case.pass_ == "fprop":
        start = time.perf_counter()
        operands[1] = backend.prepare(exam.w, case.spec)
        synchronize(case.device)
        prepare_s = time.perf_counter() - start
    compute = backend.bind(case, operands)

    def call() -> Any:
        out = compute()
        return settle_layout(out, case.layout) if isinstance(out, Tensor) and out.dim() == 4 else out

    return call, prepare_s


@contextmanager
def conditions(case: Case) -> Iterator[None]:
    """What every call of a case runs under: its arithmetic, and no gradients."""
    with arithmetic(case.precision), torch.no_grad():
        yield


def synchronize(device: str) -> None:
    """Wait until the device is idle, so that a fault is met here and a clock reads true."""
    if device == "cuda":
        torch.cuda.synchronize()


def alive(device: str) -> bool:
    """Whether the device still computes: an illegal address ends it for this process."""
    try:
        return bool(torch.ones(1, device=device).item() == 1)
    except ANY_FAULT:
        return False


def not_run(loss: Loss) -> Failed:
    """The row of whoever comes after the one that took the device down."""
    return Failed(f"not run: the device was lost in {loss}; --isolate runs the others in a process of their own")


def failure(error: BaseException) -> Failed:
    """A backend's exception as one line."""
    lacked = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return Failed(in_words(error, kind="out of memory" if lacked else ""))


def too_large(case: Case, backend: Backend, *, limit_nbytes: int | None = None) -> str | None:
    """Why this would not fit into memory, judged before anything is allocated; None if it fits."""
    free, needed = free_nbytes(case.device), needed_nbytes(case, backend.family)
    if limit_nbytes is not None and case.device == "cpu":
        left = max(0, limit_nbytes - held_nbytes(os.getpid()))
        free = left if free is None else min(free, left)
    if free is None or needed <= free:
        return None
    return (
        f"it needs about {needed / 2**30:.1f} GiB with its oracle, and {free / 2**30:.1f} GiB are free on {case.device}"
    )
