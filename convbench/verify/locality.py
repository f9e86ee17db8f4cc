"""Does one NaN reach exactly the outputs that depend on it?

If it reaches fewer, the kernel swallows NaN, or returns an answer kept for these buffers;
if it reaches more, the kernel reads unrelated inputs and multiplies them by zero. Winograd and FFT mix
neighbours by design, and may do so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import nan
from typing import Any

import torch
from torch import Tensor

from convbench.case import Case
from convbench.outcome import Check
from convbench.spec import ConvSpec
from convbench.verify.diagnosis import describe_place
from convbench.verify.exam import Exam, wrong
from convbench.verify.transforms import Points, transform_possible
from convbench.verify.verdict import check

Place = tuple[int, int, int, int]
WINOGRAD_TILES = (2, 4, 6, 3, 5)  # outputs; the usual ones first, as a small image does not tell them all apart


NAN_LOST = "relu makes 0 of NaN"


@dataclass(frozen=True, kw_only=True)
class Locality:
    """One NaN in the first operand of an exam.

    Attributes:
        exam: whose truth holds wherever the NaN does not reach.
        place: of the NaN; None if no output depends on any element.
    """

    exam: Exam

    @cached_property
    def place(self) -> Place | None:
        return choose_place(self.exam.case) if self.exam.finite else None

    @contextmanager
    def pierced(self) -> Iterator[None]:
        """The NaN is in the exam's own operand: in the buffer that was read before, with another number in it."""
        first = self.exam.first
        before = first[self.place].clone()
        first[self.place] = nan
        try:
            yield
        finally:
            first[self.place] = before

    def check(self, out: Any, plain: Tensor, family: str, roundings: int = 0, points: Points = ()) -> Check:
        """Judge the output on these operands; `plain` is the output without the NaN, which was right."""
        case, place = self.exam.case, self.place
        assert place is not None
        if (misfit := self.exam.misfit(out)) is not None:
            return misfit
        must, may = (mask.to(out.device) for mask in reach(case, place))
        lost = out.isnan()
        who = f"NaN at {next(iter(case.operands))}[{','.join(map(str, place))}]"
        missing = must & ~lost
        if missing.any() and not case.relu:  # a relu may take the larger of 0 and NaN for 0
            return wrong(f"{who} does not reach {_count(missing, case, 'that depend', 's')} on it", "locality")
        right = Check(worst_of_bound=0.0, relative_l2=0.0, arithmetic=_of_relu(missing, must))
        if transform_possible(case, family, points) and (lost & ~may).any():
            return replace(right, arithmetic=_name_transform(case, place, lost))
        if (leaked := ~may & ~out.double().isfinite() & plain.double().isfinite()).any():
            return wrong(f"{who} also reaches {_count(leaked, case, 'that do', 'es')} not depend on it", "locality")
        elsewhere = torch.where(may, plain, out)
        if torch.equal(elsewhere, plain):
            return right
        found = check(self.exam, elsewhere, family, roundings, points)  # summed in another order than without it
        if found.passed:
            return replace(found, arithmetic=right.arithmetic)
        return found.fails("locality", f"beside a {who}, {found.evidence}")


def _of_relu(missing: Tensor, must: Tensor) -> str:
    """What a relu makes of NaN: the larger of it and 0 is either, to one instruction or the other."""
    if not missing.any():
        return ""
    return (
        NAN_LOST
        if torch.equal(missing, must)
        else f"{NAN_LOST} in {int(missing.sum()):,} of {int(must.sum()):,} outputs"
    )


def _name_transform(case: Case, place: Place, lost: Tensor) -> str:
    """Which transform mixes exactly these outputs: Winograd those of a tile, an FFT all of an image."""
    if case.pass_ != "fprop":
        return ""
    plane, (r, s) = lost[place[0]].any(dim=0).cpu(), (case.spec.r, case.spec.s)
    for m in WINOGRAD_TILES:
        rows, columns = (
            torch.tensor([0 <= side + padding - m * (out // m) < m + taps - 1 for out in range(size)])
            for side, padding, size, taps in zip(place[2:], case.spec.padding, plane.shape, (r, s), strict=True)
        )
        if torch.equal(plane, rows[:, None] & columns):
            return f"Winograd F({m}x{m}, {r}x{s})"
    return "FFT" if bool(plane.all()) else ""


def _count(mask: Tensor, case: Case, verb: str, ending: str) -> str:
    """How many, where, and a verb; with its ending where it is one."""
    count = int(mask.sum())
    place = describe_place(mask, case.out_name)
    return f"1 output ({place}) {verb}{ending}" if count == 1 else f"{count:,} outputs ({place}) {verb}"


def choose_place(case: Case) -> Place | None:
    """An element of the first operand that some output depends on, drawn by the case's seed; None if there is none."""
    spec, generator = case.spec, torch.Generator().manual_seed(case.seed)

    def draw(size: int) -> int:
        return int(torch.randint(0, size, (), generator=generator))

    if spec.n == 0:
        return None
    image, channel = draw(spec.n), draw(spec.c if case.pass_ == "fprop" else spec.k)
    sides = []
    for axis in (0, 1):
        pairs = [pair for pair in _pairs(spec, axis) if pair[2] is not None]
        if not pairs:
            return None
        out, _, source = pairs[draw(len(pairs))]
        sides.append(source if case.pass_ == "fprop" else out)
    row, column = sides
    assert row is not None
    assert column is not None
    return (image, channel, row, column)


def reach(case: Case, place: Place) -> tuple[Tensor, Tensor]:
    """Which outputs a NaN at `place` of the first operand must reach, and which it may: bool, of the output's shape.

    They differ for wgrad alone: a kernel may multiply dy with the zeros of the padding, or leave them out.
    """
    spec = case.spec
    image, channel, *sides = place
    must = []
    for axis, side in enumerate(sides):
        size = {
            "fprop": (spec.p, spec.q),
            "dgrad": (spec.h, spec.w),
            "wgrad": (spec.r, spec.s),
        }[case.pass_][axis]
        hit = torch.zeros(size, dtype=torch.bool)
        for out, tap, source in _pairs(spec, axis):
            if source is None:
                continue
            if case.pass_ == "fprop" and source == side:
                hit[out] = True
            elif case.pass_ == "dgrad" and out == side:
                hit[source] = True
            elif case.pass_ == "wgrad" and out == side:
                hit[tap] = True
        must.append(hit)
    mask = torch.zeros(case.out_shape, dtype=torch.bool)
    may = mask.clone()
    plane = must[0][:, None] & must[1]
    match case.pass_:
        case "fprop":
            group = channel // spec.c_per_group
            mask[image, group * spec.k_per_group : (group + 1) * spec.k_per_group] = plane
        case "dgrad":
            group = channel // spec.k_per_group
            mask[image, group * spec.c_per_group : (group + 1) * spec.c_per_group] = plane
        case "wgrad":
            mask[channel] = plane
            may[channel] = True
    return mask, may | mask


def _pairs(spec: ConvSpec, axis: int) -> list[tuple[int, int, int | None]]:
    """Each output row or column with each tap, and what it reads; None on the padding."""
    size, outs, taps = ((spec.h, spec.p, spec.r), (spec.w, spec.q, spec.s))[axis]
    pairs: list[tuple[int, int, int | None]] = []
    for out in range(outs):
        for tap in range(taps):
            source = out * spec.stride[axis] - spec.padding[axis] + tap * spec.dilation[axis]
            pairs.append((out, tap, source if 0 <= source < size else None))
    return pairs
