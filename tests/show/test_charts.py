"""The charts: what is drawn where, alone as SVG and as pixels."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from convbench.case import Problem
from convbench.show.charts import Entry, LogAxis, plot_scene, ratio_chart, roofline_chart, series
from convbench.show.scene import PALETTE, SHAPES, Item, Line, Mark, Scene, Words, shortened
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too
from tests.show.results_page import EVIL, QUICK, entries, hostile


def test_the_ratio_chart_has_a_mark_for_each_comparison_and_torch_at_one() -> None:
    own = entries(QUICK)
    numbers = series(own)
    assert next(iter(numbers)) == "torch"
    scene = ratio_chart("quick", own, numbers)
    assert scene is not None
    marks = {item.row: item for item in scene.items if isinstance(item, Mark) and item.row is not None}
    compared = [entry for entry in own if entry.row["ratio_low"]]
    assert sorted(marks) == [entry.number for entry in compared]
    torch_line = next(item for item in scene.items if isinstance(item, Line) and item.ink == "quiet")
    for entry in compared:
        mark, ratio = marks[entry.number], float(entry.row["ratio_to_torch"])
        assert (mark.x > torch_line.points[0][0]) == (ratio > 1)
        assert mark.filled == (entry.status in ("faster", "slower"))
        assert mark.shape == SHAPES[numbers[entry.result.backend]]


def test_more_cases_than_can_be_read_are_counted() -> None:
    own = [entry for entry in entries(QUICK) if entry.result.backend in ("torch", "onednn")]
    many: list[Entry] = []
    for copy in range(7):
        for entry in own:
            problem = entry.result.case.problem
            renamed = Problem(suite=problem.suite, name=f"{problem.name}{copy}", spec=problem.spec)
            result = replace(entry.result, case=replace(entry.result.case, problem=renamed))
            many.append(replace(entry, number=len(many), result=result))
    scene = ratio_chart("quick", many, series(many))
    assert scene is not None
    assert any("60 of 84 cases" in item.text for item in scene.items if isinstance(item, Words))
    assert sum(isinstance(item, Mark) and item.row is not None for item in scene.items) == 60


def test_a_roof_is_drawn_where_the_file_has_one(tmp_path: Path) -> None:
    for path, roofs in ((QUICK, 0), (hostile(tmp_path / "evil.csv"), 1)):
        own = entries(path)
        scene = roofline_chart("here", own, series(own))
        assert scene is not None
        lines = [item for item in scene.items if isinstance(item, Line) and item.ink == "ink"]
        assert len(lines) == roofs
        for line in lines:
            (x0, y0), (x1, y1), (x2, y2) = line.points
            assert x0 < x1 < x2
            assert y0 > y1 == y2  # up the slope, then flat
        timed = [entry for entry in own if entry.row["outcome"] == "timed"]
        assert sum(isinstance(item, Mark) and item.row is not None for item in scene.items) == len(timed)


def test_nothing_to_draw_is_no_chart() -> None:
    skipped = [entry for entry in entries(QUICK) if entry.row["outcome"] == "skipped"]
    assert ratio_chart("quick", skipped, {}) is None
    assert roofline_chart("quick", skipped, {}) is None
    assert plot_scene(skipped, ["ratio", "roofline"]) is None


@pytest.mark.parametrize(("low", "high"), [(0.98, 1.03), (0.3, 1.1), (0.01, 2.0), (1e-6, 1e4), (1.0, 1.0)])
def test_ticks_are_a_few_within_the_axis_and_apart(low: float, high: float) -> None:
    axis = LogAxis.around([low, high], 100, 800)
    ticks = axis.ticks()
    assert 3 <= len(ticks) <= 20
    places = [axis.place(value) for value, _ in ticks]
    assert all(axis.low <= value <= axis.high for value, _ in ticks)
    assert min(b - a for a, b in pairwise(places)) >= 36


def test_an_svg_alone_is_well_formed_and_escaped(tmp_path: Path) -> None:
    scene = plot_scene(entries(hostile(tmp_path / "evil.csv")), ["ratio", "roofline"])
    assert scene is not None
    text = scene.svg(alone=True)
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    tags = {element.tag.partition("}")[2] for element in root.iter()}
    assert tags == {"svg", "title", "rect", "path", "circle", "text"}
    assert EVIL[:20] in "".join(root.itertext())
    assert "class=" not in text  # it has its own colours


def test_pixels_show_what_the_scene_says() -> None:
    items: list[Item] = [
        Mark(x=20, y=20, shape="square", ink="s0"),
        Mark(x=60, y=20, shape="circle", ink="s1", filled=False),
        Line(points=((0, 40), (80, 40)), ink="ink", width=2, dashed=True),
        Words(x=40, y=70, text="torch", anchor="middle", bold=True),
    ]
    image = Scene(width=80, height=80, title="", items=items).image(scale=2)
    assert image.size == (160, 160)

    def colour(x: float, y: float) -> str:
        pixel = image.getpixel((round(2 * x), round(2 * y)))
        assert isinstance(pixel, tuple)
        return "#" + "".join(f"{value:02x}" for value in pixel)

    assert colour(20, 20) == PALETTE[0]
    assert colour(60, 20) == "#ffffff"
    row = {colour(x / 2, 40) for x in range(4, 150)}
    assert {"#1f2933", "#ffffff"} <= row  # dashes and gaps
    assert any(colour(x, 66) != "#ffffff" for x in range(20, 60))


def test_a_long_name_gets_an_ellipsis() -> None:
    assert shortened("short", 100, 12) == "short"
    assert shortened("a" * 50, 100, 12).endswith("a…")


def test_report_writes_what_it_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    html, svg, png = (tmp_path / f"out.{kind}" for kind in ("html", "svg", "png"))
    done = cli("report", QUICK, "--html", html, "--svg", svg, "--png", png, "--plot", "ratio,roofline")
    assert (done.code, done.out) == (0, "")
    assert done.err.split() == [word for path in (html, svg, png) for word in ("convbench:", "wrote", str(path))]
    assert html.read_text().startswith("<!doctype html>")
    ET.fromstring(svg.read_text())
    with Image.open(png) as image:
        assert image.width == 1720
    assert cli("report", QUICK, "--html", "-").out == html.read_text().replace(str(html), "")


def test_report_keeps_its_exit_code_and_its_manners(cli: Cli, tmp_path: Path) -> None:
    assert cli("report", hostile(tmp_path / "evil.csv"), "--html", tmp_path / "evil.html").code == 1
    for words in (["--plot", "pie", "--svg", "-"], ["--png", tmp_path / "out.xyz"], ["--html", tmp_path / "no" / "x"]):
        done = cli("report", QUICK, *words)
        assert (done.code, done.err.count("\n")) == (2, 1)
