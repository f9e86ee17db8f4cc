"""How does --help read? Options under plain headings, the common ones first; commands in the order of their use."""

import re
from collections.abc import Mapping
from typing import Any

from convbench.cli import values

# In the order of their use. Each is a function in the module of its name, but `list` has commands of its own.
COMMANDS = (
    *"explain run verify bench compare report history merge submit tune".split(),
    *"model optimize why ran cost error list doctor ceilings selftest".split(),
)
# Above the fold of each command, twelve at most; the other options are under MORE.
_SWEEP = {
    "Which backends": ("backend", "plugin"),
    "Where it goes": ("csv", "resume"),
    "Safety": ("isolate", "timeout"),
}
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "explain": {
        "What": ("at", "x", "w"),
        "How it is shown": ("step", "interactive", "algorithm", "backward", "code"),
        "Where it goes": ("html", "png", "gif"),
        "For teaching": ("quiz",),
    },
    "why": {"What": ("at", "filter", "image"), "Where it goes": ("json",)},
    "ran": {"What": ("device", "dtype", "layout"), "Where it goes": ("json",)},
    "run": {
        "What": ("data", "filters", "stride", "padding", "device", "dtype"),
        "Which backends": ("backend", "plugin"),
        "Where it goes": ("save",),
    },
    "verify": {"What": ("suite", "shape", "fuzz", "device", "dtype"), **_SWEEP, "Where it goes": ("csv", "html")},
    "bench": {"What": ("suite", "shape", "device", "dtype"), **_SWEEP, "How long": ("budget", "dry-run")},
    "compare": {
        "What counts": ("fail-if-slower", "undecided", "margin", "relative", "across"),
        "Where it goes": ("markdown", "junit", "bmf", "github-benchmark", "json"),
    },
    "selftest": {
        "What": ("suite", "match", "shape", "shapes", "dtype", "layout"),
        "Which backends": ("backend",),
        "Where it goes": ("csv",),
    },
    "optimize": {
        "What": ("input", "accuracy", "threads"),
        "Which candidates": ("only",),
        "How long": ("budget",),
        "How it is shown": ("layers",),
        "Where it goes": ("plan", "retune", "csv", "json"),
    },
    "tune": {
        "What": ("suite", "shape", "dtype", "accuracy"),
        "Which backends": ("backend",),
        "How long": ("budget",),
        "Where it goes": ("output", "retune"),
    },
    "submit": {"What": ("slurm", "ray", "shards", "time", "gres", "num-gpus"), "Where it goes": ("folder", "print")},
    "report": {
        "How it is shown": ("plot", "percentiles"),
        "Where it goes": ("html", "svg", "png", "markdown", "junit", "bmf", "github-benchmark", "json"),
    },
}
ORDER = (
    "What",
    "How it is shown",
    "What counts",
    "Which backends",
    "Which candidates",
    "How long",
    "Where it goes",
    "For teaching",
    "Safety",
)
MORE = "More"
_RANGE = re.compile(r"(;)? ?\[?[\d.e+]*<?=?x[<>=\d.e+]*\]$")  # `[default: 0; x>=0]`, `[0.1<=x<=9.0]`


def grouped(command: Any, context: Any) -> dict[str, list[Any]]:
    """The options of a command by heading, in the order of --help; a short command has one heading, Options."""
    groups = GROUPS.get(command.name)
    options = [one for one in command.get_params(context) if one.param_type_name == "option"]
    if groups is None:
        return {"Options": options}
    headings = {f"--{name}": heading for heading, names in groups.items() for name in names}
    found: dict[str, list[Any]] = {heading: [] for heading in (*ORDER, MORE) if heading in groups or heading == MORE}
    for one in options:
        known = (headings[word] for word in one.opts if word in headings)
        found[next(known, MORE)].append(one)
    for heading, names in groups.items():
        found[heading].sort(key=lambda one: min(names.index(word[2:]) for word in one.opts if word[2:] in names))
    return found


def record(parameter: Any, context: Any) -> tuple[str, str] | None:
    """Names and text of a parameter, without its range: what is out of it is told when it is given."""
    found = parameter.get_help_record(context)
    if found is None:
        return None
    names, text = found
    if parameter.param_type_name == "argument":  # typer: `FILE <str>`, and `[required]`, which the usage line says
        names, text = parameter.metavar or parameter.name, text.removesuffix("[required]")
    return names, _RANGE.sub(lambda match: "]" if match[1] else "", " ".join(text.split()))


class Command(values.PlainCommand):
    """A command whose options are grouped."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] BEFORE.csv AFTER.csv`, or `[SHAPE]` where it may be left out. typer 0.29: `{BEFORE.csv}`."""
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        words = [(one.metavar or one.name, one.required) for one in arguments]
        return ["[OPTIONS]", *(word if required else f"[{word}]" for word, required in words)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        for heading, parameters in ({"Arguments": arguments} | grouped(self, ctx)).items():
            if records := [found for one in parameters if (found := record(one, ctx)) is not None]:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Group(values.PlainGroup):
    """All commands, in the order in which one meets them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMANDS.index)
