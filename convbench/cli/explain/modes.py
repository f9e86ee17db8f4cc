"""Which options of convbench explain go together?"""

from collections.abc import Mapping

import typer

from convbench.errors import ConvbenchError

# What can be asked for instead of the walk, by the options that ask for it, and what else goes with each.
CELL = frozenset("shape input weight stride padding dilation at filter image seed".split())
OWN = frozenset({"x", "w"})  # numbers of one's own; the page draws its numbers from the seed
MODES: Mapping[str, frozenset[str]] = {
    "quiz": frozenset("questions key seed names html open json overwrite".split()),  # its problems are its own
    "html": CELL | {"open", "overwrite", "evidence"},
    "algorithm": CELL | OWN | {"backward", "json", "names"},
    "backward": CELL | OWN | {"algorithm", "json", "names"},
    "interactive": CELL | OWN | {"step", "channel", "names"},
    "code": CELL | OWN,
    "notebook": CELL | OWN | {"names", "overwrite"},
}
WALK = CELL | OWN | {"step", "channel", "names", "svg", "cast", "png", "gif", "overwrite", "json"}


def choose_mode(context: typer.Context) -> str | None:
    """The option that asks for something else than the walk; None for the walk.

    Raises:
        ConvbenchError: two of them, or an option that does not go with what is asked for.
    """
    words = {param.name or "": param.opts[0] for param in context.command.params} | {"shape": "SHAPE"}
    given = [name for name in words if name in given_options(context)]
    mode = next((name for name in MODES if name in given), None)
    fitting = WALK if mode is None else MODES[mode] | {mode}
    odd = [name for name in given if name not in fitting]
    if not odd:
        return mode
    belongs = [words[other] for other in MODES if not set(odd) - MODES[other]] if mode is None else []
    asked = "the walk" if mode is None else words[mode]
    alone = f"cannot be combined with {asked}, which takes"
    fault = f"can only be used with {' or '.join(belongs)}; {asked} takes" if belongs else alone
    taken = [words[name] for name in words if name in fitting and name != mode]
    raise ConvbenchError(f"{', '.join(words[name] for name in odd)} {fault} {', '.join(taken)}")


def given_options(context: typer.Context) -> set[str]:
    """The names of the parameters that stand on the command line."""
    names = (param.name or "" for param in context.command.params)
    return {name for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"}
