"""What is in an answer to a question, and how is it proved?

The author of an answer fills a sheet: each number is stored with the same number computed in another way, and
a sentence can only quote numbers from it. So every quoted number has been compared first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from convbench.explain.proof import compare
from convbench.explain.steps import Cell, Comparison, Term
from convbench.explain.walk import list_terms, small_integers
from convbench.spec import ConvSpec

Number = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """One output as a sum of products: (number of x or None on padding, number of w) each, and the total."""

    lead: str
    products: tuple[tuple[float | None, float], ...]
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberGrid:
    """A matrix with its coordinates.

    Attributes:
        numbers: (rows, columns).
        role: of the marked ones: patch, kernel, output.
        marked: (rows, columns) bool.
        origin: coordinates of the first row and column; negative on padding.
        rows: names of the rows; their coordinates where empty.
    """

    label: str
    numbers: Tensor
    role: str = "patch"
    marked: Tensor | None = None
    origin: tuple[int, int] = (0, 0)
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Numbers under names, a row for each case; NaN if there is none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Number, ...]], ...]


Part = Say | Sum | NumberGrid | Table


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyAnswer:
    """One question answered on one problem.

    Attributes:
        asked: the problem that it was asked on.
        spec: the one that it is shown on; another where `asked` cannot show it, and `stand_in` says why.
        short: the answer in a sentence or two.
        notes: what is often said and is not the whole truth.
        sources: where it is written, and where people asked.
        numbers: every number that a sentence quotes, by name.
        proof: each number and matrix against another way to it.
    """

    name: str
    question: str
    asked: ConvSpec
    spec: ConvSpec
    stand_in: str
    short: str
    parts: tuple[Part, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...]
    numbers: dict[str, Any]
    proof: tuple[Comparison, ...]

    @property
    def holds(self) -> bool:
        """Whether it is proved and every comparison holds; only then may it be shown."""
        return bool(self.proof) and all(comparison.holds for comparison in self.proof)


@dataclass(kw_only=True)
class Sheet:
    """The sheet of an answer: the problem with its numbers, and what was found so far.

    x (N, C, H, W) and w (K, C/G, R, S) hold integers in float64, so sums are exact.
    """

    spec: ConvSpec
    cell: Cell
    seed: int = 0
    stand_in: str = ""
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    proof: list[Comparison] = field(default_factory=list)

    # The problem.

    @cached_property
    def operands(self) -> tuple[Tensor, Tensor]:
        return small_integers(self.spec, self.seed)

    @property
    def x(self) -> Tensor:
        return self.operands[0]

    @property
    def w(self) -> Tensor:
        return self.operands[1]

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The products of the cell, by the definition."""
        return list_terms(self.x, self.w, self.spec, self.cell)

    @property
    def one(self) -> ConvSpec:
        """The part of the problem that the cell's filter sees in the cell's image: one group, one filter."""
        return replace(self.spec, n=1, c=self.spec.c_per_group, k=1, groups=1)

    @property
    def one_x(self) -> Tensor:
        """(1, C/G, H, W)."""
        first = self.cell.k // self.spec.k_per_group * self.spec.c_per_group
        return self.x[self.cell.n, first : first + self.spec.c_per_group][None]

    @property
    def one_w(self) -> Tensor:
        """(1, C/G, R, S)."""
        return self.w[self.cell.k][None]

    @property
    def at_cell(self) -> Tensor:
        """(P, Q) bool, the followed output."""
        marked = torch.zeros((self.spec.p, self.spec.q), dtype=torch.bool)
        marked[self.cell.p, self.cell.q] = True
        return marked

    @property
    def cell_name(self) -> str:
        return f"y[{self.cell.n},{self.cell.k},{self.cell.p},{self.cell.q}]"

    # What was found.

    def number(self, name: str, value: Any, again: Any, by: str, *, within: float = 0.0) -> Any:
        """Put a number, or a tuple of integers, on the sheet, with the same from another way."""
        self.numbers[name] = value
        self.check(name, value, again, by, within=within)
        return value

    def word(self, name: str, text: str) -> str:
        """Add a quote, such as a message or a name. It is not proved."""
        self.numbers[name] = text
        return text

    def given(self, **numbers: Any) -> None:
        """Add a value of the problem itself, such as a size or a stride. It is given, not proved."""
        self.numbers |= numbers

    def check(self, name: str, got: Any, want: Any, by: str, *, within: float = 0.0) -> None:
        """Compare two computations of the same numbers; they must be equal, or within `within`."""
        left, right = (torch.as_tensor(one, dtype=torch.float64) for one in (got, want))
        found = compare(name, by, left, right)
        if not found.holds and left.shape == right.shape and found.worst <= within:
            found = replace(found, evidence=None)
        self.proof.append(found)

    def grid(self, label: str, numbers: Tensor, again: Tensor, by: str, **how: Any) -> None:
        self.check(label, numbers, again, by)
        self.parts.append(NumberGrid(label=label, numbers=numbers, **how))

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[tuple[str, Sequence[Number]]],
        again: Sequence[Sequence[Number]],
        by: str,
        *,
        within: float = 0.0,
    ) -> None:
        """Rows of a name and its numbers; `again` holds the same numbers from another way."""
        named = tuple((name, tuple(numbers)) for name, numbers in rows)
        self.check(", ".join(columns), [numbers for _, numbers in named], list(again), by, within=within)
        self.parts.append(Table(columns=tuple(columns), rows=named))

    def sum(self, lead: str, terms: Sequence[tuple[float | None, float]], again: float, by: str) -> None:
        """A sum of products and its total, which must be `again`."""
        total = sum((x or 0.0) * w for x, w in terms)
        self.check(lead, total, again, by)
        self.parts.append(Sum(lead=lead, products=tuple(terms), total=total))

    # What is said of it.

    def words(self, template: str) -> str:
        """The template with numbers of the sheet in its places."""
        return template.format_map(
            self.numbers | {name: set_text(one) for name, one in self.numbers.items() if isinstance(one, tuple)}
        )

    def count(self, name: str, noun: str) -> str:
        """A template for a number of the sheet and what it counts: `{taps:,} element`, `{taps:,} elements`."""
        return f"{{{name}:,}} {noun}{'' if self.numbers[name] == 1 else 's'}"

    def say(self, template: str) -> None:
        self.parts.append(Say(text=self.words(template)))

    def note(self, template: str) -> None:
        self.notes.append(self.words(template))


def set_text(values: Sequence[int]) -> str:
    """`{0,1,2}`, or `{0,1,...,14}` when long."""
    shown = [str(value) for value in values]
    if len(shown) > 7:
        shown = [*shown[:2], "…", shown[-1]]
    return "{" + ",".join(shown) + "}"
