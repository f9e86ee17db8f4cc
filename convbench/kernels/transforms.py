"""Winograd's transforms from their points, exactly, and as instructions.

F(m, r) computes m outputs of a row from t = m + r - 1 inputs with t products, by polynomials that are evaluated at
t - 1 points and at infinity (Toom and Cook; Blahut 2010, section 5.2): y = A^T ((G g) * (B^T d)).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor

from convbench.jit.emit import FloatVector, Function, Int, Pointer

Matrix = tuple[tuple[Fraction, ...], ...]
Points = tuple[Fraction, ...]

TWO: Points = (Fraction(0), Fraction(1), Fraction(-1))
# Half the error of the usual 0, +-1, +-2: the rows of the transforms differ less in size, and all entries of B^T and
# A^T are exact in float32.
FOUR: Points = (Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2))


@dataclass(frozen=True, slots=True)
class WinogradTransforms:
    """B^T (t, t), G (t, r) and A^T (m, t)."""

    inputs: Matrix
    weights: Matrix
    outputs: Matrix

    @classmethod
    @cache
    def of(cls, points: Points, taps: int) -> "WinogradTransforms":
        """Those of F(len(points) + 2 - taps, taps)."""
        inputs = [_product(points, leave_out) for leave_out in range(len(points) + 1)]
        scales = [
            sum(c * point**power for power, c in enumerate(row)) for point, row in zip(points, inputs, strict=False)
        ]
        outputs = len(points) + 2 - taps
        weights = [
            tuple(point**power / scale for power in range(taps)) for point, scale in zip(points, scales, strict=True)
        ]
        weights.append((Fraction(0),) * (taps - 1) + (Fraction(1),))
        back = [(*(point**power for point in points), Fraction(power == outputs - 1)) for power in range(outputs)]
        return cls(tuple(inputs), tuple(weights), tuple(back))

    @property
    def tile(self) -> int:
        """t: inputs of a tile along a row."""
        return len(self.inputs)

    @property
    def step(self) -> int:
        """m: outputs of a tile along a row."""
        return len(self.outputs)

    def of_weights(self, w: Tensor) -> Tensor:
        """G g G^T of (K, C, r, r) in float64, as (t * t, K, C) in float32."""
        g = torch.tensor([[float(one) for one in row] for row in self.weights], dtype=torch.float64)
        return torch.einsum("ia,kcab,jb->ijkc", g, w.double(), g).float().flatten(0, 1)


def _product(points: Points, leave_out: int) -> tuple[Fraction, ...]:
    """The coefficients of the product of (z - point) over the points, without one of them; lowest power first."""
    row = [Fraction(1)]
    for place, point in enumerate(points):
        if place != leave_out:
            row = [high - point * low for high, low in zip([Fraction(0), *row], [*row, Fraction(0)], strict=True)]
    return (*row, *[Fraction(0)] * (len(points) + 1 - len(row)))


def apply_rows(f: Function, matrix: Matrix, values: Sequence[FloatVector]) -> list[FloatVector]:
    """matrix @ values where rows come in pairs, as those of points p and -p do: they share an even and an odd part."""
    done: dict[int, FloatVector] = {}
    for first, row in enumerate(matrix):
        if first in done:
            continue
        twin = next((n for n in range(first + 1, len(matrix)) if n not in done and _are_twins(row, matrix[n])), None)
        if twin is None:
            done[first] = _sum(f, row, values)
            continue
        other = matrix[twin]
        same = _sum(f, [a if a == b else Fraction(0) for a, b in zip(row, other, strict=True)], values)
        opposite = _sum(f, [a if a != b else Fraction(0) for a, b in zip(row, other, strict=True)], values)
        done[first], done[twin] = same + opposite, same - opposite
    return [done[number] for number in range(len(matrix))]


def apply_columns(f: Function, matrix: Matrix, values: Sequence[FloatVector]) -> list[FloatVector]:
    """matrix @ values where columns come in pairs, as in A^T: rows take the sum of two values or their difference."""
    columns = list(zip(*matrix, strict=True))
    terms: list[tuple[Sequence[Fraction], FloatVector]] = []
    paired: set[int] = set()
    for first, column in enumerate(columns):
        if first in paired:
            continue
        twin = next(
            (n for n in range(first + 1, len(columns)) if n not in paired and _are_twins(column, columns[n])), None
        )
        if twin is None:
            terms.append((column, values[first]))
            continue
        paired.add(twin)
        both = list(zip(column, columns[twin], strict=True))
        terms.append(([(a + b) / 2 for a, b in both], values[first] + values[twin]))
        terms.append(([(a - b) / 2 for a, b in both], values[first] - values[twin]))
    return [
        _sum(f, [column[row] for column, _ in terms], [vector for _, vector in terms]) for row in range(len(matrix))
    ]


def transform_down(f: Function, transforms: WinogradTransforms, first: Pointer, step: Int, to: Pointer) -> None:
    """A^T M of the tiles in the lanes: `first` is M's first point, the next is a step away; `to` is [m][t][lane]."""
    t, lanes = transforms.tile, f.lanes

    def down(j: Int, at: Pointer) -> list[Pointer]:
        read = [f.load(at + step * (r * t)) for r in range(t)]
        for r, one in enumerate(apply_columns(f, transforms.outputs, read)):
            f.store(one, to + j * lanes, r * t * lanes)
        return [at + step]

    f.loop(0, t, down, [first])


def transform_across(f: Function, transforms: WinogradTransforms, row: Int, to: Pointer) -> list[FloatVector]:
    """A row of (A^T M) A: the outputs, m vectors."""
    t, lanes = transforms.tile, f.lanes
    read = [f.load(to + row * (t * lanes), j * lanes) for j in range(t)]
    return apply_columns(f, transforms.outputs, read)


def _are_twins(a: Sequence[Fraction], b: Sequence[Fraction]) -> bool:
    """Whether entries are equal or opposite, some of them each."""
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x or y]
    return all(abs(x) == abs(y) for x, y in pairs) and 0 < sum(x == y for x, y in pairs) < len(pairs)


def _sum(f: Function, factors: Sequence[Fraction], values: Sequence[FloatVector]) -> FloatVector:
    """Factors of 1 cost no product; it begins with one, if there is any."""
    terms = sorted(((c, v) for c, v in zip(factors, values, strict=True) if c), key=lambda term: term[0] != 1)
    (factor, value), *others = terms
    total = value if factor == 1 else value * f.constant(factor)
    for factor, value in others:
        if factor == 1:
            total = total + value
        elif factor == -1:
            total = total - value
        else:
            total = f.fma(f.constant(factor), value, total)
    return total
