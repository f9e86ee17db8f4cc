"""The problems with weights: what is computed, on which geometry."""

from dataclasses import dataclass

from convbench.kernels.blocked.geometry import Blocked, Geometry, Sides, halo_of
from convbench.kernels.blocked.plan import Activation

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Windows:
    """y = activation(conv(x, w) + bias + residual).

    The halo of x must be `halo` or wider. Padding at bottom and right is what y's size asks for.

    Attributes:
        padding: top and left.
        residual: its geometry; n, c, h and w are those of y.
    """

    x: Geometry
    y: Blocked
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    activation: Activation = "none"
    residual: Blocked | None = None

    @property
    def halo(self) -> Sides:
        """What is read of x beyond its edges."""
        x, y = self.x, self.y
        return halo_of((x.h, x.w), (y.h, y.w), self.kernel, self.stride, self.padding, self.dilation)


@dataclass(frozen=True, slots=True)
class Convolution(_Windows):
    """Dense or grouped; w is (K, C / groups, R, S) as in torch."""

    groups: int = 1


@dataclass(frozen=True, slots=True)
class Depthwise(_Windows):
    """Each channel by itself; w is (C, 1, R, S)."""

    x: Blocked


@dataclass(frozen=True, slots=True)
class BlockedLinear:
    """y = activation(x w^T + bias + residual), w (K, C * H * W) of x flattened from NCHW; y has h = w = 1.

    x has no halo. Features need not be flattened: the weights are packed in the order in which they lie in blocks.
    """

    x: Blocked
    y: Blocked
    activation: Activation = "none"
    residual: Blocked | None = None
