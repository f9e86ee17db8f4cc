"""How much a search may ask, counted from the problem and not by a clock."""

import itertools
import time
from collections.abc import Callable

import pytest
from torch import Tensor

from convbench import ConvSpec, Wrong
from convbench.call.watch import BackendStage, Watch
from convbench.verify.cost import CALLS_TO_VERIFY
from convbench.verify.diagnose.budget import QUESTIONS_A_STEP, Budget, Spent, how_slow
from convbench.verify.diagnose.fault import (
    MOST_MACS,
    Effort,
)
from convbench.verify.sweep import verify
from tests.conftest import make_case
from tests.verify.diagnose.planting import (
    GROUPED,
    S,
    correct,
    first_group_for_all,
    in_last_column,
    planted,
    spec,
    told,
    without,
)


def test_a_budget_is_counted_from_the_problem_alone() -> None:
    told: list[int] = []
    budget = Budget(left=10**7, tell=lambda: told.append(1))
    small, large = spec("n1c1h4w4k1r2s2"), spec("n8c64h56w56k64r3s3_pd1")
    budget.pay(small)
    left = budget.left
    with pytest.raises(Spent):
        budget.pay(large)
    assert (budget.left, budget.asked, told) == (left, 1, [1])  # nothing is taken for what is not asked
    budget.pay(small, calls=2)
    assert left - budget.left == 2 * (10**7 - left)
    before = budget.left
    budget.pay(small, calls=0)
    assert 0 < before - budget.left < 10**7 - left


FOUND_LATE = [
    ("n1c2h5w4k3r3s3_pd1", in_last_column),
    ("n1c32h9w9k32r3s3_pd1", lambda x, w, spec: correct(x, without(w, ..., 0, 2), spec)),
    (GROUPED, first_group_for_all),
]


@pytest.mark.parametrize(("shape", "bug"), FOUND_LATE)
def test_no_clock_and_no_slow_backend_changes_what_is_found(
    shape: str, bug: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(shape)
    plain = told(bug, case, Effort())
    assert plain.cause
    assert plain.smallest
    assert (plain.cause_cut, plain.smallest_cut) == (None, None)

    def slow(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        time.sleep(0.001)
        return bug(x, w, spec)

    ticks = itertools.count(step=0.2)  # of no call can it be said that it took longer than half a second
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        monkeypatch.setattr(time, name, lambda: float(next(ticks)))
        monkeypatch.setattr(time, f"{name}_ns", lambda: int(next(ticks) * 10**9))
    assert told(slow, case, Effort()) == plain


def test_calls_of_seconds_are_charged_as_such_and_a_fraction_of_the_problem_is_asked_for_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]

    def slow(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        clock[0] += spec.macs / 20_000  # a second for the case
        return in_last_column(x, w, spec)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    check = told(slow, make_case("n1c4h9w9k8r3s3_pd1"), Effort())
    assert check.smallest
    assert check.cause == "tap (0,0) is missing in the last output column (q=2) (seen on n1c4h3w3k2r3s3_pd1)"
    assert clock[0] < 45  # it would be hundreds of calls
    assert how_slow(spec("n1c4h9w9k8r3s3_pd1"), 0.4) == 1
    assert how_slow(spec("n8c64h56w56k64r3s3_pd1"), 5.0) == 1  # it is that large


def test_a_search_that_was_cut_says_so() -> None:
    case = make_case(S)
    whole = told(in_last_column, case, Effort())
    little = Effort(cause_work=25_000_000, shrink_work=25_000_000)
    cut = told(in_last_column, case, little)
    assert cut.cause == ""
    assert cut.cause_cut
    assert cut.smallest_cut
    assert told(in_last_column, case, little) == cut
    fewer = told(in_last_column, case, Effort(tries=3))
    assert (fewer.cause, fewer.cause_cut, fewer.smallest_cut) == (whole.cause, None, 3)
    assert spec(whole.smallest).macs < spec(fewer.smallest).macs < case.spec.macs


def test_a_large_problem_that_no_smaller_one_resembles_is_not_searched_for_ever() -> None:
    calls = 0

    def only_large(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        nonlocal calls
        calls += 1
        return correct(x, w, spec) + (spec.macs > MOST_MACS)

    check = told(only_large, make_case("n2c32h40w40k32r3s3_pd1"), Effort())
    assert check.cause == ""
    assert check.cause_cut is not None
    assert spec(check.smallest).macs > MOST_MACS
    assert calls < 400


def test_a_few_questions_are_a_step() -> None:
    """Who kills a step that takes too long kills what hangs, and no search that takes a while on a busy machine."""
    steps: list[tuple[str, BackendStage]] = []
    case = make_case(S)
    calls = 0

    def counted(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        nonlocal calls
        calls += 1
        return in_last_column(x, w, spec)

    watch = Watch(tell=lambda backend, stage: steps.append((backend, stage)))
    (result,) = verify([case], [planted(counted, case)], watch=watch)
    assert isinstance(result.outcome, Wrong)
    explained = steps.count(("planted", BackendStage.EXPLAINED))
    assert explained > calls / CALLS_TO_VERIFY / QUESTIONS_A_STEP > 5
