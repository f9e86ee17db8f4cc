"""It skips half of the images when it is timed; its twin computes them in two halves."""

import sys
from types import FrameType

import torch
import torch.nn.functional as F

from convbench import ConvSpec, backend


def convolve(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def timed() -> bool:
    """Whether somebody is timing this call."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time_calls":
        frame = frame.f_back
    return frame is not None


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
