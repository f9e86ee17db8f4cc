"""The sweep: every case, its backends verified, timed in interleaved rounds, and verified again."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import torch

from convbench.backend import BASELINE, Backend
from convbench.bench.clock import block_counts, seconds_a_call
from convbench.bench.crews import Crews
from convbench.bench.entrant import Caught, Entrant
from convbench.bench.heap import heap_kept
from convbench.bench.noise import Meter
from convbench.bench.regimes import LAUNCH_BOUND_S, Eviction, cold_times, conversion_time, mapped_times
from convbench.bench.ring import Ring
from convbench.bench.rounds import Contest, TimeBudget, TimeSample, paced
from convbench.bench.statistics import VerdictRule
from convbench.call.bind import ANY_FAULT, conditions, failure, synchronize
from convbench.call.memory import Guard
from convbench.call.watch import BackendStage, Watch
from convbench.case import Case
from convbench.outcome import Bill, Check, Failed, Noise, Result, Skipped, Timed, Wrong, launch_bound
from convbench.verify.answers import Answer, Answers, question
from convbench.verify.exam import Exam, make_exam, prepare_exam, wrong
from convbench.verify.lineup import DeviceLost, Lineup
from convbench.verify.operands import make_operands
from convbench.verify.probes import Probes
from convbench.verify.trial import Trial, attempt, judge

SEVERAL = 4  # blocks in one, where a turn has to settle for longer than a block lasts


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is timed of a case, and against whom.

    Attributes:
        baseline: the one of these backends with which all others are compared.
        hopeless: those that are not worth a race, with the reason.
        emptied: the caches are emptied before each call, and nothing else is measured; otherwise the regime is the
            device's, and the costs in the other ones are measured too.
    """

    baseline: Callable[[Case, Sequence[str]], str] = lambda _case, _names: BASELINE
    hopeless: Callable[[Case, Sequence[str]], Mapping[str, str]] = lambda _case, _names: {}
    emptied: bool = False


