"""The sweep: every case, its backends verified, timed in interleaved rounds, and verified again."""

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from convbench.backend import BASELINE, Backend
from convbench.bench.clock import block_counts, seconds_a_call, time_block
from convbench.bench.crews import Crews
from convbench.bench.heap import heap_kept
from convbench.bench.noise import Meter
from convbench.bench.regimes import LAUNCH_BOUND_S, cold_times, conversion_time, eager_times, graph_time
from convbench.bench.rounds import Budget, Contest, Sample
from convbench.bench.statistics import Rule
from convbench.call.bind import ANY_FAULT, alive, conditions, failure, synchronize
from convbench.call.memory import Guard
from convbench.call.watch import Loss, Stage, Watch, not_run
from convbench.case import Case
from convbench.outcome import Bill, Check, Failed, Outcome, Result, Timed, Verified, Wrong
from convbench.verify.answers import Answer, Answers, question
from convbench.verify.exam import Exam, make_exam, prepare_exam, wrong
from convbench.verify.lineup import refusal
from convbench.verify.operands import make_operands
from convbench.verify.probes import Probes
from convbench.verify.trial import Trial, attempt, judge

# How long a case waits while the CPUs lie elsewhere, by its budget, and at most: they were met away for 10 to 20 s.
PATIENCE, MOST_PATIENCE_S = 7.0, 20.0


class DeviceLost(Exception):  # noqa: N818  # it says what happened
    """After this backend no call on the device can succeed."""


def bench(
    cases: Iterable[Case],
    backends: Sequence[Backend],
    *,
    budget: Budget,
    rule: Rule,
    force: bool = False,
    watch: Watch | None = None,
) -> Iterator[Result]:
    """Time every backend on every case; the results of a case come together, in the backends' order."""
    watch = watch or Watch()
    lost = watch.lost
    for case in cases:
        outcomes: dict[str, Outcome] = {}
        rest: Failed | None = None
        for backend in backends:
            if (refused := refusal(backend, case, force=force, watch=watch)) is not None:
                outcomes[backend.name] = refused
        able = [backend for backend in backends if backend.name not in outcomes]
        if case.device in lost:
            rest = not_run(lost[case.device])
        elif able:
            try:
                with heap_kept():
                    bench_case(case, able, outcomes, budget=budget, rule=rule, watch=watch)
            except DeviceLost as error:
                lost[case.device] = Loss(backend=str(error), problem=case.problem.name)
                rest = not_run(lost[case.device])
            except ANY_FAULT as error:  # memory, most often: between the calls of the backends
                rest = failure(error)
        for backend in backends:
            outcome = outcomes.get(backend.name, rest)
            assert outcome is not None  # bench_case leaves none out unless it raises
            yield Result(case=case, backend=backend.name, family=backend.family, outcome=outcome)


