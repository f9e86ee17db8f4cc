"""cuDNN's heuristic choice, as torch requests it; raises if cuDNN has no plan, and never falls back."""

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _aten, _cudnn
from convbench.case import Case
from convbench.spec import ConvSpec


def refuse(case: Case) -> str | None:
    if (reason := _cudnn.refuse(case)) is not None:
        return reason
    if case.pass_ == "wgrad" and torch.cuda.is_available() and (chosen := _aten.library(case)) != "Cudnn":
        return f"torch decides itself whether cuDNN computes a wgrad, and chose {chosen} for this one"
    return None


def fused(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
) -> Float[Tensor, "n k p q"]:
    return _cudnn.fused(x, w, spec, bias, relu=relu, benchmark=False)


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    return _cudnn.dgrad(dy, w, spec, benchmark=False)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    with _cudnn.in_its_words():
        return _aten.wgrad(dy, x, spec)


@backend(
    devices={"cuda"},
    family="vendor",
    source="Chetlur et al. 2014 (cuDNN) through aten::cudnn_convolution, its transpose, aten::convolution_backward",
    dgrad=dgrad,
    wgrad=wgrad,
    fused=fused,
    refuse=refuse,
    roundings=_cudnn.roundings,
    nondeterministic=_aten.nondeterministic,
    # The first two have no other path inside: they call cuDNN or raise. The third has many, so `refuse` asks first.
    must_run={
        "fprop": "aten::cudnn_convolution",
        "fprop bias_relu": "aten::cudnn_convolution_relu",
        "dgrad": "aten::cudnn_convolution_transpose",
        "wgrad": "aten::convolution_backward",
    },
)
def cudnn(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return _cudnn.fprop(x, w, spec, benchmark=False)
