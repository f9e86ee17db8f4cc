"""A depthwise convolution compiled for this CPU: one channel to a group, any kernel, stride and dilation."""

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _strips
from convbench.case import Case
from convbench.kernels.plan import cannot_mirror
from convbench.spec import ConvSpec


def refuse(case: Case) -> str | None:
    if case.spec.groups == 1 or case.spec.c_per_group != 1:
        return "depthwise needs several groups of one channel each; the backends grouped and direct do the others"
    if case.pass_ == "dgrad" and case.spec.k_per_group != 1:
        return "the dgrad of several filters to a channel is grouped and not depthwise; the backend grouped does it"
    return cannot_mirror(case)


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="direct",
    source=_strips.SOURCE,
    prepare=_strips.pack,
    fused=_strips.fused,
    dgrad=_strips.dgrad,
    refuse=refuse,
    any_padding=True,
)
def depthwise(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return _strips.fprop(x, packed, spec)
