"""The command line: parse, call, show. One module a command, each importing its work when called."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from convbench.cli.help import COMMANDS, Command, Group
from convbench.cli.settings import NOTHING_SET, find_settings
from convbench.cli.usage import reason
from convbench.errors import ConvbenchError, NothingSelected, PipeClosed, one_line
from convbench.exit_codes import BAD_USAGE, NOTHING, PIPE_CLOSED, RIGHT, WRONG
from convbench.show.waiting import Waiting

MOST_SHOWN = 2000  # characters of an error: it may quote what it was given
# What a terminal reads while a command has nothing to show yet.
WAITING = {
    "explain": "computing",
    "run": "running one batch",
    "verify": "preparing the cases",
    "bench": "preparing the cases",
    "tune": "preparing the cases",
    "compare": "comparing",
    "history": "reading kept runs",
    "report": "reading results",
    "merge": "reading results",
    "submit": "preparing the job",
    "model": "reading the model",
    "optimize": "reading the model",
    "why": "computing",
    "ran": "running it once",
    "cost": "counting",
    "error": "reading the message",
    "selftest": "preparing the cases",
}


HELP = ("--help", "-h")


def make_app(asked: str = "") -> typer.Typer:
    """The command line: with one command where it is asked for by name, with all of them otherwise.

    The other commands are not imported then, and there are no options for completion.
    """
    named = asked in COMMANDS
    app = typer.Typer(
        name="convbench",
        cls=Group,
        add_completion=not named,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich's help costs as much time as all the rest of --help
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(program)
    for name in [asked] if named else COMMANDS:
        if name == "list":
            from convbench.cli import catalogue

            app.add_typer(catalogue.app, name=name)
        else:
            module = import_module(f"convbench.cli.{name}")
            command = getattr(module, name)
            if asked in HELP and "_CONVBENCH_COMPLETE" not in os.environ:  # a shell asks for all of them
                command = _summary(command)
            app.command(name, cls=Command, epilog=module.EXAMPLE)(command)
    return app


def _summary(command: Callable[..., None]) -> Callable[[], None]:
    """What a list of commands says of it: its options take longer than all the rest."""

    def without_options() -> None: ...

    without_options.__doc__ = command.__doc__
    return without_options


def show_version(asked: bool) -> None:
    if asked:
        from convbench.version import installed_version

        typer.echo(installed_version())
        raise typer.Exit


def program(
    version: Annotated[  # its callback answers
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show how a 2-D convolution is computed, run it, check it against proven bounds, and find the fastest."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 right, 1 wrong, 2 bad usage, 3 nothing done, 130 interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with Waiting(WAITING.get(arguments[0], "looking at this machine")) as waiting:
        code = run_command(arguments, waiting)
    sys.exit(code)


def run_command(arguments: list[str], waiting: Waiting) -> int:
    """Its exit code; an error of the user is one line. A command finds `waiting` as the `obj` of its context."""
    command: Any = typer.main.get_command(make_app(arguments[0]))
    defaults = NOTHING_SET
    try:
        name, *given = arguments
        if name in COMMANDS and not {*HELP} & {*given} and (settings := find_settings()) is not None:
            defaults = settings.defaults(name, command.commands[name], given)
            arguments = [name, *defaults.words, *(word for word in given if word not in defaults.off)]
            if defaults.words or defaults.off:
                sys.argv[1:] = arguments  # rows record the command that reproduces them
        code = command.main(args=arguments, prog_name="convbench", standalone_mode=False, obj=waiting)
    except PipeClosed:
        code = PIPE_CLOSED
    except NothingSelected as nothing:
        complain(str(nothing))
        code = WRONG if nothing.wrong else NOTHING
    except ConvbenchError as error:
        complain(str(error) + defaults.blamed(str(error)))
        code = BAD_USAGE
    except OSError as error:
        complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        code = BAD_USAGE
    except Exception as error:
        # Typer carries click within it since 0.26; what both call a usage error has these two.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        said = reason(error, arguments)
        complain(said + defaults.blamed(said))
        code = error.exit_code
    return code or RIGHT


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write("convbench: " + one_line(message, MOST_SHOWN) + "\n")
