"""convbench report: what does a CSV file of results say?"""

from typing import Annotated

import typer

EXAMPLE = "\b\nExample:\n  convbench report results/*.csv"


def report(
    files: Annotated[list[str], typer.Argument(help="CSV files of convbench bench or verify.", metavar="FILE...")],
) -> None:
    """Print the tables of finished, interrupted or foreign runs from their CSV files."""
    from convbench.outcome import Skipped, Verified
    from convbench.show.console import result_console
    from convbench.show.tables import bench_table, skip_lines, verify_table
    from convbench.store import read_results

    console = result_console()
    for file in files:
        results = read_results(file)
        verified = [result for result in results if isinstance(result.outcome, Verified)]
        console.print(verify_table(results) if verified else bench_table(file, results, width=console.width))
        for line in skip_lines(results):
            console.print(line, style="dim", markup=False)
        if not any(not isinstance(result.outcome, Skipped) for result in results):
            raise typer.Exit(3)
