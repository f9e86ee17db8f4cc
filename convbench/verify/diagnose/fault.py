"""What is there to say of a wrong answer? Its cause, the smallest problem with it, and a picture of the errors."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from convbench.backend import Backend
from convbench.call.bind import ANY_FAULT, conditions
from convbench.call.memory import poisoned
from convbench.case import Case
from convbench.outcome import Check, Picture, Wrong
from convbench.spec import ConvSpec
from convbench.verify.diagnose.causes import find_cause
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnose.shrink import MOST_S, MOST_TRIES, shrink
from convbench.verify.diagnosis import AXES
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.trial import examine

# A hundred truths and more are computed for a cause; of a larger problem a smaller one that fails alike is asked.
MOST_MACS = 1_000_000
CAUSE_S = 3.0
MOST_ROWS, MOST_COLUMNS = 32, 64  # of a picture; more fit on no screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much may be spent on one fault: nothing is begun after its time.

    Attributes:
        tries, shrink_s: for the smallest problem; no tries leave it out.
        cause_s: for the cause.
    """

    tries: int = MOST_TRIES
    shrink_s: float = MOST_S
    cause_s: float = CAUSE_S


def explain_fault(backend: Backend, exam: Exam, check: Check, effort: Effort | None = None) -> Check:
    """The check of a backend that is wrong, with its `cause`, `smallest` and `picture` as far as they can be found."""
    effort, cause, start = effort or Effort(), None, exam.case.spec
    with conditions(exam.case):
        with suppress(*ANY_FAULT):  # an experiment that it cannot bear takes nothing from the verdict
            check = replace(check, picture=draw_errors(Subject(backend=backend, case=exam.case), exam))
        with suppress(*ANY_FAULT):
            cause, start = name_cause(backend, exam, check, effort)
            if cause is not None:
                where = "" if start == exam.case.spec else f" (seen on {start})"
                check = replace(check, cause=cause.words + where)
        if effort.tries:
            with suppress(*ANY_FAULT):
                fails = partial(fails_alike, backend, exam.case, check, cause)
                smallest = shrink(start, fails, tries=effort.tries, seconds=effort.shrink_s)
                check = replace(check, smallest="" if smallest == exam.case.spec else str(smallest))
    return check


def name_cause(backend: Backend, exam: Exam, check: Check, effort: Effort) -> tuple[Cause | None, ConvSpec]:
    """The cause, and the problem on which it was found: the exam's own, or a smaller one if that is too large."""
    late = _alarm(effort.cause_s)
    spec = exam.case.spec
    if spec.macs > MOST_MACS:
        alike = (one for one in similar(spec) if not late() and fails_alike(backend, exam.case, check, None, one))
        spec = next(alike, spec)
        if spec.macs > MOST_MACS:
            return None, spec
        exam = prepare_exam(_with_spec(exam.case, spec))
    return find_cause(Subject(backend=backend, case=exam.case), exam, late=late), spec


def similar(spec: ConvSpec) -> Iterator[ConvSpec]:
    """Problems like this one that are no larger than MOST_MACS, the smallest first; its kernel and steps are kept."""
    for most in (4, 8, 16, 32, 64):
        groups, image = min(spec.groups, most), 2 * most + 1
        smaller = replace(
            spec,
            n=min(spec.n, 2),
            groups=groups,
            c=groups * min(spec.c_per_group, most),
            k=groups * min(spec.k_per_group, most),
            h=min(spec.h, spec.kernel_extent[0] + image),
            w=min(spec.w, spec.kernel_extent[1] + image),
        )
        if smaller.macs <= MOST_MACS:
            yield smaller


def fails_alike(backend: Backend, case: Case, check: Check, cause: Cause | None, spec: ConvSpec) -> bool:
    """Whether the backend is wrong on this problem too, in the same way: the same kind of evidence, the same cause."""
    smaller = _with_spec(case, spec)
    try:
        if backend.why_not(smaller) is not None:
            return False
        exam = prepare_exam(smaller)
        outcome = examine(backend, exam)
        if not isinstance(outcome, Wrong) or _kind(outcome.check) != _kind(check):
            return False
        if cause is None:
            return True
        found = find_cause(Subject(backend=backend, case=smaller), exam, sure=False)
    except ANY_FAULT:
        return False
    return found is not None and found.kind == cause.kind


def _with_spec(case: Case, spec: ConvSpec) -> Case:
    return replace(case, problem=replace(case.problem, spec=spec))


def _kind(check: Check) -> str:
    """The probe, and the evidence up to its first number."""
    return f"{check.probe} {re.split(r'[0-9]', check.evidence or '', maxsplit=1)[0]}"


def _alarm(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def draw_errors(subject: Subject, exam: Exam) -> Picture | None:
    """The errors of the worst image and channel (of dw: k and c); None if no output is outside its bound."""
    share = subject.shares(subject.run(exam), exam.truth)
    if share.max() <= 1:
        with poisoned(exam.case.out_shape, exam.first):
            share = subject.shares(subject.run(exam), exam.truth)
    if share.max() <= 1:
        return None
    wrong = (share > 1).double().sum(dim=(2, 3)) + share.amax(dim=(2, 3)).clamp(max=1e300) / 1e301
    image, channel = divmod(int(wrong.flatten().argmax()), share.shape[1])
    rows, columns = share.shape[2:]
    letters = tuple(words.rsplit(" ", 1)[1] for words in AXES[exam.case.out_name][2:])
    return Picture(
        name=f"{exam.case.out_name}[{image},{channel}]",
        axes=(letters[0], letters[1]),
        rows=rows,
        columns=columns,
        shares=tuple(tuple(line) for line in worst_of_blocks(share[image, channel]).tolist()),
    )


def worst_of_blocks(share: Tensor) -> Tensor:
    """(P, Q) float64, or fewer rows and columns where each cell is the worst of a block."""
    down, across = -(-share.shape[0] // MOST_ROWS), -(-share.shape[1] // MOST_COLUMNS)
    return F.max_pool2d(share[None, None], (down, across), ceil_mode=True)[0, 0]
