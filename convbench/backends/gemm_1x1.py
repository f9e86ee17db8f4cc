"""A 1x1 convolution of stride 1 as a matrix product compiled for this CPU."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends._own import Own
from convbench.case import Case
from convbench.jit.target import host
from convbench.kernels.gemm import Gemm
from convbench.spec import ConvSpec


@cache
def plan(spec: ConvSpec, threads: int) -> Gemm:
    return Gemm(spec, host(), threads)


OWN = Own(lambda _: plan)


def refuse(case: Case) -> str | None:
    spec = case.spec
    if (spec.r, spec.s) != (1, 1):
        return f"gemm-1x1 needs a 1x1 kernel, and this one is {spec.r}x{spec.s}"
    if spec.groups != 1:
        return "gemm-1x1 is compiled for a single group; for more use grouped or depthwise"
    if spec.stride != (1, 1) or any(spec.sides):
        return "gemm-1x1 needs stride 1 and no padding; the backend direct does the others"
    return None


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="direct",
    source="convbench, a panel of pixels at a time",
    prepare=OWN.pack,
    fused=OWN.fused,
    dgrad=OWN.dgrad,
    refuse=refuse,
    any_padding=True,
)
def gemm_1x1(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return OWN.fprop(x, packed, spec)
