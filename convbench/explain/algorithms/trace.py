"""What did one algorithm do with the numbers, how much work did it take, and is it right?

A trace has the intermediate results of one algorithm from x and w to y. `Algorithm.run` compares
every number of it with a second way to the same number; integers and fractions must be equal. Names of
sizes and indices are templates ($P, $kh) until `Trace.in_letters` writes them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, astuple, dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from convbench.explain.algorithms.work import Counts, Fractions
from convbench.explain.letters import Letters
from convbench.explain.proof import compare, compare_all
from convbench.explain.steps import Cell, Comparison
from convbench.ran.by_torch import convolve
from convbench.spec import ITEM_NBYTES, ConvSpec
from convbench.verify.oracle import conv2d_float64

ANSWER = "answer"  # the comparisons of all of y
ITEM = ITEM_NBYTES["fp32"]

Numbers = Tensor | Fractions
Role = str  # "patch", "kernel", "output", or "" for what is none of them


@dataclass(frozen=True, slots=True)
class Matrix:
    """Numbers on the way, as rows and columns.

    Attributes:
        numbers: (rows, columns), a tensor or exact fractions.
        followed: (rows, columns) bool, what the followed cell is made from or adds to.
        role: of those numbers; one for each row where rows differ.
        rows, columns: their names; their numbers where empty.
        aside: (rows, columns) bool, what is not part of the answer: a structural zero, an output that wrapped around.
    """

    label: str
    numbers: Numbers
    followed: Tensor
    _: KW_ONLY
    role: Role | tuple[Role, ...] = ""
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    aside: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence with numbers in it, each of them proved: `text` has a {} for each value."""

    text: str
    values: tuple[int | float, ...]

    def __str__(self) -> str:
        return self.text.format(*(f"{value:,}" if isinstance(value, int) else f"{value:.3g}" for value in self.values))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmStage:
    """One step of an algorithm: what it is called, its formula, what it leaves, and what to know of it."""

    title: str
    formula: str
    matrices: tuple[Matrix, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One algorithm on x and w: its stages for the followed cell, all of y (N, K, P, Q), and what it cost."""

    name: str
    title: str
    idea: str
    source: str
    spec: ConvSpec
    cell: Cell
    stages: tuple[AlgorithmStage, ...]
    y: Tensor
    counts: Counts
    proof: tuple[Comparison, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it is proved and every comparison holds; only then may it be shown."""
        return bool(self.proof) and all(comparison.holds for comparison in self.proof)

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        return tuple(matrix for stage in self.stages for matrix in stage.matrices)

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(fact for stage in self.stages for fact in stage.facts)

    def in_letters(self, letters: Letters) -> "Trace":
        """With the names of sizes and indices in these letters."""
        write = letters.write
        stages = tuple(
            replace(
                stage,
                formula=write(stage.formula),
                matrices=tuple(
                    replace(
                        matrix,
                        label=write(matrix.label),
                        rows=tuple(map(write, matrix.rows)),
                        columns=tuple(map(write, matrix.columns)),
                    )
                    for matrix in stage.matrices
                ),
                facts=tuple(replace(fact, text=write(fact.text)) for fact in stage.facts),
            )
            for stage in self.stages
        )
        idea = write(self.idea)
        return replace(
            self, idea=idea, stages=stages, proof=tuple(replace(one, name=write(one.name)) for one in self.proof)
        )

    @property
    def moved_nbytes(self) -> int:
        """In fp32: x, w and y once, every intermediate written once and read once; caches may save some of it."""
        return self.spec.nbytes("fp32") + 2 * ITEM * self.counts.stored

    @property
    def extra_nbytes(self) -> int:
        """In fp32: what is held besides x, w and y."""
        return ITEM * self.counts.held


@dataclass(frozen=True, slots=True)
class Second:
    """The numbers of one matrix by another way.

    Attributes:
        against: that way, in words.
        bound: how far apart the two may be; integers and fractions must be equal.
    """

    label: str
    against: str
    numbers: Numbers
    followed: Tensor
    _: KW_ONLY
    aside: Tensor | None = None
    bound: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """A trace by other ways: each matrix, the values of each fact, and the counts by formulas."""

    matrices: tuple[Second, ...]
    values: tuple[tuple[int | float, ...], ...]
    counts: Counts
    bound: float = 0.0  # of y


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """One way to compute a convolution, and a second computation of everything that it shows.

    Attributes:
        idea: what it does, in a sentence.
        why_not: why a problem is beyond it, in words; None if it is not.
        form: the trace of x (N, C, H, W) and w (K, C/G, R, S) in float64, unproved.
        again: the same by other ways.
    """

    name: str
    title: Callable[[ConvSpec], str]
    idea: str
    source: str
    why_not: Callable[[ConvSpec], str | None]
    form: Callable[["Algorithm", Tensor, Tensor, ConvSpec, Cell], Trace]
    again: Callable[[Tensor, Tensor, ConvSpec, Cell], Again]

    def run(self, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
        """The trace with its proof."""
        unproved = self.form(self, x, w, spec, cell)
        return replace(unproved, proof=tuple(self.prove(unproved, x, w)))

    def trace(self, spec: ConvSpec, cell: Cell, stages: Sequence[AlgorithmStage], y: Tensor, counts: Counts) -> Trace:
        """An unproved trace of this algorithm."""
        return Trace(
            name=self.name,
            title=self.title(spec),
            idea=self.idea,
            source=self.source,
            spec=spec,
            cell=cell,
            stages=tuple(stages),
            y=y,
            counts=counts,
        )

    def prove(self, trace: Trace, x: Tensor, w: Tensor) -> Iterator[Comparison]:
        """Every comparison: the answer twice, each matrix, each value of a fact, each count."""
        spec = trace.spec
        again = self.again(x, w, spec, trace.cell)
        conv2d = convolve(x, w, spec)
        yield close(ANSWER, "F.conv2d in float64", trace.y, conv2d, again.bound)
        yield close(ANSWER, "shifted views of x, summed", trace.y, conv2d_float64(x, w, spec), again.bound)
        yield same_words("labels", [matrix.label for matrix in trace.matrices], [one.label for one in again.matrices])
        for matrix, second in zip(trace.matrices, again.matrices, strict=False):
            yield same_numbers(matrix.label, second.against, matrix.numbers, second.numbers, second.bound)
            yield compare(f"{matrix.label}, followed", "the same", matrix.followed, second.followed)
            if matrix.aside is not None or second.aside is not None:
                nothing = torch.zeros(0, dtype=torch.bool)
                asides = [nothing if aside is None else aside for aside in (matrix.aside, second.aside)]
                yield compare(f"{matrix.label}, aside", "the same", *asides)
        values = [value for fact in trace.facts for value in fact.values]
        yield compare_all("facts", "counted otherwise", [(values, [v for each in again.values for v in each])])
        yield compare_all("counts", "formulas of the sizes", [(_flat(trace.counts), _flat(again.counts))])
        operands = (x.numel() + w.numel() + conv2d.numel()) * ITEM
        bytes_ = [operands + 2 * ITEM * again.counts.stored, ITEM * again.counts.held]
        yield compare_all("bytes", "sizes of the tensors", [([trace.moved_nbytes, trace.extra_nbytes], bytes_)])


def same_numbers(name: str, against: str, got: Numbers, want: Numbers, bound: float = 0.0) -> Comparison:
    """Whether two matrices are equal, or no further apart than their bound."""
    if isinstance(got, Tensor) and isinstance(want, Tensor):
        return close(name, against, got, want, bound)
    ours, theirs = _fractions(got), _fractions(want)
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        return Comparison(name=name, against=against, compared=0, worst=float("inf"), evidence="another shape")
    pairs = [
        (i, j, one, other)
        for i, rows in enumerate(zip(ours, theirs, strict=True))
        for j, (one, other) in enumerate(zip(*rows, strict=True))
    ]
    wrong = [f"[{i},{j}]: {one}, expected {other}" for i, j, one, other in pairs if one != other]
    return Comparison(
        name=name,
        against=against,
        compared=len(pairs),
        worst=float(max((abs(one - other) for _, _, one, other in pairs), default=0)),
        evidence=f"{len(wrong):,} of {len(pairs):,} fractions differ, first at {wrong[0]}" if wrong else None,
    )


def close(name: str, against: str, got: Tensor, want: Tensor, bound: float) -> Comparison:
    """Whether two tensors of one shape differ by at most the bound; with 0, whether they are equal."""
    if bound == 0 or got.shape != want.shape:
        return compare(name, against, got, want)
    worst = float((got - want).abs().max()) if got.numel() else 0.0
    return Comparison(
        name=name,
        against=against,
        compared=got.numel(),
        worst=worst,
        # Not `worst > bound`: NaN is within no bound.
        evidence=None if worst <= bound else f"{worst:.3g} apart, and the bound is {bound:.3g}",
    )


def same_words(name: str, got: Iterable[str], want: Iterable[str]) -> Comparison:
    ours, theirs = list(got), list(want)
    evidence = None if ours == theirs else f"{ours}, expected {theirs}"
    return Comparison(name=name, against="the second way's", compared=len(ours), worst=0.0, evidence=evidence)


def _fractions(numbers: Numbers) -> Fractions:
    if isinstance(numbers, Tensor):
        return tuple(tuple(Fraction(value) for value in row) for row in numbers.tolist())
    return numbers


def _flat(counts: Counts) -> list[int]:
    core, transform, weights, stored, held = astuple(counts)
    return [*core, *transform, *weights, stored, held]
