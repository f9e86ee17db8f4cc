"""Its thread is joined by the next call, with one room for all outputs; its twin has the room and waits at once."""

from threading import Thread
from typing import Any

import torch

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve, timed

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
