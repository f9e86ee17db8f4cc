"""It keeps its answer as long as the first cache line of x is the same; its twin looks there, and computes."""

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve

answers: dict[tuple[int, float], torch.Tensor] = {}


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    key = (x.data_ptr(), float(x.flatten()[:16].sum()))
    if key not in answers:
        answers[key] = convolve(x, w, spec)
    return answers[key]


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    assert x.flatten()[:16].sum().isfinite()
    return convolve(x, w, spec)
