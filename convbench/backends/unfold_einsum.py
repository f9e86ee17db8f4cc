"""im2col: unfold x into patches, einsum with the flattened kernel, reshape."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _onednn
from convbench.case import Case
from convbench.spec import ConvSpec


def columns_stored(case: Case) -> int:
    """The einsum of dgrad stores its columns in the case's dtype, before they are summed."""
    return int(case.pass_ == "dgrad")


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    grouped = dy.reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q)
    columns = torch.einsum("bgol,gop->bgpl", grouped, w.reshape(spec.groups, spec.k_per_group, spec.taps))
    # fold adds up to R*S columns in their own dtype, which would round a 16-bit sum as often.
    wide = columns.to(torch.promote_types(dy.dtype, torch.float32)).flatten(1, 2)
    dx = F.fold(wide, (spec.h, spec.w), (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    return dx.to(dy.dtype)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    grouped = patches.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)
    rows = dy.reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q)
    return torch.einsum("bgol,bgpl->gop", rows, grouped).reshape(spec.w_shape)


@backend(
    family="im2col",
    source="Chellapilla, Puri, Simard 2006, High Performance Convolutional Neural Networks, section 3",
    dgrad=dgrad,
    wgrad=wgrad,
    roundings=columns_stored,
    autograd=True,
    defects=_onednn.subnormals,
)
def unfold_einsum(
    x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec
) -> Float[Tensor, "n k p q"]:
    # b image, p tap (c, r, s), l position (p, q), o output channel, g group
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    if spec.groups == 1:
        y = torch.einsum("bpl,op->bol", patches, w.reshape(spec.k, spec.taps))
    else:
        # Channel-major rows: the taps of one group are adjacent.
        grouped = patches.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)
        y = torch.einsum("bgpl,gop->bgol", grouped, w.reshape(spec.groups, spec.k_per_group, spec.taps))
    return y.reshape(spec.y_shape)
