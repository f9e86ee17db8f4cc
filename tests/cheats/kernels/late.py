"""Its work ends after the timer: a thread still fills the output; its twin waits for the thread."""

from threading import Thread

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve, timed


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
