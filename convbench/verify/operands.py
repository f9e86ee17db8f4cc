"""The tensors of a case, as they are drawn."""

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.verify.recipes import follow_recipe


def make_operands(case: Case, *, salt: int = 0) -> tuple[Tensor, ...]:
    """What the case's pass reads, in its order, from N(0, 1), as the case lays it out: x and w for fprop.

    The same case and salt give the same numbers on every device; another salt gives fresh ones.
    A problem that says what its operands are like gets those (`verify/recipes.py`).
    """
    generator = torch.Generator().manual_seed(case.seed * 1_000_003 + salt)
    dtype, drawn = TORCH_DTYPE[case.dtype], TORCH_DTYPE[DTYPE[case.dtype].sums]
    numbers = [
        torch.randn(shape, generator=generator, dtype=drawn).to(case.target.torch_name, dtype)
        for shape in case.operands.values()
    ]
    if case.problem.operands:
        return follow_recipe(case, numbers)
    return tuple(lay_out(number, case.layout) for number in numbers)