def bench_case(
    case: Case,
    backends: Sequence[Backend],
    outcomes: dict[str, Outcome],
    *,
    budget: Budget,
    rule: Rule,
    watch: Watch,
) -> None:
    """Put the outcome of each backend on one case into `outcomes`, by name.

    Raises:
        DeviceLost: the outcomes found so far stand.
    """
    watch.tell("", Stage.TRUTH)
    exam = prepare_exam(case)
    by_name = {backend.name: backend for backend in backends}
    trials: dict[str, Trial] = {}
    call_s: dict[str, float] = {}
    crews = Crews()
    guard = Guard(**exam.operands)
    with conditions(case):
        early = _question_early(backends, exam, outcomes, watch)
        for backend in backends:
            if backend.name in outcomes:
                continue
            guard.restore()  # from what the one before may have left behind
            watch.tell(backend.name, Stage.VERIFIED)
            trial = attempt(backend, exam, answers=early.pop(backend.name, None))
            outcome: Outcome = trial if isinstance(trial, Failed) else trial.outcome
            if isinstance(trial, Trial) and isinstance(outcome, Verified):
                watch.tell(backend.name, Stage.TIMED)
                try:
                    if case.device == "cpu":
                        crews.learn(backend.name, trial.call)
                    call_s[backend.name] = seconds_a_call(trial.call, case.device)
                    trials[backend.name] = replace(trial, out=None)  # outputs kept would fill the device
                    if harmed := guard.restore():
                        outcome = Wrong(wrong(f"it changed its input {' and '.join(harmed)} {Stage.TIMED}"))
                except ANY_FAULT as error:
                    outcome = _failed_timing(error)
            if not isinstance(outcome, Verified):
                trials.pop(backend.name, None)
                _settle(outcomes, backend.name, outcome, case.device)
            del trial  # with its output
        if not trials:
            return
        exam.forget()  # what is timed must not find what it should compute
        contest = Contest(
            names=list(trials),
            baseline=BASELINE,
            budget=budget,
            rule=rule,
            rng=random.Random(case.seed),  # noqa: S311  # an order of rounds, no secret
        )
        with Meter(case.device, torch.get_num_threads(), partial(watch.tell, "", Stage.WAITED)) as meter:
            hold(contest, trials, call_s, outcomes, case.device, crews, meter, watch)
            noise = meter.noise()
        bills = _itemised(contest, trials, exam, outcomes, watch)
        watch.tell("", Stage.TRUTH)
        guard.restore()
        again = renew(exam)
        checks: dict[str, Check] = {}
        late: dict[str, Answer] = {}
        for name in sorted(bills, key=lambda name: by_name[name].built_in):  # the others answer before there is a truth
            watch.tell(name, Stage.VERIFIED_AGAIN)
            answer = _answer_again(trials[name], again)
            if isinstance(answer, Check):
                del bills[name]
                _settle(outcomes, name, Wrong(answer), case.device)
            elif by_name[name].built_in:
                checks[name] = _recheck(trials[name], by_name[name], again, answer)
            else:
                late[name] = answer
        for name, answer in late.items():
            checks[name] = _recheck(trials[name], by_name[name], again, answer)
        for name, bill in bills.items():
            trial, samples, check = trials[name], contest.samples[name], checks[name]
            if case.device == "cuda" and check.passed and (bill.cold_s or 0.0) < LAUNCH_BOUND_S:
                bill = replace(bill, graph_s=graph_time(trial.call, partial(watch.tell, name, Stage.TIMED)))  # noqa: PLW2901  # the same bill, complete
            kept = contest.kept(name)
            aside = () if len(kept) == len(samples) else tuple(n for n, one in enumerate(samples) if one.dirt)
            dirty = any(sample.dirt for sample in kept) and not contest.disturbs_itself(name)
            noisy = dirty or name in contest.too_few
            timed = Timed(
                check=check,
                samples_s=tuple(sample.seconds for sample in kept),
                bill=bill,
                comparison=contest.comparisons.get(name),
                noise=replace(noise, set_aside=aside, noisy=noisy),
            )
            _settle(outcomes, name, timed if check.passed else Wrong(check), case.device)


def hold(
    contest: Contest,
    trials: Mapping[str, Trial],
    call_s: Mapping[str, float],
    outcomes: dict[str, Outcome],
    device: str,
    crews: Crews,
    meter: Meter,
    watch: Watch,
) -> None:
    """Time rounds until the contest is over; who cannot go on gets an outcome and leaves.

    `call_s` are seconds a call as each was met alone. Those of the warm-up replace them: taken in
    turns, two that are equally fast were disturbed alike.
    """
    counts, warming_s = block_counts(call_s, BASELINE, device), dict[str, float]()
    patience_s = min(MOST_PATIENCE_S, PATIENCE * contest.budget.total_s(len(contest.names)))
    start = time.perf_counter()
    while order := contest.next_round(time.perf_counter() - start):
        if contest.warm and warming_s:
            counts, warming_s = block_counts({**call_s, **warming_s}, BASELINE, device), {}
        samples: dict[str, Sample] = {}
        meter.refresh()
        if meter.moved and patience_s > 0:
            waited_s = meter.wait(patience_s)
            patience_s, start = patience_s - waited_s, start + waited_s
        for name in order:
            call, count = trials[name].call, counts[name]
            watch.tell(name, Stage.TIMED)
            try:
                crews.make_way(name)
                if count > 1 or crews.several:
                    call()  # others have run since: this brings its operands and threads back
                before = meter.read()
                seconds = time_block(call, count, device)
                samples[name] = Sample(seconds=seconds, dirt=meter.dirt(before, meter.read(), seconds * count))
            except ANY_FAULT as error:
                contest.drop(name)
                _settle(outcomes, name, _failed_timing(error), device)
        contest.record(samples)
        if not contest.warm:
            for name, sample in samples.items():
                warming_s[name] = min(sample.seconds, warming_s.get(name, sample.seconds))


