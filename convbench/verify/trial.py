"""One backend on one case: are its answers right?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from convbench.backend import TRANSFORMS, Backend, Unsupported
from convbench.call.bind import failure
from convbench.call.outputs import taken
from convbench.dtypes import DTYPE
from convbench.errors import one_line
from convbench.outcome import Bill, Check, Failed, Skipped, Verified, Wrong
from convbench.verify.answers import Answer, Answers, alike, question
from convbench.verify.batch import DIFFERS, check_alone
from convbench.verify.diagnosis import describe_place
from convbench.verify.exam import Exam, wrong
from convbench.verify.inherited import inherited_defect
from convbench.verify.locality import NAN_LOST
from convbench.verify.probes import Probes
from convbench.verify.transforms import TRANSFORM_RELATIVE_L2, transform_possible
from convbench.verify.verdict import apart, check

VARIES = "equal calls differ in their last bits"
JUDGES = ("numeric", "sharp", "lattice")  # probes that compare numbers with a family's bound
SIGNS = "equal calls differ in the sign of a zero or NaN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A backend that ran.

    Attributes:
        call: `call() -> out`, in the case's layout.
        given: what it is bound to, the weight prepared.
        out: what the first call returned.
        check: the verdict on all of its calls.
        bill: what it cost besides its steady time.
    """

    call: Callable[[], Any]
    given: Sequence[Any]
    out: Any
    check: Check
    bill: Bill

    @property
    def outcome(self) -> Verified | Wrong:
        return Verified(self.check) if self.check.passed else Wrong(self.check)


def attempt(
    backend: Backend, exam: Exam, *, profiled: bool = True, answers: Answers | None = None
) -> Trial | Failed | Skipped:
    """Call a backend as a user would, then on poisoned memory, then once more; its operands are restored.

    `answers` are its own, where they were taken before.
    """
    backend = backend.for_case(exam.case)
    probes = Probes(exam)
    found = answers or question(backend, probes, profiled=profiled, whole=False)
    if isinstance(found, Failed | Skipped):
        return found
    outcome = weigh(backend, probes, found)
    if isinstance(outcome, Failed | Skipped):
        return outcome
    return Trial(call=found.call, given=found.given, out=found.plain.out, check=outcome.check, bill=found.bill)


def examine(backend: Backend, exam: Exam) -> Verified | Wrong | Failed | Skipped:
    """The verdict on one backend, by all probes."""
    backend = backend.for_case(exam.case)
    probes = Probes(exam)
    answers = question(backend, probes)
    return answers if isinstance(answers, Failed | Skipped) else weigh(backend, probes, answers)


def weigh(backend: Backend, probes: Probes, answers: Answers) -> Verified | Wrong | Failed | Skipped:
    """The verdict on the answers of a backend; computes the truth if it does not exist yet."""
    try:
        check = verdict(backend, probes, answers)
    except Unsupported as refused:
        return Skipped(one_line(str(refused)))
    except (MemoryError, RuntimeError, AssertionError) as error:
        return of_the_oracle(error)
    if not check.passed:
        return Wrong(check)
    return Failed(answers.not_run) if answers.not_run else Verified(check)


def of_the_oracle(error: BaseException) -> Failed:
    """The truth could not be computed, usually for lack of memory."""
    return Failed(f"the oracle: {failure(error).message}")


def verdict(backend: Backend, probes: Probes, answers: Answers) -> Check:
    """The figures of the plain answer, and the first fault; a known library defect is reported, but not a fault."""
    case = probes.exam.case
    defects: dict[str, None] = {}
    figures: Check | None = None
    for found in _findings(backend, probes, answers):
        figures = figures or found
        if found.passed:
            figures = replace(figures, arithmetic=_together(figures.arithmetic, found.arithmetic))
            continue
        known = None if backend.defects is None else backend.defects(case, found.probe)
        if known is None and not backend.built_in:
            known = inherited_defect(probes, answers, found.probe)
        if known is None:
            return replace(
                found,
                evidence=f"{found.evidence}{_family_hint(backend, probes, answers, found, figures)}",
                worst_of_bound=max(figures.worst_of_bound, found.worst_of_bound),
                relative_l2=figures.relative_l2,
                omega=figures.omega,
                arithmetic=found.arithmetic or figures.arithmetic,
            )
        defects[known] = None
    assert figures is not None
    return replace(figures, evidence=None, probe="", defect="; ".join(defects))


def _family_hint(backend: Backend, probes: Probes, answers: Answers, found: Check, figures: Check) -> str:
    """Which families would pass these numbers, of a plain function that is judged as a direct sum; or "".

    In 16 bits Winograd's bound is so wide that it holds missing weights and rounded sums too: it is no hint there.
    """
    case = probes.exam.case
    if not backend.undeclared or found.probe not in JUDGES or DTYPE[case.dtype].narrow:
        return ""
    if not figures.relative_l2 <= TRANSFORM_RELATIVE_L2[case.dtype]:  # no family passes that
        return ""
    asked = [(probes.exam, answers.plain.out)]
    if answers.lattice is not None:
        asked.append((probes.lattice_for(backend.family).exam, answers.lattice.out))

    def passes(family: str) -> bool:
        try:
            return transform_possible(case, family) and all(check(exam, out, family).passed for exam, out in asked)
        except Unsupported:
            return False

    fit = [family for family in TRANSFORMS if passes(family)]
    if not fit:
        return ""
    families = fit[0] if len(fit) == 1 else f"{', '.join(fit[:-1])} and {fit[-1]}"
    given = f'"{fit[0]}"' if len(fit) == 1 else "..."
    return f"; within the bound{'s' * (len(fit) > 1)} of {families}: if it is one, declare @backend(family={given})"


