"""Terms of the sum that are missing, doubled or read elsewhere: taps, channels, and of which outputs."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from convbench import ConvSpec
from tests.conftest import make_case
from tests.verify.diagnose.planting import (
    BF16,
    FP16,
    LONG,
    Planted,
    S,
    beginnings,
    correct,
    in_last_column,
    told,
    without,
)


def second_tap_misreads(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    moved = without(w, ..., 1, 0)
    moved[..., 1, 2] += w[..., 1, 0]
    return correct(x, moved, spec)


def last_weight_of_last_tile(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[:, 8:, 5:] = correct(x, without(w, slice(None), -1, -1, -1), spec)[:, 8:, 5:]
    return y


PLANTED: list[Planted] = [
    (S, {}, in_last_column, "tap (0,0) is missing in the last output column (q=7)"),
    (S, {}, lambda x, w, spec: correct(x, without(w, ..., 0), spec), "the taps of kernel column s=0 are missing"),
    (
        S,
        {},
        lambda x, w, spec: correct(x, without(w, 3, 2, 1, 0), spec),
        "tap (1,0) of channel c=2 is missing in output channel k=3",
    ),
    (S, {}, second_tap_misreads, "tap (1,0) reads the pixels of tap (1,2)"),
    (
        "n2c16h9w8k6r3s3_pd1",
        {},
        lambda x, w, spec: correct(x, without(w, slice(None), slice(12, None)), spec),
        "channels c=12..15 are ignored",
    ),
    (S, {"layout": "strided", "dtype": "bf16"}, in_last_column, "tap (0,0) is missing in the last output column (q=7)"),
    (LONG, {}, lambda x, w, spec: correct(x, without(w, ..., 0, 2), spec), "tap (0,2) is missing"),
    (
        LONG,
        BF16,
        lambda x, w, spec: correct(x, without(w, slice(None), -1), spec),
        "the last channel (c=63) is ignored",
    ),
    (
        "n1c72h6w6k8r3s3_pd1",
        FP16,
        lambda x, w, spec: correct(x, without(w, slice(None), slice(64, None)), spec),
        "channels c=64..71 are ignored",
    ),
    (
        "n1c32h6w6k4r3s3_pd1",
        {},
        lambda x, w, spec: correct(x, without(w, slice(None), slice(1, None, 2)), spec),
        "channels c=1,3,5,7,9,11,... are ignored",
    ),
    (
        LONG,
        {},
        last_weight_of_last_tile,
        "tap (2,2) of the last channel (c=63) is missing in output rows p=5..6, output channels k=8..15",
    ),
    (
        "n1c2h20w18k4r10s9_st10x9",
        {},
        lambda x, w, spec: correct(x, without(without(w, ..., slice(8, None)), ..., slice(8, None), slice(None)), spec),
        "the taps of kernel rows r=8..9 and column s=8 are missing",
    ),
]


@pytest.mark.parametrize(("shape", "axes", "bug", "words"), PLANTED, ids=beginnings(PLANTED))
def test_a_planted_bug_is_named(shape: str, axes: dict[str, Any], bug: Callable[..., Tensor], words: str) -> None:
    check = told(bug, make_case(shape, **axes))
    assert words in check.cause
    assert not check.passed
