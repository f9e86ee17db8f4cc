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
INK = {
    "ink": "#1f2933", "quiet": "#5c6670", "line": "#d5d9dd", "paper": "#ffffff", "cell": "#f1f2f4",
    # The roles of an explanation, as ink and as the ground under it; each pair at least 4.5:1 (WCAG 2.2).
    "patch": "#8f4c00", "kernel": "#0a5f8a", "output": "#176b41",
    "patch-ground": "#ffe6c2", "kernel-ground": "#d6ecf7", "output-ground": "#d8f0e1",
}  # fmt: skip
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A filled rectangle; with an outline where it has an `edge`."""

    x: float
    y: float
    width: float
    height: float
    ink: str
    edge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """One line of text from pieces, each in its own ink: (text, ink)."""

    x: float
    y: float
    pieces: tuple[tuple[str, str], ...]
    size: float = 12.0
    anchor: str = "start"

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)


Item = Line | Mark | Words | Box | Phrase


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

    def image(self, scale: float = 2.0, *, smooth: bool = True) -> "Image.Image":
        """As pixels; smooth: drawn twice as large and made smaller, which slanted edges need and boxes do not."""
        from PIL import Image, ImageDraw, ImageFont

        fine = 2 * scale if smooth else scale
        canvas = Image.new("RGB", (round(self.width * fine), round(self.height * fine)), INK["paper"])
        pen = ImageDraw.Draw(canvas)
        sizes = {item.size for item in self.items if isinstance(item, Words | Phrase)}
        fonts = {size: ImageFont.load_default(size * fine) for size in sizes}
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
                    place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
                    stroke = fine / 4 if bold else 0
                    pen.text((x * fine, y * fine), text, ink_of(ink), fonts[size], anchor=place, stroke_width=stroke)
                case Box(x=x, y=y, width=width, height=height, ink=ink, edge=edge):
                    left, top, right, bottom = (round(one * fine) for one in (x, y, x + width, y + height))
                    # Pillow's rectangles hold their last pixel.
                    pen.rectangle(
                        (left, top, right - 1, bottom - 1),
                        fill=ink_of(ink),
                        outline=ink_of(edge) if edge else None,
                        width=round(fine),
                    )
                case Phrase(x=x, y=y, pieces=pieces, size=size, anchor=anchor):
                    font = fonts[size]
                    whole = font.getlength(item.text)
                    left_edge = x * fine - {"start": 0.0, "middle": whole / 2, "end": whole}[anchor]
                    for text, ink in pieces:
                        pen.text((left_edge, y * fine), text, ink_of(ink), font, anchor="ls")
                        left_edge += font.getlength(text)
        if not smooth:
            return canvas
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
        case Words(y=y) | Box(y=y) | Phrase(y=y):
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
        case Box(x=x, y=y, width=width, height=height, ink=ink, edge=edge):
            sides = f'width="{_number(width)}" height="{_number(height)}"'
            outline = f' stroke="{ink_of(edge)}"' if edge else ""
            return f'<rect x="{_number(x)}" y="{_number(y)}" {sides} fill="{ink_of(ink)}"{outline}/>'
        case Phrase(x=x, y=y, pieces=pieces, size=size, anchor=anchor):
            look = "" if anchor == "start" else f' text-anchor="{anchor}"'
            words = "".join(f'<tspan fill="{ink_of(ink)}">{escape(text)}</tspan>' for text, ink in pieces)
            place = f'x="{_number(x)}" y="{_number(y)}" font-size="{_number(size)}"'
            return f'<text {place}{look} xml:space="preserve">{words}</text>'


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
