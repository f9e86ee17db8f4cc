"""It returns zeros from the ninth call on; its twin computes in another way from then on."""

import torch
import torch.nn.functional as F

from convbench import ConvSpec, backend
from tests.cheats.machinery import convolve

calls: dict[str, int] = {"cheat": 0, "twin": 0}


@backend(family="direct", source="a test")
def cheat(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    calls["cheat"] += 1
    return convolve(x, w, spec) if calls["cheat"] < 9 else torch.zeros(spec.y_shape)


@backend(family="direct", source="a test")
def twin(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    calls["twin"] += 1
    if calls["twin"] < 9:
        return convolve(x, w, spec)
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    return (w.flatten(1) @ patches).reshape(spec.y_shape)
