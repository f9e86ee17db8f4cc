"""The race of `tune`: which backend is fastest on a case whose operands are in no cache?

In a model a layer finds its weight in memory, because all others have run since. So the caches are emptied before each
call: hot calls choose another backend for layers with large weights. The backend that the cost table chooses is the
baseline of the race; the others fall, or take its place, by undisturbed rounds alone.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import torch

from convbench.backend import BASELINE, Backend
from convbench.backends._cost_table import hopeless, ranked
from convbench.bench.crews import Crews
from convbench.bench.entrant import Entrant
from convbench.bench.heap import heap_kept
from convbench.bench.noise import Meter
from convbench.bench.regimes import Eviction
from convbench.bench.ring import Ring
from convbench.bench.rounds import Contest, TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import admit, conclude, hold, renew, verify_again
from convbench.call.bind import ANY_FAULT, conditions, failure
from convbench.call.memory import Guard
from convbench.call.watch import BackendStage, Watch
from convbench.case import Case
from convbench.outcome import Result, Skipped
from convbench.verify.exam import prepare_exam
from convbench.verify.lineup import DeviceLost, Lineup


def race(
    cases: Iterable[Case],
    backends: Sequence[Backend],
    *,
    budget: TimeBudget,
    rule: VerdictRule,
    force: bool = False,
    watch: Watch | None = None,
) -> Iterator[Result]:
    """Race every backend on every case; comparisons are with `leader`, the results of a case come together."""
    watch = watch or Watch()
    for case in cases:
        lineup = Lineup.of(case, backends, force=force, watch=watch)
        for name, why in hopeless(case, [one.name for one in lineup.left]).items():
            lineup.out[name] = Skipped(why)
        if lineup.left:
            try:
                with suppress(DeviceLost), heap_kept():
                    race_case(lineup, budget=budget, rule=rule)
            except ANY_FAULT as error:  # memory, usually: between the calls of the backends
                lineup.give_up(failure(error))
        yield from lineup.results()


def leader(case: Case, names: Sequence[str]) -> str:
    """The one of these backends with which all others are compared: the cost table's choice."""
    return next(name for name in (*ranked(case), BASELINE, *names) if name in names)


def race_case(lineup: Lineup, *, budget: TimeBudget, rule: VerdictRule) -> None:
    """Verify the remaining backends, time those that are right on cold operands, and verify them again.

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
        evict = Eviction(case.target, watch.memory_nbytes)
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
        contest = Contest(
            names=list(entrants),
            baseline=leader(case, list(entrants)),
            budget=budget,
            rule=rule,
            rng=random.Random(case.seed),  # noqa: S311  # an order of rounds, no secret
        )
        call_s = {name: one.call_s for name, one in admitted.items()}
        with Meter(case.target, torch.get_num_threads(), partial(watch.tell, "", BackendStage.WAITED)) as meter:
            hold(contest, entrants, call_s, lineup, crews, meter, singly=True)
            noise = meter.noise()
        del ring, entrants, evict  # with all sets but the first
        watch.tell("", BackendStage.TRUTH)
        guard.restore()
        for name, check in verify_again(trials, lineup, renew(exam)).items():
            lineup.settle(name, conclude(name, contest, trials[name], trials[name].bill, check, noise, lineup, "cold"))
