"""What several backends need of torch's own operator for the gradients, which is no backend by itself."""

from typing import Any

import torch
from torch import Tensor

from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.spec import ConvSpec


def dgrad(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dx by aten::convolution_backward, which is what autograd calls.

    It takes x only for its shape and layout: unwritten memory costs almost nothing.
    """
    dx: Tensor = _backward(dy, _blank(spec.x_shape, dy), w, spec, (True, False, False))[0]
    return dx


def wgrad(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """dw by aten::convolution_backward."""
    dw: Tensor = _backward(dy, x, _blank(spec.w_shape, x), spec, (False, True, False))[1]
    return dw


def nondeterministic(case: Case) -> bool:
    """Some of cuDNN's gradients add with atomics: its developer guide, "Reproducibility (determinism)"."""
    return not case.target.on_host and case.pass_ != "fprop"


def library(case: Case) -> str:
    """Which of its libraries torch's rule chooses for a case: Cudnn, Mkldnn, Slow2d, CudaDepthwise2d and others.

    The rule of aten::convolution_backward; it reads shapes, dtype, device and the layout of one operand.
    """
    spec = case.spec.evened  # what torch is asked
    like = torch.empty(1, dtype=getattr(torch, DTYPE[case.dtype].torch), device=case.target.torch_name)
    layout = torch.channels_last if case.layout == "nhwc" else torch.contiguous_format
    w = torch.empty(spec.w_shape, dtype=like.dtype, device=case.target.torch_name, memory_format=layout)
    chosen = torch._C._select_conv_backend(  # noqa: SLF001  # there is no public name for the question
        like.expand(spec.x_shape), w, None, spec.stride, spec.padding, spec.dilation, False, (0, 0), spec.groups
    )
    return str(chosen.name)


def _backward(dy: Tensor, x: Tensor, w: Tensor, spec: ConvSpec, mask: tuple[bool, bool, bool]) -> Any:
    """dx, dw and the bias's gradient; None if the mask asks for none."""
    return torch.ops.aten.convolution_backward(
        dy, x, w, None, spec.stride, spec.padding, spec.dilation, False, (0, 0), spec.groups, mask
    )


def _blank(shape: tuple[int, ...], like: Tensor) -> Tensor:
    nhwc = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    layout = torch.channels_last if nhwc else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)
