"""A plan on blocks is run between forbidden pages, and its output compared with float64 within a bound."""

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convbench.jit.team import KernelStep, run
from convbench.kernels.blocked.geometry import Blocked, Geometry
from convbench.kernels.blocked.plan import Activation, BlockedPlan, Places
from tests.kernels.guarded import all_guarded

U = 2.0**-24
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "none": lambda t: t,
    "relu": torch.relu,
    "relu6": torch.nn.functional.relu6,
    "hardswish": torch.nn.functional.hardswish,
    "hardsigmoid": torch.nn.functional.hardsigmoid,
    "silu": torch.nn.functional.silu,
    "sigmoid": torch.sigmoid,
    "gelu": torch.nn.functional.gelu,
}
STEEPEST = 1.5  # slope of any of them


def in_memory(shape: Geometry, x: Tensor) -> Tensor:
    memory = torch.empty(shape.size)
    shape.write(memory, x)
    return memory


def outputs(
    plan: BlockedPlan,
    y: Geometry,
    x: Tensor,
    *others: tuple[str, Tensor],
    threads: int = 1,
    at_end: bool = True,
    start: Callable[[Sequence[KernelStep], int], None] = run,
) -> Tensor:
    """The memory of y after a call; every operand is between pages that nothing may touch, and none of them changes.

    Args:
        others: the operands by their names in `Places`.
    """
    blank = torch.zeros(y.size)
    y.inside(blank).fill_(7.0)  # what an earlier value has left in it; spare channels are written, too
    names = [name for name, _ in others]
    values = [value for _, value in others]
    room = torch.full((max(1, plan.scratch),), torch.nan)
    with all_guarded(x, *values, blank, room, at_end=at_end) as [gx, *given, gy, scratch]:
        places = {name: one.data_ptr() for name, one in zip(names, given, strict=True)}
        start(plan.steps(Places(gx.data_ptr(), gy.data_ptr(), scratch=scratch.data_ptr(), **places)), threads)
        assert all(same(one, before) for one, before in zip([gx, *given], [x, *values], strict=True))
        return gy.clone()


def same(first: Tensor, second: Tensor) -> bool:
    """Equal, NaN where the other is NaN."""
    nan = first.isnan()
    return torch.equal(nan, second.isnan()) and torch.equal(first[~nan], second[~nan])


def backwards(steps: Sequence[KernelStep], threads: int) -> None:
    """Pieces in another order, and each twice."""
    task = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    for step in steps:
        for piece in sorted([*range(step.pieces)] * 2, reverse=True):
            task(step.task)(step.block.buffer_info()[0], piece, piece % threads)


def check_zeros(y: Blocked, memory: Tensor) -> None:
    """Halo and spare channels are zeros."""
    expected = torch.empty(y.size)
    y.write(expected, y.read(memory))
    assert torch.equal(memory, expected)


def check(out: Tensor, truth: Tensor, error: Tensor, activation: Activation = "none") -> None:
    """activation(truth) within the error of its argument, and some roundings of its own."""
    expected = ACTIVATIONS[activation](truth)
    own = 0.0 if activation in ("none", "relu", "relu6") else 10 * U
    slope = 1.0 if own == 0 else STEEPEST
    allowed = slope * error + own * expected.abs() + 2.0**-126
    share = ((out.double() - expected).abs() / allowed).max().item()
    assert share <= 1, f"{share} of the bound"


def direct_error(magnitude: Tensor, terms: int) -> Tensor:
    """Of sums of numbers from N(0, 1) in any order: as `convbench.verify.bounds.sharp_bound`."""
    return min(terms + 3, 16) * U * magnitude
