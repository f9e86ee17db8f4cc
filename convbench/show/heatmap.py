"""Where are the errors of a wrong output? Its worst image and channel, as characters or a drawing."""

from html import escape
from itertools import groupby
from math import inf

from rich.text import Text

from convbench.outcome import Picture
from convbench.show.grid import FAINT, Block, wrap_words

# Up to which share of its bound an error is of a level; the character says it without any colour.
LEVELS = (
    (1.0, "·", "within its bound", FAINT),
    (10.0, "░", "up to 10 times its bound", "yellow"),
    (1e3, "▒", "up to 1,000 times its bound", "dark_orange"),
    (1e6, "▓", "up to 1,000,000 times its bound", "red"),
    (1.7e308, "█", "more than that", "bold red"),
    (inf, "N", "NaN or infinite", "bold magenta"),
)


def level(share: float) -> int:
    """The number of the level of an error."""
    return next(number for number, (most, *_) in enumerate(LEVELS) if share <= most)


def heat_map(picture: Picture, width: int) -> Block:
    """One or two characters per output, or per block of outputs if not all of them fit."""
    down, across = picture.axes
    label = len(f"{down}={picture.rows - 1}")
    room = max(1, width - label - 4)
    shares = fewer_columns(picture.shares, room)
    cell = 2 if 2 * len(shares[0]) <= room else 1
    tall, wide = -(-picture.rows // len(shares)), -(-picture.columns // len(shares[0]))
    title = f"error / bound of {picture.name}, {picture.rows}x{picture.columns} outputs"
    ruler = f"{across} = 0" if picture.columns == 1 else f"{across} = 0 … {picture.columns - 1}"
    lines = [Text(f"  {title}", "bold")]
    if tall * wide > 1:
        lines.append(Text(f"  each cell is the worst of {tall}x{wide} outputs", FAINT))
    lines.append(Text(" " * (label + 3) + ruler, FAINT))
    for number, row in enumerate(shares):
        line = Text(f"  {f'{down}={number * tall}'.rjust(label)} ", FAINT)
        for share in row:
            _, sign, _, style = LEVELS[level(share)]
            line.append(sign.ljust(cell), style)
        line.rstrip()
        lines.append(line)
    words = [Text(f"{LEVELS[number][1]} {LEVELS[number][2]}", LEVELS[number][3]) for number in used_levels(picture)]
    return lines + wrap_words(words, width, lead="  ", space="  ")


def used_levels(picture: Picture) -> list[int]:
    """The levels that occur, for a legend."""
    return sorted({level(share) for row in picture.shares for share in row})


def fewer_columns(shares: tuple[tuple[float, ...], ...], most: int) -> tuple[tuple[float, ...], ...]:
    """At most so many columns, each the worst of a block."""
    block = -(-len(shares[0]) // most)
    return tuple(tuple(max(row[start : start + block]) for start in range(0, len(row), block)) for row in shares)


def heat_svg(picture: Picture) -> str:
    """The same as SVG for a page that gives colours to the classes h0 to h5; cells of a level are one bar."""
    rows, columns = len(picture.shares), len(picture.shares[0])
    tall, wide = -(-picture.rows // rows), -(-picture.columns // columns)
    side = max(4, min(18, 720 // columns))
    left, top = 52, 18
    width, height = left + columns * side + 8, top + rows * side + 2
    down, across = picture.axes
    parts = [
        (
            f'<svg class="heat" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(f"Errors of {picture.name}")}">'
        ),
        f'<text class="t quiet" x="{left}" y="12" font-size="11">{escape(across)}=0</text>',
    ]
    if columns * side > 60:
        parts.append(
            f'<text class="t quiet" x="{left + columns * side}" y="12" font-size="11" text-anchor="end">'
            f"{picture.columns - 1}</text>"
        )
    step = -(-12 // side)  # rows between two labels
    for number, row in enumerate(picture.shares):
        y, at = top + number * side, 0
        if number % step == 0:
            parts.append(
                f'<text class="t quiet" x="{left - 5}" y="{y + side / 2 + 4:g}" font-size="11" text-anchor="end">'
                f"{escape(down)}={number * tall}</text>"
            )
        for kind, run in groupby(row, level):
            shares = list(run)
            place = f"{down}={number * tall}, {across}={at * wide}"
            if (end := (at + len(shares)) * wide - 1) > at * wide:
                place += f"..{min(end, picture.columns - 1)}"
            words = LEVELS[kind][2] if kind in (0, 5) else f"{max(shares):.3g} times its bound"
            parts.append(
                f'<rect class="h{kind}" x="{left + at * side}" y="{y}" width="{len(shares) * side - 1}" '
                f'height="{side - 1}"><title>{escape(f"{place}: {words}")}</title></rect>'
            )
            at += len(shares)
    return "".join([*parts, "</svg>"])
