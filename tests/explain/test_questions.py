"""Are the twelve answers right on any problem, and is nothing in them canned?"""

import random
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from convbench import ConvSpec
from convbench.errors import ConvbenchError
from convbench.explain.questions import QUESTIONS, SHOWS_ALL, ask, choose, rounding
from convbench.explain.sheet import NumberGrid, Say, Sheet, Sum, Table, WhyAnswer
from convbench.explain.walk import choose_cell
from convbench.show.questions import answer_page

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
AWKWARD = [
    "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2",
    "n1c6h6w5k6r3s3_pd1_g6",
    "n3c2h1w9k1r1s4_st1x3_pd0x2",
    "n1c3h11w4k2r5s1_st4x1_pd0_dl2x1",
    "n2c4h5w6k4r1s1_st2",
    "n2c4h6w5k4r3s2_st2x1_pd0x2x1x0_dl1x2_g2",
]


def answer(name: str, spec: ConvSpec = NOTE, **how: Any) -> WhyAnswer:
    found = ask(QUESTIONS[name], spec, **how)
    assert found.proof
    assert found.holds, [one for one in found.proof if not one.holds]
    return found


def grid(found: WhyAnswer, label: str) -> list[list[float]]:
    return next(part.numbers.tolist() for part in found.parts if isinstance(part, NumberGrid) and part.label == label)


def table(found: WhyAnswer) -> dict[str, tuple[float, ...]]:
    return {name: numbers for part in found.parts if isinstance(part, Table) for name, numbers in part.rows}


def test_the_kernel_of_the_note_is_not_flipped() -> None:
    found = answer("flip", cell=choose_cell(NOTE, at=(0, 0)))
    assert (found.numbers["plain"], found.numbers["turned"]) == (44, 26)
    assert [part.total for part in found.parts if isinstance(part, Sum)] == [44, 26]
    assert grid(found, "y") == [[44, 54, 64], [84, 94, 104], [124, 134, 144]]
    assert grid(found, "y flipped") == [[26, 36, 46], [66, 76, 86], [106, 116, 126]]
    assert "44" in found.short
    assert "26" in found.short


def test_two_channels_show_the_order_of_the_rows() -> None:
    found = answer("order", ConvSpec.parse("n1c2h4w4k1r2s2"))
    assert not found.stand_in
    assert grid(found, "order") == [[11, 12, 13, 14, 21, 22, 23, 24], [11, 21, 12, 22, 13, 23, 14, 24]]
    assert str(answer("order").spec) == "n1c2h4w4k1r2s2"


def test_the_nine_counts_positions_and_the_four_counts_taps() -> None:
    found = answer("nine")
    assert found.short.startswith("F.unfold gives (1, 4, 9)")
    assert table(found)["twice the channels"] == (1, 8, 9)
    assert table(found)["twice the filters"] == table(found)["this problem"] == (1, 4, 9)


def test_the_floor_names_the_rows_and_columns_that_nobody_reads() -> None:
    found = answer("floor", ConvSpec.parse("n1c1h5w8k1r2s2_st2x3"))
    assert not found.stand_in
    assert (found.numbers["lost2"], found.numbers["lost3"]) == ((4,), (2, 5))
    assert found.numbers["unread"] == 40 - 4 * 6
    assert found.numbers["changed"] == 0
    assert "⌊1.5⌋" in found.parts[0].text  # type: ignore[union-attr]


def test_a_rest_that_is_padding_only_leaves_no_pixel_unread() -> None:
    found = answer("floor", ConvSpec.parse("n1c1h4w4k1r3s3_st2_pd1"))
    assert found.numbers["rest2"] == 1
    assert found.numbers["unread"] == 0
    assert any("Every pixel is read" in getattr(part, "text", "") for part in found.parts)


def test_dilation_widens_the_kernel_and_adds_no_weight() -> None:
    found = answer("dilation", ConvSpec.parse("n1c2h9w9k3r3s2_dl2x3"))
    assert (found.numbers["extent_h"], found.numbers["extent_w"]) == (5, 4)
    assert found.numbers["weights"] == found.numbers["undilated"] == 36
    assert table(found)["dilation 1"] == (3, 2, 7, 8, 36)


