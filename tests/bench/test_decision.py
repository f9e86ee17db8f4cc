"""One backend everywhere against the best of each layer."""

from dataclasses import replace

import pytest

from convbench import Case, ConvSpec, Problem, Result, Skipped, Timed
from convbench.bench.decision import leaders, sizes_apart, standings, winners
from convbench.outcome import Bill, Check, Noise, PairedRatio

CHECK = Check(worst_of_bound=0.1, relative_l2=1e-7)
BILL = Bill(prepare_s=None, first_call_s=1e-3)


def layer(name: str, count: int) -> Case:
    return Case(problem=Problem(suite="model", name=name, count=count, spec=ConvSpec.parse("n1c1h4w4k1r2s2")))


def row(case: Case, backend: str, median_s: float | None, ratio: float | None = None, verdict: str = "") -> Result:
    compared = None
    if ratio is not None:
        sure = verdict or ("faster" if ratio > 1 else "slower" if ratio < 1 else "tie")
        compared = PairedRatio(ratio=ratio, low=0.99 * ratio, high=1.01 * ratio, verdict=sure)
    outcome = (
        Skipped("no") if median_s is None else Timed(check=CHECK, samples_s=(median_s,), bill=BILL, comparison=compared)
    )
    return Result(case=case, backend=backend, family="", outcome=outcome)


def test_layers_count_as_often_as_the_model_has_them() -> None:
    first, second = layer("first", 1), layer("second", 3)
    rows = [
        row(first, "torch", 4.0),
        row(first, "quick", 1.0, 4.0),
        row(first, "partial", 0.5, 8.0),
        row(second, "torch", 1.0),
        row(second, "quick", 2.0, 0.5),
        row(second, "partial", None),
    ]
    whole = standings(rows)
    by_name = {one.backend: one for one in whole.found}
    best = 0.5 + 3 * 1.0
    assert by_name["torch"].total_s == 7.0
    assert by_name["quick"].total_s == 7.0
    assert by_name["torch"].regret == pytest.approx(7.0 / best - 1)
    assert by_name["quick"].geomean == pytest.approx(2**0.5)
    assert by_name["torch"].geomean == 1.0
    assert (by_name["partial"].total_s, by_name["partial"].regret, by_name["partial"].geomean) == (None, None, None)
    assert (by_name["partial"].done, by_name["partial"].cases) == (1, 2)
    assert whole.found[-1].backend == "partial"
    assert whole.level  # by their totals


def test_of_those_that_did_not_do_all_the_one_that_did_more_comes_first() -> None:
    cases = [layer(f"layer{number}", 1) for number in range(3)]
    rows = [row(case, "torch", 1.0) for case in cases] + [row(cases[0], "little", 9.0, 0.1)]
    rows += [row(case, "much", 9.0, 0.1) for case in cases[:2]]
    assert [one.backend for one in standings(rows).found] == ["torch", "much", "little"]


def test_without_torch_there_are_totals_and_no_ranking() -> None:
    cases = [layer("first", 2), layer("second", 1)]
    whole = standings([row(case, name, 3.0) for case in cases for name in ("mine", "yours")])
    assert [(one.geomean, one.total_s, one.regret) for one in whole.found] == [(None, 9.0, None)] * 2
    assert whole.winner is None


def test_seconds_are_the_medians_and_the_order_is_of_the_ratios() -> None:
    """It was decided early, while the machine was slow: its medians are higher than torch's, and it is faster."""
    cases = [layer("first", 1), layer("second", 1)]
    rows = [row(case, *own) for case in cases for own in (("torch", 9e-4), ("early", 1.03e-3, 1.07))]
    whole = standings(rows)
    assert [(one.backend, one.total_s) for one in whole.found] == [("early", 2 * 1.03e-3), ("torch", 2 * 9e-4)]
    assert [one.regret for one in whole.found] == [0.0, pytest.approx(0.07)]
    assert whole.level
    assert winners(rows) == {}
    agreeing = [row(case, *own) for case in cases for own in (("torch", 9e-4), ("early", 8e-4, 1.07))]
    assert not standings(agreeing).level
    assert set(winners(agreeing).values()) == {"early"}


def test_ties_alone_name_no_winner() -> None:
    cases = [layer("first", 1), layer("second", 1)]
    rows = [row(case, *own) for case in cases for own in (("torch", 1.0), ("alike", 0.995, 1.005, "tie"))]
    assert standings(rows).level
    assert winners(rows) == {}


