"""A grouped convolution compiled for this CPU: several channels to a group, any kernel, stride and dilation."""

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _strips
from convbench.case import Case
from convbench.kernels.plan import cannot_mirror
from convbench.spec import ConvSpec


def refuse(case: Case) -> str | None:
    if case.spec.groups == 1:
        return "grouped needs several groups; the backend direct does one"
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
def grouped(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return _strips.fprop(x, packed, spec)
