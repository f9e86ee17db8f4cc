"""A depthwise convolution compiled for this CPU: one channel to a group, any kernel, stride and dilation."""

from functools import cache

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends._own import Own
from convbench.case import Case
from convbench.jit.target import host
from convbench.kernels.plan import cannot_mirror
from convbench.kernels.strips import Strips
from convbench.kernels.through_blocks import ThroughBlocks, channelwise, depthwise_pays
from convbench.spec import ConvSpec


@cache
def plan(spec: ConvSpec, threads: int) -> Strips | ThroughBlocks:
    if depthwise_pays(spec, host()):
        return ThroughBlocks(spec, channelwise, host(), threads)
    return Strips(spec, host(), threads)


OWN = Own(lambda _: plan)


def refuse(case: Case) -> str | None:
    if case.spec.groups == 1 or case.spec.c_per_group != 1:
        return (
            "depthwise needs more than one group, each of one channel; for other groups use grouped, for a single "
            "group direct"
        )
    if case.pass_ == "dgrad" and case.spec.k_per_group != 1:
        return "the dgrad of several filters to a channel is grouped and not depthwise; the backend grouped does it"
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
def depthwise(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return OWN.fprop(x, packed, spec)
