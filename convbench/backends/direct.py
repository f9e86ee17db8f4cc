"""A dense direct convolution compiled for this CPU: any kernel, stride and dilation, sums in registers."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends._own import Own
from convbench.case import Case
from convbench.jit.target import host
from convbench.kernels.gemm import Gemm
from convbench.kernels.plan import cannot_mirror
from convbench.kernels.strips import Strips
from convbench.kernels.through_blocks import ThroughBlocks, direct_pays, directly
from convbench.spec import ConvSpec


@cache
def plan(spec: ConvSpec, threads: int) -> Gemm | Strips | ThroughBlocks:
    """Blocks of channels or a matrix product; strips where few filters share the patches, as in a stem."""
    if direct_pays(spec, host()):
        return ThroughBlocks(spec, directly, host(), threads)
    few = spec.k <= 64 and spec.c <= 4 and spec.q % (2 * host().lanes) == 0
    return (Strips if few else Gemm)(spec, host(), threads)


OWN = Own(lambda _: plan)


def refuse(case: Case) -> str | None:
    if case.spec.groups != 1:
        return "direct is compiled for a single group; for more use grouped or depthwise"
    return cannot_mirror(case)


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="direct",
    source="convbench, panels of patches or blocks of channels",
    prepare=OWN.pack,
    fused=OWN.fused,
    dgrad=OWN.dgrad,
    refuse=refuse,
    any_padding=True,
)
def direct(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return OWN.fprop(x, packed, spec)
