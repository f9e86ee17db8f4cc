"""The schedule, with a clock that only moves when a block is timed."""

import random
from collections.abc import Callable

from convbench.bench.rounds import Budget, interleave


class Clock:
    def __init__(self) -> None:
        self.time_s = 0.0
        self.order: list[str] = []

    def timer(self, name: str, seconds: float) -> Callable[[], float]:
        def run() -> float:
            self.time_s += seconds
            self.order.append(name)
            return seconds

        return run

    def interleave(self, durations: dict[str, float], budget: Budget) -> dict[str, list[float]]:
        timers = {name: self.timer(name, seconds) for name, seconds in durations.items()}
        samples, raised = interleave(timers, budget, rng=random.Random(0), now=lambda: self.time_s)
        assert not raised
        return samples


def test_every_round_times_every_candidate_once() -> None:
    clock = Clock()
    samples = clock.interleave({"a": 0.1, "b": 0.2, "c": 0.3}, Budget(seconds=6.0, least=1, most=99))
    assert {name: len(own) for name, own in samples.items()} == {"a": 10, "b": 10, "c": 10}
    rounds = [clock.order[i : i + 3] for i in range(0, 30, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 3  # a fresh order each round


def test_the_budget_ends_a_case_but_never_before_the_least_rounds() -> None:
    assert len(Clock().interleave({"slow": 10.0}, Budget(seconds=1.0, least=3, most=99))["slow"]) == 3
    assert len(Clock().interleave({"quick": 0.001}, Budget(seconds=9.0, least=3, most=50))["quick"]) == 50


def test_one_that_raises_is_dropped_and_the_others_go_on() -> None:
    clock = Clock()
    good, calls = clock.timer("good", 1.0), iter(range(9))

    def failing() -> float:
        if next(calls) == 2:
            raise RuntimeError("illegal address")
        return clock.timer("bad", 1.0)()

    samples, raised = interleave(
        {"good": good, "bad": failing},
        Budget(seconds=20, least=1, most=9),
        rng=random.Random(0),
        now=lambda: clock.time_s,
    )
    assert len(samples["good"]) == 9
    assert "bad" not in samples
    assert str(raised["bad"]) == "illegal address"


def test_nothing_to_time_ends_at_once() -> None:
    assert Clock().interleave({}, Budget()) == {}
