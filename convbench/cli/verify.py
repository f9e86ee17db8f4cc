"""convbench verify: is every backend right, on every shape, or where is it wrong?"""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.case import DTYPES, EPILOGUES, LAYOUTS, PRECISIONS
from convbench.cli import cases, options, problems
from convbench.cli.outputs import check_apart, check_outputs, tell, write
from convbench.cli.plan import show_plan
from convbench.cli.sweep import Report, Selection, choose_run
from convbench.errors import ConvbenchError
from convbench.exit_codes import RIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from convbench.outcome import Result

EXAMPLE = "\b\nExample:\n  convbench verify --backend onednn,unfold-matmul --dtype bf16"
CASES_EACH = 50  # nothing is timed, so a worker goes on while it lives
COLUMNS = (
    "suite name spec device dtype layout precision pass epilogue backend outcome worst_of_bound relative_l2 omega "
    "arithmetic probe defect reason"
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
    fuzz: Annotated[
        int | None,
        typer.Option(
            "--fuzz", metavar="N", min=1, help="N random cases of --seed, in place of a suite.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", min=0.1, help="Random cases until the time is up.", show_default=False),
    ] = None,
    vectors: Annotated[
        options.Words,
        typer.Option(
            "--vectors", metavar="NAME,...", help="Test vectors of others, in place of a suite: onnx, opinfo."
        ),
    ] = None,
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
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Verify the verifier: right kernels and planted bugs, random shapes.")
    ] = False,
    shapes: Annotated[
        int | None, typer.Option("--shapes", metavar="N", min=1, help="Random shapes of --self-test; 200 by default.")
    ] = None,
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

    Over the suite `awkward` by default; `edge` holds faults that others met. Outputs start as NaN where the
    backend lets us, and the inputs must come back untouched. Of what is wrong the cause is looked for, and the
    smallest problem that shows it. Exit 1: something is wrong or failed; 3: nothing was verified.
    """
    if self_test:
        from convbench.cli.selftest import self_test as run_self_test

        refused: dict[str, object] = {"--suite": suite, "--batch": batch, "--axis": axis, "--match": match}
        refused |= {"--exclude": exclude, "--device": device, "--precision": precision, "--pass": pass_}
        refused |= {"--epilogue": epilogue, "--plugin": plugin, "--resume": resume, "--isolate": isolate}
        refused |= {"--timeout": timeout, "--memory-limit": memory_limit, "--force": force, "--dry-run": dry_run}
        run_self_test(
            shapes=shapes,
            shape=shape,
            backend=backend,
            dtype=dtype,
            layout=layout,
            threads=threads,
            seed=seed,
            csv=csv,
            overwrite=overwrite,
            refused=refused,
        )
    if shapes is not None:
        raise ConvbenchError(f"--shapes {shapes}: random shapes are for --self-test; name problems with --shape")
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
    by_clock = fuzz is not None or seconds is not None
    cases.refuse_mixture(
        suite=suite is not None,
        shape=shape is not None,
        fuzz=by_clock,
        vectors=vectors is not None,
    )
    if by_clock or vectors is not None:
        cases.refuse_filters(sizes=bool(sizes), match=match is not None, exclude=exclude is not None)
    if seconds is not None and (resume or (dry_run and fuzz is None)):
        raise ConvbenchError(
            f"--seconds {seconds:g} --{'resume' if resume else 'dry-run'}: what a clock ends is not known beforehand; "
            f"try --fuzz N alone"
        )
    devices = options.choose_devices(device)
    precisions = options.choose("precision", precision, PRECISIONS, PRECISIONS if "cuda" in devices else ("ieee",))
    code = RIGHT
    if by_clock:
        selection = cases.choose_random(
            fuzz,
            seconds,
            seed=seed,
            dtype=dtype,
            layout=layout,
            pass_=pass_,
            epilogues=options.choose("epilogue", epilogue, EPILOGUES, ("none",)),
            precisions=precisions,
            devices=devices,
            backends=options.choose_backends(backend, plugin),
        )
    elif vectors is not None:
        cases.refuse_filters(**{"pass": pass_ is not None, "epilogue": epilogue is not None})
        selection, code = cases.choose_vectors(
            vectors,
            seed=seed,
            dtype=dtype,
            layout=layout,
            precisions=precisions,
            devices=devices,
            backends=options.choose_backends(backend, plugin),
        )
    else:
        passes, epilogues = options.choose_passes(pass_, epilogue)
        selection = Selection.of(
            problems=problems.choose(
                suite, shape, "awkward", sizes=sizes, match=match, exclude=exclude, any_dtype=dtype is not None
            ),
            dtypes=options.choose("dtype", dtype, DTYPES, DTYPES),
            layouts=options.choose("layout", layout, LAYOUTS, LAYOUTS),
            precisions=precisions,
            devices=devices,
            backends=options.choose_backends(backend, plugin),
            seed=seed,
            passes=passes,
            epilogues=epilogues,
        )
    check_apart({"--csv": csv, "--html": html})
    check_outputs({"--html": html}, overwrite=overwrite or resume)
    if dry_run:
        from convbench.verify.cost import verify_s

        why = "at most: the oracle, five calls and three verdicts for each backend, by rates seen on two CPU cores"
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
    from convbench.verify.trial import verify as judge

    deadline = cases.Deadline(seconds=seconds, each=len(selection.backends))
    results = deadline.limit(run(partial(judge, force=force), report.remaining, selection.backends))
    report.follow(results, draw)
    if by_clock:
        tell(f"{deadline.done:,} random cases of seed {seed}")
    if html is not None:
        from convbench.show.page import verify_page

        write(html, verify_page(report.entries()))
    raise typer.Exit(code or report.exit_code("verified"))


def draw(results: "Sequence[Result]", width: int, *, whole: bool) -> "list[RenderableType]":  # noqa: ARG001  # it fits any
    """One table; what a pipe got as rows needs no other."""
    from convbench.show.tables import verify_table

    return [verify_table(results)] if whole else []
