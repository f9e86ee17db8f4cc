"""How wide is a page of text, where are its notes, and how is it printed?"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.text import Text

from convbench.show.console import pipe_width, result_console
from convbench.show.grid import Block, beside, remarks

NARROWEST, WIDEST = 60, 120
# From here on there is room for a pane of notes on the right; below, notes stand under the text.
PANE_FROM, PANE = 112, 38

Page = Callable[[int], Iterable[Text]]


def fit(width: int) -> int:
    """The width of a page where there are so many columns."""
    return min(max(width, NARROWEST), WIDEST)


def print_page(page: Page) -> int:
    """As wide as the terminal, and return how many lines; a pipe gets 80 columns, or COLUMNS."""
    console, count = result_console(), 0
    for line in page(fit(console.width if console.is_terminal else pipe_width())):
        line.rstrip()
        console.print(line.plain if console.no_color else line, markup=False)
        count += 1
    return count


def room_for_text(width: int) -> int:
    """Columns of a page that its notes leave."""
    return width - PANE - 3 if width >= PANE_FROM else width


def with_notes(body: Iterable[Text], notes: Sequence[str], width: int) -> Iterator[Text]:
    """The body, drawn for `room_for_text` less two, with its notes next to it or below."""
    indented: Block = [Text("  ") + line for line in body]
    room = room_for_text(width)
    if room == width:
        yield from indented
        yield from (Text("  ") + line for line in remarks(notes, width - 4))
    else:
        yield from beside([indented, remarks(notes, PANE)], starts=[0, room + 1])
