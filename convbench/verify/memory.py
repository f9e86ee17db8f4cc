"""Does a backend write every output, and leave its inputs alone?"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_EMPTY = frozenset({"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"})


class _NaNFilled(TorchDispatchMode):
    """Every uninitialised tensor that Python code asks for starts as NaN."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in _EMPTY and out.is_floating_point():
            out.fill_(float("nan"))
        return out


@contextmanager
def poisoned(shape: tuple[int, ...], like: Tensor) -> Iterator[None]:
    """Memory that nobody wrote holds NaN, where the interface lets us say so.

    Destinations allocated in Python are filled as they are made. A library allocates its own
    below that level: for it, a block of the output's size is filled with NaN and freed, which
    torch's allocator on a GPU, and the C library for small blocks, hands out again next.
    """
    torch.full((max(prod(shape), 1),), float("nan"), dtype=like.dtype, device=like.device)
    with _NaNFilled():  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
        yield


class Guard:
    """A fingerprint of some tensors' values, to be compared after a call."""

    def __init__(self, **tensors: Tensor) -> None:
        self._tensors = tensors
        self._before = {name: _fingerprint(tensor) for name, tensor in tensors.items()}

    def harmed(self) -> list[str]:
        """Names of the tensors whose bits have changed."""
        return [name for name, tensor in self._tensors.items() if _fingerprint(tensor) != self._before[name]]


def _fingerprint(tensor: Tensor) -> int:
    """A hash over the bits, weighted by position so that a swap shows too."""
    words = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    bits = tensor.contiguous().view(words).flatten().long()
    # An odd multiplier is a bijection modulo 2^64, where int64 arithmetic wraps around.
    place = torch.arange(bits.numel(), device=bits.device) * 0x9E3779B97F4A7C1 + 1
    return int((bits * (place | 1)).sum())
