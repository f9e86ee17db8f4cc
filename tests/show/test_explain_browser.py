"""The page of explain in a real browser: its proof, tables, keys, settings, address, tabs, quiz, and looks."""

# ruff: noqa: RUF001  # the times sign is meant

import random
import re
from pathlib import Path
from typing import Any

import pytest

from convbench import ConvSpec
from convbench.explain.backward import gradient as backward_gradient
from tests.show.chromium import CONTRASTS, barriers
from tests.show.chromium import browser as browser  # noqa: PLC0414  # a fixture of this module too
from tests.show.explain_pages import (
    NOTE,
    SHAPES,
    STEPS,
    TABS,
    filled,
    hover,
    linked,
    of,
    open_more,
    point,
    settled,
    state,
    wait_for,
)
from tests.show.explain_pages import files as files  # noqa: PLC0414  # likewise
from tests.show.explain_pages import opened as opened  # noqa: PLC0414  # likewise

pytestmark = pytest.mark.browser

TENSORS = ("x", "w", "y", "y_plane", "patches", "folded")
MODES = ("zeros", "reflect", "replicate", "circular")
ALGORITHMS = "loops unfold implicit shift toeplitz winograd fft".split()


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
    assert re.match(r"✓ [\d,]+ numbers equal to the trace of \w+, which 12 comparisons with PyTorch ", verdict)
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
    open_more(page)
    text = page.inner_text("#agreement")
    assert text.count("✓") == len(ALGORITHMS)
    assert "✗" not in text
    assert page.locator("table[aria-label='Proof by convbench'] tbody tr").count() == 12
    page.click("#change")
    page.fill("input[name=h]", "5")
    assert settled(page).locator("table[aria-label='Proof by convbench']").count() == 0
    assert "not the one that was proved" in page.inner_text("#notes")
    assert "What is shown was computed here: 12 outputs equal by loops and by unfold" in page.inner_text("#verdict")
    assert "PyTorch and float64 proved n1c1h4w4k1r2s2" in page.inner_text("#verdict")


# Links in tables.


def test_an_output_a_tap_and_a_column_show_what_they_read(opened: Any) -> None:
    page = opened(fragment="#view=algorithms&algorithm=unfold")
    page.hover("#grid-y td[data-key='y:0,1']")
    assert linked(page, "x") == {"x:0,0,1", "x:0,0,2", "x:0,1,1", "x:0,1,2"}
    assert linked(page, "product") == {"f:0", "f:1", "f:2", "f:3", "l:1", *(f"m:{j},1" for j in range(4))}
    page.hover("#grid-w td[data-key='w:0,1,0']")
    assert linked(page, "x") == {f"x:0,{row},{column}" for row in (1, 2, 3) for column in (0, 1, 2)}
    assert linked(page, "y") == {f"y:{p},{q}" for p in range(3) for q in range(3)}
    page.hover("#grid-product td[data-key='m:3,4']")
    assert (linked(page, "x"), linked(page, "w"), linked(page, "y")) == ({"x:0,2,2"}, {"w:0,1,1"}, {"y:1,1"})
    assert "reads x[0,0,2,2] = 11" in page.text_content("#hint")
    page.mouse.move(2, 2)
    assert linked(page, "x") == set()


def test_a_click_holds_a_link_and_escape_lets_go(opened: Any) -> None:
    page = opened(fragment="#view=backward")
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
    page.click("#change")
    page.fill("input[name=seed]", "7")
    cells = page.locator("#grid-g tbody td").all_inner_texts()
    want = backward_gradient(ConvSpec.parse(NOTE), 7, ones=False).flatten().tolist()
    assert [int(one.strip("<>").replace("−", "-")) for one in cells] == want
    page.select_option("#panel-backward select", "ones")
    assert state(page)["g"] == "ones"
    assert {one.strip("<>") for one in page.locator("#grid-g tbody td").all_inner_texts()} == {"1"}


# Keys and focus.


