"""A drawing of lines, marks and words, and how it becomes SVG or pixels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from itertools import pairwise
from math import cos, hypot, pi, sin
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Okabe and Ito 2008, Color universal design: told apart by the colour-blind too; without black and
# yellow, which vanish on a dark or on a white page. The shapes say the same without any colour.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")
SHAPES = ("square", "circle", "triangle", "diamond", "wedge", "pentagon", "star")
INK = {"ink": "#1f2933", "quiet": "#5c6670", "line": "#d5d9dd", "paper": "#ffffff"}
FONT = "system-ui, sans-serif"
CHARACTER = 0.56  # of the font's size: what a character is wide, on average


def ink_of(name: str) -> str:
    """The colour of a name on white paper: s0, s1, ... are series."""
    return INK.get(name) or PALETTE[int(name[1:]) % len(PALETTE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Through its points; dashed where it says so."""

    points: tuple[tuple[float, float], ...]
    ink: str = "ink"
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point of data: filled or hollow. `row` and `title` say what it is where a page can ask."""

    x: float
    y: float
    shape: str
    ink: str
    filled: bool = True
    size: float = 4.5
    row: int | None = None
    title: str = ""

    def outline(self) -> list[tuple[float, float]]:
        """Corners of the shape, all of about the same area."""
        if self.shape == "star":
            turns = [(i / 10, self.size * (1.35 if i % 2 == 0 else 0.6)) for i in range(10)]
        else:
            corners, turn, grow = _CORNERS[self.shape]
            turns = [(turn + i / corners, self.size * grow) for i in range(corners)]
        return [(self.x + r * sin(2 * pi * t), self.y - r * cos(2 * pi * t)) for t, r in turns]


_CORNERS = {
    "square": (4, 1 / 8, 1.25),
    "diamond": (4, 0.0, 1.3),
    "triangle": (3, 0.0, 1.4),
    "wedge": (3, 1 / 2, 1.4),
    "pentagon": (5, 0.0, 1.2),
    "circle": (24, 0.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One line of text; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    size: float = 12.0
    ink: str = "ink"
    bold: bool = False


Item = Line | Mark | Words


@dataclass(slots=True, kw_only=True)
class Scene:
    """A drawing in points, from its upper left corner."""

    width: float
    height: float
    title: str
    items: list[Item] = field(default_factory=list)

    def svg(self, *, alone: bool) -> str:
        """As SVG: alone with its own colours, or for a page that gives them to the classes."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(self.width)} {_number(self.height)}" '
            f'role="img" aria-label="{escape(self.title)}" '
        )
        if alone:
            size = f'width="{_number(self.width)}" height="{_number(self.height)}"'
            paper = f'<rect width="100%" height="100%" fill="{INK["paper"]}"/>'
            head += f'{size} font-family="{FONT}"><title>{escape(self.title)}</title>{paper}'
        else:
            head += f'style="max-width:{_number(self.width)}px">'
        return "\n".join([head, *(_svg(item, alone=alone) for item in self.items), "</svg>"]) + "\n"

    def image(self, scale: float = 2.0) -> "Image.Image":
        """As pixels, drawn twice as large and made smaller, so edges are smooth."""
        from PIL import Image, ImageDraw, ImageFont

        fine = 2 * scale
        canvas = Image.new("RGB", (round(self.width * fine), round(self.height * fine)), INK["paper"])
        pen = ImageDraw.Draw(canvas)
        for item in self.items:
            match item:
                case Line(points=points, ink=ink, width=width, dashed=dashed):
                    pairs = pairwise(points)
                    for start, end in (dash for pair in pairs for dash in _dashes(*pair)) if dashed else pairs:
                        ends = [coordinate * fine for point in (start, end) for coordinate in point]
                        pen.line(ends, fill=ink_of(ink), width=max(1, round(width * fine)))
                case Mark(ink=ink, filled=filled):
                    corners = [(x * fine, y * fine) for x, y in item.outline()]
                    pen.polygon(
                        corners, fill=ink_of(ink if filled else "paper"), outline=ink_of(ink), width=round(1.5 * fine)
                    )
                case Words(x=x, y=y, text=text, anchor=anchor, size=size, ink=ink, bold=bold):
                    font = ImageFont.load_default(size * fine)
                    place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
                    stroke = fine / 4 if bold else 0
                    pen.text((x * fine, y * fine), text, ink_of(ink), font, anchor=place, stroke_width=stroke)
        return canvas.resize((round(self.width * scale), round(self.height * scale)), Image.Resampling.BOX)


def stacked(scenes: Iterable[Scene], title: str) -> Scene:
    """Scenes below each other, as one."""
    whole = Scene(width=0, height=0, title=title)
    for scene in scenes:
        whole.items += [_lower(item, whole.height) for item in scene.items]
        whole.height += scene.height
        whole.width = max(whole.width, scene.width)
    return whole


def shortened(text: str, width: float, size: float) -> str:
    """Text that fits into a width, with an ellipsis in place of what does not."""
    most = max(1, int(width / (size * CHARACTER)))
    return text if len(text) <= most else text[: most - 1] + "…"


def _lower(item: Item, down: float) -> Item:
    match item:
        case Line(points=points):
            return replace(item, points=tuple((x, y + down) for x, y in points))
        case Mark(y=y):
            return replace(item, y=y + down)
        case Words(y=y):
            return replace(item, y=y + down)


def _svg(item: Item, *, alone: bool) -> str:
    match item:
        case Line(points=points, ink=ink, width=width, dashed=dashed):
            path = "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
            look = f' fill="none" stroke="{ink_of(ink)}"' if alone else f' class="l {ink}"'
            dash = ' stroke-dasharray="3 2.5"' if dashed else ""
            return f'<path d="{path}"{look} stroke-width="{_number(width)}"{dash}/>'
        case Mark(x=x, y=y, ink=ink, filled=filled, row=row, title=title):
            fill = ink_of(ink if filled else "paper")
            look = f' fill="{fill}" stroke="{ink_of(ink)}" stroke-width="1.5"' if alone else ""
            name = "" if alone else f' class="{"m" if filled else "m o"} {ink}"'
            name += "" if alone or row is None else f' data-row="{row}"'
            if item.shape == "circle":
                shape = f'<circle cx="{_number(x)}" cy="{_number(y)}" r="{_number(item.size)}"{name}{look}'
            else:
                path = "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in item.outline()) + "z"
                shape = f'<path d="{path}"{name}{look}'
            return (
                f"{shape}><title>{escape(title)}</title>{'</circle>' if item.shape == 'circle' else '</path>'}"
                if (title)
                else f"{shape}/>"
            )
        case Words(x=x, y=y, text=text, anchor=anchor, size=size, ink=ink, bold=bold):
            look = f' fill="{ink_of(ink)}"' if alone else f' class="t {ink}"'
            look += "" if anchor == "start" else f' text-anchor="{anchor}"'
            look += ' font-weight="600"' if bold else ""
            return f'<text x="{_number(x)}" y="{_number(y)}" font-size="{_number(size)}"{look}>{escape(text)}</text>'


def _dashes(
    start: tuple[float, float], end: tuple[float, float]
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    length = hypot(end[0] - start[0], end[1] - start[1])
    step, on = 5.5, 3.0
    place = 0.0
    while place < length:
        ends = (place / length, min(place + on, length) / length)
        a, b = ((start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t) for t in ends)
        yield a, b
        place += step


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
