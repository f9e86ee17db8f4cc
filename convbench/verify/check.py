"""The verdict on one output, and on one backend with one case."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convbench.backend import Backend
from convbench.case import Case
from convbench.machine import free_nbytes
from convbench.outcome import Check, Failed, Outcome, Result, Skipped, Verified, Wrong
from convbench.verify.bounds import (
    WINOGRAD_RELATIVE_L2,
    direct_bound,
    interval,
    share_of_bound,
    winograd_bound,
    winograd_possible,
)
from convbench.verify.diagnosis import diagnose
from convbench.verify.memory import Guard, poisoned
from convbench.verify.operands import TORCH_DTYPE, arithmetic, make_operands, settle_layout
from convbench.verify.oracle import Truth, truth
from convbench.verify.profile import Profile, profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One set of operands with its truth, shared by every backend of a case."""

    case: Case
    x: Tensor
    w: Tensor
    truth: Truth
    error: Tensor

    def check(self, out: Any, family: str) -> Check:
        """Judge y as a backend returned it."""
        spec = self.case.spec
        if not isinstance(out, Tensor):
            return wrong(f"returned {type(out).__name__}, not a tensor")
        if tuple(out.shape) != spec.y_shape:
            return wrong(f"returned shape {tuple(out.shape)}, expected {spec.y_shape}")
        if out.dtype != TORCH_DTYPE[self.case.dtype] or out.device != self.x.device:
            return wrong(f"returned {out.dtype} on {out.device}, expected {self.case.dtype} on {self.x.device}")
        if out.numel() == 0:
            return Check(worst_of_bound=0.0, relative_l2=0.0)
        y = self.truth.y
        share = share_of_bound(out, y, *interval(y, self.error, out.dtype))
        size = y.norm()
        relative_l2 = float((out.double() - y).norm() / size) if size else 0.0
        if (
            share.max() > 1
            and winograd_possible(self.case, family)
            and relative_l2 <= WINOGRAD_RELATIVE_L2[self.case.dtype]
        ):
            error = torch.maximum(self.error, winograd_bound(self.case, self.x, self.w))
            share = share_of_bound(out, y, *interval(y, error, out.dtype))
        outside = share > 1
        evidence = diagnose(out, y, outside, share, spec) if outside.any() else None
        return Check(worst_of_bound=float(share.max()), relative_l2=relative_l2, evidence=evidence)


def prepare_exam(case: Case, *, salt: int = 0) -> Exam:
    """Draw the operands of a case and compute their truth."""
    x, w = make_operands(case, salt=salt)
    return make_exam(case, x, w)


def make_exam(case: Case, x: Tensor, w: Tensor) -> Exam:
    """An exam on given operands: x (N, C, H, W) and w (K, C/G, R, S) in the case's dtype."""
    answer = truth(x, w, case.spec)
    return Exam(case=case, x=x, w=w, truth=answer, error=direct_bound(case, answer))


def wrong(evidence: str) -> Check:
    """A verdict that needs no numbers."""
    return Check(worst_of_bound=float("inf"), relative_l2=float("inf"), evidence=evidence)


def bind(backend: Backend, exam: Exam) -> tuple[Callable[[], Any], float]:
    """`call() -> y` in the case's layout, and the seconds that its prepare step took."""
    case = exam.case
    start = time.perf_counter()
    weights = exam.w if backend.prepare is None else backend.prepare(exam.w, case.spec)
    synchronize(case.device)
    prepare_s = time.perf_counter() - start

    def call() -> Any:
        out = backend.fn(exam.x, weights, case.spec)
        return settle_layout(out, case.layout) if isinstance(out, Tensor) and out.dim() == 4 else out

    return call, prepare_s


def synchronize(device: str) -> None:
    """Wait until the device is idle, so that a fault is met here and a clock reads true."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def conditions(case: Case) -> Iterator[None]:
    """What every call of a case runs under: its arithmetic, and no gradients."""
    with arithmetic(case.precision), torch.no_grad():
        yield


def examine(backend: Backend, exam: Exam) -> Outcome:
    """Run a backend once on poisoned memory, and judge its output and its manners."""
    guard = Guard(x=exam.x, w=exam.w)
    try:
        with conditions(exam.case):
            call, _ = bind(backend, exam)
            with poisoned(exam.case.spec.y_shape, exam.x):
                out = call()
            synchronize(exam.case.device)
            if backend.must_run is not None and (broken := proof_of_claim(backend, profile(call, exam.case.device))):
                return broken
    except Exception as error:  # whatever a backend raises is its row, not the end of the sweep
        return failure(error)
    if harmed := guard.harmed():
        return Wrong(wrong(f"it changed its input {' and '.join(harmed)}"))
    check = exam.check(out, backend.family)
    return Verified(check) if check.passed else Wrong(check)


def proof_of_claim(backend: Backend, seen: Profile) -> Failed | None:
    """None where the profile shows the operator that the backend claims to run."""
    if backend.must_run is None or backend.must_run in seen.operators:
        return None
    return Failed(f"{backend.must_run} did not run; seen: {', '.join(seen.operators) or 'no operator'}")


def too_large(case: Case, backend: Backend) -> str | None:
    """Why this would not fit into memory, judged before anything is allocated; None if it fits."""
    free = free_nbytes(case.device)
    spec = case.spec
    # x, w and y; the oracle's float64 copies of them: padded x, its absolute value, y and M, a bound, a share.
    elements = spec.nbytes("fp64") // 8
    needed = spec.nbytes(case.dtype) + 6 * 8 * elements
    if backend.family == "im2col":
        needed += spec.patch_matrix_nbytes(case.dtype)
    if free is None or needed <= free:
        return None
    return (
        f"it needs about {needed / 2**30:.1f} GiB with its oracle, and {free / 2**30:.1f} GiB are free on {case.device}"
    )


def failure(error: BaseException) -> Failed:
    """A backend's exception as one line."""
    kind = "out of memory" if isinstance(error, (MemoryError, torch.OutOfMemoryError)) else type(error).__name__
    first = str(error).strip().partition("\n")[0]
    return Failed(f"{kind}: {first}" if first else kind)


def verify(cases: Iterable[Case], backends: Sequence[Backend], *, force: bool = False) -> Iterator[Result]:
    """Every backend on every case, in order; the oracle works once a case."""
    for case in cases:
        exam: Exam | Failed | None = None
        for backend in backends:
            outcome: Outcome
            if (reason := backend.why_not(case, force=force) or too_large(case, backend)) is not None:
                outcome = Skipped(reason)
            else:
                if exam is None:
                    exam = try_exam(case)
                outcome = exam if isinstance(exam, Failed) else examine(backend, exam)
            yield Result(case=case, backend=backend.name, family=backend.family, outcome=outcome)


def try_exam(case: Case, *, salt: int = 0) -> Exam | Failed:
    """The exam, or why it cannot be held on this machine (its memory, most often)."""
    try:
        return prepare_exam(case, salt=salt)
    except (MemoryError, RuntimeError) as error:
        return Failed(f"the oracle: {failure(error).message}")
