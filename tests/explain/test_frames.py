"""Do the frames look as they did? Whole walks, byte for byte, at the three widths.

After a change that is meant: `pytest tests/explain/test_frames.py --update-frames`, and read the difference.
"""

# the times and minus signs are meant: this is mathematics as text

import os
import subprocess
import sys

import pytest

from convbench.explain.price import LAYER_NAME, Price
from convbench.explain.program import counted_operands
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import page
from convbench.show.steps import View
from convbench.suites import find_problem
from tests.snapshots import FRAMES, assert_golden

SHOWN = {
    "note": "n1c1h4w4k1r2s2",
    "groups": "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2",
    "one_by_one": "n1c3h4w5k2r1s1",
    "depthwise": "awkward:depthwise_dilated",
    "dropped": "awkward:stride_leaves_a_rest",
    "kernel_larger_than_x": "n1c1h2w3k1r5s4_pd2",
    "corner": "n1c2h6w6k2r3s3_st2_pd1",
    "dilation": "n1c1h9w9k2r3s3_pd2_dl3",
    "large": "n1c64h56w56k64r3s3_pd1",
    "stem": "resnet50:conv1",
    "long": "n1c1h1w3000k1r1s9",
}
# What a clock and torch might have said here.
PRICES = (
    Price(loops_s=31e-6, einsum_s=25e-6, conv2d_s=6e-6),
    Price(what=LAYER_NAME, loops_s=11.7, einsum_s=26.2e-3, conv2d_s=2.88e-3, estimated=True),
)
HERE = (
    "PyTorch really built this patch matrix: 144 B of scratch = 36 numbers in fp32 (its Slow2d path).",
    "The size of the image decides: up to 143x143 it is Slow2d, from 144x144 on oneDNN.",
)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", SHOWN)
def test_a_walk_is_drawn_as_before(name: str, width: int) -> None:
    spec = find_problem(SHOWN[name]).spec
    found = walk(*small_integers(spec), spec, choose_cell(spec))
    assert found.holds
    view = View(prices=PRICES, here=HERE, operands=counted_operands(spec, 0))
    lines = [line.plain for line in page(found, width, view=view)]
    assert max(map(len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)
    assert_golden(f"{name}_{width}", "".join(line + "\n" for line in lines), FRAMES)


def test_no_golden_frame_is_left_over() -> None:
    assert {path.stem for path in FRAMES.iterdir()} == {f"{name}_{width}" for name in SHOWN for width in (60, 80, 120)}


@pytest.mark.program
@pytest.mark.parametrize("settings", [{}, {"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm-256color"}])
def test_a_pipe_and_no_color_print_the_golden_text(settings: dict[str, str]) -> None:
    world = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "convbench", "explain"],
        env={**world, **settings, "COLUMNS": "80"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    whole, also, _ = done.stdout.partition("  the same y:  ")
    assert also
    golden = (FRAMES / "note_80.txt").read_text(encoding="utf-8")
    for text in (whole, golden):
        assert "━ 8/8 WHAT PYTORCH REALLY DID HERE ━" in text
    assert _unmeasured(whole) == _unmeasured(golden)


def _unmeasured(text: str) -> list[str]:
    """Without what a clock and torch said: the prices of step 3, and step 8."""
    begins = (
        "  here and now: ",
        "  a layer of ",
        "  Python loops ",
        "  F.conv2d ",
        "  │ At this size loops beat unfold",
    )
    steps, _, _ = text.partition("━ 8/8 ")
    return [line for line in steps.splitlines() if not line.startswith(begins)]
