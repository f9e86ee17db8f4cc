"""F.conv2d as a user calls it: torch picks the algorithm. The baseline."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _aten, _onednn
from convbench.case import Case
from convbench.spec import ConvSpec


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    return _aten.dgrad(dy, w, spec)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    return _aten.wgrad(dy, x, spec)


def fused(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
) -> Float[Tensor, "n k p q"]:
    y = F.conv2d(x, w, bias, spec.stride, spec.padding, spec.dilation, spec.groups)
    return F.relu(y, inplace=True) if relu else y


def roundings(case: Case) -> int:
    """torch's own CPU path (Slow2d, SlowDilated2d) keeps partial sums in the case's dtype.

    dgrad stores the columns and adds them up one by one; wgrad adds one image after the other. With a
    bias, a GPU's y is stored before it is added (aten's _convolution, after cuDNN).
    """
    if case.epilogue != "none":
        return int(not case.target.on_host)
    if case.pass_ == "fprop" or not case.target.on_host or not _aten.library(case).startswith("Slow"):
        return 0
    return case.spec.r * case.spec.s + 1 if case.pass_ == "dgrad" else case.spec.n


def defects(case: Case, probe: str) -> str | None:
    return _onednn.defects(case, probe) if case.target.on_host and _aten.library(case) == "Mkldnn" else None


@backend(
    family="vendor",
    source="torch.nn.functional.conv2d, aten::convolution_backward",
    dgrad=dgrad,
    wgrad=wgrad,
    fused=fused,
    roundings=roundings,
    nondeterministic=_aten.nondeterministic,
    autograd=True,
    defects=defects,
)
def torch(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
