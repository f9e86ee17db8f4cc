"""Which matrices give m outputs of an r-tap filter with m + r - 1 products? Cook's and Toom's, as exact fractions.

y = A^T [(G g) * (B^T d)] is the transpose of multiplying polynomials by their values at m + r - 1 points,
one of them infinity: Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks, section 4;
Blahut 2010, Fast Algorithms for Signal Processing, section 5.2.

`verify.transforms` has matrices of its own, in float64, for r = 3 and also at irrational points: bounds
need those, and proofs need these.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import islice

from convbench.explain.algorithms.work import Fractions


@dataclass(frozen=True, slots=True, kw_only=True)
class Transforms:
    """A^T (m, t), G (t, r) and B^T (t, t) of F(m, r), with t = m + r - 1.

    The fractions stand in B^T. Libraries put them into G, which is applied once per weight; U * V is the same.
    """

    at: Fractions
    g: Fractions
    bt: Fractions

    def is_convolution(self) -> bool:
        """Whether A^T [(G g) * (B^T d)] is the m outputs for all g and d: each coefficient of g[j]*d[i] is right."""
        return all(
            sum(self.at[a][i] * self.g[i][j] * self.bt[i][place] for i in range(len(self.g))) == int(place == a + j)
            for a in range(len(self.at))
            for j in range(len(self.g[0]))
            for place in range(len(self.bt))
        )


def points() -> Iterator[Fraction]:
    """0, 1, -1, 2, -2, 1/2, -1/2, 3, -3, 1/3, ...: small ones first, for they keep the matrices' numbers small."""
    yield Fraction(0)
    size = 1
    while True:
        for point in (Fraction(size), Fraction(1, size)) if size > 1 else (Fraction(1),):
            yield point
            yield -point
        size += 1


@cache
def cook_toom(m: int, r: int) -> Transforms:
    """F(m, r) at the first m + r - 2 points and at infinity."""
    size = m + r - 1
    finite = list(islice(points(), size - 1))
    rows = []
    for i, point in enumerate(finite):  # the polynomial that is 1 at this point and 0 at the others
        others = finite[:i] + finite[i + 1 :]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        rows.append((*(coefficient / scale for coefficient in _with_roots(others)), Fraction(0)))
    rows.append(tuple(_with_roots(finite)))
    return Transforms(
        at=tuple((*(point**power for point in finite), Fraction(int(power == m - 1))) for power in range(m)),
        g=(*(tuple(point**power for power in range(r)) for point in finite), _last(r)),
        bt=tuple(rows),
    )


def _last(r: int) -> tuple[Fraction, ...]:
    """What infinity sees of a polynomial: its highest coefficient."""
    return tuple(Fraction(int(power == r - 1)) for power in range(r))


def _with_roots(roots: list[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (z - root), the constant first."""
    row = [Fraction(1)]
    for root in roots:
        row = [shifted - root * kept for shifted, kept in zip([Fraction(0), *row], [*row, Fraction(0)], strict=True)]
    return row
