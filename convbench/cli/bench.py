"""convbench bench: which backend is fastest here, and is it right?"""

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.dry_run import show_dry_run
from convbench.cli.outputs import Remarks, check_outputs, export
from convbench.cli.sweep import exit_code, follow, run_findings
from convbench.errors import ConvbenchError
from convbench.exit_codes import RIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from convbench.outcome import Result

EXAMPLE = "\b\nExample:\n  convbench bench --suite resnet50 --backend torch,onednn --csv resnet50.csv"
COLUMNS = (
    "suite name count spec device threads dtype layout precision pass epilogue accuracy backend chosen outcome "
    "median_s images_per_s q25_s q75_s samples ratio_to_torch ratio_low ratio_high verdict gflops percent_of_ceiling "
    "bound flag worst_of_bound relative_l2 first_call_s peak_nbytes reason"
).split()
TAIL = ("p95_s", "p99_s", "max_s")  # with --percentiles
RESULTS = Path("convbench-results")


@options.unfold
def bench(
    choice: options.Choice,
    budget: Annotated[float, options.budget_option("torch")] = 3.0,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="FRACTION", help="Joint confidence of all verdicts of one case.")
    ] = 0.998,
    margin: Annotated[
        str,
        typer.Option(
            "--margin",
            metavar="FRACTION",
            help="Faster or slower: the ratio is at least half of this away from 1, as 2% or 0.02. Tie: neither, and "
            "the interval is within it of 1.",
        ),
    ] = "2%",
    min_rounds: Annotated[
        int,
        typer.Option(
            "--min-rounds",
            metavar="N",
            min=1,
            max=5000,
            help="Undisturbed rounds before the first verdict; more than 12 may exceed --budget.",
        ),
    ] = 12,
    no_ceilings: Annotated[
        bool, typer.Option("--no-ceilings", help="Do not measure ceilings; leave their columns empty.")
    ] = False,
    wait_until_quiet: options.WaitUntilQuiet = False,
    percentiles: options.Percentiles = False,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            metavar="NAME",
            help="Keep the run as .convbench/NAME.csv, for convbench compare NAME and convbench history.",
        ),
    ] = None,
    *,
    how: options.How,
    ci: options.ForCi,
) -> None:
    """Find the fastest backend, with evidence.

    Every backend is verified before, during and after its timing. The default suite is `quick`. Rows are written to the
    CSV as each case ends.

    Backends take turns in random order, round by round, and are compared by their ratios within a round. Disturbed
    samples are excluded.

    A backend drops out once its verdict is settled. Faster or slower: the interval of its ratio excludes 1, and the
    ratio is at least half of --margin away from 1. Tie: neither, and the interval is within --margin of 1. Undecided:
    the budget ended first, or too many samples were disturbed.

    % of peak compares each timing with the peak of this machine, measured once (`convbench ceilings`).

    Exit 1: a backend was wrong or failed; 3: nothing was timed.
    """
    from convbench.bench.doctor import MOST_WAIT_S, warning
    from convbench.selection import FOR_BENCH
    from convbench.session import Bench

    work = Bench(
        budget_s=budget,
        confidence=confidence,
        margin=options.fraction("--margin", margin),
        min_rounds=min_rounds,
        ceilings=not no_ceilings,
        wait_s=MOST_WAIT_S if wait_until_quiet else 0.0,
        force=how.force,
    )
    if keep is not None:
        how = replace(how, csv=_kept(keep, how))  # none of a dry run
    overwrite, rows = how.overwrite or how.resume, "--csv" if keep is None else "--keep"
    check_outputs({rows: how.csv, **ci.files}, overwrite=overwrite, resumable=rows)
    with Remarks() as remarks:
        selection = choice.select(FOR_BENCH, tell=remarks)
        if how.csv is None and not how.resume and not how.dry_run:
            how = replace(how, csv=default_path())
        session = None if how.dry_run else how.begin(selection, work, remarks)
    if session is None:
        why = (
            f"at most: {budget:g} s of rounds (--budget) per backend besides torch, or {work.least_rounds} rounds "
            f"if they take longer, plus the reference, calls and checks before and after, at rates measured on two CPU "
            f"cores; not included: waiting while the hypervisor has moved this machine's CPUs"
        )
        raise typer.Exit(show_dry_run(selection, work, how=how, why=why))
    typer.echo(warning(), err=True)
    columns = with_tail(COLUMNS) if percentiles else COLUMNS
    follow(session, partial(draw, percentiles=percentiles), columns=columns, taken=ci.takes_stdout)
    export(ci, run_findings("bench", session, "timed", anonymous=how.anonymous), overwrite=overwrite)
    raise typer.Exit(exit_code(session.results, "timed") if session.total else RIGHT)


def draw(
    results: "Sequence[Result]", width: int, *, whole: bool = True, percentiles: bool = False
) -> "list[RenderableType]":
    """As `suite_tables`."""
    from convbench.show.results import suite_tables

    return list(suite_tables(results, width, whole=whole, percentiles=percentiles))


def with_tail(columns: "Sequence[str]") -> "list[str]":
    """The columns with those of --percentiles after the quartiles."""
    place = columns.index("q75_s") + 1
    return [*columns[:place], *TAIL, *columns[place:]]


def _kept(name: str, how: options.How) -> str | None:
    """The file of --keep; its folder is made where something will be written."""
    from convbench.kept import kept_file, make_folder

    if how.csv is not None:
        raise ConvbenchError(f"--keep {name} --csv {how.csv}: the rows go to one file; give one of the two")
    file = kept_file(name)
    if how.dry_run:
        return None
    make_folder()
    return str(file)


def default_path(of: str = "bench") -> str:
    try:
        RESULTS.mkdir(exist_ok=True)
    except OSError as error:
        raise ConvbenchError(
            f"cannot create {RESULTS}/ for the CSV: {error.strerror}; name a file with --csv"
        ) from None
    stem = f"{of}-{datetime.now().astimezone():%Y%m%dT%H%M%S}"
    names = (f"{stem}{ending}.csv" for ending in ("", *(f"-{number}" for number in range(2, 1000))))
    return str(next(RESULTS / name for name in names if not (RESULTS / name).exists()))  # two runs in one second
