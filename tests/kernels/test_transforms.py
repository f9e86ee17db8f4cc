"""Winograd's transforms are exact: no number in them is rounded before it is a float32."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convbench.backends import winograd
from convbench.kernels.transforms import FOUR, TWO, Matrix, Points, WinogradTransforms

SIX: Points = (*FOUR, Fraction(1), Fraction(-1))
small = st.integers(-99, 99).map(Fraction)


def times(matrix: Matrix, values: list[Fraction]) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, values, strict=True)), Fraction(0)) for row in matrix]


@pytest.mark.parametrize(("points", "taps"), [(TWO, 3), (FOUR, 3), (FOUR, 5), (SIX, 3), (TWO, 2)])
@given(data=st.data())
@settings(max_examples=10)
def test_the_transforms_give_the_very_sums(points: Points, taps: int, data: st.DataObject) -> None:
    transforms = WinogradTransforms.of(points, taps)
    x = data.draw(st.lists(small, min_size=transforms.tile, max_size=transforms.tile))
    w = data.draw(st.lists(small, min_size=taps, max_size=taps))
    products = [a * b for a, b in zip(times(transforms.weights, w), times(transforms.inputs, x), strict=True)]
    expected = [sum((x[i + j] * w[j] for j in range(taps)), Fraction(0)) for i in range(transforms.step)]
    assert times(transforms.outputs, products) == expected


@pytest.mark.parametrize(("points", "taps"), [(TWO, 3), (FOUR, 3), (FOUR, 5)])
def test_what_is_multiplied_in_the_kernel_is_a_float32(points: Points, taps: int) -> None:
    transforms = WinogradTransforms.of(points, taps)
    for entry in sum((*transforms.inputs, *transforms.outputs), ()):
        assert entry.denominator & (entry.denominator - 1) == 0  # a power of two
        assert abs(entry.numerator).bit_length() <= 24


def test_the_description_of_the_backend_names_the_points_of_each_tile() -> None:
    described = (winograd.__doc__ or "").splitlines()[0]
    assert described.endswith("F(4x4, 3x3) and F(2x2, 5x5) with points 0, +-5/8, +-3/2, F(2x2, 3x3) with 0, +-1.")
    assert {abs(point) for point in FOUR} == {0, Fraction(5, 8), Fraction(3, 2)}
    assert {abs(point) for point in TWO} == {0, 1}
    assert [WinogradTransforms.of(points, taps).step for points, taps in ((FOUR, 3), (TWO, 3), (FOUR, 5))] == [4, 2, 2]
