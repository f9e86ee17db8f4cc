"""How does a sweep survive its backends? Each case runs in its own process, which may crash, hang or eat memory.

A fork server (`worker`, run in a fresh interpreter) imports torch once and forks a worker
from that on request: some hundredths of a second instead of a torch import. It has
neither a thread pool nor a CUDA context, so each worker starts its own. The worker is a session
of its own, runs the ordinary sweep on one case, and sends the results back. Before each thing it
does for a backend it writes that backend's number into shared memory, which outlives it: so
the backend that crashed, hung or grew too large is known, gets its row, and the case runs again
without it.

multiprocessing's own fork server would not do: it hands each child the pipe that keeps it
alive, so a hung worker survives a killed parent for ever; it runs the user's main module
again; and it lends its children stdout, which belongs to the CSV.

Everything below is killed at the latest when the parent's end of one socket closes, which the
kernel does for us however the parent dies.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import attrgetter

import torch

from convbench.backend import Backend, Unavailable
from convbench.call.watch import BackendStage, fault_traits
from convbench.case import Case
from convbench.device.cpu import Cpu
from convbench.errors import MOST_CHARACTERS, one_line
from convbench.machine import child_nbytes
from convbench.outcome import Failed, Outcome, Result, Skipped, Wrong
from convbench.workers.jobs import Fall, Further, Heard, Job, Sweep
from convbench.workers.server import Server

MOST_BY_WORD_S = 30.0  # a call, where third-party code says how slow it is; --timeout gives it longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may use.

    Its memory is polled, not limited by RLIMIT_AS, which counts addresses: CUDA reserves
    hundreds of gigabytes of those when it starts, whatever it will use.

    Attributes:
        timeout_s: seconds for one step of one backend (its verification, one block of timed calls);
            None for `default_timeout_s`.
        memory_nbytes: memory of the worker and its children; None for what is free when it starts, less a reserve.
    """

    timeout_s: float | None = None
    memory_nbytes: int | None = None


def default_timeout_s(case: Case, backends: Sequence[Backend]) -> float:
    """Two minutes, a second per 1e8 multiply-adds, and 20 calls of the slowest backend that declares its speed.

    A clock that restarts at each step does not count the time of other backends, so it depends
    neither on the budget nor on the number of backends. Two minutes are for compilers and
    autotuners; the oracle and slow kernels do 1e8 multiply-adds a second in float64 on any CPU. On a GPU, whose time
    is expensive, the limit is half a minute, except for those with a slow first call.
    """
    macs = case.spec.macs
    slowest = max((macs / one.macs_per_s for one in backends if one.max_macs is not None), default=0.0)
    if not all(one.built_in for one in backends):  # third-party declarations must not make us wait forever
        slowest = min(slowest, MOST_BY_WORD_S)
    hang_s = Cpu.hang_s if any(one.slow_start for one in backends) else case.target.hang_s
    return hang_s + macs / (1e8 * case.target.oracle_speed) + 20 * slowest


def isolated(
    sweep: Sweep,
    cases: Sequence[Case],
    backends: Sequence[Backend],
    *,
    plugins: Sequence[str] = (),
    unavailable: Sequence[Unavailable] = (),
    limits: Limits | None = None,
    cases_each: Callable[[Case], int] = lambda _: 1,
    heard: Heard | None = None,
) -> Iterator[Result]:
    """What `sweep(cases, backends, watch=...)` yields, each case in a process that may die.

    Args:
        sweep: `bench` or `verify`, its options bound by functools.partial; it must be picklable.
        backends: they are loaded in the worker, by name, from the same plug-ins.
        unavailable: those among them whose code must not be loaded again.
        cases_each: how many cases of the same device, from this one on, a worker does while it lives.
        heard: told what a busy backend is doing, see `Server.work`.

    Raises:
        ConvbenchError: no worker process can be started.
    """
    limits = limits or Limits()
    names = [backend.name for backend in backends]
    felled: dict[str, Outcome] = {}  # of the case that is being done
    faults: set[tuple[str, str]] = set()
    spared: set[str] = set()
    done = 0
    with Server.take() as server:
        while done < len(cases):
            _, together = next(groupby(cases[done : done + cases_each(cases[done])], attrgetter("device")))
            batch = tuple(together)
            job = Job(
                sweep=sweep,
                cases=batch,
                names=tuple(names),
                felled=tuple(felled),
                plugins=tuple(plugins),
                unavailable=tuple(unavailable),
                threads=torch.get_num_threads(),
                timeouts_s=tuple(limits.timeout_s or default_timeout_s(case, backends) for case in batch),
                memory_nbytes=limits.memory_nbytes or child_nbytes(),
                faults=frozenset(faults),
                spared=frozenset(spared),
            )
            for answer in server.work(job, heard=heard):
                case = cases[done]
                if isinstance(answer, Fall):
                    if _fell_elsewhere(answer, spared):
                        continue  # once more, without that problem
                    if answer.backend in names and answer.backend not in felled:
                        felled[answer.backend] = answer.outcome
                        if len(felled) < len(names):
                            continue  # the job ends here; once more, without this one
                    found: dict[str, Result] = {}
                else:
                    found = {result.backend: result for result in answer if result.case == case}
                    for one in found.values():
                        if isinstance(one.outcome, Wrong):
                            faults |= fault_traits(one.backend, case)
                for backend in backends:
                    outcome = felled.get(backend.name)
                    if outcome is None and isinstance(answer, Fall):
                        outcome = answer.outcome
                    if outcome is None:
                        own = found.get(backend.name)
                        outcome = Failed("not run: its worker sent no row") if own is None else own.outcome
                    yield _row(case, backend, outcome)
                felled.clear()
                done += 1


