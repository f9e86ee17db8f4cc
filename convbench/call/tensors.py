"""How are the tensors of a case laid out in memory, and which arithmetic is used?"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from convbench.case import LAYOUTS
from convbench.dtypes import DTYPE
from convbench.errors import unknown

TORCH_DTYPE: dict[str, torch.dtype] = {name: getattr(torch, one.torch) for name, one in DTYPE.items()}


def lay_out(tensor: Tensor, layout: str) -> Tensor:
    """The same numbers in another memory layout.

    "strided" is a view with an offset and a gap of one element along the last axis. "chunk" is what a slice of the
    channels and a crop leave: the last stride is 1, with gaps between rows, channels and images. "unaligned" is
    contiguous and begins one element past an address that every vector load likes. The gaps and the element before
    hold NaN, so a kernel that reads them is caught.
    """
    match layout:
        case "nchw":
            return tensor.contiguous()
        case "nhwc":
            return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        case "strided":
            room = tensor.new_full((*tensor.shape[:-1], 2 * tensor.shape[-1] + 1), float("nan"))
            room[..., 1::2] = tensor
            return room[..., 1::2]
        case "chunk":
            beyond = (0, 2, 1, 3)[-tensor.dim() :]  # more channels, rows and columns than are read
            sizes = (size + more for size, more in zip(tensor.shape, beyond, strict=True))
            room = tensor.new_full(tuple(sizes), float("nan"))
            view = room[
                tuple(slice(more // 2, more // 2 + size) for size, more in zip(tensor.shape, beyond, strict=True))
            ]
            view.copy_(tensor)
            return view
        case "unaligned":
            room = tensor.new_full((tensor.numel() + 1,), float("nan"))
            room[1:] = tensor.flatten()
            return room[1:].view(tensor.shape)
    raise unknown("layout", layout, LAYOUTS)


def settle_layout(y: Tensor, layout: str) -> Tensor:
    """y in the layout of the case; a conversion counts as the backend's time."""
    return y.contiguous(memory_format=torch.channels_last if layout == "nhwc" else torch.contiguous_format)


@contextmanager
def arithmetic(precision: str) -> Iterator[None]:
    """One policy for convolution and matrix product, CPU and GPU; torch's own is restored afterwards.

    torch's default is TF32 in cuDNN's convolutions and IEEE in matrix products, and it lets a
    half-precision matrix product reduce in half precision, so no race between the two is fair.
    cuDNN's benchmark mode is off, as torch has it, whatever an imported module left behind.
    """
    backends: Any = torch.backends  # its per-operator settings are made when torch is imported
    tf32 = precision == "tf32"
    settings = [
        # The older switches must agree with the newer ones, or torch raises when they are read.
        (backends.cudnn, "allow_tf32", tf32),
        (backends.cuda.matmul, "allow_tf32", tf32),
        (backends.cudnn, "fp32_precision", precision),  # inductor's templates read this one
        (backends.cudnn.rnn, "fp32_precision", precision),
        (backends.cudnn.conv, "fp32_precision", precision),
        (backends.cuda.matmul, "fp32_precision", precision),
        # oneDNN knows TF32 too, but no case asks for it on a CPU.
        (backends.mkldnn.conv, "fp32_precision", "ieee"),
        (backends.mkldnn.matmul, "fp32_precision", "ieee"),
        (backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
        (backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
        (backends.cuda.matmul, "allow_fp16_accumulation", False),
        (backends.cudnn, "benchmark", False),
        (backends.cudnn, "deterministic", False),
    ]
    with warnings.catch_warnings(action="ignore"):  # some releases warn about the older switches
        before = [(holder, name, _setting(holder, name)) for holder, name, _ in settings]
        for holder, name, value in settings:
            setattr(holder, name, value)
    try:
        yield
    finally:
        with warnings.catch_warnings(action="ignore"):
            for holder, name, value in before:
                if value is not None:
                    setattr(holder, name, value)


def _setting(holder: Any, name: str) -> Any:
    """A setting's value; None if the caller has mixed old and new switches, which torch refuses to read."""
    try:
        return getattr(holder, name)
    except RuntimeError:
        return None
