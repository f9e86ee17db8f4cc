"""Which defaults does a settings file set: `convbench.toml`, or `[tool.convbench]` in `pyproject.toml`?

The nearest one counts, from the working folder upwards. A default is an option put before those of the command line,
which win. What runs code or writes files cannot be set: only the command line names it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convbench.cli.help import COMMANDS
from convbench.errors import ConvbenchError, cause, one_line, printable, unknown
from convbench.files import read_bytes

FILES = ("convbench.toml", "pyproject.toml")
MOST_NBYTES = 2**20
# A project file without it is of no interest, and is not parsed.
_OURS = re.compile(rb"tool[\s.\"']*convbench|^\s*\[\s*tool\s*\]", re.MULTILINE)
# Options of several commands, which may be set for all of them at once.
COMMON = tuple(
    "accuracy anonymous backend confidence device dtype epilogue isolate layout margin memory-limit pass percentiles "
    "plan precision relative seed suite threads timeout".split()
)
# Of the command line alone: what runs code or a browser, writes or replaces files, or opens a connection. So are all
# options that take a FILE or a folder.
ASKED_FOR = frozenset("plugin keep overwrite resume rerun refresh open download root".split())
# Options that ask for the same in other words: one on the command line puts aside what a file says of the others.
_PROBLEMS = ("suite", "shape", "input", "weight", "stride", "padding", "dilation", "fuzz", "seconds", "vectors")
_INSTEAD = {
    **{name: _PROBLEMS for name in _PROBLEMS if name not in ("stride", "padding", "dilation")},
    "timeout": ("isolate",),
    "memory-limit": ("isolate",),
    "no-isolate": ("timeout", "memory-limit"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionDefaults:
    """What a file sets for one command.

    Attributes:
        words: its options.
        off: words of the command line that switch off what the file switches on, and are no options themselves.
        keys, values: the key that each option is from, and its values, by the option's name.
    """

    words: tuple[str, ...] = ()
    off: frozenset[str] = frozenset()
    keys: Mapping[str, str]
    values: Mapping[str, Sequence[str]]
    file: str = ""

    def blamed(self, message: str) -> str:
        """The file and the key that an error is about, as its end; empty if it is about none of them."""
        for name, key in self.keys.items():
            told = [rf"--{re.escape(name)}", *(re.escape(one) for one in self.values[name] if len(one) > 1)]
            if any(re.search(rf"(?<![\w.-]){one}(?![\w-])", message) for one in told):
                return f" ({self.file} sets {key})"
        return ""


NOTHING_SET = OptionDefaults(keys={}, values={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A settings file.

    Attributes:
        table: where in it the settings are, for messages: `tool.convbench`, or empty for the whole file.
        values: its keys; those of a command are a table of the command's name.
    """

    path: Path
    table: str
    values: Mapping[str, Any]

    def key(self, *names: str) -> str:
        """A key as TOML writes it: `tool.convbench.bench.budget`."""
        return ".".join(filter(None, (self.table, *names)))

    def wrong(self, key: str, words: str) -> ConvbenchError:
        return ConvbenchError(f"{self.name}: {printable(key)}: {words}")

    def defaults(self, name: str, command: Any, given: Sequence[str]) -> OptionDefaults:
        """The defaults of a command, less what `given` on the command line takes the place of.

        Raises:
            ConvbenchError: an unknown key, or a value of the wrong kind, in what this command reads.
        """
        self._check_tables()
        options = _options(command)
        typed = {word.partition("=")[0].removeprefix("--") for word in given if word.startswith("--")}
        instead = {other for one in typed for other in _INSTEAD.get(one, ())}
        words: list[str] = []
        off: set[str] = set()
        keys: dict[str, str] = {}
        values: dict[str, list[str]] = {}
        own = self.values.get(name, {}) if name in COMMANDS else {}
        common = {key: value for key, value in self.values.items() if key not in COMMANDS and key not in own}
        common = {} if name == "selftest" else common  # its suites and threads are others
        for places, table in (((), common), ((name,), own)):
            for key, value in table.items():
                if key not in options:
                    if places:
                        raise self.wrong(self.key(*places), str(unknown("option", key, _settable(options))))
                    continue  # of other commands
                if not places and isinstance(value, list) and not options[key].multiple:
                    continue  # a list of what this command takes one of
                if key in ASKED_FOR or _takes_file(options[key]):
                    raise self.wrong(self.key(*places, key), "only the command line may name what is run or written")
                found = self._words(self.key(*places, key), value, options[key])
                named = {*options[key].opts, *options[key].secondary_opts}
                if options[key].is_flag and not options[key].secondary_opts and f"no-{key}" in typed:
                    off.add(f"--no-{key}")
                    continue
                if key in instead or {f"--{one}" for one in typed} & named:
                    continue
                words += found
                keys[key], values[key] = self.key(*places, key), [one.partition("=")[2] for one in found]
        return OptionDefaults(words=tuple(words), off=frozenset(off), keys=keys, values=values, file=self.name)

    @property
    def name(self) -> str:
        """The file, from the working folder."""
        return printable(os.path.relpath(self.path))

    def _check_tables(self) -> None:
        """Raise if a key of the file is neither a common option nor a command."""
        for key, value in self.values.items():
            if key in COMMANDS and not isinstance(value, dict):
                raise self.wrong(self.key(key), f"it is the table of the command {key}; write [{self.key(key)}]")
            if key not in COMMANDS and key not in COMMON:
                more = f", or a table of a command, such as [{self.key('bench')}]"
                raise self.wrong(self.key(key), str(unknown("key", key, COMMON, more)))

    def _words(self, key: str, value: Any, option: Any) -> list[str]:
        """The value as words of a command line."""
        flag = option.opts[0]
        if option.is_flag:
            if not isinstance(value, bool):
                raise self.wrong(key, f"{flag} is switched on or off; write true or false")
            return [flag] if value else list(option.secondary_opts[:1])
        several = value if isinstance(value, list) else [value]
        if isinstance(value, list) and not option.multiple:
            raise self.wrong(key, f"{flag} takes one value, not a list")
        for one in several:
            if isinstance(one, bool) or not isinstance(one, str | int | float):
                raise self.wrong(key, f"{one_line(repr(one), 40)} is neither text nor a number")
        return [f"{flag}={one}" for one in several]


