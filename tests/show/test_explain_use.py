"""The page of explain in use: keys and fields, own pictures, and what lies on what, on laptops, slides and phones."""

# ruff: noqa: RUF001  # the times sign is meant

from typing import Any

import pytest

from tests.show.chromium import browser as browser  # noqa: PLC0414  # a fixture of this module too
from tests.show.explain_pages import NOTE, hover, open_more, point, settled, state, wait_for
from tests.show.explain_pages import files as files  # noqa: PLC0414  # likewise
from tests.show.explain_pages import opened as opened  # noqa: PLC0414  # likewise

pytestmark = pytest.mark.browser

PORTRAIT = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
LANDSCAPE = {"viewport": {"width": 844, "height": 390}, "has_touch": True}
OWN = "#shape=n1c1h31w40k1r3s3&image=rings&kernel=sobel-x&colours=1"


# Keys and fields.


def test_enter_keeps_a_number_tab_goes_on_and_escape_takes_it_back(opened: Any) -> None:
    page = opened()
    page.mouse.click(*point(page, "x", 0, 0, 0))
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    assert not page.is_visible("#edit")
    page.keyboard.press("2")  # a step again
    assert state(page)["view"] == "2"
    page.keyboard.press("1")
    page.mouse.click(*point(page, "x", 0, 0, 1))
    page.keyboard.type("8")
    page.keyboard.press("Tab")
    page.keyboard.type("77")
    page.keyboard.press("Escape")
    assert page.evaluate("Array.from(convbench.page.self.x).slice(0, 3)") == [9, 8, 3]
    assert state(page)["x"] == "0:9,1:8"
    page.mouse.click(*point(page, "x", 0, 0, 1))
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")  # nothing is no number: it stays as it was
    assert page.evaluate("convbench.page.self.x[1]") == 8


def test_what_is_no_number_is_told_where_it_was_typed(opened: Any) -> None:
    page = opened()
    page.mouse.click(*point(page, "x", 0, 0, 0))
    for key in ("Enter", "Tab"):
        page.fill("#edit", "5000000")
        page.keyboard.press(key)
        assert page.input_value("#edit") == "5000000"
        assert page.inner_text("#complaint").startswith("Type a number")
    page.keyboard.press("Escape")
    assert (state(page)["x"], page.is_visible("#complaint")) == ("", False)


def test_an_arrow_key_counts_more_than_a_pointer_that_rests(opened: Any) -> None:
    page = opened(fragment="#view=2")
    page.mouse.click(*point(page, "y", 0, 0, 0))
    assert page.inner_text("#live").endswith("= 44")
    page.keyboard.press("ArrowRight")
    assert settled(page).inner_text("#live") == "2·1 + 3·2 + 6·3 + 7·4 = 54"
    assert page.inner_text("#hint") == ""
    assert "0:2, 1:3" in page.inner_text("#code")
    hover(page, "y", 0, 0, 2)
    assert page.inner_text("#live").endswith("= 64")  # it moved
    page = settled(opened(fragment="#view=7"))
    page.mouse.click(*point(page, "y", 0, 0, 0))  # pinned
    page.mouse.move(2, 2)
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#hint") == ""
    assert (state(page)["p"], state(page)["q"]) == (1, 0)


# Pictures.


def test_a_picture_says_what_became_of_it_and_of_the_kernel(opened: Any) -> None:
    draw = (
        "() => { const canvas = document.createElement('canvas'); [canvas.width, canvas.height] = [900, 700];"
        "return new Promise((done) => canvas.toBlob((blob) => { convbench.page.drawer.take(new File([blob], 'a.png',"
        "{ type: 'image/png' })).then(done); })) }"
    )
    page = opened()
    page.evaluate(draw)
    wait_for(page, "convbench.state().image === 'own'")
    assert page.inner_text("#complaint") == (
        "Your picture: 700×900 reduced to 31×40 (height × width), in grey. Kernel: Sobel x."
    )
    assert "fault" not in page.get_attribute("#complaint", "class").split()
    kept = opened(fragment="#w=0:-5&lang=de")
    kept.evaluate(draw)
    wait_for(kept, "convbench.state().image === 'own'")
    assert (state(kept)["kernel"], state(kept)["w"]) == ("", "0:-5")  # the reader's own kernel stays
    assert kept.inner_text("#complaint") == "Eigenes Bild: 700×900, verkleinert auf 31×40 (Höhe × Breite), grau."
    wait_for(kept, "location.hash.includes('own=')")
    kept.click("#change")
    kept.click("#thumbs [data-name='']")
    wait_for(kept, "!location.hash.includes('own=')")
    kept.click("#thumbs [data-name=own]")  # it is still there
    assert state(kept)["image"] == "own"


