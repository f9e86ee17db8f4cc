"""One backend everywhere against the best of each layer."""

import pytest

from convbench import Case, ConvSpec, Problem, Result, Skipped, Timed
from convbench.bench.decision import paired_times, sizes_apart, standings
from convbench.outcome import Bill, Check, Comparison

CHECK = Check(worst_of_bound=0.1, relative_l2=1e-7)
BILL = Bill(prepare_s=None, first_call_s=1e-3)


def layer(name: str, count: int) -> Case:
    return Case(problem=Problem(suite="model", name=name, count=count, spec=ConvSpec.parse("n1c1h4w4k1r2s2")))


def row(case: Case, backend: str, median_s: float | None, ratio: float | None = None) -> Result:
    compared = None if ratio is None else Comparison(ratio=ratio, low=ratio, high=ratio, verdict="faster")
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
    by_name = {one.backend: one for one in standings(rows)}
    best = 0.5 + 3 * 1.0
    assert by_name["torch"].total_s == 7.0
    assert by_name["quick"].total_s == 7.0
    assert by_name["torch"].regret == pytest.approx(7.0 / best - 1)
    assert by_name["quick"].geomean == pytest.approx(2**0.5)
    assert by_name["torch"].geomean == 1.0
    assert (by_name["partial"].total_s, by_name["partial"].regret) == (None, None)
    assert (by_name["partial"].done, by_name["partial"].cases) == (1, 2)
    assert standings(rows)[-1].backend == "partial"


def test_of_those_that_did_not_do_all_the_one_that_did_more_comes_first() -> None:
    cases = [layer(f"layer{number}", 1) for number in range(3)]
    rows = [row(case, "torch", 1.0) for case in cases] + [row(cases[0], "little", 9.0)]
    rows += [row(case, "much", 9.0) for case in cases[:2]]
    assert [one.backend for one in standings(rows)] == ["torch", "much", "little"]


def test_without_torch_there_is_a_total_and_no_mean() -> None:
    (only,) = standings([row(layer("first", 2), "mine", 3.0)])
    assert (only.geomean, only.total_s, only.regret) == (None, 6.0, 0.0)


def test_nothing_timed_gives_no_standing() -> None:
    assert standings([row(layer("first", 1), "mine", None)]) == []


def sized(name: str) -> Problem:
    return layer(name, 1).problem


def test_several_layers_in_several_sizes_are_wholes_of_their_own() -> None:
    assert sizes_apart([sized("a n=1"), sized("b n=1"), sized("a n=4"), sized("b n=4")])
    assert not sizes_apart([sized("a n=1"), sized("a n=4")])  # one layer in several sizes
    assert not sizes_apart([sized("a n=4"), sized("b n=4")])
    assert not sizes_apart([sized("a"), sized("b")])


def test_times_fit_the_ratios_of_shared_rounds() -> None:
    """It left early, while the machine was slow: its own median would say that it is slower than torch."""
    case = layer("first", 1)
    (times,) = paired_times([row(case, "torch", 9e-4), row(case, "early", 1.03e-3, 1.07)]).values()
    assert times["early"] == pytest.approx(9e-4 / 1.07)
    (times,) = paired_times([row(case, "early", 1.03e-3, 1.07)]).values()
    assert times["early"] == 1.03e-3


def test_two_layers_of_equal_sizes_are_added_both() -> None:
    rows = [row(layer(name, 1), "torch", time_s) for name, time_s in (("first", 1.0), ("second", 3.0))]
    (only,) = standings(rows)
    assert (only.cases, only.total_s) == (2, 4.0)
