"""The command line: parse, call, show. One module a command, each importing its work when called."""

import re
import sys
from typing import Annotated, NoReturn

import typer

from convbench.cli import bench, catalogue, ceilings, compare, doctor, explain, report, run, verify
from convbench.errors import ConvbenchError, NothingSelected, one_line
from convbench.exit_codes import NOTHING, WRONG

MOST_SHOWN = 2000  # characters of an error: it may quote what it was given

app = typer.Typer(
    name="convbench",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's help costs as much time as all the rest of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(asked: bool) -> None:
    if asked:
        from convbench.version import installed_version

        typer.echo(installed_version())
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[  # its callback answers
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show how a 2-D convolution is computed, run it, check it against proven bounds, and find the fastest."""


app.command("explain", epilog=explain.EXAMPLE)(explain.explain)
app.command("run", epilog=run.EXAMPLE)(run.run)
app.command("verify", epilog=verify.EXAMPLE)(verify.verify)
app.command("bench", epilog=bench.EXAMPLE)(bench.bench)
app.command("report", epilog=report.EXAMPLE)(report.report)
app.command("doctor", epilog=doctor.EXAMPLE)(doctor.doctor)
app.command("ceilings", epilog=ceilings.EXAMPLE)(ceilings.ceilings)
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.add_typer(catalogue.app, name="list")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 right, 1 wrong, 2 bad usage, 3 nothing done, 130 interrupted."""
    command = typer.main.get_command(app)
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = command.main(args=arguments, prog_name="convbench", standalone_mode=False)
    except NothingSelected as nothing:
        complain(str(nothing))
        code = WRONG if nothing.wrong else NOTHING
    except ConvbenchError as error:
        complain(str(error))
        code = 2
    except OSError as error:
        complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        code = 2
    except Exception as error:
        # Typer carries click within it since 0.26; what both call a usage error has these two.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        message = _with_value(error.format_message().rstrip("."), arguments)
        given = [word for word in arguments[:1] if word in {one.name for one in [*app.registered_commands]} | {"list"}]
        help_page = " ".join(["convbench", *given, "--help"])
        complain(f"{message}{'' if message.endswith('?') else '.'} Try '{help_page}'.")
        code = error.exit_code
    sys.exit(code)


def _with_value(message: str, arguments: list[str]) -> str:
    """What typer says of a value, with the value."""
    match = re.match(r"Invalid value for '(?:-\w' / ')?(--[\w-]+)'(.*)", message)
    if match is None:
        return message
    words = [word for argument in arguments for word in argument.split("=", 1)]
    given = words[words.index(match[1]) + 1 :][:1] if match[1] in words else []
    if not given or repr(given[0]) in message:  # it is quoted already
        return message
    return f"Invalid value for {match[1]} {given[0]}{match[2]}"


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write("convbench: " + one_line(message, MOST_SHOWN) + "\n")
