"""Does a backend write every output, and leave its inputs alone?"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isinf, nan, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# numpy functions that return unwritten memory; a backend that calls them by name gets ours while memory is poisoned.
_NUMPY_EMPTY = ("empty", "empty_like")
_EMPTY = frozenset({"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"})


GUARD = 4096  # elements on either side: whole cache lines of every dtype, so a zone changes no alignment
LINE = 64  # bytes, to which torch aligns what it allocates


class Zone:
    """A tensor that is between NaN: what reads beyond it computes NaN, what writes beyond it leaves a trace."""

    def __init__(self, like: Tensor) -> None:
        """Room with the shape, strides and alignment of `like`, filled with NaN throughout."""
        steps = zip(like.shape, like.stride(), strict=True)
        reach = sum((size - 1) * stride for size, stride in steps) + 1 if like.numel() else 0
        start = GUARD + like.storage_offset() % (LINE // like.element_size())
        self._room = like.new_full((start + reach + GUARD,), nan)
        self._edges = (self._room[:start], self._room[start + reach :])
        self.tensor = self._room.as_strided(like.shape, like.stride(), start)

    @property
    def whole(self) -> bool:
        """Whether nothing was written beyond the tensor."""
        return self.overwritten == (0, 0)

    @property
    def overwritten(self) -> tuple[int, int]:
        """How many numbers were written before and after the tensor."""
        before, behind = (int((~edge.isnan()).sum()) for edge in self._edges)
        return before, behind


def zoned(tensor: Tensor) -> Zone:
    """The same numbers in the same layout, between NaN."""
    zone = Zone(tensor)
    zone.tensor.copy_(tensor)
    return zone


class _Filled(TorchDispatchMode):
    """Every uninitialised tensor that Python code asks for starts with one value, and is between NaN."""

    def __init__(self, value: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
        self._value = value
        self.zones: list[Zone] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Hiding the class from torch.compile would import the whole compiler: seconds, for code that runs eagerly."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in _EMPTY and out.is_floating_point():
            if out.numel() and not out.is_meta and not (kwargs or {}).get("pin_memory"):
                self.zones.append(Zone(out))
                out = self.zones[-1].tensor
            out.fill_(_held(self._value, out.dtype))
        elif name == "resize_":  # it may grow into its own zone, and may do so
            self.zones[:] = [zone for zone in self.zones if zone.tensor.data_ptr() != out.data_ptr()]
        return out


@contextmanager
def poisoned(shape: tuple[int, ...], like: Tensor, value: float = nan) -> Iterator[list[Zone]]:
    """Unwritten memory holds NaN, or another value, where possible.

    Destinations allocated in Python are filled as they are made, and are between NaN: the list
    that is yielded holds them. A library allocates its own below that level: for it, some blocks
    of the output's size are filled and freed. torch's allocator on a GPU hands one of them out
    next; a CPU's may take another.
    """
    held = _held(value, like.dtype)
    blocks = [torch.full((max(prod(shape), 1),), held, dtype=like.dtype, device=like.device) for _ in range(4)]
    del blocks
    kind: type[_Filled] = _Filled
    if "torch._dynamo" in sys.modules:  # else torch.compile'd code would trace into the mode, and compile it too
        apart = torch.compiler.disable(_Filled.__torch_dispatch__)
        kind = type("_FilledApart", (_Filled,), {"__torch_dispatch__": apart})
    with kind(value) as mode, _numpy_filled(value):
        yield mode.zones


@contextmanager
def _numpy_filled(value: float) -> Iterator[None]:
    """Every uninitialised array of floating point numbers that is asked of numpy by name starts with one value."""
    before = {name: getattr(np, name) for name in _NUMPY_EMPTY}

    def filled(make: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            array = make(*args, **kwargs)
            if array.dtype.kind == "f":
                array.fill(value)
            return array

        return call

    for name, make in before.items():
        setattr(np, name, filled(make))
    try:
        yield
    finally:
        for name, make in before.items():
            setattr(np, name, make)


def _held(value: float, dtype: torch.dtype) -> float:
    """The value, or for infinity in a dtype that has none the largest number."""
    return float(torch.tensor(value).to(dtype)) if isinf(value) else value


class Guard:
    """Copies of some tensors, to see whether a call changed them, and to undo it if so."""

    def __init__(self, **tensors: Tensor) -> None:
        self._tensors = tensors
        self._before = {name: tensor.clone() for name, tensor in tensors.items()}

    def restore(self) -> list[str]:
        """Names of the tensors whose bits had changed; they are as before again."""
        harmed = [name for name, tensor in self._tensors.items() if not same_bits(tensor, self._before[name])]
        for name in harmed:
            self._tensors[name].copy_(self._before[name])
        return harmed


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one shape and dtype hold the same numbers, NaN and the sign of zero included."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[one.element_size()]
    return torch.equal(one.contiguous().view(whole), other.contiguous().view(whole))