@pytest.mark.parametrize(("undecided", "ranked"), [(2, True), (3, False)])
def test_where_most_rows_are_undecided_there_is_no_ranking(undecided: int, ranked: bool) -> None:
    rows = []
    for number in range(4):
        verdict = "undecided" if number < undecided else "faster"
        case = layer(f"layer{number}", 1)
        rows += [row(case, "torch", 1.0), row(case, "mine", 0.5, 2.0, verdict)]
    whole = standings(rows)
    assert (whole.ranked, whole.unsure, whole.compared) == (ranked, undecided, 4)
    assert (whole.winner is not None) == ranked
    assert [one.backend for one in whole.found] == (["mine", "torch"] if ranked else ["torch", "mine"])
    assert all((one.geomean is not None) == (one.regret is not None) == ranked for one in whole.found)
    assert list(winners(rows).values()) == ["mine"] * (4 - undecided)


def test_of_two_faster_ones_the_intervals_decide() -> None:
    case = layer("first", 1)
    near = [row(case, "torch", 1.0), row(case, "a", 0.5, 2.0), row(case, "b", 0.501, 1.99)]
    assert winners(near) == {}
    assert list(winners([*near[:2], row(case, "b", 0.6, 1.7)]).values()) == ["a"]


def test_nothing_timed_gives_no_standing() -> None:
    assert standings([row(layer("first", 1), "mine", None)]).found == ()


def sized(name: str) -> Problem:
    return layer(name, 1).problem


def test_several_layers_in_several_sizes_are_wholes_of_their_own() -> None:
    assert sizes_apart([sized("a n=1"), sized("b n=1"), sized("a n=4"), sized("b n=4")])
    assert not sizes_apart([sized("a n=1"), sized("a n=4")])  # one layer in several sizes
    assert not sizes_apart([sized("a n=4"), sized("b n=4")])
    assert not sizes_apart([sized("a"), sized("b")])


def test_two_layers_of_equal_sizes_are_added_both() -> None:
    rows = [row(layer(name, 1), "torch", time_s) for name, time_s in (("first", 1.0), ("second", 3.0))]
    (only,) = standings(rows).found
    assert (only.cases, only.total_s) == (2, 4.0)


def test_the_leaders_are_those_that_nothing_separates_from_the_fastest() -> None:
    case = layer("first", 1)
    torch, quick, near = row(case, "torch", 1.0), row(case, "quick", 0.5, 2.0), row(case, "near", 0.501, 1.99)
    slow = row(case, "slow", 2.0, 0.5)
    assert leaders([torch, quick, slow]) == {"quick"}
    assert leaders([torch, quick, near, slow]) == {"quick", "near"}
    assert leaders([torch, slow]) == {"torch"}
    assert leaders([torch, row(case, "equal", 1.01, 0.99, "tie"), slow]) == {"torch", "equal"}
    assert leaders([torch, quick, row(case, "odd", 0.4, 1.5)]) == {"quick", "odd"}  # its median contradicts


def test_no_undecided_row_names_a_leader_and_one_that_might_lead_leaves_none() -> None:
    case = layer("first", 1)
    torch, quick = row(case, "torch", 1.0), row(case, "quick", 0.5, 2.0)
    assert leaders([torch, quick, row(case, "unsure", 0.5, 2.01, "undecided")]) == frozenset()
    assert leaders([torch, quick, row(case, "unsure", 0.5, 1.99, "undecided")]) == frozenset()
    behind = row(case, "unsure", 0.9, 1.1, "undecided")
    assert leaders([torch, quick, behind]) == {"quick"}  # its whole interval is below
    assert isinstance(behind.outcome, Timed)
    noisy = replace(behind, outcome=replace(behind.outcome, noise=Noise(noisy=True)))
    assert leaders([torch, quick, noisy]) == frozenset()
    assert leaders([torch, row(case, "unsure", 1.0, 1.0, "undecided")]) == frozenset()


def test_the_leaders_of_several_cases_are_those_of_all_of_them_together() -> None:
    first, second = layer("first", 1), layer("second", 3)
    rows = [row(first, "torch", 1.0), row(first, "quick", 0.5, 2.0), row(first, "partial", 0.1, 9.0)]
    rows += [row(second, "torch", 1.0), row(second, "quick", 1.25, 0.8)]
    assert leaders(rows) == {"torch"}  # 4.0 s against 0.5 + 3.75
    rows[4] = row(second, "quick", 1.11, 0.9)
    assert leaders(rows) == {"quick"}
    assert leaders([rows[0], rows[3]]) == leaders([rows[1], rows[4]]) == leaders([]) == frozenset()
    assert leaders([*rows[:4], row(second, "quick", 1.0, 1.0, "undecided")]) == frozenset()
