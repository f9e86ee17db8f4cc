"""Sweeps that cannot be killed, from the command line: what is printed, what is resumed, what is left behind."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from convbench.schema import COLUMNS
from tests.chaos import Chaos
from tests.cli.conftest import Cli, table

SHAPES = ("n1c4h9w8k6r3s3", "n1c4h9w8k5r3s3", "n1c4h9w8k4r3s3")
SWEEP = ("bench", "--shape", ",".join(SHAPES), "--backend", "torch,unfold-matmul", "--budget", "0.02")
PLUGIN = """
import os, time
import torch.nn.functional as F
from convbench import backend

@backend(family="direct", source="a test")
def chatty(x, w, spec):
    print("from Python", flush=True)
    os.write(1, b"from C\\n")
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

@backend(family="direct", source="a test")
def hanging(x, w, spec):
    os.write(2, b"hanging now\\n")
    time.sleep(1e6)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    return path


def test_a_run_that_was_cut_short_goes_on_and_shows_everything(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert cli(*SWEEP, "--csv", path).code == 0
    data = path.read_bytes()
    kept = b"".join(data.splitlines(keepends=True)[:3])
    path.write_bytes(data[: len(kept) + 700])  # the first case, and half a row of the second
    done = cli(*SWEEP, "--csv", path, "--resume")
    assert done.code == 0
    assert path.read_bytes().startswith(kept)
    frame = pd.read_csv(path)
    assert list(frame.spec) == [shape for shape in SHAPES for _ in range(2)]
    assert [row["spec"] for row in table(done.out)] == list(frame.spec)
    assert "6 timed" in done.err


def test_a_complete_run_is_only_shown_again(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    first = cli(*SWEEP, "--csv", path, "--resume")  # there is no file to go on with: it starts one
    data = path.read_bytes()
    again = cli(*SWEEP, "--csv", path, "--resume")
    assert first.code == again.code == 0
    assert first.out == again.out
    assert re.search(rf"convbench: (\d+) of \1 cases are already in {re.escape(str(path))} and are kept", again.err)
    assert path.read_bytes() == data


def test_another_selection_does_not_go_on_with_the_file(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    cli(*SWEEP, "--csv", path)
    data = path.read_bytes()
    for words in (["--backend", "torch"], ["--budget", "0.03"], ["--seed", "1"], ["--threads", "1"]):
        done = cli(*SWEEP, *words, "--csv", path, "--resume")
        assert done.code == 2
        assert re.search(r"row [23] (has|was made)", done.err)
        assert f"--resume {path}: row" in done.err
        assert done.err.count("\n") == 1
    assert path.read_bytes() == data


@pytest.mark.program
def test_verify_goes_on_too_and_keeps_its_exit_code(cli: Cli, tmp_path: Path) -> None:
    from tests.cli.conftest import LAST_TAP

    bad, path = tmp_path / "bad.py", tmp_path / "rows.csv"
    bad.write_text(LAST_TAP)
    who = ("--plugin", bad, "--backend", "last-tap,torch", "--no-isolate")
    words = ("verify", "--shape", SHAPES[0], "--pass", "fprop", "--dtype", "fp32,bf16", *who)
    assert cli(*words, "--csv", path).code == 1
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    done = cli(*words, "--csv", path, "--resume")
    assert done.code == 1
    assert len(pd.read_csv(path)) == len(table(done.out)) == 2 * 10
    assert {row["outcome"] for row in table(done.out)} == {"wrong", "verified"}


@pytest.mark.program
@linux
def test_what_a_backend_prints_does_not_reach_the_csv_on_stdout(cli: Cli, plugin: Path) -> None:
    done = cli(*SWEEP, "--plugin", plugin, "--backend", "chatty,torch", "--csv", "-")
    assert done.code == 0
    header, *rows = csv.reader(done.out.splitlines())
    assert tuple(header) == COLUMNS
    assert [row[COLUMNS.index("outcome")] for row in rows] == ["timed"] * 9
    assert "from Python\n" in done.err
    assert "from C\n" in done.err


@pytest.mark.program
@linux
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_an_interruption_leaves_no_process_behind(
    plugin: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    chaos = Chaos(folder=tmp_path, kills=0, cases=1, rng=random.Random(0))
    name, _, value = chaos.marker.partition("=")
    words = ["bench", "--shape", SHAPES[0], "--plugin", str(plugin), "--backend", "torch,hanging", "--csv", "x.csv"]
    process = subprocess.Popen(
        [sys.executable, "-m", "convbench", *words],
        cwd=tmp_path,
        env=os.environ | {name: value},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while process.stderr.readline() != b"hanging now\n":
        assert process.poll() is None
    assert len(chaos.processes()) == 3  # the sweep, the fork server, the worker
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    chaos.nobody_left()
