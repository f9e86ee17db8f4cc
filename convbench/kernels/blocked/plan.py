"""What does an operation on blocks take, and what does a way to do it offer?

Each file of this room has problems and `candidates(problem, target, threads, accuracy) -> list[BlockedPlan]`: the first
is the default, chosen by a rule; the others are worth a race in their place. A problem names the geometry of all its
operands; a plan knows no address until `steps`.

    file          problems                                              Places
    packing       Pack, Unpack                                          x, y
    convolution   Convolution (dense and grouped; direct, Winograd)     x, y, weights, residual, scratch
    transposed    TransposedConvolution                                 x, y, weights
    depthwise     Depthwise                                             x, y, weights, residual
    linear        BlockedLinear                                         x, y, weights, residual
    norm          BlockedLayerNorm (over channels)                      x, y, weights
    pooling       BlockedMaxPool, BlockedAveragePool, GlobalAveragePool x, y
    elementwise   Elementwise (sum, product, scale, activation)         x, y, second
    joining       Copy (a part of a concatenation), BlockedUpsample     x, y
    inverted      InvertedResidual: packed by `pack_all`                x, y, weights, residual, scratch

The problems of convolution, depthwise and linear are in `problems`, those of the others in their own file.

The memory of y must hold zeros in its halo before the first call, and after it still does; spare channels are written
as zeros. x and y of elementwise operations and of LayerNorm may be the same memory, if the geometry is the same; all
others need two, and y may not be the residual either, for sums are kept in y on the way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from torch import Tensor

from convbench.jit.team import KernelStep

Accuracy = Literal["strict", "standard"]
Activation = Literal["none", "relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid", "gelu"]


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses of a call; 0 is none.

    Attributes:
        second: of the other operand, where there are two: of a sum, a product, or the scales of channels.
        scratch: of `scratch` floats, whatever is in them.
    """

    x: int
    y: int
    weights: int = 0
    residual: int = 0
    scratch: int = 0
    second: int = 0


class BlockedPlan(Protocol):
    """One way to do a problem, for a target and a number of threads.

    Attributes:
        name: of the choice, such as "F4, 28 tiles" or "direct, 4 rows": it is kept in plans, so it names all of it.
        scratch: floats of scratch memory that a call needs.
    """

    @property
    def name(self) -> str: ...
    @property
    def scratch(self) -> int: ...
    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """Weights and bias in order of use, 1-D float32; of an operation without weights it is not asked for."""
        ...

    def steps(self, places: Places) -> list[KernelStep]: ...


Plan = TypeVar("Plan", bound=BlockedPlan)


def distinct(plans: Iterable[Plan]) -> list[Plan]:
    """The first plan of each name."""
    found: dict[str, Plan] = {}
    for plan in plans:
        found.setdefault(plan.name, plan)
    return list(found.values())
