"""convbench report: what does a CSV file of results say?"""

from io import BytesIO
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.outputs import Remarks, check_outputs, export, tell, write
from convbench.cli.sweep import exit_code, tabbed, tell_faults
from convbench.errors import ConvbenchError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convbench.outcome import Result
    from convbench.show.charts import Entry

EXAMPLE = "\b\nExample:\n  convbench report results/*.csv --html report.html"
PLOTS = ("ratio", "roofline")


@options.unfold
def report(
    files: Annotated[
        list[str],
        typer.Argument(help="CSV files of convbench bench or verify, or names of kept runs.", metavar="FILE..."),
    ],
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one page for all files; - is stdout.")] = None,
    svg: Annotated[str | None, typer.Option(metavar="FILE", help="Write the plots as SVG; - is stdout.")] = None,
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write the plots as PNG.")] = None,
    plot: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Plots of --svg and --png: ratio (default), roofline.")
    ] = None,
    percentiles: options.Percentiles = False,
    *,
    ci: options.ForCi,
    overwrite: options.Overwrite = False,
    anonymous: options.Anonymous = False,
) -> None:
    """Turn result files into tables, a page or plots.

    The runs may be finished, interrupted, or from another machine. --html, --svg, --png and the options for CI write
    files instead. The page needs no network and no server. Exit 1: something is wrong or failed; 3: nothing was timed
    or verified.
    """
    from convbench.kept import find_run
    from convbench.runs import runs_apart
    from convbench.store import read_pairs

    plots = options.choose("plot", plot, PLOTS, ("ratio",))
    pages = {"--html": html, "--svg": svg, "--png": png}
    check_outputs({**pages, **ci.files}, overwrite=overwrite)
    if png is not None and not png.lower().endswith(".png"):
        raise ConvbenchError(f"--png {png}: name a file that ends in .png")
    files = [file if (kept := find_run(file)) is None else str(kept.path) for file in files]
    with Remarks() as remarks:
        found = {file: read_pairs(file, tell=remarks) for file in files}
    labels = {file: printable(file) for file in files}
    if anonymous:
        from convbench.anonymous import anonymous_files, anonymous_pair

        labels = anonymous_files(files)
        found = {file: [anonymous_pair(row, result) for row, result in own] for file, own in found.items()}
    files, pairs = [], []
    for file, own in found.items():
        runs = runs_apart(own)
        if len(runs) > 1:
            tell(f"{labels[file]} holds {len(runs)} runs, which are shown apart: {'; '.join(runs)}")
        for words, rows in runs.items():
            files.append(f"{labels[file]} ({words})" if words else labels[file])
            pairs += [(files[-1], row, result) for row, result in rows]
    code = exit_code([result for _, _, result in pairs], "timed", "verified")
    if not any({**pages, **ci.files}.values()):
        print_tables(files, pairs, percentiles=percentiles)
    if any(pages.values()):
        from convbench.show.charts import Entry

        entries = [
            Entry(number=number, file=file, row=row, result=result) for number, (file, row, result) in enumerate(pairs)
        ]
        write_files(entries, html=html, svg=svg, png=png, plots=plots, overwrite=overwrite)
    if any(ci.files.values()):
        from convbench.ci.of_results import STATES, RunFindings
        from convbench.session import reproduce

        origins = [file for file, _, _ in pairs]
        rows = [(row, result) for _, row, result in pairs]
        run = RunFindings(command="report", pairs=rows, state=STATES[code], reproduce=reproduce, files=origins)
        export(ci, run, overwrite=overwrite)
    raise typer.Exit(code)


def write_files(
    entries: "Sequence[Entry]",
    *,
    html: str | None,
    svg: str | None,
    png: str | None,
    plots: "Sequence[str]",
    overwrite: bool,
) -> None:
    """The page and the plots that were asked for."""
    from convbench.show.charts import plot_scene
    from convbench.show.page import page

    scene = None if svg is png is None else plot_scene(entries, plots)
    if scene is None and not svg is png is None:
        raise ConvbenchError(
            f"--plot {','.join(plots)}: there is no row to plot; ratio needs rows compared with torch, roofline needs "
            f"timed rows"
        )
    if html is not None:
        write(html, page(entries), overwrite=overwrite)
    if scene is not None and svg is not None:
        write(svg, scene.svg(alone=True), overwrite=overwrite)
    if scene is not None and png is not None:
        picture = BytesIO()
        scene.image().save(picture, format="PNG")
        write(png, picture.getvalue(), overwrite=overwrite)


def print_tables(
    files: "Sequence[str]", rows: "Sequence[tuple[str, Mapping[str, str], Result]]", *, percentiles: bool
) -> None:
    """File by file: tables on a terminal, tab-separated values in a pipe; then the faults of all."""
    from convbench.cli.bench import COLUMNS, TAIL, draw, with_tail
    from convbench.outcome import Timed
    from convbench.session import reproduce
    from convbench.show.console import print_tabbed, result_console, side_console
    from convbench.show.tables import verify_table

    console = result_console()
    columns = with_tail(COLUMNS) if percentiles else COLUMNS
    if not console.is_terminal:
        print_tabbed(console, ["file", *columns])
    for file in files:
        results = [result for origin, _, result in rows if origin == file]
        if not console.is_terminal:
            for row, result in ((row, result) for origin, row, result in rows if origin == file):
                tail = result.outcome.tail_s if isinstance(result.outcome, Timed) else ("",) * len(TAIL)
                print_tabbed(console, [file, *tabbed({**row, **dict(zip(TAIL, tail, strict=True))}, columns)])
            for part in draw(results, side_console().width, whole=False):
                side_console().print(part)
        elif any(isinstance(result.outcome, Timed) for result in results):
            console.print(f"{file}:", markup=False)
            for part in draw(results, console.width, percentiles=percentiles):
                console.print(part)
        else:
            console.print(verify_table(results, width=console.width))
    tell_faults(
        console if console.is_terminal else side_console(),
        [result for _, _, result in rows],
        reproduce,
    )
