"""Memory that is not written, and memory that is none of a call: what is told of both."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from convbench import ConvSpec
from tests.conftest import make_case
from tests.verify.diagnose.planting import LONG, Planted, S, beginnings, correct, told


def tail_not_written(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = torch.empty(spec.y_shape, dtype=x.dtype)
    y.view(-1)[:-3] = correct(x, w, spec).view(-1)[:-3]
    return y


def added_to_what_was_there(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = torch.empty(spec.y_shape, dtype=x.dtype)
    y += correct(x, w, spec)
    return y


def filled_by_numpy(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = np.empty(spec.y_shape, dtype=np.float32)
    y[:, :-1] = correct(x, w, spec).numpy()[:, :-1]
    return torch.from_numpy(y)


PLANTED: list[Planted] = [
    (S, {}, tail_not_written, "the last 3 outputs (from y[1,5,8,5] on) were never written"),
    (S, {}, added_to_what_was_there, "all outputs depend on what memory held that nobody has written"),
    (LONG, {}, tail_not_written, "the last 3 outputs (from y[0,15,7,5] on) were never written"),
    (LONG, {}, filled_by_numpy, "the outputs in the last output channel (k=15) were never written"),
]


@pytest.mark.parametrize(("shape", "axes", "bug", "words"), PLANTED, ids=beginnings(PLANTED))
def test_a_planted_bug_is_named(shape: str, axes: dict[str, Any], bug: Callable[..., Tensor], words: str) -> None:
    check = told(bug, make_case(shape, **axes))
    assert words in check.cause
    assert not check.passed


def scales_x(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    x.mul_(0.5)
    return y


def scales_a_copy(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return correct(x.clone().mul_(0.5), w, spec)


def test_an_input_that_a_call_changes_is_named_and_a_copy_of_it_is_none() -> None:
    assert told(scales_x, make_case(S)).cause == "the call changes its input x (576 of 576 numbers)"
    assert told(scales_a_copy, make_case(S)).cause == "every output is 0.5 times what it should be"


def behind(tensor: Tensor) -> Tensor | None:
    """The number that lies behind the last one, if its storage has one."""
    last = tensor.storage_offset() + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    return tensor.as_strided((1,), (1,), last + 1) if last + 1 < held else None


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "strided", "unaligned"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_number_that_is_read_behind_an_operand_and_multiplied_by_zero_is_named(layout: str, place: int) -> None:
    def reads(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y, more = correct(x, w, spec), behind((x, w)[place])
        if more is not None:
            y[-1, -1, -1, -1] += 0 * more[0]
        return y

    words = f"it reads beyond the end of {'xw'[place]}: NaN that lies there reaches y[1,5,8,7]"
    assert told(reads, make_case(S, layout=layout)).cause == words


def test_a_number_that_is_written_behind_the_output_is_named() -> None:
    def writes(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = torch.empty(spec.y_shape)
        y.copy_(correct(x, w, spec))
        if (more := behind(y)) is not None:
            more.zero_()
        return y

    words = "it writes 1 number beyond the end of a buffer of 2x6x9x8 that it asked for"
    assert told(writes, make_case(S)).cause == words


@pytest.mark.parametrize("layout", ["strided", "chunk"])
def test_an_offset_that_is_ignored_is_told_apart_from_gaps_that_are(layout: str) -> None:
    def from_the_start(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x.as_strided(x.shape, x.stride(), 0), w, spec)

    def without_gaps(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        strides = torch.empty(x.shape).stride()
        return correct(x.as_strided(x.shape, strides, x.storage_offset()), w, spec)

    case = make_case(S, layout=layout)
    assert told(from_the_start, case).cause.startswith("x is read from the start of its memory, where it begins ")
    assert told(without_gaps, case).cause.startswith("x is read as if it were contiguous; its strides are ")
