"""What the two ways to ask cuDNN have in common: its operators, and its own words for what it cannot do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from convbench.backend import Unsupported
from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.errors import first_line
from convbench.spec import ConvSpec

# As torch's Conv_v8.cpp and cuDNN's own statuses say it.
LACKING = ("unable to find an engine", "NOT_SUPPORTED", "No valid engine configs")


def refuse(case: Case) -> str | None:
    if torch.version.hip:
        return "this torch is built for ROCm: its library is MIOpen, which the backend torch uses"
    if not torch.backends.cudnn.is_available():
        return "this torch has no cuDNN"
    if case.spec.n == 0:
        return "cuDNN does not support an empty batch"
    return None


@contextmanager
def in_its_words() -> Iterator[None]:
    """What it has no plan for is no fault."""
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error) for words in LACKING):
            raise Unsupported(f"cuDNN has no plan for this case: {first_line(error)}") from None
        raise


def fprop(x: Tensor, w: Tensor, spec: ConvSpec, *, benchmark: bool) -> Tensor:
    with in_its_words():
        return torch.cudnn_convolution(
            x, w, spec.padding, spec.stride, spec.dilation, spec.groups, benchmark, _deterministic(), _tf32()
        )


def fused(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, *, relu: bool, benchmark: bool) -> Tensor:
    """Bias and relu within the kernel; a bias alone is added afterwards, as torch does."""
    if not relu:
        return fprop(x, w, spec, benchmark=benchmark).add_(bias.reshape(1, -1, 1, 1))
    with in_its_words():
        return torch.cudnn_convolution_relu(x, w, bias, spec.stride, spec.padding, spec.dilation, spec.groups)


def dgrad(dy: Tensor, w: Tensor, spec: ConvSpec, *, benchmark: bool) -> Tensor:
    """A transposed convolution is cuDNN's backward data, by the operator that calls nothing else.

    What the stride left over at the end of x is its output padding.
    """
    rest = tuple(
        size + 2 * padding - extent - (out - 1) * stride
        for size, padding, extent, out, stride in zip(
            (spec.h, spec.w), spec.padding, spec.kernel_extent, (spec.p, spec.q), spec.stride, strict=True
        )
    )
    with in_its_words():
        return torch.cudnn_convolution_transpose(
            dy, w, spec.padding, rest, spec.stride, spec.dilation, spec.groups, benchmark, _deterministic(), _tf32()
        )


def roundings(case: Case) -> int:
    """A bias without a relu is added to a y that was stored."""
    return int(case.epilogue == "bias" and DTYPE[case.dtype].narrow)


def _deterministic() -> bool:
    return torch.backends.cudnn.deterministic


def _tf32() -> bool:
    return torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined,no-any-return]  # torch adds it when imported
