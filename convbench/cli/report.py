"""convbench report: what does a CSV file of results say?"""

from io import BytesIO
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.outputs import Remarks, check_outputs, tell, write
from convbench.cli.sweep import exit_code, tabbed, tell_faults
from convbench.errors import ConvbenchError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from convbench.outcome import Result
    from convbench.show.charts import Entry

EXAMPLE = "\b\nExample:\n  convbench report results/*.csv --html report.html"
PLOTS = ("ratio", "roofline")


def report(
    files: Annotated[list[str], typer.Argument(help="CSV files of convbench bench or verify.", metavar="FILE...")],
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write one page for all files; - is stdout.")] = None,
    svg: Annotated[str | None, typer.Option(metavar="FILE", help="Write the plots as SVG; - is stdout.")] = None,
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write the plots as PNG.")] = None,
    plot: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Plots of --svg and --png: ratio (default), roofline.")
    ] = None,
    overwrite: options.Overwrite = False,
    anonymous: options.Anonymous = False,
) -> None:
    """Turn result files into tables, a page or plots.

    The runs may be finished, interrupted, or from another machine. --html, --svg and --png write a file instead. The
    page needs no network and no server. Exit 1: something is wrong or failed; 3: nothing was timed or verified.
    """
    from convbench.runs import runs_apart
    from convbench.store import read_pairs

    plots = options.choose("plot", plot, PLOTS, ("ratio",))
    check_outputs({"--html": html, "--svg": svg, "--png": png}, overwrite=overwrite)
    if png is not None and not png.lower().endswith(".png"):
        raise ConvbenchError(f"--png {png}: name a file that ends in .png")
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
    results = [result for _, _, result in pairs]
    if html is svg is png is None:
        print_tables(files, pairs)
    else:
        from convbench.show.charts import Entry

        entries = [
            Entry(number=number, file=file, row=row, result=result) for number, (file, row, result) in enumerate(pairs)
        ]
        write_files(entries, html=html, svg=svg, png=png, plots=plots, overwrite=overwrite)
    raise typer.Exit(exit_code(results, "timed", "verified"))


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


def print_tables(files: "Sequence[str]", rows: "Sequence[tuple[str, Mapping[str, str], Result]]") -> None:
    """File by file: tables on a terminal, tab-separated values in a pipe; then the faults of all."""
    from convbench.cli.bench import COLUMNS, draw
    from convbench.outcome import Timed
    from convbench.session import reproduce
    from convbench.show.console import print_tabbed, result_console, side_console
    from convbench.show.tables import verify_table

    console = result_console()
    if not console.is_terminal:
        print_tabbed(console, ["file", *COLUMNS])
    for file in files:
        results = [result for origin, _, result in rows if origin == file]
        if not console.is_terminal:
            for row in (row for origin, row, _ in rows if origin == file):
                print_tabbed(console, [file, *tabbed(row, COLUMNS)])
            for part in draw(results, side_console().width, whole=False):
                side_console().print(part)
        elif any(isinstance(result.outcome, Timed) for result in results):
            console.print(f"{file}:", markup=False)
            for part in draw(results, console.width):
                console.print(part)
        else:
            console.print(verify_table(results, width=console.width))
    tell_faults(
        console if console.is_terminal else side_console(),
        [result for _, _, result in rows],
        reproduce,
    )
