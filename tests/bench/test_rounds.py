"""The contest, with a clock that only moves when a block is timed."""

import random
from collections.abc import Callable

import pytest

from convbench.bench.rounds import Budget, Contest
from convbench.bench.statistics import Rule

Duration = Callable[[], float]


def contest(names: list[str], budget: Budget, rule: Rule | None = None) -> Contest:
    return Contest(names=names, baseline="torch", budget=budget, rule=rule or Rule(), rng=random.Random(0))


def hold(one: Contest, durations: dict[str, Duration]) -> list[list[str]]:
    """Play a contest to its end: who was timed in each round, in order."""
    elapsed_s, rounds = 0.0, []
    while order := one.next_round(elapsed_s):
        seconds = {name: durations[name]() for name in order}
        elapsed_s += sum(seconds.values())
        one.record(seconds)
        rounds.append(order)
    return rounds


def noisy(rng: random.Random, median_s: float) -> Duration:
    return lambda: median_s * rng.lognormvariate(0, 0.02)


def test_every_round_is_a_fresh_order_of_all_that_are_in() -> None:
    one = contest(["torch", "a", "b"], Budget(seconds=6.0))
    rounds = hold(one, {"torch": lambda: 0.1, "a": lambda: 0.2, "b": lambda: 0.3})
    assert all(sorted(order) == ["a", "b", "torch"] for order in rounds[:10])
    assert len({tuple(order) for order in rounds[:10]}) > 3


def test_the_budget_ends_a_case_but_never_before_the_least_rounds() -> None:
    slow, quick = contest(["slow"], Budget(seconds=1.0, least=3)), contest(["quick"], Budget(seconds=1.0, most=50))
    hold(slow, {"slow": lambda: 10.0})
    hold(quick, {"quick": lambda: 1e-3})
    assert (len(slow.samples["slow"]), len(quick.samples["quick"])) == (3, 50)


def test_the_first_rounds_warm_up_and_are_not_counted() -> None:
    one = contest(["a"], Budget(seconds=400.0, most=20))
    assert len(hold(one, {"a": lambda: 0.125})) == 20 + 4  # half a second of them
    assert len(one.samples["a"]) == 20


def test_a_candidate_leaves_when_its_verdict_stands_and_the_baseline_stays() -> None:
    rng = random.Random(1)
    one = contest(["torch", "far", "near"], Budget(seconds=1e9, most=5000))
    rounds = hold(one, {"torch": noisy(rng, 1.0), "far": noisy(rng, 3.0), "near": noisy(rng, 1.0)})
    assert {name: compared.verdict for name, compared in one.verdicts.items()} == {"far": "slower", "near": "tie"}
    assert len(one.samples["far"]) < 30 < len(one.samples["near"]) == len(one.samples["torch"]) == len(rounds) - 1
    assert "far" not in rounds[-1]
    assert one.comparison("far") == one.verdicts["far"]


def test_samples_of_one_that_left_still_pair_with_the_baseline_of_its_rounds() -> None:
    drift = iter(range(1, 10**6))
    now = {"factor": 1.0}

    def baseline() -> float:
        now["factor"] = float(next(drift))
        return now["factor"]

    one = contest(["torch", "twice"], Budget(seconds=1e9, most=40))
    one.rng = random.Random(3)
    while order := one.next_round(1.0):
        base = baseline()
        one.record({name: base if name == "torch" else 2 * base for name in order})
    compared = one.comparison("twice")
    assert compared is not None
    assert compared.ratio == pytest.approx(0.5)


def test_what_is_not_decided_says_so() -> None:
    rng = random.Random(2)
    one = contest(["torch", "near"], Budget(seconds=1e9, most=14))
    hold(one, {"torch": noisy(rng, 1.0), "near": noisy(rng, 1.01)})
    compared = one.comparison("near")
    assert compared is not None
    assert compared.verdict == "undecided"
    assert not one.verdicts


def test_one_that_drops_out_is_forgotten_and_loosens_nothing() -> None:
    one = contest(["torch", "a", "b"], Budget(seconds=1e9, most=12))
    while order := one.next_round(1.0):
        if "b" in order:
            one.drop("b")
        one.record(dict.fromkeys(set(order) - {"b"}, 1.0))
    assert set(one.samples) == {"torch", "a"}
    assert one.comparison("torch") is None
    assert one.comparison("a") is not None


def test_without_a_baseline_there_are_samples_and_no_verdicts() -> None:
    one = contest(["a", "b"], Budget(seconds=2.0))
    hold(one, {"a": lambda: 0.125, "b": lambda: 0.125})
    assert len(one.samples["a"]) == 7  # of eight rounds the first warms up
    assert one.comparison("a") is None


def test_nothing_to_time_ends_at_once() -> None:
    assert contest([], Budget()).next_round(0.0) == []
