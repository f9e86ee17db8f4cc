"""What kernels that cheat have in common: the convolution, and a look at who calls them."""

import sys
from types import FrameType

import torch
import torch.nn.functional as F

from convbench import ConvSpec


def convolve(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def timed() -> bool:
    """Whether somebody is timing this call."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time_calls":
        frame = frame.f_back
    return frame is not None
