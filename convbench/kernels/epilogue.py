"""What happens to a finished sum on its way to memory: the bias, the relu, and which lanes exist."""

from collections.abc import Sequence
from functools import cache
from math import inf

from convbench.jit.emit import FloatVector, Function, Index, Int, Pointer, float_word


@cache
def floor_word(relu: bool) -> int:
    """The word for a kernel's `floor`: no output is below it."""
    return float_word(0.0 if relu else -inf)


def finish(vector: FloatVector, bias: FloatVector, floor: FloatVector) -> FloatVector:
    """Without a bias it is zero, and without a relu the floor is -infinity: one kernel does all of them."""
    return (vector + bias).at_least(floor)


def store_row(f: Function, vectors: Sequence[FloatVector], to: Pointer, count: Int, *, last_only: bool = True) -> None:
    """The first `count` floats of the vectors, which are neighbours: whole vectors where they fit.

    Args:
        last_only: whether the count is known to end within the last vector or behind it.
    """
    for place, vector in enumerate(vectors):
        if last_only and place < len(vectors) - 1:
            f.store(vector, to, place * f.lanes)
        else:
            _store_first(f, vector, to + place * f.lanes, count - place * f.lanes)


def _store_first(f: Function, vector: FloatVector, to: Pointer, count: Int) -> None:
    """A masked store is slow on some CPUs, so only where it is needed."""

    def some() -> None:
        f.when(count.above(0), lambda: f.store_some(vector, to, f.lanes_of(0, count)))

    f.when(count.below(f.lanes), some, lambda: f.store(vector, to))


def row_of(image: Index, filters: Index, filter_: Index, height: Index, row: Index, width: Index) -> Index:
    """Where a row of y begins: ((image * filters + filter) * height + row) * width."""
    return ((image * filters + filter_) * height + row) * width
