"""Where does a number of an activation lie in memory?

    Blocked: [n][ceil(c / lanes)][top + h + bottom][left + w + right][lanes]
    Planes:  [n][c][top + h + bottom][left + w + right]

A block has as many channels as a vector has lanes; those beyond c are zeros. The halo is zeros, too, and kernels write
the interior alone, so that it stays zero: a convolution reads its padding there.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

Sides = tuple[int, int, int, int]  # top, bottom, left, right
NO_HALO: Sides = (0, 0, 0, 0)


class _Layout:
    """What follows from the sizes. Steps and sizes are in floats; planes are blocks of one lane."""

    __slots__ = ()
    n: int
    c: int
    h: int
    w: int
    lanes: int
    halo: Sides

    @property
    def blocks(self) -> int:
        return -(-self.c // self.lanes)

    @property
    def height(self) -> int:
        """Rows, with those of the halo."""
        return self.halo[0] + self.h + self.halo[1]

    @property
    def width(self) -> int:
        """Columns, with those of the halo."""
        return self.halo[2] + self.w + self.halo[3]

    @property
    def row(self) -> int:
        """From a row to the next."""
        return self.width * self.lanes

    @property
    def plane(self) -> int:
        """From a block to the next."""
        return self.height * self.row

    @property
    def image(self) -> int:
        """From an image to the next."""
        return self.blocks * self.plane

    @property
    def size(self) -> int:
        return self.n * self.image

    @property
    def flat(self) -> bool:
        """Whether there is no halo, so that the pixels of a block are neighbours."""
        return self.halo == NO_HALO

    def at(self, row: int, column: int) -> int:
        """Where a pixel lies in its block; those of the halo have negative or too large numbers."""
        return ((row + self.halo[0]) * self.width + column + self.halo[2]) * self.lanes

    def view(self, memory: Tensor) -> Tensor:
        """The memory, `size` floats, as [n][block][row][column][lane], halo and all."""
        return memory.view(self.n, self.blocks, self.height, self.width, self.lanes)

    def inside(self, memory: Tensor) -> Tensor:
        """The same without the halo."""
        top, _, left, _ = self.halo
        return self.view(memory)[:, :, top : top + self.h, left : left + self.w]

    def read(self, memory: Tensor) -> Tensor:
        """The activation as NCHW, by torch; it may share the memory."""
        inside = self.inside(memory).permute(0, 1, 4, 2, 3)
        return inside.reshape(self.n, self.blocks * self.lanes, self.h, self.w)[:, : self.c]

    def write(self, memory: Tensor, x: Tensor) -> None:
        """The activation from NCHW, by torch; halo and spare channels become zeros."""
        full = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, self.blocks * self.lanes - self.c))
        memory.zero_()
        full = full.reshape(self.n, self.blocks, self.lanes, self.h, self.w)
        self.inside(memory).copy_(full.permute(0, 1, 3, 4, 2))


@dataclass(frozen=True, slots=True)
class Blocked(_Layout):
    """An activation in blocks of channels.

    Attributes:
        halo: rows and columns of zeros: top, bottom, left, right.
    """

    n: int
    c: int
    h: int
    w: int
    lanes: int
    halo: Sides = NO_HALO

    def with_halo(self, halo: Sides) -> "Blocked":
        return replace(self, halo=halo)


@dataclass(frozen=True, slots=True)
class Planes(_Layout):
    """An activation of few channels, each a plane: the network's input."""

    n: int
    c: int
    h: int
    w: int
    halo: Sides = NO_HALO
    lanes: int = field(default=1, init=False, repr=False)

    def with_halo(self, halo: Sides) -> "Planes":
        return replace(self, halo=halo)


Geometry = Blocked | Planes


def halo_of(
    x: tuple[int, int],
    y: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Sides:
    """The halo of x that a window reads: padding at top and left, and at the others as much as the last output needs.

    Args:
        x: height and width.
        y: height and width.
        padding: top and left.
    """
    ends = [
        max(0, (out - 1) * step + (taps - 1) * apart + 1 - before - size)
        for size, out, taps, step, before, apart in zip(x, y, kernel, stride, padding, dilation, strict=True)
    ]
    return padding[0], ends[0], padding[1], ends[1]


def widest(first: Sides, second: Sides) -> Sides:
    """The halo that serves both readers."""
    top, bottom, left, right = (max(a, b) for a, b in zip(first, second, strict=True))
    return top, bottom, left, right
