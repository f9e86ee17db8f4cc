"""How are matrices, sums and notes laid out in a terminal, linked by role?

A patch is on amber and in [ ], a kernel on cyan and in ( ), an output on green and in < >, wherever one
appears: by role, never by value, so that the links also hold without colour. A role is black on a ground that no
palette changes (colours 16 to 255 of a terminal are fixed), so it can be read on dark and on light.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.text import Text

from convbench.errors import plural

Block = list[Text]


@dataclass(frozen=True, slots=True)
class Role:
    """What a cell is, as brackets and as a colour."""

    left: str
    right: str
    style: str


PATCH = Role("[", "]", "color(16) on color(221)")
KERNEL = Role("(", ")", "color(16) on color(116)")
OUTPUT = Role("<", ">", "color(16) on color(114)")
ROLES = {"patch": PATCH, "kernel": KERNEL, "output": OUTPUT}
FAINT = "dim"  # indices and rules; never a sentence, since some palettes make it hard to read


@dataclass(frozen=True, slots=True)
class Span:
    """Coordinates low to high - 1, of which at most `most` are shown, with first to last in view."""

    low: int
    high: int
    first: int
    last: int
    most: int

    def window(self, most: int) -> range:
        if self.high - self.low <= most:
            return range(self.low, self.high)
        before = max(0, most - (self.last - self.first + 1)) // 2
        start = min(max(self.first - before, self.low), self.high - most)
        return range(start, start + most)


def grid(
    title: str,
    rows: Span,
    columns: Span,
    look: Callable[[int, int], tuple[str, Role | None]],
    room: int,
    *,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    marked_column: int | None = None,
) -> Block:
    """A window of a matrix with its true coordinates or the names of its lines, as many columns as fit."""
    shown_rows = rows.window(rows.most)
    names = {row: row_names[row] if row_names else str(row) for row in shown_rows}
    label = max(len(title), *(len(name) for name in names.values())) + 1
    for most in range(min(columns.most, columns.high - columns.low), 0, -1):
        shown_columns = columns.window(most)
        cells = {(row, column): look(row, column) for row in shown_rows for column in shown_columns}
        heads = [column_names[column] if column_names else str(column) for column in shown_columns]
        width = max(len(text) for text in [*heads, *(text for text, _ in cells.values())]) + 2
        if label + width * most <= room:
            break
    head = Text() + Text(title.ljust(label), style=FAINT)
    for column, name in zip(shown_columns, heads, strict=True):
        head += cell(name, PATCH if column == marked_column else None, width, FAINT)
    block = [head]
    for row in shown_rows:
        line = Text() + Text(f"{names[row]} ".rjust(label), style=FAINT)
        for column in shown_columns:
            text, role = cells[row, column]
            line += cell(text, role, width, FAINT if text == "·0" else "")
        block.append(line)
    left_out = [
        plural(count, name)
        for count, name in (
            (columns.high - columns.low - len(shown_columns), "more column"),
            (rows.high - rows.low - len(shown_rows), "more row"),
        )
        if count
    ]
    if left_out:
        block.append(Text("… " + ", ".join(left_out), style=FAINT))
    return block


def cell(text: str, role: Role | None, width: int, style: str) -> Text:
    """Right-aligned, so digits line up with or without brackets."""
    if role is None:
        return Text(f"{text} ".rjust(width), style=style)
    return Text(" " * (width - len(text) - 2)) + in_role(text, role)


def in_role(text: str, role: Role) -> Text:
    return Text(f"{role.left}{text}{role.right}", style=role.style)


def flow(blocks: Sequence[Block], room: int, gap: int = 3) -> Block:
    """Blocks side by side if they fit, then on below."""
    lines: Block = []
    row: list[Block] = []
    starts: list[int] = []
    used = 0
    for block in blocks:
        width = max(len(line) for line in block)
        if row and used + width > room:
            lines += beside(row, starts)
            row, starts, used = [], [], 0
        row.append(block)
        starts.append(used)
        used += width + gap
    return lines + list(beside(row, starts))


def beside(blocks: Sequence[Block], starts: Sequence[int]) -> Iterator[Text]:
    """Each block from its own column on, the shorter ones ending early."""
    for number in range(max(len(block) for block in blocks)):
        line = Text()
        for block, start in zip(blocks, starts, strict=True):
            if number < len(block):
                line += Text(" " * (start - len(line))) + block[number]
        yield line


def wrap_words(words: Iterable[Text], room: int, *, lead: str = "", space: str = " ") -> Block:
    """Words on lines no wider than `room`, hanging below the first one after `lead`."""
    lines, line = [], Text(lead)
    for word in words:
        if len(line) > len(lead) and len(line) + len(space) + len(word) > room:
            lines.append(line)
            line = Text(" " * len(lead))
        line += (Text(space) if len(line) > len(lead) else Text()) + word
    return [*lines, line]


def remarks(notes: Iterable[str], width: int) -> Block:
    return [Text.assemble(("│ ", FAINT), line) for note in notes for line in wrap(note, width)]


def heading(title: str, aside: str, width: int) -> Iterator[Text]:
    """A rule with the title in it and a formula at its end, or below where there is no room."""
    fits = len(title) + len(aside) + 8 <= width
    rule = width - len(title) - 3 - (len(aside) + 1 if fits else 0)
    yield (
        Text()
        + Text("━ ", style=FAINT)
        + Text(title, style="bold")
        + Text(f" {'━' * rule}", style=FAINT)
        + Text(f" {aside}" if fits else "")
    )
    if not fits:
        yield Text(f"  {aside}")
