"""convbench verify: verdicts, the reproducing command, the CSV."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from convbench import ConvSpec
from tests.cli.conftest import LAST_TAP, Cli, table

SHAPE = "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"


def test_right_backends_are_exit_0_with_a_row_each(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    words = ("--backend", "torch,unfold-einsum", "--dtype", "fp32,bf16", "--pass", "fprop", "--csv", path)
    done = cli("verify", "--shape", SHAPE, *words)
    assert done.code == 0
    rows = table(done.out)
    assert len(rows) == 2 * 2 * 5
    assert {row["outcome"] for row in rows} == {"verified"}
    assert "20 rows: 20 verified (fprop); " in done.err
    frame = pd.read_csv(path)
    assert len(frame) == 20
    assert set(frame.layout) == {"nchw", "nhwc", "strided", "chunk", "unaligned"}
    assert (frame.worst_of_bound <= 1).all()


def test_the_csv_may_go_to_stdout(cli: Cli) -> None:
    words = ("--backend", "torch", "--dtype", "fp32", "--pass", "fprop", "--csv", "-")
    done = cli("verify", "--shape", "n1c1h4w4k1r2s2", *words)
    assert done.code == 0
    header, *rows = done.out.splitlines()
    assert header.startswith("suite,name,count,spec,")
    assert len(rows) == 5


@pytest.mark.program
def test_a_wrong_plugin_is_exit_1_named_with_its_place_and_a_command(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "bad kernel.py"
    plugin.write_text(LAST_TAP)
    shapes = ("--shape", "awkward:note,awkward:smallest", "--dtype", "fp32")
    done = cli("verify", "--plugin", plugin, "--backend", "last-tap,torch", *shapes)
    assert done.code == 1
    lines = done.err.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("WRONG last-tap on note"))
    assert lines[place + 1].strip() == "tap (1,1) is missing in the last output column (q=2)"
    assert "in the last output column (q=2)" in lines[place + 2]
    command = shlex.split(lines[place + 3].strip())
    again = cli(*command[1:])
    assert again.code == 1
    (row,) = table(again.out)
    assert row["outcome"] == "wrong"
    assert "the last output column (q=2)" in row["reason"]
    head, _, smallest = lines[place + 4].partition(": ")
    assert head.strip() == "smallest"
    shrunk = cli(*shlex.split(smallest)[1:])
    assert shrunk.code == 1
    (row,) = table(shrunk.out)
    assert ConvSpec.parse(row["spec"]).macs < ConvSpec.parse("n1c1h4w4k1r2s2").macs
    assert row["outcome"] == "wrong"


NO_REST = """
from convbench import backend
from convbench.backends import _aten
from convbench.backends.torch import torch

def dgrad(dy, w, spec):
    dx = _aten.dgrad(dy, w, spec)
    rest = (spec.h + 2 * spec.padding[0] - spec.kernel_extent[0]) % spec.stride[0]
    dx[:, :, spec.h - rest :] = 0
    return dx

def bias_after_relu(x, w, spec, bias, relu):
    y = torch.fn(x, w, spec)
    return (y.relu() if relu else y) + bias.reshape(1, -1, 1, 1)

@backend(family="direct", source="a test", dgrad=dgrad, fused=bias_after_relu)
def no_rest(x, w, spec):
    return torch.fn(x, w, spec)