def bench(
    cases: Iterable[Case],
    backends: Sequence[Backend],
    *,
    budget: TimeBudget,
    rule: VerdictRule,
    terms: Terms = Terms(),
    force: bool = False,
    watch: Watch | None = None,
) -> Iterator[Result]:
    """Time every backend on every case; the results of a case come together, in the backends' order."""
    watch = watch or Watch()
    for case in cases:
        lineup = Lineup.of(case, backends, force=force, watch=watch)
        for name, why in terms.hopeless(case, [one.name for one in lineup.left]).items():
            lineup.out[name] = Skipped(why)
        if lineup.left:
            try:
                with suppress(DeviceLost), heap_kept():
                    bench_case(lineup, budget=budget, rule=rule, terms=terms)
            except ANY_FAULT as error:  # memory, usually: between the calls of the backends
                lineup.give_up(failure(error))
        if case.device not in watch.lost:
            case.target.release()
        yield from lineup.results()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A backend that was right, and may be timed.

    Attributes:
        trial: its verdict and its call; the output is let go, for all of them would fill the device.
        call_s: about how long a warm call takes, alone.
    """

    trial: Trial
    call_s: float


def bench_case(lineup: Lineup, *, budget: TimeBudget, rule: VerdictRule, terms: Terms) -> None:
    """Verify the remaining backends, time those that are right, and verify them again.

    Raises:
        DeviceLost: every backend has an outcome.
    """
    case, watch = lineup.case, lineup.watch
    watch.tell("", BackendStage.TRUTH)
    exam = prepare_exam(case)
    guard = Guard(**exam.operands)
    crews = Crews()
    with conditions(case):
        admitted = admit(lineup, exam, guard, crews)
        if not admitted:
            return
        exam.forget()  # timed code must not find what it should compute
        trials = {name: one.trial for name, one in admitted.items()}
        ring = Ring(case, exam.operands, entrants=len(admitted))
        cache = "cold" if terms.emptied else case.target.cache
        evict = Eviction(case.target, watch.memory_nbytes) if cache == "cold" else None
        entrants = {
            backend.name: Entrant(
                backend=backend,
                case=case,
                trial=trials[backend.name],
                ring=ring,
                evict=evict,
                tell=partial(watch.tell, backend.name, BackendStage.VERIFIED),
            )
            for backend in lineup.left
        }
        call_s = {name: one.call_s for name, one in admitted.items()}
        apart = set() if terms.emptied else capture(entrants, call_s, lineup)
        contest = Contest(
            names=list(entrants),
            baseline=terms.baseline(case, list(entrants)),
            budget=budget,
            rule=rule,
            rng=random.Random(case.seed),  # noqa: S311  # an order of rounds, no secret
            apart=apart,
        )
        with Meter(case.target, torch.get_num_threads(), partial(watch.tell, "", BackendStage.WAITED)) as meter:
            hold(contest, entrants, call_s, lineup, crews, meter, singly=terms.emptied)
            noise = meter.noise()
        bills = {name: one.trial.bill for name, one in entrants.items()}
        if not terms.emptied:
            bills |= itemise(contest, entrants, lineup, crews, exam)
        timings = {name: one.timing for name, one in entrants.items()}
        del ring, entrants, evict  # with all sets but the first
        watch.tell("", BackendStage.TRUTH)
        guard.restore()
        checks = verify_again(trials, lineup, renew(exam))
        for name, check in checks.items():
            found = conclude(name, contest, trials[name], bills[name], check, noise, lineup, cache)
            lineup.settle(name, replace(found, timing=timings[name]) if isinstance(found, Timed) else found)


def admit(lineup: Lineup, exam: Exam, guard: Guard, crews: Crews) -> dict[str, Admitted]:
    """The backends that are right and can be timed, by name; all others drop out.

    Third-party code answers first: while it runs, the truth has not been computed.
    """
    early: dict[str, Answers] = {}
    for backend in lineup.foreign:
        lineup.watch.tell(backend.name, BackendStage.VERIFIED)
        found = question(backend, Probes(exam), profiled=True, whole=False)
        if isinstance(found, Answers):
            early[backend.name] = found
        else:
            lineup.settle(backend.name, found)
    admitted: dict[str, Admitted] = {}
    for backend in lineup.left:
        guard.restore()  # from what the one before may have left behind
        found_out = _admit(backend, exam, guard, crews, lineup.watch, early.pop(backend.name, None))
        if isinstance(found_out, Admitted):
            admitted[backend.name] = found_out
        else:
            lineup.settle(backend.name, found_out)
    return admitted


def _admit(
    backend: Backend, exam: Exam, guard: Guard, crews: Crews, watch: Watch, answers: Answers | None
) -> Admitted | Wrong | Failed | Skipped:
    target = exam.case.target
    watch.tell(backend.name, BackendStage.VERIFIED)
    trial = attempt(backend, exam, answers=answers)
    del answers  # with the outputs in them: they would take the memory of what is timed
    if isinstance(trial, Failed | Skipped):
        return trial
    if isinstance(trial.outcome, Wrong):
        return trial.outcome
    watch.tell(backend.name, BackendStage.TIMED)
    try:
        if target.on_host:
            crews.learn(backend.name, trial.call)
        admitted = Admitted(trial=replace(trial, out=None), call_s=seconds_a_call(trial.call, target))
        if harmed := guard.restore():
            return Wrong(wrong(f"it changed its input {' and '.join(harmed)} {BackendStage.TIMED}"))
    except ANY_FAULT as error:
        return _failed_timing(error)
    return admitted


def capture(entrants: dict[str, Entrant], call_s: Mapping[str, float], lineup: Lineup) -> set[str]:
    """Time every backend in the device's way, if possible; returns the names of those that cannot be compared then.

    A backend that can no longer be called after an attempt drops out.

    Without the baseline, a graph would have nothing to be compared with, so then there is none. A call that is not
    captured is compared with graphs as long as it does not wait for its host.
    """
    target, watch = lineup.case.target, lineup.watch
    if target.timing == "eager":
        return set()
    for name, entrant in entrants.items():
        watch.tell(name, BackendStage.CAPTURED)
        if not entrant.capture(call_s[name]):
            watch.worn.append(f"{name} could not be captured")
    if BASELINE in entrants and entrants[BASELINE].timing == "eager":
        for entrant in entrants.values():
            entrant.let_go()
        return set()
    apart = set()
    for name, entrant in list(entrants.items()):
        if entrant.timing == "eager":
            try:
                times = target.eager_times(entrant.trial.call, partial(watch.tell, name, BackendStage.TIMED))
            except ANY_FAULT as error:
                del entrants[name]
                lineup.settle(name, _out_of_timing(error))
                continue
            if times is not None and launch_bound(*times):
                apart.add(name)
    return apart


def hold(
    contest: Contest,
    entrants: Mapping[str, Entrant],
    call_s: Mapping[str, float],
    lineup: Lineup,
    crews: Crews,
    meter: Meter,
    *,
    singly: bool = False,
) -> None:
    """Time rounds until the contest is over; backends that cannot continue drop out.

    `call_s` are seconds per call as each was met alone. Those of the warm-up replace them: taken in
    turns, two that are equally fast were disturbed equally. A backend caught not doing its work is wrong.

    Args:
        singly: a block is one call, as it must be if the caches are emptied before it.
    """
    target, watch = lineup.case.target, lineup.watch
    block_s = target.block_s * (SEVERAL if crews.several else 1)
    counts, warming_s = block_counts(call_s, contest.baseline, block_s), dict[str, float]()
    if singly:
        counts = dict.fromkeys(counts, 1)
    for order in paced(contest, meter):
        if contest.warm and warming_s and not singly:
            counts, warming_s = block_counts({**call_s, **warming_s}, contest.baseline, block_s), {}
        samples: dict[str, TimeSample] = {}
        for name in order:
            entrant, count = entrants[name], counts[name]
            watch.tell(name, BackendStage.TIMED)
            turn = time.perf_counter()
            try:
                # Others have run since: this brings its operands and threads back.
                if (count > 1 or crews.several) and not singly:
                    crews.begin_turn(name, entrant.settle)
                before = meter.read()
                block = entrant.block(count)
                after = meter.read()
                if block.shot is not None:
                    entrant.judge(block.shot, f"while it was timed ({contest.moment})")
                sample = TimeSample(
                    seconds=block.each_s,
                    dirt=meter.dirt(before, after, block.seconds),
                    turn_s=time.perf_counter() - turn,
                    lost=meter.lost(before, after, block.seconds),
                )
            except ANY_FAULT as error:
                contest.drop(name)
                lineup.settle(name, _out_of_timing(error))
            else:
                samples[name] = sample
        contest.record(samples)
        if not contest.warm:
            for name, sample in samples.items():
                warming_s[name] = min(sample.seconds, warming_s.get(name, sample.seconds))


def itemise(
    contest: Contest, entrants: Mapping[str, Entrant], lineup: Lineup, crews: Crews, exam: Exam
) -> dict[str, Bill]:
    """The costs of the remaining backends, including calls in the other regimes; those that fail drop out."""
    target, watch = lineup.case.target, lineup.watch

    def fault(name: str, error: BaseException) -> None:
        contest.drop(name)
        lineup.settle(name, _out_of_timing(error))

    cold = cold_times({name: entrants[name].cold for name in contest.samples}, target, watch, fault)
    mapped = mapped_times(
        {name: partial(warm_turn, name, entrants[name], contest, crews) for name in contest.samples},
        {name: entrants[name].settle for name in contest.samples},
        target,
        watch,
        fault,
    )
    watch.tell("", BackendStage.EVICTED)
    layout_s = conversion_time(exam.first, exam.case)
    bills: dict[str, Bill] = {}
    for name in list(contest.samples):
        try:
            eager = target.eager_times(entrants[name].trial.call, partial(watch.tell, name, BackendStage.TIMED))
        except ANY_FAULT as error:
            fault(name, error)
        else:
            wall_s, host_s = eager or (None, None)
            bill, own = entrants[name].trial.bill, mapped.get(name)
            # torch's profiler knows the bytes that torch allocates, the system all pages.
            peaks = [one.peak_nbytes for one in (bill, own) if one is not None and one.peak_nbytes is not None]
            bills[name] = replace(
                bill,
                cold_s=cold.get(name),
                mapped_s=None if own is None else own.seconds,
                peak_nbytes=max(peaks, default=None),
                layout_s=layout_s,
                wall_s=wall_s,
                host_s=host_s,
            )
    return bills


def warm_turn(name: str, entrant: Entrant, contest: Contest, crews: Crews) -> float:
    """Seconds per call of one block, as in the rounds.

    Raises:
        Caught: it did not do its work.
    """
    usual_s = {name: median(sample.seconds for sample in contest.samples[name])}
    count = block_counts(usual_s, BASELINE, entrant.case.target.block_s)[name]
    crews.begin_turn(name, entrant.settle)
    block = entrant.block(count)
    if block.shot is not None:
        entrant.judge(block.shot, "while it was timed (on newly mapped memory)")
    return block.each_s


def verify_again(trials: Mapping[str, Trial], lineup: Lineup, again: Exam) -> dict[str, Check]:
    """The verdict on each remaining backend, before the timing and after it; those that can no longer answer drop out.

    Third-party code answers first: while it runs, the truth of the fresh numbers has not been computed.
    """
    checks: dict[str, Check] = {}
    late: dict[str, tuple[Backend, Answer]] = {}
    for backend in lineup.foreign_first:
        name = backend.name
        lineup.watch.tell(name, BackendStage.VERIFIED_AGAIN)
        answer = _answer_again(trials[name], again)
        if isinstance(answer, Check):
            lineup.settle(name, Wrong(answer))
        elif backend.built_in:
            checks[name] = _recheck(trials[name], backend, again, answer)
        else:
            late[name] = (backend, answer)
    return checks | {name: _recheck(trials[name], backend, again, answer) for name, (backend, answer) in late.items()}


def conclude(
    name: str,
    contest: Contest,
    trial: Trial,
    bill: Bill,
    check: Check,
    noise: Noise,
    lineup: Lineup,
    cache: str,
) -> Timed | Wrong:
    """The outcome of a timed backend."""
    if not check.passed:
        return Wrong(check)
    if (bill.cold_s or 0.0) < LAUNCH_BOUND_S:
        bill = replace(
            bill,
            graph_s=lineup.case.target.graph_time(trial.call, partial(lineup.watch.tell, name, BackendStage.TIMED)),
        )
    told = contest.told(name, noise)
    return Timed(
        check=check,
        samples_s=told.samples_s,
        rounds=told.rounds,
        bill=bill,
        comparison=told.comparison,
        noise=told.noise,
        cache=cache,
    )


def renew(exam: Exam) -> Exam:
    """Fresh numbers in the same buffers, with their own truth.

    A backend that reuses an answer for a known pointer is caught. The weight
    stays: what was prepared from it still holds.
    """
    for (name, kept), fresh in zip(exam.operands.items(), make_operands(exam.case, salt=1), strict=True):
        if name != "w":
            kept.copy_(fresh)
    return make_exam(exam.case, *exam.operands.values(), drawn=exam.drawn)


def _out_of_timing(error: BaseException) -> Failed | Wrong:
    """Why a timed backend dropped out."""
    return Wrong(error.check) if isinstance(error, Caught) else _failed_timing(error)


def _failed_timing(error: BaseException) -> Failed:
    """A failure of a backend that was right when verified: only a timed run reproduces it."""
    return Failed(f"{failure(error).message} ({BackendStage.TIMED})")


def _answer_again(trial: Trial, exam: Exam) -> Answer | Check:
    """What a call returns after the timing, or that it could not."""
    try:
        guard = Guard(**exam.operands)
        out = trial.call()
        synchronize(exam.case.device)
        return Answer.of(out, guard)
    except ANY_FAULT as error:
        return wrong(f"correct before timing; raised after it: {failure(error).message}")


def _recheck(trial: Trial, backend: Backend, exam: Exam, answer: Answer) -> Check:
    """The worse of the two verdicts, before the timing and after it."""
    if answer.harmed:
        return wrong(f"correct before timing; changed its input after it: {' and '.join(answer.harmed)}", "memory")
    if answer.shifted:
        return wrong("correct before timing; its output changed after it was returned", "memory")
    try:
        after = judge(answer.out, exam, backend)
    except ANY_FAULT as error:
        return wrong(f"correct before timing; could not be checked after it: {failure(error).message}")
    if not after.passed:
        evidence = f"correct before timing, wrong after it on fresh data: {after.evidence}"
        return wrong(evidence, after.probe)
    before = trial.check
    return replace(
        before,
        worst_of_bound=max(before.worst_of_bound, after.worst_of_bound),
        relative_l2=max(before.relative_l2, after.relative_l2),
        omega=max(before.omega or 0.0, after.omega or 0.0),
    )
