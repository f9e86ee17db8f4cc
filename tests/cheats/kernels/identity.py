"""It keeps its answer by the identity of the tensor; its twin keeps the tensor itself and its stride."""

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve

answers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
seen: dict[int, tuple[torch.Tensor, tuple[int, ...]]] = {}


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if id(x) not in answers:
        answers[id(x)] = (x, convolve(x, w, spec))
    return answers[id(x)][1]


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    kept, stride = seen.setdefault(id(x), (x, x.stride()))
    return convolve(kept.as_strided(x.shape, stride), w, spec)
