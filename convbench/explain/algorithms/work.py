"""How do the algorithms count their work and mark their numbers?"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

Fractions = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Multiplications and additions of real numbers."""

    multiplications: int = 0
    additions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What an algorithm costs.

    Attributes:
        core: the work that combines x with w.
        transform: of x before and of y behind it, once an image.
        weights: of w, once for all images that ever come.
        stored: numbers of the intermediates, each written once and read once.
        held: how many of them at the same time, in memory besides x, w and y.
    """

    core: Work
    transform: Work = Work()
    weights: Work = Work()
    stored: int = 0
    held: int = 0


@dataclass(slots=True)
class WorkTally:
    """Counts the work while it computes."""

    multiplications: int = 0
    additions: int = 0

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """a @ b: for each of its numbers as many products as a has columns, and one sum less."""
        result = a @ b
        self.multiplications += result.numel() * a.shape[-1]
        self.additions += result.numel() * (a.shape[-1] - 1)
        return result

    @property
    def work(self) -> Work:
        return Work(multiplications=self.multiplications, additions=self.additions)


def mark(shape: Sequence[int], *place: int | slice | Tensor) -> Tensor:
    """Bool, True at a place alone; nowhere where no place is given."""
    marked = torch.zeros(tuple(shape), dtype=torch.bool)
    if place:
        marked[place] = True
    return marked


def too_many(numbers: int, what: str, limit: int) -> str | None:
    """Why something is not built here."""
    return None if numbers <= limit else f"{what} would have {numbers:,} numbers; the limit is {limit:,}"
