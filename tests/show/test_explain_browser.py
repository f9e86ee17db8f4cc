"""The page of explain in a real browser: its proof, links, keys, settings, quiz, and looks."""

# ruff: noqa: RUF001  # the times sign is meant

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convbench import ConvSpec
from convbench.explain.backward import gradient as backward_gradient
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain_page import explain_page
from tests.show.chromium import CONTRASTS
from tests.show.chromium import browser as browser  # noqa: PLC0414  # a fixture of this module too

pytestmark = pytest.mark.browser

NOTE = "n1c1h4w4k1r2s2"
SHAPES = {
    "note": NOTE,
    "awkward": "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2",
    "unread": "n1c1h8w8k1r2s2_st3",
    "sides": "n1c3h7w6k2r3s3_st2_pd1x2x0x1",
    "large": "n1c64h56w56k64r3s3_pd1",
}
TENSORS = ("x", "w", "y", "y_plane", "patches", "folded")
MODES = ("zeros", "reflect", "replicate", "circular")
VIEWS = "1 2 3 4 5 6 7 algorithms backward quiz".split()
ALGORITHMS = "loops unfold implicit shift toeplitz winograd fft".split()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, shape in SHAPES.items():
        spec = ConvSpec.parse(shape)
        html = explain_page(walk(*small_integers(spec), spec, choose_cell(spec)))
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


def wait_for(page: Any, condition: str, *, most_s: float = 30.0) -> None:
    """Until it holds; playwright's own way evaluates text in the page, which its policy forbids."""
    end = time.monotonic() + most_s
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never: {condition}"
        page.wait_for_timeout(50)


def linked(page: Any, grid: str) -> set[str]:
    """The keys of the linked cells of a grid."""
    found = page.eval_on_selector_all(f"#grid-{grid} td.linked", "(all) => all.map((td) => td.dataset.key)")
    return set(found)


# The numbers, as they are shown; how they are computed needs no browser (test_explain_compute.py).


def test_the_cost_table_shows_the_terminal_s_numbers(opened: Any) -> None:
    page = opened(fragment="#shape=n1c1h16w16k1r3s3_pd1&view=algorithms")
    rows = page.locator("table[aria-label='What each algorithm costs'] tbody tr")
    shown = {(cells := row.locator("th, td").all_inner_texts())[0]: cells[1:5] for row in rows.all()}
    assert shown == {
        "loops": ["2,116", "1,860", "0", "0"],
        "unfold + matmul": ["2,304", "2,048", "0", "0"],
        "implicit GEMM": ["2,304", "2,048", "0", "0"],
        "shift and add": ["2,304", "1,860", "0", "0"],
        "Toeplitz matrix": ["2,116", "1,860", "0", "0"],
        "Winograd": ["1,024", "0", "2,048 + 3,584", "0 + 28"],
        "FFT": ["4,096", "2,048", "41,984 + 61,440", "20,480 + 30,720"],
    }


def test_the_fft_wraps_round_where_it_says(opened: Any) -> None:
    page = opened(fragment="#view=algorithms&algorithm=fft")
    cells = page.locator("#grid-circular tbody td").all_inner_texts()
    assert cells[:4] == ["44", "54", "64", "~50~"]
    assert cells[12:] == ["~52~", "~62~", "~72~", "~58~"]


# The proof.


@pytest.mark.parametrize("name", SHAPES)
def test_it_finds_itself_equal_to_the_trace(opened: Any, name: str) -> None:
    page = opened(name)
    verdict = page.inner_text("#verdict")
    assert re.match(r"✓ [\d,]+ numbers equal to the trace of ", verdict)
    left_out = [one for one in TENSORS if page.evaluate("(name) => convbench.trace[name] === null", one)]
    assert bool(left_out) == (name == "large")
    assert verdict.endswith(f"left out of it: {', '.join(left_out)}." if left_out else "proved.")
    found = page.evaluate("convbench.check(convbench.trace, convbench.state().seed)")
    assert found["wrong"] == []
    assert found["equal"] > {"note": 140, "awkward": 2500, "unread": 140, "sides": 900, "large": 40_000}[name]


