"""How is text written into Markdown that fits a comment and that no name breaks out of?"""

import re
from collections.abc import Iterable, Sequence

MOST = 60_000  # characters: a comment of GitHub takes 65,536, a job summary 1 MiB
_SIGNS = re.compile(r"([\\`*_\[\]|~#@])")


class Room:
    """A budget of characters, spent line by line.

    Attributes:
        left_out: how many lines had no room.
    """

    def __init__(self, taken: Iterable[str], *, most: int = MOST) -> None:
        self._left = most - sum(map(len, taken)) - 2_000
        self.left_out = 0

    def take(self, lines: Iterable[str]) -> list[str]:
        """The lines that fit."""
        taken = []
        for line in lines:
            if len(line) + 1 > self._left:
                self.left_out += 1
                continue
            self._left -= len(line) + 1
            taken.append(line)
        return taken


def escaped(text: str) -> str:
    """Text that Markdown shows verbatim: it starts no tag, link, table cell or mention."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SIGNS.sub(lambda found: f"&#{ord(found[0])};", text)


def row(cells: Iterable[str]) -> str:
    """A line of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines behind a title to be clicked; without a title as they are; nothing without lines."""
    if not lines:
        return []
    if not title:
        return [*lines, ""]
    return [f"<details><summary>{escaped(title)}</summary>", "", *lines, "", "</details>", ""]
