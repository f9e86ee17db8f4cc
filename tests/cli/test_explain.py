"""Does `convbench explain` print what it should, where it should, and exit as it should?"""

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from convbench import ConvSpec
from convbench.errors import ConvbenchError
from convbench.explain.price import Price
from tests.cli.conftest import explain

AWKWARD = "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"


@pytest.fixture(autouse=True)
def plain_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the three ways cost is another figure each time."""
    prices = (Price(loops_s=31e-6, einsum_s=25e-6, conv2d_s=6e-6),)
    monkeypatch.setattr("convbench.explain.price.measure", lambda found: prices)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = explain(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_a_wide_kernel_fits_60_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    code, out, _ = explain(capsys, "n1c2h30w30k2r7s7_st3_pd1_dl3")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 60


def random_spec(source: random.Random) -> ConvSpec:
    groups = source.choice([1, 1, 2, 3])
    while True:
        try:
            return ConvSpec(
                n=source.randint(1, 3),
                c=groups * source.randint(1, 3),
                h=source.randint(1, 9),
                w=source.randint(1, 9),
                k=groups * source.randint(1, 3),
                r=source.randint(1, 4),
                s=source.randint(1, 4),
                stride=(source.randint(1, 3), source.randint(1, 3)),
                padding=(source.randint(0, 2), source.randint(0, 2)),
                dilation=(source.randint(1, 3), source.randint(1, 3)),
                groups=groups,
            )
        except ConvbenchError:
            continue  # the kernel is larger than the image; draw again


@pytest.mark.long
@pytest.mark.parametrize("seed", range(50))
def test_a_random_problem_agrees_with_torch_and_fits_its_width(
    seed: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(seed)
    spec = random_spec(source)
    found = answer(capsys, str(spec), "--seed", str(seed))
    x, w = torch.tensor(found["x"]).double(), torch.tensor(found["w"]).double()
    assert (x.shape, w.shape) == (spec.x_shape, spec.w_shape)
    y = F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
    assert found["y"] == y.tolist()
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    assert found["unfolded"]["patches"] == patches.tolist()
    at = found["cell"]
    assert sum(term["product"] for term in found["one_cell"]["terms"]) == y[at["n"], at["k"], at["p"], at["q"]]
    assert [axis["positions"] for axis in found["axes"]] == [spec.p, spec.q]
    assert all(comparison["holds"] for comparison in found["proof"])
    width = source.choice([60, 80, 120])
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = explain(capsys, str(spec), "--seed", str(seed))
    assert max(map(len, out.splitlines())) <= width


def test_the_json_of_an_awkward_problem_holds_every_number_in_its_own_shape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = ConvSpec.parse(AWKWARD)
    found = answer(capsys, AWKWARD, "--at", "0,0", "--filter", "5", "--image", "1")
    assert ConvSpec.parse(found["spec"]) == spec
    assert found["cell"] == {"n": 1, "k": 5, "p": 0, "q": 0, "group": 1}
    assert torch.tensor(found["unfolded"]["patches"]).shape == (2, 24, 28)
    assert torch.tensor(found["multiplied"]["w_flat"]).shape == (2, 3, 12)
    assert torch.tensor(found["multiplied"]["y_flat"]).shape == (2, 2, 3, 28)
    assert torch.tensor(found["y"]).shape == spec.y_shape
    assert json.loads(json.dumps(found)) == found


def test_the_chosen_cell_is_in_view_wherever_it_lies(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = explain(capsys, "n1c3h60w60k2r3s3_pd1", "--at", "59,59", "--filter", "1")
    assert "<?>" in out
    assert "[3599]" in out
    found = answer(capsys, "n1c3h60w60k2r3s3_pd1", "--at", "59,59", "--filter", "1")
    assert out.count(f"<{found['y'][0][1][59][59]:.0f}>") == 4  # by loops, in the sum, in the product, in the output


def test_a_pipe_and_no_color_have_no_escape_codes_and_a_terminal_has_the_same_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, piped, _ = explain(capsys)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    _, coloured, _ = explain(capsys)
    monkeypatch.setenv("NO_COLOR", "1")
    _, uncoloured, _ = explain(capsys)
    assert "\x1b" not in piped
    *same, summary = uncoloured.split("\n\n")  # a terminal with fewer lines than the walk gets it in six more
    assert "\n\n".join(same) + "\n" == piped
    assert summary.startswith("  In short   image 1 × 1 × 4 × 4, kernel 1 × 1 × 2 × 2\n")  # noqa: RUF001  # mathematics as text
    assert summary.endswith("convbench explain -i walks through it by keys\n")
    assert "\x1b[38;5;16;48;5;221m[7]" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == uncoloured


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "'nonsense' is not a valid shape; write it like n8c64"),
        (["resnet50:conv9"], "unknown row of suite resnet50 'conv9'"),
        (["no_such_suite:conv1"], "unknown suite 'no_such_suite'"),
        (["--at", "3,0"], "p=3 is outside the output of n1c1h4w4k1r2s2"),
        (["--at", "0,7"], "q goes from 0 to 2"),
        (["--at", "1;2"], "--at '1;2' is not P,Q"),
        (["--filter", "1"], "k goes from 0 to 0"),
        (["--step", "9"], "give a number from 1 to 8, a range such as 2-4, or a name: operands, loops"),
        (["--step", "4-2"], "--step '4-2': give a number"),
        (["--step", "unfolds"], "--step 'unfolds': give a number"),
        (["--names", "torsh"], "unknown letters 'torsh': choose from cudnn, torch; did you mean 'torch'?"),
        (["--x", "[[1]]"], "--x needs --w too; try --x photo.png --w edges"),
        (
            ["--x", "[[1]]", "--w", "[[1]]", "--input", "1x1x1x1"],
            "--x and --w have sizes of their own; leave out SHAPE",
        ),
        (["--x", "[[1]]", "--w", "[[1,2]]"], "the dilated kernel 1x2 is larger than the padded input 1x1"),
        (["--x", "[[1.5]]", "--w", "[[1]]", "--backward"], "--backward is for whole numbers"),
        (["--x", "[[1]]", "--w", "[[1]]", "--html", "-"], "--x, --w cannot be combined with --html, which takes"),
        (["--code", "--step", "4"], "--step cannot be combined with --code, which takes"),
        (
            ["--channel", "1"],
            "--channel 1: the kernel of n1c1h4w4k1r2s2 has 1 channel, numbered from 0; try --channel 0",
        ),
        (["--svg", "-", "--cast", "-"], "--svg and --cast both go to stdout"),
        (["--svg", "no/such/folder/a.svg"], "there is no folder no/such/folder"),
        (["--interactive"], "without one, print a frame with --at P,Q and --step STEP"),
        (["--interactive", "--json"], "--json cannot be combined with --interactive, which takes"),
        (["--image", "2"], "n goes from 0 to 0"),
        (["awkward:batch_0"], "try n1c3h8w8k4r3s3_pd1"),
        (["resnet50:layer1.0.conv2", "--json", "--at", "0"], "is not P,Q"),
        (["n8c256h56w56k256r3s3_pd1", "--json"], "(limit 5,000,000)"),
        (["n1c1h30000w30000k1r1s1_st30000"], "try a smaller c, h, w, k or padding"),
        (["n1c300000h1w1k1r1s1", "--json"], "try a smaller c, r or s"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = explain(capsys, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_a_proof_that_fails_prints_no_walk_says_what_differs_and_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from convbench.verify import oracle

    right = oracle.conv2d_float64
    monkeypatch.setattr(oracle, "conv2d_float64", lambda x, w, spec: right(x, w, spec) + 1)
    code, out, err = explain(capsys)
    assert (code, out) == (1, "")
    assert "oracle fails: 9 of 9 numbers differ, first at [0,0,0,0]: 44, expected 45" in err


def test_a_large_batch_is_walked_on_one_image_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from convbench.explain import walk

    monkeypatch.setattr(walk, "MAX_MACS", 3_000)
    code, out, err = explain(capsys, AWKWARD, "--image", "1")
    assert code == 0
    assert "images are independent, so this shows one: n1c4h7w9k6r3s2" in err
    assert "x (1,4,7,9)" in out


def test_the_chosen_steps_are_the_same_lines_as_in_the_whole_walk(capsys: pytest.CaptureFixture[str]) -> None:
    _, whole, _ = explain(capsys, AWKWARD)
    parts = [explain(capsys, AWKWARD, "--step", step)[1] for step in ("1", "loops,3", "4-6", "RESHAPE,8")]
    assert "\n".join(parts) == whole


def test_the_frames_go_to_files_that_are_not_replaced_unasked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    svg, cast = tmp_path / "walk.svg", tmp_path / "walk.cast"
    files = ("--svg", str(svg), "--cast", str(cast), "--step", "unfold")
    assert explain(capsys, *files) == (0, "", f"convbench: wrote {svg}\nconvbench: wrote {cast}\n")
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    assert json.loads(cast.read_text(encoding="utf-8").splitlines()[0])["version"] == 3
    code, out, err = explain(capsys, *files, "--at", "0,0")
    assert (code, out) == (2, "")
    assert f"--svg: {svg} exists; name another file, or replace it with --overwrite" in err
    before = svg.read_bytes()
    assert explain(capsys, *files, "--at", "0,0", "--overwrite")[0] == 0
    assert svg.read_bytes() != before


def test_a_file_is_as_wide_as_columns_says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, out, _ = explain(capsys, "--cast", "-", "--step", "3")
    assert json.loads(out.splitlines()[0])["term"]["cols"] == 80
    monkeypatch.setenv("COLUMNS", "120")
    _, out, _ = explain(capsys, "--cast", "-", "--step", "3")
    assert json.loads(out.splitlines()[0])["term"]["cols"] == 120


def test_another_channel_comes_first_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = explain(capsys, "n1c64h8w8k2r3s3_pd1", "--channel", "40", "--step", "1,2,4")
    assert "x[0,40]" in out
    assert "w[0,40]" in out
    assert "x[0,0]" not in out
    assert "c=40: " in out
    assert "(40,0,0)" in out


@pytest.mark.program
def test_it_runs_as_a_program_in_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "convbench", "explain", "--at", "0,0"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert "<44>" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_one_s_own_numbers_are_walked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("--x", "[[1,2,3],[4,5,6],[7,8,9]]", "--w", "[[1,0],[0,-1]]")
    found = answer(capsys, *words)
    assert found["y"] == [[[[-4, -4], [-4, -4]]]]
    code, out, _ = explain(capsys, *words, "--code")
    assert code == 0
    exec(compile(out, "program", "exec"), {})
    assert capsys.readouterr().out == "every step holds\n"
    file = tmp_path / "walk.ipynb"
    assert explain(capsys, *words, "--notebook", str(file))[0] == 0
    assert json.loads(file.read_text(encoding="utf-8"))["nbformat"] == 4
    code, _, err = explain(capsys, *words, "--notebook", str(file))
    assert (code, "exists" in err) == (2, True)


def test_fractions_are_walked_in_the_middle_of_the_image(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = explain(capsys, "--x", str([[i / 8 for i in range(9)]] * 9), "--w", "edges", "--padding", "1")
    assert code == 0
    assert "oh=4: rows" in out
    assert "the same y:" not in out  # the other algorithms are proved on whole numbers


def test_one_image_of_a_large_batch_is_walked_and_its_code_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from convbench.explain import walk

    monkeypatch.setattr(walk, "MAX_MACS", 40)
    batch = ("--x", "[[[[1,2],[3,4]]],[[[5,6],[7,8]]],[[[9,1],[2,3]]]]", "--w", "[[1,1],[1,1]]", "--padding", "1")
    code, out, err = explain(capsys, *batch, "--image", "1", "--json")
    assert (code, "so this shows one" in err) == (0, True)
    found = json.loads(out)
    assert found["x"] == [[[[5, 6], [7, 8]]]]
    code, out, _ = explain(capsys, *batch, "--image", "1", "--code")
    assert code == 0
    exec(compile(out, "program", "exec"), {})
    assert capsys.readouterr().out == "every step holds\n"


def test_a_cell_that_reads_many_zeros_of_the_padding_alone_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = explain(capsys, "n1c1h4w4k1r4s4_pd4", "--at", "0,0", "--step", "2,6")
    assert "[·0][·0][·0]" in out
    assert "= <0>" in out
    assert "= + …" not in out
