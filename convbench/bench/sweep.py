"""The sweep: every case, its backends verified, timed in interleaved rounds, and verified again."""

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from convbench.backend import BASELINE, Backend
from convbench.bench.clock import calls_in_a_block, time_block
from convbench.bench.rounds import Budget, Contest
from convbench.bench.statistics import Rule
from convbench.case import Case
from convbench.outcome import Check, Failed, Outcome, Result, Timed, Verified, Wrong
from convbench.verify.check import Exam, make_exam, wrong
from convbench.verify.memory import Guard
from convbench.verify.operands import make_operands
from convbench.verify.trial import (
    ANY_FAULT,
    Loss,
    Stage,
    Trial,
    Watch,
    alive,
    attempt,
    conditions,
    failure,
    not_run,
    refusal,
    synchronize,
    try_exam,
)


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
    exam = try_exam(case)
    if isinstance(exam, Failed):
        outcomes |= {backend.name: exam for backend in backends}
        return
    families = {backend.name: backend.family for backend in backends}
    trials: dict[str, Trial] = {}
    calls: dict[str, int] = {}
    guard = Guard(x=exam.x, w=exam.w)
    with conditions(case):
        for backend in backends:
            guard.restore()  # from what the one before may have left behind
            watch.tell(backend.name, Stage.VERIFIED)
            trial = attempt(backend, exam)
            outcome: Outcome = trial if isinstance(trial, Failed) else trial.outcome
            if isinstance(trial, Trial) and isinstance(outcome, Verified):
                watch.tell(backend.name, Stage.TIMED)
                try:
                    calls[backend.name] = calls_in_a_block(trial.call, case.device)
                    trials[backend.name] = replace(trial, out=None)  # outputs kept would fill the device
                    if harmed := guard.restore():
                        outcome = Wrong(wrong(f"it changed its input {' and '.join(harmed)} after some calls"))
                except ANY_FAULT as error:
                    outcome = failure(error)
            if not isinstance(outcome, Verified):
                trials.pop(backend.name, None)
                _settle(outcomes, backend.name, outcome, case.device)
        contest = Contest(
            names=list(trials),
            baseline=BASELINE,
            budget=budget,
            rule=rule,
            rng=random.Random(case.seed),  # noqa: S311  # an order of rounds, no secret
        )
        hold(contest, trials, calls, outcomes, case.device, watch)
        guard.restore()
        watch.tell("", Stage.TRUTH)
        again = renew(exam)
        for name, own in contest.samples.items():
            trial = trials[name]
            watch.tell(name, Stage.VERIFIED_AGAIN)
            check = _recheck(trial, families[name], again)
            timed = Timed(check=check, samples_s=tuple(own), bill=trial.bill, comparison=contest.comparison(name))
            _settle(outcomes, name, timed if check.passed else Wrong(check), case.device)


def hold(
    contest: Contest,
    trials: Mapping[str, Trial],
    calls: Mapping[str, int],
    outcomes: dict[str, Outcome],
    device: str,
    watch: Watch,
) -> None:
    """Time rounds until the contest is over; who cannot go on gets an outcome and leaves."""
    start = time.perf_counter()
    while order := contest.next_round(time.perf_counter() - start):
        seconds: dict[str, float] = {}
        for name in order:
            watch.tell(name, Stage.TIMED)
            try:
                seconds[name] = time_block(trials[name].call, calls[name], device)
            except ANY_FAULT as error:
                contest.drop(name)
                _settle(outcomes, name, failure(error), device)
        contest.record(seconds)


def renew(exam: Exam) -> Exam:
    """Fresh numbers in the same buffers, with their own truth.

    A backend that kept an answer for a pointer it has seen before gives itself away.
    """
    fresh, _ = make_operands(exam.case, salt=1)
    exam.x.copy_(fresh)
    return make_exam(exam.case, exam.x, exam.w)


def _settle(outcomes: dict[str, Outcome], name: str, outcome: Outcome, device: str) -> None:
    outcomes[name] = outcome
    if isinstance(outcome, Failed | Wrong) and not alive(device):
        raise DeviceLost(name)


def _recheck(trial: Trial, family: str, exam: Exam) -> Check:
    """The worse of the two verdicts, before the timing and after it."""
    guard = Guard(x=exam.x, w=exam.w)
    try:
        out = trial.call()
        synchronize(exam.case.device)
        after = exam.check(out, family)
        harmed = guard.restore()
    except ANY_FAULT as error:
        return wrong(f"right before the timing; after it, it raised {failure(error).message}")
    if harmed:
        return wrong(f"right before the timing; after it, it changed its input {' and '.join(harmed)}")
    if not after.passed:
        return wrong(f"right before the timing, wrong after it on fresh data: {after.evidence}")
    before = trial.check
    return Check(
        worst_of_bound=max(before.worst_of_bound, after.worst_of_bound),
        relative_l2=max(before.relative_l2, after.relative_l2),
    )
