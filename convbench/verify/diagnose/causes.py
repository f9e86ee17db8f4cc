"""Why is it wrong? Experiments on the backend itself, from the plainest to the subtlest, until one has an answer.

Each experiment either names a cause that explains every output, or says nothing. A cause is
believed when it shows on a second set of numbers too.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan, nan

import torch
from torch import Tensor

from convbench.verify.bounds import share_of_bound
from convbench.verify.diagnose.calls import REPEAT, find_remembered, find_repeat, find_state
from convbench.verify.diagnose.experiment import SALT, Cause, Subject
from convbench.verify.diagnose.impulses import find_terms
from convbench.verify.diagnose.memory import find_harm, find_layout, find_outside, find_unwritten
from convbench.verify.diagnose.places import find_limits, find_overflow, find_scaled
from convbench.verify.diagnose.precision import find_precision
from convbench.verify.diagnose.reading import find_bias, find_pixels, find_weights, tell_map
from convbench.verify.diagnose.suspects import NEAR, matches, suspects, together
from convbench.verify.diagnosis import AXES, count_outputs, first_output, which_outputs
from convbench.verify.exam import Exam, make_exam, prepare_exam
from convbench.verify.lattice import Lattice
from convbench.verify.oracle import Truth

NEGLIGIBLE = 1e-9  # of a sum in float64
TOO_NEAR = 2  # spacings of the dtype: results that are cut off in place of rounded are too small by less


def find_cause(
    subject: Subject, exam: Exam, *, sure: bool = True, experiments: Sequence["Experiment"] | None = None
) -> Cause | None:
    """The cause of what is wrong, or None when no experiment names one.

    Args:
        exam: random numbers, on which nothing need be wrong: whole numbers are asked then.
        sure: ask for it on a second set of numbers too.
        experiments: that may answer; all of them by default.

    Raises:
        Spent: the subject's budget does not hold the next experiment.
    """
    cause = _first_cause(subject, exam, experiments or EXPERIMENTS)
    if cause is None or not sure or cause.kind in _SEEN_ONCE:
        return cause
    assert cause.told_by is not None
    other = replace(subject, salt=SALT)
    second = _first_cause(other, prepare_exam(subject.case, salt=SALT), (cause.told_by,))
    return cause if second is not None and second.kind == cause.kind else None


Experiment = Callable[[Subject, Exam, Tensor, Tensor], Cause | None]


def _first_cause(subject: Subject, exam: Exam, experiments: Sequence[Experiment]) -> Cause | None:
    """The answer of the first that has one."""
    if not exam.finite:  # where a NaN must be is a question of its own
        exam = make_exam(exam.case, *(torch.where(one.isfinite(), one, 0.0) for one in exam.operands.values()))
    out = subject.run(exam)
    wrong = subject.shares(out, exam) > 1
    if not wrong.any():
        case = replace(exam.case, seed=exam.case.seed + subject.salt)
        numbers = Lattice(case=case, family=subject.backend.family).exam
        whole = make_exam(exam.case, *numbers.operands.values(), exact=True)
        answer = subject.run(whole)
        differ = subject.shares(answer, whole) > 1
        if differ.any():
            exam, out, wrong = whole, answer, differ
    for experiment in experiments:
        # Where outputs are wrong, a NaN that strays is another fault, and not the cause of this one.
        if experiment is find_spread and wrong.any():
            continue
        if (cause := experiment(subject, exam, out, wrong)) is not None:
            return replace(cause, told_by=experiment)
    return None


_SEEN_ONCE = frozenset({REPEAT})  # chance decides whether they show


def find_value(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """The same value in every output that is wrong."""
    values, name = out[wrong], exam.case.out_name
    if not values.numel():
        return None
    value = float(values[0])
    same = values.isnan().all() if isnan(value) else (values == value).all()
    if not same or (values.numel() == 1 and not isnan(value) and value != 0):
        return None
    word = "NaN" if isnan(value) else f"{value + 0.0:g}"  # without the sign of a zero
    if subject.transforms and not isnan(value):  # whose bound is so wide that it may hold this value too
        wrong = wrong | ((out == value) & (share_of_bound(out, exam.truth.y, *exam.within) > 1))
        values = out[wrong]
    if values.numel() == 1:
        return Cause(kind=f"value {word}", words=f"{first_output(wrong, name)} is {word}")
    return Cause(kind=f"value {word}", words=f"{which_outputs(wrong, name)} are {word}")


def find_suspect(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """The changed convolutions that explain every output: one, or a few that this case cannot tell apart."""
    if not wrong.any():
        return None
    group_map = read_groups(subject) if exam.case.spec.groups > 1 and exam.case.pass_ == "fprop" else None
    found = [one.cause for one in suspects(exam.case, group_map) if matches(subject, exam, out, one)]
    if found and (moved := find_moved(subject, exam, out, wrong)) is not None:
        found.append(moved)
    return together(found)


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
    if not wrong.any():
        return None
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
        if (subject.shares(out, exam, truth) <= 1).all():
            noun, letter = words.rsplit(" ", 1)
            told = tell_map(noun, letter, source.tolist(), "holds the answer of", "hold the answer of")
            return Cause(kind=f"moved {letter}", words=told)
    return None


def find_factor(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """All outputs too large by one factor."""
    y = exam.truth.y.clamp(min=0) if exam.case.relu else exam.truth.y
    size = float((y * y).sum())
    factor = float((out.double() * y).sum()) / size if size else nan
    if not wrong.any() or not abs(factor) < 2.0**20 or abs(factor) < 2.0**-20:
        return None
    for exact in (float(round(factor)), 1 / round(1 / factor) if round(1 / factor) else nan, float(f"{factor:.4g}")):
        near = abs(exact - factor) <= 1e-3 * abs(factor)
        told = abs(exact - 1) > TOO_NEAR * torch.finfo(out.dtype).eps
        if told and near and float((out.double() - exact * y).norm()) <= NEAR * abs(exact) * size**0.5:
            scaled = Truth(y=exact * exam.truth.y, magnitude=abs(exact) * exam.truth.magnitude, terms=exam.truth.terms)
            if (subject.shares(out, exam, scaled) <= 1).all():
                return Cause(kind="factor", words=f"every output is {exact:g} times what it should be")
    return None


def find_start(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """What comes of no image at all: sums that begin at another number than 0, padding of other numbers."""
    case = exam.case
    if case.pass_ != "fprop" or not wrong.any():
        return None
    x, w, *bias = exam.operands.values()
    nothing = [torch.zeros_like(x), w, *map(torch.zeros_like, bias)]
    got = subject.run(make_exam(case, *nothing)).double()
    if not bool(got.isfinite().all()) or not got.any():
        return None
    inside = make_exam(case, torch.ones_like(x), w, *map(torch.zeros_like, bias)).truth.y
    beyond = w.double().sum(dim=(1, 2, 3)).reshape(1, -1, 1, 1) - inside
    beyond[beyond.abs() < NEGLIGIBLE * inside.abs().max()] = 0
    for kind, words, factor in (
        ("start", "every sum begins at {:.4g} instead of 0", torch.ones_like(inside)),
        ("padding", "the padding is not zero, it holds {:.4g}", beyond),
    ):
        if not factor.any():
            continue
        place = factor.abs().argmax()
        found = float(got.flatten()[place] / factor.flatten()[place])
        for value in dict.fromkeys((float(round(found)), round(found, 1), float(f"{found:.4g}"))):
            moved = replace(exam.truth, y=exam.truth.y + value * factor)
            if value and bool((subject.shares(out, exam, moved) <= 1).all()):
                return Cause(kind=kind, words=words.format(value))
    return None


def _find_rounding(subject: Subject, exam: Exam, out: Tensor, _: Tensor) -> Cause | None:
    return find_precision(subject, exam, out)


def _find_terms(subject: Subject, _: Exam, __: Tensor, ___: Tensor) -> Cause | None:
    return find_terms(subject)


def find_spread(subject: Subject, exam: Exam, _: Tensor, __: Tensor) -> Cause | None:
    """NaN in one input that reaches outputs which do not read it, or misses one that does."""
    case, (name, other) = exam.case, list(exam.case.operands)[:2]
    if subject.transforms:
        return None  # they mix neighbours
    shape = exam.first.shape
    for place in dict.fromkeys(
        (tuple(size // 2 for size in shape), tuple(0 for _ in shape), tuple(size - 1 for size in shape))
    ):
        for hidden in (False, True):  # by a zero in the other operand
            operands = [one.clone() for one in exam.operands.values()]
            operands[0][place] = nan
            operands[1] = torch.zeros_like(operands[1]) if hidden else operands[1].where(operands[1] != 0, 1.0)
            probe = subject.exam(*operands)
            lonely = [torch.zeros_like(operands[0]), torch.ones_like(operands[1]), *map(torch.zeros_like, operands[2:])]
            lonely[0][place] = 1
            # What is multiplied with the zeros of the padding may be NaN, or be left out.
            got, may, must = subject.run(probe).isnan(), probe.truth.y.isnan(), subject.exam(*lonely).truth.y != 0
            at = f"NaN at {name}[{','.join(map(str, place))}]"
            for differ, words in ((got & ~may, "also reaches"), (must & ~got, "does not reach")):
                if differ.any() and not (case.relu and words == "does not reach"):
                    count = int(differ.sum())
                    more = "" if count == 1 else f" and {count_outputs(count - 1, 'other ')}"
                    where = f" where {other} is 0" if hidden else ""
                    return Cause(
                        kind=f"NaN {words}{where}",
                        words=f"{at} {words} {first_output(differ, case.out_name)}{more}{where}",
                    )
    return None


EXPERIMENTS: tuple[Experiment, ...] = (
    find_harm,
    find_unwritten,
    find_repeat,
    find_state,
    find_remembered,
    find_outside,
    find_layout,
    find_overflow,
    find_limits,
    find_value,
    find_suspect,
    find_moved,
    find_factor,
    find_start,
    find_bias,
    find_scaled,
    find_weights,
    find_pixels,
    _find_rounding,
    _find_terms,
    find_spread,
)
