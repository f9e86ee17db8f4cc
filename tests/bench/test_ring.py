"""The sets of operands that timed calls meet: alike in memory, never twice the same, their truth out of reach."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from convbench.bench.ring import FEWEST, LONGEST_RUN, MOST, MOST_SMALL, SMALL_NBYTES, Ring, sets_within
from convbench.case import Case
from convbench.verify.exam import prepare_exam
from tests.conftest import make_case

SHAPE = "n2c4h9w8k6r3s3_pd1"
CASES = [
    make_case(SHAPE),
    make_case(SHAPE, layout="nhwc"),
    make_case(SHAPE, layout="strided"),
    make_case(SHAPE, dtype="bf16"),
    make_case(SHAPE, dtype="fp64", epilogue="bias"),
    make_case(SHAPE, pass_="dgrad"),
    make_case(SHAPE, pass_="wgrad"),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.key.axes))


def ring_of(case: Case) -> Ring:
    """A ring of MOST sets, however small they are."""
    operands = prepare_exam(case).operands
    first = next(iter(operands.values())).untyped_storage().nbytes()
    return Ring(case, operands, room_nbytes=case.nbytes - first + MOST * max(1, first))


def recipe(name: str) -> Case:
    case = make_case(SHAPE)
    return replace(case, problem=replace(case.problem, operands=name))


@every_case
def test_all_sets_lie_in_memory_like_the_first(case: Case) -> None:
    ring = ring_of(case)
    assert len(ring) == MOST
    first, *others = (one.first for one in ring.sets)
    for other in others:
        assert (other.shape, other.stride(), other.storage_offset()) == (
            first.shape,
            first.stride(),
            first.storage_offset(),
        )
        assert other.data_ptr() % 64 == first.data_ptr() % 64
        assert not torch.equal(other, first)
    if case.layout == "strided":
        room = torch.empty(0).set_(others[0].untyped_storage())
        assert int(room.isnan().sum()) == len(room) - first.numel()


@every_case
def test_each_set_that_is_taken_holds_something_new_and_its_truth_the_same(case: Case) -> None:
    ring = ring_of(case)
    seen = [one.first.clone() for one in ring.sets]
    versions = [one.first._version for one in ring.sets]
    for turn in range(50):
        (number,) = ring.take(1)
        assert number == turn % len(ring)
        one = ring.sets[number]
        name = next(iter(case.operands))
        assert torch.equal(ring.truth_of(number)[name], one.first)
        assert ring.truth_of(number)[name].data_ptr() != one.first.data_ptr()
        differs = one.first != seen[number]
        assert differs.any() or case.dtype == "bf16"  # which has few numbers
        if one.written is not None:
            assert differs.sum() <= one.written[-1].stop - one.written[-1].start <= LONGEST_RUN
            assert {tuple(place) for place in differs.nonzero().tolist()} <= set(ring.written(number, 200))
        seen[number] = one.first.clone()
    assert [one.first._version for one in ring.sets] == versions


def test_from_time_to_time_all_numbers_are_new() -> None:
    ring = ring_of(make_case(SHAPE))
    whole = 0
    for _ in range(400):
        before = [one.first.clone() for one in ring.sets]
        (number,) = ring.take(1)
        if ring.sets[number].written is None:
            whole += 1
            assert int((ring.sets[number].first == before[number]).sum()) < 5
            assert ring.written(number, 3) == []
    assert 1 <= whole <= 50


def test_the_numbers_are_written_everywhere_in_the_end() -> None:
    ring = ring_of(make_case("n2c1h3w4k1r1s1"))
    begin = [one.first.clone() for one in ring.sets]
    for _ in range(600):
        ring.take(1)
    assert all((one.first != old).all() for one, old in zip(ring.sets, begin, strict=True))


def test_calls_of_a_block_take_the_sets_in_turn() -> None:
    ring = ring_of(make_case(SHAPE))
    assert ring.take(3) == [0, 1, 2]
    assert ring.take(6) == [3, 0, 1, 2, 3, 0]
    assert ring.take(1) == [1]


def spoil_first(ring: Ring) -> None:
    ring.sets[1].first.zero_()


def spoil_weight(ring: Ring) -> None:
    ring.truth_of(0)  # what is told is not what is spoilt
    ring._operands["w"][0] += 1


@pytest.mark.parametrize(("spoil", "name"), [(spoil_first, "x"), (spoil_weight, "w")])
def test_what_a_call_changed_is_named_and_mended(spoil: Callable[[Ring], None], name: str) -> None:
    ring = ring_of(make_case(SHAPE))
    before = {one: tensor.clone() for one, tensor in ring.truth_of(1).items()}
    assert ring.mend(1) == []
    spoil(ring)
    assert ring.mend(1) == [name]
    assert ring.mend(1) == []
    assert torch.equal(ring.sets[1].first, before["x"])
    assert torch.equal(ring._operands["w"], before["w"])
    assert all(torch.equal(tensor, before[one]) for one, tensor in ring.truth_of(1).items())


@pytest.mark.parametrize("name", ["positive", "last_zero", "huge", "nan_in_first", "ones"])
def test_numbers_that_a_recipe_makes_stay_in_their_places(name: str) -> None:
    ring = ring_of(recipe(name))
    assert not ring.drawn
    for _ in range(200):
        ring.take(1)
    for one in ring.sets:
        match name:
            case "positive":
                assert (one.first >= 0).all()
                assert one.first.unique().numel() > 20
            case "last_zero":
                assert (one.first[..., -1] == 0).all()
            case "huge":
                assert one.first.abs().max() > 1e30
            case "nan_in_first":
                assert int(one.first.isnan().sum()) == 1
            case "ones":
                assert (one.first == 1).all()


def test_a_recipe_that_says_where_numbers_lie_is_followed_in_every_set() -> None:
    ring = ring_of(recipe("first_channel_slice"))
    first = ring.sets[0].first
    assert ring.drawn
    assert not first.is_contiguous()
    assert {one.first.stride() for one in ring.sets} == {first.stride()}
    ring.take(8)
    assert all(one.first.isfinite().all() for one in ring.sets)


def test_the_ring_stays_within_its_room_and_holds_at_least_two() -> None:
    case = make_case(SHAPE)
    first, rest = 4 * 2 * 4 * 9 * 8, case.nbytes - 4 * 2 * 4 * 9 * 8
    assert sets_within(case, first, rest + 3 * first) == 3
    assert sets_within(case, first, rest + 4 * first - 1) == 3
    assert sets_within(case, first, 2**40) == SMALL_NBYTES // first
    assert sets_within(case, SMALL_NBYTES, 2**40) == MOST
    assert sets_within(case, 4, 2**40) == MOST_SMALL
    assert sets_within(case, first, 0) == FEWEST
    assert len(Ring(case, prepare_exam(case).operands, room_nbytes=0)) == FEWEST


def test_an_empty_batch_has_a_ring_too() -> None:
    ring = ring_of(make_case("n0c4h9w8k6r3s3_pd1"))
    assert ring.take(5) == [0, 1, 2, 3, 0]
    assert ring.written(0, 4) == []
    assert ring.mend(0) == []