"""


@pytest.mark.program
def test_passes_and_epilogues_multiply_and_a_backend_without_one_says_so(cli: Cli, tmp_path: Path) -> None:
    path, plugin = tmp_path / "rows.csv", tmp_path / "bare.py"
    plugin.write_text(LAST_TAP.replace("last_tap", "bare"))
    axes = ("--pass", "fprop,dgrad,wgrad", "--epilogue", "none,bias,bias_relu", "--dtype", "fp32")
    done = cli("verify", "--shape", SHAPE, "--backend", "torch,bare", "--plugin", plugin, *axes, "--csv", path)
    assert done.code == 1  # bare is wrong in fprop
    assert "bare skipped 5 cases, e.g. n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2: bare has no wgrad" in done.err
    frame = pd.read_csv(path)
    torch = frame[frame.backend == "torch"]
    assert set(zip(torch["pass"], torch.epilogue, strict=True)) == {
        ("fprop", "none"), ("fprop", "bias"), ("fprop", "bias_relu"), ("dgrad", "none"), ("wgrad", "none"),
    }  # fmt: skip
    assert len(torch) == 5 * 5
    assert set(torch.outcome) == {"verified"}


@pytest.mark.program
def test_a_wrong_gradient_and_a_wrong_epilogue_come_with_a_command_that_shows_them_again(
    cli: Cli, tmp_path: Path
) -> None:
    plugin = tmp_path / "no_rest.py"
    plugin.write_text(NO_REST)
    shape = "n2c4h10w8k6r4s3_st3x1_pd2x1"
    for axes, where, words in (
        (("--pass", "dgrad"), "cpu fp32 nchw ieee dgrad", "in the last input row (h=9); worst dx["),
        (("--epilogue", "bias_relu"), "cpu fp32 nchw ieee bias_relu", "outputs wrong"),
    ):
        done = cli("verify", "--plugin", plugin, "--backend", "no-rest", "--shape", shape, "--dtype", "fp32", *axes)
        assert done.code == 1
        lines = done.err.splitlines()
        assert lines[0] == f"WRONG no-rest on {shape} ({shape}; {where})"
        evidence = next(number for number, line in enumerate(lines) if "outputs wrong" in line)
        assert words in lines[evidence]
        again = cli(*shlex.split(lines[evidence + 1].strip())[1:])
        assert again.code == 1
        (row,) = table(again.out)
        assert (row["pass"], row["epilogue"]) == ((axes[1], "none") if "dgrad" in axes else ("fprop", axes[1]))
        assert words in row["reason"]


BRINGS = """
import torch.nn.functional as F
from convbench import backend
from convbench.backends import _aten

def dgrad(dy, w, spec):
    dx = _aten.dgrad(dy, w, spec)
    dx[:, :, -1] = 0
    return dx

