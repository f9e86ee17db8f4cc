"""Verdicts: the interval covers as often as it says, and nothing is named that is not separated."""

import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.bench.statistics import Rule, compare, median_interval


def test_the_interval_is_the_tabled_one() -> None:
    # n = 10: the 2nd smallest and 2nd largest enclose the median with 97.9 %: Conover 1999, table A3.
    assert median_interval([float(i) for i in range(1, 11)], 0.05) == (2, 9)
    assert median_interval([float(i) for i in range(1, 11)], 0.01) == (1, 10)


def test_too_few_values_say_nothing() -> None:
    assert median_interval([1.0, 2.0, 3.0], 0.01) == (-inf, inf)
    assert median_interval([1.0] * 100, 0.0) == (-inf, inf)
    assert compare([9.0] * 3, 0.01, Rule()).verdict == "undecided"


@pytest.mark.parametrize("n", [12, 25, 60])
def test_the_interval_covers_at_least_as_often_as_it_says(n: int) -> None:
    rng = random.Random(n)
    trials = 2000
    covered = 0
    for _ in range(trials):
        low, high = median_interval([rng.lognormvariate(0, 1.5) for _ in range(n)], 0.05)
        covered += low <= 1 <= high  # exp(0) is the median
    assert covered / trials >= 0.94


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=80), st.sampled_from([0.1, 0.01, 0.001]))
def test_less_error_is_never_narrower(values: list[float], error: float) -> None:
    low, high = median_interval(values, error)
    wide_low, wide_high = median_interval(values, error / 10)
    assert wide_low <= low <= high <= wide_high


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict"),
    [
        (1.015, 1.001, 1.03, "faster"),
        (0.97, 0.9, 0.999, "slower"),
        (1.005, 1.001, 1.009, "tie"),  # surely different, but by less than half the margin
        (0.995, 0.991, 0.999, "tie"),
        (1.005, 1.001, 1.03, "undecided"),
        (1.0, 0.99, 1.01, "tie"),
        (1.0, 1.0, 1.0, "tie"),
        (0.99, 0.97, 1.01, "undecided"),
        (1.0, -inf, inf, "undecided"),
    ],
)
def test_a_difference_must_be_sure_and_of_some_size(ratio: float, low: float, high: float, verdict: str) -> None:
    assert Rule(margin=0.02).verdict(ratio, low, high) == verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(1.25, "faster"), (0.8, "slower"), (0.98, "slower"), (1.0, "tie")])
def test_a_difference_beyond_the_noise_is_named(ratio: float, verdict: str) -> None:
    rng = random.Random(5)
    ratios = [ratio * rng.lognormvariate(0, 0.07) for _ in range(2000)]
    assert compare(ratios, 0.001, Rule()).verdict == verdict
