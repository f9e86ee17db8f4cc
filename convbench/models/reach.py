"""Which part of a model's input can one number of a tensor depend on?

Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks" (Distill 2019), carried along
every dimension of every tensor: an affine map from a position to an interval of input coordinates.
"""

# ruff: noqa: SLF001  # each step makes another Reach and goes on with it

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor, prod
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

    def window(self, extent: int, stride: int, before: int) -> "Extent":
        """After a convolution or pooling whose dilated kernel spans `extent`, with `before` positions of padding."""
        return replace(
            self,
            low=self.low - before * self.jump,
            high=self.high + (extent - 1 - before) * self.jump,
            jump=self.jump * stride,
        )

    def spread(self, extent: int, stride: int, before: int) -> "Extent":
        """After a transposed convolution: output o gets from inputs (o + before - tap)/stride.

        Which taps those are hangs on o modulo the stride, so that with a stride the ends are bounds.
        """
        return replace(
            self,
            low=self.low + self.jump * Fraction(before - (extent - 1), stride),
            high=self.high + self.jump * Fraction(before, stride),
            jump=self.jump / stride,
            exact=self.exact and (stride == 1 or not self.jump),
        )

    def resampled(self, scale: Fraction, taps: int) -> "Extent":
        """After interpolation by `scale` outputs for an input, each from `taps` neighbours at most.

        Output o lies at the input o/scale, or by half-pixel centres or aligned corners up to 1/scale - 1 beside it.
        """
        if not self.jump:
            return self
        shift, reach = 1 / scale - 1, max(1, taps // 2)
        return replace(
            self,
            low=self.low + self.jump * (min(shift, Fraction(0)) - reach),
            high=self.high + self.jump * (max(shift, Fraction(0)) + reach),
            jump=self.jump / scale,
            exact=False,
        )

    def part(self, start: int, step: int = 1) -> "Extent":
        """Of the positions start, start + step, ..."""
        shift = start * self.jump
        return replace(self, low=self.low + shift, high=self.high + shift, jump=self.jump * step)

    def at(self, position: int) -> "Extent":
        """Of one position."""
        return replace(self.part(position), jump=Fraction(0))

    def over(self, count: int) -> "Extent":
        """Of positions 0 to count - 1 together."""
        return replace(self, high=self.high + (count - 1) * self.jump, jump=Fraction(0))

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
class Factor:
    """What a dimension of a tensor counts: positions along an axis of the input, or (None) anything else."""

    size: int
    axis: int | None = None


Dim = tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """A tensor as seen from the input.

    Attributes:
        dims: each dimension as the factors it is made of, the slowest first (N*H*W rows of a matrix are three);
            one of size 1 has none.
        extents: for each spatial axis of the input.
    """

    dims: tuple[Dim, ...]
    extents: tuple[Extent, ...]

    @classmethod
    def of_input(cls, shape: Sequence[int]) -> Self:
        """An image batch (N, C, *sizes): each pixel sees itself."""
        dims = [_dim(size) for size in shape[:2]]
        extents = []
        for axis, size in enumerate(shape[2:]):
            extents.append(Extent(length=size) if size > 1 else Extent.all_of(size, exact=True))
            dims.append((Factor(size, axis),) if size > 1 else ())
        return cls(dims=tuple(dims), extents=tuple(extents))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(prod(factor.size for factor in dim) for dim in self.dims)

    def lost(self, shape: Sequence[int]) -> "Reach":
        """A tensor made of this one in a way that is not known: the whole input at the most."""
        extents = tuple(one if one.whole else Extent.all_of(one.length, exact=False) for one in self.extents)
        return Reach(dims=tuple(_dim(size) for size in shape), extents=extents)

    def forget(self, *axes: int) -> "Reach":
        """No longer follow these axes: the whole input at the most."""
        reach = self
        for axis in axes:
            extent = reach.extents[axis]
            if not extent.whole:
                reach = reach._with_extent(axis, Extent.all_of(extent.length, exact=False))
            reach = reach._unnamed(axis)
        return reach

    def permute(self, order: Sequence[int]) -> "Reach":
        """Dimensions in another order."""
        return replace(self, dims=tuple(self.dims[place] for place in order))

    def regroup(self, shape: Sequence[int]) -> "Reach":
        """The same numbers in the same order as another shape: view, reshape, squeeze, flatten.

        An axis that is cut into pieces (windows, patches) is not followed any further.
        """
        reach = self
        while True:
            dims, broken = _deal_out([factor for dim in reach.dims for factor in dim], shape)
            if broken is None:
                return replace(reach, dims=dims)
            reach = reach.forget(broken)

    def expand(self, shape: Sequence[int]) -> "Reach":
        """Broadcast to a shape: new dimensions in front, and repeats where the size was 1."""
        dims = [()] * (len(shape) - len(self.dims)) + list(self.dims)
        return replace(self, dims=tuple(dim or _dim(size) for dim, size in zip(dims, shape, strict=True)))

    def resize(self, dim: int, size: int) -> "Reach":
        """Other channels, as many as `size`, each from all there were along this dimension."""
        reach = self.reduce([dim])
        return reach._with_dim(dim, _dim(size))

    def reduce(self, dims: Sequence[int], *, keep: bool = True) -> "Reach":
        """A mean, sum, maximum or product over dimensions; an axis there is seen as a whole from then on."""
        reach = self
        for dim in dims:
            for factor in self.dims[dim]:
                if factor.axis is not None:
                    seen = reach.extents[factor.axis].over(factor.size)
                    reach = reach._with_extent(factor.axis, seen)._unnamed(factor.axis)
        gone = {dim % len(self.dims) for dim in dims}
        kept = [() if place in gone else dim for place, dim in enumerate(reach.dims) if keep or place not in gone]
        return replace(reach, dims=tuple(kept))

    def mix(self, dims: Sequence[int]) -> "Reach":
        """Each number from all along these dimensions, of the same shape: softmax, layer normalization."""
        shape = self.shape
        reach = self.reduce(dims)
        return replace(reach, dims=tuple(dim or _dim(size) for dim, size in zip(reach.dims, shape, strict=True)))

    def part(self, dim: int, start: int, step: int, count: int) -> "Reach":
        """Of a dimension the positions start, start + step, ..., `count` of them."""
        reach, axis = self._pure(dim)
        if axis is None:
            return reach._with_dim(dim, _dim(count))
        return reach._along(dim, axis, reach.extents[axis].part(start, step), count)

    def select(self, dim: int, position: int) -> "Reach":
        """One position of a dimension, which goes."""
        reach = self.part(dim, position, 1, 1)
        return replace(reach, dims=(*reach.dims[:dim], *reach.dims[dim + 1 :]))

    def window(self, dim: int, extent: int, stride: int, before: int, count: int) -> "Reach":
        """A convolution or pooling along a dimension, with `count` outputs; see `Extent.window`."""
        reach, axis = self._pure(dim)
        if axis is None:
            return reach._with_dim(dim, _dim(count))
        return reach._along(dim, axis, reach.extents[axis].window(extent, stride, before), count)

    def spread(self, dim: int, extent: int, stride: int, before: int, count: int) -> "Reach":
        """A transposed convolution along a dimension, with `count` outputs; see `Extent.spread`."""
        reach, axis = self._pure(dim)
        if axis is None:
            return reach._with_dim(dim, _dim(count))
        return reach._along(dim, axis, reach.extents[axis].spread(extent, stride, before), count)

    def adapt(self, dim: int, count: int) -> "Reach":
        """Adaptive pooling to `count` outputs: output o pools floor(o*size/count) to ceil((o+1)*size/count) - 1."""
        size = self.shape[dim]
        if size % count == 0:
            return self.window(dim, size // count, size // count, 0, count)
        reach = self.forget(*_axes(self.dims[dim]))
        return reach._with_dim(dim, _dim(count))

    def resample(self, dim: int, count: int, taps: int) -> "Reach":
        """Interpolation to `count` positions; see `Extent.resampled`."""
        reach, axis = self._pure(dim)
        if axis is None:
            return reach._with_dim(dim, _dim(count))
        scale = Fraction(count, reach.shape[dim])
        return reach._along(dim, axis, reach.extents[axis].resampled(scale, taps), count)

    def join(self, other: "Reach", shape: Sequence[int]) -> "Reach":
        """What elementwise arithmetic of the two sees, broadcast to `shape`."""
        left, right = self.expand(shape), other.expand(shape)
        dims = []
        for mine, theirs in zip(left.dims, right.dims, strict=True):
            if mine == theirs:
                dims.append(mine)
                continue
            if _axes(mine) and _axes(theirs):  # one dimension counts two things
                return self.lost(shape)
            dims.append(theirs if _axes(theirs) else mine)
        names = [axis for dim in dims for axis in _axes(dim)]
        if len(names) != len(set(names)):  # x[i] + x[j], as in a matrix of pairs
            return self.lost(shape)
        extents = []
        for axis, (mine_, theirs_) in enumerate(zip(left.extents, right.extents, strict=True)):
            joined = mine_.join(theirs_)
            extents.append(joined)
            if not joined.jump and axis in names:
                dims = [tuple(replace(f, axis=None) if f.axis == axis else f for f in dim) for dim in dims]
        return Reach(dims=tuple(dims), extents=tuple(extents))

    def matmul(self, other: "Reach | None", shape: Sequence[int]) -> "Reach":
        """A (batch of) matrix product(s) (..., M, K) x (..., K, N); None is a matrix that the input does not reach."""
        last = len(self.dims) - 1
        if other is None:
            reach = self.reduce([last])
            return replace(reach, dims=(*reach.dims[:last], _dim(shape[-1])))
        left = self.reduce([last])
        right = other.reduce([len(other.dims) - 2])
        return left.join(right, shape)

    def _along(self, dim: int, axis: int, extent: Extent, count: int) -> "Reach":
        if count == 1:  # the only position: nothing moves with it
            extent = extent.at(0)
        new = (Factor(count, axis),) if count > 1 else ()
        return self._with_extent(axis, extent)._with_dim(dim, new)

    def _with_dim(self, dim: int, new: Dim) -> "Reach":
        return replace(self, dims=(*self.dims[:dim], new, *self.dims[dim + 1 :]))

    def _with_extent(self, axis: int, extent: Extent) -> "Reach":
        return replace(self, extents=(*self.extents[:axis], extent, *self.extents[axis + 1 :]))

    def _unnamed(self, axis: int) -> "Reach":
        """The positions along an axis no longer matter."""
        dims = tuple(tuple(replace(f, axis=None) if f.axis == axis else f for f in dim) for dim in self.dims)
        return replace(self, dims=dims)

    def _pure(self, dim: int) -> "tuple[Reach, int | None]":
        """A dimension that counts one axis alone, or none; where it counts more, those are forgotten."""
        factors = self.dims[dim]
        axes = _axes(factors)
        if not axes:
            return self, None
        if len(factors) == 1:
            return self, axes[0]
        first, *rest = factors
        if first.axis is not None and len(axes) == 1:  # pixel shuffle: r outputs in place of each position
            repeats = prod(factor.size for factor in rest)
            spread = self.extents[first.axis].spread(repeats, repeats, 0)
            return self._along(dim, first.axis, spread, first.size * repeats), first.axis
        return self.forget(*axes), None


def _dim(size: int) -> Dim:
    return (Factor(size),) if size != 1 else ()


def _axes(dim: Dim) -> list[int]:
    return [factor.axis for factor in dim if factor.axis is not None]


def _deal_out(factors: list[Factor], shape: Sequence[int]) -> tuple[tuple[Dim, ...], int | None]:
    """Factors dealt out to dimensions in order; or the axis that would have to be cut."""
    queue: list[Factor] = []
    for factor in factors:  # neighbours that are nothing in particular are one
        if queue and factor.axis is None and queue[-1].axis is None:
            queue[-1] = Factor(queue[-1].size * factor.size)
        else:
            queue.append(factor)
    queue.reverse()
    dims: list[Dim] = []
    for size in shape:
        need, dim = size, list[Factor]()
        while need > 1:
            factor = queue.pop()
            if need % factor.size == 0:
                dim.append(factor)
                need //= factor.size
            elif factor.axis is not None:
                return (), factor.axis
            elif factor.size % need == 0:
                dim.append(Factor(need))
                queue.append(Factor(factor.size // need))
                need = 1
            else:  # it runs over into an axis, which is cut
                cut = next((other.axis for other in reversed(queue) if other.axis is not None), None)
                return (), cut if cut is not None else next(one.axis for one in dim if one.axis is not None)
        dims.append(tuple(dim))
    return tuple(dims), None
