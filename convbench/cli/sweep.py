"""What verify and bench share: the selection, the growing report, the exit code."""

import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol, Self

import typer

from convbench.backend import Backend
from convbench.case import Case, Problem, cases
from convbench.cli import options
from convbench.cli.outputs import tell
from convbench.errors import ConvbenchError
from convbench.exit_codes import INTERRUPTED, NOTHING, WRONG
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from convbench.show.charts import Entry

MOST_FAULTS_SHOWN, MOST_MAPS_SHOWN = 8, 3
MOST_CASES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The cases and the backends of one run."""

    cases: list[Case]
    backends: list[Backend]

    def __post_init__(self) -> None:
        """Exit with 3 when there is nothing to do."""
        if not self.cases or not self.backends:
            tell(f"the selection holds no {'case' if self.backends else 'backend'}; nothing was done")
            raise typer.Exit(NOTHING)

    @classmethod
    def of(
        cls,
        *,
        problems: Iterable[Problem],
        dtypes: Sequence[str],
        layouts: Sequence[str],
        precisions: Sequence[str],
        devices: Sequence[str],
        backends: list[Backend],
        seed: int,
        passes: Sequence[str] = ("fprop",),
        epilogues: Sequence[str] = ("none",),
    ) -> Self:
        """All cases along the axes."""
        found = cases(
            problems,
            dtypes=dtypes,
            layouts=layouts,
            precisions=precisions,
            devices=devices,
            passes=passes,
            epilogues=epilogues,
            seed=seed,
        )
        chosen = list(islice(found, MOST_CASES + 1))
        if len(chosen) > MOST_CASES:
            raise ConvbenchError(
                f"the axes multiply to more than {MOST_CASES:,} cases, the most that are run at once; try fewer "
                f"values, or choose among the problems with --match"
            )
        return cls(cases=chosen, backends=backends)


Run = Callable[[Callable[..., Iterator[Result]], Sequence[Case], Sequence[Backend]], Iterator[Result]]


def choose_run(
    isolate: bool | None,
    timeout: float | None,
    memory_limit: float | None,
    *,
    selection: Selection,
    plugins: options.Words,
    cases_each: int = 1,
) -> Run:
    """How `bench` or `verify` is run: in this process, or each case in one that may die."""
    limited = timeout is not None or memory_limit is not None
    if isolate is None:
        foreign = bool(plugins) or any(case.device == "cuda" for case in selection.cases)
        isolate = limited or (foreign and sys.platform == "linux")
    if not isolate and limited:
        raise ConvbenchError("--timeout and --memory-limit need a process that may be killed; leave --no-isolate out")
    if not isolate:
        return lambda sweep, cases, backends: sweep(cases, backends)
    if sys.platform != "linux":
        given, instead = "--isolate needs", "try --no-isolate"
        if limited:
            given, instead = "--timeout and --memory-limit need", "leave them out"
        raise ConvbenchError(f"{given} Linux and this is {sys.platform}; {instead}")
    from convbench.workers.isolate import Limits, isolated

    return partial(
        isolated,
        plugins=options.words(plugins),
        limits=Limits(timeout_s=timeout, memory_nbytes=None if memory_limit is None else int(memory_limit * 2**30)),
        cases_each=cases_each,
    )


class Draw(Protocol):
    """Tables for so many columns; without `whole` what the rows in a pipe do not say."""

    def __call__(self, results: Sequence[Result], width: int, *, whole: bool) -> "list[RenderableType]": ...


class Report:
    """Takes results as they come: to the CSV, to a pipe line by line, to a terminal as tables."""

    def __init__(
        self,
        selection: Selection,
        *,
        columns: Sequence[str],
        threads: int,
        csv: str | None,
        overwrite: bool,
        resume: bool,
        plugins: options.Words,
        force: bool,
        heat_map: bool | None = None,
    ) -> None:
        from convbench.machine import this_machine
        from convbench.rows import Context, from_row, to_row
        from convbench.show.console import result_console, side_console
        from convbench.store import CsvFile

        if resume and (csv in (None, "-") or overwrite):
            raise ConvbenchError("--resume goes on with a file: name it with --csv FILE, and leave --overwrite out")
        self._selection = selection
        self._columns = columns
        self._csv = csv
        self._out = side_console() if csv == "-" else result_console()
        self._err = side_console()
        command = "convbench " + shlex.join(sys.argv[1:])
        count = options.set_threads(threads)
        self._contexts = {
            device: Context(machine=this_machine(device), threads=count, command=command)
            for device in {case.device for case in selection.cases}
        }
        plan = None
        if resume:
            plan = [
                [
                    to_row(
                        Result(case=case, backend=one.name, family=one.family, outcome=Skipped("")),
                        self._contexts[case.device],
                    )
                    for one in selection.backends
                ]
                for case in selection.cases
            ]
        self._file = CsvFile(csv, overwrite=overwrite, plan=plan, tell=tell) if csv is not None else None
        self._old = self._file.finished if self._file is not None else []
        try:
            self._results = [from_row(row) for row in self._old]
        except ValueError as error:
            raise ConvbenchError(f"--resume {csv}: a row is damaged: {error}") from None
        if resume and (done := len(self._old) // len(selection.backends)):
            tell(f"{done} of {len(selection.cases)} cases are in {csv} and kept")
        self._flags = "".join(f" --plugin {shlex.quote(one)}" for one in options.words(plugins))
        self._flags += f" --threads {threads}" if threads else ""
        self._flags += " --force" if force else ""
        self._piped = not self._out.is_terminal
        self._maps = MOST_MAPS_SHOWN if (not self._piped if heat_map is None else heat_map) else 0

    @property
    def remaining(self) -> list[Case]:
        """The cases that are still to be done."""
        return self._selection.cases[len(self._old) // len(self._selection.backends) :]

    def follow(self, results: Iterable[Result], draw: Draw) -> None:
        """Take every result and show them; Ctrl-C ends the program at once with what is finished."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from convbench.rows import to_row
        from convbench.show.console import print_tabbed

        piped = self._piped and self._csv != "-"
        if piped:
            print_tabbed(self._out, self._columns)
            for old in self._old:
                print_tabbed(self._out, [old[column] for column in self._columns])
        progress = Progress(
            TextColumn("{task.description}", style="dim"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._err,
            transient=True,
            auto_refresh=False,  # a refreshing thread would disturb what is being timed
            disable=not self._err.is_terminal,
        )

        def leave(*_: object) -> None:
            """From the handler itself: an exception would have to find its way through torch's own code."""
            progress.stop()
            if self._file is not None:
                with suppress(ConvbenchError, OSError):
                    self._file.mend()
            self._show(draw)
            tell("interrupted; what was finished is kept")
            sys.stdout.flush()
            os._exit(INTERRUPTED)

        backends = len(self._selection.backends)
        before = signal.signal(signal.SIGINT, leave)
        try:
            with progress:
                total = len(self._selection.cases)
                upcoming = (case.problem.name for case in self.remaining)
                task = progress.add_task(next(upcoming, ""), total=total, completed=total - len(self.remaining))
                progress.refresh()
                results = iter(results)
                while case := list(islice(results, backends)):  # all of a case at once: a kill leaves whole cases
                    rows = [to_row(result, self._contexts[result.case.device]) for result in case]
                    if self._file is not None:
                        self._file.append(*rows)
                    self._results += case
                    if piped:
                        for row in rows:
                            print_tabbed(self._out, [row[column] for column in self._columns])
                    progress.update(task, advance=1, description=next(upcoming, ""), refresh=True)
        finally:
            signal.signal(signal.SIGINT, before)
            if self._file is not None:
                self._file.close()
        self._show(draw)

    def _show(self, draw: Draw) -> None:
        """The tables, the faults, the reasons, the sum."""
        console = self._err if self._piped else self._out
        for part in draw(self._results, console.width, whole=not self._piped):
            console.print(part)
        tell_faults(console, self._results, self.reproduce, maps=self._maps)
        console.print(self._summary(), markup=False)

    def reproduce(self, result: Result) -> str:
        """The command that shows this result again."""
        return f"convbench {seen_by(result)} --backend {result.backend} {result.case.flags()}{self._flags}"

    def entries(self) -> "list[Entry]":
        """The rows so far, for a page."""
        from convbench.rows import text_row, to_row
        from convbench.show.charts import Entry

        file = self._csv if self._csv not in (None, "-") else "this run"
        known = len(self._old)
        return [
            Entry(
                number=number,
                file=file or "",
                row=self._old[number]
                if number < known
                else text_row(to_row(result, self._contexts[result.case.device])),
                result=result,
            )
            for number, result in enumerate(self._results)
        ]

    def exit_code(self, done: str) -> int:
        """1 something wrong or failed, 3 nothing done, 0 otherwise."""
        return exit_code(self._results, done)

    def _summary(self) -> str:
        count = count_outcomes(self._results)
        context = next(iter(self._contexts.values()))
        facts = context.machine
        parts = ", ".join(f"{number} {kind}" for kind, number in count.items()) or "nothing done"
        where = f"{facts.gpu or facts.cpu}, {context.threads} threads, torch {facts.torch}"
        rows = f"\nrows: {self._csv}" if self._csv not in (None, "-") else ""
        return f"{parts}  ({where}){rows}"


def seen_by(result: Result) -> str:
    """The command that meets this fault again: verify, or bench for what only shows when it is timed."""
    match result.outcome:
        case Wrong(check):
            words = check.evidence or ""
        case Failed(message):
            words = message
        case _:
            return "verify"
    return "bench" if any(sign in words for sign in ("right before the timing", "being timed", "again")) else "verify"


def count_outcomes(results: Iterable[Result]) -> Counter[str]:
    """How many came out how, in the words of the CSV."""
    kinds = {Verified: "verified", Timed: "timed", Wrong: "wrong", Failed: "failed", Skipped: "skipped"}
    return Counter(kinds[type(result.outcome)] for result in results)


def exit_code(results: Iterable[Result], *done: str) -> int:
    """1 something wrong or failed, 3 nothing done, 0 otherwise."""
    count = count_outcomes(results)
    if count["wrong"] or count["failed"]:
        return WRONG
    return 0 if any(count[kind] for kind in done) else NOTHING


def tell_faults(
    console: "Console", results: Sequence[Result], reproduce: Callable[[Result], str], *, maps: int = 0
) -> None:
    """What is wrong or failed, with the command that shows it again; then why others were skipped, and the noise.

    Args:
        maps: so many faults come with a map of their errors.
    """
    from convbench.show.heatmap import heat_map
    from convbench.show.tables import defect_lines, fault_lines, noise_line, shrunk, skip_lines

    faults = [result for result in results if isinstance(result.outcome, Wrong | Failed)]
    for result in faults[:MOST_FAULTS_SHOWN]:
        smaller = shrunk(result)
        for line in fault_lines(result, reproduce(result), "" if smaller is None else reproduce(smaller)):
            console.print(line, markup=False, soft_wrap=True)
        if maps and isinstance(result.outcome, Wrong) and (picture := result.outcome.check.picture) is not None:
            maps -= 1
            for row in heat_map(picture, console.width):
                console.print(row, soft_wrap=True)
    if len(faults) > MOST_FAULTS_SHOWN:
        console.print(f"... and {len(faults) - MOST_FAULTS_SHOWN} more; --csv lists every one")
    for line in defect_lines(results):
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    for line in (*skip_lines(results), noise_line(results)):
        if line:
            console.print(line, style="dim", markup=False)