def test_the_overlaps_of_the_note_are_one_two_and_four() -> None:
    found = answer("fold")
    assert [found.numbers[name] for name in ("corner", "edge", "inside")] == [1, 2, 4]
    assert grid(found, "counts") == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert (found.numbers["value"], found.numbers["comes"]) == (6, 24)
    assert found.numbers["restored"] == 16


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n1c1h4w4k1r2s2", "its result has x's size, 4\N{MULTIPLICATION SIGN}4, not y's 3\N{MULTIPLICATION SIGN}3."),
        (
            "n1c2h6w5k3r3s3_pd1",
            "its result belongs to x, with x's channels; y only happens to have its height and width",
        ),
        ("n1c2h6w5k3r3s3_pd1x0", "not y's 6\N{MULTIPLICATION SIGN}3."),
    ],
)
def test_folds_size_is_set_apart_from_ys_only_if_they_differ(text: str, words: str) -> None:
    short = answer("fold", ConvSpec.parse(text)).short
    assert words in short
    sizes = re.search(r"x's size, (\S+), not y's (\S+)\.", short)
    assert sizes is None or sizes[1] != sizes[2]


def test_pixels_are_named_by_their_place_with_how_often_they_occur() -> None:
    for text, words in (
        ("n2c6h9w7k6r3s2_st2x1_pd1_g2", "2 at x[0,0], 2 at x[0,3], 2 at x[4,3]."),
        ("n1c2h1w5k2r1s3", "1 at x[0,0], 3 at x[0,2]."),
    ):
        said = [part.text for part in answer("fold", ConvSpec.parse(text)).parts if isinstance(part, Say)]
        assert said[0] == f"How many times a pixel occurs in the patch matrix: {words}"


@pytest.mark.parametrize(
    ("text", "steps_over", "crop"),
    [
        ("n1c1h5w5k1r2s2_st2", False, True),
        ("n1c3h8w8k2r1s1_st2", True, True),
        ("n1c1h10w10k1r2s2_st3", True, True),
        ("n1c1h4w4k1r3s3_st2_pd1", False, False),
    ],
)
def test_pixels_between_two_positions_are_not_put_down_to_the_floor(text: str, steps_over: bool, crop: bool) -> None:
    found = answer("floor", ConvSpec.parse(text))
    assert not found.stand_in
    said = " ".join(part.text for part in found.parts if isinstance(part, Say))
    assert ("the kernel steps over those before its last position" in said) == steps_over
    assert ("To use the pixels at the end, pad x" in found.notes[0]) == crop


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n1c1h4w4k1r2s2_dl2", "columns {1,3} of x."),
        ("n1c4h6w6k4r3s3_pd1_dl2_g4", "columns {-1,1,3} of x; those outside x are padding."),
    ],
)
def test_padding_is_told_of_a_dilated_kernel_only_where_it_reads_some(text: str, said: str) -> None:
    found = answer("dilation", ConvSpec.parse(text))
    assert any(part.text.endswith(said) for part in found.parts if isinstance(part, Say))


def test_a_dilation_that_leaves_ys_size_says_so() -> None:
    assert answer("dilation", ConvSpec.parse("n1c1h5w5k1r2s2_st4_dl2")).short.endswith(", as without dilation.")


def test_a_group_of_one_channel_has_nothing_to_sum() -> None:
    found = answer("groups", ConvSpec.parse("n1c4h6w6k4r3s3_pd1_g4"))
    said = " ".join(part.text for part in found.parts if isinstance(part, Say))
    assert "Filter 1 is in group 1 and reads only channel 1 of 4:" in said
    assert "summed" not in said
    assert "here that is one channel" in found.short


def test_counts_of_one_are_singular() -> None:
    one = ConvSpec.parse("n1c1h1w1k1r1s1")
    assert answer("flops", one).short.startswith("1 MAC, which is 2 FLOPs at two per MAC, or exactly 1 operation.")
    assert answer("nine", one).short.endswith("1 kernel element over all channels, and 1 position.")