def _together(words: str, more: str) -> str:
    """What is known of the arithmetic: the first words for it, and what a later probe notices besides."""
    if not words or not (more in (VARIES, SIGNS) or any(noticed in more for noticed in (DIFFERS, NAN_LOST))):
        return words or more
    return words if more in words else f"{words}, {more}"


def _findings(backend: Backend, probes: Probes, answers: Answers) -> Iterator[Check]:
    """What each probe finds, the plain answer first."""
    exam, family, points = probes.exam, backend.family, backend.points
    roundings = backend.count_roundings(exam.case)
    plain = answers.plain.out

    def manners(answer: Answer) -> Check | None:
        if answer.harmed:
            return wrong(f"it changed its input {' and '.join(answer.harmed)}", "memory")
        if answer.shifted:
            return wrong("its output changed after it was returned", "memory")
        return wrong("it wrote beyond the memory that it had allocated", "memory") if answer.strayed else None

    yield manners(answers.plain) or check(exam, plain, family, roundings, points)
    if exam.misfit(plain) is not None:
        return
    if answers.overwritten:
        yield wrong("a later call wrote into the output that an earlier one had returned", "memory")
    for words, answer in answers.poisoned.items():
        found = manners(answer)
        if found is None and not alike(answer.out, plain):
            found = check(exam, answer.out, family, roundings, points)
            if not found.passed:
                found = found.fails(
                    "memory", f"right on fresh memory, wrong on memory that holds {words}: {found.evidence}"
                )
        if found is not None:
            yield found
    for answer in answers.again:
        found = manners(answer)
        if found is None and not alike(answer.out, plain):
            found = exam.misfit(answer.out) or _unlike(backend, exam, answer.out, plain, varies=answers.varies)
        if found is not None:
            yield found
    if answers.later is not None:
        others, answer = answers.later
        found = manners(answer)
        if found is None and not alike(answer.out, plain):
            found = exam.misfit(answer.out) or check(exam, answer.out, family, roundings, points)
            if not found.passed:
                found = found.fails("state", f"right at first, wrong after a call of {others}: {found.evidence}")
        if found is not None and not found.passed:
            yield found
    if answers.lattice is not None:
        found = probes.lattice_for(family).check(answers.lattice.out, family, roundings, points)
        yield manners(answers.lattice) or found
    if answers.pierced is not None:
        found = probes.locality.check(answers.pierced.out, plain, family, roundings, points)
        yield manners(answers.pierced) or found
    if answers.single is not None:
        image, single = answers.single
        harm = None if isinstance(single, Failed) else manners(single)
        yield harm or _alone(backend, exam, image, single, plain, varies=answers.varies)
    if answers.gradient:
        yield wrong(answers.gradient, "gradient")


def _alone(backend: Backend, exam: Exam, image: int, single: Answer | Failed, plain: Tensor, *, varies: bool) -> Check:
    """Judge one image of the batch that was computed alone."""
    if isinstance(single, Failed):
        return wrong(f"image {image} alone: {single.message}", "batch")
    if not isinstance(single.out, Tensor):
        return wrong(f"image {image} alone: returned {type(single.out).__name__}, not a tensor", "batch")
    roundings = backend.count_roundings(exam.case)
    found = check_alone(exam, image, single.out, plain, backend.family, roundings, backend.points)
    return replace(found, arithmetic="") if varies else found  # two equal calls differ as well


def _unlike(backend: Backend, exam: Exam, again: Tensor, plain: Tensor, *, varies: bool) -> Check:
    """A second call with different bits: wrong, unless the backend declares that, and both are right.

    Then they may differ as two orders of one sum do.
    """
    how = backend.family, backend.count_roundings(exam.case), backend.points
    found = check(exam, again, *how)
    if not found.passed:
        return found.fails("repeat", f"right in the first call, wrong in the second: {found.evidence}")
    differs = (again != plain) & ~(again.isnan() & plain.isnan())
    if not differs.any():
        return replace(found, arithmetic=SIGNS)
    far = differs & (apart(exam, again, plain, *how) | (again.isnan() != plain.isnan()))
    if varies and not far.any():
        return replace(found, arithmetic=VARIES)
    so_far = " by more than two orders of summation can" if varies else ""
    differs = far if varies else differs
    count = int(differs.sum())
    words = f"two equal calls differ{so_far} in {count:,} output{'s' * (count != 1)}, "
    words += describe_place(differs, exam.case.out_name)
    if not far.any():
        words += "; both are right, as with two orders of one sum: declare nondeterministic if the order is not fixed"
    return found.fails("repeat", words)


def judge(out: Any, exam: Exam, backend: Backend) -> Check:
    """The verdict on a backend's output, by its declared way of summing."""
    return check(exam, taken(out), backend.family, backend.count_roundings(exam.case), backend.points)
