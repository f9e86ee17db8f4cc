"""It skips half of the images when it is timed; its twin computes them in two halves."""

import torch
import torch.nn.functional as F

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve, timed


def halves(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> list[torch.Tensor]:
    return [F.conv2d(part, w, None, spec.stride, spec.padding, spec.dilation, spec.groups) for part in x.chunk(2)]


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if timed():
        y = torch.empty(spec.y_shape)
        y[: spec.n // 2] = F.conv2d(x[: spec.n // 2], w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
        return y
    return convolve(x, w, spec)


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return torch.cat(halves(x, w, spec))
