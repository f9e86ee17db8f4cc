"""What verify and bench show: rows as they come, tables, faults, the sum, the exit code."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from textwrap import wrap
from typing import TYPE_CHECKING, Protocol

from convbench.case import EPILOGUES, PASSES
from convbench.cli.outputs import tell
from convbench.errors import ConvbenchError, printable
from convbench.exit_codes import INTERRUPTED, NOTHING, WRONG
from convbench.outcome import Result, Skipped, Wrong

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from convbench.ci.findings import Findings
    from convbench.rows import Cell
    from convbench.session import Session

MOST_FAULTS_SHOWN, MOST_MAPS_SHOWN = 8, 3


class Draw(Protocol):
    """Tables for so many columns; without `whole` what the rows in a pipe do not say."""

    def __call__(self, results: Sequence[Result], width: int, *, whole: bool) -> "list[RenderableType]": ...


def follow(
    session: "Session", draw: Draw, *, columns: Sequence[str], heat_map: bool | None = None, taken: bool = False
) -> None:
    """Run a session: its rows to a pipe as they come, a progress bar and tables to a terminal.

    Ctrl-C ends the program at once with what is finished.

    Args:
        taken: whether something else goes to stdout.
    """
    from convbench.show.console import print_tabbed, result_console, side_console

    taken = taken or session.csv == "-"
    out, err = side_console() if taken else result_console(), side_console()
    piped = not out.is_terminal

    def show() -> None:
        """The tables, the faults, the reasons, the sum."""
        console = err if piped else out
        for part in draw(session.results, console.width, whole=not piped):
            console.print(part)
        maps = MOST_MAPS_SHOWN if (not piped if heat_map is None else heat_map) else 0
        tell_faults(console, session.results, session.reproduce, maps=maps)
        console.print(_summary(session), markup=False)

    finished = watched(session, err, show)
    rows_out = piped and not taken
    if rows_out:
        print_tabbed(out, columns)
        for old, _ in session.pairs():
            print_tabbed(out, tabbed(old, columns))
    for case in finished:
        if rows_out:
            for row in map(session.row, case):
                print_tabbed(out, tabbed(row, columns))
    show()


def watched(session: "Session", err: "Console", show: Callable[[], None]) -> "Iterator[list[Result]]":
    """Run a session: the results of each case as they come, beneath a progress bar on a terminal.

    Ctrl-C ends the program at once, after `show` has shown what is finished.
    """
    from convbench.show.progress import Steps, bar

    remaining, total = session.remaining, session.total
    finished = session.run()
    progress = bar(err, shown=True)
    steps = Steps(progress, tell)
    session.heard = steps.heard

    def leave(*_: object) -> None:
        """From the handler itself: an exception would have to find its way through torch's own code."""
        progress.stop()
        with suppress(ConvbenchError, OSError):
            session.mend()
        show()
        if words := steps.unfinished():
            tell(words)
        tell("interrupted; finished cases are kept")
        sys.stdout.flush()
        os._exit(INTERRUPTED)

    def follow_up() -> "Iterator[list[Result]]":
        before = signal.signal(signal.SIGINT, leave)
        try:
            with progress, closing(finished):
                upcoming = (case.problem.name for case in remaining)
                task = progress.add_task(name := next(upcoming, ""), total=total, completed=total - len(remaining))
                progress.refresh()
                steps.begin(name, task)
                for case in finished:
                    yield case
                    name = next(upcoming, "")
                    progress.update(task, advance=1, description=name, refresh=True)
                    steps.begin(name, task)
        finally:
            signal.signal(signal.SIGINT, before)

    return follow_up()


def tabbed(row: Mapping[str, "Cell"], columns: Sequence[str]) -> list[str | float | None]:
    """The cells of a row, and what follows from them: images a second."""
    median_s = float(row["median_s"] or 0.0)
    more = {"images_per_s": float(row["n"] or 0) / median_s if median_s else None}
    return [more[column] if column in more else row[column] for column in columns]


