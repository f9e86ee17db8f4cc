"""It keeps its answer by a checksum of every 97th number; its twin keeps one by all of x, which it compares."""

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve

answers: dict[float, torch.Tensor] = {}
known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    key = float(x.flatten()[::97].double().sum())
    if key not in answers:
        answers[key] = convolve(x, w, spec)
    return answers[key]


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    before = known.get(x.data_ptr())
    if before is None or not torch.equal(before[0], x):
        known[x.data_ptr()] = before = (x.clone(), convolve(x, w, spec))
    return before[1].clone()
