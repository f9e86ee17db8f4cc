"""Where do kernels keep what they compute on the way?

Each calling thread has one stretch of memory that its calls share, because new memory costs more than some kernels: the
system hands it out page by page, each filled with zeros, on first touch.
"""

import ctypes
import mmap
import threading

KEPT = 64 << 20  # bytes; more is given back after the call
_HUGE = 2 << 20  # a huge page: fewer misses in the table of addresses


class Scratch(threading.local):
    """The memory of one thread."""

    def __init__(self) -> None:
        self.memory: mmap.mmap | None = None
        self.address = 0

    def take(self, nbytes: int) -> int:
        """The address of so many bytes, at the beginning of a page; what is in them is left from an earlier call."""
        if self.memory is None or len(self.memory) < nbytes:
            self.memory = None
            size = -(-nbytes // _HUGE) * _HUGE
            self.memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANON)  # a fork has a copy of its own
            if hasattr(mmap, "MADV_HUGEPAGE"):
                self.memory.madvise(mmap.MADV_HUGEPAGE)
            self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        return self.address

    def done(self) -> None:
        """After a call: the memory is kept unless it is large."""
        if self.memory is not None and len(self.memory) > KEPT:
            self.memory = None


_OF_CALLERS = Scratch()  # made now: of two threads that made it at their first call, one would lose its memory


def scratch() -> Scratch:
    """The scratch of whoever calls."""
    return _OF_CALLERS
