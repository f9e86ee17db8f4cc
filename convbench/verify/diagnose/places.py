"""By what rule do wrong outputs follow from the right ones? Limits, an overflow, a factor in one place.

Only what the outputs are is asked here, and not how they came about.
"""

from dataclasses import replace
from math import ceil, inf

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.verify.diagnose.experiment import SALT, Cause, Subject
from convbench.verify.diagnose.precision import FORMATS, one_product
from convbench.verify.diagnose.suspects import RELU
from convbench.verify.diagnosis import which_outputs
from convbench.verify.exam import Exam, prepare_exam

MOST_ASKED = 24  # times, until the factor of one output is known to so many digits that one number has them
SETTLED = 3  # of them in a row in which no other output is wrong


def find_limits(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Outputs that end at a largest or a smallest value: a relu6, a saturation."""
    least, most = float(out.min()), float(out.max())
    y = exam.truth.y.clamp(min=0) if exam.case.relu else exam.truth.y
    beyond = {"larger": (most, y > most), "smaller": (least, y < least)}
    ends = {words: end for words, (end, those) in beyond.items() if int((wrong & those & (out == end)).sum()) > 1}
    if not ends or least == most or not bool((subject.shares(out, exam) <= 1)[(out > least) & (out < most)].all()):
        return None
    limited = replace(exam.truth, y=y.clamp(ends.get("smaller"), ends.get("larger")))
    if not bool((subject.shares(out, exam, limited, relu=False) <= 1).all()):
        return None
    if ends == {"smaller": 0.0} and exam.case.pass_ == "fprop":
        return Cause(kind="relu", words=RELU)
    told = " and ".join(f"{words} than {end:g} are {end:g}" for words, end in ends.items())
    return Cause(kind=f"limits {' '.join(ends)}", words=f"outputs that should be {told}")


def find_overflow(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Outputs beyond the largest number of a narrower format that are infinite, and all others right."""
    lost, y = out.isinf() & wrong, exam.truth.y.clamp(min=0) if exam.case.relu else exam.truth.y
    if not lost.any() or not torch.equal(lost, wrong) or not torch.equal(out[lost].double(), y[lost].sign() * inf):
        return None
    for name in FORMATS:
        largest = torch.finfo(TORCH_DTYPE[name]).max
        if largest >= torch.finfo(out.dtype).max or not torch.equal(lost, y.abs() > largest):
            continue
        beyond = 2.0 ** ceil(torch.tensor(largest).log2())
        if _comes_through(subject, beyond / 2) and not _comes_through(subject, beyond):
            return Cause(
                kind=f"overflow {name}",
                words=f"outputs beyond {largest:,.6g}, the largest number of {name}, are infinite",
            )
    return None


def _comes_through(subject: Subject, size: float) -> bool:
    """Whether a single product of that size, of two factors that are far smaller, is finite."""
    first, second, *bias = subject.ones()
    first, second = one_product(subject.case, first * size**0.5, second * size**0.5)
    return bool(subject.run(subject.exam(first, second, *bias)).isfinite().all())


def find_scaled(subject: Subject, exam: Exam, out: Tensor, wrong: Tensor) -> Cause | None:
    """Outputs that are too large by one factor, whatever the numbers, where all others are right."""
    if not wrong.any() or wrong.all() or subject.transforms:
        return None
    asks, where, settled = [(exam, out)], wrong, 0
    for salt in range(MOST_ASKED):
        ends = [_factors(subject, *ask, where) for ask in asks]
        low, high = max(low for low, _ in ends), min(high for _, high in ends)
        if not low <= high:
            return None
        factor = _shortest_between(low, high)
        known = factor is not None and factor not in (0, 1) and settled >= SETTLED
        if known and not where.all() and any(_beyond_rounding(*ask, where) for ask in asks):
            one = int(where.sum()) == 1
            words = f"{'is' if one else 'are'} {factor:.7g} times what {'it' if one else 'they'} should be"
            return Cause(kind="scaled", words=f"{which_outputs(where, exam.case.out_name)} {words}")
        asked = prepare_exam(exam.case, salt=SALT + subject.salt + salt + 1)
        asks.append((asked, subject.run(asked)))
        more = where | (subject.shares(asks[-1][1], asked) > 1)  # a small output hides a small factor
        settled, where = settled + 1 if torch.equal(more, where) else 0, more
    return None


def _beyond_rounding(exam: Exam, out: Tensor, where: Tensor) -> bool:
    """Whether one of these outputs is further off than any rounding to a neighbour, be it the nearest or not, goes."""
    y = exam.truth.y.clamp(min=0) if exam.case.relu else exam.truth.y
    return bool(((out.double() - y).abs() > 1.25 * _spacing(out).maximum(_spacing(y.to(out.dtype))))[where].any())


def _spacing(out: Tensor) -> Tensor:
    """From each number to the next larger one, float64."""
    size = out.abs()
    return torch.nextafter(size, torch.full_like(size, inf)).double() - size.double()


def _factors(subject: Subject, exam: Exam, out: Tensor, where: Tensor) -> tuple[float, float]:
    """Between which factors each of these outputs may have been multiplied by one; behind a relu by those it let go."""
    y = exam.truth.y
    least, most = subject.allowed(torch.float64, exam, exam.truth)
    room = torch.maximum(most - y, y - least)
    got = out.double()
    room = room * got.abs().div(y.abs()).nan_to_num(nan=1.0, posinf=1.0).clamp(min=1) + _spacing(out) / 2
    chosen = where & (y.abs() > 8 * room) & out.isfinite()
    if exam.case.relu:
        chosen &= (y > 0) & (out > 0)
    if not chosen.any():
        return -inf, inf
    ends = torch.stack([(got - room)[chosen] / y[chosen], (got + room)[chosen] / y[chosen]])
    return float(ends.amin(dim=0).max()), float(ends.amax(dim=0).min())


def _shortest_between(low: float, high: float) -> float | None:
    """The number of the fewest decimals between these; None where there are several of as few, or none of six."""
    for digits in range(7):
        first = ceil(low * 10**digits)
        if first <= high * 10**digits:
            return first / 10**digits if first + 1 > high * 10**digits else None
    return None
