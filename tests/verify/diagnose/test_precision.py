"""Bits that are lost, of inputs, products, sums and results."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench import ConvSpec
from convbench.verify.diagnose.precision import significant_bits
from tests.conftest import make_case
from tests.verify.diagnose.planting import BF16, FP16, LONG, Planted, S, beginnings, correct, told, without


def tf32(tensor: Tensor) -> Tensor:
    return (tensor.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


def sums_in_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = torch.zeros(spec.y_shape, dtype=x.dtype)
    for c in range(spec.c):
        y = y + correct(x[:, c : c + 1], w[:, c : c + 1], spec)
    return y


def limited(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return correct(x.clamp(-2, 2), w, spec)


def parts_in(kind: torch.dtype, channels: int) -> Callable[[Tensor, Tensor, ConvSpec], Tensor]:
    """Partial sums rounded after every few channels."""

    def sums(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = torch.zeros(spec.y_shape)
        for c in range(0, spec.c, channels):
            part = without(w, slice(None), slice(c))
            part[:, c + channels :] = 0
            y = (y + correct(x.float(), part.float(), spec)).to(kind).float()
        return y.to(x.dtype)

    return sums


def products_in_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    columns = F.unfold(x, (spec.r, spec.s), padding=spec.padding)[:, None]  # (N, 1, C*R*S, P*Q)
    return (columns * w.reshape(1, spec.k, -1, 1)).half().float().sum(dim=2).reshape(spec.y_shape)


def tf32_nearest(tensor: Tensor, *, even: bool) -> Tensor:
    bits = tensor.contiguous().view(torch.int32)
    return (bits + (0xFFF + ((bits >> 13) & 1) if even else 0x1000) >> 13 << 13).view(torch.float32)


BESIDE_PADDING = "n1c256h1w31k1r7s1_pd3x0"  # an output reads one row of the kernel, of the others padding

PLANTED: list[Planted] = [
    (S, {}, lambda x, w, spec: correct(tf32(x), tf32(w), spec), "it rounds x and w to TF32"),
    (S, {}, lambda x, w, spec: correct(x.half().float(), w, spec), "it rounds x to fp16"),
    (S, {}, lambda x, w, spec: correct(x, w, spec).bfloat16().float(), "it rounds its results to bf16"),
    (
        S,
        {"dtype": "fp64"},
        lambda x, w, spec: correct(x.float(), w.float(), spec).double(),
        "it rounds its sums to fp32",
    ),
    ("n2c16h9w8k6r3s3_pd1", {"dtype": "bf16"}, sums_in_bf16, "it rounds its sums to bf16"),
    (LONG, {}, limited, "it limits x to the range from -2 to 2"),
    (LONG, BF16, limited, "it limits x to the range from -2 to 2"),
    (LONG, {}, parts_in(torch.bfloat16, 16), "it rounds its sums to bf16 after every 16 channels"),
    (LONG, BF16, parts_in(torch.bfloat16, 16), "it rounds its sums to bf16 after every 16 channels"),
    (BESIDE_PADDING, BF16, parts_in(torch.bfloat16, 37), "it rounds its sums to bf16 after every 37 channels"),
    (LONG, FP16, parts_in(torch.float16, 8), "it rounds its sums to fp16 after every 8 channels"),
    (LONG, {}, lambda x, w, spec: correct(x, w, spec).bfloat16().float(), "it rounds its results to bf16"),
    (LONG, {}, products_in_fp16, "it rounds its products to fp16"),
    (LONG, {}, lambda x, w, spec: correct(tf32(x), tf32(w), spec), "it rounds x and w to TF32, toward zero"),
    (
        LONG,
        {},
        lambda x, w, spec: correct(tf32_nearest(x, even=True), tf32_nearest(w, even=True), spec),
        "it rounds x and w to TF32, ties to even",
    ),
    (
        LONG,
        {},
        lambda x, w, spec: correct(tf32_nearest(x, even=False), tf32_nearest(w, even=False), spec),
        "it rounds x and w to TF32, ties away from zero",
    ),
]


@pytest.mark.parametrize(("shape", "axes", "bug", "words"), PLANTED, ids=beginnings(PLANTED))
def test_a_planted_bug_is_named(shape: str, axes: dict[str, Any], bug: Callable[..., Tensor], words: str) -> None:
    check = told(bug, make_case(shape, **axes))
    assert words in check.cause
    assert not check.passed


@pytest.mark.parametrize(("dtype", "kind"), [("fp32", "fp16"), ("fp16", "fp16"), ("bf16", "bf16")])
@pytest.mark.parametrize("epilogue", ["bias", "bias_relu"])
def test_a_sum_that_is_rounded_before_the_bias_is_told_as_that(dtype: str, kind: str, epilogue: str) -> None:
    def fused(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
        y = correct(x.float(), w.float(), spec).to(getattr(torch, {"fp16": "float16", "bf16": "bfloat16"}[kind]))
        y = (y.float() + bias.float().reshape(1, -1, 1, 1)).to(x.dtype)
        return y.relu() if relu else y

    case = make_case("n1c64h8w8k32r3s3_pd1", dtype=dtype, epilogue=epilogue)
    assert told(fused, case).cause == f"it rounds y to {kind} before the bias is added"


def test_significant_bits_count_from_the_first_one_to_the_last() -> None:
    for value, bits in ((1.0, 1), (1.5, 2), (1 + 2.0**-23, 24), (257.0, 9), (2.0**-30 * 5, 3), (0.0, 0)):
        assert significant_bits(torch.tensor([value], dtype=torch.float64)) == bits


def cut(y: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 to the neighbour toward zero."""
    near = y.to(dtype)
    return torch.where(near.double().abs() > y.abs(), torch.nextafter(near, torch.zeros_like(near)), near)


