"""convbench verify: is every backend right, on every shape, or where is it wrong?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.case import EPILOGUES, PASSES
from convbench.cli import options
from convbench.cli.dry_run import show_dry_run
from convbench.cli.outputs import Remarks, check_outputs, export, tell, write
from convbench.cli.sweep import exit_code, follow, run_findings
from convbench.errors import ConvbenchError, printable
from convbench.exit_codes import RIGHT, WRONG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from convbench.backend import Backend
    from convbench.outcome import Result

EXAMPLE = "\b\nExample:\n  convbench verify --backend onednn,unfold-matmul --dtype bf16"
COLUMNS = (
    "suite name spec device threads dtype layout precision pass epilogue accuracy backend chosen outcome "
    "worst_of_bound relative_l2 omega arithmetic probe defect reason"
).split()


@dataclass(frozen=True, kw_only=True)
class VerifyChoice(options.Choice):
    """The same, of everything where nothing is said."""

    dtype: Annotated[
        options.Words,
        typer.Option(
            "--dtype",
            metavar="NAME,...",
            help="Data types. Default: for awkward, those of each row; for other suites, all.",
        ),
    ] = None
    layout: Annotated[
        options.Words,
        typer.Option(
            "--layout",
            metavar="NAME,...",
            help="Memory layouts. Default: for awkward, those of each row; for other suites, all.",
        ),
    ] = None
    pass_: Annotated[
        options.Words,
        typer.Option(
            "--pass",
            metavar="NAME,...",
            help=f"{', '.join(PASSES)}. Default: for awkward, that of each row, and fprop if a backend lacks it; for "
            "other suites, all that a plug-in or a named backend has, else fprop.",
        ),
    ] = None
    epilogue: Annotated[
        options.Words,
        typer.Option(
            "--epilogue",
            metavar="NAME,...",
            help=f"After fprop: {', '.join(EPILOGUES)}. Default: for awkward, that of each row, and none if a backend "
            "lacks it; for other suites, all that a plug-in or a named backend fuses, else none.",
        ),
    ] = None
    backend: Annotated[
        options.Words,
        typer.Option(
            "--backend",
            metavar="NAME,...",
            help="Backends, or '/REGEX/'. Default: those of --plugin, else all (convbench list backends).",
        ),
    ] = None


@options.unfold
def verify(
    choice: VerifyChoice,
    fuzz: Annotated[
        int | None,
        typer.Option(
            "--fuzz", metavar="N", min=1, help="Verify N random cases instead of a suite.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            metavar="S",
            min=0.1,
            max=options.LONGEST_S,
            help="Verify random cases for S seconds.",
            show_default=False,
        ),
    ] = None,
    vectors: Annotated[
        options.Words,
        typer.Option(
            "--vectors", metavar="NAME,...", help="Use published test vectors instead of a suite: onnx, opinfo."
        ),
    ] = None,
    *,
    how: options.How,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page with results, faults and heat maps.")
    ] = None,
    heat_map: Annotated[
        bool | None,
        typer.Option(
            "--heat-map/--no-heat-map",
            help="Draw where the errors of the first faults are. Default: on in a terminal.",
            show_default=False,
        ),
    ] = None,
    ci: options.ForCi,
) -> None:
    """Check every output against a proven error bound.

    The reference is computed in float64, and each element has its own bound. Output buffers are filled with NaN first,
    where possible, and the inputs must come back unchanged. A failure is reported with its location and a
    command that reproduces it; the first of each kind also with its cause and the smallest problem that shows it, if
    they are found.

    The default suite is `awkward`, whose rows each have a dtype, layout, pass and epilogue; the options override them.
    A backend that lacks a row's pass or epilogue is verified on a plain fprop of that row.
    `edge` contains cases that broke other libraries. With any suite but `awkward`, every gradient and fused epilogue
    of plug-ins and named backends is verified too.

    Exit 1: something is wrong or failed; 3: nothing was verified.
    """
    from convbench.selection import FOR_VERIFY, refuse_mixture
    from convbench.session import Verify

    refuse_mixture(suite=choice.suite is not None, shape=choice.shape is not None)
    if seconds is not None and (how.resume or (how.dry_run and fuzz is None)):
        raise ConvbenchError(
            f"--seconds {seconds:g} --{'resume' if how.resume else 'dry-run'}: a run that ends by the clock cannot be "
            f"planned; use --fuzz N"
        )
    outputs = {"--csv": how.csv, "--html": html, **ci.files}
    overwrite = how.overwrite or how.resume
    check_outputs(outputs, overwrite=overwrite, resumable="--csv")
    work = Verify(force=how.force, seconds=seconds)
    with Remarks() as remarks:
        selection = choice.select(FOR_VERIFY, fuzz=fuzz, seconds=seconds, vectors=vectors, tell=remarks)
        session = None if how.dry_run else how.begin(selection, work, remarks)
    if session is None:
        why = "at most: the reference, five calls and three checks per backend, at rates measured on two CPU cores"
        raise typer.Exit(show_dry_run(selection, work, how=how, why=why))
    follow(session, draw, columns=COLUMNS, heat_map=heat_map, taken=ci.takes_stdout)
    if choice.dtype is None:
        for line in other_dtypes(session.results, selection.backends):
            tell(line)
    if fuzz is not None or seconds is not None:
        done = len(session.results) // len(selection.backends) - session.kept
        tell(f"{done:,} random cases with seed {choice.seed}")
    if html is not None:
        from convbench.anonymous import anonymous_files
        from convbench.show.charts import Entry
        from convbench.show.page import verify_page

        file = "this run" if how.csv in (None, "-") else str(how.csv)
        file = anonymous_files([file])[file] if how.anonymous else file
        pairs = enumerate(session.pairs())
        entries = [Entry(number=n, file=printable(file), row=row, result=result) for n, (row, result) in pairs]
        write(html, verify_page(entries), overwrite=overwrite)
    wrong = bool(selection.faults)
    findings = run_findings("verify", session, "verified", anonymous=how.anonymous, wrong=wrong)
    export(ci, findings, overwrite=overwrite)
    code = exit_code(session.results, "verified") if session.total else RIGHT
    raise typer.Exit(WRONG if wrong else code)


def other_dtypes(results: "Sequence[Result]", backends: "Sequence[Backend]") -> "Iterator[str]":
    """Of each plug-in that has no dtype of most problems, each of which has one of its own: what runs all of them."""
    every = {one.case.problem for one in results}
    for backend in backends:
        met = {one.case.problem for one in results if one.case.dtype in backend.dtypes}
        if not backend.built_in and 2 * len(met) < len(every):
            has = ",".join(sorted(backend.dtypes))
            yield f"most rows have a dtype that {backend.name} lacks; --dtype {has} verifies it on all of them"


def draw(results: "Sequence[Result]", width: int, *, whole: bool) -> "list[RenderableType]":
    """One table; what a pipe got as rows needs no other."""
    from convbench.show.tables import verify_table

    return [verify_table(results, width=width)] if whole else []
