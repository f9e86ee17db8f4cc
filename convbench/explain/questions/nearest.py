"""Why can a problem not show the answer to a question, and which are the nearest problems that can?"""

from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import chain
from typing import Any

from convbench.errors import ConvbenchError
from convbench.explain.questions.patches import reads
from convbench.explain.steps import measure_axes
from convbench.explain.walk import affordable
from convbench.spec import ConvSpec

Nearest = Callable[[ConvSpec], tuple[str, Iterator[ConvSpec]] | None]


def _changed(spec: ConvSpec, **changes: Any) -> Iterator[ConvSpec]:
    """The problem with other parameters, then smaller ones of the kind; x grows where the kernel would outgrow it."""
    values = {one.name: getattr(spec, one.name) for one in fields(spec)} | changes
    for axis, (size, taps) in enumerate((("h", "r"), ("w", "s"))):
        extent = values["dilation"][axis] * (values[taps] - 1) + 1
        around = sum((values[side] or values["padding"])[axis] for side in ("padding", "padding_end"))
        values[size] = max(values[size], extent + 1 - around)
    few = 2 * values["groups"]
    for smaller in ({}, {"n": 1}, {"n": 1, "c": few, "k": few}):
        try:
            one = ConvSpec(**(values | smaller))
            if affordable(one) == one:
                yield one
        except ConvbenchError:
            continue


def _drops(spec: ConvSpec) -> bool:
    return any(axis.rest for axis in measure_axes(spec))


def _overlaps(spec: ConvSpec) -> bool:
    return int(reads(spec).max()) > 1


def wants_taps(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if spec.r * spec.s > 1:
        return None
    return "a 1x1 kernel has nothing to flip", _changed(spec, r=2, s=2)


def wants_channels(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if spec.c_per_group > 1 and spec.r * spec.s > 1:
        return None
    r, s = (spec.r, spec.s) if spec.r * spec.s > 1 else (2, 2)
    c = spec.c if spec.c_per_group > 1 else 2 * spec.groups
    why = "one channel per filter" if spec.c_per_group == 1 else "a 1x1 kernel"
    return f"{spec} has {why}, so every order is the same", _changed(spec, c=c, r=r, s=s)


def wants_rest(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if _drops(spec):
        return None
    stride = (max(2, spec.stride[0]), max(2, spec.stride[1]))
    h, w = spec.h + stride[0] - 1, spec.w + stride[1] - 1
    others = chain(_changed(spec, stride=stride), _changed(spec, stride=stride, h=h, w=w))
    return f"the strides of {spec} divide evenly, so the floor drops nothing", filter(_drops, others)


def wants_dilation(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if (spec.dilation[0] > 1 and spec.r > 1) or (spec.dilation[1] > 1 and spec.s > 1):
        return None
    if spec.r * spec.s == 1:
        return "a 1x1 kernel has no gaps to widen", _changed(spec, r=3, s=3, dilation=(2, 2))
    return f"{spec} has no dilation", _changed(spec, dilation=(2, 2))


def wants_overlap(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if _overlaps(spec):
        return None
    r, s = (spec.r, spec.s) if spec.r * spec.s > 1 else (2, 2)
    h, w = spec.h + r, spec.w + s
    others = chain(
        _changed(spec, r=r, s=s, stride=(1, 1)), _changed(spec, r=r, s=s, h=h, w=w, stride=(1, 1), dilation=(1, 1))
    )
    return f"the patches of {spec} do not overlap, so fold does undo unfold there", filter(_overlaps, others)


def wants_groups(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if spec.groups > 1:
        return None
    return f"{spec} has one group", _changed(spec, c=max(4, spec.c + spec.c % 2), k=spec.k + spec.k % 2, groups=2)


def wants_padding(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    return None if max(spec.sides) else (f"{spec} has no padding", _changed(spec, padding=(1, 1)))
