"""im2col as in the note: unfold x into patches, einsum with the flattened kernel, reshape."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.spec import ConvSpec


@backend(
    devices={"cpu", "cuda"},
    family="im2col",
    source="Chellapilla, Puri, Simard 2006, High Performance Convolutional Neural Networks, section 3",
)
def unfold_einsum(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec
) -> Float[Tensor, "n k p q"]:
    # b image, p tap (c, r, s), l position (p, q), o output channel, g group
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    if spec.groups == 1:
        y = torch.einsum("bpl,op->bol", patches, w.reshape(spec.k, spec.taps))
    else:
        # Channel-major rows: the taps of one group stand together.
        grouped = patches.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)
        y = torch.einsum("bgpl,gop->bgol", grouped, w.reshape(spec.groups, spec.k_per_group, spec.taps))
    return y.reshape(spec.y_shape)