@pytest.mark.parametrize("name", ["x", "folded"])
def test_one_number_that_differs_is_told_loudly(opened: Any, files: dict[str, Path], name: str, tmp_path: Path) -> None:
    html = files["note"].read_text(encoding="utf-8")
    spoilt, times = re.subn(rf'"{name}":\[(\d+)', lambda found: f'"{name}":[{int(found[1]) + 1}', html)
    assert times == 1
    files["spoilt"] = tmp_path / "spoilt.html"
    files["spoilt"].write_text(spoilt, encoding="utf-8")
    page = opened("spoilt")
    assert "THIS PAGE DIFFERS FROM WHAT WAS PROVED" in page.inner_text("#verdict")
    assert page.get_attribute("#verdict", "class") == "verdict wrong"


def test_every_way_agrees_on_the_proof_s_page(opened: Any) -> None:
    page = opened(fragment="#view=7")
    text = page.inner_text("#agreement")
    assert text.count("✓") == len(ALGORITHMS)
    assert "✗" not in text
    assert page.locator("table[aria-label='Proof by convbench'] tbody tr").count() == 12
    page.fill("input[name=h]", "5")
    assert page.locator("table[aria-label='Proof by convbench']").count() == 0
    assert "not the one that was proved" in page.inner_text("#panel-7")


# Links.


def test_a_pixel_shows_every_output_that_reads_it(opened: Any) -> None:
    page = opened("awkward", "#view=4")
    spec = ConvSpec.parse(SHAPES["awkward"])
    for row, column in ((0, 0), (3, 4), (6, 8), (-1, 2)):
        page.hover(f"#grid-x td[data-key='x:2,{row},{column}']")
        pairs = [
            (p, q, r, s)
            for p in range(spec.p)
            for q in range(spec.q)
            for r in range(spec.r)
            for s in range(spec.s)
            if (p * 2 - 1 + r, q + 2 * s) == (row, column)
        ]
        assert linked(page, "y") == {f"y:{p},{q}" for p, q, _, _ in pairs}
        assert linked(page, "w") == {f"w:0,{r},{s}" for _, _, r, s in pairs}
        seen = page.eval_on_selector_all("#grid-patches td[data-key]", "(all) => all.map((td) => td.dataset.key)")
        assert linked(page, "patches") == {f"m:{r * 2 + s},{p * 7 + q}" for p, q, r, s in pairs} & set(seen)
        assert page.inner_text("#hint").startswith(f"x[0,2,{row},{column}] = ")
        assert f"is read {len(pairs)}×" in page.inner_text("#hint")


def test_an_output_a_tap_and_a_column_show_what_they_read(opened: Any) -> None:
    page = opened(fragment="#view=6")
    page.hover("#grid-y td[data-key='y:0,1']")
    assert linked(page, "x") == {"x:0,0,1", "x:0,0,2", "x:0,1,1", "x:0,1,2"}
    assert linked(page, "product") == {"f:0", "f:1", "f:2", "f:3", "l:1", *(f"m:{j},1" for j in range(4))}
    page.hover("#grid-w td[data-key='w:0,1,0']")
    assert linked(page, "x") == {f"x:0,{row},{column}" for row in (1, 2, 3) for column in (0, 1, 2)}
    assert linked(page, "y") == {f"y:{p},{q}" for p in range(3) for q in range(3)}
    page.hover("#grid-product td[data-key='m:3,4']")
    assert (linked(page, "x"), linked(page, "w"), linked(page, "y")) == ({"x:0,2,2"}, {"w:0,1,1"}, {"y:1,1"})
    assert "reads x[0,0,2,2] = 11" in page.inner_text("#hint")
    page.mouse.move(2, 2)
    assert linked(page, "x") == set()


def test_a_click_holds_a_link_and_escape_lets_go(opened: Any) -> None:
    page = opened()
    page.click("#grid-x td[data-key='x:0,1,1']")
    page.mouse.move(2, 2)
    page.evaluate("document.activeElement.blur()")
    assert len(linked(page, "y")) == 4
    page.keyboard.press("Escape")
    assert linked(page, "y") == set()


