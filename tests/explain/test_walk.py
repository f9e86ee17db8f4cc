"""Are the numbers of each step what the note and torch say?"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given

from convbench import ConvSpec
from convbench.errors import ConvbenchError
from convbench.explain.steps import Walk, measure_axes
from convbench.explain.walk import affordable, choose_cell, small_integers, walk
from convbench.verify.oracle import count_terms
from tests.strategies import specs

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
AWKWARD = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")


def walk_of(spec: ConvSpec, **choice: int) -> Walk:
    return walk(*small_integers(spec), spec, choose_cell(spec, **choice))  # type: ignore[arg-type]


def test_the_note_s_numbers_come_out_at_every_step() -> None:
    found = walk_of(NOTE)
    assert found.x.flatten().tolist() == list(range(1, 17))
    assert found.w.flatten().tolist() == [1, 2, 3, 4]
    assert [term.product for term in found.terms] == [7, 16, 33, 48]
    assert (found.total, found.flipped) == (104, 86)
    assert [axis.positions for axis in found.axes] == [3, 3]
    assert [(variant.spec.p, variant.spec.q) for variant in found.variants] == [(2, 2), (2, 2), (5, 5)]
    assert found.patches.shape == (1, 4, 9)
    assert found.own[:, found.position].tolist() == [7, 8, 11, 12]
    assert (found.x_nbytes, found.patches_nbytes, found.growth) == (64, 144, 2.25)
    assert (found.formula, found.gemm) == ("bpl,op->bol", (1, 9, 4))
    assert (found.multiplications, found.additions) == (36, 27)
    assert found.y[0, 0].tolist() == [[44, 54, 64], [84, 94, 104], [124, 134, 144]]
    assert (found.seen, found.seen_readers) == ((0, 1, 2), 4)
    assert found.folded[0, 1, 2] == 28
    assert found.holds


def test_the_first_cell_is_44_and_26_if_the_kernel_were_flipped() -> None:
    found = walk(*small_integers(NOTE), NOTE, choose_cell(NOTE, at=(0, 0)))
    assert (found.total, found.flipped) == (44, 26)


def test_a_filter_meets_the_channels_and_the_patch_rows_of_its_own_group() -> None:
    found = walk_of(AWKWARD, filter_index=4)
    assert found.group == 1
    assert {term.channel for term in found.terms} == {2, 3}
    assert found.first_row == 12
    assert found.taps[:3] == ((2, 0, 0), (2, 0, 1), (2, 1, 0))
    assert found.formula == "bgpl,gop->bgol"
    assert torch.equal(found.own, found.patches[0, 12:])
    assert torch.equal(found.w_row, found.w[4].flatten())


@given(spec=specs(least_batch=1))
def test_every_walk_holds_and_agrees_with_torch(spec: ConvSpec) -> None:
    found = walk_of(spec)
    assert found.holds, [comparison for comparison in found.proof if not comparison.holds]
    y = F.conv2d(found.x, found.w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
    assert torch.equal(found.y, y)
    assert found.total == y[found.cell.n, found.cell.k, found.cell.p, found.cell.q]
    column = [term.x for term in found.terms]
    assert column == found.own[:, found.position].tolist()
    assert found.macs - found.on_padding == spec.n * spec.k * count_terms(spec).sum()


@given(spec=specs(least_batch=1))
def test_a_row_is_unread_exactly_when_its_gradient_is_zero(spec: ConvSpec) -> None:
    x = torch.ones(spec.x_shape, dtype=torch.float64, requires_grad=True)
    w = torch.ones(spec.w_shape, dtype=torch.float64)
    F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups).sum().backward()
    assert x.grad is not None
    reached = x.grad[0, 0] != 0
    rows, columns = measure_axes(spec)
    if len(columns.unread) < spec.w:
        assert list(rows.unread) == (~reached.any(dim=1)).nonzero().flatten().tolist()
    if len(rows.unread) < spec.h:
        assert list(columns.unread) == (~reached.any(dim=0)).nonzero().flatten().tolist()


def test_a_stride_beyond_the_kernel_and_the_floor_leave_rows_unread() -> None:
    rows, columns = measure_axes(ConvSpec.parse("n1c3h10w11k4r3s3_st4x3"))
    assert (rows.rest, rows.unread) == (3, (3, 7, 8, 9))
    assert (columns.rest, columns.unread) == (2, (9, 10))


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others() -> None:
    for one, again, other in zip(
        small_integers(AWKWARD, 3), small_integers(AWKWARD, 3), small_integers(AWKWARD, 4), strict=True
    ):
        assert torch.equal(one, again)
        assert not torch.equal(one, other)
    assert not (small_integers(AWKWARD)[1] == 0).any()


def test_a_padded_problem_is_entered_where_its_patch_hangs_over_the_corner() -> None:
    found = walk_of(ConvSpec.parse("n1c1h5w5k1r3s3_pd1"))
    assert found.rows[0] < 0
    assert found.columns[0] < 0
    assert any(not term.padding for term in found.terms)


def test_an_empty_batch_is_refused_with_a_problem_to_try() -> None:
    with pytest.raises(ConvbenchError, match="try n1c3h8w8k4r3s3_pd1"):
        choose_cell(ConvSpec.parse("n0c3h8w8k4r3s3_pd1"))


def test_a_large_batch_is_walked_on_one_image() -> None:
    assert affordable(AWKWARD) is AWKWARD
    assert affordable(ConvSpec.parse("n64c64h224w224k64r3s3_pd1")) == ConvSpec.parse("n1c64h224w224k64r3s3_pd1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "n1c256h768w768k256r3s3_pd1",
            "multiply-adds, and the limit is .*; try a smaller h and w",
        ),
        ("n1c16h570w570k1r3s3", "46,457,856 patch numbers"),
        ("n1c1h30000w30000k1r1s1_st30000", "900,000,002 numbers in padded x, w and y"),
        ("n1c1h1w1k999999999r1s1", "1,999,999,999 numbers in padded x, w and y"),
        ("n1c1h1w1k1r1s1_st99999_pd99999", "in padded x, w and y, .*; try a smaller c, h, w, k or padding"),
        ("n1c300000h1w1k1r1s1", "300,000 terms in one output, .* 32,768 .*; try a smaller c, r or s"),
    ],
)
def test_what_would_not_fit_is_refused_before_anything_is_allocated(text: str, told: str) -> None:
    with pytest.raises(ConvbenchError, match=told):
        affordable(ConvSpec.parse(text))
