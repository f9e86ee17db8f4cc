"""Verdicts: the interval covers as often as it says, and nothing is named that is not separated."""

import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.bench.statistics import Rule, compare, median_interval


def test_the_interval_is_the_tabled_one() -> None:
    # n = 10: the 2nd smallest and 2nd largest enclose the median with 97.9 %: Conover 1999, table A3.
    assert median_interval([float(i) for i in range(1, 11)], 0.95) == (2, 9)
    assert median_interval([float(i) for i in range(1, 11)], 0.99) == (1, 10)


def test_too_few_values_say_nothing() -> None:
    assert median_interval([1.0, 2.0, 3.0], 0.99) == (-inf, inf)
    assert compare([1.0] * 3, [9.0] * 3).verdict == "undecided"


@pytest.mark.parametrize("n", [12, 25, 60])
def test_the_interval_covers_at_least_as_often_as_it_says(n: int) -> None:
    rng = random.Random(n)
    trials = 2000
    covered = 0
    for _ in range(trials):
        low, high = median_interval([rng.lognormvariate(0, 1.5) for _ in range(n)], 0.95)
        covered += low <= 1 <= high  # exp(0) is the median
    assert covered / trials >= 0.94


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=80), st.sampled_from([0.9, 0.99, 0.999]))
def test_more_confidence_is_never_narrower(values: list[float], confidence: float) -> None:
    low, high = median_interval(values, confidence)
    wide_low, wide_high = median_interval(values, 1 - (1 - confidence) / 10)
    assert wide_low <= low <= high <= wide_high


def noisy(rng: random.Random, median_s: float, rounds: int = 100) -> list[float]:
    return [median_s * rng.lognormvariate(0, 0.05) for _ in range(rounds)]


@pytest.mark.parametrize(
    ("candidate_s", "verdict"), [(0.8, "faster"), (1.25, "slower"), (1.03, "slower"), (1.0, "tie"), (0.995, "tie")]
)
def test_a_difference_beyond_the_noise_is_named(candidate_s: float, verdict: str) -> None:
    rng = random.Random(5)
    assert compare(noisy(rng, 1.0, 4000), noisy(rng, candidate_s, 4000)).verdict == verdict


def test_looking_often_raises_no_false_alarm() -> None:
    rng = random.Random(7)
    false = 0
    for _ in range(400):
        verdict = compare(noisy(rng, 1.0, 300), noisy(rng, 1.0, 300), rule=Rule(confidence=0.9)).verdict
        false += verdict in ("faster", "slower")
    assert false / 400 <= 0.1


def test_looks_grow_by_a_quarter() -> None:
    looks = Rule(first_look=12).looks()
    assert [next(looks) for _ in range(6)] == [12, 15, 18, 22, 27, 33]
    assert next(Rule(first_look=1).looks()) == 1


def test_drift_that_meets_both_alike_cancels() -> None:
    rng = random.Random(3)
    drift = [1 + 5 * i / 200 for i in range(200)]
    base = [d * t for d, t in zip(drift, noisy(rng, 1.0, 200), strict=True)]
    own = [d * t for d, t in zip(drift, noisy(rng, 0.9, 200), strict=True)]
    assert compare(base, own).verdict == "faster"


def test_the_same_against_itself_is_never_called_different() -> None:
    rng = random.Random(11)
    verdicts = {compare(noisy(rng, 1.0), noisy(rng, 1.0), candidates=4).verdict for _ in range(200)}
    assert verdicts <= {"tie", "undecided"}
