"""Memory between two pages that nothing may touch: a load or store one byte too far ends the process."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


@contextmanager
def guarded(count: int, *, at_end: bool) -> Iterator[Tensor]:
    """So many floats right before a forbidden page, or right behind one; NaN at first."""
    page = mmap.PAGESIZE
    inside = max(1, -(-4 * count // page)) * page
    start = _LIBC.mmap(
        None, inside + 2 * page, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANON, -1, 0
    )
    for place in (start, start + page + inside):
        assert _LIBC.mprotect(place, page, 0) == 0
    first = start + page + (inside - 4 * count if at_end else 0)
    try:
        tensor = torch.frombuffer((ctypes.c_float * count).from_address(first), dtype=torch.float32)
        yield tensor.fill_(torch.nan)
    finally:
        _LIBC.munmap(start, inside + 2 * page)


@contextmanager
def all_guarded(*tensors: Tensor, at_end: bool) -> Iterator[list[Tensor]]:
    """Copies of tensors, each between pages of its own."""
    with ExitStack() as stack:
        copies = [stack.enter_context(guarded(one.numel(), at_end=at_end)) for one in tensors]
        yield [copy.copy_(one.flatten()).view(one.shape) for copy, one in zip(copies, tensors, strict=True)]
