"""Which part of a model's input can one number of a tensor depend on?

Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks" (Distill 2019), carried along
every dimension of every tensor: an affine map from a position to an interval of input coordinates.
"""

# ruff: noqa: SLF001  # each step makes another Reach and goes on with it

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, chain, pairwise
from math import floor, prod
from operator import mul
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Along one axis of the input, the value at position i sees coordinates low + jump*i to high + jump*i.

    Attributes:
        length: pixels of the input along the axis; coordinates outside of 0 to length - 1 are padding.
        jump: 0 where every position sees the same.
        exact: the two ends are seen, for generic weights; otherwise they are bounds.
    """

    length: int
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    jump: Fraction = Fraction(1)
    exact: bool = True

    @classmethod
    def all_of(cls, length: int, *, exact: bool) -> Self:
        """The whole input, from every position."""
        return cls(length=length, high=Fraction(length - 1), jump=Fraction(0), exact=exact)

    @property
    def size(self) -> int:
        """Input coordinates from the first seen to the last, padding counted."""
        return floor(self.high - self.low) + 1

    @property
    def whole(self) -> bool:
        """Every position sees the whole input."""
        return not self.jump and self.low <= 0 and self.high >= self.length - 1

    @property
    def lost(self) -> "Extent":
        """The whole input at most."""
        return self if self.whole else Extent.all_of(self.length, exact=False)

    def step(self, first: Fraction | int, last: Fraction | int, every: Fraction | int, *, exact: bool) -> "Extent":
        """Where position i is made from the positions first + every*i to last + every*i of this one."""
        low, high = self.low + self.jump * first, self.high + self.jump * last
        return replace(self, low=low, high=high, jump=self.jump * every, exact=self.exact and exact)

    def join(self, other: "Extent") -> "Extent":
        """Of both: what an addition of two branches sees."""
        if self.whole or other.whole:
            exact = (self.whole and self.exact) or (other.whole and other.exact)
            return Extent.all_of(self.length, exact=exact)
        if self.jump != other.jump:  # no interval that moves with the position holds both
            return Extent.all_of(self.length, exact=False)
        low, high = min(self.low, other.low), max(self.high, other.high)
        attained = any(one.exact and (one.low, one.high) == (low, high) for one in (self, other))
        return replace(self, low=low, high=high, exact=attained or (self.exact and other.exact))


@dataclass(frozen=True, slots=True)
class DimFactor:
    """What a dimension of a tensor counts: positions along an axis of the input, or (None) anything else."""

    size: int
    axis: int | None = None


Dim = tuple[DimFactor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A tensor as seen from the input.

    Attributes:
        dims: each dimension as the factors it is made of, the slowest first (N*H*W rows of a matrix are three);
            one of size 1 has none.
        extents: for each spatial axis of the input; one that no factor names is the same from every position.
    """

    dims: tuple[Dim, ...]
    extents: tuple[Extent, ...]

    @classmethod
    def of_input(cls, shape: Sequence[int]) -> Self:
        """An image batch (N, C, *sizes): each pixel sees itself."""
        spatial = tuple((DimFactor(size, axis),) if size > 1 else () for axis, size in enumerate(shape[2:]))
        extents = (Extent(length=size) if size > 1 else Extent.all_of(size, exact=True) for size in shape[2:])
        return cls(dims=(*map(_dim, shape[:2]), *spatial), extents=tuple(extents))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(prod(factor.size for factor in dim) for dim in self.dims)

    def lost(self, shape: Sequence[int]) -> "Reach":
        """A tensor made of this one in a way that is not known: the whole input at most."""
        return Reach(dims=tuple(map(_dim, shape)), extents=tuple(one.lost for one in self.extents))

    def forget(self, dim: int) -> "Reach":
        """No longer follow the axes of a dimension: the whole input at most."""
        return self._fixed({axis: self.extents[axis].lost for axis in _axes(self.dims[dim])})

    def permute(self, order: Sequence[int]) -> "Reach":
        """Dimensions in another order."""
        return replace(self, dims=tuple(self.dims[place] for place in order))

    def regroup(self, shape: Sequence[int]) -> "Reach":
        """The same numbers in the same order as another shape: view, reshape, squeeze, flatten.

        An axis that is cut into pieces (windows, patches) is not followed any further.
        """
        reach = self
        while True:
            dims, cut = _deal_out([factor for dim in reach.dims for factor in dim], shape)
            if cut is None:
                return replace(reach, dims=dims)
            reach = reach._fixed({cut: reach.extents[cut].lost})

    def expand(self, shape: Sequence[int]) -> "Reach":
        """Broadcast to a shape: new dimensions in front, and repeats where the size was 1."""
        dims = [()] * (len(shape) - len(self.dims)) + list(self.dims)
        return replace(self, dims=tuple(dim or _dim(size) for dim, size in zip(dims, shape, strict=True)))

    def reduce(self, dims: Iterable[int]) -> "Reach":
        """A mean, sum, maximum or product over dimensions, of size 1 then; an axis there is seen as a whole."""
        gone = {dim % len(self.dims) for dim in dims}
        counts = {factor.axis: factor.size for dim in gone for factor in self.dims[dim] if factor.axis is not None}
        seen = {axis: self.extents[axis].step(0, count - 1, 0, exact=True) for axis, count in counts.items()}
        left = replace(self, dims=tuple(() if place in gone else dim for place, dim in enumerate(self.dims)))
        return left._fixed(seen)

    def mix(self, dims: Iterable[int], shape: Sequence[int] | None = None) -> "Reach":
        """Each number from all along these dimensions, of the same shape or another: softmax, a linear layer."""
        return self.reduce(dims).expand(shape or self.shape)

    def look(
        self,
        dim: int,
        count: int,
        first: Fraction | int,
        last: Fraction | int,
        every: Fraction | int,
        *,
        exact: bool = True,
    ) -> "Reach":
        """`count` positions along a dimension, number i made from the positions first + every*i to last + every*i."""
        reach, axis = self._pure(dim)
        new = _dim(count)
        if axis is not None:
            seen = reach.extents[axis].step(first, last, every, exact=exact)
            if count == 1:  # nothing moves with the only position
                reach = reach._fixed({axis: replace(seen, jump=Fraction(0))})
            else:
                reach, new = reach._with_extents({axis: seen}), (DimFactor(count, axis),)
        return replace(reach, dims=(*reach.dims[:dim], new, *reach.dims[dim + 1 :]))

    def window(self, dim: int, count: int, extent: int, stride: int, before: int) -> "Reach":
        """After a convolution or pooling whose dilated kernel spans `extent`, with `before` positions of padding."""
        return self.look(dim, count, -before, extent - 1 - before, stride)

    def spread(self, dim: int, count: int, extent: int, stride: int, before: int) -> "Reach":
        """After a transposed convolution: output o gets from inputs (o + before - tap)/stride.

        Which taps those are hangs on o modulo the stride, so with a stride the ends are bounds.
        """
        first, last = Fraction(before - (extent - 1), stride), Fraction(before, stride)
        return self.look(dim, count, first, last, Fraction(1, stride), exact=stride == 1)

    def part(self, dim: int, count: int, start: int, every: int = 1) -> "Reach":
        """Of a dimension the positions start, start + every, ..., `count` of them; those before it are padding."""
        return self.look(dim, count, start, start, every)

    def join(self, other: "Reach", shape: Sequence[int]) -> "Reach":
        """What elementwise arithmetic of the two sees, broadcast to `shape`."""
        left, right = self.expand(shape).dims, other.expand(shape).dims
        dims = tuple(theirs if _axes(theirs) else mine for mine, theirs in zip(left, right, strict=True))
        names = [axis for dim in dims for axis in _axes(dim)]
        two_things = any(_axes(mine) and mine != dim for mine, dim in zip(left, dims, strict=True))
        if two_things or len(names) != len(set(names)):  # twice as in x[i] + x[j], a matrix of pairs
            return self.lost(shape)
        extents = tuple(map(Extent.join, self.extents, other.extents))
        joined = Reach(dims=dims, extents=extents)
        return joined._fixed({axis: extent for axis, extent in enumerate(extents) if not extent.jump})

    def matmul(self, other: "Reach | None", shape: Sequence[int]) -> "Reach":
        """A (batch of) matrix product(s) (..., M, K) x (..., K, N); None is a matrix that the input does not reach."""
        left = self.reduce([-1])
        if other is None:
            return replace(left, dims=(*left.dims[:-1], _dim(shape[-1])))
        return left.join(other.reduce([-2]), shape)

    def _with_extents(self, changed: dict[int, Extent]) -> "Reach":
        return replace(self, extents=tuple(changed.get(axis, one) for axis, one in enumerate(self.extents)))

    def _fixed(self, extents: dict[int, Extent]) -> "Reach":
        """With other extents along some axes, in which positions no longer matter."""
        dims = tuple(tuple(replace(f, axis=None) if f.axis in extents else f for f in dim) for dim in self.dims)
        return replace(self._with_extents(extents), dims=dims)

    def _pure(self, dim: int) -> "tuple[Reach, int | None]":
        """A dimension that counts one axis alone, or none; where it counts more, those are forgotten."""
        axes = _axes(self.dims[dim])
        if not axes or len(self.dims[dim]) == 1:
            return self, axes[0] if axes else None
        first, *rest = self.dims[dim]
        if first.axis is None or len(axes) > 1:
            return self.forget(dim), None
        # Pixel shuffle: r outputs in place of each position.
        repeats = prod(factor.size for factor in rest)
        alone = replace(self, dims=(*self.dims[:dim], (first,), *self.dims[dim + 1 :]))
        return alone.spread(dim, first.size * repeats, repeats, repeats, 0), first.axis


def _dim(size: int) -> Dim:
    return (DimFactor(size),) if size != 1 else ()


def _axes(dim: Dim) -> list[int]:
    return [factor.axis for factor in dim if factor.axis is not None]


def _deal_out(factors: list[DimFactor], shape: Sequence[int]) -> tuple[tuple[Dim, ...], int | None]:
    """Factors dealt out to dimensions in order; or the axis that would have to be cut."""
    spans = pairwise(accumulate((one.size for one in factors), mul, initial=1))
    named = {span: one.axis for span, one in zip(spans, factors, strict=True) if one.axis is not None}
    starts = list(accumulate(shape, mul, initial=1))
    dims: list[Dim] = [()] * len(shape)
    for start, end in pairwise(sorted({*starts, *chain(*named)})):
        axis = named.get((start, end))
        cut = [other for (first, last), other in named.items() if first < end and start < last]
        if axis is None and (cut or end % start):
            return (), [*cut, *(named[span] for span in named if span[0] >= end), *named.values()][0]
        dims[bisect(starts, start) - 1] += (DimFactor(end // start, axis),)
    return tuple(dims), None