def isolated_as_asked(
    sweep: Sweep,
    cases: Iterator[Case],
    backend: Backend,
    *,
    plugins: Sequence[str],
    limits: Limits,
    cases_each: Callable[[Case], int],
) -> Iterator[Result]:
    """As `isolated`, for one backend and cases of one device, each of which is only taken when its result is asked for.

    A worker that has the backend's code loaded, and perhaps compiled, waits for the next case, `cases_each` of them.
    """
    faults: set[tuple[str, str]] = set()
    spared: set[str] = set()
    due: list[Case] = []  # the case whose result was asked for

    def further(most: int) -> Further:
        for case in islice(cases, most):
            due.append(case)
            yield case, limits.timeout_s or default_timeout_s(case, [backend])

    with Server.take() as server:
        for asked in cases:
            due.append(asked)
            while due:  # once more, if a worker had enough before it did this one
                (case,) = due
                timeouts_s = (limits.timeout_s or default_timeout_s(case, [backend]),)
                job = Job(
                    sweep=sweep,
                    cases=(case,),
                    names=(backend.name,),
                    felled=(),
                    plugins=tuple(plugins),
                    unavailable=(),
                    threads=torch.get_num_threads(),
                    timeouts_s=timeouts_s,
                    memory_nbytes=limits.memory_nbytes or child_nbytes(),
                    faults=frozenset(faults),
                    spared=frozenset(spared),
                )
                for answer in server.work(job, further(cases_each(case) - 1)):
                    if isinstance(answer, Fall) and _fell_elsewhere(answer, spared):
                        continue  # once more, without that problem
                    case = due.pop()
                    if isinstance(answer, Fall):
                        outcome = answer.outcome
                    else:
                        own = [one.outcome for one in answer if one.case == case and one.backend == backend.name]
                        outcome = own[0] if own else Failed("not run: its worker sent no row")
                    if isinstance(outcome, Wrong):
                        faults |= fault_traits(backend.name, case)
                    yield _row(case, backend, outcome)


def _row(case: Case, backend: Backend, outcome: Outcome) -> Result:
    done_by = backend.for_case(case)
    return Result(
        case=case,
        backend=backend.name,
        family=done_by.family,
        outcome=_in_one_line(outcome),
        chosen=done_by.chosen,
    )


def _fell_elsewhere(fall: Fall, spared: set[str]) -> bool:
    """Whether a worker was lost on another problem than its case: no fault of the case. The backend is spared then."""
    elsewhere = fall.stage == BackendStage.DISTURBED and fall.backend is not None and fall.backend not in spared
    if elsewhere:
        spared.add(str(fall.backend))
    return elsewhere


def _in_one_line(outcome: Outcome) -> Outcome:
    """Its text is third-party: limit its length and escape it before it reaches a terminal or a file."""
    most = 2 * MOST_CHARACTERS  # what was cut already has a few words more now
    match outcome:
        case Failed(message):
            return Failed(one_line(message, most))
        case Skipped(reason):
            return Skipped(one_line(reason, most))
        case Wrong(check):
            return Wrong(replace(check, evidence=one_line(check.evidence or "", most)))
    return outcome
