"""The sweep with backends that behave and backends that do not."""

import gc
import re
import time
from collections.abc import Callable
from math import inf
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench import Backend, ConvSpec, Failed, Skipped, Timed, Wrong, backend, discover
from convbench.bench import sweep
from convbench.bench.clock import block_counts, seconds_a_call
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import bench
from convbench.call.bind import bind
from convbench.call.profile import profile
from convbench.call.watch import BackendStage, Watch
from convbench.device import find_device
from convbench.verify.exam import Exam, prepare_exam, wrong
from tests.conftest import make_case

CPU = find_device("cpu")
CASE = make_case("n1c4h9w8k6r3s3_pd1")
SHORT = TimeBudget(seconds=0.05, least=3, most=20)


def correct(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def outcomes(*backends: Backend, watch: Watch | None = None) -> dict[str, Any]:
    (torch_itself,), _ = discover(names=["torch"])
    results = list(bench([CASE], [torch_itself, *backends], budget=SHORT, rule=VerdictRule(), watch=watch))
    assert [result.backend for result in results] == ["torch", *(one.name for one in backends)]
    assert isinstance(results[0].outcome, Timed)
    return {result.backend: result.outcome for result in results}


def test_every_backend_is_timed_in_the_same_rounds_and_compared_with_torch() -> None:
    backends, _ = discover(names=["torch", "unfold-matmul", "naive-loops", "cudnn"])
    results = {result.backend: result.outcome for result in bench([CASE], backends, budget=SHORT, rule=VerdictRule())}
    assert isinstance(results["cudnn"], Skipped)
    baseline, loops, unfold = (results[name] for name in ("torch", "naive-loops", "unfold-matmul"))
    assert isinstance(baseline, Timed)
    assert isinstance(loops, Timed)
    assert isinstance(unfold, Timed)
    assert baseline.comparison is None
    rounds = {
        name: len(one.samples_s) + len(one.noise.set_aside)
        for name, one in (("b", baseline), ("l", loops), ("u", unfold))
    }
    assert rounds["b"] == max(rounds["l"], rounds["u"])
    assert loops.comparison is not None
    assert loops.comparison.ratio > 0
    assert 0 < loops.check.worst_of_bound <= 1
    assert unfold.bill.ran == "aten::im2col; aten::bmm"
    assert unfold.bill.peak_nbytes is not None
    assert unfold.bill.peak_nbytes >= CASE.spec.patch_matrix_nbytes("fp32")


def test_a_wrong_backend_is_not_timed() -> None:
    @backend(family="direct", source="")
    def off_by_one(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec).roll(1, -1)

    assert isinstance(outcomes(off_by_one)["off-by-one"], Wrong)


def test_a_backend_that_turns_wrong_while_it_is_timed_is_found() -> None:
    calls = iter(range(10**9))

    @backend(family="direct", source="")
    def tiring(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec) * (1 if next(calls) < 5 else 2)

    outcome = outcomes(tiring)["tiring"]
    assert isinstance(outcome, Wrong)
    evidence = outcome.check.evidence or ""
    assert re.match(
        r"correct before timing; while it was timed \((round \d+|warming up)\): 432 of 432 outputs wrong", evidence
    )


def test_a_backend_that_is_wrong_on_cold_caches_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[BackendStage] = []
    monkeypatch.setattr("random.Random.random", lambda _: 0.0)  # what is drawn is judged

    @backend(family="direct", source="")
    def slack(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec) * (2 if BackendStage.EVICTED in stages else 1)

    outcome = outcomes(slack, watch=Watch(tell=lambda _, stage: stages.append(stage)))["slack"]
    assert isinstance(outcome, Wrong)
    assert (outcome.check.evidence or "").startswith("correct before timing; while it was timed (cold): 4")


def test_a_backend_that_turns_wrong_after_the_timing_is_found() -> None:
    late, watch = after_the_timing(lambda x, w, y: 2 * y)
    outcome = outcomes(late, watch=watch)["late"]
    assert isinstance(outcome, Wrong)
    assert "correct before timing, wrong after it on fresh data" in (outcome.check.evidence or "")


def test_an_answer_kept_for_a_pointer_is_found() -> None:
    kept: dict[int, Tensor] = {}

    @backend(family="direct", source="")
    def cached(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        if x.data_ptr() not in kept:
            kept[x.data_ptr()] = correct(x, w, spec)
        return kept[x.data_ptr()]

    assert isinstance(outcomes(cached)["cached"], Wrong)


def truths() -> int:
    """How many tensors there are that only an oracle makes: float64, of the shape of the output."""
    return sum(
        type(one) is Tensor and one.dtype == torch.float64 and one.shape == CASE.out_shape for one in gc.get_objects()
    )


def test_what_is_timed_finds_no_truth_in_its_process() -> None:
    found: list[int] = []

    @backend(family="direct", source="")
    def spying(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        found.append(truths())
        return correct(x, w, spec)

    gc.collect()
    gc.freeze()  # so that a look through all objects sees those of this test alone, and is short
    try:
        outcome = outcomes(spying)["spying"]
        held = prepare_exam(CASE).truth
        assert truths() > 0, f"a look that does not find {held.y.dtype} finds nothing"
    finally:
        gc.unfreeze()
    assert isinstance(outcome, Timed)
    rounds = len(outcome.samples_s) + len(outcome.noise.set_aside)
    assert len(found) > rounds
    assert set(found[-rounds:]) == {0}
    assert found[:3] == [0, 0, 0]  # it answers before anybody else is judged


def test_one_that_raises_or_runs_out_of_memory_ends_nothing() -> None:
    @backend(family="direct", source="")
    def raising(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        raise ValueError("not today")

    @backend(family="direct", source="")
    def greedy(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return torch.empty(2**60)

    calls = iter(range(10**9))

    @backend(family="direct", source="")
    def late(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        if next(calls) > 3:
            raise ValueError("later")
        return correct(x, w, spec)

    found = outcomes(raising, greedy, late)
    assert isinstance(found["raising"], Failed)
    assert re.fullmatch(r"ValueError: not today \(test_sweep.py:\d+\)", found["raising"].message)
    assert isinstance(found["greedy"], Failed)
    assert isinstance(found["late"], Failed)
    assert re.fullmatch(r"ValueError: later \(test_sweep.py:\d+\) \(while being timed\)", found["late"].message)


def test_prepare_is_run_once_and_billed_apart() -> None:
    prepared: list[int] = []

    def pack(w: Tensor, spec: ConvSpec) -> Tensor:
        prepared.append(1)
        return w.flatten(1)

    @backend(family="im2col", source="", prepare=pack)
    def packed(x: Tensor, flat: Tensor, spec: ConvSpec) -> Tensor:
        return (flat @ F.unfold(x, (spec.r, spec.s), padding=spec.padding)).reshape(spec.y_shape)

    outcome = outcomes(packed)["packed"]
    assert isinstance(outcome, Timed)
    assert outcome.bill.prepare_s is not None
    assert outcome.bill.prepare_s > 0
    assert len(prepared) == 1


def test_a_nhwc_case_bills_the_conversion_of_an_nchw_answer() -> None:
    seen: list[bool] = []
    case = make_case("n2c8h9w8k6r3s3_pd1", layout="nhwc")

    @backend(family="direct", source="")
    def plain(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        seen.append(x.is_contiguous(memory_format=torch.channels_last))
        return correct(x, w, spec).contiguous()

    call, _ = bind(plain, case, prepare_exam(case).operands)
    assert call().is_contiguous(memory_format=torch.channels_last)
    assert seen == [True]


def test_a_fault_outside_any_backend_is_a_row_for_each_and_the_sweep_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,), _ = discover(names=["torch"])
    from convbench.bench import sweep

    renew, calls = sweep.renew, iter(range(9))

    def failing(exam: Exam) -> Exam:
        if next(calls) == 0:
            raise MemoryError
        return renew(exam)

    monkeypatch.setattr(sweep, "renew", failing)
    first, second = bench([CASE, CASE], [one], budget=SHORT, rule=VerdictRule())
    assert isinstance(first.outcome, Failed)
    assert first.outcome.message.startswith("out of memory (test_sweep.py:")
    assert isinstance(second.outcome, Timed)


def test_after_a_lost_device_what_was_found_stands_and_the_culprit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    (torch_itself, cudnn), _ = discover(names=["torch", "cudnn"])

    @backend(family="direct", source="")
    def illegal(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        monkeypatch.setattr("convbench.verify.lineup.alive", lambda device: False)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    results = list(bench([CASE, CASE], [cudnn, illegal, torch_itself], budget=SHORT, rule=VerdictRule()))
    assert [type(result.outcome) for result in results] == [Skipped, Failed, Failed, Skipped, Failed, Failed]
    messages = [result.outcome.message for result in results if isinstance(result.outcome, Failed)]
    assert messages[0].startswith("RuntimeError: CUDA error")
    assert all(message.startswith("not run: the device was lost in illegal") for message in messages[1:])


def test_one_that_harms_its_input_late_is_found_and_harms_nobody_else() -> None:
    calls = iter(range(10**9))

    @backend(family="direct", source="")
    def harming(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        if next(calls) > 5:
            w.add_(1)
        return y

    @backend(family="direct", source="")
    def innocent(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec)

    found = outcomes(harming, innocent)
    assert isinstance(found["harming"], Wrong)
    assert isinstance(found["innocent"], Timed)


def after_the_timing(then: Callable[[Tensor, Tensor, Tensor], Tensor]) -> tuple[Backend, Watch]:
    """One that is right until it is verified again, and then does this; with the watch that tells it."""
    stages: list[BackendStage] = []

    @backend(family="direct", source="")
    def late(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        return then(x, w, y) if BackendStage.VERIFIED_AGAIN in stages else y

    return late, Watch(tell=lambda _, stage: stages.append(stage))


def test_one_that_harms_its_input_before_the_rounds_is_in_none_of_them() -> None:
    calls: list[int] = []

    @backend(family="direct", source="")
    def harming(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        calls.append(1)
        if len(calls) > 5:
            w.add_(1)
        return y

    told: list[tuple[str, BackendStage]] = []
    (torch_itself,), _ = discover(names=["torch"])
    watch = Watch(tell=lambda name, stage: told.append((name, stage)))
    found = {
        one.backend: one.outcome
        for one in bench([CASE], [torch_itself, harming], budget=SHORT, rule=VerdictRule(), watch=watch)
    }
    assert isinstance(found["harming"], Wrong)
    assert found["harming"].check.evidence == "it changed its input w while being timed"
    assert told.count(("harming", BackendStage.TIMED)) == 1


def test_one_that_harms_its_input_after_the_timing_is_found() -> None:
    def harm(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
        w.add_(1)
        return y

    late, watch = after_the_timing(harm)
    outcome = outcomes(late, watch=watch)["late"]
    assert isinstance(outcome, Wrong)
    assert outcome.check.evidence == "correct before timing; changed its input after it: w"


def test_one_that_harms_a_weight_in_the_rounds_makes_nobody_wrong_who_has_packed_it() -> None:
    turns: list[str] = []

    @backend(family="direct", source="")
    def harming(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        if turns.count("harming") > 1:  # the first turn is alone
            w.fill_(0.5)
        return y

    @backend(family="direct", source="", prepare=lambda w, spec: w.clone())
    def packed(x: Tensor, own: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, own, spec)

    watch = Watch(tell=lambda name, stage: turns.append(name) if stage == BackendStage.TIMED else None)
    (torch_itself,), _ = discover(names=["torch"])
    backends = [torch_itself, harming, packed]
    found = {one.backend: one.outcome for one in bench([CASE], backends, budget=SHORT, rule=VerdictRule(), watch=watch)}
    assert turns.count("harming") > 1
    assert isinstance(found["harming"], Wrong)
    assert re.search(r"timed \((round \d+|warming up)\) it changed its input w", found["harming"].check.evidence or "")
    assert isinstance(found["packed"], Timed)


@pytest.mark.parametrize("disturbed", [set[str](), {"torch"}, {"torch", "own"}])
def test_a_row_is_noisy_where_its_own_samples_or_too_many_of_its_pairs_are_disturbed(
    disturbed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[str] = []
    monkeypatch.setattr("convbench.bench.noise.Meter.dirt", lambda *_: "steal" if turns[-1] in disturbed else "")
    monkeypatch.setattr("convbench.bench.noise.Meter.lost", lambda *_: inf)

    @backend(family="direct", source="")
    def own(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec)

    watch = Watch(tell=lambda name, stage: turns.append(name))
    (torch_itself,), _ = discover(names=["torch"])
    budget = TimeBudget(seconds=0.0, least=14)
    for one in bench([CASE], [torch_itself, own], budget=budget, rule=VerdictRule(), watch=watch):
        assert isinstance(one.outcome, Timed)
        assert one.outcome.noise.noisy == bool(disturbed)
        assert len(one.outcome.samples_s) == 14
        assert one.outcome.noise.set_aside == ()


def test_the_worse_of_both_verdicts_counts() -> None:
    late, watch = after_the_timing(lambda x, w, y: y)
    exact = outcomes(late, watch=watch)["late"]
    late, watch = after_the_timing(lambda x, w, y: y * (1 + 2**-21))
    inexact = outcomes(late, watch=watch)["late"]
    assert isinstance(exact, Timed)
    assert isinstance(inexact, Timed)
    assert inexact.check.relative_l2 >= 2**-22 > exact.check.relative_l2
    assert inexact.check.worst_of_bound > exact.check.worst_of_bound


def test_the_order_of_the_rounds_is_the_one_of_the_seed() -> None:
    (torch_itself, unfold), _ = discover(names=["torch", "unfold-matmul"])

    @backend(family="direct", source="")
    def own(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec)

    def order(seed: int) -> list[tuple[str, BackendStage]]:
        told: list[tuple[str, BackendStage]] = []
        case = make_case("n1c4h9w8k6r3s3_pd1", seed=seed)
        watch = Watch(tell=lambda name, stage: told.append((name, stage)))
        budget = TimeBudget(seconds=0.0, least=10)
        results = list(
            bench([case], [torch_itself, unfold, own], budget=budget, rule=VerdictRule(least=99), watch=watch)
        )
        assert all(isinstance(result.outcome, Timed) for result in results)
        return [one for one in told if one[1] == BackendStage.TIMED]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_what_the_warm_up_met_says_how_many_calls_make_a_block() -> None:
    calls: list[int] = []

    @backend(family="direct", source="")
    def waking(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        calls.append(1)
        if len(calls) < 12:
            time.sleep(2e-3)  # four blocks long, until after it was met alone
        return correct(x, w, spec)

    (torch_itself,), _ = discover(names=["torch"])
    budget = TimeBudget(seconds=1.0, least=3, most=30)
    (_, found) = bench([CASE], [torch_itself, waking], budget=budget, rule=VerdictRule(least=99))
    assert isinstance(found.outcome, Timed)
    assert len(calls) > 4 * 30


def test_a_block_is_long_enough_to_time() -> None:
    nap = lambda: time.sleep(1e-4)  # noqa: E731  # on a loaded machine it sleeps longer, never shorter
    assert seconds_a_call(nap, CPU) >= 1e-4
    assert seconds_a_call(lambda: None, CPU) < 1e-5
    counts = block_counts(
        {"torch": 1e-4, "alike": 1.9e-4, "quicker": 0.6e-4, "slow": 1e-2, "empty": 0.0}, "torch", CPU.block_s
    )
    assert counts == {"torch": 5, "alike": 5, "quicker": 5, "slow": 1, "empty": 10_000}
    assert block_counts({"slow": 1.0}, "torch", CPU.block_s) == {"slow": 1}
    assert CPU.time_block(nap, 3) >= 3e-4


def test_the_profile_sees_the_operators_and_the_peak() -> None:
    x, w = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 2, 2)
    seen = profile(lambda: F.conv2d(x, w), "cpu")
    assert seen.operators == ("aten::_slow_conv2d_forward",)
    # The patch matrix of 4 x 9 floats and the output of 9: the note is literally true of its example.
    assert seen.peak_nbytes == 4 * (36 + 9)
    assert seen.kernels == ()


def test_who_loses_the_device_in_the_call_after_the_timing_is_named_and_nobody_is_asked_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    real = sweep._answer_again

    def again(trial: Any, exam: Exam) -> Any:
        asked.append(trial.call.__qualname__ if hasattr(trial.call, "__qualname__") else "")
        if len(asked) == 1:
            monkeypatch.setattr("convbench.verify.lineup.alive", lambda device: False)
            return wrong("correct before timing; raised after it: CUDA error: an illegal memory access")
        return real(trial, exam)

    monkeypatch.setattr(sweep, "_answer_again", again)

    @backend(family="direct", source="")
    def illegal(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec)

    (torch_itself,), _ = discover(names=["torch"])
    watch = Watch()
    results = list(bench([CASE, CASE], [torch_itself, illegal], budget=SHORT, rule=VerdictRule(), watch=watch))
    first = {result.backend: result.outcome for result in results[:2]}
    assert isinstance(first["illegal"], Wrong)  # those that are not built in answer first
    assert "illegal memory access" in (first["illegal"].check.evidence or "")
    assert isinstance(first["torch"], Failed)
    assert first["torch"].message.startswith(f"not run: the device was lost in illegal on {CASE.problem.name}")
    assert len(asked) == 1
    assert watch.lost["cpu"].backend == "illegal"
    assert all(isinstance(result.outcome, Failed) for result in results[2:])
