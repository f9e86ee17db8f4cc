"""It looks at the stack, and returns its last answer when it is timed; its twin looks, and computes."""

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
