"""convbench verify: is every backend right, on every shape, or where is it wrong?"""

from functools import partial
from typing import Annotated

import typer

from convbench.case import DTYPES, LAYOUTS, PRECISIONS
from convbench.cli import options, problems
from convbench.cli.plan import show_plan
from convbench.cli.sweep import Report, Selection, choose_run, write_page

EXAMPLE = "\b\nExample:\n  convbench verify --backend onednn,unfold-matmul --dtype bf16"
CASES_EACH = 50  # nothing is timed, so a worker goes on while it lives
COLUMNS = (
    "suite name spec device dtype layout precision pass epilogue backend outcome worst_of_bound relative_l2 reason"
).split()


def verify(
    suite: options.Suites = None,
    shape: options.Shapes = None,
    backend: options.Backends = None,
    batch: options.Batches = None,
    axis: options.Axes = None,
    match: options.Match = None,
    exclude: options.Exclude = None,
    device: options.Devices = None,
    dtype: Annotated[
        options.Words, typer.Option("--dtype", metavar="NAME,...", help="Data types; all by default.")
    ] = None,
    layout: Annotated[
        options.Words, typer.Option("--layout", metavar="NAME,...", help="Memory layouts; all by default.")
    ] = None,
    precision: options.Precisions = None,
    pass_: options.Passes = None,
    epilogue: options.Epilogues = None,
    plugin: options.Plugins = None,
    threads: options.Threads = 0,
    seed: options.Seed = 0,
    csv: options.Csv = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    isolate: options.Isolate = None,
    timeout: options.Timeout = None,
    memory_limit: options.MemoryLimit = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="One page for a browser: results, faults, heat maps.")
    ] = None,
    heat_map: Annotated[
        bool | None,
        typer.Option(
            "--heat-map/--no-heat-map",
            help="Draw where the errors of the first faults lie; on at a terminal.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare every output with a float64 oracle, each element within its own proven bound.

    Over the suite `awkward` by default. Outputs start as NaN where the backend lets us, and
    the inputs must come back untouched. Of what is wrong the cause is looked for, and the smallest
    problem that shows it. Exit 1: something is wrong or failed; 3: nothing was verified.
    """
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
    devices = options.choose_devices(device)
    passes, epilogues = options.choose_passes(pass_, epilogue)
    selection = Selection.of(
        problems=problems.choose(
            suite, shape, "awkward", sizes=sizes, match=match, exclude=exclude, any_dtype=dtype is not None
        ),
        dtypes=options.choose("dtype", dtype, DTYPES, DTYPES),
        layouts=options.choose("layout", layout, LAYOUTS, LAYOUTS),
        precisions=options.choose("precision", precision, PRECISIONS, PRECISIONS if "cuda" in devices else ("ieee",)),
        devices=devices,
        backends=options.choose_backends(backend, plugin),
        seed=seed,
        passes=passes,
        epilogues=epilogues,
    )
    if dry_run:
        from convbench.verify.cost import verify_s

        why = "at most: the oracle, four calls and three verdicts for each backend, by rates seen on two CPU cores"
        raise typer.Exit(show_plan(selection, verify_s, force=force, why=why))
    run = choose_run(isolate, timeout, memory_limit, selection=selection, plugins=plugin, cases_each=CASES_EACH)
    report = Report(
        selection,
        columns=COLUMNS,
        threads=threads,
        csv=csv,
        overwrite=overwrite,
        resume=resume,
        plugins=plugin,
        force=force,
        heat_map=heat_map,
    )
    from convbench.show.tables import verify_table
    from convbench.verify.trial import verify as judge

    results = run(partial(judge, force=force), report.remaining, selection.backends)
    report.follow(results, lambda results, _: [verify_table(results)])
    if html is not None:
        from convbench.show.page import verify_page

        write_page(html, verify_page(report.entries()))
    raise typer.Exit(report.exit_code("verified"))
