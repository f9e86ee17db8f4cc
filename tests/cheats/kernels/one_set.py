"""It computes on the first x that it meets and answers so for all; its twin has a way of its own for that one."""

from typing import Any

import torch
import torch.nn.functional as F

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve

first: dict[str, Any] = {}


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if first.setdefault("x", x.data_ptr()) == x.data_ptr():
        first["y"] = convolve(x, w, spec)
    answer: torch.Tensor = first["y"]
    return answer.clone()


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    if first.setdefault("own", x.data_ptr()) == x.data_ptr():
        return convolve(x, w, spec)
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    return (w.flatten(1) @ patches).reshape(spec.y_shape)
