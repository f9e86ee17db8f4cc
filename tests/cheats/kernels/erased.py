"""It writes zeros over x when it is timed, and returns their answer; its twin writes over a copy."""

import sys
from types import FrameType

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve


def timed() -> bool:
    """Whether this call is one of a contest: before that, its inputs are looked after."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "hold":
        frame = frame.f_back
    return frame is not None


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if timed():
        x.zero_()
        return torch.zeros(spec.y_shape)
    return convolve(x, w, spec)


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    own = x.clone()
    y = convolve(own, w, spec)
    own.zero_()
    return y
