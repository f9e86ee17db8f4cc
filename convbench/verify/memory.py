"""Does a backend write every output, and leave its inputs alone?"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import nan, prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_EMPTY = frozenset({"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"})


class _Filled(TorchDispatchMode):
    """Every uninitialised tensor that Python code asks for starts with one value."""

    def __init__(self, value: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
        self._value = value

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Hiding the method from torch.compile would import the whole compiler: seconds, for code that runs eagerly."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in _EMPTY and out.is_floating_point():
            out.fill_(self._value)
        return out


@contextmanager
def poisoned(shape: tuple[int, ...], like: Tensor, value: float = nan) -> Iterator[None]:
    """Memory that nobody wrote holds NaN, or another value, where the interface lets us say so.

    Destinations allocated in Python are filled as they are made. A library allocates its own
    below that level: for it, some blocks of the output's size are filled and freed.
    torch's allocator on a GPU hands one of them out next; a CPU's may take another.
    """
    blocks = [torch.full((max(prod(shape), 1),), value, dtype=like.dtype, device=like.device) for _ in range(4)]
    del blocks
    with _Filled(value):
        yield


class Guard:
    """Copies of some tensors, to see whether a call changed them, and to undo it if so."""

    def __init__(self, **tensors: Tensor) -> None:
        self._tensors = tensors
        self._before = {name: tensor.clone() for name, tensor in tensors.items()}

    def restore(self) -> list[str]:
        """Names of the tensors whose bits had changed; they are as before again."""
        harmed = [name for name, tensor in self._tensors.items() if not _same_bits(tensor, self._before[name])]
        for name in harmed:
            self._tensors[name].copy_(self._before[name])
        return harmed


def _same_bits(one: Tensor, other: Tensor) -> bool:
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[one.element_size()]
    return torch.equal(one.contiguous().view(whole), other.contiguous().view(whole))
