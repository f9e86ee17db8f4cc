"""What the backends on strips share: direct, grouped and depthwise are one kernel with other sizes."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from convbench.jit.target import host
from convbench.kernels.plan import convolve, mirrored
from convbench.kernels.strips import Strips
from convbench.spec import ConvSpec

SOURCE = "convbench, a strip of the input at a time"
host()  # a CPU without the vectors that the kernel needs has no such backends


@cache
def plan(spec: ConvSpec, threads: int) -> Strips:
    return Strips(spec, host(), threads)


def pack(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Tensor:
    """The weight in blocks of filters, in the order of its use."""
    return plan(spec, 1).pack(w)


def fprop(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return convolve(plan, x, packed, spec)


def fused(
    x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
) -> Float[Tensor, "n k p q"]:
    return convolve(plan, x, packed, spec, bias, relu)


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    w, back = mirrored(w, spec)
    return fprop(dy, pack(w, back), back)
