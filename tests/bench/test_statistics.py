"""Verdicts: the interval covers as often as it says, and nothing is named that is not separated."""

import random
from itertools import combinations_with_replacement
from math import exp, inf, log, nextafter
from statistics import median
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from convbench.bench import statistics
from convbench.bench.statistics import MOST_EXACT, VerdictRule, centre, compare, modes, signed_rank


def walsh_averages(values: list[float]) -> list[float]:
    return sorted((one + other) / 2 for one, other in combinations_with_replacement(values, 2))


@pytest.mark.parametrize(
    ("n", "error", "rank"), [(6, 0.05, 1), (10, 0.05, 9), (10, 0.01, 4), (20, 0.05, 53), (30, 0.01, 110)]
)
def test_the_rank_is_the_tabled_one(n: int, error: float, rank: int) -> None:
    # One more than the largest T that rejects, two-sided: Wilcoxon and Wilcox 1964, table 2.
    assert signed_rank(n, error) == rank


@pytest.mark.parametrize("n", [7, 15, 40])
def test_the_distribution_is_scipys(n: int) -> None:
    for error in (0.1, 0.01, 1e-3):
        rank = signed_rank(n, error)
        reached = {k: scipy_tail(n, k) for k in (rank - 1, rank)}  # P(T <= k)
        assert (reached[rank - 1] if rank else 0) <= error / 2 < reached[rank]


def scipy_tail(n: int, most: int) -> float:
    """P(T <= most) as scipy's exact test gives it, for ranks whose positive ones sum to `most`."""
    positive, rest = set[int](), most
    for rank in range(n, 0, -1):
        if rank <= rest:
            positive.add(rank)
            rest -= rank
    found = wilcoxon(
        [rank if rank in positive else -rank for rank in range(1, n + 1)], alternative="less", mode="exact"
    )
    return float(found.pvalue)


@pytest.mark.parametrize("n", [MOST_EXACT + 1, 80, 120])
def test_the_normal_tails_are_never_narrower_than_the_exact_ones(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = (0.1, 0.03, 0.01, 1e-3, 1e-5, 1e-8)
    by_normal = [signed_rank(n, error) for error in errors]
    monkeypatch.setattr("convbench.bench.statistics.MOST_EXACT", n)
    exact = [signed_rank(n, error) for error in errors]
    assert all(0.6 * one < other <= one for one, other in zip(exact, by_normal, strict=True))


def test_too_few_values_say_nothing() -> None:
    middle, *ends = centre([1.0, 2.0, 4.0], 0.01)
    assert middle == pytest.approx(2.25)
    assert ends == [-inf, inf]
    assert centre([1.0] * 100, 0.0) == (1.0, -inf, inf)
    assert compare([9.0] * 3, 0.01, VerdictRule()).verdict == "undecided"


@pytest.mark.parametrize("sort", [True, False], ids=["sorted", "by bisection"])
@given(values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), error=st.sampled_from([0.2, 0.01, 0.001]))
def test_the_ends_are_walsh_averages(values: list[float], error: float, sort: bool) -> None:
    means, rank = walsh_averages(values), signed_rank(len(values), error)
    with patch.object(statistics, "MOST_SORTED", len(values) if sort else 0):
        middle, low, high = centre(values, error)
    width = 1e-8 * (max(values) - min(values)) + 1e-12
    assert middle == pytest.approx(median(means), abs=width)
    assert low == (pytest.approx(means[rank - 1], abs=width) if rank else -inf)
    assert high == (pytest.approx(means[-rank], abs=width) if rank else inf)


@pytest.mark.parametrize("values", [[0.0, 5e-324], [1.0, nextafter(1.0, 2.0)] * 20, [0.0] * 20])
def test_values_that_hardly_differ_are_no_endless_search(values: list[float]) -> None:
    with patch.object(statistics, "MOST_SORTED", 0):
        middle, low, high = centre(values, 0.9)
    assert low <= middle <= high


@pytest.mark.parametrize("n", [12, 25, 60, 90])
@pytest.mark.parametrize("peaks", [0.0, 3.0])
def test_the_interval_covers_at_least_as_often_as_it_says(n: int, peaks: float) -> None:
    rng = random.Random(n)
    trials = 1000
    covered = 0
    for _ in range(trials):
        _, low, high = centre([5 + rng.choice([-peaks, peaks]) + rng.gauss(0, 1) for _ in range(n)], 0.05)
        covered += low <= 5 <= high
    assert covered / trials >= 0.935


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=80), st.sampled_from([0.1, 0.01, 0.001]))
def test_less_error_is_never_narrower(values: list[float], error: float) -> None:
    _, low, high = centre(values, error)
    _, wide_low, wide_high = centre(values, error / 10)
    assert wide_low <= low <= high <= wide_high


@given(st.lists(st.floats(0.5, 2.0), min_size=20, max_size=20))
def test_the_other_way_round_the_verdict_turns(ratios: list[float]) -> None:
    one, other = compare(ratios, 0.01, VerdictRule()), compare([1 / ratio for ratio in ratios], 0.01, VerdictRule())
    assert other.ratio == pytest.approx(1 / one.ratio)
    assert other.low == pytest.approx(1 / one.high)
    assert other.high == pytest.approx(1 / one.low)


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
    assert VerdictRule(margin=0.02).verdict(ratio, low, high) == verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(1.25, "faster"), (0.8, "slower"), (0.98, "slower"), (1.0, "tie")])
def test_a_difference_beyond_the_noise_is_named(ratio: float, verdict: str) -> None:
    rng = random.Random(5)
    ratios = [ratio * rng.lognormvariate(0, 0.07) for _ in range(2000)]
    assert compare(ratios, 0.001, VerdictRule()).verdict == verdict


def in_two_modes(low: float, high: float) -> list[float]:
    """Four of five values about the first."""
    rng = random.Random(7)
    return [(low if number % 5 else high) * rng.lognormvariate(0, 0.07) for number in range(90)]


def test_two_modes_are_told_apart() -> None:
    small, large = modes(in_two_modes(0.46, 0.89))
    assert small.centre == pytest.approx(0.46, rel=0.05)
    assert large.centre == pytest.approx(0.89, rel=0.05)
    assert small.share == pytest.approx(0.8)


@pytest.mark.parametrize("noise", [0.001, 0.02, 0.1, 0.3])
def test_one_mode_is_not_cut_in_two(noise: float) -> None:
    for seed in range(200):
        rng = random.Random(seed)
        assert modes([rng.lognormvariate(0, noise) for _ in range(40)]) == ()
        assert modes([1 + rng.expovariate(1) * noise for _ in range(40)]) == ()
        assert modes([1 + rng.random() * noise for _ in range(40)]) == ()


def test_a_few_hiccups_are_no_mode() -> None:
    assert modes([1.0 + number / 1e4 for number in range(40)] + [10.0] * 4) == ()


def test_two_modes_that_disagree_name_nobody() -> None:
    ratios = in_two_modes(1.3, 0.75)
    assert VerdictRule().verdict(*map(exp, centre([log(one) for one in ratios], 0.01))) == "faster"
    assert compare(ratios, 0.01, VerdictRule()).verdict == "undecided"


def test_two_modes_that_agree_are_one_verdict() -> None:
    assert compare(in_two_modes(1.3, 1.9), 0.01, VerdictRule()).verdict == "faster"
    assert compare(in_two_modes(0.5, 0.7), 0.01, VerdictRule()).verdict == "slower"
