"""How is a drawn step stored as a value, and written as text, SVG and a terminal recording?

A line is rich's Text: its styles are the roles, and its brackets show the same without colour. A terminal,
a pipe, a drawing and a recording all show these lines and differ in nothing else.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from convbench.show.grid import FAINT, KERNEL, OUTPUT, PATCH

# Of a monospaced font of 14 points; every word is fitted into its cells, whatever font there is.
CELL, LINE, FONT_SIZE, EDGE = 8.4, 19.0, 14, 12.0
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"

# A style of a terminal -> its class and what it is on a white and on a dark page; each at least 4.5:1 (WCAG 2.2).
INKS = {
    PATCH.style: ("patch", "#8a5a00", "#f2cc60"),
    KERNEL.style: ("kernel", "#00697f", "#56d4dd"),
    OUTPUT.style: ("output", "#1a6b2d", "#7ee787"),
    "green": ("right", "#1a6b2d", "#7ee787"),
    "red": ("wrong", "#b42318", "#ff7b72"),
    FAINT: ("faint", "#5c6670", "#9198a1"),
    "": ("ink", "#1f2933", "#e6edf3"),
}
PAPER = ("#ffffff", "#0d1117")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is drawn: lines of at most `width` characters."""

    title: str
    width: int
    lines: tuple[Text, ...]

    def plain(self) -> str:
        """As text for a pipe, a file or a screen reader."""
        return "".join(line.plain + "\n" for line in self.lines)


def join(frames: Sequence[Frame], title: str) -> Frame:
    """Frames below each other with a free line between, as one."""
    lines: list[Text] = []
    for frame in frames:
        lines += [Text(), *frame.lines] if lines else frame.lines
    return Frame(title=title, width=max(frame.width for frame in frames), lines=tuple(lines))


def ansi(line: Text) -> str:
    """With the escape codes of a terminal of 256 colours."""
    return "".join(
        style.render(text, color_system=ColorSystem.EIGHT_BIT) if style else text for _, text, style in _runs(line)
    )


def svg(frame: Frame) -> str:
    """As a drawing without fonts, scripts or network, light or dark like the reader's page."""
    width, height = frame.width * CELL + 2 * EDGE, len(frame.lines) * LINE + 2 * EDGE
    light, dark = (
        "".join(f".{ink[0]}{{fill:{ink[shade]}}}" for ink in INKS.values()) + f".paper{{fill:{PAPER[shade - 1]}}}"
        for shade in (1, 2)
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(frame.title)}" font-family="{FONT}" '
        f'font-size="{FONT_SIZE}"><title>{escape(frame.title)}</title>\n'
        f"<style>{light}.b{{font-weight:600}}@media(prefers-color-scheme:dark){{{dark}}}</style>\n"
        '<rect class="paper" width="100%" height="100%"/>'
    )
    drawn = (
        _svg_word(EDGE + column * CELL, EDGE + row * LINE, word, style)
        for row, line in enumerate(frame.lines)
        for column, word, style in _words(line)
    )
    return "\n".join([head, *drawn, "</svg>"]) + "\n"


def asciicast(frames: Iterable[tuple[Frame, float]], title: str) -> str:
    """A recording for asciinema's players: each frame for its seconds, with a marker wherever the title changes.

    The format is asciicast v3: a header and then events of [seconds since the last one, code, data],
    a JSON value a line; o is output, m a marker. There is no date in it: the same frames give the same file.
    """
    shown = list(frames)
    size = {"cols": max(frame.width for frame, _ in shown), "rows": max(len(frame.lines) for frame, _ in shown)}
    events: list[tuple[float, str, str]] = []
    wait, before = 0.0, ""
    for frame, seconds in shown:
        if frame.title != before:
            events.append((wait, "m", frame.title))
            wait, before = 0.0, frame.title
        # Home, each line over the old one, and what is left below erased: a clear screen would flicker.
        lines = "\r\n".join(ansi(line) + "\x1b[K" for line in frame.lines)
        events.append((wait, "o", f"\x1b[?25l\x1b[H{lines}\x1b[J"))
        wait = seconds
    events.append((wait, "o", "\r\n\x1b[?25h"))
    header = {"version": 3, "term": size, "title": title}
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in (header, *events))


def _runs(line: Text) -> Iterator[tuple[int, str, Style | None]]:
    """Pieces of one style each, with the column where each begins."""
    column = 0
    for segment in line.render(Console(color_system=None)):
        if segment.text:
            yield column, segment.text, segment.style
            column += len(segment.text)


def _words(line: Text) -> Iterator[tuple[int, str, Style | None]]:
    """Each word of each piece, as the space between words need not be drawn."""
    for start, text, style in _runs(line):
        column = start
        for word in text.split(" "):
            if word:
                yield column, word, style
            column += len(word) + 1


def _ink(style: Style | None) -> str:
    """The class of a style."""
    if style is None:
        return INKS[""][0]
    ground = f"{style.color.name} on {style.bgcolor.name}" if style.color and style.bgcolor else ""
    return INKS[ground or (style.color.name if style.color else FAINT if style.dim else "")][0]


def _svg_word(x: float, y: float, word: str, style: Style | None) -> str:
    ink = _ink(style)
    length = len(word) * CELL
    if set(word) == {"━"}:
        return f'<rect class="{ink}" x="{x:g}" y="{y + LINE / 2 - 1:g}" width="{length:g}" height="2"/>'
    if word == "│":
        return f'<rect class="{ink}" x="{x + CELL / 2:g}" y="{y:g}" width="1" height="{LINE:g}"/>'
    bold = " b" if style is not None and (style.bold or style.bgcolor) else ""
    place = f'x="{x:g}" y="{y + 0.74 * LINE:g}" textLength="{length:g}" lengthAdjust="spacingAndGlyphs"'
    return f'<text class="{ink}{bold}" {place}>{escape(word, quote=False)}</text>'
