"""Which outputs must be NaN or infinity, because an input is, and are the others right?

The pattern is that of the direct sum in IEEE arithmetic: a product is NaN where a factor is, or
where infinity meets zero; a sum is NaN where a product is, or where both infinities meet. An
output that reads no such number must be within its bound as if it were alone.

Two freedoms: a weight that is not finite may be multiplied with padding, which makes NaN of it,
for whether padding is skipped or read as zeros is the implementation's choice; and a transform
(Winograd, FFT, Strassen) spreads non-finite values, so with it more may be NaN, but never fewer.
"""

from math import inf, nan

import torch
from torch import Tensor

from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.diagnosis import describe_place, tell_apart
from convbench.verify.exam import Exam, make_exam, wrong
from convbench.verify.oracle import conv2d_float64, dgrad_float64, wgrad_float64
from convbench.verify.transforms import Points, transform_possible

SPREADING = ("winograd", "fft", "strassen")


def without_nonfinite(exam: Exam, out: Tensor, family: str, points: Points = ()) -> Check | tuple[Exam, Tensor]:
    """What remains to judge of an output with non-finite operands; its shape and dtype are already right.

    Returns:
        the fault, where an output is not NaN or infinite that must be; else the exam of the finite operands,
        and the output with the truth in place of whatever depends on the others.
    """
    case, operands = exam.case, list(exam.operands.values())
    clean = make_exam(case, *(torch.where(one.double().isfinite(), one, 0.0) for one in operands))
    expected, padding = expect(case, *operands)
    spreads = family in SPREADING or transform_possible(case, family, points)
    got, reached = out.double(), ~expected.isfinite()
    right = torch.where(expected.isnan(), got.isnan(), got == expected)
    if case.relu:  # max(0, NaN) is NaN to one and 0 to another
        right = torch.where(expected.isnan(), got.isnan() | (got == 0), got == expected.clamp(min=0))
    if spreads:
        right |= ~got.isfinite()
    right |= got.isnan() & padding
    if (missed := reached & ~right).any():
        place = "all of them" if missed.all() else describe_place(missed, case.out_name)
        first = tuple(int(i) for i in missed.nonzero()[0])
        told = tell_apart(float(got[first]), float(expected[first]))
        return wrong(
            f"{int(missed.sum()):,} of {missed.numel():,} output{'s' * (missed.numel() != 1)} wrong, {place}; "
            f"{case.out_name}[{','.join(map(str, first))}]: got {told[0]}, expected {told[1]}, "
            f"because it reads a non-finite value",
            "locality",
        )
    free = reached | (padding & got.isnan())
    if spreads:
        free |= ~got.isfinite()
    truth = clean.truth.y.clamp(min=0) if case.relu else clean.truth.y
    return clean, torch.where(free, truth.to(out.dtype), out)


def expect(case: Case, first: Tensor, second: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What the direct sum makes of NaN and infinity, of the output's shape, before a relu.

    Returns:
        NaN, inf or -inf where an output reads something that makes it so and 0 elsewhere (float64);
        and where it may be NaN all the same, because a weight that is not finite meets padding (bool).
    """
    sums = {"fprop": conv2d_float64, "dgrad": dgrad_float64, "wgrad": wgrad_float64}[case.pass_]

    def any_product(one: Tensor, other: Tensor) -> Tensor:
        """Where a product of one of these with one of those is summed."""
        return sums(one.double(), other.double(), case.spec) > 0

    first, second = first.double(), second.double()  # torch compares no float8
    everything = torch.ones_like(first), torch.ones_like(second)
    invalid = any_product(first.isnan(), everything[1]) | any_product(everything[0], second.isnan())
    invalid |= any_product(first.isinf(), second == 0) | any_product(first == 0, second.isinf())
    finite = first.double().isfinite()
    up = any_product(first == inf, second > 0) | any_product(first == -inf, second < 0)
    up |= any_product(finite & (first > 0), second == inf) | any_product(finite & (first < 0), second == -inf)
    down = any_product(first == inf, second < 0) | any_product(first == -inf, second > 0)
    down |= any_product(finite & (first > 0), second == -inf) | any_product(finite & (first < 0), second == inf)
    if bias is not None:
        added = bias.reshape(1, -1, 1, 1)
        invalid, up, down = invalid | added.isnan(), up | (added == inf), down | (added == -inf)
    expected = torch.zeros(case.out_shape, dtype=torch.float64, device=first.device)
    expected[up] = inf
    expected[down] = -inf
    expected[invalid | (up & down)] = nan
    return expected, _meets_padding(case, first, second).expand(case.out_shape)


def _meets_padding(case: Case, first: Tensor, second: Tensor) -> Tensor:
    """Which channels of the output have a factor that is not finite and is laid over zeros that stand for nothing."""
    spec = case.spec
    match case.pass_:
        case "fprop":  # w over the padding of x
            return (~second.double().isfinite()).any(dim=(1, 2, 3)).reshape(1, -1, 1, 1)
        case "wgrad":  # dy over the padding of x
            return (~first.double().isfinite()).any(dim=0).any(dim=(1, 2)).reshape(-1, 1, 1, 1)
    # dgrad: w over the border of dy, and over the zeros that a stride puts between its columns
    by_group = (~second.double().isfinite()).reshape(spec.groups, spec.k_per_group, spec.c_per_group, -1)
    return by_group.any(dim=3).any(dim=1).reshape(1, -1, 1, 1)
