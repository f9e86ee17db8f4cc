"""convbench merge: one file from the results of many machines."""

from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.outputs import Remarks, check_outputs, tell, write
from convbench.errors import ConvbenchError, plural, printable
from convbench.exit_codes import NOTHING, RIGHT

if TYPE_CHECKING:
    from convbench.merge import Merged, Missing

EXAMPLE = "\b\nExample:\n  convbench merge part-*.csv -o all.csv"
MOST_NAMED = 8


def merge(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="CSV files of one bench or verify command, written with --shard."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The merged file; - is stdout.")],
    across: Annotated[
        bool, typer.Option("--across", help="Merge rows of different versions or commands anyway.")
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Merge the results of many machines into one file.

    For each case and each kind of machine (CPU and GPU model) one measurement counts, with all its backends from one
    machine. Others of that case stay in the file, marked as attempts. Cases are in the order of the sweep. Machines
    that were slow on the canaries (reference cases timed in every part) are named, and their rows marked.

    Exit 3: cases are missing.
    """
    from convbench.merge import merge as merge_files

    check_outputs({"--output": output}, overwrite=overwrite)
    with Remarks() as remarks:
        merged = merge_files(files, across=across, tell=remarks)
    write(output, "".join(merged.text), overwrite=overwrite)
    tell_merged(merged, len(files))
    raise typer.Exit(NOTHING if merged.missing else RIGHT)


def tell_merged(merged: "Merged", files: int) -> None:
    """What a reader must know about a merged file, on stderr."""
    for line in merged.lines:
        tell(line)
    for one in merged.missing:
        tell(_missing(one))
    rows = len(merged.text) - 1
    tell(f"{plural(rows, 'row')} of {plural(files, 'file')}" + ("" if merged.missing else "; complete"))


def _missing(one: "Missing") -> str:
    names = _names(one)
    listed = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    return f"{len(one.places):,} of {one.sweep.cases:,} cases are missing on {one.kind}: {listed}"


def _names(one: "Missing") -> list[str]:
    """The missing cases by name, where the command of the rows still selects the same sweep here; else by number."""
    from convbench.cli.planned import planned

    try:
        sweep, cases = planned(one.command)
    except (ConvbenchError, ValueError, SystemExit):
        sweep, cases = None, []
    if sweep != one.sweep:
        return [f"case {place}" for place in one.places]
    found = []
    for place in one.places:
        case = cases[place - 1]
        words = (
            ""
            if (case.dtype, case.layout, case.pass_) == ("fp32", "nchw", "fprop")
            else f" {case.dtype} {case.layout} {case.pass_}"
        )
        found.append(printable(f"{case.problem.name}{words}"))
    return found
