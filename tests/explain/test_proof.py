"""Can the proof fail? Each wrong number must be met by the comparison that is there for it."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch

from convbench import ConvSpec
from convbench.explain.proof import compare, compare_all, prove
from convbench.explain.steps import SlidingAxis, Term, Variant, Walk
from convbench.explain.walk import choose_cell, small_integers, walk

# It has groups, padding, and a row of x (2) that is never read.
SPEC = ConvSpec.parse("n2c4h5w9k6r3s2_st4x1_pd1x0_dl1x2_g2")


def make_walk() -> Walk:
    """Of a cell inside the output, so that the next one is an output too."""
    return walk(*small_integers(SPEC), SPEC, choose_cell(SPEC, at=(0, 1), filter_index=4))


@pytest.fixture(scope="module")
def right() -> Walk:
    return make_walk()


def failures(found: Walk) -> set[str]:
    return {comparison.name for comparison in prove(found) if not comparison.holds}


def off_by_one(tensor: torch.Tensor) -> torch.Tensor:
    wrong = tensor.clone().contiguous()
    wrong.view(-1)[-1] = ~wrong.view(-1)[-1] if wrong.dtype == torch.bool else wrong.view(-1)[-1] + 1
    return wrong


def spoiled(value: Any) -> Iterator[tuple[str, Any]]:
    """Where each number of a value stands, and the value with that number wrong.

    Texts name things and hold no number.
    """
    if isinstance(value, torch.Tensor):
        yield "", off_by_one(value)
    elif isinstance(value, bool):
        yield "", not value
    elif isinstance(value, int | float):
        yield "", value + 1
    elif isinstance(value, ConvSpec):
        yield ".h", replace(value, h=value.h + value.stride[0])
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for place, wrong in spoiled(getattr(value, field.name)):
                yield f".{field.name}{place}", replace(value, **{field.name: wrong})
    elif isinstance(value, tuple):
        for i in {0, len(value) - 1} if value else ():
            for place, wrong in spoiled(value[i]):
                yield f"[{i}]{place}", (*value[:i], wrong, *value[i + 1 :])


def always(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def properties(kind: type) -> list[str]:
    return [name for name, member in vars(kind).items() if isinstance(member, property)]


# What was asked, and what came of the proof, are not steps.
STORED = {place: wrong for place, wrong in spoiled(make_walk()) if not place.startswith((".spec", ".proof"))}
WORDS = {(Walk, "formula"), (Walk, "holds"), (Walk, "failures"), (Variant, "change")}
COMPUTED = [
    (kind, name)
    for kind in (Walk, SlidingAxis, Term, Variant)
    for name in properties(kind)
    if (kind, name) not in WORDS
]


def test_a_right_walk_fails_nothing(right: Walk) -> None:
    assert failures(right) == set()
    assert right.holds


def test_every_stored_field_is_spoiled() -> None:
    reached = {place.split("[")[0].split(".")[1] for place in STORED}
    assert reached == {field.name for field in fields(Walk)} - {"spec", "proof"}
    assert {f".cell.{field.name}" for field in fields(choose_cell(SPEC))} <= set(STORED)
    assert {f".terms[0].{field.name}" for field in fields(Term)} <= set(STORED)


@pytest.mark.parametrize("place", STORED)
def test_a_wrong_number_in_any_field_is_found(place: str) -> None:
    assert failures(STORED[place])


@pytest.mark.parametrize(("kind", "name"), COMPUTED, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_number_of_any_property_is_found(
    kind: type, name: str, right: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = {Walk: right, SlidingAxis: right.axes[0], Term: right.terms[0], Variant: right.variants[0]}[kind]
    wrongs = dict(spoiled(getattr(holder, name)))
    assert wrongs
    for place, wrong in wrongs.items():
        monkeypatch.setattr(kind, name, property(always(wrong)))
        assert failures(right), place


def test_a_missing_term_is_found(right: Walk) -> None:
    assert "cell" in failures(replace(right, terms=right.terms[:-1]))


def test_an_error_is_met_by_the_comparisons_that_are_there_for_it(right: Walk) -> None:
    assert failures(replace(right, y_flat=off_by_one(right.y_flat))) == {"loops", "einsum", "oracle"}
    assert failures(replace(right, patches=off_by_one(right.patches))) == {"unfold"}
    assert failures(replace(right, folded=off_by_one(right.folded))) == {"fold"}
    assert failures(replace(right, padding=off_by_one(right.padding))) == {"padding", "work"}
    assert failures(replace(right, w=right.w.flip(3))) >= {"loops", "cell", "flipped", "einsum", "oracle"}


def test_an_unproved_walk_does_not_hold(right: Walk) -> None:
    assert not replace(right, proof=()).holds


def test_a_wrong_float32_convolution_is_found(right: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    conv2d = torch.nn.functional.conv2d

    def rounded(x: torch.Tensor, *others: Any) -> torch.Tensor:
        y = conv2d(x, *others)
        return y.half().float() * 1.001 if y.dtype == torch.float32 else y

    monkeypatch.setattr(torch.nn.functional, "conv2d", rounded)
    assert "float32" in failures(right)


def test_what_differs_is_said_with_its_place_and_both_numbers() -> None:
    found = compare("sum", "another", torch.tensor([[1.0, 2.0], [3.0, 5.0]]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert found.evidence == "1 of 4 numbers differ, first at [1,1]: 5, expected 4"
    assert found.worst == 1
    found = compare_all("sums", "others", [(1, 1), ((2, 3), (2, 4)), (5, 6)])
    assert found.evidence == "1 of 2 numbers differ, first at [1]: 3, expected 4"


def test_another_shape_and_nan_never_hold() -> None:
    assert not compare("shape", "another", torch.zeros(2), torch.zeros(3)).holds
    assert not compare("nan", "itself", torch.tensor([torch.nan]), torch.tensor([torch.nan])).holds
