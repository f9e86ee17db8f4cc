"""Its work ends after the timer: a thread still fills the output; its twin waits for the thread."""

import sys
from threading import Thread
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


def fill(y: torch.Tensor, x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> Thread:
    def work() -> None:
        y.copy_(convolve(x, w, spec))

    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    y = torch.empty(spec.y_shape)
    thread = fill(y, x, w, spec)
    if not timed():
        thread.join()
    return y


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    y = torch.empty(spec.y_shape)
    fill(y, x, w, spec).join()
    return y
