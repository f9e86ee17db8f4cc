"""What is there to say of a wrong answer? Its cause, the smallest problem with it, and a picture of the errors."""

import re
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
from convbench.verify.cost import CALLS_TO_VERIFY
from convbench.verify.diagnose.budget import Budget, Spent
from convbench.verify.diagnose.causes import find_cause
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnose.shrink import MOST_TRIES, shrink
from convbench.verify.diagnosis import AXES
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.trial import examine

# A hundred truths and more are computed for a cause; of a larger problem a smaller one that fails alike is asked.
MOST_MACS = 8_000_000
# Of each search, in multiply-adds as a Budget counts them: as much as a score of verifications of the case itself, but
# not less than a small problem takes (some hundred calls), and not more than seconds of the oracle (1e9 a second).
VERIFICATIONS, LEAST_WORK, MOST_WORK = 60, 250_000_000, 2_000_000_000
MOST_ROWS, MOST_COLUMNS = 32, 64  # of a picture; more fit on no screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much may be spent on one fault: nothing is begun that would take more.

    Attributes:
        tries: for the smallest problem; none leave it out.
        work: multiply-adds for the cause, and as many for the smallest problem; None for `work_for` the problem.
    """

    tries: int = MOST_TRIES
    work: int | None = None


def work_for(spec: ConvSpec) -> int:
    """Multiply-adds of a search about a fault on this problem."""
    return min(max(LEAST_WORK, VERIFICATIONS * CALLS_TO_VERIFY * spec.macs), MOST_WORK)


def explain_fault(
    backend: Backend,
    exam: Exam,
    check: Check,
    effort: Effort | None = None,
    *,
    tell: Callable[[], object] = lambda: None,
) -> Check:
    """The check of a backend that is wrong, with its `cause`, `smallest` and `picture` as far as they can be found.

    `tell` is called before every few questions that the backend is asked.
    """
    effort, cause, start = effort or Effort(), None, exam.case
    work = work_for(exam.case.spec) if effort.work is None else effort.work
    with conditions(exam.case):
        with suppress(*ANY_FAULT):  # an experiment that it cannot bear takes nothing from the verdict
            check = replace(check, picture=draw_errors(Subject(backend=backend, case=exam.case), exam))
        budget = Budget(left=work, tell=tell)
        try:
            start = small_enough(backend, exam.case, check, budget)
            cause = name_cause(backend, exam if start == exam.case else prepare_exam(start), budget)
        except Spent:
            check = replace(check, cause_cut=budget.asked)
        except ANY_FAULT:
            pass
        if cause is not None:
            where = "" if start == exam.case else f" (seen on {start.spec})"
            check = replace(check, cause=cause.words + where)
        if effort.tries:
            budget = Budget(left=work, tell=tell)
            with suppress(*ANY_FAULT):
                fails = partial(fails_alike, backend, exam.case, check, cause, budget=budget)
                found = shrink(start.spec, fails, tries=effort.tries)
                check = replace(
                    check,
                    smallest="" if found.spec == exam.case.spec else str(found.spec),
                    smallest_cut=found.tries if found.cut else None,
                )
    return check


def small_enough(backend: Backend, case: Case, check: Check, budget: Budget) -> Case:
    """The case itself, or where that is too large for experiments a smaller one that fails alike, if there is one."""
    if case.spec.macs <= MOST_MACS:
        return case
    alike = (one for one in similar(case.spec) if fails_alike(backend, case, check, None, one, budget=budget))
    return _with_spec(case, next(alike, case.spec))


def name_cause(backend: Backend, exam: Exam, budget: Budget) -> Cause | None:
    """The cause, where experiments name one.

    Raises:
        Spent: there was no budget for the next one.
    """
    if exam.case.spec.macs > MOST_MACS:
        raise Spent
    return find_cause(Subject(backend=backend, case=exam.case, budget=budget), exam)


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


def fails_alike(
    backend: Backend, case: Case, check: Check, cause: Cause | None, spec: ConvSpec, *, budget: Budget
) -> bool:
    """Whether the backend is wrong on this problem too, in the same way: the same kind of evidence, the same cause.

    Raises:
        Spent: there was no budget to find out.
    """
    smaller = _with_spec(case, spec)
    try:
        if backend.why_not(smaller) is not None:
            return False
        budget.pay(spec, calls=CALLS_TO_VERIFY)
        exam = prepare_exam(smaller)
        outcome = examine(backend, exam)
        if not isinstance(outcome, Wrong) or _kind(outcome.check) != _kind(check):
            return False
        if cause is None:
            return True
        found = find_cause(Subject(backend=backend, case=smaller, budget=budget), exam, sure=False)
    except Spent:
        raise
    except ANY_FAULT:
        return False
    return found is not None and found.kind == cause.kind


def _with_spec(case: Case, spec: ConvSpec) -> Case:
    return replace(case, problem=replace(case.problem, spec=spec))


def _kind(check: Check) -> str:
    """The probe, and the evidence up to its first number."""
    return f"{check.probe} {re.split(r'[0-9]', check.evidence or '', maxsplit=1)[0]}"


def draw_errors(subject: Subject, exam: Exam) -> Picture | None:
    """The errors of the worst image and channel (of dw: k and c); None if no output is outside its bound."""
    share = subject.shares(subject.run(exam), exam)
    if share.max() <= 1:
        with poisoned(exam.case.out_shape, exam.first):
            share = subject.shares(subject.run(exam), exam)
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
