"""What does an implementation keep from one call to the next? Equal calls, and others at the same addresses."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from convbench.case import Case
from convbench.verify.diagnose.experiment import SALT, Cause, Subject
from convbench.verify.diagnosis import which_outputs
from convbench.verify.exam import Exam, make_exam, prepare_exam
from convbench.verify.state import call_first, disturbances

REPEAT = "two calls differ"
STATE = "state between calls"
DIVERSE = 8  # numbers that are no constant, nor alike by chance
ALWAYS = 0.9  # of the outputs that were alike with other numbers: so many must be so again
KEPT = "something is kept from an earlier call"


def find_repeat(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Two calls with the same numbers that no order of summation sets so far apart; where nothing is wrong, any two."""
    low, high = subject.allowed(out.dtype, exam, exam.truth)
    for _ in range(2):
        other = subject.run(exam)
        differ = (out != other) & ~(out.isnan() & other.isnan())
        wrong = wrong | (subject.shares(other, exam) > 1)
        if wrong.any():  # another order of summation is no cause of what is wrong all the same
            differ = differ & wrong & ~((out.double() - other.double()).abs() <= (high - low).double())
        if differ.any():
            return Cause(kind=REPEAT, words=f"two equal calls differ in {which_outputs(differ, exam.case.out_name)}")
    return None


def find_state(subject: Subject, exam: Exam, _: Tensor, __: Tensor) -> Cause | None:
    """Outputs that depend on the numbers of the call before, on another problem."""
    return next(filter(None, (_find_left_behind(subject, exam, one) for one in disturbances(exam.case))), None)


def _find_left_behind(subject: Subject, exam: Exam, options: Sequence[Case]) -> Cause | None:
    def after(filled: float) -> tuple[Tensor, str] | None:
        subject.pay()
        other = call_first(subject.backend, options, filled=filled)
        return None if other is None else (subject.run(exam), str(other.spec))

    if (clean := after(0.0)) is None or (found := after(1.0)) is None:
        return None
    before, (out, other) = clean[0], found
    wrong = subject.shares(out, exam) > 1
    differ = wrong & (out != before) & ~(out.isnan() & before.isnan())
    if not differ.any() or (again := after(1.0)) is None or not torch.equal(again[0][differ], out[differ]):
        return None
    if (subject.shares(before, exam) <= 1).all():
        words = f"wrong only after an earlier call, of {other}: it keeps state between calls"
    else:
        which = which_outputs(differ, exam.case.out_name)
        depend = "depends" if int(differ.sum()) == 1 else "depend"
        words = f"{which} {depend} on the call before, of {other}: it keeps state between calls"
    return Cause(kind=STATE, words=words)


def find_remembered(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Outputs that stay the same with other numbers: something of an earlier call was kept."""
    for name, told, kind, asks in (*_with_fresh(subject, exam, out), *_in_place(subject, exam)):
        if (same := _kept(subject, asks)) is not None:
            words = f"{told.format(name)} in {which_outputs(same, exam.case.out_name)}: {KEPT}"
            return Cause(kind=f"remembered by {kind}", words=words)
    return _find_stale(subject) if wrong.any() else None


Ask = tuple[Exam, Tensor]  # what was asked, and the answer


def _with_fresh(subject: Subject, exam: Exam, out: Tensor) -> Iterator[tuple[str, str, str, Iterator[Ask]]]:
    """Another second operand, and another first one, in memory of its own."""

    def asks(place: int) -> Iterator[Ask]:
        yield exam, out
        for other in _others(subject):
            fresh = [*exam.operands.values()]
            fresh[place] = list(other.operands.values())[place]
            asked = make_exam(exam.case, *fresh)
            yield asked, subject.run(asked)

    for place in (1, 0):
        name = list(exam.operands)[place]
        yield name, "another {} of the same shape gives the same numbers", "shape", asks(place)


def _in_place(subject: Subject, exam: Exam) -> Iterator[tuple[str, str, str, Iterator[Ask]]]:
    """Another second operand, and another first one, at the address of the one before."""

    def asks(place: int) -> Iterator[Ask]:
        own = [one.clone() for one in exam.operands.values()]
        for other in (exam, *_others(subject)):
            own[place].copy_(list(other.operands.values())[place])
            asked = make_exam(exam.case, *own)
            answer = subject.run(asked)
            _ = asked.truth  # before the next numbers lie there
            yield asked, answer

    for place in (1, 0):
        name = list(exam.operands)[place]
        yield name, "other numbers at the address of {} give the same", "address", asks(place)


def _others(subject: Subject) -> Iterator[Exam]:
    for salt in (SALT + 1, SALT + 2):
        yield prepare_exam(subject.case, salt=salt)


def _kept(subject: Subject, asks: Iterator[Ask]) -> Tensor | None:
    """The outputs that stayed where the truth moved, when there are more of them than chance makes alike.

    A few must be all that is wrong, their first answer right, and a third one the same again. What is the bias alone,
    behind a relu in the wrong place, stays with reason.
    """
    (exam, before), (asked, got) = next(asks), next(asks)
    same = (got == before) & (asked.truth.y != exam.truth.y)
    for bias in list(exam.operands.values())[2:]:
        same &= before != bias.to(before.dtype).reshape(1, -1, 1, 1)
    few = same & (before != 0) & (subject.shares(before, exam) <= 1)
    values, counts = before[same].unique(return_counts=True)
    if len(values) >= DIVERSE:
        if counts.max() > DIVERSE:
            same &= before != values[counts.argmax()]  # a relu, or a limit
        if int(same.sum()) >= same.numel() // 20 and _same_again(same, before, next(asks)):
            return same
    if not few.any() or not torch.equal(few, subject.shares(got, asked) > 1):
        return None
    asked, got = next(asks)
    again = (got == before) & (subject.shares(got, asked) > 1)
    return few if torch.equal(again, few) else None


def _same_again(same: Tensor, before: Tensor, third: Ask) -> bool:
    """Whether what was alike is so a third time. Coarse numbers, of sums rounded to bf16, are alike by chance."""
    return int((same & (third[1] == before)).sum()) >= ALWAYS * int(same.sum())


def _find_stale(subject: Subject) -> Cause | None:
    """Outputs that hold what was right for the first call of all, or for the one before."""
    first, name = prepare_exam(subject.case), subject.case.out_name
    if not first.finite:
        return None
    (one, before), (other, got) = ((asked, subject.run(asked)) for asked in _others(subject))
    wrong = subject.shares(got, other) > 1
    stays = wrong & (subject.shares(before, one) > 1) & (got == before)
    for held, asked, words in ((stays, first, "the first call"), (wrong, one, "the call before")):
        right = held & (subject.shares(got, asked) <= 1)
        if torch.equal(right, wrong) and bool((got[wrong] != 0).any()):
            hold = "holds" if int(wrong.sum()) == 1 else "hold"
            return Cause(
                kind=f"stale {words}", words=f"{which_outputs(wrong, name)} still {hold} the answer of {words}"
            )
    return None