@pytest.mark.parametrize("axes", [BF16, FP16])
def test_results_that_are_cut_off_are_told_from_sums_that_are(axes: dict[str, Any]) -> None:
    def results(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return cut(correct(x.double(), w.double(), spec), x.dtype)

    def down(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x.double(), w.double(), spec)
        near = y.to(x.dtype)
        return torch.where(near.double() > y, torch.nextafter(near, torch.full_like(near, -torch.inf)), near)

    def sums(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = torch.zeros(spec.y_shape, dtype=x.dtype)
        for c in range(spec.c):
            part = correct(x[:, c : c + 1].double(), w[:, c : c + 1].double(), spec)
            y = cut(y.double() + part, x.dtype)
        return y

    case, to = (
        make_case("n2c16h9w8k6r3s3_pd1", **axes),
        f"instead of rounding them to the nearest number of {axes['dtype']}",
    )
    assert told(results, case).cause == f"it cuts its results off, toward zero, {to}"
    assert told(down, case).cause == f"it rounds its results down {to}"
    assert "results" not in told(sums, case).cause


def test_results_that_go_through_a_format_of_a_smaller_range_are_told_from_products_that_do() -> None:
    def results(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x.double(), w.double(), spec).half().to(x.dtype)

    def products(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return products_in_fp16(x.float() * 2**-9, w.float(), spec).mul(2**9).to(x.dtype)

    case = make_case(S, **BF16)
    assert told(results, case).cause == "it rounds its results to fp16 on their way to bf16"
    assert "results" not in told(products, case).cause


@pytest.mark.parametrize("shape", ["n1c1h1w1k1r1s1", "n3c5h6w7k8r6s7"])
def test_inputs_are_named_on_a_handful_of_outputs_too(shape: str) -> None:
    case = make_case(shape)
    toward = told(lambda x, w, spec: correct(tf32(x), tf32(w), spec), case).cause
    nearest = told(lambda x, w, spec: correct(tf32_nearest(x, even=True), tf32_nearest(w, even=True), spec), case).cause
    assert toward == "it rounds x and w to TF32, toward zero"
    assert nearest == "it rounds x and w to TF32, ties to even"
