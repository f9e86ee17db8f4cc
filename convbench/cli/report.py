"""convbench report: what does a CSV file of results say?"""

from typing import Annotated

import typer

from convbench.cli.sweep import exit_code, tell_faults

EXAMPLE = "\b\nExample:\n  convbench report results/*.csv"


def report(
    files: Annotated[list[str], typer.Argument(help="CSV files of convbench bench or verify.", metavar="FILE...")],
) -> None:
    """Print the tables of finished, interrupted or foreign runs from their CSV files.

    Exit 1: something is wrong or failed; 3: nothing was timed or verified.
    """
    from convbench.cli.bench import COLUMNS, draw
    from convbench.outcome import Result, Timed
    from convbench.show.console import print_tabbed, result_console, side_console
    from convbench.show.tables import verify_table
    from convbench.store import read_results, read_rows

    console = result_console()
    everything: list[Result] = []
    if not console.is_terminal:
        print_tabbed(console, ["file", *COLUMNS])
    for file in files:
        results = read_results(file)
        everything += results
        if not console.is_terminal:
            for row in read_rows(file):
                print_tabbed(console, [file, *(row[column] for column in COLUMNS)])
        elif any(isinstance(result.outcome, Timed) for result in results):
            console.print(f"{file}:", markup=False)
            for part in draw(results, console.width):
                console.print(part)
        else:
            console.print(verify_table(results))
    tell_faults(
        console if console.is_terminal else side_console(),
        everything,
        lambda result: f"convbench verify --backend {result.backend} {result.case.flags()}",
    )
    raise typer.Exit(exit_code(everything, "timed", "verified"))
