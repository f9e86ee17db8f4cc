"""Write docs/cli.md and the man page from the commands themselves: python scripts/cli_reference.py."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from convbench.cli import make_app
from convbench.cli.help import grouped, record

DOCS = Path(__file__).parents[1] / "docs"
PAGE, MAN = DOCS / "cli.md", DOCS / "convbench.1"
HEAD = """# Commands and options

Made from the code by `python scripts/cli_reference.py`; `convbench COMMAND --help` prints the same. A man page comes
from the same source: `man docs/convbench.1`. Exit codes are in the [README](../README.md#exit-codes).
"""


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Words, command and context of each command that does something."""
    app: Any = typer.main.get_command(make_app())
    context = app.make_context("convbench", ["explain"], resilient_parsing=True)
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        own = type(context)(command, info_name=name, parent=context)
        inner = getattr(command, "commands", None)
        for word, one in {name: command}.items() if inner is None else inner.items():
            words = name if inner is None else f"{name} {word}"
            yield words, one, own if inner is None else type(context)(one, info_name=word, parent=own)


def paragraphs(command: Any) -> list[str]:
    """The help text, a line for each paragraph."""
    return [" ".join(part.split()) for part in (command.help or "").split("\n\n")]


def records(command: Any, context: Any) -> dict[str, list[tuple[str, str]]]:
    """What --help prints of each parameter, by heading."""
    arguments = [one for one in command.get_params(context) if one.param_type_name == "argument"]
    found = {"Arguments": arguments} | grouped(command, context)
    return {
        heading: [
            (names if one.param_type_name == "option" else one.metavar, text)
            for one in parameters
            for names, text in [record(one, context) or ("", "")]
        ]
        for heading, parameters in found.items()
        if parameters
    }


def examples(command: Any) -> list[str]:
    return [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("convbench ")]


def markdown() -> str:
    """docs/cli.md."""
    parts = [HEAD]
    for name, command, context in commands():
        parts.append(f"## convbench {name}\n")
        parts += [f"{_escaped(text)}\n" for text in paragraphs(command)]
        if lines := examples(command):
            parts.append("```console\n" + "".join(f"$ {line}\n" for line in lines) + "```\n")
        for heading, own in records(command, context).items():
            parts.append(f"### {heading}\n")
            parts.append("".join(f"- `{names}`: {_escaped(text)}\n" for names, text in own))
    return "\n".join(parts)


def man() -> str:
    """What `man` shows, in roff."""
    lines = ['.TH CONVBENCH 1 "" "convbench" "User Commands"']
    lines += [".SH NAME", "convbench \\- 2-D convolution: explained, verified, timed"]
    lines += [".SH SYNOPSIS", ".B convbench", ".I COMMAND", "[options]"]
    for name, command, context in commands():
        lines.append(f'.SH "{_roff(name.upper())}"')
        for text in paragraphs(command):
            lines += [_roff(text), ".PP"]
        for heading, own in records(command, context).items():
            lines.append(f'.SS "{_roff(heading)}"')
            for names, text in own:
                lines += [".TP", f"\\fB{_roff(names)}\\fR", _roff(text)]
        if found := examples(command):
            lines += ['.SS "Examples"', ".nf", *map(_roff, found), ".fi"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """What Markdown would read as a sign of its own, by itself; code stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*<])", r"\\\1", part) for part in parts)


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(markdown(), encoding="utf-8")
    MAN.write_text(man(), encoding="utf-8")


if __name__ == "__main__":
    main()
