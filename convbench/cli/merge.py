"""convbench merge: one file from the results of many machines."""

import shlex
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convbench.cli import options
from convbench.cli.outputs import Remarks, check_outputs, tell, write
from convbench.errors import ConvbenchError, printable
from convbench.exit_codes import NOTHING, RIGHT

if TYPE_CHECKING:
    from convbench.case import Case
    from convbench.merge import Missing

EXAMPLE = "\b\nExample:\n  convbench merge part-*.csv -o all.csv"
MOST_NAMED = 8


def merge(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="CSV files of one bench or verify command, by --shard.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The merged file; - is stdout.")],
    across: Annotated[
        bool, typer.Option("--across", help="Merge rows of different versions or commands anyway.")
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Merge the results of many machines into one file.

    Each case is kept once for each kind of machine, in the order of the sweep, with all its backends from one machine.
    A case that was measured more than once stays as further attempts. Machines whose canaries are slow are named, and
    their rows marked.

    Exit 3: cases are missing.
    """
    from convbench.merge import merge as merge_files

    check_outputs({"--output": output}, overwrite=overwrite)
    with Remarks() as remarks:
        merged = merge_files(files, across=across, tell=remarks)
    write(output, "".join(merged.text), overwrite=overwrite)
    for line in merged.lines:
        tell(line)
    for one in merged.missing:
        tell(_missing(one))
    rows = len(merged.text) - 1
    tell(
        f"{rows:,} rows of {len(files)} file{'' if len(files) == 1 else 's'}" + ("" if merged.missing else "; complete")
    )
    raise typer.Exit(NOTHING if merged.missing else RIGHT)


def _missing(one: "Missing") -> str:
    names = _names(one)
    listed = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    return f"{len(one.places):,} of {one.whole.cases:,} cases are missing on {one.kind}: {listed}"


def _names(one: "Missing") -> list[str]:
    """The missing cases by name, where the command of the rows still selects the same sweep here; else by number."""
    try:
        whole, cases = planned(one.command)
    except (ConvbenchError, ValueError, SystemExit):
        whole, cases = None, []
    if whole != one.whole:
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


def planned(command: str) -> "tuple[Any, list[Case]]":
    """The sweep of a command of bench or verify, and its cases in order; nothing is run.

    Raises:
        ConvbenchError: it selects nothing here.
        ValueError: it is no such command.
    """
    from convbench.cli import make_app
    from convbench.cli.verify import VerifyChoice
    from convbench.selection import FOR_BENCH, FOR_VERIFY
    from convbench.session import Bench, Session, Verify

    _, name, *words = shlex.split(command)
    if name not in ("bench", "verify"):
        raise ValueError(f"{name} has no sweep")
    app: Any = typer.main.get_command(make_app(name))
    with app.make_context("convbench", [name, *words]) as context:
        own = app.get_command(context, name)
        with own.make_context(name, list(words), parent=context) as given:
            # Typer calls a command with None for a list that was not given.
            params: dict[str, Any] = {one: None if value in ([], ()) else value for one, value in given.params.items()}
    choice_kind = options.Choice if name == "bench" else VerifyChoice
    choice = choice_kind(**{one.name: params[one.name] for one in fields(choice_kind)})
    how = options.How(**{one.name: params[one.name] for one in fields(options.How)})
    more = {} if name == "bench" else {"fuzz": params["fuzz"], "vectors": params["vectors"]}
    selection = choice.select(FOR_BENCH if name == "bench" else FOR_VERIFY, tell=lambda _: None, **more)
    session = Session(selection, Bench() if name == "bench" else Verify(), threads=how.thread_counts())
    return session.whole, [case for _, case in session.every]
