"""What would a command of bench or verify run? It is parsed as if it were typed, and nothing is run."""

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import typer

from convbench.cli import options

if TYPE_CHECKING:
    from convbench.case import Case
    from convbench.shards import Sweep

SWEEPS = ("bench", "verify")


def parsed(name: str, words: Sequence[str]) -> dict[str, Any]:
    """The values of all options of a command, by name.

    Raises:
        ValueError: it is neither bench nor verify.
        typer's usage errors: as on the command line.
    """
    from convbench.cli import make_app

    if name not in SWEEPS:
        raise ValueError(f"{name!r} has no sweep")
    app: Any = typer.main.get_command(make_app(name))
    with app.make_context("convbench", [name, *words]) as context:
        own = app.get_command(context, name)
        with own.make_context(name, list(words), parent=context) as given:
            # Typer calls a command with None for a list that was not given.
            return {one: None if value in ([], ()) else value for one, value in given.params.items()}


def planned(command: str) -> "tuple[Sweep, list[Case]]":
    """The sweep of a command, and its cases in order.

    Raises:
        ConvbenchError: it selects nothing here, or ends by the clock.
        ValueError: it is no such command.
    """
    from convbench.cli.verify import VerifyChoice
    from convbench.errors import ConvbenchError
    from convbench.selection import FOR_BENCH, FOR_VERIFY
    from convbench.session import Bench, Session, Verify

    _, name, *words = [*shlex.split(command), "", ""]
    params = parsed(name, [word for word in words if word])
    choice_kind = options.Choice if name == "bench" else VerifyChoice
    choice = choice_kind(**{one.name: params[one.name] for one in fields(choice_kind)})
    how = options.How(**{one.name: params[one.name] for one in fields(options.How)})
    more = {} if name == "bench" else {"fuzz": params["fuzz"], "vectors": params["vectors"]}
    selection = choice.select(FOR_BENCH if name == "bench" else FOR_VERIFY, tell=lambda _: None, **more)
    session = Session(selection, Bench() if name == "bench" else Verify(), threads=how.thread_counts())
    if session.sweep is None:
        raise ConvbenchError(f"{command}: it ends by the clock")
    return session.sweep, [case for _, case in session.every]
