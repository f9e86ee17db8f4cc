"""Which values of a command need no conversion? Those that have their type already: text, above all.

typer (0.29) leaves True and False alone in this way, and hands every other value to pydantic, even a text where text is
asked for, and --help where it is not given. To import pydantic takes longer than to import typer.
"""

from functools import partial
from typing import Any

from typer.core import TyperCommand, TyperGroup


class PlainCommand(TyperCommand):
    """A command that converts no value which has its option's type already."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options and arguments, and --help, which typer adds when it is first asked for them."""
        return [_converting_less(one) for one in super().get_params(ctx)]


class PlainGroup(TyperGroup):
    """Commands under one word; its options likewise."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options, as those of a command."""
        return [_converting_less(one) for one in super().get_params(ctx)]


def _converting_less(parameter: Any) -> Any:
    # typer makes its parameters itself, and takes no class for them.
    if not isinstance(parameter.process_value, partial):
        parameter.process_value = partial(_process, parameter, parameter.process_value)
    return parameter


def _process(parameter: Any, convert: Any, context: Any, value: Any) -> Any:
    """A value of the type that is wanted, or none, as it is; any other as typer converts it."""
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)  # typer has it since 0.29
    missing = value is None and not parameter.required and parameter.nargs == 1 and not parameter.multiple
    if not missing and (kind is None or type(value) is not kind):
        return convert(context, value)
    return value if parameter.callback is None else parameter.callback(context, parameter, value)
