"""What do the questions of all levels have in common: small numbers, a proved walk, the usual mistakes?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from convbench.explain.letters import Letters
from convbench.explain.quiz import QuizGrid, QuizQuestion
from convbench.explain.steps import Cell, UnprovedError, Walk
from convbench.explain.walk import walk
from convbench.spec import ConvSpec, Pair

Kind = Callable[[Random, Letters], QuizQuestion]
Slip = tuple[int | Sequence[int], str]

DIGITS = range(1, 10)
WEIGHTS = (1, 2, 3)
SIGNED = (-2, -1, 1, 2)


def question(
    text: str,
    answer: int | Sequence[int],
    because: str,
    *,
    grids: tuple[QuizGrid, ...] = (),
    slips: Iterable[Slip] = (),
) -> QuizQuestion:
    """With those mistakes that give another answer, each answer once."""
    right = _numbers(answer)
    wrong: dict[tuple[int, ...], str] = {}
    for given, mistake in slips:
        if _numbers(given) != right:
            wrong.setdefault(_numbers(given), mistake)
    return QuizQuestion(text=text, answer=right, because=because, grids=grids, slips=tuple(wrong.items()))


def _numbers(given: int | Sequence[int]) -> tuple[int, ...]:
    return (given,) if isinstance(given, int) else tuple(given)


def plane(size: Pair, kernel: Pair, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> ConvSpec:
    """One image of one channel, and one filter."""
    (h, w), (r, s) = size, kernel
    return ConvSpec(n=1, c=1, h=h, w=w, k=1, r=r, s=s, stride=stride, padding=padding, dilation=dilation)


def integers(random: Random, shape: Sequence[int], values: Sequence[int]) -> Tensor:
    """A tensor of float64 with some of the values."""
    count = torch.Size(shape).numel()
    return torch.tensor([float(random.choice(values)) for _ in range(count)], dtype=torch.float64).reshape(*shape)


def walk_of(random: Random, spec: ConvSpec, *, x: Sequence[int] = DIGITS, w: Sequence[int] = WEIGHTS) -> Walk:
    """A proved walk on such numbers, at one of its outputs.

    Raises:
        UnprovedError: a comparison fails.
    """
    cell = Cell(n=0, k=random.randrange(spec.k), p=random.randrange(spec.p), q=random.randrange(spec.q))
    return walk_on(integers(random, spec.x_shape, x), integers(random, spec.w_shape, w), spec, cell)


def walk_on(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Walk:
    """The walk at a cell.

    Raises:
        UnprovedError: a comparison fails.
    """
    found = walk(x, w, spec, cell)
    if not found.holds:
        raise UnprovedError(found.failures)
    return found


def value_with(found: Walk, **changed: Pair) -> int | None:
    """The followed output where stride, padding or dilation is another; None where there is no such output."""
    spec = replace(found.spec, **changed)  # type: ignore[arg-type]  # only pairs are named
    if found.cell.p >= spec.p or found.cell.q >= spec.q:
        return None
    return int(walk_on(found.x, found.w, spec, found.cell).total)


def grid(label: str, numbers: Tensor, role: str) -> QuizGrid:
    """A matrix of whole numbers."""
    return QuizGrid(label=label, rows=tuple(tuple(int(one) for one in row) for row in numbers.tolist()), role=role)


def x_and_w(found: Walk) -> tuple[QuizGrid, ...]:
    """The image and the kernel of a walk of one channel."""
    return grid("x", found.x[0, 0], "patch"), grid("w", found.w[0, 0], "kernel")


def products(pairs: Iterable[tuple[float, float]]) -> str:
    """`7·1 + 8·(-2)`."""
    return " + ".join(f"{_signed(x)}·{_signed(w)}" for x, w in pairs) or "0"


def _signed(value: float) -> str:
    return f"({value:.0f})" if value < 0 else f"{value:.0f}"
