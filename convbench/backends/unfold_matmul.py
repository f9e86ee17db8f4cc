"""im2col: unfold x into patches, then one matrix product for each image and group."""

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
def unfold_matmul(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec
) -> Float[Tensor, "n k p q"]:
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    patches = patches.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)
    y = w.reshape(spec.groups, spec.k_per_group, spec.taps) @ patches
    return y.reshape(spec.y_shape)
