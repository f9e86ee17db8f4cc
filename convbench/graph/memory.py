"""Where does each activation lie, and when is its place free again?

Places are planned once, for the whole program. One with a halo serves only values of the same geometry later on:
kernels write no halo, so its zeros stay. One without serves whatever fits into it.
"""

import ctypes
import mmap
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from convbench.kernels.blocked.geometry import NO_HALO, Geometry

ALIGNED = 64  # floats: a cache line, four times
SPARE = 64  # floats behind each place, which a kernel may read for a vector's sake
_HUGE = 2 << 20  # a huge page: fewer misses in the table of addresses


class Arena:
    """Zeros on huge pages, in which things lie in the order in which they are used.

    Attributes:
        address: of its first float.
        used: floats that mean something, for who wants to note it.
    """

    used = 0

    def __init__(self, floats: int) -> None:
        size = -(-max(4 * floats, 1) // _HUGE) * _HUGE
        self.memory = mmap.mmap(-1, size + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANON)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self.memory.madvise(mmap.MADV_HUGEPAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.address = -(-start // _HUGE) * _HUGE
        self.nbytes = size
        self._all = torch.frombuffer(self.memory, dtype=torch.float32, offset=self.address - start, count=size // 4)

    def tensor(self, first: int, floats: int) -> Tensor:
        """A part of it."""
        return self._all[first : first + floats]


@dataclass
class ArenaPlan:
    """The plan of an arena, in floats.

    Attributes:
        size: of it all.
    """

    size: int = 0
    _free: dict[object, list[tuple[int, int]]] = field(default_factory=dict)

    def take(self, geometry: Geometry) -> int:
        """A place for it."""
        free = self._free.get(_kind(geometry), [])
        fitting = [one for one in free if geometry.size <= one[1] <= 2 * geometry.size or geometry.halo != NO_HALO]
        if fitting:
            best = min(fitting, key=lambda one: one[1])
            free.remove(best)
            self._sizes[best[0]] = best[1]
            return best[0]
        return self.add(geometry.size)

    def add(self, floats: int) -> int:
        """A new place."""
        first = self.size
        self.size += -(-(floats + SPARE) // ALIGNED) * ALIGNED
        self._sizes[first] = floats
        return first

    def give(self, first: int, geometry: Geometry) -> None:
        """It is needed no longer."""
        self._free.setdefault(_kind(geometry), []).append((first, self._sizes[first]))

    _sizes: dict[int, int] = field(default_factory=dict)


def _kind(geometry: Geometry) -> object:
    """Places of one kind serve each other."""
    if geometry.halo == NO_HALO:
        return None
    return replace(geometry, c=geometry.blocks)
