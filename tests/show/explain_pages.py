"""Pages of explain for the tests in a real browser, and what they ask of them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convbench import ConvSpec
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain_page import explain_page

NOTE = "n1c1h4w4k1r2s2"
SHAPES = {
    "note": NOTE,
    "awkward": "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2",
    "unread": "n1c1h8w8k1r2s2_st3",
    "sides": "n1c3h7w6k2r3s3_st2_pd1x2x0x1",
    "large": "n1c64h56w56k64r3s3_pd1",
}
TABS = "algorithms backward quiz".split()
STEPS = range(1, 9)
EVIDENCE = {
    "sentences": [
        "PyTorch really built this patch matrix: 144 B of scratch = 36 numbers in fp32 (its Slow2d path).",
        "Why: 1 image of 16 elements is at most 20,480, in 1 group and under a 2x2 kernel, so no oneDNN.",
        "The size of the image decides: up to 143x143 it is Slow2d, from 144x144 on oneDNN.",
    ],
    "runs": [
        {
            "spec": spec,
            "torch": "2.15.0",
            "machine": "AVX2",
            "claims": [
                {"about": "backend", "words": f"torch ran {name}", "kind": "fact"},
                {
                    "about": "patch matrix",
                    "words": "it built the patch matrix (144 B = 36 floats)",
                    "kind": "inference",
                },
            ],
        }
        for spec, name in ((NOTE, "Slow2d"), ("n1c64h56w56k64r3s3_pd1", "Mkldnn, which is oneDNN"))
    ],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, shape in SHAPES.items():
        spec = ConvSpec.parse(shape)
        html = explain_page(walk(*small_integers(spec), spec, choose_cell(spec)), evidence=EVIDENCE)
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in SHAPES}


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Any]:
    """Opens a page; whatever its console said by the end is a failure, and so is any request."""
    said: list[str] = []
    contexts = []

    def show(name: str = "note", fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        address = files[name].as_uri()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda one: None if one.url.split("#")[0] == address else said.append(one.url))
        page.goto(address + fragment)
        return page

    yield show
    for context in contexts:
        context.close()
    assert said == []


def state(page: Any) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("convbench.state()")
    return found


def wait_for(page: Any, condition: str, *, most_s: float = 8.0) -> None:
    """Until it holds; playwright's own way evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + most_s
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never: {condition}"
        page.wait_for_timeout(30)


def settled(page: Any) -> Any:
    """The page when its boxes and its film strip rest."""
    wait_for(page, "!convbench.page.moving()")
    return page


def open_more(page: Any) -> None:
    """The notes of the step."""
    page.click("#more summary")
    wait_for(page, "document.getElementById('notes').childElementCount > 0")


def filled(page: Any) -> dict[str, int]:
    found: dict[str, int] = page.evaluate("convbench.filled()")
    return found


def linked(page: Any, grid: str) -> set[str]:
    """The keys of the linked cells of a table."""
    found = page.eval_on_selector_all(f"#grid-{grid} td.linked", "(all) => all.map((td) => td.dataset.key)")
    return set(found)


def point(page: Any, grid: str, tile: int, i: int, j: int) -> tuple[float, float]:
    """The middle of a cell of the stage, on the screen."""
    found = settled(page).evaluate(
        "([grid, tile, i, j]) => { const strip = ['patches', 'yFlat'].includes(grid) ? convbench.page.strip() : 0;"
        "const { x, y, w, h } = convbench.layout.place(convbench.page.boxes()[grid], tile, i, j, strip);"
        "const at = document.getElementById('canvas').getBoundingClientRect();"
        "return [at.left + x + w / 2, at.top + y + h / 2] }",
        [grid, tile, i, j],
    )
    return found[0], found[1]


def hover(page: Any, grid: str, tile: int, i: int, j: int) -> set[str]:
    """What is linked with that cell of the stage."""
    page.mouse.move(*point(page, grid, tile, i, j))
    page.wait_for_timeout(30)
    return set(page.evaluate("Array.from(convbench.look().linked)"))


def of(kind: str, keys: set[str]) -> set[str]:
    return {key for key in keys if key.startswith(f"{kind}:")}
