"""Always oneDNN, even where torch would not use it."""

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _aten, _onednn
from convbench.case import Case
from convbench.spec import ConvSpec


def refuse(case: Case) -> str | None:
    if not torch.backends.mkldnn.is_available():
        return "this torch was built without oneDNN"
    # torch asks the CPU itself by these two operators; they have no public name.
    has_bf16, has_fp16 = torch.ops.mkldnn._is_mkldnn_bf16_supported, torch.ops.mkldnn._is_mkldnn_fp16_supported  # noqa: SLF001  # it has no public name
    if case.dtype == "bf16" and not has_bf16():
        return "oneDNN has no bf16 convolution on this CPU (it needs AVX-512, or Arm's bf16)"
    if case.dtype == "fp16" and not has_fp16():
        return "oneDNN has no fp16 convolution on this CPU (it needs AVX512-FP16 or AVX-NE-CONVERT)"
    if case.pass_ != "fprop" and (chosen := _aten.library(case)) != "Mkldnn":
        return f"torch decides itself whether oneDNN computes a gradient, and chose {chosen} for this one"
    return None


def fused(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
) -> Float[Tensor, "n k p q"]:
    # The operator reads a bias as if it had no gaps.
    y = torch.mkldnn_convolution(x, w, bias.contiguous(), spec.padding, spec.stride, spec.dilation, spec.groups)
    return y.relu_() if relu else y


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    return _aten.dgrad(dy, w, spec)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    return _aten.wgrad(dy, x, spec)


@backend(
    devices={"cpu"},
    dtypes={"fp32", "bf16", "fp16"},
    family="vendor",
    source="oneDNN through aten::mkldnn_convolution and aten::convolution_backward",
    dgrad=dgrad,
    wgrad=wgrad,
    fused=fused,
    refuse=refuse,
    defects=_onednn.defects,
    # The first has no other path inside: it calls oneDNN or raises. The second has many, so `refuse` asks first.
    must_run={
        "fprop": "aten::mkldnn_convolution",
        "dgrad": "aten::convolution_backward",
        "wgrad": "aten::convolution_backward",
    },
)
def onednn(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    # torch.ops.aten has the same operator behind a slower door: 3 % of a 1.5 ms call.
    return torch.mkldnn_convolution(x, w, None, spec.padding, spec.stride, spec.dilation, spec.groups)
