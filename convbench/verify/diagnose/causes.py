"""Why is it wrong? Experiments on the backend itself, from the plainest to the subtlest, until one has an answer.

Each experiment either names a cause that explains every output, or says nothing. A cause is
believed when it shows on a second set of numbers too.
"""

from math import isnan, nan

import torch
from torch import Tensor

from convbench.call.memory import poisoned
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnose.impulses import find_terms
from convbench.verify.diagnose.precision import find_precision
from convbench.verify.diagnose.suspects import NEAR, matches, suspects
from convbench.verify.diagnosis import AXES, describe_place
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.oracle import Truth

SALT = 77  # of the numbers that confirm a cause
MARK = -1.5 * 2.0**13  # a value for memory that nobody wrote; every dtype holds it, no sum comes to it


def find_cause(subject: Subject, exam: Exam, *, sure: bool = True) -> Cause | None:
    """The cause of what is wrong on the exam's numbers, or None when no experiment names one.

    Args:
        sure: ask for it on a second set of numbers too.

    Raises:
        Spent: the subject's budget does not hold the next experiment.
    """
    cause = _first_cause(subject, exam)
    if cause is None or not sure or cause.kind in _SEEN_ONCE:
        return cause
    second = _first_cause(subject, prepare_exam(subject.case, salt=SALT))
    return cause if second is not None and second.kind == cause.kind else None


def _first_cause(subject: Subject, exam: Exam) -> Cause | None:
    out = subject.run(exam)
    cause = find_unwritten(subject, exam) or find_repeat(subject, exam, out)
    if cause is not None:
        return cause
    share = subject.shares(out, exam.truth)
    if (share > 1).any():
        for experiment in (find_value, find_suspect, find_moved, find_factor):
            if (cause := experiment(subject, exam, out, share > 1)) is not None:
                return cause
    cause = find_precision(subject) or find_terms(subject)
    if cause is not None:
        return cause
    # Where outputs are wrong, a NaN that strays is another fault, and not the cause of this one.
    return None if (share > 1).any() else find_spread(subject, exam)


_REPEAT, _UNWRITTEN, _MEMORY = "two calls differ", "never written", "depends on memory"
_SEEN_ONCE = frozenset({_REPEAT})  # chance decides whether they show


def find_unwritten(subject: Subject, exam: Exam) -> Cause | None:
    """Outputs that hold what their memory held before."""
    outs = []
    for value in (nan, MARK):
        with poisoned(exam.case.out_shape, exam.first, value):
            outs.append(subject.run(exam))
    first, second = outs
    # A relu turns NaN into 0 in some implementations, and a bias is added to whatever is there.
    moved = first.isnan() != second.isnan()
    if not moved.any():
        return None
    name = exam.case.out_name
    kept = moved & (second == MARK)
    if torch.equal(kept, moved):
        return Cause(kind=_UNWRITTEN, words=f"{_tell_unwritten(kept, name)} never written")
    depend = "depends" if int(moved.sum()) == 1 else "depend"
    return Cause(kind=_MEMORY, words=f"{_which(moved, name)} {depend} on what memory held that nobody has written")


def _tell_unwritten(kept: Tensor, name: str) -> str:
    """How "never written" begins: one output, the last some, or the place."""
    flat = kept.flatten()
    count = int(flat.sum())
    if count == flat.numel():
        return "the outputs were"
    index = _index(kept, name)
    if count == 1:
        return f"{index} was"
    axes = [int(kept.any(dim=tuple(other for other in range(4) if other != axis)).sum()) for axis in range(4)]
    block = 1
    for extent in axes:
        block *= extent
    whole_rows = block == count and sum(extent < size for extent, size in zip(axes, kept.shape, strict=True)) == 1
    if whole_rows:
        return f"the outputs {describe_place(kept, name)} were"
    if bool(flat[-count:].all()):
        return f"the last {count:,} outputs (from {index} on) were"
    return f"{_which(kept, name)} were"


