"""The operands that exposed past faults, and how a case's random numbers become them.

A recipe takes the operands of a case as they were drawn (contiguous, in its dtype, in the order of its
pass, "first" and "second" being x and w for fprop) and returns those of the same shapes with
other numbers, or the same numbers in other places. The origin of each is in
`suites/edge.csv` and docs/edge-cases.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import frexp, inf, nan

import torch
from torch import Tensor

from convbench.call.tensors import lay_out
from convbench.case import Case
from convbench.verify.vectors import operands_of

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How two operands are made from two drawn ones.

    Attributes:
        make: `make(first, second) -> (first, second)`, of the same shapes and dtypes.
        places: whether it sets where in memory the numbers are; the case's layout is not applied then.
        normal: whether the numbers are still those drawn from N(0, 1), on which a tighter bound counts.
    """

    make: Callable[[Tensor, Tensor], Pair]
    places: bool = False
    normal: bool = False


def follow_recipe(case: Case, drawn: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The operands of a case whose problem names a recipe, or a vector of a corpus.

    Raises:
        ConvbenchError: the corpus has no such vector, or it is one of another problem.
    """
    name = case.problem.operands
    if ":" in name:
        return tuple(lay_out(one, case.layout) for one in operands_of(case))
    recipe = RECIPES[name]
    first, second, *bias = drawn
    made = (*recipe.make(first, second), *bias)
    return made if recipe.places else tuple(lay_out(one, case.layout) for one in made)


def drawn_from_normal(case: Case) -> bool:
    """Whether a case's operands are drawn from N(0, 1), as without any recipe."""
    recipe = RECIPES.get(case.problem.operands)
    return not case.problem.operands or (recipe is not None and recipe.normal)


# ----------------------------------------------------------------------------- other places


def second_every_other(first: Tensor, second: Tensor) -> Pair:
    k, c, r, s = second.shape
    room = second.new_full((k, c, 2 * r, 2 * s), nan)
    room[:, :, ::2, ::2] = second
    return first, room[:, :, ::2, ::2]


def second_of_5d(first: Tensor, second: Tensor) -> Pair:
    k, c, r, s = second.shape
    room = second.new_full((k, c, 3, r, s), nan)
    room[:, :, 1] = second
    return first, room[:, :, 1]


def second_with_offset(first: Tensor, second: Tensor) -> Pair:
    room = second.new_full((second.numel() + 3,), nan)
    room[3:] = second.flatten()
    return first, room[3:].view(second.shape)


def second_channels_last(first: Tensor, second: Tensor) -> Pair:
    return first, _channels_last(second)


def second_expanded(first: Tensor, second: Tensor) -> Pair:
    return first, second[:1].expand(second.shape)


def first_channels_last(first: Tensor, second: Tensor) -> Pair:
    return _channels_last(first), second


def first_channel_slice(first: Tensor, second: Tensor) -> Pair:
    n, c, h, w = first.shape
    room = _channels_last(first.new_full((n, c + 3, h, w), nan))
    room[:, 1 : 1 + c] = first
    return room[:, 1 : 1 + c], second


def odd_strides(first: Tensor, second: Tensor) -> Pair:
    def odd(tensor: Tensor) -> Tensor:
        pairs = zip(tensor.shape, tensor.stride(), strict=True)
        return tensor.as_strided(tensor.shape, tuple(12_347 if size == 1 else stride for size, stride in pairs))

    return odd(first), odd(second)


def _channels_last(tensor: Tensor) -> Tensor:
    """The strides of NHWC; torch's own conversion leaves a tensor alone to which both orders apply, as with C = 1."""
    n, c, h, w = tensor.shape
    room = tensor.new_empty(tensor.numel()).as_strided((n, c, h, w), (h * w * c, 1, w * c, c))
    room.copy_(tensor)
    return room


# ----------------------------------------------------------------------------- other numbers


def last_zero(first: Tensor, second: Tensor) -> Pair:
    first[..., -1, :] = first[..., -1] = 0
    return first, second


def first_zero(first: Tensor, second: Tensor) -> Pair:
    first[..., 0, :] = first[..., 0] = 0
    return first, second


def ones(first: Tensor, second: Tensor) -> Pair:
    return torch.ones_like(first), torch.ones_like(second)


def positive(first: Tensor, second: Tensor) -> Pair:
    return first.abs(), second.abs()


def whole_numbers(first: Tensor, second: Tensor) -> Pair:
    return (4 * first).round().clamp(-8, 7), (4 * second).round().clamp(-8, 7)


def byte_pairs(first: Tensor, second: Tensor) -> Pair:
    """Neighbours of one sign, as two products that an instruction adds in 16 bits: 2 * 255 * 127 is more than 2^15."""
    signs = torch.ones(second.numel(), dtype=second.dtype, device=second.device)
    signs[6::8] = signs[7::8] = -1
    return torch.full_like(first, 255), 127 * signs.view(second.shape)


def huge(first: Tensor, second: Tensor) -> Pair:
    """At 2^-11 of the largest number a sum of 27 products of numbers up to 4.5 stays finite in any order."""
    return first * (torch.finfo(first.dtype).max * 2**-11), second


def large_and_small(first: Tensor, second: Tensor) -> Pair:
    """A transform of the data adds up to 100 times their size (Winograd F(4x4, 3x3)), which overflows."""
    return first * (torch.finfo(first.dtype).max * 2**-4), second * 2**-9


def tiny(first: Tensor, second: Tensor) -> Pair:
    """2^-54 each in fp32: the products stay clear of subnormal numbers."""
    scale = _power(first, 3 / 7)
    return first * scale, second * scale


def subnormal_second(first: Tensor, second: Tensor) -> Pair:
    """An eighth of the smallest normal number, times 2^-3 of its inverse's square root: the results are normal."""
    smallest = torch.finfo(second.dtype).tiny
    return first / _power(first, 0.45), (second * (smallest / 8)).clamp(-smallest * 0.9, smallest * 0.9)


def subnormal_result(first: Tensor, second: Tensor) -> Pair:
    """Products of 2^-18 in fp16, between its smallest number, 2^-24, and its smallest normal one, 2^-14."""
    exponent = frexp(torch.finfo(first.dtype).tiny)[1] - 1
    scale = 2.0 ** ((exponent - 4) // 2)
    return first * scale, second * scale


def overflow_between(first: Tensor, second: Tensor) -> Pair:
    """Terms of some 1300: a hundred of one sign are beyond fp16's 65504, and the half that follows takes 15/16 back."""
    channels = second.shape[1] if first.shape[1] % second.shape[1] == 0 else 1  # of fprop it is what is summed
    half = channels // 2
    first, second = first.abs() * 2**11, second.abs()
    by_group = first.unflatten(1, (-1, channels))
    by_group[:, :, half : 2 * half] = by_group[:, :, :half]
    second[:, half : 2 * half] = second[:, :half] * (-15 / 16)
    by_group[:, :, 2 * half :] *= 2**-11  # of an odd number of channels the last adds next to nothing
    return first, second


def zero_beside_nan(first: Tensor, second: Tensor) -> Pair:
    return _beside_zeros(first, second, nan)


def zero_beside_inf(first: Tensor, second: Tensor) -> Pair:
    return _beside_zeros(first, second, inf)


def _beside_zeros(first: Tensor, second: Tensor, value: float) -> Pair:
    """Two such values, and zeros on every tap and channel; of several filters one is zero throughout."""
    first[0, 0, 0, -1] = first[-1, -1, first.shape[2] // 2, first.shape[3] // 2] = value
    second.view(-1)[::3] = 0
    if len(second) > 1:
        second[1] = 0
    return first, second


def zero_image(first: Tensor, second: Tensor) -> Pair:
    first[0] = 0
    return first, second


def zero_second(first: Tensor, second: Tensor) -> Pair:
    return first, second.zero_()


def _power(like: Tensor, share: float) -> float:
    """A power of two: the smallest normal number of the dtype to the power of `share`."""
    exponent = frexp(torch.finfo(like.dtype).tiny)[1] - 1
    return float(2.0 ** round(exponent * share))


def nan_in_first(first: Tensor, second: Tensor) -> Pair:
    first[0, 0, 0, -1] = nan
    return first, second


def inf_in_first(first: Tensor, second: Tensor) -> Pair:
    first[0, 0, 0, -1] = inf
    return first, second


def nan_in_second(first: Tensor, second: Tensor) -> Pair:
    second[0, 0, 0, -1] = nan
    return first, second


# By the names of suites/edge.py.
RECIPES = {
    "second_every_other": Recipe(make=second_every_other, places=True, normal=True),
    "second_of_5d": Recipe(make=second_of_5d, places=True, normal=True),
    "second_with_offset": Recipe(make=second_with_offset, places=True, normal=True),
    "second_channels_last": Recipe(make=second_channels_last, places=True, normal=True),
    "second_expanded": Recipe(make=second_expanded, places=True, normal=True),
    "first_channels_last": Recipe(make=first_channels_last, places=True, normal=True),
    "first_channel_slice": Recipe(make=first_channel_slice, places=True, normal=True),
    "odd_strides": Recipe(make=odd_strides, places=True, normal=True),
    "last_zero": Recipe(make=last_zero),
    "first_zero": Recipe(make=first_zero),
    "ones": Recipe(make=ones),
    "positive": Recipe(make=positive),
    "bytes": Recipe(make=whole_numbers),
    "byte_pairs": Recipe(make=byte_pairs),
    "huge": Recipe(make=huge),
    "large_and_small": Recipe(make=large_and_small),
    "tiny": Recipe(make=tiny),
    "subnormal_second": Recipe(make=subnormal_second),
    "subnormal_result": Recipe(make=subnormal_result),
    "overflow_between": Recipe(make=overflow_between),
    "zero_beside_nan": Recipe(make=zero_beside_nan),
    "zero_beside_inf": Recipe(make=zero_beside_inf),
    "zero_image": Recipe(make=zero_image),
    "zero_second": Recipe(make=zero_second),
    "nan_in_first": Recipe(make=nan_in_first),
    "inf_in_first": Recipe(make=inf_in_first),
    "nan_in_second": Recipe(make=nan_in_second),
}
