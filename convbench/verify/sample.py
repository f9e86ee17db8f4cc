"""Are some outputs of a call right, each compared with its own float64 sum? A cheap verdict for any size.

The outputs are drawn at random, so a kernel that skips some cannot know which. The rules and the bounds are
those of the whole verdict, which apply to one output at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import torch
from torch import Tensor

from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.diagnosis import tell_apart
from convbench.verify.exam import Exam
from convbench.verify.oracle import Truth
from convbench.verify.transforms import Points, transform_bound

Place = tuple[int, ...]

MOST, FEWEST = 64, 8  # outputs
MOST_PRODUCTS = 2**14  # of all of them together; well below what torch wakes a second thread for
TRIES = 4  # to find an output that reads a given number: a stride leaves some out


def sample_size(case: Case) -> int:
    """How many outputs are judged: fewer where each is a long sum."""
    spec = case.spec
    terms = {"fprop": spec.taps, "dgrad": spec.k_per_group * spec.r * spec.s, "wgrad": spec.n * spec.p * spec.q}
    return max(FEWEST, min(MOST, MOST_PRODUCTS // max(1, terms[case.pass_])))


def draw_places(case: Case, count: int, rng: Random) -> Tensor:
    """(count, 4): outputs drawn evenly from all of them; one may come twice."""
    one, two, three, four = case.out_shape
    draw = rng.random  # the output may be filled meanwhile by a thread that should have ended: no time is lost
    return torch.tensor(
        [(int(draw() * one), int(draw() * two), int(draw() * three), int(draw() * four)) for _ in range(count)],
        device="cpu",  # a call may have set another as the default
    )


def draw_readers(case: Case, reads: Sequence[Place], rng: Random) -> Tensor:
    """(up to the number of `reads`, 4): for each element of the first operand an output that depends on it.

    They are drawn from all that do; where none is found soon, there is none for that element.
    """
    found = [place for element in reads if (place := _reader(case, element, rng)) is not None]
    return torch.tensor(found, dtype=torch.int64, device="cpu").reshape(-1, 4)


def _reader(case: Case, element: Place, rng: Random) -> Place | None:
    spec, (n, channel, *sides) = case.spec, element
    for _ in range(TRIES):
        taps = (rng.randrange(spec.r), rng.randrange(spec.s))
        met = [_meet(case, axis, side, tap) for axis, (side, tap) in enumerate(zip(sides, taps, strict=True))]
        if None in met:
            continue
        row, column = met
        match case.pass_:
            case "fprop":
                group = channel // spec.c_per_group
                return (n, group * spec.k_per_group + rng.randrange(spec.k_per_group), row or 0, column or 0)
            case "dgrad":
                group = channel // spec.k_per_group
                return (n, group * spec.c_per_group + rng.randrange(spec.c_per_group), row or 0, column or 0)
            case _:
                return (channel, rng.randrange(spec.c_per_group), *taps)
    return None


def _meet(case: Case, axis: int, side: int, tap: int) -> int | None:
    """The row (axis 0) or column (1) of the output that `side` of the first operand reaches by this tap."""
    spec = case.spec
    stride, padding, dilation = spec.stride[axis], spec.padding[axis], spec.dilation[axis]
    if case.pass_ == "fprop":
        place, rest = divmod(side + padding - tap * dilation, stride)
        return place if rest == 0 and 0 <= place < (spec.p, spec.q)[axis] else None
    source = side * stride - padding + tap * dilation
    return source if 0 <= source < (spec.h, spec.w)[axis] else None


@dataclass(frozen=True, kw_only=True)
class OutputSample(Exam):
    """An exam of some outputs: truth, bounds and answers are of shape (S).

    Only for finite operands: where a NaN must be is a question of the whole output.

    Attributes:
        places: (S, 4), which outputs.
    """

    places: Tensor

    @cached_property
    def truth(self) -> Truth:
        first, second, *bias = self.operands.values()
        products, inside = self._products(first, second)
        terms = inside.expand(products.shape).flatten(1).sum(dim=1).double()
        y, magnitude = products.flatten(1).sum(dim=1), products.abs().flatten(1).sum(dim=1)
        for one in bias:
            added = one[self.places[:, 1]].double()
            y, magnitude, terms = y + added, magnitude + added.abs(), terms + 1
        return Truth(y=y, magnitude=magnitude, terms=terms)

    @cached_property
    def finite(self) -> bool:
        return True

    def transform(self, family: str, points: Points = (), *, sharp: bool = False) -> Tensor:
        operands = self.operands.values()
        return transform_bound(self.case, *operands, family=family, points=points, sharp=sharp, places=self.places)

    def answer(self, operands: Sequence[Tensor]) -> Tensor:
        first, second, *bias = operands
        y = self._products(first, second)[0].flatten(1).sum(dim=1)
        for one in bias:
            y = y + one[self.places[:, 1]].double()
        return y

    def place(self, out: Tensor, y: Tensor, outside: Tensor, share: Tensor, unit: str = "its bound") -> str:
        worst = int(share.where(outside, -1.0).argmax())
        at = ",".join(map(str, self.places[worst].tolist()))
        got, expected = tell_apart(float(out[worst]), float(y[worst]))
        return (
            f"{int(outside.sum())} of {len(y)} sampled output{'s' * (len(y) != 1)} wrong; "
            f"worst {self.case.out_name}[{at}]: got {got}, expected {expected} ({float(share[worst]):.3g} times {unit})"
        )

    def misfit(self, out: Any) -> Check | None:  # noqa: ARG002  # who took the sample has looked at the whole
        return None

    def _products(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """(S, ...) float64, the terms of each output, 0 on the padding; and which of them are on the image."""
        spec, one, two = self.case.spec, *(axis[:, None, None, None] for axis in self.places.unbind(dim=1)[:2])
        rows, row_taps, rows_inside = self._along(0)
        columns, column_taps, columns_inside = self._along(1)
        rows, row_taps, rows_inside = (side[:, None, :, None] for side in (rows, row_taps, rows_inside))
        columns, column_taps, columns_inside = (
            side[:, None, None, :] for side in (columns, column_taps, columns_inside)
        )
        match self.case.pass_:
            case "fprop":
                channels = self._range(spec.c_per_group)
                read = first[one, two // spec.k_per_group * spec.c_per_group + channels, rows, columns]
                by = second[two, channels, row_taps, column_taps]
            case "dgrad":
                filters = two // spec.c_per_group * spec.k_per_group + self._range(spec.k_per_group)
                read = first[one, filters, rows, columns]
                by = second[filters, two % spec.c_per_group, row_taps, column_taps]
            case _:
                images, channel = self._range(spec.n), one // spec.k_per_group * spec.c_per_group + two
                read = first[images, one, row_taps, column_taps]
                by = second[images, channel, rows, columns]
        inside = rows_inside & columns_inside
        return torch.where(inside, read.double() * by.double(), 0.0), inside

    def _range(self, size: int) -> Tensor:
        return torch.arange(size, device=self.first.device)[None, :, None, None]

    def _along(self, axis: int) -> tuple[Tensor, Tensor, Tensor]:
        """(S, L) each: what is read of x (dy for dgrad), with what of w (dy for wgrad), and whether it is there.

        For fprop and dgrad by the taps, for wgrad by the rows or columns of dy.
        """
        spec = self.case.spec
        stride, padding, dilation = spec.stride[axis], spec.padding[axis], spec.dilation[axis]
        out = self.places[:, 2 + axis, None]
        if self.case.pass_ == "wgrad":
            beside = torch.arange((spec.p, spec.q)[axis], device=out.device).expand(len(out), -1)
            return _within(beside * stride - padding + out * dilation, beside, (spec.h, spec.w)[axis])
        taps = torch.arange((spec.r, spec.s)[axis], device=out.device).expand(len(out), -1)
        if self.case.pass_ == "fprop":
            return _within(out * stride - padding + taps * dilation, taps, (spec.h, spec.w)[axis])
        reached = out + padding - taps * dilation
        rows, taps, there = _within(reached.div(stride, rounding_mode="floor"), taps, (spec.p, spec.q)[axis])
        return rows, taps, there & (reached % stride == 0)


def _within(source: Tensor, beside: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The source if there is one, and 0 elsewhere, where it does not count."""
    inside = (source >= 0) & (source < size)
    return source.where(inside, 0), beside, inside
