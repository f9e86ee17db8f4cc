"""A 1x1 convolution of stride 1 as a matrix product compiled for this CPU."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.case import Case
from convbench.jit.target import host
from convbench.kernels.plan import convolve, mirrored
from convbench.kernels.pointwise import Pointwise
from convbench.spec import ConvSpec

host()  # a CPU without the vectors that the kernel needs has no such backend


@cache
def plan(spec: ConvSpec, threads: int) -> Pointwise:
    return Pointwise(spec, host(), threads)


def refuse(case: Case) -> str | None:
    spec = case.spec
    if (spec.r, spec.s) != (1, 1):
        return f"gemm-1x1 needs a 1x1 kernel, and this one is {spec.r}x{spec.s}"
    if spec.stride != (1, 1) or any(spec.sides):
        return "gemm-1x1 needs stride 1 and no padding; the backend direct does the others"
    if spec.groups != 1:
        return "gemm-1x1 is compiled for one group; the backends grouped and depthwise do several"
    return None


def pack(w: Float[Tensor, "k c 1 1"], spec: ConvSpec) -> Tensor:
    """The weight in blocks of filters, in the order of its use."""
    return plan(spec, 1).pack(w)


def fused(
    x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
) -> Float[Tensor, "n k p q"]:
    return convolve(plan, x, packed, spec, bias, relu)


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k c 1 1"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    w, back = mirrored(w, spec)
    return convolve(plan, dy, pack(w, back), back)


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="direct",
    source="convbench, a panel of pixels at a time",
    prepare=pack,
    fused=fused,
    dgrad=dgrad,
    refuse=refuse,
    any_padding=True,
)
def gemm_1x1(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return convolve(plan, x, packed, spec)
