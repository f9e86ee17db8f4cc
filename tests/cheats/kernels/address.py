"""It keeps its answer by the address of x; its twin keeps room for the output by that."""

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve

answers: dict[int, torch.Tensor] = {}
rooms: dict[int, torch.Tensor] = {}


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if x.data_ptr() not in answers:
        answers[x.data_ptr()] = convolve(x, w, spec)
    return answers[x.data_ptr()]


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    room = rooms.setdefault(x.data_ptr(), torch.empty(spec.y_shape))
    return room.copy_(convolve(x, w, spec))
