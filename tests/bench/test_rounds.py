"""The contest, with a clock that only moves when a block is timed."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import inf
from statistics import median

import pytest

from convbench.bench.rounds import Contest, TimeBudget, TimeSample
from convbench.bench.statistics import VerdictRule
from convbench.outcome import Bill, Check, Noise, Timed

Duration = Callable[[], float]


def contest(names: list[str], budget: TimeBudget, *, rule: VerdictRule | None = None, seed: int = 0) -> Contest:
    return Contest(names=names, baseline="torch", budget=budget, rule=rule or VerdictRule(), rng=random.Random(seed))


def hold(one: Contest, durations: dict[str, Duration], dirt: Callable[[], str] = str) -> list[list[str]]:
    """Play a contest to its end: who was timed in each round, in order."""
    elapsed_s, rounds = 0.0, []
    while order := one.next_round(elapsed_s):
        samples = {name: TimeSample(seconds=durations[name](), dirt=dirt()) for name in order}
        elapsed_s += sum(sample.seconds for sample in samples.values())
        one.record(samples)
        rounds.append(order)
    return rounds


def noisy(rng: random.Random, median_s: float, sigma: float = 0.05) -> Duration:
    return lambda: median_s * rng.lognormvariate(0, sigma)


def verdicts(one: Contest) -> dict[str, str]:
    return {name: compared.verdict for name, compared in one.comparisons.items()}


def test_every_round_is_a_fresh_order_of_all_that_are_in() -> None:
    one = contest(["torch", "a", "b"], TimeBudget(seconds=6.0))
    rounds = hold(one, {"torch": lambda: 0.1, "a": lambda: 0.2, "b": lambda: 0.3})
    assert all(sorted(order) == ["a", "b", "torch"] for order in rounds[:10])
    assert len({tuple(order) for order in rounds[:10]}) > 3


def test_the_budget_is_for_each_candidate_and_ends_a_case_but_never_before_the_least_rounds() -> None:
    slow, quick = (
        contest(["slow"], TimeBudget(seconds=1.0, least=3)),
        contest(["quick"], TimeBudget(seconds=1.0, most=50)),
    )
    hold(slow, {"slow": lambda: 10.0})
    hold(quick, {"quick": lambda: 1e-3})
    assert (len(slow.samples["slow"]), len(quick.samples["quick"])) == (3, 50)
    assert (TimeBudget(seconds=3.0).total_s(2), TimeBudget(seconds=3.0).total_s(5)) == (3.0, 12.0)


def test_the_first_rounds_warm_up_and_are_not_counted() -> None:
    one = contest(["a"], TimeBudget(seconds=400.0, most=20))
    assert len(hold(one, {"a": lambda: 0.0625})) == 20 + 2  # a tenth of a second
    assert len(one.samples["a"]) == 20


def test_without_any_time_the_least_rounds_are_held() -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=0.0, least=3))
    hold(one, {"torch": lambda: 0.1, "a": lambda: 0.1})
    assert len(one.samples["a"]) == 3


def test_a_candidate_leaves_when_its_verdict_stands_and_the_baseline_stays() -> None:
    rng = random.Random(1)
    one = contest(["torch", "far", "near"], TimeBudget(seconds=1000.0, most=10**6))
    rounds = hold(one, {"torch": noisy(rng, 1.0), "far": noisy(rng, 3.0), "near": noisy(rng, 1.0)})
    assert verdicts(one) == {"far": "slower", "near": "tie"}
    early = next(number for number, order in enumerate(rounds) if "far" not in order)
    assert 12 <= early < 40 < len(one.samples["near"]) == len(one.samples["torch"])
    assert sum("far" in order for order in rounds[early:]) < 0.2 * len(rounds)


def test_samples_of_one_that_left_still_pair_with_the_baseline_of_its_rounds() -> None:
    one, elapsed_s = contest(["torch", "twice"], TimeBudget(seconds=1000.0)), 0.0
    while order := one.next_round(elapsed_s):
        elapsed_s += 1.0  # and all grow slower together
        one.record({name: TimeSample(seconds=elapsed_s * (1 if name == "torch" else 2)) for name in order})
    assert one.comparisons["twice"].ratio == pytest.approx(0.5)
    assert one.comparisons["twice"].verdict == "slower"


def test_what_is_not_decided_says_so() -> None:
    rng = random.Random(2)
    one = contest(["torch", "near"], TimeBudget(seconds=1e9, most=14))
    hold(one, {"torch": noisy(rng, 1.0), "near": noisy(rng, 1.01)})
    assert verdicts(one) == {"near": "undecided"}


def test_one_that_drops_out_is_forgotten_and_loosens_nothing() -> None:
    one, elapsed_s = contest(["torch", "a", "b"], TimeBudget(seconds=100.0)), 0.0
    while order := one.next_round(elapsed_s):
        if "b" in order:
            one.drop("b")
        elapsed_s += 1.0
        one.record(dict.fromkeys(set(order) - {"b"}, TimeSample(seconds=1.0)))
    assert set(one.samples) == {"torch", "a"}
    assert set(one.comparisons) == {"a"}


def test_without_a_baseline_there_are_samples_and_no_verdicts() -> None:
    one = contest(["a", "b"], TimeBudget(seconds=2.0))
    hold(one, {"a": lambda: 0.125, "b": lambda: 0.125})
    assert len(one.samples["a"]) == 7  # of eight rounds the first warms up
    assert not one.comparisons


def test_nothing_to_time_ends_at_once() -> None:
    assert contest([], TimeBudget()).next_round(0.0) == []


def test_looking_often_raises_no_false_alarm_whatever_the_noise_does_over_time() -> None:
    """Bursts that last for many blocks and triple a time: the same against itself is not called different."""
    rng, found = random.Random(7), Counter[str]()
    for seed in range(300):
        state = {"busy": 0}

        def duration(state: dict[str, int] = state) -> float:
            state["busy"] = state["busy"] - 1 if state["busy"] else 40 * (rng.random() < 0.02)
            return 1e-3 * (3 if state["busy"] else 1) * rng.lognormvariate(0, 0.03)

        one = contest(["torch", "a"], TimeBudget(seconds=1.0), rule=VerdictRule(confidence=0.9), seed=seed)
        hold(one, {"torch": duration, "a": duration})
        found[one.comparisons["a"].verdict] += 1
    assert (found["faster"] + found["slower"]) / 300 <= 0.1
    assert found["tie"] > 100


def test_the_error_is_shared_out_among_the_candidates() -> None:
    rng, names = random.Random(3), [f"b{number}" for number in range(8)]
    wrong = 0
    for seed in range(60):
        one = contest(["torch", *names], TimeBudget(seconds=0.2), rule=VerdictRule(confidence=0.9), seed=seed)
        hold(one, {name: noisy(rng, 1e-3) for name in ("torch", *names)})
        wrong += any(verdict in ("faster", "slower") for verdict in verdicts(one).values())
    assert wrong / 60 <= 0.15


def test_disturbed_samples_are_set_aside() -> None:
    rng = random.Random(4)
    one = contest(["torch", "a"], TimeBudget(seconds=20.0))
    hold(one, {"torch": noisy(rng, 0.01), "a": noisy(rng, 0.01)}, lambda: "steal" if rng.random() < 0.3 else "")
    kept, every = one.kept("a"), one.samples["a"]
    assert 0.5 < len(kept) / len(every) < 0.9
    assert not any(sample.dirt for sample in kept.values())
    assert verdicts(one) == {"a": "tie"}


def test_where_nothing_is_clean_all_samples_serve_and_no_verdict_is_given() -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=20.0))
    hold(one, {"torch": lambda: 0.1, "a": lambda: 0.2}, lambda: "foreign load")
    assert len(one.kept("a")) == len(one.samples["a"]) > 12
    assert one.comparisons["a"].ratio == pytest.approx(0.5)
    assert verdicts(one) == {"a": "undecided"}


@pytest.mark.parametrize(
    ("own_s", "verdict"),
    [(0.2, "slower"), (0.05, "faster"), (0.1, "undecided"), (0.102, "undecided"), (0.1045, "slower")],
)
def test_a_slight_disturbance_that_never_rests_leaves_a_verdict_that_holds_at_its_worst(
    own_s: float, verdict: str
) -> None:
    """Both lose 1 % to 1.2 %, by twice which each may be too long; the second loses it always, the first at times."""
    one = contest(["torch", "a"], TimeBudget(seconds=20.0))
    rng, elapsed_s = random.Random(7), 0.0
    while order := one.next_round(elapsed_s):
        times = {"torch": 0.1 * rng.lognormvariate(0, 1e-3), "a": own_s * rng.lognormvariate(0, 1e-3)}
        elapsed_s += sum(times.values())
        dirt = {"torch": "foreign load" if rng.random() < 0.5 else "", "a": "foreign load"}
        lost = rng.uniform(0.01, 0.012)
        one.record({name: TimeSample(seconds=times[name], dirt=dirt[name], lost=lost) for name in order})
    found = one.comparisons["a"]
    assert found.verdict == verdict
    assert found.low < 0.1 / own_s * 0.99 < 0.1 / own_s * 1.02 < found.high
    told = one.told("a", Noise())
    assert (told.noise.noisy, told.noise.set_aside) == (True, ())  # another run has nothing to pair these times with


def test_a_larger_disturbance_leaves_no_verdict() -> None:
    one, number = contest(["torch", "a"], TimeBudget(seconds=20.0)), 0
    while order := one.next_round(0.3 * number):
        number += 1
        one.record({name: TimeSample(seconds=0.1 if name == "a" else 0.2, dirt="steal", lost=0.06) for name in order})
    assert verdicts(one) == {"a": "undecided"}
    assert one.told("a", Noise()).noise.noisy


@pytest.mark.parametrize("clean", [0, 11, 12, 13, 14])
def test_clean_pairs_that_are_too_few_for_an_interval_keep_no_verdict_from_the_others(clean: int) -> None:
    """With six rivals an interval takes 13 pairs, and more once a part of the error is spent."""
    names = ["torch", *"abcdef"]
    one, number = contest(names, TimeBudget(seconds=20.0)), 0
    while order := one.next_round(2.0 * number):
        dirt = "" if len(one.samples["a"]) < clean else "foreign load"
        times = {name: 0.2 if name == "torch" else 0.1 + 1e-4 * number for name in order}
        one.record({name: TimeSample(seconds=times[name], dirt=dirt, lost=0.01) for name in order})
        number += 1
    assert len(one.samples["torch"]) > 14
    assert verdicts(one) == dict.fromkeys("abcdef", "faster")


def test_rounds_that_made_a_verdict_are_no_clean_times_for_another_run() -> None:
    """Each has clean samples enough, but hardly two of one round."""
    one, number = contest(["torch", "a"], TimeBudget(seconds=20.0)), 0
    while order := one.next_round(0.3 * number):
        number += 1
        dirt = {"torch": "steal" if number % 2 else "", "a": "" if number % 2 else "steal"}
        one.record(
            {name: TimeSample(seconds=0.2 if name == "a" else 0.1, dirt=dirt[name], lost=0.02) for name in order}
        )
    assert verdicts(one) == {"a": "slower"}
    assert one.told("a", Noise()).noise.noisy


def test_clean_samples_are_judged_alone_where_they_are_enough() -> None:
    one, number = contest(["torch", "a"], TimeBudget(seconds=20.0)), 0
    while order := one.next_round(0.2 * number):
        number += 1
        dirt = "" if number % 2 else "foreign load"
        one.record({name: TimeSample(seconds=1.0 if not dirt else 1.04, dirt=dirt, lost=0.04) for name in order})
    assert verdicts(one) == {"a": "tie"}
    assert (one.comparisons["a"].low, one.comparisons["a"].high) == (1.0, 1.0)
    assert set(one.told("a", Noise()).samples_s) == {1.0}


@pytest.mark.parametrize("clean", [1, 5, 11, 12, 13])
def test_a_dozen_clean_samples_stand_for_a_backend_and_fewer_do_not(clean: int) -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=0.0, least=30))
    dirt = iter([""] * 2 * clean + ["steal"] * 100)  # both are disturbed in the same rounds
    hold(one, {"torch": lambda: 1.0, "a": lambda: 1.0}, lambda: next(dirt))
    assert len(one.samples["a"]) == 30
    assert len(one.kept("a")) == (clean if clean >= 12 else 30)
    assert one.too_few == ({"a"} if clean < 12 else set())


def test_who_disturbs_itself_is_judged_all_the_same() -> None:
    rng, one, elapsed_s = random.Random(5), contest(["torch", "crowded"], TimeBudget(seconds=20.0)), 0.0
    while order := one.next_round(elapsed_s):
        elapsed_s += 0.3
        dirt = {"torch": "foreign load" if rng.random() < 0.03 else "", "crowded": "foreign load"}
        one.record({name: TimeSample(seconds=0.1 if name == "torch" else 0.2, dirt=dirt[name]) for name in order})
    assert verdicts(one) == {"crowded": "slower"}
    assert len(one.kept("crowded")) == len(one.samples["crowded"])
    assert len(one.kept("torch")) < len(one.samples["torch"])


def test_no_error_is_spent_before_a_verdict_is_possible() -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=3.0))
    alike = {name: TimeSample(seconds=1.0) for name in ("torch", "a")}
    for elapsed_s in (0.0, 0.05, 0.08, 0.099):
        assert one.next_round(elapsed_s)
        one.record(alike)
    assert one.samples == {"torch": [], "a": []}
    for rounds in range(14):  # 2^-12, thirteen ratios on one side, is more than a tenth of 0.2 %
        assert one.next_round(0.3), rounds
        assert one._spent["a"] == 0
        one.record(alike)
    one.next_round(0.3 + 1e-9)
    assert one._spent["a"] == pytest.approx(0.1)
    assert verdicts(one) == {"a": "tie"}


@pytest.mark.parametrize("first", [0, 30, 60])
def test_a_look_at_too_few_clean_pairs_spends_no_error(first: int) -> None:
    """Twelve clean rounds of 75 are enough whenever they are, though the last look is just before the end."""
    one, dirt = contest(["torch", "a"], TimeBudget(seconds=150.0)), iter(range(10**6))
    hold(
        one,
        {"torch": lambda: 1.0, "a": lambda: 1.0},
        lambda: "" if first <= next(dirt) // 2 - 1 < first + 12 else "steal",
    )
    assert sum(not sample.dirt for sample in one.samples["a"]) == 12
    assert verdicts(one) == {"a": "tie"}


def test_two_that_are_alike_are_not_told_apart_more_often_for_looks_that_spend_nothing() -> None:
    rng, found = random.Random(12), Counter[str]()
    for seed in range(100):
        one = contest(["torch", "a"], TimeBudget(seconds=0.4), rule=VerdictRule(confidence=0.9), seed=seed)
        duration = noisy(rng, 1e-3)
        hold(one, {"torch": duration, "a": duration}, lambda: "steal" if rng.random() < 0.7 else "")
        found[one.comparisons["a"].verdict] += 1
    assert (found["faster"] + found["slower"]) / 100 <= 0.15


def test_the_last_look_does_not_lose_what_an_earlier_one_said() -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=30.0))
    for rounds in range(16):
        assert one.next_round(29.97 if rounds == 15 else 5.0)
        one.record({"torch": TimeSample(seconds=1.0), "a": TimeSample(seconds=1.0 + 0.1 * (-1) ** rounds)})
    found = one.comparisons["a"]
    assert 0 < found.low < found.ratio < found.high < inf
    assert one.next_round(30.0) == []  # a thousandth of the error is left, and sixteen rounds do not reach that far
    assert one.comparisons["a"] == found


def test_many_rounds_that_were_asked_for_do_not_bring_disturbed_samples_back() -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=0.0, least=40), rule=VerdictRule(least=40))
    dirt = iter(["steal"] * 8 + [""] * 1000)
    hold(one, {"torch": lambda: 1.0, "a": lambda: 1.0}, lambda: next(dirt))
    assert len(one.samples["a"]) == 40
    assert len(one.kept("a")) == 36
    assert verdicts(one) == {"a": "undecided"}
    assert one.too_few == {"a"}


def test_who_has_clean_pairs_enough_is_not_called_noisy() -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=0.0, least=40), rule=VerdictRule(least=12))
    hold(one, {"torch": lambda: 1.0, "a": lambda: 1.0})
    assert one.too_few == set()


def test_a_thirtieth_of_a_short_budget_warms_up_and_a_tenth_of_a_second_of_a_long_one() -> None:
    for seconds, warm_up_s in ((0.3, 0.01), (3.0, 0.1), (300.0, 0.1)):
        one = contest(["torch", "a"], TimeBudget(seconds=seconds))
        one.next_round(0.999 * warm_up_s)
        assert not one.warm
        one.next_round(1.001 * warm_up_s)
        assert one.warm


def looks(one: Contest, elapsed_s: Callable[[int], float]) -> list[int]:
    """The rounds before which the samples of one that stays undecided were looked at."""
    rng, found, number = random.Random(8), [], 0
    before = one.comparisons.get("a")
    while order := one.next_round(elapsed_s(number)):
        if one.comparisons.get("a") is not before:
            before = one.comparisons["a"]
            found.append(number)
        one.record({name: TimeSample(seconds=rng.lognormvariate(0, 1)) for name in order})
        number += 1
    return found


def test_each_look_comes_at_half_as_much_of_the_budget_again() -> None:
    by_time = looks(contest(["torch", "a"], TimeBudget(seconds=1000.0)), lambda number: 1.0 + number)
    by_rounds = looks(contest(["torch", "a"], TimeBudget(seconds=1e9, most=1000)), lambda number: 1.0 + number)
    for found in (by_time, by_rounds):
        assert found[0] <= 33
        assert found[-1] > 500
        assert all(1.45 < later / sooner < 1.6 for sooner, later in pairwise(found)), found


def test_a_baseline_alone_is_timed_as_long_as_any() -> None:
    one = contest(["torch"], TimeBudget(seconds=1.0, most=50))
    hold(one, {"torch": lambda: 1e-3})
    assert len(one.samples["torch"]) == 50


@pytest.mark.parametrize(
    ("rounds", "own", "base", "itself"),
    [
        (20, 20, 0, True),
        (20, 18, 2, True),
        (20, 17, 2, False),
        (20, 18, 3, False),
        (12, 12, 0, True),
        (11, 11, 0, False),
    ],
)
def test_who_is_disturbed_in_nine_of_ten_rounds_and_the_baseline_in_one_disturbs_itself(
    rounds: int, own: int, base: int, itself: bool
) -> None:
    one = contest(["torch", "a"], TimeBudget(seconds=100.0))
    for number in range(rounds):
        one.next_round(1.0)
        dirt = {"torch": "steal" if number < base else "", "a": "steal" if number < own else ""}
        one.record({name: TimeSample(seconds=1.0, dirt=dirt[name]) for name in dirt})
    assert one.disturbs_itself("a") == itself


def test_one_that_drops_out_leaves_the_others_no_more_error() -> None:
    def width(*names: str, dropped: tuple[str, ...] = ()) -> float:
        rng, one = random.Random(9), contest(["torch", *names], TimeBudget(seconds=0.0, least=40))
        for name in dropped:
            one.drop(name)
        while order := one.next_round(0.0):
            samples = {
                name: TimeSample(seconds=1.0 if name == "torch" else rng.lognormvariate(0, 0.5)) for name in order
            }
            one.record(samples)
        return one.comparisons["a"].high / one.comparisons["a"].low

    assert width("a", "b", "c", dropped=("b", "c")) > width("a")


def test_without_the_baseline_what_was_decided_stands_and_nothing_else_does() -> None:
    rng = random.Random(10)
    one = contest(["torch", "far", "near"], TimeBudget(seconds=100.0))
    for _ in range(30):
        one.next_round(50.0)
        one.record(
            {
                "torch": TimeSample(seconds=1.0),
                "far": TimeSample(seconds=9.0),
                "near": TimeSample(seconds=rng.lognormvariate(0, 1)),
            }
        )
    one.next_round(80.0)
    assert verdicts(one) == {"far": "slower", "near": "undecided"}
    one.drop("torch")
    assert verdicts(one) == {"far": "slower"}


def test_who_has_clean_pairs_enough_in_the_end_is_not_called_noisy_for_its_beginning() -> None:
    rng, one = random.Random(11), contest(["torch", "a"], TimeBudget(seconds=100.0))

    def play(rounds: int, dirt: str) -> None:
        for _ in range(rounds):
            one.next_round(40.0)
            one.record({name: TimeSample(seconds=rng.lognormvariate(0, 1), dirt=dirt) for name in ("torch", "a")})

    play(20, "steal")
    assert one.too_few == {"a"}
    play(20, "")
    assert one.next_round(100.0) == []
    assert one.too_few == set()


def drifting(one: Contest, slow: dict[str, float], *, turn_s: float = 0.0) -> list[list[str]]:
    """Play a contest on a machine that becomes four times as fast in its first tenth; all differ from `slow` by 3 %."""
    rng, elapsed_s, rounds = random.Random(12), 0.0, []
    total_s = one.budget.total_s(len(one.names))
    while order := one.next_round(elapsed_s):
        speed = 1.0 if elapsed_s < total_s / 10 else 0.25
        samples = {
            name: TimeSample(seconds=slow[name] * speed * rng.lognormvariate(0, 0.03), turn_s=turn_s) for name in order
        }
        elapsed_s += sum(sample.cost_s for sample in samples.values())
        one.record(samples)
        rounds.append(order)
    return rounds


def test_medians_are_of_the_whole_case_for_one_that_was_decided_early_too() -> None:
    one = contest(["torch", "early", "near"], TimeBudget(seconds=20.0), rule=VerdictRule(margin=1e-4))
    drifting(one, {"torch": 0.01, "early": 0.011, "near": 0.01})
    medians = {name: median(one.told(name, Noise()).samples_s) for name in one.names}
    assert verdicts(one) == {"early": "slower", "near": "undecided"}
    assert 12 < len(one.samples["early"]) < 0.5 * len(one.samples["torch"])
    assert medians["early"] / medians["torch"] == pytest.approx(1.1, rel=0.02)


def test_what_is_decided_costs_a_tenth_of_the_time_at_most() -> None:
    names = ["torch", "near", *(f"far{number}" for number in range(6))]
    one = contest(names, TimeBudget(seconds=5.0), rule=VerdictRule(margin=1e-4))
    slow = {name: 0.01 if name in ("torch", "near") else 0.03 for name in names}
    rounds = drifting(one, slow, turn_s=0.04)
    since = next(number for number, order in enumerate(rounds) if len(order) == 2)
    turns = [name for order in rounds[since:] for name in order]
    assert 0.05 < sum(name.startswith("far") for name in turns) / len(turns) < 0.11


def test_a_verdict_that_stands_is_not_looked_at_again() -> None:
    one, elapsed_s = contest(["torch", "far", "near"], TimeBudget(seconds=100.0), rule=VerdictRule(margin=1e-4)), 0.0
    rng, found = random.Random(13), set()
    while order := one.next_round(elapsed_s):
        elapsed_s += 0.05
        decided = "far" in one.comparisons and one.comparisons["far"].verdict != "undecided"
        if decided:
            found.add(one.comparisons["far"])
        ratio = {"torch": 1.0, "near": 1.0, "far": 0.5 if decided else 2.0}
        one.record({name: TimeSample(seconds=0.01 * ratio[name] * rng.lognormvariate(0, 0.03)) for name in order})
    assert len(found) == 1
    assert one.comparisons["far"].verdict == "slower"
    assert len(one.samples["far"]) > 50


def test_a_sample_after_the_verdict_still_pairs_with_the_baseline_of_its_round() -> None:
    one, elapsed_s = contest(["torch", "twice", "near"], TimeBudget(seconds=100.0), rule=VerdictRule(margin=1e-4)), 0.0
    rng = random.Random(14)
    while order := one.next_round(elapsed_s):
        elapsed_s += 1.0
        seconds = {"torch": elapsed_s, "twice": 2 * elapsed_s, "near": elapsed_s * rng.lognormvariate(0, 0.1)}
        dirt = "steal" if elapsed_s % 7 == 3 else ""
        one.record({name: TimeSample(seconds=1e-4 * seconds[name], dirt=dirt, turn_s=0.5) for name in order})
    rows = {
        name: Timed(
            check=Check(worst_of_bound=0.1, relative_l2=1e-7),
            bill=Bill(prepare_s=None, first_call_s=1.0),
            samples_s=told.samples_s,
            rounds=told.rounds,
            noise=told.noise,
        ).by_round
        for name, told in ((name, one.told(name, Noise())) for name in one.names)
    }
    assert max(rows["twice"]) - len(rows["twice"]) > 50
    assert all(own == pytest.approx(2 * rows["torch"][number], rel=2e-3) for number, own in rows["twice"].items())
    assert rows["torch"].keys() >= rows["twice"].keys()
