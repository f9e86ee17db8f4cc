"""Is every backend right on every case, and if not, why?"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from convbench.backend import Backend
from convbench.call.watch import BackendStage, Watch, fault_traits
from convbench.case import Case
from convbench.outcome import Failed, Result, Wrong
from convbench.verify import state
from convbench.verify.answers import Answers, question
from convbench.verify.diagnose.fault import Effort, explain_fault
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.lineup import DeviceLost, Lineup
from convbench.verify.probes import Probes
from convbench.verify.trial import of_the_oracle, weigh

# Traits of a backend's faults; after this many, no smaller problem and no cause is searched for.
MOST_SHRUNK, MOST_EXPLAINED = 8, 40


def verify(
    cases: Iterable[Case], backends: Sequence[Backend], *, force: bool = False, watch: Watch | None = None
) -> Iterator[Result]:
    """Every backend on every case, in order; the oracle runs once per case.

    Third-party backends answer before it: while their code runs, there is no truth to find.
    """
    watch = watch or Watch()
    before: Probes | None = None
    for case in cases:
        if before and not (_same_numbers(before.exam.case, case) and all(one.built_in for one in backends)):
            before = None  # its truth is no longer needed and may be large; asking a backend also runs code
        lineup = Lineup.of(case, backends, force=force, watch=watch)
        if lineup.left:
            probes = _probes(case)
            if isinstance(probes, Failed):
                lineup.give_up(probes)
            else:
                if before is not None:
                    probes.adopt(before)
                with suppress(DeviceLost):
                    _verify_case(probes, lineup)
                before = probes
        yield from lineup.results()


def _probes(case: Case) -> Probes | Failed:
    try:
        return Probes(prepare_exam(case))
    except (MemoryError, RuntimeError) as error:  # for want of memory, usually
        return of_the_oracle(error)


def _same_numbers(one: Case, other: Case) -> bool:
    return replace(one, layout=other.layout) == other


def _verify_case(probes: Probes, lineup: Lineup) -> None:
    """All remaining backends answer and are judged; none remains then.

    Raises:
        DeviceLost: every backend has an outcome.
    """
    watch = lineup.watch
    answers: dict[str, Answers] = {}

    def ask(backend: Backend) -> None:
        watch.tell(backend.name, BackendStage.VERIFIED)
        disturbed = backend.name, state.kind(probes.exam.case)
        calm = backend.name in watch.spared or disturbed in watch.disturbed
        found = question(backend, probes, disturbed=not calm, tell=watch.tell)
        watch.disturbed.add(disturbed)
        if isinstance(found, Answers):
            answers[backend.name] = found
        else:
            lineup.settle(backend.name, found)

    for backend in lineup.foreign:
        ask(backend)
    for backend in lineup.left:
        if backend.built_in:
            ask(backend)
        if backend.name in answers:
            watch.tell("", BackendStage.TRUTH)
            outcome = weigh(backend, probes, answers.pop(backend.name))
            if isinstance(outcome, Wrong):
                outcome = explained(backend, probes.exam, outcome, watch)
            lineup.settle(backend.name, outcome)


def explained(backend: Backend, exam: Exam, outcome: Wrong, watch: Watch) -> Wrong:
    """The outcome with its explanation, for the first of its backend on each problem and on each axis.

    For others nothing is searched: `cause_cut` is 0.
    """
    new = fault_traits(backend.name, exam.case) - watch.faults
    known = sum(name == backend.name for name, _ in watch.faults)
    watch.faults.update(new)
    if not new or known >= MOST_EXPLAINED:
        return Wrong(replace(outcome.check, cause_cut=0))
    effort = Effort() if known < MOST_SHRUNK else Effort(tries=0)
    # A few questions are a step: a watch that counts the seconds of a step ends what hangs, and no long search.
    tell = partial(watch.tell, backend.name, BackendStage.EXPLAINED)
    tell()
    return Wrong(explain_fault(backend, exam, outcome.check, effort, tell=tell))
