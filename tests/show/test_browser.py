"""The page in a real browser: sort, filter, keys, dark and light, print, and no error in the console."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convbench.show.page import page as make_page
from convbench.show.page import verify_page
from tests.show.chromium import CONTRASTS, barriers
from tests.show.chromium import browser as browser  # noqa: PLC0414  # a fixture of this module too
from tests.show.results_page import EVIL, RESULTS, entries, faults, hostile

pytestmark = pytest.mark.browser
ROWS = "#table tbody tr"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, paths in (
        ("plain", sorted(RESULTS.glob("*.csv"))),
        ("evil", [hostile(folder / "evil.csv")]),
    ):
        path = folder / f"{name}.html"
        path.write_text(make_page(entries(*paths)), encoding="utf-8")
        found[name] = path.as_uri()
    path = folder / "verify.html"
    path.write_text(verify_page(faults()), encoding="utf-8")
    found["verify"] = path.as_uri()
    return found


@pytest.fixture
def opened(browser: Any, files: dict[str, str]) -> Iterator[Any]:
    """Opens a page; whatever its console said by the end is a failure, and so is any request."""
    said: list[str] = []
    contexts = []

    def show(name: str = "plain", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: None if request.url == files[name] else said.append(request.url))
        page.goto(files[name])
        return page

    yield show
    for context in contexts:
        context.close()
    assert said == []


def column(page: Any, name: str) -> list[str]:
    number = page.locator("#table th").all_text_contents().index(name)
    found: list[str] = page.eval_on_selector_all(
        ROWS, "(rows, i) => rows.filter(row => row.offsetParent).map(row => row.cells[i].textContent)", number
    )
    return found


def test_a_heading_sorts_by_value_and_says_so(opened: Any) -> None:
    page = opened()
    time = page.locator("#table th", has_text="Time")
    assert time.get_attribute("aria-sort") == "none"
    time.locator("button").click()
    assert time.get_attribute("aria-sort") == "ascending"
    number = page.locator("#table th").all_text_contents().index("Time")
    rows = page.evaluate(
        "number => { const data = JSON.parse(document.getElementById('data').textContent);"
        "return Array.from(document.querySelectorAll('#table tbody tr'),"
        "row => [data.rows[row.dataset.row].count, data.rows[row.dataset.row].cells[number]]) }",
        number,
    )
    timed = [time_s for count, time_s in rows if count]
    assert timed == sorted(timed)
    assert all(count for count, _ in rows[: len(timed)])  # what has no time comes last
    time.locator("button").press("Enter")
    assert time.get_attribute("aria-sort") == "descending"
    assert column(page, "Time")[0] != column(page, "Time")[-1] == ""


def test_filters_narrow_the_table_and_count(opened: Any) -> None:
    page = opened()
    assert page.inner_text("#count") == "210 of 210 rows"
    page.select_option("select[name=backend]", "onednn")
    assert page.inner_text("#count") == "35 of 210 rows"
    page.fill("input[name=text]", "layer2 n1c128")
    assert set(column(page, "Backend")) == {"onednn"}
    assert all("layer2" in name for name in column(page, "Case"))
    page.select_option("select[name=backend]", "")
    page.fill("input[name=text]", "")
    page.select_option("select[name=file]", "quick-cpu-zen4.csv")
    assert set(column(page, "File")) == {"quick-cpu-zen4.csv"}
    assert len(column(page, "File")) == 72
    page.select_option("select[name=file]", "")
    page.fill("input[name=text]", "cudnn runs on cuda")
    assert set(column(page, "Backend")) == {"cudnn"}
    page.fill("input[name=text]", "nothing like it")
    assert page.inner_text("#count") == "0 of 210 rows"


def test_the_keyboard_opens_walks_and_closes(opened: Any) -> None:
    page = opened()
    row = page.locator(ROWS).nth(3)
    row.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.get_attribute("open") is not None
    assert dialog.locator("h2").inner_text() == "onednn on note"
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("Escape")
    assert dialog.get_attribute("open") is None
    assert page.evaluate("document.activeElement.dataset.row") == "3"


def test_a_click_shows_the_samples_beside_the_baseline_s_and_all_facts(opened: Any) -> None:
    page = opened()
    page.locator(ROWS).nth(9).click()
    dialog = page.locator("dialog")
    texts = dialog.locator("svg text").all_text_contents()
    onednn = entries(RESULTS / "quick-cpu-zen4.csv")[9].row
    assert texts[0] == f"onednn: {onednn['samples']} samples, median {1e3 * float(onednn['median_s']):.2f} ms"
    assert any(text.startswith("torch: ") for text in texts)
    assert dialog.locator("svg rect").count() > 10
    words = dialog.inner_text()
    for fact in ("n1c64h56w56k64r3s3_pd1", "AMD EPYC (family 25 model 17), 2 cores", "2.15.0+cu132", "ratio_low"):
        assert fact in words
    assert "convbench bench --backend torch,onednn --shape n1c64h56w56k64r3s3_pd1" in words


def test_a_mark_of_a_chart_opens_its_row(opened: Any) -> None:
    page = opened()
    mark = page.locator("#ratios .m[data-row='9']")
    mark.scroll_into_view_if_needed()
    mark.click(force=True)
    assert page.locator("dialog h2").inner_text() == "onednn on dense3x3_early"


def test_the_copy_button_copies(opened: Any) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.locator(ROWS).nth(9).click()
    page.locator("dialog button.copy").first.click()
    page.wait_for_selector("dialog button.copy:has-text('Copied')")
    assert page.evaluate("navigator.clipboard.readText()").startswith("convbench bench --backend torch,onednn")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["plain", "evil"])
def test_it_fits_the_window_and_can_be_read(opened: Any, name: str, scheme: str, width: int) -> None:
    page = opened(name, viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width  # tables scroll within themselves
    contrasts = page.evaluate(CONTRASTS, "p, td, th, a, dt, dd, h1, h2, h3, li")
    assert min(contrasts) >= 4.5  # WCAG 2.2, 1.4.3
    assert page.evaluate("document.querySelectorAll('svg').length") >= 2
    assert page.evaluate("window.pwned") is None
    page.locator(ROWS).first.click()
    box = page.locator("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_hostile_text_runs_nothing_in_any_row(opened: Any) -> None:
    page = opened("evil")
    for row in range(0, 72, 7):
        page.locator(f"{ROWS}[data-row='{row}']").click()
        assert "</script>" in page.locator("dialog").inner_text()
        assert page.locator("dialog img, dialog script").count() == 0
        page.keyboard.press("Escape")
    assert page.evaluate("window.pwned") is None


def test_without_javascript_the_table_and_the_charts_are_there(opened: Any) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator(ROWS).count() == 210
    assert page.locator(ROWS).first.is_visible()
    assert page.locator(".chart svg").count() == 3
    assert not page.locator("#filters").is_visible()
    assert not page.locator(".script-only").first.is_visible()


def test_it_prints_every_row(opened: Any, tmp_path: Path) -> None:
    page = opened(viewport={"width": 794, "height": 1100})
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    data = (tmp_path / "page.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") >= 4
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert page.evaluate("document.querySelector('#rows .scroll').scrollHeight > 2000")


def test_a_large_page_shows_its_rows_in_steps(browser: Any, opened: Any, files: dict[str, str], tmp_path: Path) -> None:
    from dataclasses import replace

    own = entries(*sorted(RESULTS.glob("*.csv")))
    many = [replace(entry, number=i) for i, entry in enumerate(own * 5)]
    path = tmp_path / "many.html"
    path.write_text(make_page(many), encoding="utf-8")
    files["many"] = path.as_uri()
    page = opened("many")
    assert page.inner_text("#count") == "1050 of 1050 rows"
    assert len(column(page, "Case")) == 500
    page.get_by_role("button", name="Show 500 more of 550").click()
    assert len(column(page, "Case")) == 1000
    page.fill("input[name=text]", "onednn")
    assert len(column(page, "Case")) == 175


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_verify_opens_in_either_scheme_and_draws_its_maps(opened: Any, scheme: str) -> None:
    page = opened("verify", color_scheme=scheme, viewport={"width": 500, "height": 900})
    assert page.locator("figure svg.heat").count() == 2
    assert page.locator(ROWS).count() == len(faults())
    text = page.locator("#faults").inner_text()
    assert EVIL in text
    assert "tap (0,0) is missing" in text
    fills = page.evaluate(
        "Array.from(document.querySelectorAll('figure svg.heat rect'), one => getComputedStyle(one).fill)"
    )
    assert len(set(fills)) >= 3
    assert "rgb(0, 0, 0)" not in fills  # a class without a colour is black
    assert page.evaluate("document.documentElement.scrollWidth") <= 500
    page.locator(ROWS).first.click()
    assert "smallest" in page.locator("dialog").inner_text()
    assert page.evaluate("window.pwned") is None


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
@pytest.mark.parametrize("name", ["plain", "evil", "verify"])
def test_axe_finds_nothing_serious(opened: Any, name: str, scheme: str, width: int) -> None:
    assert barriers(opened(name, color_scheme=scheme, viewport={"width": width, "height": 844})) == []
