"""What wrong outputs hold and where they are: moved, limited, scaled, NaN or 0."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench import ConvSpec, Wrong, backend
from convbench.verify.diagnose.fault import (
    Effort,
    explain_fault,
)
from convbench.verify.exam import prepare_exam
from convbench.verify.transforms import WINOGRAD_POINTS, winograd_matrices
from convbench.verify.trial import examine
from tests.conftest import make_case
from tests.verify.diagnose.planting import LONG, Planted, S, beginnings, correct, told


def third_image_is_the_first(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[2] = y[0]
    return y


def one_is_nan(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[0, 3, 2, 5] = float("nan")
    return y


def last_image_is_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[-1] = 0
    return y


PLANTED: list[Planted] = [
    ("n3c4h9w8k6r3s3_pd1", {}, third_image_is_the_first, "image n=2 holds the answer of n=0"),
    (S, {}, lambda x, w, spec: correct(x, w, spec)[:, [0, 1, 3, 2, 4, 5]], "output channels k=2 and k=3 are swapped"),
    (S, {}, lambda x, w, spec: correct(x, w, spec) / 2, "every output is 0.5 times what it should be"),
    (S, {}, one_is_nan, "y[0,3,2,5] is NaN"),
    (S, {}, last_image_is_zero, "432 outputs in the last image (n=1) are 0"),
    (
        LONG,
        {},
        lambda x, w, spec: correct(x, w, spec).clamp(-20, 6),
        "larger than 6 are 6 and smaller than -20 are -20",
    ),
    (LONG, {}, lambda x, w, spec: correct(x, w, spec) + 1, "every sum begins at 1 instead of 0"),
    (LONG, {}, lambda x, w, spec: 1.001 * correct(x, w, spec), "every output is 1.001 times what it should be"),
]


@pytest.mark.parametrize(("shape", "axes", "bug", "words"), PLANTED, ids=beginnings(PLANTED))
def test_a_planted_bug_is_named(shape: str, axes: dict[str, Any], bug: Callable[..., Tensor], words: str) -> None:
    check = told(bug, make_case(shape, **axes))
    assert words in check.cause
    assert not check.passed


def in_tiles_of_winograd(bug: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """F(4x4, 3x3), with something done to its tiles (N, K, tiles_h, tiles_w, 4, 4)."""

    def winograd(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        bt, g, at = (one.float() for one in winograd_matrices(WINOGRAD_POINTS[1]))
        down, across = -(-spec.p // 4), -(-spec.q // 4)
        padded = F.pad(x, (1, 4 * across + 1 - spec.w, 1, 4 * down + 1 - spec.h))
        tiles = bt @ padded.unfold(2, 6, 4).unfold(3, 6, 4) @ bt.T
        y = at @ torch.einsum("kcab,nchwab->nkhwab", g @ w @ g.T, tiles) @ at.T
        return (
            bug(y).transpose(3, 4).reshape(spec.n, spec.k, 4 * down, 4 * across)[..., : spec.p, : spec.q].contiguous()
        )

    return winograd


def in_last_tile(factor: float) -> Callable[[Tensor], Tensor]:
    def change(y: Tensor) -> Tensor:
        y[:, :, -1, -1] *= factor
        return y

    return change


@pytest.mark.parametrize(
    ("bug", "cause", "place"),
    [
        (in_last_tile(0.0), "are 0", "in output rows p=8..11, output columns q=8..11"),
        (in_last_tile(1.5), "", "in output rows p=8..11, output columns q=8..11"),
    ],
)
def test_the_place_of_a_fault_in_winograd_is_judged_by_the_bound_of_winograd(
    bug: Callable[[Tensor], Tensor], cause: str, place: str
) -> None:
    case = make_case("n1c64h12w12k8r3s3_pd1")
    one = backend(family="winograd", source="a test")(in_tiles_of_winograd(bug))
    outcome = examine(one, exam := prepare_exam(case))
    assert isinstance(outcome, Wrong)
    check = explain_fault(one, exam, outcome.check, Effort(tries=0))
    assert place in (check.evidence or "")
    assert check.cause.endswith(cause)
    assert place in check.cause or not cause
    right = backend(family="winograd", source="a test")(in_tiles_of_winograd(lambda y: y))
    assert examine(right, prepare_exam(case)).check.passed  # type: ignore[union-attr]  # verified


def infinite_beyond(largest: float) -> Callable[[Tensor, Tensor, ConvSpec], Tensor]:
    def overflows(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        return torch.where(y.abs() > largest, y.sign() * torch.inf, y)

    return overflows


def test_an_overflow_is_one_of_a_format_only_at_its_largest_number() -> None:
    for shape in (S, "n1c1h1w1k1r1s1"):
        words = "outputs beyond 65,504, the largest number of fp16, are infinite"
        assert told(infinite_beyond(65_504), make_case(shape)).cause == words
        assert "fp16" not in told(infinite_beyond(20_000), make_case(shape)).cause


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_a_factor_in_one_place_is_named_and_what_is_added_there_is_none(dtype: str) -> None:
    def scaled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x.double(), w.double(), spec)
        y[:, :, -1] *= 1.25
        return y.to(x.dtype)

    def shifted(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x.double(), w.double(), spec)
        y[:, :, -1] += 0.25
        return y.to(x.dtype)

    words = "96 outputs in the last output row (p=8) are 1.25 times what they should be"
    assert told(scaled, make_case(S, dtype=dtype)).cause == words
    assert "times" not in told(shifted, make_case(S, dtype=dtype)).cause


def test_one_output_that_is_a_thousandth_too_large_is_named() -> None:
    def scaled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x.double(), w.double(), spec)
        y[-1, -1, -1, -1] *= 1.001
        return y.to(x.dtype)

    for dtype in ("fp32", "fp16"):
        assert told(scaled, make_case(S, dtype=dtype)).cause == "y[1,5,8,7] is 1.001 times what it should be"


def test_a_relu_is_told_from_another_limit() -> None:
    relu, other = "a relu is done that was not asked for", "outputs that should be smaller than -1 are -1"
    assert told(lambda x, w, spec: correct(x, w, spec).clamp(min=0), make_case(S)).cause == relu
    assert told(lambda x, w, spec: correct(x, w, spec).clamp(min=-1), make_case(S)).cause == other


def test_a_factor_of_one_image_is_named() -> None:
    def scaled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec) * (1 + 0.01 * (torch.arange(spec.n) > 0))[:, None, None, None]

    words = "288 outputs in the last image (n=1) are 1.01 times what they should be"
    assert told(scaled, make_case("n2c64h6w6k8r3s3_pd1")).cause == words


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_results_that_are_cut_off_are_no_factor(dtype: str) -> None:
    def cut(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x.double(), w.double(), spec)
        near = y.to(x.dtype)
        return torch.where(near.double().abs() > y.abs(), torch.nextafter(near, torch.zeros_like(near)), near)

    for seed in range(3):
        assert "times" not in told(cut, make_case("n2c3h8w15k4r1s7_pd0x3", dtype=dtype, seed=seed)).cause
