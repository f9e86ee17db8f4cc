"""Does somebody who has the note in hand find its steps, in its own words, each on one screen of 80x24?"""

# ruff: noqa: RUF001  # the times and minus signs are meant: this is mathematics as text

import pytest

from convbench.explain import STEPS
from convbench.explain.letters import CUDNN
from convbench.explain.price import LAYER, LAYER_NAME, Price, measure
from convbench.explain.program import counted_operands
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import draw_step, summary
from convbench.show.steps import View
from convbench.spec import ConvSpec

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
WORDS = {  # step 1 of the note, the data set, is `convbench run`'s
    "operands": (
        "1 × 1 × 4 × 4: batch × input_channel × height × width",
        "Kernel (filter) 1 × 1 × 2 × 2: output_channel × input_channel × kernel_height × kernel_width",
    ),
    "positions": (
        "nested for-loops over height, width, kernel rows and kernel columns",
        "inefficient and difficult to parallelize",
        "intermediate representation",
        "H_out = ⌊(H + 2P − D(K − 1) − 1) / S⌋ + 1",
        "P padding, D dilation, K kernel size, S stride",
        "H_out × W_out = 3 × 3 = 9",
        "sliding locations",
    ),
    "unfold": ("patches → 1 × 4 × 9", "batch × flattened patch × sliding location", "flattened into a vector"),
    "flatten": (
        "w_flat → 1 × 4",
        "output channels × flattened kernel weights",
        "These 4 values are kernel elements, not channels",
    ),
    "multiply": (
        "einsum('bpl,op->bol', patches, w_flat)",
        "b batch, o output channel, p patch dimension (summed over), l sliding location",
        "Each flattened patch is dot-multiplied with each flattened kernel",
        "output → batch × output_channel × sliding_location",
        "w_flat[o=0] (1)(2)(3)(4) · column l=5 [7][8][11][12]",
        "= 1·7 + 2·8 + 3·11 + 4·12 = <104>",
    ),
    "reshape": ("(batch, output_channel, H_out, W_out)", "(b, o, l) = (1,1,9) → (b, o, H_out, W_out) = (1,1,3,3)"),
}
PRICES = (
    Price(loops_s=31e-6, einsum_s=25e-6, conv2d_s=6e-6),
    Price(what=LAYER_NAME, loops_s=11.7, einsum_s=26.2e-3, conv2d_s=2.88e-3, estimated=True),
)


@pytest.fixture(scope="module")
def note() -> Walk:
    return walk(*small_integers(NOTE), NOTE, choose_cell(NOTE))


@pytest.mark.parametrize("step", WORDS)
def test_the_notes_words_are_on_one_screen(step: str, note: Walk) -> None:
    view = View(prices=PRICES, operands=counted_operands(NOTE, 0))
    text = draw_step(note, step, 80, view).plain()
    assert len(text.splitlines()) <= 24
    read = " ".join(text.replace("│", " ").split())
    for words in WORDS[step]:
        assert words in read, words


def test_the_short_letters_are_cudnns(note: Walk) -> None:
    text = "".join(draw_step(note, step, 80, View(letters=CUDNN)).plain() for step in STEPS)
    assert "P = ⌊(4 + 2·0 − 1·(2−1) − 1) / 1⌋ + 1" in text
    assert "(N, C·R·S, P·Q)" in text
    assert "As GEMM: M=1 N=9 K=4." in text
    assert "y[n,k,p,q]" in text
    assert "P padding" not in text


def test_the_walk_in_six_lines(note: Walk) -> None:
    lines = [line.plain for line in summary(note, "n1c1h4w4k1r2s2", 80)]
    assert len(lines) == 1 + 6
    assert lines[1] == "  In short image 1 × 1 × 4 × 4, kernel 1 × 1 × 2 × 2"
    assert lines[-1] == "  next     convbench explain n1c1h4w4k1r2s2 -i walks through it by keys"


def test_the_price_is_that_of_the_fastest_call(note: Walk) -> None:
    ticks = iter(range(10_000))
    own, layer = measure(note, lambda: float(next(ticks)))  # a second between two looks at it
    assert (own.loops_s, own.einsum_s, own.conv2d_s, own.what, own.estimated) == (1.0, 1.0, 1.0, "", False)
    assert (layer.what, layer.estimated, layer.einsum_s) == (LAYER_NAME, True, 1.0)
    assert layer.loops_s > 1000  # of a part, times how often it fits


def test_loops_of_a_large_problem_are_timed_on_a_part_and_no_other_layer_stands_beside_it() -> None:
    spec = ConvSpec.parse("n2c8h60w61k32r3s3_st2_pd1_g2")
    found = walk(*small_integers(spec), spec, choose_cell(spec))
    assert spec.macs > LAYER.macs / 100
    (price,) = measure(found)
    assert price.estimated
    assert price.loops_s > price.conv2d_s > 0
