"""What of a walk is in sight, and what is one drawn step?"""

# ruff: noqa: RUF001, RUF002  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.text import Text

from convbench.explain.letters import TORCH, Letters
from convbench.explain.program import step_code
from convbench.explain.steps import Term, Walk
from convbench.show.grid import FAINT, Block
from convbench.show.units import numeral

if TYPE_CHECKING:
    from convbench.explain.price import Price

GRID_COLUMNS = 10
NARROWEST_CELL = 3  # a digit and its brackets: more columns than room / 3 are not worth a try
TERMS = 12
TAPS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What of large tensors is in sight, in which letters, and what was seen here.

    Attributes:
        channel: of the kernel's slices (0 to C/G-1), the first one shown; `channels` is how many.
        rows: of each image; `patch_rows` of the patch matrix.
        prices: what the three ways took here, on one thread; empty where nothing was timed.
        here: what PyTorch did here, as sentences; empty where it was not watched.
        operands: the lines of Python that make x and w; empty where nobody asked.
    """

    channel: int = 0
    channels: int = 2
    rows: int = 8
    patch_rows: int = 12
    letters: Letters = TORCH
    prices: "tuple[Price, ...]" = ()
    here: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step as drawn: a title, a formula next to it, the numbers, what to know of them and what they cost."""

    title: str
    aside: str
    body: Block
    notes: list[str]
    cost: str


def by_times(sizes: Sequence[int]) -> str:
    """`1 × 4 × 9`, a shape as a person writes it."""
    return " × ".join(map(str, sizes))


def in_code(walk: Walk, step: str, room: int, view: View) -> Block:
    """The step's line of torch."""
    block: Block = []
    for line in step_code(walk, view.operands)[step].line.splitlines():
        first, *others = wrap(line, room - 7, break_on_hyphens=False, subsequent_indent="    ") or [""]
        block.append(Text.assemble(("torch  " if not block else " " * 7, FAINT), first))
        block += [Text(" " * 7 + other) for other in others]
    return block


def worth_seeing(terms: Sequence[Term]) -> list[Term]:
    """All of a few terms; of many the first ones inside the image, or the first ones where all are padding."""
    if len(terms) <= TERMS:
        return list(terms)
    return ([term for term in terms if not term.padding] or list(terms))[:TERMS]


def left_out(terms: Sequence[Term], shown: Sequence[Term]) -> str:
    """What of the terms is not shown: `… 3 more, 15 on padding`; nothing where all are."""
    padding = sum(term.padding for term in terms) - sum(term.padding for term in shown)
    more = len(terms) - len(shown) - padding
    words = [f"{count:,} {what}" for count, what in ((more, "more"), (padding, "on padding")) if count]
    return f"… {', '.join(words)}" if words else ""


def signed(values: Sequence[float]) -> list[str]:
    """`7`, `+ 16`, `− 33`: the words of a sum."""
    first, *others = values or (0.0,)
    return [numeral(first), *(f"{'−' if value < 0 else '+'} {numeral(abs(value))}" for value in others)]


def listed(noun: str, values: Sequence[int]) -> str:
    """`row 3`, `rows 3 and 5`, `rows 1, 3, 5, …, 11`, `channels 2 to 5`."""
    if len(values) == 1:
        return f"{noun} {values[0]}"
    if values[-1] - values[0] == len(values) - 1:  # they ascend
        return f"{noun}s {values[0]} to {values[-1]}"
    shown = [*values[:3], "…", values[-1]] if len(values) > 6 else values
    return f"{noun}s {', '.join(str(value) for value in shown)}"
