"""The map of the errors, at 60 and 80 columns, and as a drawing."""

import io
import xml.etree.ElementTree as ET
from math import inf

import pytest
from rich.console import Console

from convbench.outcome import Picture
from convbench.show.heatmap import LEVELS, fewer_columns, heat_map, heat_svg, level
from tests.snapshots import assert_golden

SMALL = Picture(
    name="y[0,3]",
    axes=("p", "q"),
    rows=4,
    columns=6,
    shares=(
        (0.0, 0.1, 0.4, 1.0, 0.2, 7.0),
        (0.0, 0.1, 0.4, 1.0, 0.2, 800.0),
        (0.0, 0.1, 0.4, 1.0, 0.2, 9e5),
        (0.0, 0.1, 0.4, 1.0, inf, 1e9),
    ),
)
LARGE = Picture(
    name="dx[1,0]",
    axes=("h", "w"),
    rows=224,
    columns=448,
    shares=tuple(tuple(100.0 if column >= 60 and row % 2 else 0.5 for column in range(64)) for row in range(32)),
)


def drawn(picture: Picture, width: int, *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system="truecolor" if terminal else None, force_terminal=terminal)
    for line in heat_map(picture, width):
        console.print(line, soft_wrap=True)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize(("name", "picture"), [("small", SMALL), ("large", LARGE)])
def test_the_map_looks_as_it_did(name: str, picture: Picture, width: int) -> None:
    text = drawn(picture, width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    assert_golden(f"heatmap_{name}_{width}", text)


def test_each_level_has_a_character_of_its_own_and_a_colour_only_at_a_terminal() -> None:
    assert [level(share) for share in (0.0, 1.0, 1.0 + 1e-9, 10.0, 11.0, 1e3, 1e6, 2e6, 1e300, inf)] == [
        0, 0, 1, 1, 2, 2, 3, 4, 4, 5,
    ]  # fmt: skip
    signs = [sign for _, sign, _, _ in LEVELS]
    assert len(set(signs)) == len(signs)
    for sign in signs:
        assert sign in drawn(SMALL, 80)
    assert "\x1b" in drawn(SMALL, 80, terminal=True)


def test_a_block_shows_its_worst() -> None:
    assert fewer_columns(((1.0, 5.0, 2.0, 0.0, 9.0),), 2) == ((5.0, 9.0),)
    assert fewer_columns(((1.0, 5.0),), 2) == ((1.0, 5.0),)


@pytest.mark.parametrize("picture", [SMALL, LARGE])
def test_the_drawing_is_whole_and_says_each_error(picture: Picture) -> None:
    root = ET.fromstring(heat_svg(picture))
    bars = [node for node in root.iter() if node.tag.endswith("rect")]
    side = float(bars[0].get("height", 0)) + 1
    covered = sum((float(bar.get("width", 0)) + 1) / side for bar in bars)
    assert covered == len(picture.shares) * len(picture.shares[0])
    titles = [node.text or "" for node in root.iter() if node.tag.endswith("title")]
    if picture is SMALL:
        assert "p=0, q=5: 7 times its bound" in titles
        assert "p=3, q=4: NaN or infinite" in titles
        assert "p=0, q=0..4: within its bound" in titles
    else:
        assert "h=7, w=420..447: 100 times its bound" in titles
