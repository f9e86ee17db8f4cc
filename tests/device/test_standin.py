"""The regimes of a GPU from start to end, on a machine that has none: see standin/sitecustomize.py."""

import csv
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.program, pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")]

STANDIN, NVML = (Path(__file__).parent / name for name in ("standin", "nvml"))
PLUGIN = '''
import torch
import torch.nn.functional as F
from convbench import backend

kept = {}

def conv(x, w, spec):
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

@backend(family="direct", source="a test", devices={"cuda"})
def waits(x, w, spec):
    """Right, and not to be captured: it waits for the device."""
    torch.cuda.synchronize()
    return conv(x, w, spec)

@backend(family="direct", source="a test", devices={"cuda"})
def answers_once(x, w, spec):
    """What a graph of it holds is no convolution: the answer was there before."""
    if not torch.cuda.is_current_stream_capturing():
        kept["y"] = conv(x, w, spec)
        return kept["y"]
    return kept["y"] + 0

@backend(family="direct", source="a test", devices={"cuda"})
def breaks(x, w, spec):
    """An attempt to capture it leaves it broken."""
    if torch.cuda.is_current_stream_capturing():
        kept["broken"] = True
    if "broken" in kept:
        raise RuntimeError("I am broken")
    return conv(x, w, spec)

@backend(family="direct", source="a test", devices={"cuda"})
def honest(x, w, spec):
    return conv(x, w, spec)
'''


@dataclass
class Run:
    """A command that has ended: its exit status, its rows, what the stand-in noted, and both of its streams."""

    code: int
    rows: list[dict[str, str]]
    notes: list[str]
    text: str

    def count(self, word: str) -> int:
        return Counter(note.split()[1] for note in self.notes)[word]

    def cells(self, backend: str, column: str) -> set[str]:
        return {row[column] for row in self.rows if row["backend"] == backend}


def run(folder: Path, *words: str, more: dict[str, str] | None = None) -> Run:
    log, file = folder / "notes", folder / "rows.csv"
    done = subprocess.run(
        [sys.executable, "-m", "convbench", *words, "--device", "cuda", "--csv", str(file)],
        env=os.environ | {"PYTHONPATH": str(STANDIN), "STANDIN_LOG": str(log), "OMP_NUM_THREADS": "1"} | (more or {}),
        capture_output=True,
        check=False,
        text=True,
        cwd=folder,
    )
    rows = list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []
    return Run(code=done.returncode, rows=rows, notes=log.read_text().splitlines(), text=done.stdout + done.stderr)


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return str(path)


BENCH = ("bench", "--budget", "0.1", "--min-rounds", "3", "--no-ceilings")


def test_twenty_cases_take_two_workers_and_are_graphs_over_cold_operands(tmp_path: Path) -> None:
    shapes = [word for k in range(1, 21) for word in ("--shape", f"n1c2h6w6k{k}r3s3_pd1")]
    done = run(tmp_path, *BENCH, "--backend", "torch,cudnn,cudnn-benchmark", *shapes)
    assert done.code == 0, done.text
    assert [row["k"] for row in done.rows[::3]] == [str(k) for k in range(1, 21)]
    assert [row["backend"] for row in done.rows] == ["torch", "cudnn", "cudnn-benchmark"] * 20
    for column, word in {"outcome": "timed", "timing": "graph", "cache": "cold"}.items():
        assert {row[column] for row in done.rows} == {word}
    for row in done.rows:  # real times: a busy machine lengthens some waits
        assert row["launch_bound"] == str(int(float(row["host_s"]) > 0.8 * float(row["wall_s"])))
    for column in ("median_s", "cold_s", "wall_s", "host_s", "graph_s"):
        assert all(float(row[column]) > 0 for row in done.rows), column
    assert done.count("forked") == 0
    assert done.count("context") <= 3  # the parent's and two workers'
    assert done.count("captured") == done.count("capture") == 2 * 3 * 20  # cold, and hot for graph_s
    assert "own median (graph, cold)" not in done.text  # a pipe has the columns
    assert "launch-bound, an eager call takes: torch on " in done.text


@pytest.mark.parametrize(("pids", "contended"), [("", "0"), ("4194305 4194306", "2")])
def test_a_gpu_that_others_use_makes_its_rows_contended(tmp_path: Path, pids: str, contended: str) -> None:
    more = {"PYTHONPATH": os.pathsep.join(map(str, (STANDIN, NVML))), "NVML_PIDS": pids}
    done = run(tmp_path, *BENCH, "--backend", "torch,cudnn", "--shape", "n1c2h6w6k3r3s3_pd1", more=more)
    assert done.code == 0, done.text
    assert {row["contended"] for row in done.rows} == {contended}
    assert ("GPU in use by other processes" in done.text) is bool(pids)


