"""Where does text go, and which width and colours does it use?

stdout is the result, stderr the rest. rich honours NO_COLOR, FORCE_COLOR and COLUMNS.
"""

import os
import sys
from collections.abc import Sequence

from rich.console import Console

from convbench.errors import printable
from convbench.exit_codes import PIPE_CLOSED


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """`| head` has read enough. rich's own exit code, 1, and click's would mean a wrong answer here."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(PIPE_CLOSED)


def result_console() -> Console:
    """The console of the result. If stdout is not a terminal, nothing is wrapped or cut."""
    return _Console(highlight=False, soft_wrap=not Console().is_terminal)


def side_console() -> Console:
    """The console of progress and remarks, on stderr."""
    return _Console(stderr=True, highlight=False, soft_wrap=not Console(stderr=True).is_terminal)


def pipe_width() -> int:
    """Columns of a page in a pipe: COLUMNS, or 80, whatever the terminal is."""
    wished = os.environ.get("COLUMNS", "")
    return int(wished) if wished.isdecimal() else 80


def print_tabbed(console: Console, cells: Sequence[str | float | None]) -> None:
    """A line of cells separated by tabs: nothing is cut, wrapped or coloured, as rich would do."""
    try:
        console.file.write("\t".join(_plain(cell) for cell in cells) + "\n")
        console.file.flush()
    except BrokenPipeError:
        console.on_broken_pipe()


def _plain(cell: str | float | None) -> str:
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return "" if cell is None else printable(str(cell))
