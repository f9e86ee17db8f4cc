"""Do a drawing and a recording hold the text of their frames, each character in its place?"""

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from convbench import ConvSpec
from convbench.explain import STEPS
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import draw_step, page
from convbench.show.frames import CELL, EDGE, INKS, LINE, PAPER, Frame, ansi, asciicast, join, svg
from convbench.show.steps import View
from convbench.show.tour import MOST_CELLS, READ_S, spread_cells, tour

AWKWARD = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")
SVG = "{http://www.w3.org/2000/svg}"


def walk_of(spec: ConvSpec) -> Walk:
    return walk(*small_integers(spec), spec, choose_cell(spec))


def whole(width: int) -> Frame:
    found = walk_of(AWKWARD)
    return join([draw_step(found, step, width) for step in STEPS], "all of it")


def read_svg(text: str) -> str:
    """The characters of a drawing, back on their cells."""
    root = ET.fromstring(text)
    lines = round((float(root.attrib["height"]) - 2 * EDGE) / LINE)
    cells = [[" "] * round((float(root.attrib["width"]) - 2 * EDGE) / CELL) for _ in range(lines)]
    for item in root:
        if item.tag not in (f"{SVG}text", f"{SVG}rect") or "x" not in item.attrib:
            continue
        x, y = float(item.attrib["x"]), float(item.attrib["y"])
        row, column = int((y - EDGE) / LINE), int((x - EDGE) / CELL + 0.01)
        if item.tag == f"{SVG}text":
            word = item.text or ""
            assert float(item.attrib["textLength"]) == pytest.approx(len(word) * CELL)
        else:
            upright = item.attrib["width"] == "1"
            word = "│" if upright else "━" * round(float(item.attrib["width"]) / CELL)
        assert cells[row][column : column + len(word)] == [" "] * len(word)
        cells[row][column : column + len(word)] = word
    return "".join("".join(line).rstrip() + "\n" for line in cells)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_drawing_holds_every_character_on_its_cell(width: int) -> None:
    frame = whole(width)
    assert read_svg(svg(frame)) == frame.plain()


def test_a_drawing_asks_for_no_font_script_or_network() -> None:
    text = svg(whole(80))
    assert text.count("http") == text.count('xmlns="http://www.w3.org/2000/svg"') == 1
    assert not re.search(r"@import|@font-face|url\(|<script|<foreignObject|href", text)


def test_a_drawing_colours_the_roles_and_keeps_their_brackets() -> None:
    root = ET.fromstring(svg(whole(80)))
    words = [(item.text or "", item.attrib["class"]) for item in root.iter(f"{SVG}text")]
    brackets = {"patch b": r"\[.*\]", "kernel b": r"\(.*\)", "output b": "<.*>"}
    for kind, shape in brackets.items():
        found = [word for word, name in words if name == kind and word[0] in "[(<"]
        assert found
        assert all(re.fullmatch(shape, word) for word in found)
    assert ("<146>", "output b") in words


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio"."""

    def luminance(colour: str) -> float:
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ink", INKS.values(), ids=lambda ink: ink[0])
def test_every_ink_can_be_read_on_both_papers(ink: tuple[str, str, str]) -> None:
    assert contrast(ink[1], PAPER[0]) >= 4.5
    assert contrast(ink[2], PAPER[1]) >= 4.5


def test_escape_codes_add_nothing_but_colour() -> None:
    for line in page(walk_of(AWKWARD), 120):
        assert re.sub(r"\x1b\[[0-9;]*m", "", ansi(line)) == line.plain
    assert any("\x1b[38;5;16;48;5;221m[36]\x1b[0m" in ansi(line) for line in page(walk_of(AWKWARD), 80))


def play(recording: str) -> list[tuple[str, str]]:
    """(code, what the screen shows or the marker says) for each event, on a terminal that knows these codes only."""
    header, *events = [json.loads(line) for line in recording.splitlines()]
    screens, screen = [], [""] * header["term"]["rows"]
    for _, code, data in events[:-1]:
        if code == "m":
            screens.append((code, data))
            continue
        begin, home, rest = data.partition("\x1b[H")
        assert (begin, home) == ("\x1b[?25l", "\x1b[H")
        text, end, left = rest.rpartition("\x1b[J")
        assert (end, left) == ("\x1b[J", "")
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.split("\r\n")]
        assert all(line.endswith("\x1b[K") for line in lines)
        assert len(lines) <= len(screen)
        screen = [line.removesuffix("\x1b[K") for line in lines] + [""] * (len(screen) - len(lines))
        screens.append((code, "".join(line + "\n" for line in screen[: len(lines)])))
    return screens


def test_a_recording_shows_the_steps_and_every_output_in_turn() -> None:
    found = walk_of(ConvSpec.parse("n1c1h4w4k1r2s2"))
    text = asciicast(tour(found, STEPS, 80, View()), "the note")
    header = json.loads(text.splitlines()[0])
    assert header == {"version": 3, "term": {"cols": 80, "rows": header["term"]["rows"]}, "title": "the note"}
    played = play(text)
    assert [data[:3] for code, data in played if code == "m"] == [f"{i}/8" for i in range(1, 9)]
    drawn = [data for code, data in played if code == "o"]
    assert len(drawn) == 8 + 5 * 9
    assert drawn[0] == draw_step(found, "operands", 80).plain()
    first, *others = [data for data in drawn if "UNFOLD" in data]
    assert "[5]" in first
    assert [re.findall(r"\[(\d)\] ", data.splitlines()[3] + " ") for data in others] == [[str(i)] for i in range(9)]
    events: list[Any] = [json.loads(line) for line in text.splitlines()[1:]]
    assert events[0][:2] == [0.0, "m"]
    assert events[2][0] == READ_S
    assert asciicast(tour(found, STEPS, 80, View()), "the note") == text


def test_of_many_outputs_a_recording_shows_some_with_both_corners() -> None:
    cell = choose_cell(ConvSpec.parse("n1c1h60w60k1r1s1"))
    cells = list(spread_cells(60, 60, cell))
    assert len(cells) == len({(one.p, one.q) for one in cells}) == MOST_CELLS
    assert (cells[0].p, cells[0].q, cells[-1].p, cells[-1].q) == (0, 0, 59, 59)
    assert [(one.p, one.q) for one in spread_cells(1, 1, cell)] == [(0, 0)]