@pytest.mark.parametrize(
    ("text", "tile", "matrix"),
    [
        ("n1c1h4w4k1r2s2", "a single tile holds the whole matrix", "Only the reshape to a matrix copies."),
        ("n1c4h6w6k2r3s3", "and no more is stored", "Only the reshape to a matrix copies."),
        ("n1c4h6w6k2r3s3_pd1", "and no more is stored", "After the padding, only the reshape to a matrix copies."),
        ("n1c9h5w6k2r1s1", "and no more is stored", "Here even the reshape to a matrix is a view."),
    ],
)
def test_what_a_tile_saves_and_whether_the_reshape_copies_is_as_here(text: str, tile: str, matrix: str) -> None:
    spec = ConvSpec.parse(text)
    said = " ".join(part.text for part in answer("memory", spec).parts if isinstance(part, Say))
    assert tile in said
    assert matrix in said
    x = torch.rand(*spec.x_shape[:2], *spec.padded)
    patches = x.unfold(2, spec.r, 1).unfold(3, spec.s, 1).permute(0, 1, 4, 5, 2, 3).reshape(spec.n, -1, spec.p * spec.q)
    assert (patches.data_ptr() == x.data_ptr()) == ("even the reshape" in matrix)


def test_a_sum_that_reads_padding_has_a_legend() -> None:
    for text, legend in (("n1c1h4w4k1r2s2_pd1", True), (str(NOTE), False)):
        lines = [line.plain.strip() for line in answer_page([answer("flip", ConvSpec.parse(text))], 80)]
        assert lines.count("[patch]   (kernel)   \N{MIDDLE DOT}0 zero of the padding") == legend


def test_what_was_never_read_does_not_come_back_from_fold() -> None:
    found = answer("fold", ConvSpec.parse("n1c1h6w6k1r3s3_st2"))
    assert found.numbers["restored"] == 25
    assert found.numbers["pixels"] == 36


def test_groups_are_shown_with_the_weights_of_the_filter() -> None:
    found = answer("groups", ConvSpec.parse("n1c6h5w5k4r3s3_g2"))
    assert found.numbers["channels"] == (3, 4, 5)
    assert (found.numbers["weights"], found.numbers["dense"]) == (4 * 3 * 9, 4 * 6 * 9)
    assert sum(numbers[0] for numbers in table(found).values()) == found.numbers["total"]
    assert "Given groups=1" in found.numbers["refusal"]
    assert str(answer("groups").spec) == "n1c4h4w4k2r2s2_g2"


def test_the_padding_modes_of_the_note_are_those_of_torch() -> None:
    found = answer("padding", ConvSpec.parse("n1c1h4w4k1r2s2_pd2"))
    assert grid(found, "row 0") == [
        [0, 0, 1, 2, 3, 4, 0, 0],
        [3, 2, 1, 2, 3, 4, 3, 2],
        [1, 1, 1, 2, 3, 4, 4, 4],
        [3, 4, 1, 2, 3, 4, 1, 2],
    ]
    assert table(found)["2×2 kernel (this)"] == (0, 1, 0, 1)  # noqa: RUF001
    assert "strided" in found.numbers["refusal"]


def test_padding_that_differs_is_explained_as_given_and_asked_of_torch_beforehand() -> None:
    spec = ConvSpec.parse("n1c1h4w4k1r2s2_st2_pd1x0x0x2")
    found = answer("padding", spec)
    assert not found.stand_in
    assert grid(found, "row 0") == [[1, 2, 3, 4, 0, 0], [1, 2, 3, 4, 3, 2], [1, 2, 3, 4, 4, 4], [1, 2, 3, 4, 1, 2]]
    assert found.notes[-1].endswith("x was padded first: F.pad(x, (0, 2, 1, 0)), then padding=(0, 0).")
    floor = answer("floor", spec)
    assert "H_out = ⌊(4 + 1 + 0 − 1·(2−1) − 1) / 2⌋" in floor.parts[0].text  # type: ignore[union-attr]  # noqa: RUF001
    ran = answer("algorithm", spec)
    assert ran.parts[0].text.startswith(  # type: ignore[union-attr]
        "F.conv2d in fp32 on this machine's CPU, with x padded first to n1c1h5w6k1r2s2_st2: "
    )


