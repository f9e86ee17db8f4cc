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
from convbench.dtypes import DTYPE
from convbench.outcome import Check, Picture, Wrong
from convbench.spec import ConvSpec
from convbench.verify.cost import CALLS_TO_VERIFY
from convbench.verify.diagnose.budget import MORE_IF_SLOW, Budget, Spent, how_slow
from convbench.verify.diagnose.calls import STATE
from convbench.verify.diagnose.causes import find_cause
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnose.shrink import MOST_TRIES, Shrunk, shrink
from convbench.verify.diagnosis import AXES
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.transforms import transform_possible
from convbench.verify.trial import examine

# A hundred truths and more are computed for a cause; of a larger problem a smaller one that fails alike is asked. An
# ordinary layer of 64 channels on 16x16 pixels is asked itself.
MOST_MACS = 10_000_000
# Of the search for the cause and of that for the smallest problem, in multiply-adds as a Budget counts them: seconds.
CAUSE_WORK, SHRINK_WORK = 1_500_000_000, 1_000_000_000
# Probes that judge numbers: which of them finds a fault first depends on the size of the problem.
# What an earlier call left behind is found by each of them.
JUDGES_OF_NUMBERS = frozenset({"numeric", "sharp", "lattice", "state"})
MOST_ROWS, MOST_COLUMNS = 32, 64  # of a picture; more fit on no screen


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much may be spent on one search: nothing is begun that would take more.

    Attributes:
        tries: for the smallest problem; none leave it out.
        cause_work, shrink_work: multiply-adds for the cause, and for each search of the smallest problem.
    """

    tries: int = MOST_TRIES
    cause_work: int = CAUSE_WORK
    shrink_work: int = SHRINK_WORK


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
    with conditions(exam.case):
        slowness, begin = 1.0, time.perf_counter()
        with suppress(*ANY_FAULT):  # an experiment that it cannot bear takes nothing from the verdict
            tell()
            Subject(backend=backend, case=exam.case).run(exam)
            slowness = how_slow(exam.case.spec, time.perf_counter() - begin)
            check = replace(check, picture=draw_errors(Subject(backend=backend, case=exam.case), exam))
        more = MORE_IF_SLOW if slowness > 1 else 1
        budget = Budget(left=more * effort.cause_work, slowness=slowness, tell=tell)
        try:
            start = small_enough(backend, exam.case, check, budget)
            cause = name_cause(backend, exam if start == exam.case else prepare_exam(start), budget)
        except Spent:
            check = replace(check, cause_cut=max(1, budget.asked))  # 0 says that nothing was tried
        except ANY_FAULT:
            pass
        if cause is not None:
            check = _with_cause(check, exam.case, cause, start.spec)
        if effort.tries:
            budget = Budget(left=more * effort.shrink_work, slowness=slowness, tell=tell)
            with suppress(Spent, *ANY_FAULT):
                found = find_smallest(backend, exam.case, check, cause, start.spec, effort.tries, budget)
                check = replace(
                    check,
                    smallest="" if found.spec == exam.case.spec else str(found.spec),
                    smallest_cut=found.tries if found.cut else None,
                )
                if cause is None and slowness > 1:  # what is too slow for experiments may be fast enough there
                    budget = Budget(left=more * effort.cause_work, slowness=slowness, tell=tell)
                    smallest = prepare_exam(_with_spec(exam.case, found.spec))
                    if (cause := name_cause(backend, smallest, budget)) is not None:
                        check = _with_cause(replace(check, cause_cut=None), exam.case, cause, found.spec)
    return check


def _with_cause(check: Check, case: Case, cause: Cause, spec: ConvSpec) -> Check:
    return replace(check, cause=cause.words + ("" if spec == case.spec else f" (seen on {spec})"))


def small_enough(backend: Backend, case: Case, check: Check, budget: Budget) -> Case:
    """The case itself, or where that is too large for experiments a smaller one that fails alike, if there is one.

    Of an image that is wrong alone it is a batch of one, if that fails.
    """
    if check.probe == "batch":
        single, check = replace(case.spec, n=1), replace(check, probe="numeric", evidence=None)
        if fails_alike(backend, case, check, None, single, budget=budget):
            case = _with_spec(case, single)
    most = most_macs(backend, case, budget.slowness)
    if case.spec.macs <= most:
        return case
    if check.probe in JUDGES_OF_NUMBERS:
        check = replace(check, evidence=None)  # that says where
    alike = (
        one
        for one in similar(case.spec, most, tiny=budget.slowness > 1)
        if fails_alike(backend, case, check, None, one, budget=budget)
    )
    return _with_spec(case, next(alike, case.spec))


def name_cause(backend: Backend, exam: Exam, budget: Budget) -> Cause | None:
    """The cause, where experiments name one.

    Raises:
        Spent: there was no budget for the next one.
    """
    if exam.case.spec.macs > most_macs(backend, exam.case, budget.slowness):
        raise Spent
    return find_cause(Subject(backend=backend, case=exam.case, budget=budget), exam)


def most_macs(backend: Backend, case: Case, slowness: float = 1.0) -> int:
    """Of a problem that is asked itself: fewer where calls are slow, or each term of a sum must be asked alone."""
    one_by_one = DTYPE[case.dtype].narrow and transform_possible(case, backend.family)
    more = MORE_IF_SLOW if slowness > 1 else 1
    return int(more * (MOST_MACS // 20 if one_by_one else MOST_MACS) / slowness)


def similar(spec: ConvSpec, most_macs: int = MOST_MACS, *, tiny: bool = False) -> Iterator[ConvSpec]:
    """Problems like this one that are no larger than that, the most like it first; its kernel and steps are kept.

    A size loses multiples of a block, so that what is left beyond a last block stays; `tiny` ones are of blocks of two.
    """
    seen = set[ConvSpec]()
    whole = dict.fromkeys(("n", "groups", "c", "k", "p", "q"), False)
    shapes = [(most, whole) for most in (64, 32, 16, 8, 4, *((2, 1) if tiny else ()))]
    shapes += [(8, whole | dict.fromkeys(kept, True)) for kept in (("p", "q"), ("k",), ("c",), ("k", "p", "q"), ("n",))]
    for most, kept in shapes:

        def cut(name: str, size: int, most: int = most, kept: dict[str, bool] = kept) -> int:
            return size if kept[name] or size <= 2 * most else size % most + most

        groups = cut("groups", spec.groups)
        smaller = replace(
            spec,
            n=spec.n if kept["n"] else min(spec.n, 2),
            groups=groups,
            c=groups * cut("c", spec.c_per_group),
            k=groups * cut("k", spec.k_per_group),
            h=spec.h - (spec.p - cut("p", spec.p)) * spec.stride[0],
            w=spec.w - (spec.q - cut("q", spec.q)) * spec.stride[1],
        )
        if smaller.macs <= most_macs and smaller not in seen:
            seen.add(smaller)
            yield smaller


def find_smallest(
    backend: Backend, case: Case, check: Check, cause: Cause | None, spec: ConvSpec, tries: int, budget: Budget
) -> Shrunk:
    """The smallest problem, from this one on, that fails alike.

    On the way only the experiment that named the cause is asked. If another one names a different cause for the result,
    or cannot be paid for, the search is repeated with all experiments.
    """

    def fails(*, quick: bool) -> Callable[[ConvSpec], bool]:
        return partial(fails_alike, backend, case, check, cause, budget=replace(budget), quick=quick)

    found = shrink(spec, fails(quick=True), tries=tries)
    if cause is None or found.spec == spec:
        return found
    with suppress(Spent):
        if fails(quick=False)(found.spec):
            return found
    return shrink(spec, fails(quick=False), tries=tries)


def fails_alike(
    backend: Backend,
    case: Case,
    check: Check,
    cause: Cause | None,
    spec: ConvSpec,
    *,
    budget: Budget,
    quick: bool = False,
) -> bool:
    """Whether the backend is wrong on this problem too, in the same way: the same kind of evidence, the same cause.

    Args:
        quick: ask no experiment but the one that named the cause.

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
        if not isinstance(outcome, Wrong):
            return False
        if not (cause is not None and cause.kind == STATE) and not _alike(outcome.check, check):
            return False
        if cause is None:
            return True
        alone = (cause.told_by,) if quick and cause.told_by is not None else None
        subject = Subject(backend=backend, case=smaller, budget=budget)
        found = find_cause(subject, exam, sure=False, experiments=alone)
    except Spent:
        raise
    except ANY_FAULT:
        return False
    return found is not None and found.kind == cause.kind


def _with_spec(case: Case, spec: ConvSpec) -> Case:
    return replace(case, problem=replace(case.problem, spec=spec))


def _alike(found: Check, check: Check) -> bool:
    """Whether two faults show in the same way: by the probe, and by the evidence up to its first number."""
    if check.evidence is None or check.probe == "state":  # any wrong number
        return found.probe in JUDGES_OF_NUMBERS
    kinds = [(one.probe, re.split(r"[0-9]", one.evidence or "", maxsplit=1)[0]) for one in (found, check)]
    return kinds[0] == kinds[1]


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
