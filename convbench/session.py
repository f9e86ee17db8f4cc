"""Run a selection and save the results, for the command line and for Python.

    selection = select(suites=["quick"], backends=["torch", "unfold-matmul"])
    for results in Session(selection, Bench(budget_s=0.1), csv="quick.csv").run():
        ...  # of one case, its rows in the file already

Nothing here prints, exits, or reads sys.argv: errors are ConvbenchErrors, notes go to `tell`. torch is
imported when a Session is created.
"""

import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, ClassVar, Protocol

from convbench.backend import Backend
from convbench.call.watch import Watch
from convbench.case import Case, RowKey
from convbench.errors import ConvbenchError
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong
from convbench.printing import each_prints_to_stderr
from convbench.selection import Selection, Tell, bring_here, silent
from convbench.shards import Shard, Sweep
from convbench.system import elsewhere, require
from convbench.workers.probe import is_possible

if TYPE_CHECKING:
    from convbench.rows import Row

MOST_THREADS_A_CPU = 4

Run = Callable[[Callable[..., Iterator[Result]], Sequence[Case], Sequence[Backend]], Iterator[Result]]


def set_threads(threads: int) -> int:
    """Set torch's CPU threads (0 keeps them) and return their number.

    Raises:
        ConvbenchError: a negative number, or far more than there are CPUs, which would wait for each other forever.
    """
    import torch

    from convbench.device.host import cpus_allowed

    most = MOST_THREADS_A_CPU * cpus_allowed()
    if not 0 <= threads <= most:
        raise ConvbenchError(
            f"--threads {threads}: this process may use {cpus_allowed()} CPUs; give at most {most}, or leave it out"
        )
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