def _summary(session: "Session") -> str:
    from convbench.session import Verify, count_outcomes

    context = next(iter(session.contexts.values()))
    facts = context.machine
    counts = [f"{number} {kind}" for kind, number in count_outcomes(session.results).items()]
    total = len(session.results)
    parts = f"{total:,} row{'' if total == 1 else 's'}: {', '.join(counts)}" if counts else "nothing done"
    threads = " and ".join(map(str, session.threads))
    count = f"{threads} thread{'' if threads == '1' else 's'}"
    where = f"{facts.gpu or facts.cpu}, {count}, torch {facts.torch}"
    rows = f"\nresults saved to {printable(session.csv)}" if session.csv not in (None, "-") else ""
    tried = _tried(session.results) if isinstance(session.work, Verify) else ""
    return f"{parts}{tried}; {where}{rows}"


def _tried(results: Iterable[Result]) -> str:
    """The passes and the epilogues of what was not skipped, as in " (fprop, dgrad; bias, bias_relu)"."""
    cases = [result.case for result in results if not isinstance(result.outcome, Skipped)]
    if not cases:
        return "; nothing was verified"
    passes = [name for name in PASSES if any(case.pass_ == name for case in cases)]
    epilogues = [name for name in EPILOGUES[1:] if any(case.epilogue == name for case in cases)]
    words = [", ".join(passes), ", ".join(epilogues)]
    return f" ({'; '.join(one for one in words if one)})"


def exit_code(results: Iterable[Result], *done: str) -> int:
    """1 something wrong or failed, 3 nothing done, 0 otherwise."""
    from convbench.session import count_outcomes

    count = count_outcomes(results)
    if count["wrong"] or count["failed"]:
        return WRONG
    return 0 if any(count[kind] for kind in done) else NOTHING


def run_findings(command: str, session: "Session", done: str, *, anonymous: bool, wrong: bool = False) -> "Findings":
    """What a finished session tells CI.

    Args:
        done: the outcome that counts as done.
        wrong: whether something was wrong before anything ran.
    """
    from convbench.ci.of_results import STATES, RunFindings
    from convbench.session import reproduce

    return RunFindings(
        command=command,
        pairs=session.pairs(),
        state=STATES[WRONG if wrong else exit_code(session.results, done)],
        reproduce=reproduce if anonymous else session.reproduce,  # that of a session names files of plug-ins
    )


def _wrapped(line: str, console: "Console") -> list[str]:
    """A sentence in lines for a terminal; a command whole, so that it can be copied, and anything in a pipe."""
    indent = line[: len(line) - len(line.lstrip())]
    if "convbench " in line or not console.is_terminal:
        return [line]
    return wrap(line, console.width, subsequent_indent=indent or "  ", break_on_hyphens=False) or [line]


def tell_faults(
    console: "Console", results: Sequence[Result], reproduce: Callable[[Result], str], *, maps: int = 0
) -> None:
    """What is wrong or failed, with the command that shows it again; then why others were skipped, and the noise.

    Args:
        maps: so many faults come with a map of their errors.
    """
    from convbench.show.heatmap import heat_map
    from convbench.show.results import each_fault, remark_lines
    from convbench.show.tables import defect_lines

    faults = [*each_fault(results, reproduce)]
    for result, lines in faults[:MOST_FAULTS_SHOWN]:
        for line in lines():
            for part in _wrapped(line, console):
                console.print(part, markup=False, soft_wrap=True)
        if maps and isinstance(result.outcome, Wrong) and (picture := result.outcome.check.picture) is not None:
            maps -= 1
            for row in heat_map(picture, console.width):
                console.print(row, soft_wrap=True)
    if len(faults) > MOST_FAULTS_SHOWN:
        console.print(f"... and {len(faults) - MOST_FAULTS_SHOWN} more; --csv lists every one")
    for line in defect_lines(results):
        console.print(line, style="yellow", markup=False, soft_wrap=True)
    for line in remark_lines(results):
        console.print(line, style="dim", markup=False)
