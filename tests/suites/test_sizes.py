"""A problem by the sizes of its tensors is the problem that torch makes of them."""

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from convbench import ConvbenchError
from convbench.suites import find_problem
from convbench.suites.sizes import spec_of_sizes


@pytest.mark.parametrize(
    ("x", "w", "options", "text"),
    [
        ("1x1x4x4", "1x1x2x2", {}, "n1c1h4w4k1r2s2"),
        ("2x6x9x8", "4x3x3x2", {"stride": "2x1", "padding": "1x0"}, "n2c6h9w8k4r3s2_st2x1_pd1x0_g2"),
        ("1x8x7x7", "8X1X3X3", {"padding": "0x1x2x0"}, "n1c8h7w7k8r3s3_pd0x1x2x0_g8"),
        ("1x2x7x7", "3x2x4x3", {"padding": "same", "dilation": "2"}, "n1c2h7w7k3r4s3_pd3x3x2x2_dl2"),
        ("1x2x7x7", "3x2x4x3", {"padding": "SAME"}, "n1c2h7w7k3r4s3_pd1x2x1x1"),
        ("1x2x7x7", "3x2x3x3", {"padding": "valid", "stride": "2"}, "n1c2h7w7k3r3s3_st2"),
    ],
)
def test_sizes_are_the_problem_that_torch_makes_of_them(x: str, w: str, options: dict[str, str], text: str) -> None:
    spec = spec_of_sizes(x, w, **options)
    assert str(spec) == str(find_problem(text).spec)
    if len(options.get("padding", "").split("x")) < 4:
        words: dict[str, Any] = {name: _word(value) for name, value in options.items()}
        image, kernel = (torch.empty(tuple(map(int, text.lower().split("x"))), device="meta") for text in (x, w))
        with warnings.catch_warnings(action="ignore"):  # torch says that an even kernel with "same" costs a copy
            y = F.conv2d(image, kernel, groups=spec.groups, **words)
        assert tuple(y.shape) == spec.y_shape


def _word(text: str) -> str | tuple[int, ...]:
    return text.lower() if text.lower() in ("same", "valid") else tuple(map(int, text.split("x")))


@pytest.mark.parametrize(
    ("x", "w", "options", "words"),
    [
        ("1x1x4", "1x1x2x2", {}, "--input '1x1x4': it takes 4 integers"),
        ("1x1x4x4", "1,1,2,2", {}, "--weight '1,1,2,2': it takes 4 integers"),
        ("1x4x4x4", "1x3x2x2", {}, "has 4 channels and --weight 1x3x2x2 reads 3"),
        ("1x4x4x4", "1x0x2x2", {}, "reads 0 of them"),
        ("1x1x4x4", "1x1x2x2", {"padding": "1x2x3"}, "--padding '1x2x3': it takes 1 or 2 or 4"),
        ("1x1x4x4", "1x1x2x2", {"padding": "same", "stride": "2"}, "same needs stride 1"),
        ("1x1x4x4", "1x1x2x2", {"stride": "-1"}, "--stride '-1': it takes 1 or 2"),
        ("1x1x2x2", "1x1x4x4", {}, "no output in n1c1h2w2k1r4s4"),
    ],
)
def test_what_are_no_sizes_is_told_with_what_would_be(x: str, w: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(ConvbenchError) as raised:
        spec_of_sizes(x, w, **options)
    assert words in str(raised.value)