def find_repeat(subject: Subject, exam: Exam, out: Tensor) -> Cause | None:
    """Two calls with the same numbers that no order of summation sets so far apart; where nothing is wrong, any two."""
    low, high = subject.allowed(out.dtype, exam.truth)
    wrong = subject.shares(out, exam.truth) > 1
    for _ in range(2):
        other = subject.run(exam)
        differ = (out != other) & ~(out.isnan() & other.isnan())
        wrong = wrong | (subject.shares(other, exam.truth) > 1)
        if wrong.any():  # another order of summation is no cause of what is wrong all the same
            differ = differ & wrong & ~((out.double() - other.double()).abs() <= (high - low).double())
        if differ.any():
            return Cause(kind=_REPEAT, words=f"two equal calls differ in {_which(differ, exam.case.out_name)}")
    return None


def find_value(_: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """The same value in every output that is wrong."""
    values, name = out[wrong], exam.case.out_name
    value = float(values[0])
    same = values.isnan().all() if isnan(value) else (values == value).all()
    if not same or (values.numel() == 1 and not isnan(value) and value != 0):
        return None
    word = "NaN" if isnan(value) else f"{value:g}"
    if values.numel() == 1:
        return Cause(kind=f"value {word}", words=f"{_index(wrong, name)} is {word}")
    return Cause(kind=f"value {word}", words=f"{_which(wrong, name)} are {word}")


def find_suspect(subject: Subject, exam: Exam, out: Tensor, _: Tensor) -> Cause | None:
    """The changed convolutions that explain every output: one, or two that this case cannot tell apart."""
    group_map = read_groups(subject) if exam.case.spec.groups > 1 and exam.case.pass_ == "fprop" else None
    found: list[Cause] = []
    for suspect in suspects(exam.case, group_map):
        if matches(subject, exam, out, suspect):
            found.append(suspect.cause)
            if len(found) == 2:
                break
    if not found:
        return None
    words = ", or ".join(dict.fromkeys(cause.words for cause in found))
    return Cause(kind=found[0].kind, words=words + (" (the same on this case)" if len(found) > 1 else ""))


def read_groups(subject: Subject) -> tuple[int, ...] | None:
    """The group whose first channel each group reads, where that is another than its own for any."""
    spec, case = subject.case.spec, subject.case
    if spec.groups > 200:  # bf16 counts no further than 256
        return None
    x = torch.arange(1.0, spec.groups + 1, dtype=torch.float64).repeat_interleave(spec.c_per_group)
    x = x.reshape(1, -1, 1, 1).expand(spec.x_shape).to(case.target.torch_name)
    w = torch.zeros(spec.w_shape, dtype=torch.float64, device=case.target.torch_name)
    w[:, 0, spec.r // 2, spec.s // 2] = 1
    bias = [torch.zeros(spec.k, dtype=torch.float64, device=case.target.torch_name)] if case.epilogue != "none" else []
    y = subject.run(subject.exam(x, w, *bias)).double().amax(dim=(0, 2, 3)).reshape(spec.groups, -1)
    read = [row.unique() for row in y]
    if any(len(one) != 1 or one[0] != one[0].round() or not 1 <= float(one[0]) <= spec.groups for one in read):
        return None
    found = tuple(int(one[0]) - 1 for one in read)
    return found if found != tuple(range(spec.groups)) else None


def find_moved(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Right answers in the wrong places: images, channels, rows or columns swapped, repeated or shifted."""
    case = exam.case
    y = exam.truth.y.clamp(min=0) if case.relu else exam.truth.y
    for axis, words in enumerate(AXES[case.out_name]):
        size = out.shape[axis]
        if size == 1 or out.numel() // size < 4:  # so few numbers may agree by chance
            continue
        got, there = (one.movedim(axis, 0).flatten(1).double().nan_to_num() for one in (out, y))
        nearest = torch.cdist(got, there).argmin(dim=1)
        right = ~wrong.movedim(axis, 0).flatten(1).any(dim=1)
        source = torch.where(right, torch.arange(size, device=out.device), nearest)
        if torch.equal(source, torch.arange(size, device=out.device)):
            continue
        whole = exam.truth.terms.expand(out.shape)
        moved = [one.index_select(axis, source) for one in (exam.truth.y, exam.truth.magnitude, whole)]
        truth = Truth(y=moved[0], magnitude=moved[1], terms=moved[2])
        if (subject.shares(out, truth) <= 1).all():
            noun, letter = words.rsplit(" ", 1)
            return Cause(kind=f"moved {letter}", words=_tell_moved(noun, letter, [int(one) for one in source]))
    return None


def _tell_moved(noun: str, letter: str, source: list[int]) -> str:
    wrong = [place for place, origin in enumerate(source) if place != origin]
    origins = {source[place] for place in wrong}
    if len(wrong) == 2 and [source[source[place]] for place in wrong] == wrong:
        return f"{noun}s {letter}={wrong[0]} and {letter}={wrong[1]} are swapped"
    if len(wrong) == 1:
        return f"{noun} {letter}={wrong[0]} holds the answer of {letter}={source[wrong[0]]}"
    if len(origins) == 1:
        run = f"{wrong[0]}..{wrong[-1]}" if wrong == list(range(wrong[0], wrong[-1] + 1)) else ",".join(map(str, wrong))
        return f"{noun}s {letter}={run} hold the answer of {letter}={origins.pop()}"
    shifts = {source[place] - place for place in wrong}
    if len(shifts) == 1:
        shift = f"{shifts.pop():+d}"
        return f"{noun}s {letter}={wrong[0]}..{wrong[-1]} hold the answer of {letter}{shift}"
    if source == list(range(len(source)))[::-1]:
        return f"the {noun}s are in reverse order"
    pairs = ", ".join(f"{letter}={place} that of {letter}={source[place]}" for place in wrong[:3])
    return f"the {noun}s are mixed up: {pairs}" + (", ..." if len(wrong) > 3 else "")


def find_factor(subject: Subject, exam: Exam, out: Tensor, _: Tensor) -> Cause | None:
    """All outputs too large by one factor."""
    y = exam.truth.y.clamp(min=0) if exam.case.relu else exam.truth.y
    size = float((y * y).sum())
    factor = float((out.double() * y).sum()) / size if size else nan
    if not abs(factor) < 2.0**20 or abs(factor) < 2.0**-20:
        return None
    for exact in (float(round(factor)), 1 / round(1 / factor) if round(1 / factor) else nan):
        near = abs(exact - factor) <= 1e-3 * abs(factor)
        if exact != 1 and near and float((out.double() - exact * y).norm()) <= NEAR * abs(exact) * size**0.5:
            scaled = Truth(y=exact * exam.truth.y, magnitude=abs(exact) * exam.truth.magnitude, terms=exam.truth.terms)
            if (subject.shares(out, scaled) <= 1).all():
                return Cause(kind="factor", words=f"every output is {exact:g} times what it should be")
    return None


def find_spread(subject: Subject, exam: Exam) -> Cause | None:
    """NaN in one input that reaches outputs which do not read it, or misses one that does."""
    case, name = exam.case, next(iter(exam.case.operands))
    shape = exam.first.shape
    for place in dict.fromkeys(
        (tuple(size // 2 for size in shape), tuple(0 for _ in shape), tuple(size - 1 for size in shape))
    ):
        operands = [one.clone() for one in exam.operands.values()]
        operands[0][place] = nan
        probe = subject.exam(*operands)
        lonely = [torch.zeros_like(operands[0]), torch.ones_like(operands[1]), *map(torch.zeros_like, operands[2:])]
        lonely[0][place] = 1
        # What is multiplied with the zeros of the padding may be NaN, or be left out.
        got, may, must = subject.run(probe).isnan(), probe.truth.y.isnan(), subject.exam(*lonely).truth.y != 0
        at = f"NaN at {name}[{','.join(map(str, place))}]"
        for differ, words in ((got & ~may, "also reaches"), (must & ~got, "does not reach")):
            if differ.any() and not (case.relu and words == "does not reach"):
                count = int(differ.sum())
                more = "" if count == 1 else f" and {count - 1:,} other outputs"
                return Cause(kind=f"NaN {words}", words=f"{at} {words} {_index(differ, case.out_name)}{more}")
    return None


def _which(which: Tensor, name: str) -> str:
    """The outputs, as "all outputs", "y[0,3,2,5]" or "18 outputs in the last output row (p=8)"."""
    count = int(which.sum())
    if count == which.numel():
        return "all outputs"
    return _index(which, name) if count == 1 else f"{count:,} outputs {describe_place(which, name)}"


def _index(which: Tensor, name: str) -> str:
    """The first of them."""
    return f"{name}[{','.join(str(int(i)) for i in which.nonzero()[0])}]"
