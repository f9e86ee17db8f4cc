"""What does torch itself compute for a problem? Its convolution, unfold and fold, and their shapes.

They pad opposite sides equally. If a problem's padding differs, x is padded with the rest first (F.pad).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convbench.backend import crop_surplus, pad_surplus
from convbench.spec import ConvSpec, Pair

SMALL = 2**22


def convolve(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """y (N, K, P, Q) of x (N, C, H, W) and w (K, C/G, R, S), by F.conv2d."""
    return F.conv2d(even(x, spec), w, None, spec.stride, spec.evened.padding, spec.dilation, spec.groups)


def even(x: Tensor, spec: ConvSpec) -> Tensor:
    """x with what its sides are padded more than those opposite; itself where that is nothing."""
    evened: Tensor = pad_surplus(x, spec) if any(spec.surplus) else x
    return evened


def make_module(spec: ConvSpec, **options: Any) -> nn.Conv2d:
    """torch's layer for the problem with equal padding, its weights as torch draws them."""
    kernel = (spec.r, spec.s)
    return nn.Conv2d(spec.c, spec.k, kernel, spec.stride, spec.evened.padding, spec.dilation, spec.groups, **options)


def unfold(x: Tensor, spec: ConvSpec) -> Tensor:
    """The patch matrix (N, C*R*S, P*Q) of x (N, C, H, W), by F.unfold."""
    return F.unfold(even(x, spec), *_windows(spec))


def fold(patches: Tensor, spec: ConvSpec) -> Tensor:
    """The patches' numbers summed where they overlap (N, C, H, W), by F.fold."""
    folded: Tensor = crop_surplus(F.fold(patches, (spec.evened.h, spec.evened.w), *_windows(spec)), spec)
    return folded


def _windows(spec: ConvSpec) -> tuple[Pair, Pair, Pair, Pair]:
    return (spec.r, spec.s), spec.dilation, spec.evened.padding, spec.stride


def hollow(spec: ConvSpec) -> tuple[Tensor, Tensor]:
    """x and w whose numbers do not matter: on the meta device if they would take time.

    It takes torch seconds to set that device up, and a small problem is computed in less.
    """
    small = max(spec.macs, spec.patch_matrix_nbytes("fp32") // 4, spec.nbytes("fp32") // 4) <= SMALL
    device = "cpu" if small else "meta"
    return torch.zeros(spec.x_shape, device=device), torch.zeros(spec.w_shape, device=device)


def shape_of_y(spec: ConvSpec) -> tuple[int, ...]:
    """(N, K, P, Q)."""
    return tuple(convolve(*hollow(spec), spec).shape)


def unfolded_shape(spec: ConvSpec) -> tuple[int, ...]:
    """(N, C*R*S, P*Q)."""
    return tuple(unfold(hollow(spec)[0], spec).shape)
