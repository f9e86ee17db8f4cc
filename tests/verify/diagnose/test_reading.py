"""Which numbers an output reads: the bias and the weights of another channel, pixels of another place."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from convbench.spec import ConvSpec
from convbench.verify.diagnose.reading import live_tap, tell_map
from tests.conftest import make_case
from tests.verify.diagnose.planting import GROUPED, S, correct, spec, told


@pytest.mark.parametrize("epilogue", ["bias", "bias_relu"])
@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda b: torch.cat([b[:4], 0 * b[4:]]), "the bias is not added in output channels k=4..5"),
        (lambda b: b.roll(1), "each output channel k gets the bias of its neighbour k-1, around the end"),
        (
            lambda b: b[[0, 1, 3, 2, 4, 5]],
            "output channels k=2 and k=3 are swapped: output channel k=2 gets the bias of k=3",
        ),
        (lambda b: torch.cat([b[:4], 2 * b[4:]]), "the bias is added twice in output channels k=4..5"),
        (lambda b: torch.cat([b[:4], 3 * b[4:]]), ""),
    ],
)
def test_the_bias_that_each_output_channel_gets_is_told(
    epilogue: str, read: Callable[[Tensor], Tensor], words: str
) -> None:
    def fused(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
        y = correct(x, w, spec) + read(bias).reshape(1, -1, 1, 1)
        return y.relu() if relu else y

    cause = told(fused, make_case(S, epilogue=epilogue)).cause
    assert cause == words or (not words and "bias" not in cause)


def channels(order: list[int]) -> Callable[[Tensor, Tensor, ConvSpec], Tensor]:
    return lambda x, w, spec: correct(x[:, order], w, spec)


def wrapped(x: Tensor, size: int) -> Tensor:
    """Each image with an index that wraps."""
    flat = x.flatten(1)
    return flat[:, torch.arange(flat.shape[1]) % size].reshape(x.shape)


READ = [
    (
        "n2c8h9w8k6r3s3_pd1_g2",
        lambda x, w, spec: correct(x, w.roll(3, 0), spec),
        "groups g=0 and g=1 are swapped: group g=0 takes the weights of g=1",
    ),
    (
        "n1c9h6w5k9r3s3_pd1_g3",
        lambda x, w, spec: correct(x, w.roll(3, 0), spec),
        "each group g takes the weights of its neighbour g-1, around the end",
    ),
    (GROUPED, lambda x, w, spec: correct(x, w[[0, 1, 1, 3, 4, 5]], spec), "output channel k=2 holds the answer of k=1"),
    (
        "n1c6h6w5k4r3s3_pd1",
        channels([0, 1, 2, 3, 1, 2]),
        "channels c=4..5 are read from c-3",
    ),
    (
        "n1c12h6w5k4r3s3_pd1_g2",
        channels([0, 1, 2, 3, 0, 1, 6, 7, 8, 9, 6, 7]),
        "in each group channels c=4..5 are read from c-4",
    ),
    (
        "n2c64h6w6k8r3s3_pd1",
        lambda x, w, spec: correct(x.roll(16, 1), w, spec),
        "each channel c is read from c-16, around the end",
    ),
    (
        "n2c3h9w8k4r3s3_pd1",
        lambda x, w, spec: correct(wrapped(x, 128), w, spec),
        "pixels beyond the first 128 of an image are read from its start again: the index wraps",
    ),
]


@pytest.mark.parametrize(("shape", "bug", "words"), READ, ids=[words[:40] for *_, words in READ])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_an_output_reads_is_told(
    shape: str, bug: Callable[[Tensor, Tensor, ConvSpec], Tensor], words: str, dtype: str
) -> None:
    assert told(bug, make_case(shape, dtype=dtype)).cause == words


def wraps_its_outputs(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    flat = correct(x, w, spec).flatten(2)
    return flat[:, :, torch.arange(flat.shape[2]) % 256].reshape(spec.y_shape)


def test_outputs_that_wrap_are_told_and_where_pixels_would_do_the_same_both_are() -> None:
    outputs = "outputs beyond the first 256 of a plane hold the answer of those at its start: the index wraps"
    pixels = "pixels beyond the first 256 of a plane are read from its start again: the index wraps"
    assert told(wraps_its_outputs, make_case("n1c2h17w17k3r3s3_pd1")).cause == outputs
    both = told(wraps_its_outputs, make_case("n1c2h17w17k3r1s1")).cause
    assert both == f"{pixels}, or {outputs} (the same on this case)"


def test_pixels_that_are_read_elsewhere_and_more_is_wrong_have_no_rule() -> None:
    def both(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(wrapped(x, 128), w, spec) + 0.01 * correct(x, w, spec) ** 2

    assert "index" not in told(both, make_case("n2c3h9w8k4r3s3_pd1")).cause


def test_a_map_is_told_by_its_rule() -> None:
    def of(source: list[int]) -> str:
        return tell_map("row", "p", source, "holds", "hold")

    assert of([0, 1, 0, 3]) == "row p=2 holds p=0"
    assert of([0, 0, 0, 0]) == "rows p=1..3 hold p=0"
    assert of([0, 0, 2, 2, 4, 4]) == "rows p=1,3,5 hold p-1"
    assert of([3, 2, 1, 0]) == "the rows are in reverse order: p=0 holds p=3"
    assert of([0, 2, 1, 3]) == "rows p=1 and p=2 are swapped: row p=1 holds p=2"
    assert of([1, 2, 3, 4, 5, 0]) == "each row p holds its neighbour p+1, around the end"
    assert of([2, 0, 1, 3, 5, 4]) == "the rows are mixed up and hold others: p=0 of p=2, p=1 of p=0, p=2 of p=1, ..."


def test_the_tap_that_is_asked_reads_the_image() -> None:
    assert live_tap(spec("n1c1h5w5k1r3s3_pd1")) == (1, 1)
    assert live_tap(spec("n1c1h1w1k1r3s1_pd2x0_st5")) == (2, 0)
    assert live_tap(spec("n1c1h1w1k1r1s1_pd1_st2")) is None
