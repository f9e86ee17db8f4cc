"""What do timed calls compute on? Sets of operands in turn, with some new numbers at every call.

A call that reuses an earlier answer is caught: by address, by torch's `_version` and by a look at a
few numbers a set looks unchanged, but its answer is different. Usually a handful of numbers is written, at a random
place, which costs almost nothing; sometimes all of them. What was written is kept in a copy that no backend
is given, so a set that was changed by a call does not become its truth.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Any

import torch
from torch import Tensor

from convbench.call.memory import same_bits
from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.verify.operands import draw_normal, make_operands
from convbench.verify.recipes import drawn_from_normal

Place = tuple[int, ...]
Run = tuple[int, int, int, slice]

FEWEST, MOST = 2, 4  # sets
# Of small operands there are more: short calls then follow each other longer before the clock stops for new numbers.
MOST_SMALL, SMALL_NBYTES = 64, 2**17
SHARE = 0.5  # of the last cache, for all that timed calls touch
# Where calls are to find nothing in the cache, sets with their outputs are more than it holds: one for each call of
# a graph.
BEYOND, FEWEST_COLD, MOST_COLD, SHARE_COLD = 3, 20, 64, 0.25
LONGEST_RUN = 8  # numbers that are written at a time
WHOLE = 1 / 32  # how often a set is written as a whole
SPARE = 2**16  # numbers in reserve: the number of ways in which they can fill a whole set
DRAWINGS = 3  # of operands that a recipe makes, whose numbers have their places

_WHOLE_NUMBERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def sets_within(case: Case, first_nbytes: int, room_nbytes: int) -> int:
    """How many first operands leave room for the others and the output; at least two."""
    most = max(MOST, min(MOST_SMALL, SMALL_NBYTES // max(1, first_nbytes)))
    return max(FEWEST, min(most, (room_nbytes - case.nbytes + first_nbytes) // max(1, first_nbytes)))


def sets_beyond(case: Case, first_nbytes: int, free_nbytes: int | None, entrants: int = 1) -> int:
    """How many first operands with their outputs are more than the last cache holds; at least two.

    Args:
        free_nbytes: of which they may take a quarter.
        entrants: who keep an output for each.
    """
    out_nbytes = prod(case.out_shape) * DTYPE[case.dtype].nbytes
    count = -(-BEYOND * case.target.cache_nbytes() // max(1, first_nbytes + out_nbytes))
    each = 2 * first_nbytes + entrants * out_nbytes  # with what its truth is computed from
    most = MOST_COLD if free_nbytes is None else int(SHARE_COLD * free_nbytes) // max(1, each)
    return max(FEWEST, min(max(FEWEST_COLD, count), MOST_COLD, most))


@dataclass(slots=True, kw_only=True)
class Set:
    """One first operand.

    Attributes:
        first: what a call gets; kept: the same numbers, for the truth alone.
        written: where the last written numbers are, by the axes of memory; None for all of them.
        live, spare: views of the two to write through.
    """

    first: Tensor
    kept: Tensor
    written: Run | None = None
    live: Any = field(init=False)
    spare: Any = field(init=False)

    def __post_init__(self) -> None:
        order = memory_order(self.first)
        self.live, self.spare = (_writable(one.permute(order)) for one in (self.first, self.kept))


class Ring:
    """The sets of one case. The operands besides the first are the same in all of them, as a prepared weight is.

    Attributes:
        drawn: whether the numbers are from N(0, 1), on which the tight bound counts.
    """

    def __init__(
        self, case: Case, operands: Mapping[str, Tensor], *, room_nbytes: int | None = None, entrants: int = 1
    ) -> None:
        """The first set is the operands themselves; the others are of the same shape, strides and alignment.

        Args:
            entrants: who will call on them.
            room_nbytes: for all that calls touch, where they are to find it in the cache; half of the last one by
                default.
        """
        name, first = next(iter(operands.items()))
        self._rng = Random()  # noqa: S311  # not a secret; it only must not be the case's seed
        self._name, self._operands = name, operands
        self._kept = {other: _twin(tensor) for other, tensor in operands.items() if other != name}
        target, nbytes = case.target, first.untyped_storage().nbytes()
        if target.cache == "hot" or room_nbytes is not None:
            room = int(SHARE * target.cache_nbytes()) if room_nbytes is None else room_nbytes
            count = sets_within(case, nbytes, room)
        else:
            count = sets_beyond(case, nbytes, target.free_nbytes(), entrants)
        self.sets = [Set(first=one, kept=_twin(first)) for one in (first, *(_twin(first) for _ in range(count - 1)))]
        self._order = memory_order(first)
        self._sizes, self._empty = tuple(self.sets[0].live.shape), first.numel() == 0
        self.drawn = drawn_from_normal(case)
        self._numbers = self._draw(case)
        self._next = 0
        for one in self.sets[1:]:
            self._write_whole(one)

    def __len__(self) -> int:
        return len(self.sets)

    def take(self, count: int) -> list[int]:
        """The numbers of the next `count` sets, in turn, each with something new in it."""
        taken = [(self._next + number) % len(self.sets) for number in range(count)]
        self._next = (self._next + count) % len(self.sets)
        self.renew(taken[: len(self.sets)])
        return taken

    def renew(self, numbers: Iterable[int]) -> None:
        """Something new in each of these sets."""
        for number in numbers:
            self._renew(self.sets[number])

    def truth_of(self, number: int) -> dict[str, Tensor]:
        """The operands of a set as they were written, whatever a call has done to them."""
        return {self._name: self.sets[number].kept, **self._kept}

    def mend(self, number: int) -> list[str]:
        """The names of the operands of a set that a call has changed; they are restored."""
        pairs = {self._name: (self.sets[number].first, self.sets[number].kept)}
        pairs |= {name: (self._operands[name], kept) for name, kept in self._kept.items()}
        harmed = [name for name, (live, kept) in pairs.items() if not same_bits(live, kept)]
        for name in harmed:
            live, kept = pairs[name]
            live.untyped_storage().copy_(kept.untyped_storage())
        return harmed

    def _renew(self, one: Set) -> None:
        """Write some numbers; this runs before every timed call, so microseconds matter."""
        draw, (size_a, size_b, size_c, width) = self._rng.random, self._sizes
        if self._empty:
            return
        if draw() < WHOLE:
            self._write_whole(one)
            return
        start = int(draw() * width)
        stop = min(width, start + 1 + int(draw() * LONGEST_RUN))
        place = (int(draw() * size_a), int(draw() * size_b), int(draw() * size_c), slice(start, stop))
        if self.drawn:
            at = int(draw() * SPARE)
            fresh = self._numbers[at : at + stop - start]
        else:
            fresh = self._numbers[(int(draw() * DRAWINGS), *place)]
        one.live[place] = fresh
        one.spare[place] = fresh
        one.written = place

    def _write_whole(self, one: Set) -> None:
        if self.drawn:
            at = int(self._rng.random() * SPARE)
            fresh = self._numbers[at : at + prod(self._sizes)].reshape(self._sizes)
        else:
            fresh = self._numbers[int(self._rng.random() * DRAWINGS)]
        one.live[...] = one.spare[...] = fresh
        one.written = None

    def written(self, number: int, count: int) -> list[Place]:
        """`count` elements of a set's first operand, by its own axes, drawn from those that were written last.

        None if all of them were, for then any will do.
        """
        written = self.sets[number].written
        if written is None:
            return []
        *outer, run = written
        places = [(*outer, self._rng.randrange(run.start, run.stop)) for _ in range(count)]
        back = [self._order.index(axis) for axis in range(len(self._order))]
        return [tuple(place[axis] for axis in back) for place in places]

    def _draw(self, case: Case) -> Any:
        """Numbers to write: from N(0, 1) in a row, or whole first operands as the case's recipe makes them."""
        first = self.sets[0].first
        if self.drawn:
            (drawn,) = draw_normal(case, [(first.numel() + SPARE,)], salt=2)  # of no exam
            return _writable(drawn)
        drawings = [make_operands(case, salt=2 + number)[0].permute(self._order) for number in range(DRAWINGS)]
        return _writable(torch.stack(drawings))


def memory_order(tensor: Tensor) -> list[int]:
    """Its axes, with the one of the smallest stride last."""
    return sorted(range(tensor.dim()), key=lambda axis: -tensor.stride()[axis])


def _twin(tensor: Tensor) -> Tensor:
    """The same numbers in new memory, with the same strides, gaps and alignment."""
    storage = tensor.untyped_storage().clone()
    twin = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return twin.set_(storage, tensor.storage_offset(), tensor.shape, tensor.stride())


def _writable(tensor: Tensor) -> Any:
    """A view through which numbers are written without torch counting a new version of the tensor."""
    whole = tensor.view(_WHOLE_NUMBERS[tensor.element_size()])
    return whole.numpy() if whole.is_cpu else whole.data
