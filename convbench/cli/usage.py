"""What is wrong with a command line that typer refuses, and what was probably meant?"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from convbench.cli.help import COMMANDS
from convbench.cli.moved import replacement

# What pydantic (typer 0.29) and click say of a value, and what a person would.
_PLAIN = (
    (r"(Input should be a valid integer|'.*' is not a valid int).*", "give a whole number"),
    (r"(Input should be a valid number|'.*' is not a valid float).*", "give a number"),
    (r"Input should be greater than or equal to (\S+)", r"give \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"give \1 or less"),
    (r".* is not in the range (\S+)<=x<=(\S+?)\.?", r"give \1 to \2"),
    (r".* is not in the range x>=(\S+?)\.?", r"give \1 or more"),
)


def reason(error: Any, arguments: Sequence[str]) -> str:
    """One line for a usage error of typer, which keeps its class to itself since 0.26."""
    if (instead := replacement(arguments)) is not None:
        return f"this is a command of its own now: {instead}"
    message = _with_value(error.format_message().rstrip("."), arguments)
    given = [word for word in arguments[:1] if word in COMMANDS]
    context = getattr(error, "ctx", None)
    if message.startswith("No such option"):
        option = str(error.option_name)
        near = get_close_matches(option, _options(context), n=1)
        message = f"No such option: {option}{f'. Did you mean {near[0]}?' if near else ''}"
    elif (match := re.match(r"Got unexpected extra argument\S* \((.*)\)", message)) is not None:
        message = f"Unexpected argument '{match[1]}'{_meant(match[1], _options(context))}"
    elif message == "Missing command" and context is not None:
        message = f"Missing command: choose from {', '.join(context.command.list_commands(context))}"
    help_page = " ".join(["convbench", *given, "--help"])
    return f"{message}{'' if message.endswith('?') else '.'} Try '{help_page}'."


def _options(context: Any) -> list[str]:
    """The names of a command's options."""
    parameters = [] if context is None else context.command.get_params(context)
    return [word for one in parameters for word in (*one.opts, *one.secondary_opts) if word.startswith("-")]


def _meant(word: str, options: Sequence[str]) -> str:
    """Which option a problem or a suite belongs to, where there is one."""
    if "--suite" not in options:
        return ""
    from convbench.suites import suite_names

    option = "--suite" if word in suite_names() or word.endswith(".csv") else "--shape"
    return f". Did you mean {option} {word}?"


def _with_value(message: str, arguments: Sequence[str]) -> str:
    """What typer says of a value, with the value, in plain words."""
    match = re.match(r"Invalid value for '(?:-\w' / ')?(--[\w-]+)': (.*)", message)
    if match is None:
        return message
    option, fault = match[1], match[2]
    words = [word for argument in arguments for word in argument.split("=", 1)]
    given = words[words.index(option) + 1 :][:1] if option in words else []
    for pattern, plain in _PLAIN:
        if (found := re.fullmatch(pattern, fault)) is not None:
            fault = found.expand(plain)
            break
    return f"Invalid value for {' '.join([option, *given])}: {fault}"
