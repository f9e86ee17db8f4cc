"""How does one problem become many (axes over its sizes), and which are kept (filters)?"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from convbench.case import Problem
from convbench.errors import ConvbenchError, unknown
from convbench.expressions import Expression
from convbench.spec import ConvSpec, pair_text, same_sides

Sides = tuple[int, ...]  # of one field, of the two of a pair, or four of padding

MOST_PROBLEMS = 100_000

# What each axis sets. The last five take a pair such as 2x1, the two before them set both alike.
FIELDS = {
    **{letter: (letter,) for letter in "nchwkrs"},
    "groups": ("groups",),
    "ck": ("c", "k"),
    "hw": ("h", "w"),
    "rs": ("r", "s"),
    "stride": ("stride",),
    "padding": ("padding",),
    "dilation": ("dilation",),
}
_PAIRS = ("hw", "rs", "stride", "padding", "dilation")
_FORMS = "a list 1,8,32, a range 64:512:64 or a power range 64:512:*2"
_NUMBER = re.compile("[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemAxis:
    """A name of FIELDS and its values, in order and each once; None is padding that follows the kernel."""

    name: str
    values: tuple[Sides | None, ...]

    @classmethod
    def parse(cls, text: str) -> "ProblemAxis":
        """Read `NAME=VALUES`.

        Raises:
            ConvbenchError: an unknown name, or values that are neither a list nor a range.
        """
        name, equals, values = text.partition("=")
        name = name.strip().lower()
        if not equals or not values.strip():
            raise ConvbenchError(f"--axis {text!r} has no values; write it like --axis n=1,8,32, with {_FORMS}")
        if name == "batch":
            raise ConvbenchError(f"--axis {text}: the axis of the batch is n; write --batch {values}")
        if name not in FIELDS:
            raise unknown("axis", name, FIELDS)
        return cls(name=name, values=_all_values(name, values, f"--axis {name}="))

    @classmethod
    def of_batches(cls, values: str) -> "ProblemAxis":
        """The axis n, from the values of --batch."""
        return cls(name="n", values=_all_values("n", values, "--batch "))

    def label(self, value: Sides | None) -> str:
        """`n=8`, `stride=2x1` or `padding=same`."""
        return f"{self.name}={'same' if value is None else pair_text(value)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Regular expressions: one of `match` must be found, if there are any, and none of `exclude`."""

    match: tuple[Expression, ...] = ()
    exclude: tuple[Expression, ...] = ()

    @classmethod
    def parse(cls, match: Sequence[str], exclude: Sequence[str]) -> "Filter":
        """Raises ConvbenchError if one is not a regular expression."""
        return cls(
            match=tuple(Expression("--match", one) for one in match),
            exclude=tuple(Expression("--exclude", one) for one in exclude),
        )

    def wants(self, *texts: str) -> bool:
        """Whether a problem, by its texts, is wanted."""

        def found(expressions: Sequence[Expression]) -> bool:
            return any(one.found_in(text) for one in expressions for text in texts)

        return (not self.match or found(self.match)) and not found(self.exclude)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """The problems along the axes, and what happened to the other combinations.

    Attributes:
        problems: legal, wanted, each shape of a suite once.
        illegal: how many combinations are not a convolution.
        first_illegal: the name and the reason of the first of them.
        repeated: how many had the shape of another one, to whose count theirs was added.
    """

    problems: tuple[Problem, ...]
    illegal: int = 0
    first_illegal: str = ""
    repeated: int = 0


def expand(problems: Iterable[Problem], axes: Sequence[ProblemAxis], wanted: Filter) -> Expansion:
    """Every problem with every combination of values, the last axis fastest.

    Raises:
        ConvbenchError: two axes set the same size, or there are too many combinations.
    """
    given = tuple(dict.fromkeys(problems))  # named twice is once
    _refuse_overlap(axes)
    count = prod((len(axis.values) for axis in axes), start=len(given))
    if count > MOST_PROBLEMS:
        few = "1 problem" if len(given) == 1 else f"{len(given)} problems"
        factors = " x ".join([few, *(f"{len(axis.values)} of {axis.name}" for axis in axes)])
        raise ConvbenchError(
            f"{factors} are {count:,} problems; the limit is {MOST_PROBLEMS:,} per run; try a coarser --axis"
        )
    if not axes:
        return Expansion(problems=tuple(one for one in given if wanted.wants(*_texts(one), str(one.spec))))
    found: dict[tuple[object, ...], Problem] = {}
    illegal, first_illegal, repeated = 0, "", 0
    for problem, values in product(given, product(*(axis.values for axis in axes))):
        label = " ".join(axis.label(value) for axis, value in zip(axes, values, strict=True))
        try:
            spec = _set(problem.spec, dict(zip((axis.name for axis in axes), values, strict=True)))
        except ConvbenchError as error:
            if wanted.wants(*_texts(problem, label), str(problem.spec)):
                illegal += 1
                first_illegal = first_illegal or f"{problem.name} {label}: {error}"
            continue
        name = str(spec) if _names_itself(problem) else f"{problem.name} {label}"
        one = replace(problem, name=name, spec=spec)
        if not wanted.wants(*_texts(problem, label), str(spec)):
            continue
        key = (one.suite, one.spec, one.dtype, one.layout, one.pass_, one.epilogue, one.drawn, one.operands, one.skip)
        if (known := found.get(key)) is not None:
            repeated += 1
            one = replace(known, count=known.count + one.count)
        found[key] = one
    return Expansion(problems=tuple(found.values()), illegal=illegal, first_illegal=first_illegal, repeated=repeated)


