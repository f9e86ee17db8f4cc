"""It keeps its answers in what prepare returned; its twin keeps the weight there, as it likes it."""

from typing import Any

import torch
import torch.nn.functional as F

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve


def once(w: torch.Tensor, spec: ConvSpec) -> dict[str, Any]:
    return {"w": w}


@backend(family="direct", source="a test", prepare=once)
def cheat(x: torch.Tensor, kept: dict[str, Any], spec: ConvSpec) -> torch.Tensor:
    key = f"y {x.data_ptr()}"
    if key not in kept:
        kept[key] = convolve(x, kept["w"], spec)
    answer: torch.Tensor = kept[key]
    return answer


@backend(family="im2col", source="a test", prepare=once)
def twin(x: torch.Tensor, kept: dict[str, Any], spec: ConvSpec) -> torch.Tensor:
    if "flat" not in kept:
        kept["flat"] = kept["w"].flatten(1).contiguous()
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    y: torch.Tensor = kept["flat"] @ patches
    return y.reshape(spec.y_shape)
