"""The sweep: every case, its backends verified, timed in interleaved rounds, and verified again."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convbench.backend import BASELINE, Backend
from convbench.bench.clock import calls_in_a_block, time_block
from convbench.bench.rounds import Budget, Contest
from convbench.bench.statistics import Rule
from convbench.case import Case
from convbench.outcome import Bill, Check, Failed, Outcome, Result, Skipped, Timed, Wrong
from convbench.verify.check import (
    Exam,
    bind,
    conditions,
    failure,
    make_exam,
    proof_of_claim,
    synchronize,
    too_large,
    try_exam,
    wrong,
)
from convbench.verify.memory import Guard
from convbench.verify.operands import make_operands
from convbench.verify.profile import profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A backend that was right before the timing, ready to be timed."""

    backend: Backend
    call: Callable[[], Any]
    calls: int
    check: Check
    bill: Bill


def bench(
    cases: Iterable[Case], backends: Sequence[Backend], *, budget: Budget, rule: Rule, force: bool = False
) -> Iterator[Result]:
    """Time every backend on every case; the results of a case come together, in the backends' order."""
    for case in cases:
        outcomes: Mapping[str, Outcome]
        try:
            outcomes = bench_case(case, backends, budget=budget, rule=rule, force=force)
        except (MemoryError, RuntimeError) as error:  # a fault that one backend left on the device hits the next call
            outcomes = dict.fromkeys((backend.name for backend in backends), failure(error))
        for backend in backends:
            yield Result(case=case, backend=backend.name, family=backend.family, outcome=outcomes[backend.name])


def bench_case(
    case: Case, backends: Sequence[Backend], *, budget: Budget, rule: Rule, force: bool = False
) -> dict[str, Outcome]:
    """The outcome of each backend on one case, by name."""
    outcomes: dict[str, Outcome] = {}
    able: list[Backend] = []
    for backend in backends:
        if (reason := backend.why_not(case, force=force) or too_large(case, backend)) is not None:
            outcomes[backend.name] = Skipped(reason)
        else:
            able.append(backend)
    if not able:
        return outcomes
    exam = try_exam(case)
    if isinstance(exam, Failed):
        return outcomes | {backend.name: exam for backend in able}
    with conditions(case):
        contenders: dict[str, Contender] = {}
        for backend in able:
            entry = admit(backend, exam)
            if isinstance(entry, Contender):
                contenders[backend.name] = entry
            else:
                outcomes[backend.name] = entry
        contest = Contest(
            names=list(contenders),
            baseline=BASELINE,
            budget=budget,
            rule=rule,
            rng=random.Random(case.seed),  # noqa: S311  # an order of rounds, no secret
        )
        outcomes |= hold(contest, contenders, case.device)
        again = renew(exam)
        for name, own in contest.samples.items():
            check = _recheck(contenders[name], again)
            outcomes[name] = (
                Timed(
                    check=check,
                    samples_s=tuple(own),
                    bill=contenders[name].bill,
                    comparison=contest.comparison(name),
                )
                if check.passed
                else Wrong(check)
            )
    return outcomes


def hold(contest: Contest, contenders: Mapping[str, Contender], device: str) -> dict[str, Outcome]:
    """Time rounds until the contest is over; the outcomes of those that could not go on."""
    dropped: dict[str, Outcome] = {}
    start = time.perf_counter()
    while order := contest.next_round(time.perf_counter() - start):
        seconds: dict[str, float] = {}
        for name in order:
            one = contenders[name]
            try:
                seconds[name] = time_block(one.call, one.calls, device)
            except Exception as error:  # a backend may raise anything; the others go on
                dropped[name] = failure(error)
                contest.drop(name)
        contest.record(seconds)
    return dropped


def admit(backend: Backend, exam: Exam) -> Contender | Wrong | Failed:
    """The first call, timed and judged, then a profiled one, then the warm-up."""
    device = exam.case.device
    guard = Guard(x=exam.x, w=exam.w)
    try:
        call, prepare_s = bind(backend, exam)
        start = time.perf_counter()
        out = call()
        synchronize(device)
        first_call_s = time.perf_counter() - start
        check = exam.check(out, backend.family)
        del out
        if harmed := guard.harmed():
            return Wrong(wrong(f"it changed its input {' and '.join(harmed)}"))
        if not check.passed:
            return Wrong(check)
        seen = profile(call, device)
        if (broken := proof_of_claim(backend, seen)) is not None:
            return broken
        bill = Bill(prepare_s=prepare_s, first_call_s=first_call_s, peak_nbytes=seen.peak_nbytes, ran=seen.ran)
        calls = calls_in_a_block(call, device)
    except Exception as error:  # whatever a backend raises is its row
        return failure(error)
    return Contender(backend=backend, call=call, calls=calls, check=check, bill=bill)


def renew(exam: Exam) -> Exam:
    """Fresh numbers in the same buffers, with their own truth.

    A backend that kept an answer for a pointer it has seen before gives itself away.
    """
    fresh, _ = make_operands(exam.case, salt=1)
    exam.x.copy_(fresh)
    return make_exam(exam.case, exam.x, exam.w)


def _recheck(contender: Contender, exam: Exam) -> Check:
    """The worse of the two verdicts, before the timing and after it."""
    try:
        out = contender.call()
        synchronize(exam.case.device)
    except Exception as error:  # whatever a backend raises is its row
        return wrong(f"after the timing it raised {failure(error).message}")
    after = exam.check(out, contender.backend.family)
    if not after.passed:
        return wrong(f"right before the timing, wrong after it on fresh data: {after.evidence}")
    before = contender.check
    return Check(
        worst_of_bound=max(before.worst_of_bound, after.worst_of_bound),
        relative_l2=max(before.relative_l2, after.relative_l2),
    )
