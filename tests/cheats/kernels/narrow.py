"""It computes in bf16 when it is timed; its twin in fp64."""

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


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return convolve(x.bfloat16(), w.bfloat16(), spec).float() if timed() else convolve(x, w, spec)


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return convolve(x.double(), w.double(), spec).float() if timed() else convolve(x, w, spec)
