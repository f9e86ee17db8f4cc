"""Which bits do people lose? The right sum with one loss planted in float64 arithmetic, and nothing else wrong."""

import torch
from torch import Tensor

from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import by_group, convolve, patches, round_once
from convbench.verify.selftest.mutants.planting import bug

# A sum longer than this is rounded only so often by an accumulator of 16 bits, after equal parts of it.
STEPS = 32


def _exact(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return convolve(x.double(), w.double(), spec)


def _sums_kept_in(x: Tensor, w: Tensor, spec: ConvSpec, kept: torch.dtype) -> Tensor:
    size = -(-spec.taps // STEPS)
    parts = zip(
        by_group(w.double(), spec).split(size, dim=2), patches(x.double(), spec).split(size, dim=2), strict=True
    )
    total = torch.zeros(1, dtype=torch.float64)
    for kernel, read in parts:
        total = round_once(total + kernel @ read, kept).double()
    return round_once(total.reshape(spec.y_shape), x.dtype)


@bug("precision", causes=(r"(sums|computes|products) .*bf16",))
def sums_in_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The accumulators have bf16's eight bits"""
    return _sums_kept_in(x, w, spec, torch.bfloat16)


@bug("precision", causes=(r"(sums|computes|products) .*fp16",), dtypes=("fp32", "fp16"))
def sums_in_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The accumulators have fp16's eleven bits"""
    return _sums_kept_in(x, w, spec, torch.float16)


@bug("precision", causes=(r"sums .*(bf16|fp16|16 bits)",), dtypes=("bf16", "fp16"))
def parts_in_16_bits(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The sum in four parts, each stored in 16 bits before they are added"""
    parts = zip(by_group(w.double(), spec).chunk(4, dim=2), patches(x.double(), spec).chunk(4, dim=2), strict=True)
    total = torch.zeros(1, dtype=torch.float64)
    for kernel, read in parts:
        total = total + round_once(kernel @ read, x.dtype).double()
    return round_once(total.reshape(spec.y_shape), x.dtype)


def _tf32(tensor: Tensor, *, nearest: bool) -> Tensor:
    """float32 cut to TF32's ten bits of fraction, or rounded to them, ties to even."""
    bits = tensor.contiguous().view(torch.int32)
    if nearest:
        bits = bits + 0xFFF + ((bits >> 13) & 1)
    return (bits >> 13 << 13).view(torch.float32)


@bug("precision", causes=(r"TF32",), dtypes=("fp32",))
def inputs_in_tf32(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Inputs are rounded to TF32, as tensor cores and some defaults have it"""
    return _exact(_tf32(x, nearest=True), _tf32(w, nearest=True), spec).float()


@bug("precision", causes=(r"TF32",), dtypes=("fp32",))
def inputs_cut_to_tf32(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Inputs are cut to TF32 without rounding"""
    return _exact(_tf32(x, nearest=False), _tf32(w, nearest=False), spec).float()


@bug("precision", causes=(r"x and w to bf16",), dtypes=("fp32",))
def inputs_in_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Inputs are rounded to bf16, as a fast mode of CPUs has it"""
    return _exact(x.bfloat16(), w.bfloat16(), spec).float()


@bug("precision", causes=(r"\bw to fp16",), dtypes=("fp32",))
def weights_in_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Weights are packed in fp16"""
    return _exact(x, w.half(), spec).float()


@bug("precision", causes=(r"(computes|result|output|stores).* fp16",), dtypes=("fp32", "bf16"))
def stored_through_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The output goes through a buffer of fp16"""
    return round_once(_exact(x, w, spec), torch.float16).to(x.dtype)


@bug("precision", causes=(r"(computes|result|output|stores).* bf16",), dtypes=("fp32", "fp16"))
def stored_through_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The output goes through a buffer of bf16"""
    return round_once(_exact(x, w, spec), torch.bfloat16).to(x.dtype)


@bug("precision", causes=(r"toward zero", r"\bcut|truncat"), dtypes=("bf16", "fp16"))
def rounds_toward_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last bits of the output are cut off in place of rounded"""
    y = _exact(x, w, spec)
    near = round_once(y, x.dtype)
    return torch.where(near.double().abs() > y.abs(), torch.nextafter(near, torch.zeros_like(near)), near)


@bug("precision", causes=(r"1\.001",))
def last_output_scaled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last output is a thousandth too large"""
    y = _exact(x, w, spec)
    y[-1, -1, -1, -1] *= 1.001
    return round_once(y, x.dtype)


PRECISION = (
    sums_in_bf16,
    sums_in_fp16,
    parts_in_16_bits,
    inputs_in_tf32,
    inputs_cut_to_tf32,
    inputs_in_bf16,
    weights_in_fp16,
    stored_through_fp16,
    stored_through_bf16,
    rounds_toward_zero,
    last_output_scaled,
)
