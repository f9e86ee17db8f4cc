"""convbench tune: race all backends on single problems, and keep the fastest of each in the plan that auto reads."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.case import ACCURACIES
from convbench.cli import options
from convbench.cli.completion import among, backends, listed
from convbench.cli.outputs import Remarks, tell
from convbench.cli.sweep import tell_faults, watched
from convbench.errors import ConvbenchError, unknown
from convbench.exit_codes import NOTHING, RIGHT, WRONG

if TYPE_CHECKING:
    from convbench.selection import Selection

EXAMPLE = "\b\nExamples:\n  convbench tune --suite resnet50\n  convbench bench --suite resnet50 --backend torch,auto"


@dataclass(frozen=True, kw_only=True)
class TuneChoice:
    """Which problems are tuned, in the words of their options."""

    suite: options.Suites = None
    shape: options.Shapes = None
    backend: Annotated[
        options.Words,
        typer.Option(
            "--backend",
            metavar="NAME,...",
            help="Backends, or '/REGEX/'. Default: all that auto can choose, other libraries if installed.",
            autocompletion=listed(backends),
        ),
    ] = None
    batch: options.Batches = None
    axis: options.Axes = None
    match: options.Match = None
    exclude: options.Exclude = None
    dtype: options.Dtypes = None
    layout: options.Layouts = None
    pass_: options.Passes = None
    epilogue: options.Epilogues = None
    accuracy: Annotated[
        str,
        typer.Option(
            "--accuracy",
            metavar="NAME",
            help="standard: any algorithm within its bound; in fp32, Winograd and other transforms must also have a "
            "relative L2 error of at most 2e-6; strict: only direct sums of products.",
            autocompletion=listed(among(ACCURACIES)),
        ),
    ] = ACCURACIES[0]

    def select(self, tell: Callable[[str], None]) -> "Selection":
        """The cases, and the backends that auto can choose."""
        from convbench.backends.auto import LESSONS, NAME, candidates
        from convbench.selection import FOR_BENCH

        if self.accuracy not in ACCURACIES:
            raise unknown("accuracy", self.accuracy, ACCURACIES)
        words = {one.name: getattr(self, one.name) for one in fields(self)} | {"accuracy": [self.accuracy]}
        words["backend"] = [",".join(candidates())] if self.backend is None else self.backend
        selection = options.Choice(**words).select(FOR_BENCH, tell=tell)
        never = {NAME, *LESSONS}
        if odd := [one.name for one in selection.backends if one.name in never or not one.built_in]:
            raise ConvbenchError(f"--backend {odd[0]}: auto never chooses it; choose from {', '.join(candidates())}")
        return selection


@options.unfold
def tune(
    choice: TuneChoice,
    threads: options.Threads = 0,
    budget: Annotated[float, options.budget_option("the predicted best")] = 1.0,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The plan, for --plan. Default: the one in the cache folder, which auto reads by itself.",
        ),
    ] = None,
    retune: Annotated[
        bool,
        typer.Option("--retune", help="Race again what the plan has, and replace a plan that does not hold here."),
    ] = False,
    force: options.Force = False,
    isolate: Annotated[
        bool | None,
        typer.Option(
            "--isolate/--no-isolate",
            help="Run backends in worker processes: a crash loses one. Default: on for cuda, and with --timeout.",
            show_default=False,
        ),
    ] = None,
    timeout: options.Timeout = None,
) -> None:
    """Find the fastest backend for each problem, for `auto`.

    Backends, also those of other installed libraries, are verified and raced on operands that are in no cache, as a
    layer finds them in a model. Those that a built-in cost table predicts to take at least three times as long as the
    best are left out. The predicted best stays the choice until undisturbed rounds show another to be faster.

    The plan holds for this machine, these versions, this number of threads and this accuracy; elsewhere it is refused.
    Each problem is saved once it is decided, so an interrupted run continues where it stopped.

    Exit 1: a backend was wrong or failed; 3: nothing was tuned.
    """
    from convbench.bench.doctor import warning
    from convbench.outcome import Failed, Wrong
    from convbench.session import Session, set_threads
    from convbench.show.console import result_console, side_console
    from convbench.show.tune import COLUMNS, cells, print_choices
    from convbench.tune import ColdRace, PlanFile, plan_path

    with Remarks() as remarks:
        selection = choice.select(remarks)
        count = set_threads(threads)
        path = plan_path(output, count, choice.accuracy)
        file = PlanFile.open(path, selection, threads=count, accuracy=choice.accuracy, retune=retune, tell=remarks)
        session = None
        if file.selection is not None:
            work = ColdRace(budget_s=budget, force=force)
            session = Session(file.selection, work, threads=threads, isolate=isolate, timeout_s=timeout, tell=remarks)
    if session is None:
        tell(f"{path} has all of it")
        raise typer.Exit(RIGHT)
    typer.echo(warning(), err=True)
    out, err = result_console(), side_console()
    piped = not out.is_terminal

    def show() -> None:
        """The table, the faults, and where the plan is."""
        print_choices(out, err, file)
        tell_faults(err if piped else out, session.results, session.reproduce)

    if piped:
        from convbench.show.console import print_tabbed

        print_tabbed(out, COLUMNS)
    for results in watched(session, err, show):
        found = file.take(results)
        if piped:
            print_tabbed(out, cells(found))
    show()
    if any(isinstance(one.outcome, Wrong | Failed) for one in session.results):
        raise typer.Exit(WRONG)
    raise typer.Exit(RIGHT if any(one.ranking for one in file.choices) else NOTHING)
