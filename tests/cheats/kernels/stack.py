"""It looks at the stack, and returns its last answer when it is timed; its twin looks, and computes."""

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve, timed

last: list[torch.Tensor] = []


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if last and timed():
        return last[-1]
    last[:] = [convolve(x, w, spec)]
    return last[-1].clone()


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return convolve(x, w, spec) if timed() else convolve(x, w, spec).clone()
