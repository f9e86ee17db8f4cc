"""Does the picture of a step show the walk's numbers, fill up as time goes by, and refuse what nobody could read?"""

from collections import Counter
from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import pytest
from PIL import Image, ImageColor, ImageFont

from convbench import ConvSpec
from convbench.errors import ConvbenchError
from convbench.explain import STEPS
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, move, small_integers, walk
from convbench.show import film
from convbench.show.scene import INK, Box, Phrase, Scene, Words, ink_of
from convbench.show.slide import HEIGHT, SMALLEST_TEXT, WIDTH, Moment, arrange, filled, positions
from convbench.show.stage import at_rest, check_readable, stage, timeline
from convbench.show.steps import View
from tests.show.test_frames import contrast

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
GROUPED = ConvSpec.parse("n2c4h4w3k4r2s2_st2_pd1_g2")
HERE = View(here=("PyTorch really built this patch matrix: 144 B of scratch → 36 numbers × 4 B.",))  # noqa: RUF001  # as it is told


def walk_of(spec: ConvSpec) -> Walk:
    return walk(*small_integers(spec), spec, choose_cell(spec))


def words(scene: Scene) -> list[str]:
    return [item.text for item in scene.items if isinstance(item, Words)]


def in_cells(scene: Scene) -> Counter[str]:
    """The words of cells, without captions and names of lines."""
    boxes = [item for item in scene.items if isinstance(item, Box)]
    return Counter(
        item.text
        for item in scene.items
        if isinstance(item, Words)
        and any(box.x < item.x < box.x + box.width and box.y < item.y < box.y + box.height for box in boxes)
    )


def live(scene: Scene) -> str:
    """What is told of a sum by now; what is still to come is in the paper's ink."""
    (phrase,) = (item for item in scene.items if isinstance(item, Phrase))
    return "".join(text for text, ink in phrase.pieces if ink != "paper")


@pytest.mark.parametrize("spec", [NOTE, GROUPED], ids=str)
@pytest.mark.parametrize("step", STEPS)
def test_everything_is_inside_the_picture_in_letters_that_pillow_has(step: str, spec: ConvSpec) -> None:
    found = walk_of(spec)
    font = ImageFont.load_default(40)
    missing = font.getmask("￿").getbbox()
    for moment, _ in list(timeline(found, step))[::-7]:
        scene = stage(found, step, moment, HERE)
        for item in scene.items:
            if isinstance(item, Box):
                assert 0 <= item.x <= item.x + item.width <= WIDTH
                assert 0 <= item.y <= item.y + item.height <= HEIGHT
            if isinstance(item, Words | Phrase):
                assert item.size >= SMALLEST_TEXT - 1.5, item.text
                long = font.getlength(item.text) * item.size / 40
                left = item.x - {"start": 0, "middle": long / 2, "end": long}[item.anchor]
                assert 0 <= left <= left + long <= WIDTH, item.text
                for letter in set(item.text) - {" "}:
                    assert letter.isascii() or letter == "·", item.text
                    assert font.getmask(letter).getbbox() != missing


