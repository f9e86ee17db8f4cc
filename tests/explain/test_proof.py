"""Can the proof fail? Each wrong number must be met by the comparison that is there for it."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from convbench import ConvSpec
from convbench.explain.proof import compare, prove
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk

SPEC = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")


@pytest.fixture
def right() -> Walk:
    return walk(*small_integers(SPEC), SPEC, choose_cell(SPEC))


def failures(found: Walk, **changed: Any) -> set[str]:
    steps = {
        name: changed.get(name, getattr(found, name))
        for name in ("x", "w", "spec", "cell", "one_cell", "axes", "variants", "unfolded", "multiplied", "reshaped")
    }
    return {comparison.name for comparison in prove(**steps) if not comparison.holds}


def off_by_one(tensor: torch.Tensor) -> torch.Tensor:
    wrong = tensor.clone()
    wrong.view(-1)[-1] += 1
    return wrong


def test_a_right_walk_fails_nothing(right: Walk) -> None:
    assert failures(right) == set()


def test_one_wrong_output_is_found_by_every_way_to_the_output(right: Walk) -> None:
    wrong = replace(right.reshaped, y=off_by_one(right.reshaped.y))
    assert failures(right, reshaped=wrong) == {"loops", "einsum", "oracle"}


def test_one_wrong_patch_number_is_found(right: Walk) -> None:
    wrong = replace(right.unfolded, patches=off_by_one(right.unfolded.patches))
    assert failures(right, unfolded=wrong) == {"unfold"}


def test_a_wrong_padding_mark_is_found(right: Walk) -> None:
    wrong = replace(right.unfolded, padding=~right.unfolded.padding)
    assert failures(right, unfolded=wrong) == {"padding"}


def test_a_wrong_overlap_is_found(right: Walk) -> None:
    wrong = replace(right.reshaped, folded=off_by_one(right.reshaped.folded))
    assert failures(right, reshaped=wrong) == {"fold"}


def test_a_wrong_sum_of_the_cell_is_found(right: Walk) -> None:
    assert failures(right, one_cell=replace(right.one_cell, total=right.one_cell.total + 1)) == {"loops"}
    assert failures(right, one_cell=replace(right.one_cell, flipped=0.5)) == {"flipped"}


def test_a_wrong_size_is_found(right: Walk) -> None:
    rows, columns = right.axes
    assert failures(right, axes=(replace(rows, positions=rows.positions + 1), columns)) == {"sizes"}


def test_a_wrong_ledger_is_found(right: Walk) -> None:
    assert failures(right, multiplied=replace(right.multiplied, additions=0)) == {"work"}


def test_a_wrong_kernel_is_found_by_everything_that_multiplies(right: Walk) -> None:
    assert failures(right, w=right.w.flip(3)) >= {"loops", "flipped", "einsum", "oracle"}


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


def test_another_shape_and_nan_never_hold() -> None:
    assert not compare("shape", "another", torch.zeros(2), torch.zeros(3)).holds
    assert not compare("nan", "itself", torch.tensor([torch.nan]), torch.tensor([torch.nan])).holds
