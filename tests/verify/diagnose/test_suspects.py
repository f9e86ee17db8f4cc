"""Another convolution than the one asked for: strides, paddings, dilations, kernels and groups."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from convbench import ConvSpec
from convbench.verify.diagnose.suspects import suspects
from convbench.verify.exam import prepare_exam
from tests.conftest import make_case
from tests.verify.diagnose.planting import (
    GROUPED,
    LONG,
    Planted,
    S,
    beginnings,
    correct,
    elsewhere,
    first_group_for_all,
    told,
)


def reads_the_next_row(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Rows are padded, columns run on in memory."""
    n, c, h, width = x.shape
    flat, start = F.pad(x.reshape(-1), (99, 99)), torch.arange(n * c).reshape(n, c) * h * width + 99
    y = torch.zeros(spec.y_shape)
    for p in range(spec.p):
        for q in range(spec.q):
            for r in range(3):
                if 0 <= p - 1 + r < h:
                    for s in range(3):
                        y[:, :, p, q] += flat[start + (p - 1 + r) * width + q - 1 + s] @ w[:, :, r, s].T
    return y


def padded_with_ones(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), value=1.0), w)


PLANTED: list[Planted] = [
    (
        "n2c4h9w8k6r3s3_pd1",
        {},
        lambda x, w, spec: correct(F.pad(x[..., :-1], (0, 1)), w, spec),
        "the last input column (w=7) is never read, as if it were padding",
    ),
    (
        "n2c4h9w8k6r3s3_st2",
        {},
        lambda x, w, spec: correct(F.pad(x[:, :, 1:], (0, 0, 1, 0)), w, spec),
        "the first input row (h=0) is never read, as if it were padding",
    ),
    (
        "n2c4h9w7k6r1s1_st2",
        {"pass_": "wgrad"},
        lambda dy, x, spec: conv2d_weight(x, spec.w_shape, F.pad(dy[:, :, :-1], (0, 0, 0, 1)), spec.stride),
        "the output row p=4 is ignored: input row h=8 is never read",
    ),
    (
        "n2c4h9w8k6r3s3_st2x1_pd1",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, stride=spec.stride[::-1]),
        "the stride is taken with h and w swapped (2x1)",
    ),
    (
        "n2c4h9w9k6r3s3_pd1_dl2",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, dilation=(1, 1)),
        "the dilation (2) is ignored",
    ),
    (
        "n2c4h9w9k6r3s3_pd2",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, padding=(1, 1)),
        "the padding is off by one: 1 row at the top instead of 2, 1 column on the left instead of 2",
    ),
    (
        "n2c4h9w8k6r3s3_pd1",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, padding=(2, 2)),
        "2 rows at the top instead of 1, 2 columns on the left instead of 1, as if all of it were at the top",
    ),
    (
        "n2c4h9w8k6r5s5_pd2x1",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, padding=(4, 2)),
        "all of the padding is at the top and on the left: 4 rows at the top instead of 2, 2 columns on the left",
    ),
    (
        "n2c4h9w8k6r3s5_pd3",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, padding=(3, 6)),
        "all of the padding is on the left: 6 columns on the left instead of 3",
    ),
    (
        "n2c4h9w8k6r5s5_pd2",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, padding=(0, 0)),
        "the padding (2) is ignored, as if all of it were at the bottom and on the right",
    ),
    (
        "n2c4h9w8k6r5s3_pd3x2",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, padding=(0, 2)),
        "the padding along h (3) is ignored, as if all of it were at the bottom",
    ),
    (
        "n2c4h9w9k6r3s3_pd1",
        {},
        lambda x, w, spec: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), w),
        "the padding is not zero: the pixels of the border are repeated",
    ),
    ("n2c4h6w5k6r3s3_pd1", {}, reads_the_next_row, "it reads on in memory, into the neighbouring row"),
    (S, {}, lambda x, w, spec: correct(x, w.flip(2, 3), spec), "the kernel is flipped along r and s"),
    (S, {}, lambda x, w, spec: correct(x, w.mT, spec), "r and s of the kernel are swapped"),
    ("n2c6h9w8k6r3s3_pd1", {}, lambda x, w, spec: correct(x, w.transpose(0, 1), spec), "k and c of w are swapped"),
    (
        GROUPED,
        {},
        lambda x, w, spec: correct(x.reshape(2, 4, 2, 9, 8).transpose(1, 2).reshape(x.shape), w, spec),
        "the channels are interleaved over the groups",
    ),
    (GROUPED, {}, first_group_for_all, "group 1 reads the channels of group 0"),
    (S, {"layout": "nhwc"}, lambda x, w, spec: correct(x, w.flip(3), spec), "the kernel is flipped along s"),
    (
        "n1c96h9w9k16r1s1_st2",
        {},
        lambda x, w, spec: elsewhere(x, w, spec, stride=(1, 1)),
        "the stride (2) is ignored",
    ),
    (LONG, {}, padded_with_ones, "the padding is not zero, it holds 1"),
]


@pytest.mark.parametrize(("shape", "axes", "bug", "words"), PLANTED, ids=beginnings(PLANTED))
def test_a_planted_bug_is_named(shape: str, axes: dict[str, Any], bug: Callable[..., Tensor], words: str) -> None:
    check = told(bug, make_case(shape, **axes))
    assert words in check.cause
    assert not check.passed


def test_two_causes_that_this_case_cannot_tell_apart_are_both_named() -> None:
    check = told(lambda x, w, spec: correct(x.mT, w, spec), make_case("n2c3h5w5k4r1s1"))
    one, other = "x is read with h and w swapped", "y is written with p and q swapped"
    assert check.cause == f"{one}, or {other} (the same on this case)"
    check = told(lambda x, w, spec: correct(x.mT, w, spec), make_case("n2c3h5w5k4r3s3_pd1"))
    assert check.cause == one


def test_no_suspect_is_the_right_convolution() -> None:
    """A suspect that equals the truth on a case of no symmetry would accuse everybody."""
    case = make_case("n2c4h11w9k6r3s2_st2x1_pd2x1_dl1x2_g2")
    exam = prepare_exam(case)
    x, w = (one.double() for one in exam.operands.values())
    found = [one for one in suspects(case) if one.finish is None]
    assert len(found) >= 15
    for suspect in found:
        assert not torch.allclose(suspect.model(x, w), exam.truth.y), suspect.cause.words