def _all_values(name: str, text: str, option: str) -> tuple[Sides | None, ...]:
    found = dict.fromkeys(value for word in text.split(",") for value in _values(name, word.strip().lower(), option))
    if len(found) > MOST_PROBLEMS:
        raise ConvbenchError(
            f"{option}{text} has {len(found):,} values; the limit is {MOST_PROBLEMS:,} problems per run"
        )
    return tuple(found)


def _values(name: str, word: str, option: str) -> Iterator[Sides | None]:
    """The values of one word of a list."""
    if word == "same" and name == "padding":
        yield None
    elif ":" in word:
        yield from ((value, value) for value in _range(word, option))
    else:
        sides = word.split("x")
        if name == "padding" and len(sides) == 4 and all(map(_NUMBER.fullmatch, sides)):
            yield tuple(map(int, sides))
            return
        high, x, low = word.partition("x")
        if not _NUMBER.fullmatch(high) or (x and (name not in _PAIRS or not _NUMBER.fullmatch(low))):
            pair = ", a pair 2x1" if name in _PAIRS else ""
            same = ", top, bottom, left and right 0x1x0x1, or same" if name == "padding" else ""
            raise ConvbenchError(f"{option}{word}: it takes numbers of at most 9 digits, as {_FORMS}{pair}{same}")
        yield (int(high), int(low or high))


def _range(word: str, option: str) -> Iterable[int]:
    """`64:512:64` by steps, `64:512:*2` by factors, `1:4` by ones; the last value is within."""
    parts = word.split(":")
    power = len(parts) == 3 and parts[2].startswith("*")
    numbers = [part.removeprefix("*") if place == 2 else part for place, part in enumerate(parts)]
    if len(parts) > 3 or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise ConvbenchError(f"{option}{word} is not a range; write it as FIRST:LAST:STEP or FIRST:LAST:*FACTOR")
    first, last, step = (*map(int, numbers), 1)[:3]
    if last < first or step < (2 if power else 1) or (power and first == 0):
        raise ConvbenchError(
            f"{option}{word}: a range goes up from FIRST to LAST, by a STEP of at least 1, or by a *FACTOR of at "
            f"least 2 with FIRST at least 1; try {min(first, last)}:{max(first, last)}:{'*2' if power else 1}"
        )
    if power:
        return _powers(first, last, step)
    values = range(first, last + 1, step)
    if len(values) > MOST_PROBLEMS:
        raise ConvbenchError(
            f"{option}{word} has {len(values):,} values; the limit is {MOST_PROBLEMS:,}; try a larger step"
        )
    return values


def _powers(first: int, last: int, factor: int) -> Iterator[int]:
    while first <= last:
        yield first
        first *= factor


def _refuse_overlap(axes: Sequence[ProblemAxis]) -> None:
    setter: dict[str, str] = {}
    for axis in axes:
        for name in FIELDS[axis.name]:
            if name in setter:
                both = f"{axis.name} occurs twice" if setter[name] == axis.name else f"{setter[name]} and {axis.name}"
                raise ConvbenchError(f"--axis {both}: both set {name}; give all its values at once (--batch is n)")
            setter[name] = axis.name


def _set(spec: ConvSpec, values: dict[str, Sides | None]) -> ConvSpec:
    """The problem with other sizes; ConvbenchError if it is not a convolution."""
    changes: dict[str, Any] = {"padding_end": None} if "padding" in values else {}
    for name, value in values.items():
        if value is None:
            continue
        if len(FIELDS[name]) == 1 and name in _PAIRS:
            changes[name] = value
        else:
            changes.update(zip(FIELDS[name], value, strict=False))
    if values.get("padding", ()) is None:
        r, s, dilation = (changes.get(name, getattr(spec, name)) for name in ("r", "s", "dilation"))
        changes["padding"] = same_sides((r, s), dilation)
    return replace(spec, **changes)


def _names_itself(problem: Problem) -> bool:
    """Whether a problem's name is its own text, which would be wrong with other sizes."""
    try:
        return ConvSpec.parse(problem.name) == problem.spec
    except ConvbenchError:
        return False


def _texts(problem: Problem, label: str = "") -> tuple[str, ...]:
    """The name, alone and as it is listed, and with its axes: `^conv2$` is looked for in all of them."""
    names = problem.name, f"{problem.suite}:{problem.name}"
    return (*names, *(f"{name} {label}" for name in names)) if label else names
