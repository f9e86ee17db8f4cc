"""How does a value draw itself: as text where it is printed, as HTML in a notebook?"""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable
from html import escape
from io import StringIO

from rich.console import Console, RenderableType

from convbench.show.pages import fit

WIDTH = 100  # columns of text that a notebook shows without scrolling
HEIGHT = 720  # pixels of a page within a notebook


class Shown(ABC):
    """What Python's prompt prints, and what a notebook draws."""

    __slots__ = ()

    @abstractmethod
    def text(self, width: int | None = None) -> str:
        """As text, in `width` columns (60 to 120); by default as wide as the terminal."""

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return as_html(self.text(WIDTH))

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": self.text(WIDTH), "text/html": self._repr_html_()}


def text_width(width: int | None) -> int:
    """The columns of a text: as asked, or as the terminal has."""
    return fit(shutil.get_terminal_size().columns if width is None else width)


def as_text(parts: Iterable[RenderableType], width: int) -> str:
    """Drawings one below the other, without colours; a line of text is not wrapped, so that a command can be copied."""
    out = StringIO()
    console = Console(
        file=out, width=width, color_system=None, force_terminal=False, force_jupyter=False, highlight=False
    )
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def as_html(text: str) -> str:
    """The same text in a font of equal widths, which scrolls where it is too wide."""
    return f'<pre style="font-family:monospace;white-space:pre;overflow-x:auto;line-height:1.3">{escape(text)}</pre>'


def frame(page: str, title: str) -> str:
    """A whole page within a notebook's: its scripts run, and see nothing of the notebook."""
    return (
        f'<iframe srcdoc="{escape(page)}" title="{escape(title)}" sandbox="allow-scripts" '
        f'style="box-sizing:border-box;width:100%;height:{HEIGHT}px;border:1px solid #8888"></iframe>'
    )
