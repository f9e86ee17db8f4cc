"""It computes in bf16 when it is timed; its twin in fp64."""

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve, timed


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return convolve(x.bfloat16(), w.bfloat16(), spec).float() if timed() else convolve(x, w, spec)


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return convolve(x.double(), w.double(), spec).float() if timed() else convolve(x, w, spec)
