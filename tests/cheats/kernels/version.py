"""It keeps its answer as long as torch counts no new version of x; its twin sees that none was counted meanwhile."""

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve

answers: dict[tuple[int, int], torch.Tensor] = {}


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    key = (x.data_ptr(), x._version)
    if key not in answers:
        answers[key] = convolve(x, w, spec)
    return answers[key]


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    before = (x.data_ptr(), x._version)
    y = convolve(x, w, spec)
    assert before == (x.data_ptr(), x._version)
    return y
