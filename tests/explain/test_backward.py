"""Are the gradients of x and of w right, and is each wrong number of them found?"""

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from convbench import ConvSpec
from convbench.explain.backward import Backward, GradientTerm, backward, gradient, prove
from convbench.explain.walk import choose_cell, small_integers, walk

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
AWKWARD = ConvSpec.parse("n2c4h8w9k6r3s2_st2x1_pd1x0_dl1x2_g2")


def backward_of(spec: ConvSpec, *, ones: bool = False, **choice: Any) -> Backward:
    found = walk(*small_integers(spec), spec, choose_cell(spec, **choice))
    return backward(found, gradient(spec, ones=ones))


def failures(found: Backward) -> set[str]:
    return {comparison.name for comparison in prove(found) if not comparison.holds}


def test_ones_on_the_note_give_the_gradients_known_of_it() -> None:
    found = backward_of(NOTE, ones=True)
    assert found.dx[0, 0].tolist() == [[1, 3, 3, 2], [4, 10, 10, 6], [4, 10, 10, 6], [3, 7, 7, 4]]
    assert found.dw[0, 0].tolist() == [[54, 63], [90, 99]]
    assert found.overlaps.tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert sorted(part.operand for part in found.into_pixel) == [1, 2, 3, 4]
    assert [part.operand for part in found.into_tap] == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert found.holds


def test_strides_that_leave_rows_over_are_told_to_the_transposed_convolution() -> None:
    found = backward_of(ConvSpec.parse("n1c3h10w11k4r3s3_st4x3"))
    assert found.output_padding == (3, 2)
    assert found.dx[:, :, 9].abs().sum() == 0
    assert found.holds


def test_the_pixel_and_the_tap_belong_to_the_followed_cell_s_group() -> None:
    found = backward_of(AWKWARD, filter_index=4)
    assert found.pixel[1] in (2, 3)
    assert {part.place[0] for part in found.into_pixel} == {3, 4, 5}
    assert found.tap[0] == 4
    assert {part.place[0] for part in found.into_tap} == {0, 1}
    assert found.holds


def test_the_same_seed_gives_the_same_gradient_and_never_a_zero() -> None:
    one, again, other = (
        gradient(AWKWARD, 3, ones=False),
        gradient(AWKWARD, 3, ones=False),
        gradient(AWKWARD, ones=False),
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.unique().tolist() == [-3, -2, -1, 1, 2, 3]


def test_a_cell_that_reads_padding_alone_has_gradients_too() -> None:
    assert backward_of(ConvSpec.parse("n1c1h2w2k1r1s1_pd2"), at=(0, 0)).holds
    assert backward_of(ConvSpec.parse("n1c1h3w3k1r1s1_st3_pd1"), at=(0, 0)).holds


RIGHT = backward_of(AWKWARD, filter_index=4)
TENSORS = [field.name for field in fields(Backward) if isinstance(getattr(RIGHT, field.name), torch.Tensor)]


@pytest.mark.parametrize("name", TENSORS)
def test_a_wrong_number_in_any_tensor_is_found(name: str) -> None:
    wrong = getattr(RIGHT, name).clone()
    wrong.view(-1)[-1] += 1
    assert failures(replace(RIGHT, **{name: wrong}))


def test_an_error_is_met_by_the_comparisons_that_are_there_for_it() -> None:
    assert failures(replace(RIGHT, columns=RIGHT.columns + 1)) == {"columns", "own"}
    assert failures(replace(RIGHT, overlaps=RIGHT.overlaps + 1)) == {"overlaps", "pixel"}
    assert failures(replace(RIGHT, dx=RIGHT.dx + 1)) == {"dx", "pixel"}
    assert failures(replace(RIGHT, dw=RIGHT.dw + 1)) == {"dw", "tap"}


@pytest.mark.parametrize(
    ("name", "at"), [("pixel", i) for i in range(4)] + [("tap", i) for i in range(4)] + [("cell", 0)]
)
def test_another_place_than_the_one_followed_is_found(name: str, at: int) -> None:
    if name == "cell":
        wrong: Any = replace(RIGHT.cell, k=RIGHT.cell.k - 1)
    else:
        place = list(getattr(RIGHT, name))
        place[at] += -1 if place[at] else 1
        wrong = tuple(place)
    assert failures(replace(RIGHT, **{name: wrong}))


def moved(part: GradientTerm, axis: int) -> Any:
    place = list(part.place)
    place[axis] += 1
    return tuple(place)


@pytest.mark.parametrize("name", ["into_pixel", "into_tap"])
def test_a_wrong_or_a_missing_product_is_found(name: str) -> None:
    parts: tuple[GradientTerm, ...] = getattr(RIGHT, name)
    first = parts[0]
    wrongs = [
        parts[1:],
        (replace(first, operand=first.operand + 1), *parts[1:]),
        (replace(first, g=first.g + 1), *parts[1:]),
        *((replace(first, place=moved(first, i)), *parts[1:]) for i in range(5)),
    ]
    for wrong in wrongs:
        assert failures(replace(RIGHT, **{name: wrong}))  # type: ignore[arg-type]  # the two hold parts


@pytest.mark.parametrize("name", ["group", "first_row", "own", "output_padding", "multiplications"])
def test_a_wrong_number_of_any_property_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = getattr(RIGHT, name)
    wrong = (value[0] - 1, value[1]) if isinstance(value, tuple) else value + 1
    monkeypatch.setattr(Backward, name, property(lambda _: wrong))
    assert failures(RIGHT)


def test_an_unproved_gradient_does_not_hold() -> None:
    assert not replace(RIGHT, proof=()).holds