def test_who_cannot_be_captured_is_eager_and_compared_with_no_graph_and_its_worker_is_replaced(
    tmp_path: Path, plugin: str
) -> None:
    words = ("--plugin", plugin, "--backend", "torch,cudnn,waits,honest")
    done = run(tmp_path, *BENCH, *words, "--shape", "n1c2h6w6k3r3s3_pd1", "--shape", "n1c2h6w6k4r3s3_pd1")
    assert done.code == 0, done.text
    assert done.cells("waits", "timing") == {"eager"}
    assert done.cells("honest", "timing") == done.cells("torch", "timing") == {"graph"}
    assert {row["cache"] for row in done.rows} == {"cold"}
    assert done.cells("waits", "verdict") == done.cells("waits", "ratio_to_torch") == {""}
    assert "" not in done.cells("honest", "ratio_to_torch")
    assert all(float(cell) > 0 for cell in done.cells("waits", "median_s"))
    assert done.cells("waits", "graph_s") == {""}
    timing = {note.split()[0] for note in done.notes if note.split()[1] == "capture"}
    assert len(timing) == 2  # each case in a worker of its own


def test_one_that_a_capture_breaks_is_out_and_nobody_else(tmp_path: Path, plugin: str) -> None:
    words = ("--plugin", plugin, "--backend", "torch,breaks,honest")
    done = run(tmp_path, *BENCH, *words, "--shape", "n1c2h6w6k3r3s3_pd1")
    assert done.code == 1
    assert done.cells("breaks", "outcome") == {"failed"}
    (reason,) = done.cells("breaks", "reason")
    assert reason.startswith("RuntimeError: I am broken (mine.py:")
    assert done.cells("torch", "outcome") == done.cells("honest", "outcome") == {"timed"}, done.text


def test_a_graph_that_holds_no_convolution_is_caught(tmp_path: Path, plugin: str) -> None:
    words = ("--plugin", plugin, "--backend", "torch,answers-once,honest")
    done = run(tmp_path, *BENCH, *words, "--shape", "n1c2h6w6k3r3s3_pd1")
    assert done.code == 1
    assert done.cells("answers-once", "outcome") == {"wrong"}, done.text
    (reason,) = done.cells("answers-once", "reason")
    assert "correct before timing; while it was timed" in reason
    assert done.cells("honest", "outcome") == {"timed"}


def test_what_cudnn_has_no_plan_for_is_a_skip_in_its_words(tmp_path: Path) -> None:
    words = ("--backend", "torch,cudnn,cudnn-benchmark", "--epilogue", "bias,bias_relu", "--dtype", "fp32,fp16")
    done = run(tmp_path, "verify", *words, "--shape", "n1c3h6w6k3r3s3_pd1_g3", "--shape", "n1c2h6w6k3r3s3_pd1")
    assert done.code == 0, done.text
    lacking = {(row["backend"], row["groups"], row["epilogue"]) for row in done.rows if row["outcome"] == "skipped"}
    assert lacking == {("cudnn", "3", "bias_relu"), ("cudnn-benchmark", "3", "bias_relu")}
    assert {row["reason"] for row in done.rows if row["outcome"] == "skipped"} == {
        "cuDNN has no plan for this case: GET was unable to find an engine to execute this computation"
    }
    assert {row["outcome"] for row in done.rows} == {"skipped", "verified"}


@pytest.mark.standin
def test_the_whole_round_runs_from_start_to_end(tmp_path: Path) -> None:
    out = tmp_path / "round"
    small = {
        "SKIP": "tests ceilings",  # the tests ask a real GPU, and its probes are too large for a CPU
        "BATCH": "1",
        "BUDGET": "0.02",
        "FUZZ": "3",
        "MORE": "--min-rounds 3 --no-ceilings --match layer1.0.conv1$|features.15.conv.1.0|srv_099",
        "MORE_VERIFY": "--pass fprop --dtype fp32",
        "PYTHON": sys.executable,
        "PYTHONPATH": str(STANDIN),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(STANDIN.parents[2] / "scripts" / "gpu_round.sh"), str(out), "500"]
    done = subprocess.run(command, env=os.environ | small, capture_output=True, check=False, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    steps = dict(line.split(": ", 1) for line in done.stdout.splitlines() if not line.startswith((" ", "in all")))
    assert set(steps) == {*"facts smoke tests verify ceilings resnet50 mobilenet_v2 tf32 deepbench".split()}
    for name, words in steps.items():
        assert words.startswith("ok in " if name not in small["SKIP"] else "skipped, as SKIP says"), done.stdout
    files = {file.name: file.stat().st_size for file in out.iterdir()}
    assert files.keys() == {
        *"smoke.csv verify.csv resnet50.csv mobilenet_v2.csv tf32.csv deepbench.csv".split(), "summary.txt", "logs.tgz"
    }  # fmt: skip
    assert max(files.values()) <= 2**24
    rows = list(csv.DictReader((out / "resnet50.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2 * 2 * 4  # dtypes, layouts, epilogues, backends
    assert {row["outcome"] for row in rows} == {"timed"}
    assert (out / "summary.txt").read_text().splitlines() == done.stdout.splitlines()


def test_verify_runs_on_it(tmp_path: Path) -> None:
    words = ("--backend", "torch,cudnn,unfold-matmul", "--pass", "fprop")
    done = run(tmp_path, "verify", "--suite", "quick", "--match", "note", *words)
    assert done.code == 0, done.text
    assert {row["outcome"] for row in done.rows} == {"verified"}
