"""Is a walk that moved to another cell the walk of that cell, and proved like it?"""

from dataclasses import fields, replace
from time import process_time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convbench import ConvSpec
from convbench.backends.naive_loops import naive_loops
from convbench.explain.proof import prove_move
from convbench.explain.steps import Cell, UnprovedError, Walk, inside, measure_axes, place_taps
from convbench.explain.walk import choose_cell, move, small_integers, walk
from convbench.show.explain import draw_step
from tests.strategies import specs

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
AWKWARD = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")


def walk_of(spec: ConvSpec) -> Walk:
    return walk(*small_integers(spec), spec, choose_cell(spec))


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return one == other


@given(spec=specs(least_batch=1), data=st.data())
def test_a_move_gives_what_a_walk_to_that_cell_gives(spec: ConvSpec, data: st.DataObject) -> None:
    cell = Cell(
        n=data.draw(st.integers(0, spec.n - 1)),
        k=data.draw(st.integers(0, spec.k - 1)),
        p=data.draw(st.integers(0, spec.p - 1)),
        q=data.draw(st.integers(0, spec.q - 1)),
    )
    moved, fresh = move(walk_of(spec), cell), walk(*small_integers(spec), spec, cell)
    assert moved.holds
    for field in fields(Walk):
        assert same(getattr(moved, field.name), getattr(fresh, field.name)), field.name


@pytest.mark.parametrize(("field", "name"), [("y_flat", "loops"), ("x", "loops"), ("w", "loops"), ("folded", "fold")])
def test_a_move_in_wrong_tensors_is_refused_by_what_looks_at_the_cell(field: str, name: str) -> None:
    found = walk_of(AWKWARD)
    wrong = replace(found, **{field: getattr(found, field) + 1})
    with pytest.raises(UnprovedError, match=f"{name} fails: ") as refused:
        move(wrong, replace(found.cell, p=1))
    assert name in {comparison.name for comparison in refused.value.failures}


def test_a_wrong_term_of_the_new_cell_is_found() -> None:
    found = walk_of(AWKWARD)
    wrong = replace(found, terms=(*found.terms[:-1], replace(found.terms[-1], row=found.terms[-1].row + 1)))
    assert [one.name for one in prove_move(wrong) if not one.holds] == ["cell"]


def test_a_move_counts_no_tensor_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    found, counts = walk_of(AWKWARD), [one.compared for one in walk_of(AWKWARD).proof]
    monkeypatch.setattr("convbench.explain.proof.make_exam", None)
    monkeypatch.setattr("convbench.explain.proof.naive_loops", replace(naive_loops, fn=None))  # type: ignore[arg-type]
    moved = move(found, replace(found.cell, p=3, q=0))
    assert moved.patches is found.patches
    assert moved.y_flat is found.y_flat
    assert [one.compared for one in moved.proof] == counts


def test_a_move_and_its_frame_take_less_than_50_ms() -> None:
    """Of the processor's time, the best of many: the machines are shared."""
    found = walk_of(NOTE)
    times = []
    for i in range(20):
        start = process_time()
        draw_step(move(found, replace(found.cell, p=i % 3, q=i // 3 % 3)), "unfold", 80)
        times.append(process_time() - start)
    assert min(times) < 0.05


@given(spec=specs(least_batch=1))
def test_the_readers_of_a_line_are_the_taps_that_fall_on_it(spec: ConvSpec) -> None:
    for axis in measure_axes(spec):
        on_x = place_taps(axis)[inside(axis)]
        assert torch.equal(axis.readers, torch.bincount(on_x, minlength=axis.size))


def test_a_long_row_is_proved_without_a_table_of_every_tap_of_every_position() -> None:
    """100,000 columns took 26 such tables; the largest tensor here is the patch matrix itself."""
    columns = measure_axes(ConvSpec.parse("n1c1h1w3000000k1r1s9"))[1]
    assert columns.readers[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    wide = measure_axes(ConvSpec.parse("n1c1h1w40000k1r1s39990_pd3"))[1]
    assert (wide.positions, wide.readers[0].item(), wide.readers[20000].item()) == (17, 4, 17)
