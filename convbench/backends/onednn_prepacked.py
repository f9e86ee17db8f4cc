"""oneDNN with the weight reordered beforehand into the layout that oneDNN asks for."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends import _onednn
from convbench.backends.onednn import refuse
from convbench.spec import ConvSpec


def reorder(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Tensor:
    """w in an opaque blocked layout, chosen for these very sizes."""
    nn: Any = torch._C._nn  # noqa: SLF001  # what torch.compile's freezing calls; it has no public name
    packed: Tensor = nn.mkldnn_reorder_conv2d_weight(
        w.to_mkldnn(), spec.padding, spec.stride, spec.dilation, spec.groups, spec.x_shape
    )
    return packed


@backend(
    devices={"cpu"},
    dtypes={"fp32", "bf16", "fp16"},
    family="vendor",
    source="oneDNN through mkldnn::_convolution_pointwise",
    prepare=reorder,
    refuse=refuse,
    defects=_onednn.defects,
)
def onednn_prepacked(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    # The operator has no other path inside, and its y is channels_last whatever x is.
    y: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001  # it has no public name
        x, packed, None, spec.padding, spec.stride, spec.dilation, spec.groups, "none", [], ""
    )
    return y
