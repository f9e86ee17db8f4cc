"""What verify and bench share: the selection, the growing report, the exit code."""

import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import typer

from convbench.backend import Backend
from convbench.case import Case, Problem, cases
from convbench.cli import options
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong

if TYPE_CHECKING:
    from rich.console import RenderableType

WRONG, NOTHING, INTERRUPTED = 1, 3, 130
MOST_FAULTS_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The cases and the backends of one run."""

    cases: list[Case]
    backends: list[Backend]

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
    ) -> Self:
        """All cases along the axes; exits with 3 when there is nothing to do."""
        chosen = list(
            cases(problems, dtypes=dtypes, layouts=layouts, precisions=precisions, devices=devices, seed=seed)
        )
        if not chosen or not backends:
            what = "case" if backends else "backend"
            typer.echo(f"convbench: the selection holds no {what}; nothing was done", err=True)
            raise typer.Exit(NOTHING)
        return cls(cases=chosen, backends=backends)


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
        plugins: options.Words,
        force: bool,
    ) -> None:
        from convbench.machine import this_machine
        from convbench.show.console import result_console, side_console
        from convbench.store import Context, CsvFile

        self._selection = selection
        self._columns = columns
        self._csv = csv
        self._file = CsvFile(csv, overwrite=overwrite) if csv is not None else None
        self._out = side_console() if csv == "-" else result_console()
        self._err = side_console()
        self._results: list[Result] = []
        self._interrupted = False
        command = "convbench " + shlex.join(sys.argv[1:])
        count = options.set_threads(threads)
        self._contexts = {
            device: Context(machine=this_machine(device), threads=count, command=command)
            for device in {case.device for case in selection.cases}
        }
        self._flags = "".join(f" --plugin {shlex.quote(one)}" for one in options.words(plugins))
        self._flags += " --force" if force else ""

    def collect(self, results: Iterable[Result]) -> None:
        """Take every result; Ctrl-C ends the run and keeps what is finished."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from convbench.show.console import print_tabbed
        from convbench.store import to_row

        piped = not self._out.is_terminal and self._csv != "-"
        if piped:
            print_tabbed(self._out, self._columns)
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
        backends = len(self._selection.backends)
        try:
            with progress:
                task = progress.add_task("", total=len(self._selection.cases))
                for number, result in enumerate(results, start=1):
                    self._results.append(result)
                    row = to_row(result, self._contexts[result.case.device])
                    if self._file is not None:
                        self._file.append(row)
                    if piped:
                        print_tabbed(self._out, [row[column] for column in self._columns])
                    if number % backends == 0:
                        progress.update(task, advance=1, description=result.case.problem.name, refresh=True)
        except KeyboardInterrupt:
            self._interrupted = True

    def show(self, draw: "Callable[[Sequence[Result], int], list[RenderableType]]") -> None:
        """What a person wants to see at the end: the tables, the faults, the reasons, the sum."""
        from convbench.show.tables import fault_lines, skip_lines

        piped = not self._out.is_terminal
        console = self._err if piped else self._out
        if not piped:
            for part in draw(self._results, console.width):
                console.print(part)
        faults = [result for result in self._results if isinstance(result.outcome, Wrong | Failed)]
        for result in faults[:MOST_FAULTS_SHOWN]:
            for line in fault_lines(result, self.reproduce(result)):
                console.print(line, markup=False, soft_wrap=True)
        if len(faults) > MOST_FAULTS_SHOWN:
            console.print(f"... and {len(faults) - MOST_FAULTS_SHOWN} more; --csv lists every one")
        for line in skip_lines(self._results):
            console.print(line, style="dim", markup=False)
        console.print(self._summary(), markup=False)

    def reproduce(self, result: Result) -> str:
        """The command that shows this result again."""
        return f"convbench verify --backend {result.backend} {result.case.flags()}{self._flags}"

    def exit_code(self, done: str) -> int:
        """130 interrupted, 1 something wrong or failed, 3 nothing done, 0 otherwise."""
        count = self._count()
        if self._interrupted:
            return INTERRUPTED
        if count["wrong"] or count["failed"]:
            return WRONG
        return 0 if count[done] else NOTHING

    def _count(self) -> Counter[str]:
        kinds = {Verified: "verified", Timed: "timed", Wrong: "wrong", Failed: "failed", Skipped: "skipped"}
        return Counter(kinds[type(result.outcome)] for result in self._results)

    def _summary(self) -> str:
        count = self._count()
        context = next(iter(self._contexts.values()))
        facts = context.machine
        parts = ", ".join(f"{number} {kind}" for kind, number in count.items()) or "nothing done"
        where = f"{facts.gpu or facts.cpu}, {context.threads} threads, torch {facts.torch}"
        rows = f"\nrows: {self._csv}" if self._csv not in (None, "-") else ""
        return f"{parts}  ({where}){rows}"
