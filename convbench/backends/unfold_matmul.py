"""im2col: unfold x into patches, then one matrix product for each image and group."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _onednn
from convbench.case import Case
from convbench.spec import ConvSpec


def columns_stored(case: Case) -> int:
    """The matrix product of dgrad stores its columns in the case's dtype, before they are summed."""
    return int(case.pass_ == "dgrad")


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    columns = w.reshape(spec.groups, spec.k_per_group, spec.taps).mT @ dy.reshape(
        spec.n, spec.groups, spec.k_per_group, spec.p * spec.q
    )
    # fold adds up to R*S columns in their own dtype, which would round a 16-bit sum as often.
    wide = columns.to(torch.promote_types(dy.dtype, torch.float32)).flatten(1, 2)
    dx = F.fold(wide, (spec.h, spec.w), (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    return dx.to(dy.dtype)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    patches = patches.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)
    # One product a group, over the positions of all images: a sum of one product an image would be rounded N times.
    rows = dy.reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q).permute(1, 2, 0, 3).flatten(2)
    dw = rows @ patches.permute(1, 0, 3, 2).flatten(1, 2)
    return dw.reshape(spec.w_shape)


@backend(
    family="im2col",
    source="Chellapilla, Puri, Simard 2006, High Performance Convolutional Neural Networks, section 3",
    dgrad=dgrad,
    wgrad=wgrad,
    roundings=columns_stored,
    autograd=True,
    defects=_onednn.subnormals,
)
def unfold_matmul(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec
) -> Float[Tensor, "n k p q"]:
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    patches = patches.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)
    y = w.reshape(spec.groups, spec.k_per_group, spec.taps) @ patches
    return y.reshape(spec.y_shape)
