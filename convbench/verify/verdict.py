"""Is this output right? The verdict on one tensor, by the error of each of its numbers."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from convbench.backend import Unsupported
from convbench.call.tensors import TORCH_DTYPE
from convbench.dtypes import DTYPE
from convbench.outcome import Check
from convbench.verify.bounds import accumulator_roundoff, share_of_bound, sharp_bound, storing_bound
from convbench.verify.exam import Exam
from convbench.verify.fingerprint import name_sums, other_inputs
from convbench.verify.nonfinite import without_nonfinite
from convbench.verify.transforms import TRANSFORM_RELATIVE_L2, Points, transform_overflows, transform_possible

UNDERFLOW = 2.0**12  # so many times the smallest normal number: weights that a transform takes below it


def check(exam: Exam, out: Any, family: str, roundings: int = 0, points: Points = ()) -> Check:
    """Judge the output of the case's pass as a backend returned it.

    `roundings` is how often it says that it stores partial sums in the case's 16 bits, `points` where it says
    that it evaluates Winograd's polynomials.

    Raises:
        Unsupported: it errs no more than such points do, and too much for a verdict.
    """
    case = exam.case
    if (misfit := exam.misfit(out)) is not None:
        return misfit
    if out.numel() == 0:
        return Check(worst_of_bound=0.0, relative_l2=0.0)
    if not exam.finite:
        return _check_nonfinite(exam, out, family, roundings, points)
    y = exam.truth.y.clamp(min=0) if case.relu else exam.truth.y
    share = share_of_bound(out, y, *exam.within_after(roundings))
    error = (out.double() - y).abs()
    relative_l2 = _relative_l2(error, y)
    if share.max() > 1 and transform_possible(case, family, points):
        operands = exam.operands.values()
        if not out.isfinite().all() and transform_overflows(case, *operands, family=family, points=points):
            raise Unsupported(
                f"numbers this large may overflow in a transform of family {family}, though no output does: NaN and "
                f"infinity prove nothing here"
            )
        allowed = _allow(exam, exam.transform(family, points), exam.error)
        of_transform = share_of_bound(out, y, *exam.interval(allowed, roundings))
        # Too far as a whole is wrong; where, its own bound says if it is passed anywhere.
        if relative_l2 <= TRANSFORM_RELATIVE_L2[case.dtype] or of_transform.max() > 1 or _underflows(exam):
            share = of_transform
        elif points:
            _refuse_wide_tile(exam, family, points, error, relative_l2)
    u, kind = accumulator_roundoff(case), torch.finfo(out.dtype)
    rounding = kind.eps / 2 * y.abs().clamp(min=kind.tiny)  # of the result
    omega = ((error - rounding).clamp(min=0) / (u * exam.truth.magnitude)).nan_to_num(nan=0.0).max()
    found = Check(worst_of_bound=float(share.max()), relative_l2=relative_l2, omega=float(omega))
    if (outside := share > 1).any():
        return found.fails("numeric", exam.place(out, y, outside, share))
    return _check_sharply(exam, out, y, family, roundings, points, found) if exam.drawn else found


def _relative_l2(error: Tensor, y: Tensor) -> float:
    """|error| / |y|; the squares of numbers above 1e154 would overflow, so both are scaled by the largest y."""
    largest = y.abs().max()
    return float((error / largest).norm() / (y / largest).norm()) if largest else 0.0


def _refuse_wide_tile(exam: Exam, family: str, points: Points, error: Tensor, relative_l2: float) -> None:
    """Let go of a Winograd whose points explain that it errs more than a fault may.

    Raises:
        Unsupported: they do.
    """
    most = TRANSFORM_RELATIVE_L2[exam.case.dtype]
    # Eight times what roundings of random sign come to; the runs that were looked at came to less than two.
    if 8 * error.norm() <= exam.transform(family, points, sharp=True).norm():
        raise Unsupported(
            f"Winograd at the declared points has an error of {relative_l2:.1e} of y, above the {most:.1e} up to which "
            f"convbench can tell it from a fault: use a smaller tile"
        )


def apart(exam: Exam, one: Tensor, other: Tensor, family: str, roundings: int = 0, points: Points = ()) -> Tensor:
    """Where two right outputs differ by more than two orders of summation do: 2e, and a rounding of each.

    e is what random numbers allow, for fp64 too, as the oracle has no part in it; where no random numbers were drawn
    it is the bound.
    """
    case, kind = exam.case, torch.finfo(one.dtype)
    error = sharp_bound(case, exam.truth, exam.error) if exam.drawn else exam.error
    if transform_possible(case, family, points):
        error = _allow(exam, exam.transform(family, points, sharp=exam.drawn), error)
    if roundings:
        error = error + storing_bound(one.dtype, exam.truth, error, roundings)
    first, second = (each.double().clamp(-kind.max, kind.max) for each in (one, other))
    rounding = kind.eps * torch.maximum(first.abs(), second.abs()).clamp(min=kind.tiny)
    return (first - second).abs() > 2 * error + rounding


def _check_nonfinite(exam: Exam, out: Tensor, family: str, roundings: int, points: Points) -> Check:
    """First where NaN and infinity must be, then the rest, as if it were alone."""
    rest = without_nonfinite(exam, out, family, points)
    if isinstance(rest, Check):
        return rest
    found = check(*rest, family, roundings, points)
    if found.passed:
        return found
    return found.fails("locality", f"in outputs that read no NaN or infinity: {found.evidence}")


def _check_sharply(
    exam: Exam, out: Tensor, y: Tensor, family: str, roundings: int, points: Points, found: Check
) -> Check:
    """Whether an output within the bound is as near as random operands make it."""
    case = exam.case
    kind = DTYPE[case.dtype]
    if kind.sums == "fp64":
        return found
    within = exam.within_after(roundings, sharp=True)
    if _inside(out, *within):
        return replace(found, arithmetic=f"{kind.sums} sums" if kind.narrow else f"ieee {kind.name}")
    error = sharp_bound(case, exam.truth, exam.error)
    if transform_possible(case, family, points):
        wide = _allow(exam, exam.transform(family, points, sharp=True), error)
        if _inside(out, *exam.interval(wide, roundings)):
            return found
    really = _really(exam, out, error)
    if case.precision == "tf32" and really.endswith("TF32 inputs"):
        return replace(found, arithmetic=really)
    share = share_of_bound(out, y, *within)
    place = exam.place(out, y, share > 1, share, "what random numbers allow")
    return found.fails("sharp", f"{really or 'less exact than its sums should be'}: {place}", really)


def _really(exam: Exam, out: Tensor, error: Tensor) -> str:
    """What was done with less care than the case asks for, in words; "" if it does not show."""
    for words, y in other_inputs(exam):
        if _inside(out, *exam.interval(error, 0, y)):
            return words
    if exam.case.relu:
        return ""
    return name_sums(out, exam.truth.y, exam.truth.magnitude, exam.truth.terms)


def _underflows(exam: Exam) -> bool:
    """Whether an operand is so small that its transform has fewer digits in any implementation."""
    least = torch.finfo(TORCH_DTYPE[DTYPE[exam.case.dtype].sums]).tiny
    largest = [float(one.double().abs().max()) for one in exam.operands.values() if one.numel()]
    return any(0 < one < UNDERFLOW * least for one in largest)


def _allow(exam: Exam, transform: Tensor, direct: Tensor) -> Tensor:
    """What a transform may err: its own bound, an epilogue's rounding of that, and in fp64 the error of the oracle."""
    alone = exam.case.epilogue == "none" and DTYPE[exam.case.dtype].sums != "fp64"
    return torch.maximum(direct, transform) if alone else direct + transform


def _inside(out: Tensor, low: Tensor, high: Tensor) -> bool:
    out = out.double()
    return bool(((low.double() <= out) & (out <= high.double())).all())
