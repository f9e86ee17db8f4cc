"""What does --anonymous remove from rows and pages?

The host's name, the command line, folders (a path is cut to its file name), and in messages of third-party code
the names of the user and the host. Names that users choose stay: backends, suites, layers and files.
"""

import getpass
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PureWindowsPath

from convbench.outcome import Result, Wrong
from convbench.rows import Row, from_row

ANONYMOUS = "anonymous"  # instead of a name
_FREE_TEXT = ("reason", "cause")
_LEAST_NAME = 3  # characters: a shorter one occurs in any text
_PART = r"[^\s/\\:'\",;()]+"
_HOME = re.compile(rf"(?:/home|/Users|[A-Za-z]:[/\\]+Users)[/\\]+{_PART}|(?<![\w.~/\\])/root\b")
# A path from the root, a drive or a home, with a folder in it; in quotes its names may contain spaces.
_QUOTED = re.compile(r"(?P<quote>['\"])(?:~|[A-Za-z]:)?[/\\][^'\"]*[/\\](?P<name>[^'\"/\\]*)(?P=quote)")
# Text that begins with // is a URL.
_PLAIN = re.compile(rf"(?<![\w.~/\\])(?:~|[A-Za-z]:)?(?:/(?!/)|\\+)(?:{_PART}[/\\]+)*(?P<name>{_PART})")


def anonymous_row(row: Row) -> Row:
    """The row without names of people and hosts."""
    return {column: anonymous_text(column, cell) if isinstance(cell, str) else cell for column, cell in row.items()}


def anonymous_pair(row: Mapping[str, str], result: Result) -> tuple[dict[str, str], Result]:
    """A row as in a file, and its result, without names of people and hosts."""
    cells = {column: anonymous_text(column, cell) for column, cell in row.items()}
    outcome = from_row(cells).outcome
    if isinstance(outcome, Wrong) and isinstance(result.outcome, Wrong):
        outcome = Wrong(replace(outcome.check, picture=result.outcome.check.picture))  # no row holds one
    return cells, replace(result, outcome=outcome)


def anonymous_files(files: Iterable[str]) -> dict[str, str]:
    """A label for each file: its name without folders, numbered if two are equal."""
    labels: dict[str, str] = {}
    for file in dict.fromkeys(files):
        name = _file_name(file)
        count = sum(_file_name(other) == name for other in labels)
        labels[file] = f"{name} ({count + 1})" if count else name
    return labels


def anonymous_text(column: str, text: str) -> str:
    """A cell of a column without them."""
    if column in ("machine", "command"):
        return ANONYMOUS if column == "machine" else ""
    if column in _FREE_TEXT:
        for name, instead in _names():
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text)
    if "/" not in text and "\\" not in text:
        return text
    text = _QUOTED.sub(lambda found: f"{found['quote']}{found['name']}{found['quote']}", _HOME.sub("~", text))
    return _PLAIN.sub(lambda found: found["name"], text)


def _names() -> Iterator[tuple[str, str]]:
    """The home folder, the user and the host, if the system reports them, and their replacements."""
    with suppress(RuntimeError):  # its location is unknown
        if len(home := str(Path.home())) >= _LEAST_NAME:
            yield home, "~"
    with suppress(OSError, KeyError, ImportError):  # a user without an entry
        if len(user := getpass.getuser()) >= _LEAST_NAME:
            yield user, ANONYMOUS
    if len(host := platform.node()) >= _LEAST_NAME:
        yield host, ANONYMOUS


def _file_name(path: str) -> str:
    """The last part of a path of any system."""
    return PureWindowsPath(path).name or path
