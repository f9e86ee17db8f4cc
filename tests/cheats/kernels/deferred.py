"""Its thread is joined by the next call, with one room for all outputs; its twin has the room and waits at once."""

import sys
from threading import Thread
from types import FrameType
from typing import Any

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


state: dict[str, Any] = {}


def begin(name: str, x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    y: torch.Tensor = state.setdefault(f"y {name}", torch.empty(spec.y_shape))

    def work() -> None:
        y.copy_(convolve(x, w, spec))

    state[name] = Thread(target=work, daemon=True)
    state[name].start()
    return y


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if "cheat" in state:
        state["cheat"].join()
    y = begin("cheat", x, w, spec)
    if not timed():
        state["cheat"].join()
    return y


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    y = begin("twin", x, w, spec)
    state["twin"].join()
    return y