def test_in_backward_the_gradient_is_linked_and_right(opened: Any) -> None:
    page = opened(fragment="#view=backward")
    text = [page.locator(f"#grid-{name} tbody td").all_inner_texts() for name in ("dx", "dw", "overlap")]
    numbers = [[int(one.strip("[]()")) for one in cells] for cells in text]
    assert numbers[0] == [1, 3, 3, 2, 4, 10, 10, 6, 4, 10, 10, 6, 3, 7, 7, 4]
    assert numbers[1] == [54, 63, 90, 99]
    assert numbers[2] == [1, 2, 2, 1, 2, 4, 4, 2, 2, 4, 4, 2, 1, 2, 2, 1]
    page.hover("#grid-dx td[data-key='x:0,0,1']")
    assert linked(page, "g") == {"y:0,0", "y:0,1"}
    page.fill("input[name=seed]", "7")
    cells = page.locator("#grid-g tbody td").all_inner_texts()
    want = backward_gradient(ConvSpec.parse(NOTE), 7, ones=False).flatten().tolist()
    assert [int(one.strip("<>").replace("−", "-")) for one in cells] == want
    page.select_option("#panel-backward select", "ones")
    assert state(page)["g"] == "ones"
    assert {one.strip("<>") for one in page.locator("#grid-g tbody td").all_inner_texts()} == {"1"}


# Keys and focus.


def test_the_keys_move_the_cell_the_step_and_the_axes(opened: Any) -> None:
    page = opened("awkward")
    assert (state(page)["p"], state(page)["q"], state(page)["c"], state(page)["k"]) == (0, 6, 2, 3)
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    assert (state(page)["p"], state(page)["q"]) == (1, 5)
    for key, name, want in (
        ("c", "c", 3),
        ("c", "c", 0),
        ("Shift+C", "c", 3),
        ("k", "k", 4),
        ("n", "n", 1),
        ("]", "view", "2"),
        ("]", "view", "3"),
        ("[", "view", "2"),
        ("a", "view", "algorithms"),
        ("a", "algorithm", "unfold"),
        ("Shift+A", "algorithm", "loops"),
        ("d", "view", "backward"),
        ("d", "view", "1"),
        ("[", "view", "1"),
        ("?", "view", "quiz"),
    ):
        page.keyboard.press(key)
        assert state(page)[name] == want, key
    assert page.evaluate("document.activeElement.id") == "answer"
    page.keyboard.press("]")  # it is typed here
    assert state(page)["view"] == "quiz"


def test_a_filter_of_another_group_brings_its_channels(opened: Any) -> None:
    page = opened("awkward")
    for _ in range(3):
        page.click("#more-k")
    assert (state(page)["k"], state(page)["c"]) == (0, 0)
    assert page.evaluate("document.activeElement.id") == "more-k"
    page.click("#less-c")
    assert state(page)["c"] == 3
    assert "reads channels 0 to 1; channel 3 is not among them" in page.inner_text("#grids")


def test_each_grid_has_one_stop_for_tab_and_the_arrows_walk_in_it(opened: Any) -> None:
    page = opened("large", "#view=4&p=20&q=30")
    for grid in ("x", "w", "y", "patches"):
        assert page.locator(f"#grid-{grid} [tabindex='0']").count() == 1
    page.focus("#grid-x [tabindex='0']")
    before = page.evaluate("document.activeElement.dataset.key")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(9):  # beyond the window, which follows
        page.keyboard.press("ArrowRight")
    after = page.evaluate("document.activeElement.dataset.key")
    assert int(after.split(",")[2]) == int(before.split(",")[2]) + 9
    assert page.locator("#grid-x [tabindex='0']").count() == 1
    assert page.inner_text("#hint").startswith(f"x[0,{after[2:]}]")
    assert (state(page)["p"], state(page)["q"]) == (20, 30)
    page.focus("#grid-y [tabindex='0']")
    page.keyboard.press("ArrowDown")
    assert (state(page)["p"], state(page)["q"]) == (21, 30)
    assert page.evaluate("document.activeElement.dataset.key") == "y:21,30"
    page.focus("#grid-patches [tabindex='0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.key").startswith("m:")
    assert (state(page)["p"], state(page)["q"]) == (21, 31)


def test_the_tabs_are_tabs(opened: Any) -> None:
    page = opened()
    page.focus("#tab-1")
    page.keyboard.press("ArrowLeft")
    assert state(page)["view"] == "quiz"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-1"
    assert page.locator("[role=tab][aria-selected=true]").count() == 1
    assert page.locator("[role=tabpanel]:visible").count() == 1


