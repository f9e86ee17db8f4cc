"""One backend tried on one case: may it, is it right, does it leave what is not its own alone?"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf, nan
from typing import Any

import torch
from torch import Tensor

from convbench.backend import Backend
from convbench.case import Case
from convbench.errors import first_line
from convbench.machine import free_nbytes, held_nbytes
from convbench.outcome import Bill, Check, Failed, Outcome, Result, Skipped, Verified, Wrong
from convbench.verify.check import Exam, prepare_exam, wrong
from convbench.verify.cost import needed_nbytes
from convbench.verify.memory import Guard, poisoned
from convbench.verify.operands import arithmetic, settle_layout
from convbench.verify.outputs import changed, taken
from convbench.verify.profile import profile

# Whatever foreign code raises is its row and not the end of a sweep; sys.exit in it is no exit of ours.
ANY_FAULT = (Exception, SystemExit)


class Stage(StrEnum):
    """What a sweep is doing, as the end of "it died ..."."""

    LOADING = "while the backends were loaded"
    TRUTH = "while the truth was computed"
    ASKED = "while being asked what it can do"
    VERIFIED = "while being verified"
    TIMED = "while being timed"
    EVICTED = "while the caches were emptied"
    VERIFIED_AGAIN = "while being verified again"


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
    """

    tell: Callable[[str, Stage], None] = lambda _backend, _stage: None
    memory_nbytes: int | None = None
    lost: dict[str, Loss] = field(default_factory=dict)


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


def verify(
    cases: Iterable[Case], backends: Sequence[Backend], *, force: bool = False, watch: Watch | None = None
) -> Iterator[Result]:
    """Every backend on every case, in order; the oracle works once a case."""
    watch = watch or Watch()
    lost = watch.lost
    for case in cases:
        exam: Exam | Failed | None = None
        for backend in backends:
            outcome: Outcome | None = refusal(backend, case, force=force, watch=watch)
            if outcome is None and case.device in lost:
                outcome = not_run(lost[case.device])
            if outcome is None:
                watch.tell("", Stage.TRUTH)
                exam = exam or try_exam(case)
                watch.tell(backend.name, Stage.VERIFIED)
                outcome = exam if isinstance(exam, Failed) else examine(backend, exam)
                if isinstance(outcome, Failed) and not alive(case.device):
                    lost[case.device] = Loss(backend=backend.name, problem=case.problem.name)
            yield Result(case=case, backend=backend.name, family=backend.family, outcome=outcome)


def examine(backend: Backend, exam: Exam) -> Verified | Wrong | Failed:
    """The verdict on one backend."""
    trial = attempt(backend, exam, profiled=exam.case.pass_ in backend.must_run)
    return trial if isinstance(trial, Failed) else trial.outcome


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


def try_exam(case: Case, *, salt: int = 0) -> Exam | Failed:
    """The exam, or why it cannot be held on this machine (its memory, most often)."""
    try:
        return prepare_exam(case, salt=salt)
    except (MemoryError, RuntimeError) as error:
        return Failed(f"the oracle: {failure(error).message}")


def attempt(backend: Backend, exam: Exam, *, profiled: bool = True) -> Trial | Failed:
    """Call a backend as a user would, then on poisoned memory, then profiled; its operands end as they began.

    Both outputs are judged: what torch.compile made runs eagerly under the poison, so that
    call alone would judge other code than the user's.
    """
    guard = None
    try:
        guard = Guard(**exam.operands)  # copies, for which there may be no memory
        with conditions(exam.case):
            return _attempt(backend, exam, guard, profiled=profiled)
    except ANY_FAULT as error:
        with suppress(*ANY_FAULT):  # a lost device restores nothing
            if guard is not None:
                guard.restore()
        return failure(error)


def _attempt(backend: Backend, exam: Exam, guard: Guard, *, profiled: bool) -> Trial:
    case, device = exam.case, exam.case.device
    call, prepare_s = bind(backend, exam)
    start = time.perf_counter()
    out = call()
    synchronize(device)
    bill = Bill(prepare_s=prepare_s, first_call_s=time.perf_counter() - start)
    check = _judge(out, exam, guard, backend)
    # A relu that takes the larger of 0 and NaN for 0 hides NaN, but not infinity.
    for poison, words in ((nan, "NaN"), (inf, "infinity")) if case.relu else ((nan, "NaN"),):
        if check.passed:
            with poisoned(case.out_shape, exam.first, poison):
                again = call()
            synchronize(device)
            second = _judge(again, exam, guard, backend)
            if not second.passed:
                check = wrong(f"right on fresh memory, wrong on memory that holds {words}: {second.evidence}")
    if check.passed and profiled:
        seen = profile(call, device)
        promised = backend.must_run.get(case.pass_)
        if promised is not None and promised not in seen.operators:
            raise RuntimeError(f"{promised} did not run; seen: {', '.join(seen.operators) or 'no operator'}")
        bill = replace(bill, peak_nbytes=seen.peak_nbytes, ran=seen.ran)
    return Trial(call=call, out=out, check=check, bill=bill)


def _judge(out: Any, exam: Exam, guard: Guard, backend: Backend) -> Check:
    """The verdict on an output and on the manners of the call that made it; its harm is undone."""
    if harmed := guard.restore():
        return wrong(f"it changed its input {' and '.join(harmed)}")
    return judge(out, exam, backend)


def judge(out: Any, exam: Exam, backend: Backend) -> Check:
    """The verdict on a backend's output, by how the backend says that it sums."""
    own = taken(out)  # before anything else looks at it
    check = exam.check(own, backend.family, backend.count_roundings(exam.case))
    return wrong("its output changed after it was returned") if check.passed and changed(out, own) else check


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
    kind = "out of memory" if isinstance(error, MemoryError | torch.OutOfMemoryError) else type(error).__name__
    first = first_line(error)
    return Failed(f"{kind}: {first}" if first else kind)


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
