"""The interval of a factor between two runs: exact, as wide as it says, and honest about neighbours."""

import random
from math import comb, exp, inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.bench.shift import Shift, _orderings, _rank, batch_medians, shift


@pytest.mark.parametrize(("n", "critical"), [(5, 2), (8, 13), (10, 23), (12, 37), (16, 75)])
def test_the_critical_values_are_the_tabled_ones(n: int, critical: int) -> None:
    # Mann-Whitney, both sizes n, two-sided 5 %: the largest U that rejects (Conover 1999, table A7 less n(n+1)/2).
    assert _rank(n, n, 0.95) == critical + 1


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 5), (7, 2), (16, 16)])
def test_every_order_is_counted_once(n: int, m: int) -> None:
    ways = _orderings(n, m)
    assert sum(ways) == comb(n + m, n)
    assert ways == ways[::-1]
    assert ways == _orderings(m, n)


def test_scipy_says_the_same() -> None:
    from scipy import stats

    rng = random.Random(2)
    before, after = ([rng.random() for _ in range(9)] for _ in range(2))
    u = stats.mannwhitneyu(before, after, method="exact").statistic
    tail = sum(_orderings(9, 9)[: int(min(u, 81 - u)) + 1]) / comb(18, 9)
    assert stats.mannwhitneyu(before, after, method="exact").pvalue == pytest.approx(min(1.0, 2 * tail))


def test_the_factor_is_old_over_new() -> None:
    found = shift([2.0, 2.1, 1.9, 2.05, 1.95, 2.02], [1.0, 1.05, 0.95, 1.02, 0.98, 1.01], confidence=0.95)
    assert found.low < 2 < found.high
    assert found.ratio == pytest.approx(2, rel=0.02)


def test_too_few_batches_say_nothing() -> None:
    assert shift([1.0, 1.0], [9.0, 9.0], confidence=0.99) == Shift(ratio=exp(log(1.0) - log(9.0)), low=0.0, high=inf)


times = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=16)


@given(times, times)
def test_the_other_way_round_is_the_reciprocal(before: list[float], after: list[float]) -> None:
    one, other = (shift(*pair, confidence=0.9) for pair in ((before, after), (after, before)))
    assert log(one.ratio) == pytest.approx(-log(other.ratio), abs=1e-9)
    assert (one.low == 0) == (other.high == inf)
    if one.low > 0:
        assert log(one.low) == pytest.approx(-log(other.high), abs=1e-9)
        assert one.low <= one.ratio <= one.high


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=200), st.integers(1, 20))
def test_batches_are_as_many_as_they_may_be_and_lose_no_extreme(samples: list[float], most: int) -> None:
    found = batch_medians(samples, most)
    assert len(found) == min(most, len(samples))
    assert min(samples) <= min(found) <= max(found) <= max(samples)


@pytest.mark.parametrize("n", [6, 11, 16])
def test_the_interval_covers_as_often_as_it_says(n: int) -> None:
    rng = random.Random(n)
    trials = 1000
    held = 0
    for _ in range(trials):
        before, after = ([rng.lognormvariate(0, 1.0) for _ in range(n)] for _ in range(2))
        found = shift([1.3 * value for value in before], after, confidence=0.95)
        held += found.low <= 1.3 <= found.high
    assert held / trials >= 0.935  # three standard errors below 0.95


def neighbours(rng: random.Random, median_s: float, rounds: int, memory: float) -> list[float]:
    """Samples of which each resembles the one before it: an autoregressive process of first order."""
    found, state = [], rng.gauss(0, 0.03)
    for _ in range(rounds):
        state = memory * state + rng.gauss(0, 0.03 * (1 - memory**2) ** 0.5)
        found.append(median_s * exp(state))
    return found


def alarms(memory: float, rounds: int, most: int, trials: int = 300) -> float:
    rng = random.Random(5)
    found = 0
    for _ in range(trials):
        sides = [batch_medians(neighbours(rng, 1.0, rounds, memory), most) for _ in range(2)]
        one = shift(*sides, confidence=0.95)
        found += not one.low <= 1 <= one.high
    return found / trials


def test_batches_keep_the_error_where_neighbours_resemble_each_other() -> None:
    # 0.61 is the upper quartile of what the rows of the shipped results have from one round to the next.
    assert alarms(0.61, 400, 16) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert alarms(0.61, 50, 50, trials=100) > 0.2  # what they would do one by one


def test_a_change_of_five_per_cent_is_found() -> None:
    rng = random.Random(9)
    found = 0
    for _ in range(100):
        sides = [batch_medians(neighbours(rng, median_s, 200, 0.4)) for median_s in (1.0, 1.05)]
        found += shift(*sides, confidence=0.99).high < 1
    assert found >= 95
