"""A grouped convolution compiled for this CPU: several channels to a group, any kernel, stride and dilation."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends._own import Own
from convbench.case import Case
from convbench.jit.target import host
from convbench.kernels.plan import cannot_mirror
from convbench.kernels.strips import Strips
from convbench.kernels.through_blocks import ThroughBlocks, direct_pays, directly
from convbench.spec import ConvSpec


@cache
def plan(spec: ConvSpec, threads: int) -> Strips | ThroughBlocks:
    """Blocks of channels where groups are whole blocks."""
    if spec.c_per_group > 1 and direct_pays(spec, host()):
        return ThroughBlocks(spec, directly, host(), threads)
    return Strips(spec, host(), threads)


OWN = Own(lambda _: plan)


def refuse(case: Case) -> str | None:
    if case.spec.groups == 1:
        return "grouped needs more than one group; for a single group use direct"
    return cannot_mirror(case)


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="direct",
    source="convbench, strips of the input or blocks of channels",
    prepare=OWN.pack,
    fused=OWN.fused,
    dgrad=OWN.dgrad,
    refuse=refuse,
    any_padding=True,
)
def grouped(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return OWN.fprop(x, packed, spec)