@contextmanager
def threads_set(threads: int) -> Iterator[int]:
    """`set_threads`, restored afterwards."""
    import torch

    before = torch.get_num_threads()
    try:
        yield set_threads(threads)
    finally:
        if threads:
            torch.set_num_threads(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """Work: every output within its bound.

    Attributes:
        force: run cases that a backend only refuses for their cost.
        seconds: start no further case after this time; None ends with the last one.
    """

    force: bool = False
    seconds: float | None = None
    needs: ClassVar[str] = ""  # of the system, see system.NEEDS

    def cases_each(self, case: Case) -> int:  # noqa: ARG002  # as Bench has it
        """Cases per worker, while it lives: nothing is timed, so it is reused."""
        return 50

    def at_most_s(self, case: Case, backends: Sequence[Backend]) -> float:
        """Seconds that a case may take, including its share of starting a process."""
        from convbench.verify.cost import verify_s

        return verify_s(case, backends) + case.target.start_s / self.cases_each(case)

    def begin(self, run: Run, remaining: Sequence[Case], backends: Sequence[Backend], tell: Tell) -> Iterator[Result]:  # noqa: ARG002  # as Bench has it
        from convbench.verify.sweep import verify

        results = run(partial(verify, force=self.force), remaining, backends)
        return results if self.seconds is None else for_seconds(self.seconds, results, each=len(backends))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Work: every backend timed against torch, between two verifications.

    Attributes:
        budget_s: time budget per backend, in seconds.
        confidence: joint confidence of all verdicts of one case.
        margin: ratios within this are a tie.
        min_rounds: clean rounds before the first verdict.
        ceilings: whether timings are compared with the machine's ceilings, which are measured if unknown.
        wait_s: how long the first case waits at most for a quiet machine.
        force: run cases that a backend only refuses for their cost.
    """

    budget_s: float = 3.0
    confidence: float = 0.998
    margin: float = 0.02
    min_rounds: int = 12
    ceilings: bool = True
    wait_s: float = 0.0
    force: bool = False
    needs: ClassVar[str] = "bench"

    def cases_each(self, case: Case) -> int:
        """Cases per worker, while it lives: a context on a GPU takes seconds, a fork some hundredths of a second."""
        return 1 if case.target.on_host else 16

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1 or not 0 < self.margin < 1:
            raise ConvbenchError(
                f"--confidence {self.confidence} --margin {self.margin}: confidence must be at least 0.5 and below "
                f"1, and "
                f"margin between 0 and 1; try --confidence 0.998 --margin 0.02"
            )
        if self.budget_s < 0 or self.min_rounds < 1:
            raise ConvbenchError(
                f"--budget {self.budget_s:g} --min-rounds {self.min_rounds}: the budget must be at least 0 seconds, "
                f"with "
                f"at least 1 round; try --budget 3 --min-rounds 12"
            )

    @property
    def least_rounds(self) -> int:
        """Rounds that are timed even if the budget is too short for them."""
        from convbench.bench.rounds import TimeBudget

        return TimeBudget().least

    def at_most_s(self, case: Case, backends: Sequence[Backend]) -> float:
        """Seconds that a case may take, including its share of starting a process."""
        from convbench.verify.cost import bench_s

        timing_s = bench_s(case, backends, budget_s=self.budget_s, least_rounds=self.least_rounds)
        return timing_s + case.target.start_s / self.cases_each(case)

    def begin(self, run: Run, remaining: Sequence[Case], backends: Sequence[Backend], tell: Tell) -> Iterator[Result]:
        from convbench.bench.noise import nvml_lacks
        from convbench.bench.rounds import TimeBudget
        from convbench.bench.statistics import VerdictRule
        from convbench.bench.sweep import bench
        from convbench.ceilings.known import known_ceilings
        from convbench.ceilings.roofline import with_rooflines

        if any(not case.target.on_host for case in remaining) and (why := nvml_lacks()):
            tell(f"{why}: the GPU's clock, power and throttling are unknown, so throttled rounds are not set aside")
        if self.wait_s > 0 and remaining:
            self._wait(remaining, tell)
        patient = self.min_rounds > VerdictRule().least
        budget = TimeBudget(seconds=self.budget_s, least=self.min_rounds if patient else self.least_rounds)
        rule = VerdictRule(confidence=self.confidence, margin=self.margin, least=self.min_rounds)
        ceilings, reprobe = known_ceilings(remaining if self.ceilings else (), tell)
        results = run(partial(bench, budget=budget, rule=rule, force=self.force), remaining, backends)
        return with_rooflines(results, backends, ceilings, reprobe)

    def _wait(self, remaining: Sequence[Case], tell: Tell) -> None:
        """Before the ceilings too: readings from a busy machine are not ceilings."""
        import torch

        from convbench.bench.doctor import wait_until_quiet

        accelerators = [case.target for case in remaining if not case.target.on_host]
        device = accelerators[0] if accelerators else remaining[0].target
        wait_until_quiet(device, torch.get_num_threads(), tell, most_s=self.wait_s)


class SessionWork(Protocol):
    """What is done with the cases: Verify, Bench, or the race of `tune`."""

    needs: ClassVar[str]

    @property
    def force(self) -> bool: ...
    def cases_each(self, case: Case) -> int: ...
    def at_most_s(self, case: Case, backends: Sequence[Backend]) -> float: ...
    def begin(
        self, run: Run, remaining: Sequence[Case], backends: Sequence[Backend], tell: Tell
    ) -> Iterator[Result]: ...


def for_seconds(seconds: float, results: Iterable[Result], *, each: int) -> Iterator[Result]:
    """The results of whole cases, `each` at a time, until the time is up; it starts when the first case is done.

    Work before that (a process for --isolate, imports) takes seconds and does not count.
    """
    end = None
    source = iter(results)
    try:
        while case := list(islice(source, each)):
            yield from case
            if end is None:
                end = time.monotonic() + seconds
            elif time.monotonic() >= end:
                return
    finally:
        if isinstance(source, Generator):
            source.close()  # ends the process of --isolate now, not at garbage collection


def choose_run(
    isolate: bool | None,
    timeout_s: float | None,
    memory_nbytes: int | None,
    *,
    selection: Selection,
    cases_each: Callable[[Case], int] = lambda _: 1,
    several_threads: bool = False,
    heard: Callable[[str, str, float], None] | None = None,
) -> Run:
    """How a sweep is run: in this process, or with a separate process for each case.

    Args:
        isolate: None means for third-party code, on CUDA and with several thread counts (XLA fixes its own once per
            process), if the system and the backends allow it.
        timeout_s, memory_nbytes: limits that are enforced by killing, so they need a separate process.
        heard: told what a backend is doing, and in a separate process for how long.
    """
    limited = timeout_s is not None or memory_nbytes is not None
    if isolate is None:
        foreign = bool(selection.plugins) or not all(one.is_here for one in selection.backends)
        may_die = foreign or several_threads or not all(case.target.on_host for case in selection.cases)
        isolate = limited or (may_die and is_possible() and not selection.local)
    if not isolate and limited:
        raise ConvbenchError("--timeout and --memory-limit need a process that can be killed; remove --no-isolate")
    if not isolate:
        watch = Watch if heard is None else partial(Watch, tell=lambda backend, stage: heard(backend, stage, 0.0))
        return lambda sweep, cases, backends: each_prints_to_stderr(
            sweep(cases, bring_here(backends, selection.plugins), watch=watch())
        )
    given, instead = "--isolate needs", "try --no-isolate"
    if limited:
        given, instead = "--timeout and --memory-limit need", "leave them out"
    if sys.platform != "linux":
        wsl = f" or {elsewhere()}" if sys.platform == "win32" else ""
        raise ConvbenchError(f"{given} Linux, and this is {sys.platform}; {instead}{wsl}")
    require("isolation", instead)
    if selection.local:
        raise ConvbenchError(
            f"--isolate: another process cannot load {', '.join(selection.local)}, given as an object; "
            f"give its file as a plug-in, or run without isolation, timeout and memory limit"
        )
    from convbench.workers.isolate import Limits, isolated

    return partial(
        isolated,
        plugins=list(selection.plugins),
        unavailable=list(selection.unavailable),
        limits=Limits(timeout_s=timeout_s, memory_nbytes=memory_nbytes),
        cases_each=cases_each,
        heard=heard,
    )


class Session:
    """A selection and its run; results come as they are ready, after their case is in the CSV file.

    Attributes:
        kept: how many cases the file held already.
        results: those of the completed cases, including kept ones.
        shard: the part of the sweep that is run; None for all of it.
        every: the cases of the sweep with their thread counts, of all shards; sweep: its name, None if it ends by the
            clock.
        contexts: what the rows of a device share.
        threads: the thread counts with which every case runs.
        heard: told what a backend is doing: its name, the stage, and in a separate process the seconds of this case so
            far.
    """

    def __init__(
        self,
        selection: Selection,
        work: SessionWork,
        *,
        csv: str | None = None,
        overwrite: bool = False,
        resume: bool = False,
        command: str = "",
        threads: int | Sequence[int] = 0,
        anonymous: bool = False,
        isolate: bool | None = None,
        timeout_s: float | None = None,
        memory_nbytes: int | None = None,
        shard: Shard | None = None,
        across: bool = False,
        tell: Tell = silent,
    ) -> None:
        """Create or open the file.

        Args:
            csv: a file, which the session keeps open until it is run or closed; - is stdout, None means no file.
            overwrite, resume: replace an existing file, or continue it.
            command: recorded in the rows; a file is only continued with the same one.
            threads: torch's CPU threads while it runs; 0 keeps them. With several numbers all cases run with
                the first, then with the second, except those on a GPU, which run once.
            anonymous: the rows contain neither the host nor the command nor folders.
            isolate, timeout_s, memory_nbytes: see `choose_run`.
            shard: run only this part of the cases.
            across: continue a file with rows of another processor or other versions.
            tell: receives notes.

        Raises:
            ConvbenchError: the file exists, has other contents, or cannot be written; or the options exclude
                each other.
        """
        from convbench.bench.canaries import Canaries
        from convbench.machine import this_machine
        from convbench.rows import Context, from_row
        from convbench.store import CsvFile

        if work.needs:
            require(work.needs)
        self.selection = selection
        self.work = work
        self.csv = csv
        self._tell = tell
        self.heard: Callable[[str, str, float], None] = lambda *_: None
        self._anonymous = anonymous
        self._setting: dict[int, int] = {}  # what is set to get this many threads
        for given in [threads] if isinstance(threads, int) else threads:
            with threads_set(given) as count:
                self._setting.setdefault(count, given)
        if not self._setting:
            raise ConvbenchError("--threads has no number; give some, such as 1,2,4, or leave it out")
        self.threads = tuple(self._setting)
        self.shard = shard
        self.every = [
            (count, case)
            for count in self.threads
            for case in selection.cases
            if count == self.threads[0] or case.target.on_host
        ]
        self.sweep: Sweep | None = None
        self._places: dict[RowKey, str] = {}  # the cell of a case
        if getattr(work, "seconds", None) is None:
            names = [one.name for one in selection.backends]
            asked = ((self._setting[count], case) for count, case in self.every)
            self.sweep = Sweep.of(type(work).__name__, asked, names)
            for place, (count, case) in enumerate(self.every, start=1):
                self._places.setdefault(_block(case, count), self.sweep.cell(place))
        elif shard is not None:
            raise ConvbenchError(f"--shard {shard}: a run that ends by the clock has no parts; use --fuzz N")
        self._todo = [(count, case) for count, case in self.every if shard is None or shard.holds(case.key)]
        if shard is not None:
            tell(f"shard {shard}: {len(self._todo)} of {len(self.every)} cases")
        self._run = choose_run(
            isolate,
            timeout_s,
            memory_nbytes,
            selection=selection,
            cases_each=work.cases_each,
            several_threads=len(self.threads) > 1,
            heard=self._hear,
        )
        if resume and (csv in (None, "-") or overwrite):
            raise ConvbenchError("--resume continues a file: give it with --csv FILE, without --overwrite")
        self.contexts: Mapping[str, Context] = {
            device: Context(machine=this_machine(device), threads=self.threads[0], command=command)
            for device in {case.device for case in selection.cases}
        }
        timed = shard is not None and isinstance(work, Bench)
        if any(one.choose is not None for one in selection.backends):
            self._tell_plan(tell)
        self._canaries = Canaries(next(iter(self.contexts))) if timed else None
        plan = self._plan() if resume else None
        self._file = CsvFile(csv, overwrite=overwrite, plan=plan, tell=tell, across=across) if csv is not None else None
        self._old = self._file.finished if self._file is not None else []
        self._done = set(self._file.done if self._file is not None else ())  # places in what is to do
        self._rows: list[Row] = []  # of the results that are new
        try:
            self.results = [from_row(row) for row in self._old]
        except (ValueError, ConvbenchError) as error:
            self.close()
            raise ConvbenchError(f"--resume {csv}: a row is damaged: {error}") from None
        self.kept = len(self._old) // len(selection.backends)
        if resume and self.kept:
            tell(f"{self.kept} of {self.total} cases are already in {csv} and are kept")
            if anonymous:
                tell(f"{csv} is anonymous, so it is unknown whether its command had the same options")

    def _tell_plan(self, tell: Tell) -> None:
        """What a backend that chooses another one has to say of its plan.

        Raises:
            ConvbenchError: the plan that was named does not hold here.
        """
        from convbench.backends._plan import remarks

        for words in remarks((count, case.accuracy) for count, case in self.every):
            tell(words)

    def _hear(self, backend: str, stage: str, seconds: float) -> None:
        self.heard(backend, stage, seconds)

    def _plan(self) -> "list[list[Row]]":
        plan = []
        for threads, case in self._todo:
            with threads_set(self._setting[threads]):  # a backend may choose another one by them
                done_by = [one.for_case(case) for one in self.selection.backends]
            blank = partial(Result, case=case, outcome=Skipped(""), threads=threads)
            plan.append([self.row(blank(backend=one.name, family=one.family, chosen=one.chosen)) for one in done_by])
        return plan

    @property
    def total(self) -> int:
        """The number of cases, each counted once per thread count."""
        return len(self._todo)

    @property
    def remaining(self) -> Sequence[Case]:
        """The remaining cases, each once per thread count."""
        return [case for _, case in self._left]

    @property
    def _left(self) -> Sequence[tuple[int, Case]]:
        return [one for place, one in enumerate(self._todo) if place not in self._done]

    def run(self) -> Generator[list[Result], None, None]:
        """Start, and yield the results of each case, in the backends' order, once they are in the file.

        If you stop early, completed cases are kept; the file is closed with the last case or with the generator.
        """
        if self.csv is not None and self._file is None:
            raise ConvbenchError(f"{self.csv} is closed; continue it in a new session with resume=True")
        parts = [(threads, [case for _, case in own]) for threads, own in groupby(self._left, lambda one: one[0])]
        try:
            begun = [self._begin(*part) for part in parts[:1]]
        except BaseException:
            self.close()
            raise
        return self._store(parts, begun)

    def _begin(self, threads: int, cases: Sequence[Case]) -> Iterator[Result]:
        with threads_set(self._setting[threads]):
            return self.work.begin(self._run, cases, self.selection.backends, self._tell)

    def _store(
        self, parts: Sequence[tuple[int, Sequence[Case]]], begun: list[Iterator[Result]]
    ) -> Generator[list[Result], None, None]:
        left = [place for place in range(len(self._todo)) if place not in self._done]
        try:
            for threads, cases in parts:
                results = begun.pop() if begun else self._begin(threads, cases)
                with threads_set(self._setting[threads]):
                    if self._canaries is not None:
                        self._canaries.measure(sure=True)
                    # All rows of a case at once: a kill leaves complete cases.
                    while found := list(islice(results, len(self.selection.backends))):
                        if self._canaries is not None:
                            self._canaries.measure(sure=len(left) == 1)
                        case = [replace(one, threads=threads) for one in found]
                        rows = [*map(self.row, case)]
                        if self._file is not None:
                            self._file.append(*rows)
                        self._done.add(left.pop(0))
                        self.results += case
                        self._rows += rows
                        yield case
        finally:
            self.close()

    def row(self, result: Result) -> "Row":
        """A result with where and how it was found."""
        from convbench.anonymous import anonymous_row
        from convbench.rows import to_row

        row = to_row(result, self.contexts[result.case.device])
        row["plan"] = self._places.get(_block(result.case, result.threads))
        row["shard"] = None if self.shard is None else str(self.shard)
        row["canaries_s"] = None if self._canaries is None else self._canaries.cell
        return anonymous_row(row) if self._anonymous else row

    def pairs(self) -> list[tuple[Mapping[str, str], Result]]:
        """The rows so far as in the file, each with its result."""
        from convbench.anonymous import anonymous_pair
        from convbench.rows import text_row

        rows = [*self._old, *map(text_row, self._rows)]
        pairs = zip(rows, self.results, strict=True)
        return [anonymous_pair(*pair) for pair in pairs] if self._anonymous else list(pairs)

    def mend(self) -> None:
        """Restore the rows if another program deleted, replaced or changed the file."""
        if self._file is not None:
            self._file.mend()

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def reproduce(self, result: Result) -> str:
        """The command that reproduces this result."""
        from convbench.backends._plan import named_plan

        flags = [f" --plugin {shlex.quote(one)}" for one in self.selection.plugins]
        flags += [f" --threads {result.threads}"] if any(self._setting.values()) else []
        flags += [f" --plan {shlex.quote(str(plan))}"] if result.chosen and (plan := named_plan()) else []
        flags += [" --force"] if self.work.force else []
        command = reproduce(result)
        if not result.case.kind and command.startswith("convbench verify") and self._brings_more(result.backend):
            command += " --pass fprop"  # otherwise verify would check its other passes and epilogues too
        return command + "".join(flags)

    def _brings_more(self, name: str) -> bool:
        return any(
            one.name == name and (len(one.passes) > 1 or len(one.epilogues) > 1) for one in self.selection.backends
        )


def _block(case: Case, threads: int) -> RowKey:
    """The key that all backends of a case share."""
    problem = case.problem
    return RowKey(suite=problem.suite, name=problem.name, case=case.key, threads=str(threads))


def reproduce(result: Result) -> str:
    """The command that reproduces a result: verify, or bench for a time and for a fault that only shows with it."""
    match result.outcome:
        case Wrong(check):
            words = check.evidence or ""
        case Failed(message):
            words = message
        case _:
            words = ""
    timing = isinstance(result.outcome, Timed) or any(
        sign in words for sign in ("before timing", "before the timing", "being timed", "again")
    )
    return f"convbench {'bench' if timing else 'verify'} --backend {result.backend} {result.case.flags()}"


def count_outcomes(results: Iterable[Result]) -> Counter[str]:
    """How many have each outcome, in the words of the CSV."""
    kinds = {Verified: "verified", Timed: "timed", Wrong: "wrong", Failed: "failed", Skipped: "skipped"}
    return Counter(kinds[type(result.outcome)] for result in results)


def reproduce_row(result: Result, command: str) -> str:
    """The same for a row of a file, from the command in its row: with the plug-ins of that, if it had any."""
    from convbench.discovery import sources

    own = reproduce(result)
    words = shlex.split(command) if command.startswith("convbench ") and command.count("'") % 2 == 0 else []
    plugins = [words[place + 1] for place, one in enumerate(words[:-1]) if one == "--plugin"]
    plugins += [one.partition("=")[2] for one in words if one.startswith("--plugin=")]
    if plugins:
        return own + "".join(f" --plugin {shlex.quote(one)}" for one in plugins)
    if command.startswith("convbench.") and all(one.name != result.backend for one in sources()):
        return f"no command loads {result.backend}, a function of the program that ran {command}"
    return own