def test_the_keys_move_the_cell_the_step_and_the_axes(opened: Any) -> None:
    page = opened("awkward", "#view=2", reduced_motion="reduce")
    assert (state(page)["p"], state(page)["q"], state(page)["c"], state(page)["k"]) == (0, 6, 2, 3)
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    assert (state(page)["p"], state(page)["q"]) == (1, 5)
    for key in ("ArrowRight", "ArrowRight"):  # time goes on to the next row
        page.keyboard.press(key)
    assert (state(page)["p"], state(page)["q"]) == (2, 0)
    page.keyboard.press("Home")
    for key, name, want in (
        ("c", "c", 3),
        ("c", "c", 0),
        ("Shift+C", "c", 3),
        ("k", "k", 4),
        ("n", "n", 1),
        ("]", "view", "2"),
        ("]", "view", "3"),
        ("[", "view", "2"),
        ("6", "view", "6"),
        ("v", "colours", 1),
        ("+", "speed", 2),
        ("-", "speed", 1),
        ("a", "view", "algorithms"),
        ("a", "algorithm", "unfold"),
        ("Shift+A", "algorithm", "loops"),
        ("d", "view", "backward"),
        ("d", "view", "6"),
        ("t", "theme", "dark"),
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
    page.click("#tab-backward")
    assert "reads channels 0 to 1; channel 3 is not among them" in page.inner_text("#grids")


def test_each_grid_has_one_stop_for_tab_and_the_arrows_walk_in_it(opened: Any) -> None:
    page = opened("large", "#view=algorithms&algorithm=unfold&p=20&q=30")
    page.get_by_role("button", name=re.compile("^Compute ")).press("Enter")
    for grid in ("x", "w", "y", "product"):
        assert page.locator(f"#grid-{grid} [tabindex='0']").count() == 1
    page.focus("#grid-x [tabindex='0']")
    before = page.evaluate("document.activeElement.dataset.key")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(9):  # beyond the window, which follows
        page.keyboard.press("ArrowRight")
    after = page.evaluate("document.activeElement.dataset.key")
    assert int(after.split(",")[2]) == int(before.split(",")[2]) + 9
    assert page.locator("#grid-x [tabindex='0']").count() == 1
    assert page.text_content("#hint").startswith(f"x[0,{after[2:]}]")
    assert (state(page)["p"], state(page)["q"]) == (20, 30)
    page.focus("#grid-y [tabindex='0']")
    page.keyboard.press("ArrowDown")
    assert (state(page)["p"], state(page)["q"]) == (21, 30)
    assert page.evaluate("document.activeElement.dataset.key") == "y:21,30"
    page.focus("#grid-product [tabindex='0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.key").startswith("m:")
    assert (state(page)["p"], state(page)["q"]) == (21, 31)


def test_the_stage_is_walked_and_changed_by_the_keyboard_alone(opened: Any) -> None:
    page = opened(fragment="#view=4")
    for grid in ("x", "w", "patches"):  # the same numbers as tables, which are heard and not seen
        assert page.locator(f"#tables #grid-{grid} [tabindex='0']").count() == 1
    page.focus("#grid-x td[data-key='x:0,0,0']")
    page.keyboard.press("ArrowRight")
    look = page.evaluate("(({ key, selected }) => [key, selected])(convbench.look())")
    assert look == ["x:0,0,1", "x:0,0,1"]  # the stage shows where the focus is
    page.keyboard.press("Enter")
    page.keyboard.type("50")
    page.keyboard.press("Enter")
    assert page.evaluate("convbench.page.self.x[1]") == 50
    assert page.evaluate("document.activeElement.dataset.key") == "x:0,0,1"
    page.focus("#grid-patches td[data-key='m:0,2']")
    page.keyboard.press("Enter")
    assert (state(page)["p"], state(page)["q"], filled(page)["columns"]) == (0, 2, 3)
    assert page.get_attribute("#grid-patches td[data-key='m:0,8']", "aria-label") == "empty"
    assert page.get_attribute("#grid-patches td[data-key='m:0,2']", "aria-label") == "3, in the patch"


def test_one_tab_is_shown_and_told(opened: Any) -> None:
    page = opened(reduced_motion="reduce")
    page.keyboard.press("3")
    for name in (*TABS, "steps"):
        page.click(f"#tab-{name}")
        assert page.locator("#views [aria-current=page]").all_inner_texts() == [name.capitalize()]
        assert page.locator("main > section:visible").count() == (2 if name == "steps" else 1)
        assert page.locator("#room section:visible").count() == (0 if name == "steps" else 1)
    assert state(page)["view"] == "3"


@pytest.mark.parametrize("view", [*map(str, STEPS), *TABS])
def test_everything_that_can_be_operated_has_a_name(opened: Any, view: str) -> None:
    page = opened("awkward", f"#view={view}")
    nameless = page.evaluate(
        """() => Array.from(document.querySelectorAll("button, input:not([hidden]), select, #canvas, [role=grid]"))
          .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim() && one.tagName !== "SELECT" ||
            one.labels?.length || one.getAttribute("aria-labelledby"))).map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert nameless == []


def test_the_sum_is_spoken_when_the_cell_moves(opened: Any) -> None:
    page = opened(fragment="#view=2")
    assert page.get_attribute("#spoken", "aria-live") == "polite"
    said = (
        "y in row 1, column 2 of filter 0, image 0 is 104: 7 times 1, plus 8 times 2, plus 11 times 3, plus 12 times 4."
    )
    assert page.text_content("#spoken") == said
    page.keyboard.press("ArrowUp")
    assert "row 0, column 2 of filter 0, image 0 is 64" in page.text_content("#spoken")
    assert settled(page).inner_text("#live") == "3·1 + 4·2 + 7·3 + 8·4 = 64"
    page.click("#tab-backward")
    assert page.inner_text("#sum") == "y[0,0,0,2] = [3](1) + [4](2) + [7](3) + [8](4) = <64>"


# Settings and state.


def test_a_setting_recomputes_everything(opened: Any) -> None:
    page = opened(fragment="#view=backward")
    page.click("#change")
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
    open_more(page)
    page.click("#change")
    assert page.input_value("input[name=padding]") == "1x2x0x1"
    for axis, lines in (("th[scope=row]", range(-1, 9)), ("th[scope=col]", range(7))):
        heads = page.locator(f"#grid-x {axis}").all_text_contents()
        assert [int(one.replace("−", "-")) for one in heads] == list(lines)
    assert "H_out = ⌊(7 + 1 + 2 − 1·(3−1) − 1) / 2⌋ + 1 = 4" in page.inner_text("#live")
    assert page.inner_text("#same").endswith("this is F.pad(x, (0, 1, 1, 2)) and then F.conv2d without padding.")
    keys = hover(page, "x", 0, 8, 6)  # read by the last output alone, below x and on its right
    assert (of("y", keys), of("w", keys)) == ({"y:3,2"}, {"w:0,2,2"})
    page.fill("input[name=h]", "9")
    assert state(page)["shape"] == "n1c3h9w6k2r3s3_st2_pd1x2x0x1"
    page.get_by_role("button", name=re.compile("^stride 1: ")).click()
    assert state(page)["shape"] == "n1c3h9w6k2r3s3_pd1x2x0x1"
    page.fill("input[name=padding]", "")
    page.locator("input[name=padding]").press_sequentially("3X0x1x1")
    assert state(page)["shape"] == "n1c3h9w6k2r3s3_pd3x0x1x1"
    assert page.text_content("#complaint") == ""
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
        ("groups", "2", "2 groups must divide the channels (C_in = 1) and the filters (C_out = 1)"),
        ("h", "0", "H must be a whole number from 1 on"),
        ("h", "", "H must be a whole number from 1 on"),
        ("w", "1.5", "W must be a whole number from 1 on"),
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
    page = opened(fragment="#view=2")
    page.click("#change")
    page.fill(f"input[name={name}]", value)
    page.press(f"input[name={name}]", "Tab")
    assert words in page.inner_text("#complaint")
    assert page.inner_text("#live").endswith("= 104")
    assert state(page)["shape"] == SHAPES["note"]
    page.fill("input[name=shape]", "n1c1h5w4k1r2s2")
    page.press("input[name=shape]", "Enter")
    assert page.text_content("#complaint") == ""


def test_the_state_stands_in_the_address_and_comes_back(opened: Any) -> None:
    page = opened()
    page.click("#change")
    page.fill("input[name=h]", "6")
    page.select_option("select[name=mode]", "replicate")
    page.select_option("#theme", "dark")
    page.click("#shut")
    page.click("#tab-algorithms")
    page.get_by_role("button", name="Winograd").click()
    page.click("#room-less-q")
    wait_for(page, "location.hash.includes('q=1')")
    want = state(page)
    fragment = page.evaluate("location.hash")
    assert state(opened(fragment=fragment)) == want
    page.evaluate("location.hash = '#shape=n1c1h3w3k1r2s2&p=9&q=-4&view=nothing'")
    wait_for(page, "convbench.state().shape === 'n1c1h3w3k1r2s2'")
    now = state(page)
    assert (now["p"], now["q"], now["view"], now["mode"]) == (1, 0, "1", "zeros")


@pytest.mark.parametrize(
    "fragment",
    [
        "#view=5&at=0.4",
        "#q=1&view=4",
        "#view=7",
        "#p=0&q=1&view=6&at=0.18&colours=1&speed=4&present=1",
        "#view=algorithms&algorithm=fft",
        "#shape=n1c3h16w16k2r3s3&view=2&image=face&kernel=blur&x=0:9&w=1:-0.25&colours=1",
    ],
)
def test_an_address_comes_back_as_it_was(opened: Any, fragment: str) -> None:
    page = opened(fragment=fragment)
    page.keyboard.press("v")
    page.keyboard.press("v")
    page.wait_for_timeout(300)
    assert page.evaluate("location.hash") == fragment


def test_a_broken_address_leaves_a_sentence_and_the_page_as_it_was_made(opened: Any) -> None:
    page = settled(opened(fragment="#shape=%3Cscript%3E&view=4"))
    assert "Not a problem: “<script>”" in page.inner_text("#complaint")
    assert page.inner_text("#live").endswith("= ?")
    for fragment in ("#mode=mirror", "#seed=x", "#seed=1e99"):
        page = settled(opened(fragment=fragment))
        assert page.inner_text("#complaint") != ""
        assert page.inner_text("#live").endswith("= ?")


def fuzzed(chance: random.Random) -> str:
    """An address as nobody would write it."""
    shapes = [
        *SHAPES.values(),
        "n1c1h2w2k1r2s2",
        "n1c1h1w1k1r1s1",
        "n3c4h6w5k4r3s3_pd1_g2",
        "n1c1h3w3k1r5s5",
        "<b>",
        "",
    ]
    values: dict[str, list[Any]] = {
        "shape": shapes,
        "view": [*range(10), *TABS, "x", ""],
        "at": [0, 0.3, 0.99, 1, 7, -2, "x"],
        "image": ["seven", "rings", "own", "toString", "__proto__", ""],
        "kernel": ["sobel-x", "blur", "constructor", ""],
        "own": ["2x2x1:AAAAAAAA", "2x2x1:A", "99x99x3:AAAA", "é"],
        "x": ["0:9", "0:9,1:-3.5,99999:1", "0:1e9", ",,", "-1:2", "0:NaN"],
        "w": ["0:0", "3:-2", "x:y"],
        "mode": ["zeros", "reflect", "circular", "replicate", "x"],
        "seed": [0, 7, 4294967295, -1, "x"],
        "p": [0, 2, 20, -3, 1e12, "x"],
        "q": [0, 2, 20, 0.5, ""],
        "k": [0, 1, 63, -1],
        "c": [0, 1, 63, -1],
        "n": [0, 1, 9],
        "colours": [0, 1, "x"],
        "speed": [0.25, 8, 3, "x"],
        "lang": ["en", "de", "xx", "__proto__"],
        "algorithm": [*ALGORITHMS, "valueOf"],
        "m": [0, 3, 5, 9],
        "g": ["ones", "terminal", "x"],
        "asked": [0, 7, -1, 1e9],
        "level": [0, 1, 2, 3, 4, 5, "x"],
        "present": [0, 1, ""],
        "embed": [0, 1],
        "theme": ["dark", "light", "x"],
        "%": ["%", "%E0%A4%A"],
    }
    names = chance.sample(sorted(values), chance.randrange(1, 9))
    return "#" + "&".join(f"{name}={chance.choice(values[name])}" for name in names)


def test_a_hundred_odd_addresses_under_a_resting_pointer_leave_no_error(opened: Any) -> None:
    chance = random.Random(20)
    page = opened()
    for turn in range(100):
        fragment = fuzzed(chance)
        page.mouse.move(chance.randrange(400, 1270), chance.randrange(60, 820))
        page.evaluate("(hash) => { location.hash = hash }", fragment)
        page.wait_for_timeout(40)
        if turn % 5 == 0:  # a click, and a problem typed while the pointer rests
            page.mouse.down()
            page.mouse.up()
            page.evaluate("(shape) => convbench.page.change({ shape })", chance.choice(list(SHAPES.values())))
        page.wait_for_timeout(20)
        assert page.evaluate("convbench.page.self.spec.l") > 0, fragment
        assert settled(page).text_content("#title"), fragment


def test_a_smaller_problem_under_a_resting_pointer_is_drawn_and_kept_in_the_address(opened: Any) -> None:
    page = opened(fragment="#shape=n1c3h32w32k8r3s3_pd1&p=20&q=20&view=2")
    page.mouse.move(*point(page, "x", 0, 25, 25))
    page.evaluate("convbench.page.change({ shape: 'n1c1h4w4k1r2s2' })")
    wait_for(page, "!location.hash.includes('shape')")
    assert (state(page)["shape"], state(page)["p"], state(page)["q"]) == (NOTE, 2, 2)
    assert settled(page).inner_text("#live").endswith("= 144")


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


@pytest.mark.parametrize("view", [*map(str, STEPS), "algorithms", "backward"])
def test_a_large_problem_is_shown_in_part(opened: Any, view: str) -> None:
    page = opened("large", f"#view={view}&p=55&q=55&c=63&k=63")
    assert settled(page).locator("td").count() < 1500
    shown = page.evaluate("(({ channels, filters }) => [channels, filters])(convbench.page.slice())")
    assert shown == [[61, 62, 63], [60, 61, 62, 63]]
    if view in ("algorithms", "backward"):
        assert page.inner_text("#grid-y td.output").startswith("<")
        assert "more rows" in page.inner_text("#grids")


# The quiz.


def test_the_quiz_grades_explains_and_goes_on(opened: Any) -> None:
    page = opened()
    page.keyboard.press("?")
    assert not page.is_visible("#operands")
    assert not page.is_visible("#stage")
    answer = page.evaluate("convbench.quiz.question(0).answer")
    page.keyboard.type(str(answer))
    page.keyboard.press("Enter")
    assert page.inner_text("#graded").startswith("✓ Right.")
    assert page.text_content("#spoken").startswith("✓ Right.")
    assert page.evaluate("document.activeElement.id") == "next-question"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "answer"
    page.keyboard.press("Enter")
    page.keyboard.type("abc")
    page.keyboard.press("Enter")
    assert page.inner_text("#graded") == "Type a number."
    assert "1 of 1 right" in page.inner_text("#panel-quiz")
    page.keyboard.type("123456")
    page.keyboard.press("Enter")
    assert page.inner_text("#graded").startswith("✗ Not quite.")
    assert "1 of 2 right" in page.inner_text("#panel-quiz")
    page.get_by_role("button", name="Walk through this problem").click()
    assert state(page)["shape"] == page.evaluate("convbench.quiz.question(1).shape")
    assert page.evaluate("Array.from(convbench.page.self.x)") == page.evaluate(
        "Array.from(convbench.quiz.question(1).self.x)"
    )
    assert page.is_visible("#stage")


def test_no_key_leaves_a_question_for_a_step(opened: Any) -> None:
    page = opened(fragment="#view=7")
    page.click("#tab-quiz")
    assert page.evaluate("document.activeElement.id") == "answer"
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")
    for key in ("4", "]", "[", "Home", "PageDown", "ArrowRight", " ", "c"):
        page.keyboard.press(key)
        assert state(page)["view"] == "quiz", key
    page.click("#next-question")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.type("-12")  # belongs to the answer, wherever the focus was
    assert page.input_value("#answer") == "-12"
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    assert state(page)["view"] == "backward"


def test_a_level_is_chosen_and_stands_in_the_address(opened: Any) -> None:
    page = opened(fragment="#view=quiz&asked=2")
    assert page.get_attribute("#level-1", "aria-checked") == "true"
    page.click("#level-3")
    assert (state(page)["level"], state(page)["asked"]) == (3, 0)
    assert page.evaluate("document.activeElement.id") == "answer"
    assert "patches, parameters and MACs" in page.inner_text("#panel-quiz")
    assert page.inner_text("#panel-quiz code") == page.evaluate("convbench.quiz.question(0, 3).shape")
    wait_for(page, "location.hash.includes('level=3')")
    for fragment in ("#view=quiz&level=9", "#view=quiz&level=0.5", "#view=quiz&level=x"):
        assert state(opened(fragment=fragment))["level"] == 1


def test_outputs_are_marked_to_answer_which_of_them_read_a_pixel(opened: Any) -> None:
    page = opened(fragment="#view=quiz&level=2&asked=2")
    assert page.evaluate("convbench.quiz.question(2, 2).kind") == "readers"
    for position in page.evaluate("convbench.quiz.question(2, 2).answer"):
        page.click(f"#choice-{position}")
        assert page.get_attribute(f"#choice-{position}", "aria-pressed") == "true"
    page.get_by_role("button", name="Check").click()
    assert page.inner_text("#graded").startswith("✓ Right.")


# Looks.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_window_and_can_be_read(opened: Any, width: int, scheme: str) -> None:
    for name in ("awkward", "large", "unread"):
        page = opened(name, viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
        for view in (*map(str, STEPS), *TABS):
            page.evaluate(f"convbench.page.change({{ view: '{view}' }})")
            if settled(page).is_visible("#more"):
                page.evaluate("document.getElementById('more').open = true")
            page.wait_for_timeout(60)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, view)
            contrasts = page.evaluate(CONTRASTS, "p, td, th, a, dt, dd, h1, h2, h3, li, button, span, label, summary")
            assert len(contrasts) > 20
            assert min(contrasts) >= 4.5, (name, view)  # WCAG 2.2, 1.4.3
        page.evaluate("convbench.page.drawer.open(true)")
        assert min(page.evaluate(CONTRASTS, "#drawer :is(h2, p, label, legend, button, dt, dd, code, input)")) >= 4.5


STAGE_CONTRASTS = """() => {
  const { ink } = convbench.page;
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (ink, ground, alpha) => ink.map((value, i) => alpha * value + (1 - alpha) * ground[i]);
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const { rgb } = ink;
  const found = {};
  for (const alpha of new Set([1, ...ALPHAS])) {
    for (const [words, ground] of [["ink", "cell"], ["ink", "paper"], ["quiet", "paper"], ["patch", "patch-bg"],
      ["kernel", "kernel-bg"], ["output", "output-bg"], ["patch", "paper"], ["kernel", "paper"], ["output", "paper"]]) {
      found[`${words} on ${ground} at ${alpha}`] = contrast(over(rgb[words], rgb.paper, alpha),
        over(rgb[ground], rgb.paper, alpha));
    }
  }
  for (let i = -20; i <= 20; i++) {
    const slice = { rangeX: [-20, 20], mostW: 20, mostY: 20 };
    for (const kind of ["x", "w", "y"]) {
      const fill = ink.colourOf(kind, i, slice);
      const number = parseInt(ink.inkOn(fill).slice(1), 16);
      found[`${kind} ${i}`] = contrast(fill, [number >> 16, (number >> 8) & 255, number & 255]);
    }
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_number_of_the_stage_can_be_read_dimmed_ones_too(opened: Any, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    alphas = set()
    for step in STEPS:
        page.evaluate(f"convbench.page.change({{ view: '{step}' }})")
        boxes = settled(page).evaluate("convbench.page.boxes()")
        alphas |= {box["alpha"] for box in boxes.values() if isinstance(box, dict)}
    found = page.evaluate(STAGE_CONTRASTS.replace("ALPHAS", str(sorted(alphas - {0}))))
    assert len(found) > 120
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}


def test_what_colour_says_brackets_say_too(opened: Any) -> None:
    page = opened("awkward", "#view=algorithms&algorithm=unfold")
    for selector, brackets in (("td.patch", "[]"), ("td.kernel", "()"), ("td.output", "<>")):
        texts = page.locator(selector).all_inner_texts()
        assert texts
        assert {(text[0], text[-1]) for text in texts} == {(brackets[0], brackets[1])}
    unread = opened("unread", "#view=backward").locator("#grid-x td.unread")
    assert unread.count() == 28
    assert "line-through" in unread.first.evaluate("(one) => getComputedStyle(one).textDecorationLine")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_switch_overrules_the_scheme(opened: Any, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(250, 249, 246)", "rgb(14, 16, 20)"
    assert page.evaluate(ground) == {"light": light, "dark": dark}[scheme]
    page.click("#dark")
    assert page.evaluate(ground) == {"light": dark, "dark": light}[scheme]
    page.click("#change")
    page.select_option("#theme", "dark")
    assert page.evaluate(ground) == dark
    page.select_option("#theme", "light")
    assert page.evaluate(ground) == light


def test_it_prints_every_step(opened: Any, tmp_path: Path) -> None:
    page = opened("awkward", viewport={"width": 794, "height": 1100}, color_scheme="dark")
    page.emulate_media(media="print")
    wait_for(page, "document.querySelector('#printed-7 table') !== null")
    for name in (*map(str, STEPS), "algorithms", "backward"):
        assert page.is_visible(f"#printed-{name}")
    assert page.locator("#printed-7 table[aria-label='Proof by convbench'] tr").count() == 13
    assert "oneDNN" in page.inner_text("#printed-8")
    assert not page.is_visible("#story")
    assert not page.is_visible("#panel-quiz")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    sizes = page.evaluate(
        "Array.from(document.querySelectorAll('#paper :is(figcaption, th, td, h2)'), (one) =>"
        "[one.tagName, parseFloat(getComputedStyle(one).fontSize)])"
    )
    largest = {tag: max(size for name, size in sizes if name == tag) for tag, _ in sizes}
    assert max(largest["FIGCAPTION"], largest["TD"]) < largest["H2"]
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") >= 3
    page.emulate_media(media="screen")
    wait_for(page, "document.getElementById('paper').childElementCount === 0")


def test_without_javascript_the_proved_walk_is_there(opened: Any) -> None:
    page = opened(java_script_enabled=False)
    assert "RESHAPE + PROOF" in page.inner_text("pre")
    assert not page.is_visible("#app")


def test_on_a_phone_what_is_touched_is_large_enough(opened: Any) -> None:
    page = settled(opened(viewport={"width": 390, "height": 844}, has_touch=True))
    page.click("#change")
    page.wait_for_timeout(500)
    small = page.evaluate(
        "Array.from(document.querySelectorAll('.top button, #drawer :is(button, input, select), .buttons button,"
        " .speed button')).filter((one) => one.checkVisibility()).map((one) => [one.id || one.name ||"
        " one.textContent, one.getBoundingClientRect().height]).filter(([, high]) => high < 40)"
    )
    assert small == []


# Another language.


def test_another_language_is_chosen_in_the_address_or_in_the_drawer(opened: Any) -> None:
    page = settled(opened(fragment="#lang=de&view=4"))
    assert page.get_attribute("html", "lang") == "de"
    assert "Spalte" in page.inner_text("#text")
    page.click("#change")
    page.select_option("#lang", "en")
    assert settled(page).inner_text("#change") == "Change"
    assert "column" in page.inner_text("#text")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
@pytest.mark.parametrize("fragment", [*(f"view={step}" for step in STEPS), *(f"view={tab}" for tab in TABS), "present"])
def test_axe_finds_nothing_serious(opened: Any, fragment: str, scheme: str, width: int) -> None:
    page = settled(opened(fragment=f"#{fragment}", color_scheme=scheme, viewport={"width": width, "height": 844}))
    assert barriers(page) == []
