"""cuDNN and nothing else: it raises where cuDNN has no plan, and never falls back."""

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _aten
from convbench.case import Case
from convbench.spec import ConvSpec


def refuse(case: Case) -> str | None:
    if not torch.backends.cudnn.is_available():
        return "this torch sees no cuDNN"
    if case.spec.n == 0:
        return "cuDNN takes no empty batch"
    if case.pass_ == "wgrad" and torch.cuda.is_available() and (chosen := _aten.library(case)) != "Cudnn":
        return f"torch lets cuDNN do a wgrad by its own rule alone, which chose {chosen} for this one"
    return None


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    # A transposed convolution is cuDNN's backward data, by the operator that calls nothing else. What the
    # stride left over at the end of x is its output padding.
    rest = tuple(
        size + 2 * padding - extent - (out - 1) * stride
        for size, padding, extent, out, stride in zip(
            (spec.h, spec.w), spec.padding, spec.kernel_extent, (spec.p, spec.q), spec.stride, strict=True
        )
    )
    return torch.cudnn_convolution_transpose(
        dy,
        w,
        spec.padding,
        rest,
        spec.stride,
        spec.dilation,
        spec.groups,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.conv.fp32_precision == "tf32",  # type: ignore[attr-defined]  # torch adds it when imported
    )


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    return _aten.wgrad(dy, x, spec)


@backend(
    devices={"cuda"},
    family="vendor",
    source="Chetlur et al. 2014 (cuDNN) through aten::cudnn_convolution, its transpose, aten::convolution_backward",
    dgrad=dgrad,
    wgrad=wgrad,
    refuse=refuse,
    nondeterministic=_aten.nondeterministic,
    # The first two have no other path inside: they call cuDNN or raise. The third has many, so `refuse` asks first.
    must_run={
        "fprop": "aten::cudnn_convolution",
        "dgrad": "aten::cudnn_convolution_transpose",
        "wgrad": "aten::convolution_backward",
    },
)
def cudnn(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return torch.cudnn_convolution(
        x,
        w,
        spec.padding,
        spec.stride,
        spec.dilation,
        spec.groups,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.conv.fp32_precision == "tf32",  # type: ignore[attr-defined]  # torch adds it when imported
    )
