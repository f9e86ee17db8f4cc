"""Which numbers of x does an output cell read? By slices of padded x: the way that proofs use.

What is proved goes by the index formula instead (`steps.place_taps`), so the two stay apart.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.explain.steps import Cell
from convbench.spec import ConvSpec


def pad(x: Tensor, spec: ConvSpec, value: float = 0.0) -> Tensor:
    """(N, C, top + H + bottom, left + W + right)."""
    top, bottom, left, right = spec.sides
    return F.pad(x, (left, right, top, bottom), value=value)


def channels(spec: ConvSpec, cell: Cell) -> Tensor:
    """(C/G,): the channels of x that the cell's filter reads."""
    group = int((torch.arange(spec.k).reshape(spec.groups, -1) == cell.k).nonzero()[0, 0])
    return torch.arange(spec.c).reshape(spec.groups, -1)[group]


def window(spec: ConvSpec, p: int, q: int) -> tuple[slice, slice]:
    """The rows and the columns of padded x that the outputs at (p, q) read."""
    (height, width), (dilation_h, dilation_w) = spec.kernel_extent, spec.dilation
    top, left = p * spec.stride[0], q * spec.stride[1]
    return slice(top, top + height, dilation_h), slice(left, left + width, dilation_w)


def patch(x: Tensor, spec: ConvSpec, cell: Cell) -> Tensor:
    """(C/G, R, S): what the cell's taps read, zeros on padding."""
    return pad(x, spec)[cell.n, channels(spec, cell)][:, *window(spec, cell.p, cell.q)]


def windows(x: Tensor, spec: ConvSpec, value: float = 0.0) -> Tensor:
    """(N, C, P, Q, R, S): what every tap of every output reads, a view if nothing is padded."""
    (height, width), (dilation_h, dilation_w) = spec.kernel_extent, spec.dilation
    views = pad(x, spec, value).unfold(2, height, spec.stride[0]).unfold(3, width, spec.stride[1])
    return views[..., ::dilation_h, ::dilation_w]