def find_settings() -> Settings | None:
    """The nearest settings file, from the working folder upwards.

    Raises:
        ConvbenchError: it cannot be read.
    """
    try:
        here = Path.cwd()
    except OSError:  # it has been deleted
        return None
    for folder in (here, *here.parents):
        for name in FILES:
            if os.path.isfile(folder / name) and (found := _read(folder / name)) is not None:
                return found
    return None


def _read(path: Path) -> Settings | None:
    """The settings in a file; None for the project file of something else."""
    try:
        data = read_bytes(path, MOST_NBYTES)
        if path.name == "pyproject.toml" and _OURS.search(data) is None:
            return None
        import tomllib  # here: a run without such a file does not need it

        values = tomllib.loads(data.decode())
    except (OSError, ValueError) as error:
        raise ConvbenchError(f"cannot read the settings in {printable(str(path))}: {cause(error)}") from None
    if path.name != "pyproject.toml":
        return Settings(path=path, table="", values=values)
    own = values.get("tool", {}).get("convbench")
    if own is None:
        return None
    settings = Settings(path=path, table="tool.convbench", values=own if isinstance(own, dict) else {})
    if not isinstance(own, dict):
        raise settings.wrong("tool.convbench", "it is a table; write [tool.convbench]")
    return settings


def _options(command: Any) -> dict[str, Any]:
    """The options of a command by name, without dashes; none of a command of commands."""
    found = [] if command is None or hasattr(command, "commands") else command.params
    return {one.opts[0].removeprefix("--"): one for one in found if one.param_type_name == "option"}


def _takes_file(option: Any) -> bool:
    return str(option.metavar or "").startswith(("FILE", "FOLDER", "DIR"))


def _settable(options: Mapping[str, Any]) -> list[str]:
    return [name for name, one in options.items() if name not in ASKED_FOR and not _takes_file(one)]