@backend(family="direct", source="a test", devices={"cpu"}, dtypes={"fp32"}, dgrad=dgrad)
def half_done(x, w, spec):
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
"""


@pytest.mark.program
def test_a_plug_in_alone_is_asked_for_what_it_brings_and_the_summary_says_what_that_was(
    cli: Cli, tmp_path: Path
) -> None:
    plugin = tmp_path / "half_done.py"
    plugin.write_text(BRINGS)
    words = ("--plugin", plugin, "--shape", SHAPE, "--dtype", "fp32", "--layout", "nchw")
    done = cli("verify", *words)
    assert done.code == 1
    assert [(row["backend"], row["pass"], row["epilogue"], row["outcome"]) for row in table(done.out)] == [
        ("half-done", "fprop", "none", "verified"),
        ("half-done", "dgrad", "none", "wrong"),
    ]
    assert "2 rows: 1 verified, 1 wrong (fprop, dgrad); " in done.err
    narrowed = cli("verify", *words, "--pass", "fprop")
    assert (narrowed.code, len(table(narrowed.out))) == (0, 1)
    assert "1 row: 1 verified (fprop); " in narrowed.err
    beside = cli("verify", *words, "--backend", "torch,half-done")
    assert [(row["backend"], row["pass"], row["epilogue"]) for row in table(beside.out) if row["pass"] == "fprop"] == [
        (name, "fprop", epilogue) for epilogue in ("none", "bias", "bias_relu") for name in ("torch", "half-done")
    ]
    assert "(fprop, dgrad, wgrad; bias, bias_relu); " in beside.err


@pytest.mark.program
def test_a_plug_in_of_one_dtype_is_told_how_it_gets_all_rows(cli: Cli, tmp_path: Path) -> None:
    kernel = (
        "import torch.nn.functional as F\nfrom convbench import backend\n\n"
        '@backend(family="direct", source="a test", dtypes=("fp32",))\n'
        "def mine(x, w, spec):\n"
        "    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)\n"
    )
    (tmp_path / "kernel.py").write_text(kernel)
    words = ("verify", "--plugin", tmp_path / "kernel.py", "--no-isolate", "--match", "^note$|^stride_")
    told = "most rows have a dtype that mine lacks; --dtype fp32 verifies it on all of them\n"
    assert told in cli(*words).err
    assert told not in cli(*words, "--dtype", "fp32").err
    assert told not in cli(*words, "--suite", "quick", "--match", "^note$").err  # all dtypes of each


def test_the_command_that_shows_a_fault_again_asks_for_its_pass_alone(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "last_tap.py"
    plugin.write_text(
        LAST_TAP.replace("@backend(", "from convbench.backends._aten import dgrad\n\n@backend(dgrad=dgrad, ")
    )
    done = cli("verify", "--plugin", plugin, "--shape", SHAPE, "--dtype", "fp32", "--layout", "nchw")
    command = next(line for line in done.err.splitlines() if line.startswith("  convbench verify"))
    assert " --pass fprop " in command
    again = cli(*shlex.split(command)[1:])
    assert [row["pass"] for row in table(again.out)] == ["fprop"]


def test_an_epilogue_of_a_gradient_is_refused_in_one_line(cli: Cli) -> None:
    done = cli("verify", "--pass", "dgrad,wgrad", "--epilogue", "bias")
    assert done.code == 2
    assert "--epilogue bias --pass dgrad,wgrad: an epilogue only applies to fprop; add fprop to --pass" in done.err
    done = cli("verify", "--pass", "bwd")
    assert done.code == 2
    assert "bwd" in done.err
    assert "dgrad" in done.err


@pytest.mark.program
def test_a_page_holds_the_results_the_causes_the_commands_and_the_maps(cli: Cli, tmp_path: Path) -> None:
    plugin, page = tmp_path / "bad.py", tmp_path / "verify.html"
    plugin.write_text(LAST_TAP)
    shape = ("--shape", "n1c2h5w6k2r2s2", "--dtype", "fp32", "--layout", "nchw", "--pass", "fprop")
    done = cli("verify", "--plugin", plugin, "--backend", "last-tap,torch", *shape, "--html", page, "--no-isolate")
    assert done.code == 1
    text = page.read_text(encoding="utf-8")
    assert "tap (1,1) is missing in the last output column (q=4)" in text
    assert text.count("<figure>") == 1
    assert text.count("convbench verify --backend last-tap") >= 2
    assert "{{" not in text.replace("{{data}}", "")
    for outside in ("http://", "https://", "src="):
        assert outside not in text.replace("http://www.w3.org/2000/svg", "")
    assert "error / bound of y[" not in done.err  # a pipe wants no map unless it asks
    done = cli("verify", "--plugin", plugin, "--backend", "last-tap", *shape, "--heat-map", "--no-isolate")
    assert "error / bound of y[0,0], 4x5 outputs" in done.err


@pytest.mark.program
def test_the_cause_and_the_smallest_problem_are_in_the_csv_and_come_back(cli: Cli, tmp_path: Path) -> None:
    plugin, path = tmp_path / "bad.py", tmp_path / "rows.csv"
    plugin.write_text(LAST_TAP)
    shape = ("--shape", "n1c2h5w6k2r2s2", "--dtype", "fp32", "--layout", "nchw")
    assert cli("verify", "--plugin", plugin, "--backend", "last-tap", *shape, "--csv", path, "--isolate").code == 1
    (row,) = pd.read_csv(path).to_dict("records")
    assert row["cause"] == "tap (1,1) is missing in the last output column (q=4)"
    told = cli("report", path)
    assert row["cause"] in told.err
    assert f"--shape {row['smallest']} " in told.err


@pytest.mark.program
def test_neither_hash_seed_nor_clock_changes_what_is_found(tmp_path: Path) -> None:
    plugin, found = tmp_path / "bad.py", []
    plugin.write_text(LAST_TAP)
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.csv"
        words = ("verify", "--plugin", plugin, "--backend", "last-tap", "--dtype", "fp32", "--layout", "nchw")
        done = subprocess.run(
            [sys.executable, "-m", "convbench", *words, "--shape", "n1c16h14w14k16r3s3", "--csv", path],
            check=False,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        columns = ["reason", "cause", "cause_cut", "smallest", "smallest_cut"]
        told = re.sub("^.*searching for the cause.*\n", "", done.stderr, flags=re.MULTILINE)  # after some seconds
        found.append((told.replace(str(path), ""), pd.read_csv(path, dtype=str)[columns].to_csv()))
    first, second = found
    assert "tap (2,2) is missing in the last output column (q=11)" in first[1]
    assert first == second
