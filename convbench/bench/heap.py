"""Does a call pay for the pages of its output, or does it reuse those of the call before?

glibc decides that by what else is on its heap: the same call had no page fault in one
process and 250 in the next, which cost 15 %. If two backends are that close, the
allocator and not the kernel would decide the winner, and another one an hour later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convbench.system import libc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
NEVER = -1
GLIBC_TRIM_NBYTES, GLIBC_MMAP_NBYTES, GLIBC_MMAP_MAX = 128 * 1024, 128 * 1024, 65536  # what mallopt(3) gives as its own


@contextmanager
def heap_kept() -> Iterator[None]:
    """Freed memory of any size stays with the process meanwhile; unused memory is returned at the end.

    Only for glibc's allocator, which torch's tensors on the CPU use; without it nothing changes.
    glibc's sliding mmap threshold, which mallopt ends for good, stays off afterwards. After an allocation
    that failed, glibc serves the thread from a heap of another kind, of which nothing is kept.
    """
    glibc = _glibc()
    if glibc is None:
        yield
        return
    _keep(glibc)
    try:
        yield
    finally:
        _release(glibc)


@contextmanager
def heap_released() -> Iterator[bool]:
    """Within `heap_kept`: every block of 128 KiB or more is mapped anew, and goes back when it is freed.

    That is the most a program pays that discards its output before the next call. Yields whether it is
    so; without glibc nothing changes.
    """
    glibc = _glibc()
    if glibc is None:
        yield False
        return
    _release(glibc)
    try:
        yield True
    finally:
        _keep(glibc)


def _glibc() -> Any:
    glibc = libc()
    return glibc if hasattr(glibc, "mallopt") and hasattr(glibc, "malloc_trim") else None


def _keep(glibc: Any) -> None:
    glibc.mallopt(M_MMAP_MAX, 0)
    glibc.mallopt(M_TRIM_THRESHOLD, NEVER)


def _release(glibc: Any) -> None:
    glibc.mallopt(M_MMAP_THRESHOLD, GLIBC_MMAP_NBYTES)
    glibc.mallopt(M_MMAP_MAX, GLIBC_MMAP_MAX)
    glibc.mallopt(M_TRIM_THRESHOLD, GLIBC_TRIM_NBYTES)
    glibc.malloc_trim(0)
