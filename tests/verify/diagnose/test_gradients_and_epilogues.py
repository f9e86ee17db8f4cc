"""Causes of wrong gradients and of wrong epilogues."""

from collections.abc import Callable

import pytest
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from convbench import ConvSpec
from tests.conftest import make_case
from tests.verify.diagnose.planting import S, correct, told, without


@pytest.mark.parametrize(
    ("pass_", "bug", "words"),
    [
        (
            "dgrad",
            lambda dy, w, spec: conv2d_input(spec.x_shape, w.flip(2, 3), dy, spec.stride, spec.padding),
            "the kernel is flipped along r and s",
        ),
        (
            "dgrad",
            lambda dy, w, spec: conv2d_input(spec.x_shape, without(w, ..., 0, 1), dy, spec.stride, spec.padding),
            "tap (0,1) is missing",
        ),
        (
            "wgrad",
            lambda dy, x, spec: conv2d_weight(x[:2], spec.w_shape, dy[:2], spec.stride, spec.padding),
            "the last image (n=2) is ignored",
        ),
    ],
)
def test_the_cause_of_a_wrong_gradient_is_named(pass_: str, bug: Callable[..., Tensor], words: str) -> None:
    assert told(bug, make_case("n3c4h10w8k6r4s3_st2x1_pd2x1", pass_=pass_)).cause.startswith(words)


def test_a_dy_that_is_limited_is_asked_where_an_output_reads_the_image() -> None:
    def saturates(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
        how = spec.stride, spec.padding, spec.dilation, spec.groups
        dw: Tensor = conv2d_weight(x.float(), spec.w_shape, dy.float().clamp(-4, 4), *how)
        return dw.to(dy.dtype)

    # Its middle output reads padding alone.
    case = make_case("n8c2h3w1k128r2s2_pd1x2x0x3_dl2_g2", dtype="bf16", pass_="wgrad")
    assert told(saturates, case).cause == "it limits dy to the range from -4 to 4"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda y, b: y.relu(), "the bias is not added"),
        (lambda y, b: (y + 2 * b).relu(), "the bias is added twice"),
        (lambda y, b: y + b, "the relu is not done"),
        (lambda y, b: y.relu() + b, "the bias is added after the relu"),
    ],
)
def test_the_cause_of_a_wrong_epilogue_is_named(end: Callable[[Tensor, Tensor], Tensor], words: str) -> None:
    def fused(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
        return end(correct(x, w, spec), bias.reshape(1, -1, 1, 1))

    assert told(fused, make_case(S, epilogue="bias_relu")).cause == words