def test_a_mode_that_is_impossible_is_told_in_torchs_words() -> None:
    found = answer("padding", ConvSpec.parse("n1c1h4w2k1r2s2_pd0x2"))
    assert "Padding size should be less" in found.numbers["reflect"]
    assert "circular" in table(found)
    assert "reflect" not in table(found)


def test_same_padding_is_what_torch_does_for_every_kernel() -> None:
    for r in range(1, 6):
        found = table(answer("padding", ConvSpec(n=1, c=1, h=9, w=9, k=1, r=r, s=2, padding=(1, 1), dilation=(2, 3))))
        top, bottom, left, right = next(iter(value for name, value in found.items() if "(this)" in name))
        x, w = torch.rand(1, 1, 9, 9, dtype=torch.float64), torch.rand(1, 1, r, 2, dtype=torch.float64)
        padded = F.pad(x, [int(one) for one in (left, right, top, bottom)])
        with warnings.catch_warnings(action="ignore"):  # torch tells of a copy
            same = F.conv2d(x, w, padding="same", dilation=(2, 3))
        assert torch.equal(same, F.conv2d(padded, w, dilation=(2, 3)))


def test_two_right_answers_differ_by_their_order_of_summation() -> None:
    found = answer("not-equal", ConvSpec.parse("n1c3h32w32k16r7s7_st2_pd3"))
    assert 0 < found.numbers["apart"] <= found.numbers["conv"] + found.numbers["unfold"] + 1e-12
    assert found.numbers["whole"] == 0
    assert 0 < found.numbers["apart64"] < 1e-12  # by two orders of summation
    assert found.numbers["conv_share"] < 1
    assert found.numbers["unfold_share"] < 1


def test_integers_are_said_to_be_exact_only_below_2_to_the_24() -> None:
    found = answer("not-equal", ConvSpec.parse("n1c8h110w110k1r7s7"))
    x, w = torch.arange(8 * 110 * 110).float().reshape(1, 8, 110, 110), torch.ones(1, 8, 7, 7)
    y, unfolded = F.conv2d(x, w), (w.flatten(1) @ F.unfold(x, 7)).reshape(1, 1, 104, 104)
    assert found.numbers["counting_top"] == int(F.conv2d(x.double(), w.double()).max()) > 2**24
    assert found.numbers["counting_differ"] == int((y != unfolded).sum()) > 0
    assert (found.numbers["whole"], found.numbers["whole_differ"]) == (0, 0)
    assert found.numbers["whole_top"] < 2**24
    text = " ".join(part.text for part in found.parts if isinstance(part, Say))
    assert f"sums up to {found.numbers['counting_top']:,}" in text
    assert f"{found.numbers['counting_differ']:,} outputs differ" in text
    shown = answer("not-equal")  # of the note's sizes, or of longer sums where this CPU adds those equally
    small = " ".join(part.text for part in shown.parts if isinstance(part, Say))
    assert shown.numbers["whole_top"] == (144 if shown.asked == NOTE else 3_489)
    assert f"stay below 16,777,216: here they reach {shown.numbers['whole_top']:,}, and no output differs" in small
    assert "fp32 skips integers" not in small


def test_where_two_sums_are_equal_bit_for_bit_a_longer_one_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    race = rounding._race

    def alike(spec: ConvSpec, seed: int) -> Any:
        x, w, conv, unfolded = race(spec, seed)
        return (x, w, conv, conv.clone() if spec == NOTE else unfolded + 0)

    monkeypatch.setattr(rounding, "_race", alike)
    found = answer("not-equal")
    assert found.asked == NOTE
    assert found.spec != NOTE
    assert "bitwise equal" in found.stand_in


def test_the_patch_matrix_of_the_note_is_its_144_bytes() -> None:
    found = answer("memory")
    assert (found.numbers["x_nbytes"], found.numbers["patches_nbytes"], found.numbers["times"]) == (64, 144, 2.25)
    large = answer("memory", ConvSpec.parse("n1c64h56w56k64r3s3_pd1"))
    assert large.numbers["patches_nbytes"] == 7_225_344
    assert large.numbers["tile"] == 8 * 128 * 4


