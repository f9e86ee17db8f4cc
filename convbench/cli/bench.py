"""convbench bench: which backend is fastest here, and is it right?"""

from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.case import DTYPES, LAYOUTS, PRECISIONS
from convbench.cli import options, problems
from convbench.cli.ceilings import known_ceilings
from convbench.cli.plan import show_plan
from convbench.cli.sweep import Report, Selection, choose_run
from convbench.errors import ConvbenchError
from convbench.system import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from convbench.outcome import Result

EXAMPLE = "\b\nExample:\n  convbench bench --suite resnet50 --backend torch,onednn --csv resnet50.csv"
COLUMNS = (
    "suite name count spec device threads dtype layout precision pass epilogue backend outcome median_s q25_s q75_s "
    "samples ratio_to_torch ratio_low ratio_high verdict gflops percent_of_ceiling bound flag "
    "worst_of_bound relative_l2 first_call_s peak_nbytes reason"
).split()
RESULTS = Path("convbench-results")


def bench(
    suite: options.Suites = None,
    shape: options.Shapes = None,
    backend: options.Backends = None,
    batch: options.Batches = None,
    axis: options.Axes = None,
    match: options.Match = None,
    exclude: options.Exclude = None,
    device: options.Devices = None,
    dtype: options.Dtypes = None,
    layout: options.Layouts = None,
    precision: options.Precisions = None,
    pass_: options.Passes = None,
    epilogue: options.Epilogues = None,
    plugin: options.Plugins = None,
    threads: options.Threads = 0,
    budget: Annotated[
        float, typer.Option("--budget", metavar="SECONDS", min=0.0, help="Most seconds of timing for each candidate.")
    ] = 3.0,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="SHARE", help="Of all verdicts of a case together.")
    ] = 0.998,
    margin: Annotated[
        float, typer.Option("--margin", metavar="SHARE", help="Within it two that cannot be told apart are a tie.")
    ] = 0.02,
    min_rounds: Annotated[
        int,
        typer.Option(
            "--min-rounds",
            metavar="N",
            min=1,
            max=5000,
            help="Clean rounds before the first verdict; more than 12 are waited for beyond --budget.",
        ),
    ] = 12,
    no_ceilings: Annotated[
        bool, typer.Option("--no-ceilings", help="Probe no ceilings, and leave their columns empty.")
    ] = False,
    seed: options.Seed = 0,
    csv: options.Csv = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    isolate: options.Isolate = None,
    timeout: options.Timeout = None,
    memory_limit: options.MemoryLimit = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
) -> None:
    """Time every backend on every case, each verified before its timing and after it.

    Over the suite `quick` by default. Backends take turns in random order, round by round, and
    are compared by the ratios of the same round; disturbed samples are set aside. A backend leaves
    when its verdict stands: the interval of the ratio excludes 1 and the ratio is half the margin
    away from it (faster, slower), or the interval lies within the margin around 1 (tie); else the budget
    ends undecided.
    Rows are written to the CSV as each case ends. Each timing stands beside its share of the
    roofline: what this machine could do, by ceilings that are probed once (`convbench ceilings`).
    Exit 1: a backend was wrong or failed; 3: nothing was timed.
    """
    if not 0.5 <= confidence < 1 or not 0 < margin < 1:
        raise ConvbenchError(
            f"--confidence {confidence} --margin {margin}: confidence is from 0.5 to below 1, margin between 0 and 1; "
            f"try --confidence 0.998 --margin 0.02"
        )
    sizes, (dtype, layout, precision, device, epilogue, pass_) = problems.choose_axes(
        batch,
        axis,
        dtype=dtype,
        layout=layout,
        precision=precision,
        device=device,
        epilogue=epilogue,
        **{"pass": pass_},
    )
    passes, epilogues = options.choose_passes(pass_, epilogue)
    selection = Selection.of(
        problems=problems.choose(
            suite, shape, "quick", sizes=sizes, match=match, exclude=exclude, any_dtype=dtype is not None
        ),
        dtypes=options.choose("dtype", dtype, DTYPES, ("fp32",)),
        layouts=options.choose("layout", layout, LAYOUTS, ("nchw",)),
        precisions=options.choose("precision", precision, PRECISIONS, ("ieee",)),
        devices=options.choose_devices(device),
        backends=options.choose_backends(backend, plugin),
        seed=seed,
        passes=passes,
        epilogues=epilogues,
    )
    if dry_run:
        raise typer.Exit(_show_plan(selection, budget, force=force))
    require("bench")
    run = choose_run(isolate, timeout, memory_limit, selection=selection, plugins=plugin)
    report = Report(
        selection,
        columns=COLUMNS,
        threads=threads,
        csv=_default_path() if csv is None and not resume else csv,
        overwrite=overwrite,
        resume=resume,
        plugins=plugin,
        force=force,
    )
    from convbench.bench.doctor import warning
    from convbench.ceilings.roofline import with_rooflines
    from convbench.bench.rounds import Budget
    from convbench.bench.statistics import Rule
    from convbench.bench.sweep import bench as measure

    typer.echo(warning(), err=True)
    rule = Rule(confidence=confidence, margin=margin, least=min_rounds)
    rounds = Budget(seconds=budget, least=min_rounds) if min_rounds > Rule().least else Budget(seconds=budget)
    sweep = partial(measure, budget=rounds, rule=rule, force=force)
    ceilings, reprobe = known_ceilings(() if no_ceilings else report.remaining)
    results = run(sweep, report.remaining, selection.backends)
    report.follow(with_rooflines(results, selection.backends, ceilings, reprobe), draw)
    raise typer.Exit(report.exit_code("timed"))


def _show_plan(selection: Selection, budget: float, *, force: bool) -> int:
    from convbench.bench.rounds import Budget
    from convbench.verify.cost import bench_s

    why = (
        f"at most: {budget:g} s of rounds a candidate (--budget), or {Budget().least} rounds where they take longer; "
        f"before and after them the oracle, calls and verdicts, by rates seen on two CPU cores; "
        f"CPUs that a hypervisor moved are waited for on top"
    )
    return show_plan(selection, partial(bench_s, budget_s=budget, least_rounds=Budget().least), force=force, why=why)


def draw(results: "Sequence[Result]", width: int, *, whole: bool = True) -> "list[RenderableType]":
    """Suite by suite: the cases if `whole`, and what one backend everywhere would cost."""
    from convbench.show.tables import bench_table, standing_table

    parts: list[RenderableType] = []
    for suite, group in groupby(results, lambda one: one.case.problem.suite):
        rows = list(group)
        if whole:
            parts.append(bench_table(suite, rows, width=width))
        if (standing := standing_table(rows)) is not None:
            parts.append(standing)
    return parts


def _default_path() -> str:
    try:
        RESULTS.mkdir(exist_ok=True)
    except OSError as error:
        raise ConvbenchError(f"cannot make {RESULTS}/ for the CSV: {error.strerror}; name a file with --csv") from None
    return str(RESULTS / f"bench-{datetime.now().astimezone():%Y%m%dT%H%M%S}.csv")
