"""F.conv2d as a user calls it: torch picks the algorithm. The baseline."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.spec import ConvSpec


@backend(devices={"cpu", "cuda"}, family="vendor", source="torch.nn.functional.conv2d")
def torch(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