@pytest.mark.parametrize("text", ["n1c64h56w56k64r3s3_pd1", "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2", "n1c2h5w5k3r3s3"])
def test_copies_of_pixels_and_zeros_of_the_padding_make_the_patch_matrix(text: str) -> None:
    spec = ConvSpec.parse(text)
    found = answer("memory", spec)
    ones = F.unfold(torch.ones(1, spec.c, spec.h, spec.w), (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    copies = int(ones.sum())
    assert (found.numbers["copies"], found.numbers["zeros"]) == (copies, ones.numel() - copies)
    assert ("zeros of the padding" in found.short) == (copies < ones.numel())


def test_the_patch_matrix_of_a_padded_layer_has_zeros_too() -> None:
    short = answer("memory", ConvSpec.parse("n1c64h56w56k64r3s3_pd1")).short
    assert "1,806,336 numbers for the 200,704 of x, 9\N{MULTIPLICATION SIGN} as many" in short
    assert "(1,763,584), and 42,752 zeros of the padding" in short


def test_winograd_takes_16_multiplications_for_the_note_and_toeplitz_36_of_144() -> None:
    found = answer("algorithm")
    counts = {name: numbers[0] for name, numbers in table(found).items()}
    assert counts["direct"] == counts["unfold + matmul"] == 36
    assert next(value for name, value in counts.items() if name.startswith("Winograd F(3")) == 16
    assert (found.numbers["nonzeros"], found.numbers["places"]) == (36, 144)
    assert "Slow2d" in found.short


@pytest.mark.parametrize("spec", ["n1c2h9w9k2r3s3_st2", "n1c2h9w9k2r3s3_dl2", "n1c2h20w20k2r11s11"])
def test_winograd_is_refused_in_words_where_it_does_not_apply(spec: str) -> None:
    found = answer("algorithm", ConvSpec.parse(spec))
    assert not any("Winograd" in name for name in table(found))
    assert found.numbers["no_winograd"]
    needs = found.spec.stride != (1, 1) or found.spec.dilation != (1, 1)
    assert ("Winograd needs a stride and a dilation of one" in found.short) == needs
    assert ("Winograd is not shown" in found.short) != needs


def test_the_note_has_36_macs_72_flops_and_63_operations() -> None:
    found = answer("flops")
    assert [found.numbers[name] for name in ("macs", "flops", "exact", "bias")] == [36, 72, 63, 9]
    assert round(found.numbers["intensity"], 2) == 0.62
    assert round(found.numbers["patchy"], 2) == 0.18
    large = answer("flops", ConvSpec.parse("n1c64h56w56k64r3s3_pd1"))
    assert (round(large.numbers["intensity"]), round(large.numbers["patchy"])) == (132, 14)
    assert large.numbers["fewer"] == 64


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("text", AWKWARD)
def test_an_awkward_problem_is_answered_with_proof_and_fits_every_width(name: str, text: str) -> None:
    found = answer(name, ConvSpec.parse(text), seed=1)
    for width in (60, 80, 120):
        assert max(len(line) for line in answer_page([found], width)) <= width


def small_specs(count: int) -> Iterator[ConvSpec]:
    source = random.Random(7)
    while count:
        groups = source.choice([1, 1, 2, 3])
        try:
            yield ConvSpec(
                n=source.randint(1, 2),
                c=groups * source.randint(1, 2),
                h=source.randint(1, 7),
                w=source.randint(1, 7),
                k=groups * source.randint(1, 2),
                r=source.randint(1, 4),
                s=source.randint(1, 3),
                stride=(source.randint(1, 3), source.randint(1, 3)),
                padding=(source.randint(0, 3), source.randint(0, 2)),
                padding_end=source.choice([None, (source.randint(0, 3), source.randint(0, 2))]),
                dilation=(source.randint(1, 3), source.randint(1, 2)),
                groups=groups,
            )
            count -= 1
        except ConvbenchError:
            continue


@pytest.mark.parametrize("name", QUESTIONS)
def test_forty_random_problems_are_answered_with_every_proof_holding(name: str) -> None:
    for seed, spec in enumerate(small_specs(40)):
        found = ask(QUESTIONS[name], spec, seed=seed % 3)
        assert found.holds, (spec, found.spec, [one for one in found.proof if not one.holds])
        assert all(len(line) <= 60 for line in answer_page([found], 60))


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_sentence_of_an_answer_holds_a_canned_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    templates: list[str] = []
    words = Sheet.words

    def listen(sheet: Sheet, template: str) -> str:
        templates.append(template)
        return words(sheet, template)

    monkeypatch.setattr(Sheet, "words", listen)
    for text in (str(NOTE), *AWKWARD):
        ask(QUESTIONS[name], ConvSpec.parse(text))
    assert templates
    terms = r"conv2d|Conv2d|float64|fp32|int64|im2col|AArch64|x86|flip\(2, 3\)|unfold\([23], \.\.\.\)|K, -1"
    terms += r"|[-+\u2212] ?1\b|2·\{"
    for template in templates:
        # What is left after names of indices, types and formulas: places, and y[...], x[...] of the walk.
        bare = re.sub(
            rf"\{{\w*:?[^}}]*\}}|[xy]\[[\d,]+\]|groups=\d+|\(channel \d+\)|\bF\(|{terms}|dilation are 1", "", template
        )
        bare = re.sub(r"\b(rest|room|quotient|stride|padding|dilation|lost)[23]\b", "", bare)
        assert not re.search(r"\d", bare), template


def test_every_question_can_be_shown_on_the_last_resort() -> None:
    for name, question in QUESTIONS.items():
        assert question.nearest(SHOWS_ALL) is None, name
        answer(name, SHOWS_ALL)


def test_a_stand_in_can_show_what_was_asked_for() -> None:
    for spec in (NOTE, *small_specs(40)):
        for question in QUESTIONS.values():
            nearest = question.nearest(spec)
            if nearest is not None:
                assert question.nearest(next(nearest[1], SHOWS_ALL)) is None, (question.name, spec)


def test_a_number_that_two_ways_disagree_on_is_no_proof() -> None:
    sheet = Sheet(spec=NOTE, cell=choose_cell(NOTE))
    sheet.number("right", 3, 3, "counting")
    assert all(one.holds for one in sheet.proof)
    sheet.number("wrong", 3, 4, "counting")
    sheet.number("near", 1.0, 1.25, "counting", within=0.25)
    assert [one.holds for one in sheet.proof] == [True, False, True]


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_number_is_compared_with_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    check = Sheet.check

    def look(sheet: Sheet, what: str, got: Any, want: Any, *more: Any, **how: Any) -> None:
        if isinstance(got, torch.Tensor) and isinstance(want, torch.Tensor):
            assert got.untyped_storage().data_ptr() != want.untyped_storage().data_ptr(), what
        compared.append(what)
        check(sheet, what, got, want, *more, **how)

    monkeypatch.setattr(Sheet, "check", look)
    for text in (str(NOTE), *AWKWARD):
        ask(QUESTIONS[name], ConvSpec.parse(text))
    assert compared


@pytest.mark.parametrize(
    ("question", "owner", "planted", "caught"),
    [("flip", Sheet, "one_w", "w"), ("fold", Sheet, "one_x", "x"), ("flops", ConvSpec, "inner_macs", "inner, ledger")],
)
def test_a_change_planted_in_what_is_shown_is_caught(
    question: str, owner: type, planted: str, caught: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(owner, planted)
    monkeypatch.setattr(owner, planted, property(lambda one: right.fget(one) + 1))
    found = ask(QUESTIONS[question], ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"))
    assert caught in {one.name for one in found.proof if not one.holds}


def test_a_sentence_cannot_quote_what_is_not_on_the_sheet() -> None:
    with pytest.raises(KeyError):
        Sheet(spec=NOTE, cell=choose_cell(NOTE)).say("{unheard:,} of them")


def test_all_is_the_twelve_and_a_list_keeps_its_order() -> None:
    assert len(choose("all")) == 12
    assert [one.name for one in choose("flops, Flip,flops")] == ["flops", "flip"]


def test_an_unknown_question_names_the_twelve_and_a_near_one() -> None:
    with pytest.raises(ConvbenchError, match=r"not-equal.*did you mean 'dilation'") as refused:
        choose("dilaton")
    assert all(name in str(refused.value) for name in QUESTIONS)
    assert "\n" not in str(refused.value)
