"""Which arithmetic did a backend really use? Its errors on random numbers reveal it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from convbench.verify.exam import Exam

TF32_BITS, FLOAT32_BITS = 10, 23  # of the fraction


def tf32_nearest(tensor: Tensor) -> Tensor:
    """Each number rounded to the nearest TF32, ties to even; float32 in and out."""
    bits, lost = tensor.contiguous().view(torch.int32), FLOAT32_BITS - TF32_BITS
    odd = (bits >> lost) & 1
    return ((bits + (1 << (lost - 1)) - 1 + odd) >> lost << lost).view(torch.float32)


def tf32_truncated(tensor: Tensor) -> Tensor:
    """Each number cut to the bits of TF32; float32 in and out."""
    lost = FLOAT32_BITS - TF32_BITS
    return (tensor.contiguous().view(torch.int32) >> lost << lost).view(torch.float32)


# What a kernel may have made of its float32 inputs, in words.
INPUTS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("TF32 inputs", tf32_nearest),
    ("truncated TF32 inputs", tf32_truncated),
    ("bf16 inputs", lambda tensor: tensor.bfloat16().float()),
    ("fp16 inputs", lambda tensor: tensor.half().float()),
)
SUMS = (("sums kept in bf16", torch.bfloat16), ("sums kept in fp16", torch.float16))


def other_inputs(exam: Exam) -> Iterator[tuple[str, Tensor]]:
    """The exact outputs of kernels that round their float32 inputs first, with descriptions."""
    if exam.case.dtype == "fp32":
        for words, rounded in INPUTS:
            yield words, exam.answer([rounded(operand) for operand in exam.operands.values()])


def name_sums(out: Tensor, y: Tensor, magnitude: Tensor, terms: Tensor) -> str:
    """How the sums were kept, in words, where the errors say so; "" if they do not.

    Args:
        out: what was returned; y, magnitude: the truth and its M, float64 of the same shape; terms: n.
    """
    if out.dtype == torch.float32:
        for words, kind in SUMS:
            if torch.equal(out.to(kind).float(), out):
                return words
    error = out.double() - y
    for words, kind in reversed(SUMS):  # fp16 errs less, so it is asked first
        own = torch.finfo(kind).eps / 2
        if torch.finfo(out.dtype).eps / 2 <= own and bool((error.abs() <= (terms + 2) * own * magnitude).all()):
            return words if out.dtype != torch.float32 else "sums kept in less than fp32"
    return ""