def test_the_sum_builds_up_term_by_term_and_the_output_fills_at_its_end() -> None:
    found = walk_of(NOTE)
    told = [live(stage(found, "loops", Moment(5, share), View())) for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert told == [
        "",
        "7 · 1",
        "7 · 1 + 8 · 2",
        "7 · 1 + 8 · 2 + 11 · 3",
        *["7 · 1 + 8 · 2 + 11 · 3 + 12 · 4"],
        told[-1],
    ]
    assert told[-1] == "7 · 1 + 8 · 2 + 11 · 3 + 12 · 4 = 104"
    assert "104" not in words(stage(found, "loops", Moment(5, 0.8), View()))
    assert "104" in words(stage(found, "loops", Moment(5, 1.0), View()))


@pytest.mark.parametrize(("step", "numbers"), [("unfold", 36), ("multiply", 9), ("reshape", 9), ("flatten", 4)])
def test_a_step_fills_with_the_walk_s_own_numbers_and_with_nothing_else(step: str, numbers: int) -> None:
    found = walk_of(NOTE)
    whole = {"unfold": found.own, "multiply": found.y_row, "reshape": found.y, "flatten": found.w_row}[step]
    empty, full = (in_cells(stage(found, step, moment, View())) for moment in (Moment(0, 0.0), at_rest(found)))
    assert full - empty == Counter(str(int(one)) for one in whole.flatten())
    assert (full - empty).total() == numbers
    assert not empty - full


@pytest.mark.parametrize("step", STEPS)
def test_time_only_goes_forward_and_ends_full(step: str) -> None:
    found = walk_of(NOTE)
    moments = [moment for moment, _ in timeline(found, step)]
    done = [filled(found, step, moment) for moment in moments]
    assert done == sorted(done)
    assert done[-1] == positions(found, step)
    assert moments[-1].rest
    count = positions(found, step)
    assert moments[-1].position == (count - 1 if count else found.position)  # it does not jump back to the walk's cell
    assert all(seconds >= 0.05 for _, seconds in timeline(found, step))


@pytest.mark.parametrize("spec", [NOTE, ConvSpec.parse("n1c1h7w7k1r2s2_st2")], ids=str)
@pytest.mark.parametrize("step", ["unfold", "flatten", "reshape"])
def test_what_flies_covers_no_label(step: str, spec: ConvSpec) -> None:
    found = walk_of(spec)
    font = ImageFont.load_default(40)
    flying = 0
    for moment, _ in timeline(found, step):
        scene = stage(found, step, moment, View())
        boxes = [item for item in scene.items if isinstance(item, Box)]
        strong = [box for box in boxes if box.ink in ("patch", "kernel", "output")]
        flying += len(strong)
        for label in (item for item in scene.items if isinstance(item, Words)):
            if any(box.x < label.x < box.x + box.width and box.y < label.y < box.y + box.height for box in boxes):
                continue
            long = font.getlength(label.text) * label.size / 40
            left = label.x - {"start": 0, "middle": long / 2, "end": long}[label.anchor]
            for box in strong:
                beside = box.x + box.width < left or left + long < box.x
                assert beside or box.y > label.y or box.y + box.height < label.y - label.size * 0.7, label.text
    assert flying >= 4


def test_a_picture_depends_on_the_walk_and_the_moment_alone() -> None:
    found = walk_of(GROUPED)
    moved = move(found, replace(found.cell, p=1, q=1))
    assert stage(found, "multiply", Moment(2, 0.5), View()) == stage(found, "multiply", Moment(2, 0.5), View())
    assert stage(found, "unfold", Moment(2), View()) == stage(moved, "unfold", Moment(2), View())
    assert stage(found, "unfold", at_rest(found), View()) != stage(moved, "unfold", at_rest(moved), View())


@pytest.mark.parametrize(
    ("text", "step"), [("n1c1h9w9k1r3s3", "unfold"), ("n1c1h28w28k1r3s3", "loops"), ("n1c64h8w8k1r3s3", "flatten")]
)
def test_what_would_be_too_small_to_read_is_refused_before_it_is_computed(text: str, step: str) -> None:
    with pytest.raises(ConvbenchError, match=f"--gif of {text}, step {step}: its numbers would be too small to read"):
        check_readable(ConvSpec.parse(text), (step,), "--gif")
    check_readable(ConvSpec.parse(text), ("pytorch",), "--gif")


def test_numbers_of_many_digits_are_refused_when_they_are_known() -> None:
    x, w = small_integers(NOTE)
    found = walk(x * 1234567 + 0.125, w, NOTE, choose_cell(NOTE))
    with pytest.raises(ConvbenchError, match="too small to read"):
        stage(found, "multiply", at_rest(found), View())


def test_every_ink_of_a_cell_can_be_read_on_its_ground() -> None:
    for ink, ground in [("ink", "cell"), ("quiet", "paper"), ("ink", "paper")]:
        assert contrast(INK[ink], INK[ground]) >= 4.5
    for role in ("patch", "kernel", "output"):
        assert contrast(ink_of(role), ink_of(f"{role}-ground")) >= 4.5
        assert contrast(ink_of(role), INK["paper"]) >= 4.5


def test_the_svg_of_a_picture_says_the_same_words() -> None:
    text = stage(walk_of(NOTE), "loops", Moment(5), View()).svg(alone=True)
    assert text.count("<rect") == 1 + 16 + 4 + 9
    assert '<tspan fill="#176b41">104</tspan>' in text


def test_channels_are_next_to_each_other_where_that_is_larger() -> None:
    spec = ConvSpec.parse("n1c3h5w5k1r3s3")
    assert arrange(spec, "loops")[1] == 2
    assert arrange(replace(spec, c=1), "loops")[1] == 1
    grids = [item for item in stage(walk_of(spec), "loops", Moment(0), View()).items if isinstance(item, Box)]
    assert len(grids) == 3 * 25 + 3 * 9 + 9


def test_a_png_of_one_step_is_a_slide_and_of_more_two_columns() -> None:
    found = walk_of(NOTE)
    one, three = (Image.open(BytesIO(film.png(found, steps, View()))) for steps in (STEPS[:1], STEPS[2:5]))
    assert one.size == (1280, 720)
    assert three.size == (2560, 1440)


def test_a_gif_plays_the_timeline_in_flat_colours_and_is_the_same_again() -> None:
    found = walk_of(NOTE)
    data = film.gif(found, ("positions",), View())
    picture = Image.open(BytesIO(data))
    moments = list(timeline(found, "positions"))
    scenes = [stage(found, "positions", moment, View()) for moment, _ in moments]
    frames = 1 + sum(before != after for before, after in pairwise(scenes))  # what stays is one frame, shown longer
    assert picture.n_frames == frames  # type: ignore[attr-defined]  # a GIF has it
    total = 0.0
    for number in range(frames):
        picture.seek(number)
        total += picture.info["duration"]
    assert total == pytest.approx(1000 * sum(seconds for _, seconds in moments), rel=0.02)
    colours = {colour for _, colour in picture.convert("RGB").getcolors(9999) or ()}
    flat = ("paper", "cell", "ink", "patch", "patch-ground", "kernel-ground", "output-ground")
    assert {ImageColor.getrgb(INK[name]) for name in flat} <= colours
    assert data == film.gif(found, ("positions",), View())


@pytest.mark.program
def test_a_film_of_all_steps_of_the_note_is_below_a_megabyte() -> None:
    assert len(film.gif(walk_of(NOTE), STEPS, HERE)) < 1_000_000