@pytest.mark.parametrize("view", VIEWS)
def test_everything_that_can_be_operated_has_a_name(opened: Any, view: str) -> None:
    page = opened("awkward", f"#view={view}")
    nameless = page.evaluate(
        """() => Array.from(document.querySelectorAll("button, input, select, [role=grid], [role=tabpanel]"))
          .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() && one.tagName !== "SELECT" ||
            one.labels?.length || one.getAttribute("aria-labelledby"))).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


def test_the_sum_is_spoken_when_the_cell_moves(opened: Any) -> None:
    page = opened()
    assert page.get_attribute("#spoken", "aria-live") == "polite"
    said = (
        "y in row 1, column 2 of filter 0, image 0 is 104: 7 times 1, plus 8 times 2, plus 11 times 3, plus 12 times 4."
    )
    assert page.text_content("#spoken") == said
    page.keyboard.press("ArrowUp")
    assert "row 0, column 2 of filter 0, image 0 is 64" in page.text_content("#spoken")
    assert page.inner_text("#sum") == "y[0,0,0,2] = [3](1) + [4](2) + [7](3) + [8](4) = <64>"


# Settings and state.


def test_a_setting_recomputes_everything(opened: Any) -> None:
    page = opened()
    page.fill("input[name=stride0]", "2")
    assert state(page)["shape"] == "n1c1h4w4k1r2s2_st2x1"
    assert page.locator("#grid-y tbody tr").count() == 2
    page.fill("input[name=padding]", "0x2")
    page.select_option("select[name=mode]", "circular")
    assert page.locator("#grid-x tbody tr").first.locator("td").all_inner_texts()[:3] == ["·3", "·4", "1"]
    page.fill("input[name=shape]", "n1c2h5w5k2r3s3_g2")
    page.press("input[name=shape]", "Enter")
    assert page.input_value("input[name=groups]") == "2"
    assert page.input_value("input[name=c]") == "2"


def test_four_sides_of_padding_are_drawn_kept_and_typed(opened: Any) -> None:
    page = opened("sides", "#view=3")
    assert page.input_value("input[name=padding]") == "1x2x0x1"
    for axis, lines in (("th[scope=row]", range(-1, 9)), ("th[scope=col]", range(7))):
        heads = page.locator(f"#grid-x {axis}").all_inner_texts()
        assert [int(one.replace("−", "-")) for one in heads] == list(lines)
    assert "P = ⌊(7 + 1 + 2 − 1·(3−1) − 1) / 2⌋ + 1 = ⌊7/2⌋ + 1 = 4" in page.inner_text("#panel-3")
    assert page.inner_text("#same").endswith("this is F.pad(x, (0, 1, 1, 2)) and then F.conv2d without padding.")
    page.hover("#grid-x td[data-key='x:0,7,6']")  # read by the last output alone, below x and on its right
    assert (linked(page, "y"), linked(page, "w")) == ({"y:3,2"}, {"w:0,2,2"})
    page.fill("input[name=h]", "9")
    assert state(page)["shape"] == "n1c3h9w6k2r3s3_st2_pd1x2x0x1"
    page.get_by_role("button", name=re.compile("^stride 1: ")).click()
    assert state(page)["shape"] == "n1c3h9w6k2r3s3_pd1x2x0x1"
    page.fill("input[name=padding]", "")
    page.locator("input[name=padding]").press_sequentially("3X0x1x1")
    assert state(page)["shape"] == "n1c3h9w6k2r3s3_pd3x0x1x1"
    assert page.inner_text("#complaint") == ""
    page.press("input[name=padding]", "Tab")
    page.get_by_role("button", name=re.compile("^padding 0: ")).click()
    assert (state(page)["shape"], page.input_value("input[name=padding]")) == ("n1c3h9w6k2r3s3", "0")
    assert "F.pad" not in page.inner_text("#same")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("padding", "1x2x0", "padding is “1x2x0”: write 1, or 1x2 for rows and columns, or 1x2x0x1 for top, bottom,"),
        ("padding", "0x5000x0x0", "above 4,096"),
        ("padding", "-1", "padding is “-1”"),
        ("r", "5", "the dilated kernel 5×2 is larger than the padded input 4×4"),
        ("groups", "2", "2 groups must divide the channels (c = 1) and the filters (k = 1)"),
        ("h", "0", "h must be a whole number from 1 on"),
        ("h", "", "h must be a whole number from 1 on"),
        ("w", "1.5", "w must be a whole number from 1 on"),
        ("c", "5000", "above 4,096"),
        ("shape", "n1c512h512w512k1r3s3", "this page answers at once up to 33,554,432"),
        ("shape", "n1c1024h128w128k1r1s1", "this page shows up to 4,194,304"),
        ("shape", "note<img src=x>", "Not a problem: “note<img src=x>”"),
        ("shape", "n1c1h4w4k1r2s2_st1_st2", "stride stands twice"),
        ("seed", "-1", "seed must be a whole number from 0"),
    ],
)
def test_a_setting_that_cannot_be_leaves_a_sentence_and_the_view(
    opened: Any, name: str, value: str, words: str
) -> None:
    page = opened()
    page.fill(f"input[name={name}]", value)
    page.press(f"input[name={name}]", "Tab")
    assert words in page.inner_text("#complaint")
    assert page.inner_text("#sum").endswith("<104>")
    assert state(page)["shape"] == SHAPES["note"]
    page.fill("input[name=shape]", "n1c1h5w4k1r2s2")
    page.press("input[name=shape]", "Enter")
    assert page.inner_text("#complaint") == ""


def test_the_state_stands_in_the_address_and_comes_back(opened: Any) -> None:
    page = opened()
    page.fill("input[name=h]", "6")
    page.select_option("select[name=mode]", "replicate")
    page.click("#tab-algorithms")
    page.get_by_role("button", name="Winograd").click()
    page.click("#less-q")
    page.select_option("#theme", "dark")
    wait_for(page, "location.hash.includes('q=1')")
    want = state(page)
    fragment = page.evaluate("location.hash")
    assert state(opened(fragment=fragment)) == want
    page.evaluate("location.hash = '#shape=n1c1h3w3k1r2s2&p=9&q=-4&view=nothing'")
    wait_for(page, "convbench.state().shape === 'n1c1h3w3k1r2s2'")
    now = state(page)
    assert (now["p"], now["q"], now["view"], now["mode"]) == (1, 0, "1", "zeros")


def test_a_broken_address_leaves_a_sentence_and_the_page_as_it_was_made(opened: Any) -> None:
    page = opened(fragment="#shape=%3Cscript%3E&view=4")
    assert "Not a problem: “<script>”" in page.inner_text("#complaint")
    assert page.inner_text("#sum").endswith("<104>")
    for fragment in ("#mode=mirror", "#seed=x", "#seed=1e99"):
        page = opened(fragment=fragment)
        assert page.inner_text("#complaint") != ""
        assert page.inner_text("#sum").endswith("<104>")


def test_play_goes_from_cell_to_cell_until_stopped(opened: Any) -> None:
    page = opened()
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    wait_for(page, "convbench.state().p === 2")
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "false"


# The algorithms.


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shape", ["n1c1h4w4k1r2s2", "n1c3h6w5k2r3s3_pd1", "n1c2h9w9k2r1s5_pd0x2_g2"])
def test_each_way_says_that_it_is_right_and_shows_its_numbers(opened: Any, algorithm: str, shape: str) -> None:
    page = opened(fragment=f"#shape={shape}&view=algorithms&algorithm={algorithm}")
    assert page.inner_text("#result").startswith("✓")
    title = page.inner_text("#way-title")
    assert page.locator("#panel-algorithms button[aria-pressed=true]").inner_text() == title
    # There is more than the bill: each way shows its own working.
    assert page.locator("#panel-algorithms #result ~ *").count() >= 1


def test_a_way_that_does_not_apply_says_why(opened: Any) -> None:
    for shape, words in (
        ("n1c1h6w6k1r2s2_st2", "needs stride 1"),
        ("n1c1h6w6k1r2s2_dl2", "needs dilation 1"),
        ("n1c1h6w6k1r1s1", "nothing to share"),
        ("n1c1h9w9k1r6s6", "more than 6 points"),
    ):
        page = opened(fragment=f"#shape={shape}&view=algorithms&algorithm=winograd")
        assert words in page.inner_text("#panel-algorithms")
        assert page.locator("#result").count() == 0


def test_a_large_way_waits_to_be_asked(opened: Any) -> None:
    page = opened("large", "#view=algorithms&algorithm=unfold")
    assert page.locator("#result").count() == 0
    page.get_by_role("button", name="Compute y[0,0] this way (1,806,336 products)").click()
    assert page.inner_text("#result").startswith("✓ y[0,0]: 3,136 numbers")


@pytest.mark.parametrize("view", VIEWS[:-1])
def test_a_large_problem_is_shown_through_windows(opened: Any, view: str) -> None:
    page = opened("large", f"#view={view}&p=55&q=55&c=63&k=63")
    assert page.locator("td").count() < 1500
    assert page.inner_text("#grid-y td.output").startswith("<")
    assert "more rows" in page.inner_text("#stage")


# The quiz.


def test_the_quiz_grades_explains_and_goes_on(opened: Any) -> None:
    page = opened()
    page.keyboard.press("?")
    assert not page.is_visible("#stage")
    answer = page.evaluate("convbench.quiz.question(0).answer")
    page.fill("#answer", str(answer))
    page.keyboard.press("Enter")
    assert page.inner_text("#graded").startswith("✓ Right.")
    assert page.text_content("#spoken").startswith("✓ Right.")
    assert page.evaluate("document.activeElement.id") == "next-question"
    page.keyboard.press("Enter")
    page.fill("#answer", "123456")
    page.keyboard.press("Enter")
    assert page.inner_text("#graded").startswith("✗ Not so.")
    assert "1 of 2 right" in page.inner_text("#panel-quiz")
    page.get_by_role("button", name="Walk through this problem").click()
    assert state(page)["shape"] == page.evaluate("convbench.quiz.question(1).shape")
    assert page.is_visible("#stage")


def test_outputs_are_marked_to_answer_which_of_them_read_a_pixel(opened: Any) -> None:
    page = opened(fragment="#view=quiz&asked=3")
    assert page.evaluate("convbench.quiz.question(3).kind") == "readers"
    for position in page.evaluate("convbench.quiz.question(3).answer"):
        page.click(f"#choice-{position}")
        assert page.get_attribute(f"#choice-{position}", "aria-pressed") == "true"
    page.get_by_role("button", name="Check").click()
    assert page.inner_text("#graded").startswith("✓ Right.")


# Looks.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window_and_can_be_read(opened: Any, width: int, scheme: str) -> None:
    for name in ("awkward", "large", "unread"):
        page = opened(name, viewport={"width": width, "height": 900}, color_scheme=scheme)
        for view in VIEWS:
            page.click(f"#tab-{view}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, view)
            contrasts = page.evaluate(CONTRASTS, "p, td, th, a, dt, dd, h1, h2, h3, li, button, span, label, legend")
            assert len(contrasts) > 20
            assert min(contrasts) >= 4.5, (name, view)  # WCAG 2.2, 1.4.3


def test_what_colour_says_brackets_say_too(opened: Any) -> None:
    page = opened("awkward", "#view=6")
    for selector, brackets in (("td.patch", "[]"), ("td.kernel", "()"), ("td.output", "<>")):
        texts = page.locator(selector).all_inner_texts()
        assert texts
        assert {(text[0], text[-1]) for text in texts} == {(brackets[0], brackets[1])}
    unread = opened("unread").locator("#grid-x td.unread")
    assert unread.count() == 28
    assert "line-through" in unread.first.evaluate("(one) => getComputedStyle(one).textDecorationLine")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_overrules_the_scheme(opened: Any, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 28)"}[scheme]
    page.select_option("#theme", "dark")
    assert page.evaluate(ground) == "rgb(20, 24, 28)"
    page.select_option("#theme", "light")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_reduced_motion_is_honoured(opened: Any) -> None:
    duration = "getComputedStyle(document.querySelector('#grid-x td[data-key]')).transitionDuration"
    assert "0.15s" in opened(reduced_motion="no-preference").evaluate(duration)
    assert opened(reduced_motion="reduce").evaluate(duration) == "0s"


def test_it_prints_every_step(opened: Any, tmp_path: Path) -> None:
    page = opened("awkward", viewport={"width": 794, "height": 1100}, color_scheme="dark")
    page.emulate_media(media="print")
    wait_for(page, "document.querySelector('#panel-7 .body').childElementCount > 0")
    for view in VIEWS[:-1]:
        assert page.is_visible(f"#panel-{view}")
    assert not page.is_visible("#panel-quiz")
    assert not page.is_visible("#tabs")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") >= 3
    page.emulate_media(media="screen")
    wait_for(page, "document.querySelectorAll('[role=tabpanel]:not([hidden])').length === 1")


def test_without_javascript_the_proved_walk_is_there(opened: Any) -> None:
    page = opened(java_script_enabled=False)
    assert "RESHAPE + PROOF" in page.inner_text("pre")
    assert not page.is_visible("#app")
