"""Do the frames look as they did? Whole walks, byte for byte, at the three widths.

After a change that is meant: `pytest tests/explain/test_frames.py --update-frames`, and read the difference.
"""

import os
import subprocess
import sys

import pytest

from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import page
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


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", SHOWN)
def test_a_walk_is_drawn_as_before(name: str, width: int) -> None:
    spec = find_problem(SHOWN[name]).spec
    found = walk(*small_integers(spec), spec, choose_cell(spec))
    assert found.holds
    lines = [line.plain for line in page(found, width)]
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
    what_ran = "  │ ran (fp32): "  # this torch's own choice
    assert what_ran in whole
    own = [line for line in whole.splitlines(keepends=True) if not line.startswith(what_ran)]
    assert_golden("note_80", "".join(own), FRAMES)