def test_the_button_of_the_first_kernel_says_what_it_brings(opened: Any) -> None:
    for fragment, words in (("", "1 2 3"), ("#seed=4", "Random"), ("#shape=n1c3h9w9k2r3s3&lang=de", "Zufall")):
        page = opened(fragment=fragment)
        assert page.text_content("#chips [data-name='']") == words


def test_a_long_picture_is_short_on_the_screen_and_whole_in_the_copy(opened: Any) -> None:
    page = settled(opened(fragment=OWN))
    assert len(page.text_content("#code .long")) > 1600
    assert page.evaluate("document.querySelector('#code .long').getBoundingClientRect().width") < 250
    assert page.evaluate("convbench.page.code(1).join('\\n') === document.getElementById('code').textContent")


# What lies on what.

# Boxes of the stage that reach below the canvas's own end, and words of its foot that touch.
COVERED = """() => {
  const canvas = document.getElementById("canvas").getBoundingClientRect();
  const foot = document.querySelector(".foot").getBoundingClientRect();
  const out = [];
  for (const [name, box] of Object.entries(convbench.page.boxes())) {
    if (name === "signs" || name === "signAlpha" || box.alpha < 0.3) continue;
    const { y, h } = convbench.layout.outline(box);
    if (canvas.top + y + h > foot.top - 3) out.push(name);
  }
  const { patches, yFlat } = convbench.page.boxes();
  const em = convbench.page.ink.size.em;
  const below = patches.y + patches.rows * patches.ch + (patches.shown < patches.cols ? 1.45 * em : 0);
  if (yFlat.alpha > 0.3 && patches.alpha > 0.3 && yFlat.y - 1.65 * em < below) out.push("caption of y");
  const [verdict, tip, hint] = ["verdict", "tip", "hint"].map((id) => document.getElementById(id)).map((one) =>
    one.checkVisibility({ visibilityProperty: true }) && one.textContent ? one.getBoundingClientRect() : null);
  if (verdict && (verdict.top < foot.top - 1 || verdict.bottom > foot.bottom)) out.push("verdict");
  if (hint && (hint.top < foot.top - 1 || hint.bottom > foot.bottom)) out.push("hint");
  if (verdict && tip && tip.left < verdict.right + 8 && tip.top < verdict.bottom && verdict.top < tip.bottom) {
    out.push("tip");
  }
  return out;
}"""
SIZES: dict[str, dict[str, Any]] = {
    "laptop": {"viewport": {"width": 1366, "height": 768}},
    "slide": {"viewport": {"width": 1280, "height": 720}},
    "portrait": PORTRAIT,
    "landscape": LANDSCAPE,
    "frame": {"viewport": {"width": 640, "height": 360}},
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lang", ["en", "de"])
def test_nothing_lies_under_the_proof_the_tip_or_the_hint(opened: Any, size: str, lang: str) -> None:
    present = {"slide": "&present=1", "frame": "&embed=1"}.get(size, "")
    page = opened(fragment=f"#lang={lang}{present}", reduced_motion="reduce", **SIZES[size])
    for fragment in ("", OWN[1:], "w=0:7"):
        for step in range(1, 8):
            page.evaluate(f"location.hash = '#view={step}&lang={lang}{present}&{fragment}'")
            wait_for(page, f"convbench.state().view === '{step}'")
            assert settled(page).evaluate(COVERED) == [], (fragment, step)
            if step in (2, 6) and not fragment:
                hover(page, "x", 0, 1, 1)
                assert settled(page).evaluate(COVERED) == [], (fragment, step)
                page.mouse.move(2, 2)
    assert page.is_visible("#verdict")


def test_with_the_drawer_open_a_large_picture_ends_above_the_proof(opened: Any) -> None:
    page = opened(fragment=f"{OWN}&view=2", reduced_motion="reduce", viewport={"width": 1366, "height": 768})
    page.click("#change")
    page.wait_for_timeout(500)
    assert settled(page).evaluate(COVERED) == []


@pytest.mark.parametrize("size", ["laptop", "portrait", "landscape"])
def test_a_sentence_leaves_the_heading_and_the_button_of_the_drawer_free(opened: Any, size: str) -> None:
    page = opened(reduced_motion="reduce", **SIZES[size])
    page.click("#change")
    page.wait_for_timeout(100)
    page.evaluate("convbench.page.complain(convbench.words.choose.unreadable)")
    over = page.evaluate(
        "(() => { const told = document.getElementById('complaint').getBoundingClientRect();"
        "return Array.from(document.querySelectorAll('#drawer .head > *')).map((one) => one.getBoundingClientRect())"
        ".some((one) => one.left < told.right && told.left < one.right && one.top < told.bottom &&"
        "told.top < one.bottom) })()"
    )
    assert not over
    assert page.is_visible("#complaint")


CUT = """() => Array.from(document.querySelectorAll(".chapter span"), (one) => [one.textContent, one.scrollWidth >
  one.clientWidth]).filter(([, cut]) => cut)"""


@pytest.mark.parametrize("size", ["laptop", "slide", "landscape", "frame"])
@pytest.mark.parametrize("lang", ["en", "de"])
def test_no_name_of_a_step_is_cut_or_touches_the_next(opened: Any, size: str, lang: str) -> None:
    present = {"slide": "&present=1", "frame": "&embed=1"}.get(size, "")
    page = opened(reduced_motion="reduce", **SIZES[size])
    for step in (1, 5):
        page.evaluate(f"location.hash = '#view={step}&lang={lang}{present}'")
        wait_for(page, f"convbench.state().view === '{step}'")
        assert settled(page).evaluate(CUT) == []
        gaps = page.evaluate(
            "(() => { const ends = Array.from(document.querySelectorAll('.chapter span'), (one) => {"
            "const range = document.createRange(); range.selectNodeContents(one);"
            "return range.getBoundingClientRect() });"
            "return ends.slice(1).map((one, i) => one.left - ends[i].right) })()"
        )
        assert min(gaps) >= 4


def test_the_table_of_the_proof_fits_its_column(opened: Any) -> None:
    for size in ("laptop", "portrait", "landscape"):
        page = settled(opened(fragment="#view=7", **SIZES[size]))
        open_more(page)
        wide = page.evaluate(
            "(({ scrollWidth, clientWidth }) => [scrollWidth, clientWidth])(document.querySelector('#notes .scroll'))"
        )
        assert wide[0] <= wide[1]
        top = page.evaluate(
            "(() => { const { left, top, width } = document.querySelector('#notes h3').getBoundingClientRect();"
            "return document.elementFromPoint(left + 5, top + 5).closest('#notes') !== null })()"
        )
        assert top, size  # nothing is drawn over it


# In step 6 each number of the column and the weight that meets it have half of a cell.


def test_a_weight_leaves_the_number_of_a_small_cell_free(opened: Any) -> None:
    page = opened()
    parts = page.evaluate(
        "(() => { const rect = { x: 0, y: 0, w: 37, h: 41 };return convbench.page.ink.shared(rect, { longX: 3 }) })()"
    )
    inside, weight = parts["inside"], parts["weight"]
    assert inside["y"] + inside["h"] <= weight["y"] + 1
    words = page.evaluate(
        "(() => { const { ink } = convbench.page; const said = []; const own = ink.paint.fillText;"
        "ink.paint.fillText = (words, x, y) => said.push([words, x, y]);"
        "const rect = { x: 0, y: 0, w: 37, h: 41 };"
        "for (const colours of [0, 1]) { const slice = { longX: 3, colours, rangeX: [0, 255] };"
        "for (const padded of [false, true]) ink.cell(rect, 'patches', 128, slice, { padded, role: 'patch',"
        "inside: ink.shared(rect, slice).inside }); } ink.paint.fillText = own; return said })()"
    )
    assert len(words) == 4
    assert all(y < weight["y"] * 0.6 for _, _, y in words)  # the middle of a number, above the weight


def test_nothing_strikes_through_the_caption_of_y(opened: Any) -> None:
    page = settled(opened(fragment=f"{OWN}&view=6&p=0&q=1", viewport={"width": 1366, "height": 768}))
    lines = page.evaluate(
        "(() => { const { ink, render, boxes } = convbench.page; const found = []; const own = ink.paint.moveTo;"
        "let from = null; ink.paint.moveTo = (x, y) => { from = [x, y]; own.call(ink.paint, x, y); };"
        "const to = ink.paint.lineTo; ink.paint.lineTo = (x, y) => { found.push([...from, x, y]);"
        "to.call(ink.paint, x, y); }; render(0.016); delete ink.paint.moveTo; delete ink.paint.lineTo;"
        "return { lines: found, y: boxes().yFlat.y, em: ink.size.em } })()"
    )
    upright = [(top, bottom) for x, top, end, bottom in lines["lines"] if x == end and abs(bottom - lines["y"]) < 60]
    assert upright
    baseline = lines["y"] - 0.75 * lines["em"]
    assert not any(top < baseline < bottom for top, bottom in upright)


# Phones.


def test_in_portrait_the_header_the_tip_the_proof_and_both_folds_are_there(opened: Any) -> None:
    page = settled(opened(**PORTRAIT))
    assert page.inner_text("#problem").split("\n") == ["x 1×1×4×4∗w 1×1×2×2", "→y 1×1×3×3"]
    assert "convbench explain" in page.evaluate(
        "getComputedStyle(document.getElementById('problem'), '::before').content"
    )
    assert page.inner_text("#where") == "1/8 Operands"
    assert page.inner_text("#tip") == "Tap a number to change it."
    assert page.inner_text("#verdict").startswith("✓ 151 numbers")
    page.evaluate("location.hash = '#view=8'")
    wait_for(page, "convbench.state().view === '8'")
    assert page.is_visible("#more summary")
    assert page.is_visible("#torch summary")
    page.click("#torch summary")
    assert "F.conv2d" in page.inner_text("#code")


def test_a_finger_changes_a_number_and_its_sign(opened: Any) -> None:
    page = opened(**PORTRAIT)
    page.touchscreen.tap(*point(page, "w", 0, 0, 1))
    assert page.get_attribute("#edit", "inputmode") == "decimal"
    assert page.is_visible("#sign")
    page.keyboard.type("5")
    page.click("#sign")
    assert (page.input_value("#edit"), page.evaluate("convbench.page.self.w[1]")) == ("-5", -5)
    assert page.evaluate("document.activeElement.id") == "edit"
    page.keyboard.press("Enter")
    assert not page.is_visible("#sign")
    page = opened()
    page.mouse.click(*point(page, "w", 0, 0, 1))
    assert not page.is_visible("#sign")  # a keyboard has a minus


@pytest.mark.parametrize("lang", ["en", "de"])
def test_on_its_side_a_phone_shows_each_step_and_both_folds(opened: Any, lang: str) -> None:
    page = opened(reduced_motion="reduce", **LANDSCAPE)
    for step in range(1, 9):
        page.evaluate(f"location.hash = '#view={step}&lang={lang}'")
        wait_for(page, f"convbench.state().view === '{step}'")
        bottom = settled(page).evaluate("document.getElementById('transport').getBoundingClientRect().top")
        for name in ("#more summary", "#torch summary"):
            box = page.locator(name).bounding_box()
            assert box["y"] + box["height"] <= bottom, (step, name)
        folds = page.evaluate("document.querySelector('.folds').getBoundingClientRect().top")
        live = page.evaluate("document.getElementById('live').getBoundingClientRect().bottom")
        assert live <= folds, step


def test_a_column_that_goes_on_says_so(opened: Any) -> None:
    page = opened(fragment="#view=7", viewport={"width": 1366, "height": 768})
    below = "document.getElementById('story').classList.contains('below')"
    assert not settled(page).evaluate(below)
    open_more(page)
    wait_for(page, below)
    page.evaluate("document.getElementById('story').scrollTop = 1e5")
    wait_for(page, f"!{below}")


# German.


def test_step_8_is_told_in_german(opened: Any) -> None:
    page = settled(opened(fragment="#view=8&lang=de"))
    said = page.inner_text(".fact")
    assert said.startswith("PyTorch baute diese Patch-Matrix wirklich: 144 B")
    assert "Die Größe des Bildes entscheidet: bis 143x143" in said
    assert "torch nahm Slow2d; es baute die Patch-Matrix (144 B = 36 Zahlen)" in page.inner_text(".evidence")
    assert "Einsicht" in page.inner_text("#text")
    assert page.inner_text(".evidence caption") == "Gesehen von convbench ran, als diese Seite geschrieben wurde"
    page.click("#tab-quiz")
    assert page.inner_text("#panel-quiz").split("\n")[0] == "Quiz"
    assert "Frage 1." in page.inner_text("#panel-quiz")
    page.fill("#answer", "x")
    page.keyboard.press("Enter")
    assert page.inner_text("#graded") == "Eine Zahl eingeben."
    assert state(page)["shape"] == NOTE
