"""Outputs that lie, that are not there yet, and that change."""

from typing import Any

import pytest
import torch

from convbench.call.outputs import changed, plain, taken


class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{function} was asked")


class Lazy(torch.Tensor):
    @staticmethod
    def __new__(cls) -> "Lazy":
        return torch.Tensor._make_wrapper_subclass(cls, (2, 3))

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise AssertionError(f"{function} was asked")


class Pretender:
    __class__ = torch.Tensor  # type: ignore[assignment]  # isinstance believes it


def test_what_is_taken_is_a_plain_copy_and_the_subclass_is_never_asked() -> None:
    out = torch.arange(6.0).reshape(2, 3).t()
    own = taken(out.as_subclass(Liar))
    assert type(own) is torch.Tensor
    assert torch.equal(own, out)
    assert own.stride() == out.stride()
    assert own.data_ptr() != out.data_ptr()
    assert type(taken(torch.nn.Parameter(out))) is torch.Tensor
    assert not taken(torch.nn.Parameter(out)).requires_grad


def test_a_tensor_without_memory_of_its_own_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match="returned a Lazy, a tensor without its own memory"):
        taken(Lazy())


def test_what_is_no_tensor_is_left_for_the_check_to_name() -> None:
    assert isinstance(Pretender(), torch.Tensor)
    for out in (None, 3, [torch.ones(1)], Pretender()):
        assert plain(out) is None
        assert taken(out) is out
        assert not changed(out, out)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_single_bit_that_changes_is_seen_and_nan_is_equal_to_itself(dtype: torch.dtype) -> None:
    out = torch.zeros(2, 3, dtype=dtype)
    out[0, 0] = float("nan")
    own = taken(out)
    assert not changed(out, own)
    out[1, 2] = -0.0
    assert changed(out, own)


def test_an_output_that_is_resized_has_changed() -> None:
    out = torch.zeros(2, 3)
    own = taken(out)
    out.resize_(1)
    assert changed(out, own)
