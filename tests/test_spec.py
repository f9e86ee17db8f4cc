"""ConvSpec: the arithmetic, the text form, and what it refuses."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convbench import ConvbenchError, ConvSpec
from tests.strategies import specs


def test_the_note_has_nine_positions_of_four_taps() -> None:
    spec = ConvSpec.parse("n1c1h4w4k1r2s2")
    assert (spec.p, spec.q, spec.taps) == (3, 3, 4)
    assert spec.y_shape == (1, 1, 3, 3)
    assert (spec.macs, spec.flops) == (36, 72)
    assert spec.gemm == (1, 9, 4)
    assert spec.patch_matrix_nbytes("fp32") == 144


@given(specs(any_padding=True))
def test_output_size_agrees_with_torch(spec: ConvSpec) -> None:
    top, bottom, left, right = spec.sides
    x = torch.empty((spec.n, spec.c, top + spec.h + bottom, left + spec.w + right), device="meta")
    w = torch.empty(spec.w_shape, device="meta")
    y = torch.nn.functional.conv2d(x, w, None, spec.stride, 0, spec.dilation, spec.groups)
    assert tuple(y.shape) == spec.y_shape
    assert spec.padded == x.shape[2:]


@given(specs(any_padding=True))
def test_padding_may_be_made_equal_by_a_larger_image(spec: ConvSpec) -> None:
    even, (top, bottom, left, right) = spec.evened, spec.surplus
    assert even.padding_end is None
    assert (even.padded, even.y_shape, even.macs) == (spec.padded, spec.y_shape, spec.macs)
    assert (even.h, even.w) == (spec.h + top + bottom, spec.w + left + right)
    assert (even == spec) == (spec.padding_end is None)


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("n1c1h4w4k1r2s2", (0, 0, 0, 0)),
        ("n1c1h4w4k1r2s2_pd1", (1, 1, 1, 1)),
        ("n1c1h4w4k1r2s2_pd1x2", (1, 1, 2, 2)),
        ("n1c1h4w4k1r2s2_pd0x1x2x3", (0, 1, 2, 3)),
    ],
)
def test_padding_is_one_number_a_pair_or_top_bottom_left_and_right(text: str, sides: tuple[int, ...]) -> None:
    spec = ConvSpec.parse(text)
    assert spec.sides == sides
    assert str(spec) == text
    assert ConvSpec(n=1, c=1, h=4, w=4, k=1, r=2, s=2, padding=sides) == spec


def test_equal_padding_has_one_text_however_it_is_written() -> None:
    spec = ConvSpec.parse("n1c1h4w4k1r2s2_pd1x1x2x2")
    assert str(spec) == "n1c1h4w4k1r2s2_pd1x2"
    assert spec.padding_end is None
    assert ConvSpec(n=1, c=1, h=4, w=4, k=1, r=2, s=2, padding=(1, 2), padding_end=[1, 2]) == spec
    assert replace(ConvSpec.parse("n1c1h4w4k1r2s2_pd1"), padding=(0, 2)).sides == (0, 0, 2, 2)


@pytest.mark.parametrize(
    "text", ["n1c1h4w4k1r2s2_pd1x2x3", "n1c1h4w4k1r2s2_st1x1x1x1", "n1c1h4w4k1r2s2_pd1x2x3x4x5", "n1c1h4w4k1r2s2_g1x1"]
)
def test_four_numbers_are_of_padding_alone(text: str) -> None:
    with pytest.raises(ConvbenchError, match="is not part of a problem"):
        ConvSpec.parse(text)


def test_negative_padding_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConvbenchError, match="it must be at least 0; crop the input instead"):
        ConvSpec(n=1, c=1, h=4, w=4, k=1, r=2, s=2, padding=(0, -1, 0, 0))


@given(specs(any_padding=True))
def test_the_text_form_is_read_back(spec: ConvSpec) -> None:
    assert ConvSpec.parse(str(spec)) == spec
    assert ConvSpec.parse(str(spec).upper()) == spec


def test_defaults_may_be_written_or_left_out() -> None:
    short = ConvSpec.parse("n8c64h56w56k64r3s3_pd1")
    assert short == ConvSpec.parse("n8c64h56w56k64r3s3_st1_pd1_dl1_g1")
    assert str(short) == "n8c64h56w56k64r3s3_pd1"
    assert ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2").stride == (2, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "write it like"),
        ("resnet-50", "'resnet-50' is not a valid shape; write it like"),
        ("1x3x8x8", "'1x3x8x8' is not a valid shape; write it like"),
        ("n1c1h4w4k1r2", ": it has no s; write it like"),
        ("c1n1h4w4k1r2s2", "in another order"),
        ("n1c1h4w4k1r2s2_pd-1", "nothing in it may be negative"),
        (
            "n1c1h4w4k1r2s2_pdsame",
            "'_pdsame' in 'n1c1h4w4k1r2s2_pdsame' is not part of a problem, whose padding must be",
        ),
        ("n1c1h4w4k1r2s2_zz3", "'_zz3' in 'n1c1h4w4k1r2s2_zz3' is not part of a problem; write"),
        ("n1c1h4w4k1r2s2_st1_st2", "stride occurs twice"),
        ("n1c2h4w4k2r2s2_g1x2", "'_g1x2'"),
        ("n1c3h4w4k2r2s2_g2", "divide both"),
        ("n1c1h4w4k1r2s2_st0", "stride is 0"),
        ("n1c1h4w4k1r2s2_dl0", "dilation is 0"),
        ("n1c0h4w4k1r2s2", "c is 0"),
        ("n1c1h4w4k1r5s2", "larger than the padded input"),
    ],
)
def test_a_bad_problem_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(ConvbenchError) as refusal:
        ConvSpec.parse(text)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_one_number_stands_for_both_axes() -> None:
    sizes = dict.fromkeys("nchwkrs", 3)
    pairs = ConvSpec(**sizes, stride=(2, 2), padding=(1, 1), dilation=(1, 1))
    for stride in (2, [2, 2], (2, 2)):
        spec = ConvSpec(**sizes, stride=stride, padding=1, dilation=[1, 1])
        assert (spec, hash(spec), str(spec)) == (pairs, hash(pairs), str(pairs))
    assert ConvSpec(**sizes, stride=[2, 1]).stride == (2, 1)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"stride": 2.0}, "stride is 2.0: it must be an integer, or two for height and width, such as stride=(2, 1)"),
        ({"stride": (1, 2, 3)}, "stride is (1, 2, 3): "),
        ({"stride": ()}, "stride is (): "),
        ({"stride": "2"}, "stride is '2': "),
        ({"padding": True}, "padding is True: "),
        ({"padding": (1, None)}, "padding is (1, None): "),
        ({"dilation": (1, 1.5)}, "dilation is (1, 1.5): "),
        ({"dilation": (1.5, 1)}, "dilation is (1.5, 1): "),
        ({"padding": -1}, "padding is -1 in n4c4h4w4k4r4s4_pd-1: it must be at least 0"),
        ({"stride": 0}, "stride is 0 in "),
        ({"n": 1.0}, "n is 1.0: it must be an integer, such as n=1"),
        ({"h": True}, "h is True: "),
        ({"groups": None}, "groups is None: "),
        ({"c": -4}, "c is -4 in n4c-4h4w4k4r4s4: it must be at least 1"),
    ],
)
def test_sizes_that_are_none_are_refused_in_one_line(sizes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConvbenchError) as refusal:
        ConvSpec(**(dict.fromkeys("nchwkrs", 4) | sizes))
    assert str(refusal.value).startswith(words)
    assert "\n" not in str(refusal.value)


def test_bytes_count_each_tensor_once() -> None:
    spec = ConvSpec.parse("n2c3h5w5k4r3s3")
    assert spec.nbytes("bf16") == 2 * (2 * 3 * 25 + 4 * 3 * 9 + 2 * 4 * 9)
    assert spec.intensity("fp32") == pytest.approx(spec.flops / (4 * (150 + 108 + 72)))


@given(st.text(max_size=30))
def test_any_text_is_either_a_problem_or_refused(text: str) -> None:
    with suppress(ConvbenchError):
        ConvSpec.parse(text)
