"""Does somebody who has the note in hand find its steps, in its own words, each on one screen of 80x24?"""

# ruff: noqa: RUF001  # the times and minus signs are meant: this is mathematics as text

import pytest

from convbench.explain import STEPS
from convbench.explain.letters import CUDNN, TORCH, Letters
from convbench.explain.price import LAYER, LAYER_NAME, Price, measure
from convbench.explain.program import counted_operands
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import draw_step, more, summary
from convbench.show.steps import View
from convbench.show.steps.linear import CHECKED
from convbench.spec import ConvSpec

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
WORDS = {  # step 1 of the note, the data set, is `convbench run`'s
    "operands": (
        "1 × 1 × 4 × 4: batch × input_channel × height × width",
        "Kernel (filter) 1 × 1 × 2 × 2: output_channel × input_channel × kernel_height × kernel_width",
        "Problem name n1c1h4w4k1r2s2: n batch, c input channels, h×w image, k output channels, r×s kernel",
        "If you follow the note “How Convolution Is Actually Computed”: its step 1 is convbench run, its step 2 is",
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
    "pytorch": (
        "Slow2d: torch's own way: a patch matrix and a matrix product",
        "convolution = extract patches + one matrix multiply",
        "Extract local patches, flatten patches and kernels, take dot products, reshape to a spatial grid",
        "linear algebra operation, parallelizable and made for GPUs",
    ),
}
HERE = (
    "PyTorch really built this patch matrix: 144 B of scratch = 36 numbers in fp32 (its Slow2d path).",
    "Why: 1 image of 16 elements is at most 20,480, in 1 group and under a 2x2 kernel, so torch does not use oneDNN.",
    "The size of the image decides: up to 143x143 it is Slow2d, from 144x144 on oneDNN.",
)
PRICES = (
    Price(loops_s=31e-6, einsum_s=25e-6, conv2d_s=6e-6),
    Price(what=LAYER_NAME, loops_s=11.7, einsum_s=26.2e-3, conv2d_s=2.88e-3, estimated=True),
)


@pytest.fixture(scope="module")
def note() -> Walk:
    return walk(*small_integers(NOTE), NOTE, choose_cell(NOTE))


def shown(note: Walk, step: str, letters: Letters = TORCH) -> str:
    view = View(prices=PRICES, here=HERE, operands=counted_operands(NOTE, 0), letters=letters)
    return draw_step(note, step, 80, view).plain()


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_on_one_screen_of_the_walk_by_keys(step: str, note: Walk) -> None:
    assert len(shown(note, step).splitlines()) <= 24 - 2  # its first line says the output, its last one the keys


@pytest.mark.parametrize("step", WORDS)
def test_the_notes_words_are_in_its_step(step: str, note: Walk) -> None:
    text = shown(note, step)
    read = " ".join(text.replace("│", " ").split())
    for words in WORDS[step]:
        assert words in read, words


def test_the_short_letters_are_cudnns(note: Walk) -> None:
    text = "".join(shown(note, step, CUDNN) for step in STEPS)
    assert "P = ⌊(4 + 2·0 − 1·(2−1) − 1) / 1⌋ + 1" in text
    assert "(N, C·R·S, P·Q)" in text
    assert "As GEMM: M=1 N=9 K=4." in text
    assert "y[n,k,p,q]" in text
    assert "P padding" not in text


def test_each_channel_of_x_is_next_to_the_kernels_slice_for_it() -> None:
    spec = ConvSpec.parse("n1c2h4w4k1r2s2")
    lines = draw_step(walk(*small_integers(spec), spec, choose_cell(spec)), "operands", 80).plain().splitlines()
    places = [next(i for i, line in enumerate(lines) if f"{name}[0,{c}]" in line) for c in (0, 1) for name in "xw"]
    assert places[0] == places[1]
    assert places[2] == places[3]


def test_the_table_of_the_proof_leaves_no_comparison_out(note: Walk) -> None:
    assert sorted(name for _, names in CHECKED for name in names) == sorted(one.name for one in note.proof)
    count = sum(one.compared for one in note.proof if one.name in ("cell", "flipped"))
    assert f"✓ this output {count} " in " ".join(shown(note, "reshape").split())


def test_the_walk_in_six_lines(note: Walk) -> None:
    lines = [line.plain for line in summary(note, "n1c1h4w4k1r2s2", 80)]
    assert len(lines) == 1 + 6
    assert lines[1] == "  In short   image 1 × 1 × 4 × 4, kernel 1 × 1 × 2 × 2"
    assert lines[-1] == "  next       convbench explain n1c1h4w4k1r2s2 -i walks through it by keys"


def test_the_last_step_and_the_walk_in_short_are_on_one_screen(note: Walk) -> None:
    also = 1  # the algorithms with the same y
    lines = len(shown(note, "pytorch").splitlines()) + also + len(more(80)) + len(summary(note, "", 80))
    assert lines <= 24 - 1  # the prompt


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
