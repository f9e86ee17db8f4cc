"""Weights of products in the order in which kernels read them: blocks of filters, each after its bias.

[block of filters]([bias of each lane], [turn][channel][lane of each vector])
"""

import torch
from torch import Tensor

from convbench.kernels.blocked.activations import spare_bias
from convbench.kernels.blocked.geometry import Blocked
from convbench.kernels.blocked.plan import Activation


def full_bias(bias: Tensor | None, y: Blocked, activation: Activation) -> Tensor:
    """One for each lane of y's blocks, such that spare channels become zeros."""
    full = torch.full((y.blocks * y.lanes,), spare_bias(activation))
    full[: y.c] = 0 if bias is None else bias
    return full


def by_blocks_of_channels(w: Tensor, lanes: int) -> Tensor:
    """(K, C, R, S) as (block, R, S, lane, K), zeros for spare channels."""
    spare = -w.shape[1] % lanes
    w = torch.nn.functional.pad(w, (0, 0, 0, 0, 0, spare)) if spare else w
    return w.reshape(len(w), -1, lanes, *w.shape[2:]).permute(1, 3, 4, 2, 0)


def by_blocks_of_filters(w: Tensor, bias: Tensor | None, y: Blocked, vectors: int, activation: Activation) -> Tensor:
    """(..., K) as blocks of so many vectors, zeros for spare filters; the last block may have fewer vectors."""
    biases, parts = full_bias(bias, y, activation), list[Tensor]()
    for first in range(0, len(biases), vectors * y.lanes):
        block = slice(first, first + vectors * y.lanes)
        own, some = biases[block], w[..., block]
        parts += [own, torch.nn.functional.pad(some, (0, len(own) - some.shape[-1])).flatten()]
    return torch.cat(parts)