def _itemised(
    contest: Contest, trials: Mapping[str, Trial], exam: Exam, outcomes: dict[str, Outcome], watch: Watch
) -> dict[str, Bill]:
    """The bills of those that are left, with what a call costs in the other regimes; who fails at it is out."""
    device = exam.case.device
    bills = {name: trials[name].bill for name in contest.samples}

    def fault(name: str, error: BaseException) -> None:
        del bills[name]
        contest.drop(name)
        _settle(outcomes, name, _failed_timing(error), device)

    cold = cold_times({name: trials[name].call for name in bills}, device, watch, fault)
    watch.tell("", Stage.EVICTED)
    layout_s = conversion_time(exam.first, exam.case)
    for name in list(bills):
        bills[name] = replace(bills[name], cold_s=cold.get(name), layout_s=layout_s)
        if device == "cuda":
            try:
                wall_s, host_s = eager_times(trials[name].call, partial(watch.tell, name, Stage.TIMED))
            except ANY_FAULT as error:
                fault(name, error)
            else:
                bills[name] = replace(bills[name], wall_s=wall_s, host_s=host_s)
    return bills


def renew(exam: Exam) -> Exam:
    """Fresh numbers in the same buffers, with their own truth.

    A backend that kept an answer for a pointer it has seen before gives itself away. The weight
    stays: what was prepared from it still holds.
    """
    for (name, kept), fresh in zip(exam.operands.items(), make_operands(exam.case, salt=1), strict=True):
        if name != "w":
            kept.copy_(fresh)
    return make_exam(exam.case, *exam.operands.values(), drawn=exam.drawn)


def _failed_timing(error: BaseException) -> Failed:
    """What was right when it was verified: only a run that times it meets this again."""
    return Failed(f"{failure(error).message} ({Stage.TIMED})")


def _settle(outcomes: dict[str, Outcome], name: str, outcome: Outcome, device: str) -> None:
    outcomes[name] = outcome
    if isinstance(outcome, Failed | Wrong) and not alive(device):
        raise DeviceLost(name)


def _answer_again(trial: Trial, exam: Exam) -> Answer | Check:
    """What a call returns after the timing, or that it could not."""
    try:
        guard = Guard(**exam.operands)
        out = trial.call()
        synchronize(exam.case.device)
        return Answer.of(out, guard)
    except ANY_FAULT as error:
        return wrong(f"right before the timing; after it, it raised {failure(error).message}")


def _recheck(trial: Trial, backend: Backend, exam: Exam, answer: Answer) -> Check:
    """The worse of the two verdicts, before the timing and after it."""
    if answer.harmed:
        return wrong(f"right before the timing; after it, it changed its input {' and '.join(answer.harmed)}", "memory")
    if answer.shifted:
        return wrong("right before the timing; after it, its output changed after it was returned", "memory")
    try:
        after = judge(answer.out, exam, backend)
    except ANY_FAULT as error:
        return wrong(f"right before the timing; after it, nobody could say: {failure(error).message}")
    if not after.passed:
        evidence = f"right before the timing, wrong after it on fresh data: {after.evidence}"
        return wrong(evidence, after.probe)
    before = trial.check
    return replace(
        before,
        worst_of_bound=max(before.worst_of_bound, after.worst_of_bound),
        relative_l2=max(before.relative_l2, after.relative_l2),
        omega=max(before.omega or 0.0, after.omega or 0.0),
    )


def _question_early(
    backends: Sequence[Backend], exam: Exam, outcomes: dict[str, Outcome], watch: Watch
) -> dict[str, Answers]:
    """What foreign backends answer, taken before the truth is computed: while their code runs, it is not there."""
    early: dict[str, Answers] = {}
    for backend in backends:
        if not backend.built_in:
            watch.tell(backend.name, Stage.VERIFIED)
            found = question(backend, Probes(exam), profiled=True, whole=False)
            if isinstance(found, Answers):
                early[backend.name] = found
            else:
                _settle(outcomes, backend.name, found, exam.case.device)
    return early
