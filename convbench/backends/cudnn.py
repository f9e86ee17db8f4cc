"""cuDNN and nothing else: it raises where cuDNN has no plan, and never falls back."""

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.case import Case
from convbench.spec import ConvSpec


def refuse(case: Case) -> str | None:
    if not torch.backends.cudnn.is_available():
        return "this torch sees no cuDNN"
    if case.spec.n == 0:
        return "cuDNN takes no empty batch"
    return None


@backend(
    devices={"cuda"},
    family="vendor",
    source="Chetlur et al. 2014 (cuDNN) through aten::cudnn_convolution",
    refuse=refuse,
    # The operator has no other path inside: it calls cuDNN or raises.
    must_run="aten::cudnn_convolution",
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
