"""What is the smallest problem on which it still fails? A search over sizes; the caller runs what it proposes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec
from convbench.verify.diagnose.budget import Spent

MOST_TRIES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One size of a problem: how it is read and replaced, and the least it can be.

    `put` raises ConvbenchError where there is no such problem.
    """

    get: Callable[[ConvSpec], int]
    put: Callable[[ConvSpec, int], ConvSpec]
    least: int = 1


def _with(spec: ConvSpec, **sizes: Any) -> ConvSpec:
    return replace(spec, **sizes)


def _whole(name: str) -> Axis:
    return Axis(get=lambda spec: getattr(spec, name), put=lambda spec, size: _with(spec, **{name: size}))


def _both(one: str, other: str) -> Axis:
    """Two sizes at once, while they are equal: what needs a square stays one."""

    def get(spec: ConvSpec) -> int:
        return getattr(spec, one) if getattr(spec, one) == getattr(spec, other) else 1

    return Axis(get=get, put=lambda spec, size: _with(spec, **{one: size, other: size}))


def _pair(name: str, axis: int, least: int = 1) -> Axis:
    def put(spec: ConvSpec, size: int) -> ConvSpec:
        first, second = getattr(spec, name)
        return _with(spec, **{name: (size, second) if axis == 0 else (first, size)})

    return Axis(get=lambda spec: getattr(spec, name)[axis], put=put, least=least)


def _end(axis: int) -> Axis:
    """Padding below (axis 0) or to the right, where it is not what stands opposite."""

    def put(spec: ConvSpec, size: int) -> ConvSpec:
        first, second = spec.end
        return _with(spec, padding_end=(size, second) if axis == 0 else (first, size))

    return Axis(get=lambda spec: spec.padding_end[axis] if spec.padding_end else 0, put=put, least=0)


def _put_groups(spec: ConvSpec, groups: int) -> ConvSpec:
    return replace(spec, groups=groups, c=groups * spec.c_per_group, k=groups * spec.k_per_group)


AXES = (
    _whole("n"),
    Axis(get=lambda spec: spec.groups, put=_put_groups),
    Axis(get=lambda spec: spec.k_per_group, put=lambda spec, size: replace(spec, k=spec.groups * size)),
    Axis(get=lambda spec: spec.c_per_group, put=lambda spec, size: replace(spec, c=spec.groups * size)),
    _both("h", "w"),
    _whole("h"),
    _whole("w"),
    _both("r", "s"),
    _whole("r"),
    _whole("s"),
    *(_pair(name, axis, least) for name, least in (("padding", 0), ("dilation", 1), ("stride", 1)) for axis in (0, 1)),
    *map(_end, (0, 1)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """Where a search ended.

    Attributes:
        tries: problems that were tried.
        cut: whether a smaller problem was left untried for want of tries or of budget.
    """

    spec: ConvSpec
    tries: int
    cut: bool


def shrink(spec: ConvSpec, fails: Callable[[ConvSpec], bool], *, tries: int = MOST_TRIES) -> Shrunk:
    """A problem no larger than `spec` in any size, on which `fails` is true too.

    Size by size the least value is tried first; where that does not fail, the range between is
    halved towards what fails; and so on until a whole round changes nothing, or nothing more may be
    tried. What may not be tried counts as a problem that does not fail.

    Args:
        spec: it fails; it is not tried.
        fails: runs something; it is asked at most once for each problem, and raises Spent where it cannot pay for it.
    """
    made, cut = 0, False
    known = {spec: True}

    def ask(candidate: ConvSpec) -> bool:
        nonlocal made, cut
        if candidate not in known and made == tries:
            cut = True
            return False
        if candidate not in known:
            made += 1
            try:
                known[candidate] = fails(candidate)
            except Spent:
                known[candidate], cut = False, True
        return known[candidate]

    while True:
        before = spec
        for axis in AXES:
            spec = _least(spec, axis, ask)
        if spec == before:
            return Shrunk(spec=spec, tries=made, cut=cut)


def _least(spec: ConvSpec, axis: Axis, ask: Callable[[ConvSpec], bool]) -> ConvSpec:
    """The spec with one size as small as the halving finds it."""
    low, high = axis.least, axis.get(spec)
    if low < high and (least := _made(spec, axis, low)) is not None and ask(least):
        return least
    while high - low > 1:
        middle = (low + high) // 2
        candidate = _made(spec, axis, middle)
        if candidate is not None and ask(candidate):
            spec, high = candidate, middle
        else:
            low = middle
    return spec


def _made(spec: ConvSpec, axis: Axis, size: int) -> ConvSpec | None:
    try:
        return axis.put(spec, size)
    except ConvbenchError:  # groups that do not divide, a kernel larger than its image
        return None
