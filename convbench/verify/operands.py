"""The tensors of a case, as they are drawn."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.verify.recipes import follow_recipe

LARGE = 2**24  # numbers: a GPU draws more of them itself, a hundred times faster than a core and by another generator


def draw_normal(case: Case, shapes: Sequence[tuple[int, ...]], *, salt: int) -> list[Tensor]:
    """Numbers from N(0, 1) in the case's dtype, on its device, by its seed."""
    place = case.target.torch_name if max(map(prod, shapes)) > LARGE else "cpu"
    generator = torch.Generator(device=place).manual_seed(case.seed * 1_000_003 + salt)
    dtype, drawn = TORCH_DTYPE[case.dtype], TORCH_DTYPE[DTYPE[case.dtype].sums]
    return [
        torch.randn(shape, generator=generator, dtype=drawn, device=place).to(case.target.torch_name, dtype)
        for shape in shapes
    ]


def make_operands(case: Case, *, salt: int = 0) -> tuple[Tensor, ...]:
    """The operands of the case's pass, in order, from N(0, 1), in the case's layout: x and w for fprop.

    The same case and salt give the same numbers on every device, unless they are LARGE; another salt gives fresh ones.
    A problem with a recipe gets the operands of that recipe (`verify/recipes.py`).
    """
    numbers = draw_normal(case, list(case.operands.values()), salt=salt)
    if case.problem.operands:
        return follow_recipe(case, numbers)
    return tuple(lay_out(number, case.layout) for number in numbers)
