"""convbench bench: rows as they come, verdicts, interruptions that lose nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from convbench import ConvSpec
from convbench.schema import COLUMNS
from convbench.store import read_results, read_rows
from tests.cli.conftest import LAST_TAP, Cli, table

QUICKLY = ("--shape", "n1c4h9w8k6r3s3", "--budget", "0.05")


def test_rows_go_to_the_csv_and_to_the_pipe(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    done = cli("bench", *QUICKLY, "--backend", "torch,unfold-matmul,cudnn", "--csv", path, "--threads", "1")
    assert done.code == 0
    rows = {row["backend"]: row for row in table(done.out)}
    assert rows["torch"]["verdict"] == "baseline"
    assert rows["cudnn"]["outcome"] == "skipped"
    assert float(rows["unfold-matmul"]["median_s"]) > 0
    frame = pd.read_csv(path)
    assert list(frame.columns) == list(COLUMNS)
    timed = frame[frame.outcome == "timed"]
    assert set(timed.threads) == {1}
    assert timed.command.iloc[0].startswith("convbench bench --shape")
    assert [len(samples.split()) for samples in timed.samples_s] == timed.samples.tolist()
    for name in ("machine", "cpu", "python", "torch", "convbench", "onednn", "time"):
        assert timed[name].notna().all(), name


def test_images_a_second_stand_beside_the_seconds_in_a_pipe(cli: Cli, tmp_path: Path) -> None:
    words = ("--shape", "n3c4h9w8k6r3s3", "--budget", "0.05", "--backend", "torch,cudnn", "--no-ceilings")
    rows = {row["backend"]: row for row in table(cli("bench", *words, "--csv", tmp_path / "rows.csv").out)}
    assert float(rows["torch"]["images_per_s"]) == pytest.approx(3 / float(rows["torch"]["median_s"]), rel=1e-4)
    assert rows["cudnn"]["images_per_s"] == ""


def test_wait_until_quiet_waits_before_anything_is_timed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "rows.csv", list[tuple[int, float]]()

    def wait(_device: object, threads: int, tell: Callable[[str], None], *, most_s: float) -> None:
        assert len(path.read_text().splitlines()) == 1  # the header
        seen.append((threads, most_s))
        tell("waiting for this test")

    monkeypatch.setattr("convbench.bench.doctor.wait_until_quiet", wait)
    words = (*QUICKLY, "--backend", "torch", "--no-ceilings", "--csv", path, "--threads", "1")
    done = cli("bench", *words, "--wait-until-quiet")
    assert (done.code, seen) == (0, [(1, 600.0)])
    assert "convbench: waiting for this test\n" in done.err
    assert cli("bench", *words, "--overwrite").code == 0
    assert len(seen) == 1


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("model net.py:Net", marks=pytest.mark.program),
        "optimize net.py:Net --only channels-last --no-isolate --budget 0.1",
    ],
    ids=lambda words: words.split()[0],
)
def test_a_model_is_timed_when_the_machine_is_quiet(
    words: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("from torch import nn\n\ndef Net():\n    return nn.Conv2d(3, 4, 3)\n")
    waited = list[int]()
    monkeypatch.setattr(
        "convbench.bench.doctor.wait_until_quiet", lambda _device, threads, _tell: waited.append(threads)
    )
    words += " --input 1x3x8x8 --threads 1"
    assert cli(*words.split()).code in (0, 3)
    assert waited == []
    assert cli(*words.split(), "--wait-until-quiet").code in (0, 3)
    assert waited == [1]


def test_results_land_in_a_folder_of_their_own_by_default(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("bench", *QUICKLY, "--backend", "torch")
    (path,) = (tmp_path / "convbench-results").iterdir()
    assert path.name in done.err
    assert len(pd.read_csv(path)) == 1


def test_an_existing_csv_is_not_replaced(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("precious")
    done = cli("bench", *QUICKLY, "--csv", path)
    assert done.code == 2
    assert "--overwrite" in done.err
    assert path.read_text() == "precious"


@pytest.mark.program
def test_a_wrong_backend_is_exit_1_and_the_others_are_timed(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(LAST_TAP)
    done = cli("bench", *QUICKLY, "--plugin", plugin, "--backend", "torch,last-tap", "--csv", tmp_path / "x.csv")
    assert done.code == 1
    rows = {row["backend"]: row for row in table(done.out)}
    assert rows["torch"]["outcome"] == "timed"
    assert rows["last-tap"]["outcome"] == "wrong"
    assert rows["last-tap"]["median_s"] == ""
    assert "convbench verify --backend last-tap --shape n1c4h9w8k6r3s3" in done.err


@pytest.mark.program
def test_a_missing_dependency_is_a_row_with_the_reason(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.test_backend import install

    install(tmp_path, "absent_conv", "import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    done = cli("bench", *QUICKLY, "--backend", "torch,absent-conv", "--csv", tmp_path / "x.csv")
    assert done.code == 0
    rows = {row["backend"]: row for row in table(done.out)}
    assert rows["absent-conv"]["reason"] == "unavailable: No module named 'nothing_of_this_name'"


def start_bench(path: Path) -> "subprocess.Popen[str]":
    words = ["bench", "--suite", "awkward", "--backend", "torch,unfold-matmul", "--budget", "0.1", "--csv", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "convbench", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_text().count("\n") > 5:
            return process
        time.sleep(0.02)
    pytest.fail(f"no rows came: {process.stderr.read() if process.stderr else ''}")


@pytest.mark.program
def test_kill_9_leaves_whole_rows_that_pandas_reads(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    process = start_bench(path)
    time.sleep(random.random())
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert path.read_text().endswith("\n")
    frame = pd.read_csv(path)
    assert list(frame.columns) == list(COLUMNS)
    assert 4 < len(frame) < 80
    assert set(frame.outcome) == {"timed"}
    assert [len(samples.split()) for samples in frame.samples_s] == frame.samples.tolist()


@pytest.mark.program
def test_ctrl_c_ends_at_once_with_what_is_finished_and_exit_130(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    process = start_bench(path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert " timed" in err
    assert err.endswith("interrupted; finished cases are kept\n")
    assert len(pd.read_csv(path)) > 4


@pytest.mark.program
@pytest.mark.parametrize("later_s", [0.0, 0.2, 0.5])
def test_ctrl_c_while_torch_is_still_imported_is_quiet_too(later_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "convbench", "verify", "--suite", "awkward"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while "libtorch_cpu" not in Path(f"/proc/{process.pid}/maps").read_text():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(later_s)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_gradients_are_timed_with_their_own_bytes(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    words = ("--shape", "n2c4h9w8k6r3s3_pd1", "--backend", "torch,unfold-matmul", "--budget", "0.02", "--csv", path)
    done = cli("bench", *words, "--pass", "fprop,dgrad,wgrad", "--epilogue", "none,bias")
    assert done.code == 0, done.err
    spec = ConvSpec.parse("n2c4h9w8k6r3s3_pd1")
    for row in read_rows(path):
        added = 6 * 4 if row["epilogue"] == "bias" else 0
        median = float(row["median_s"])
        assert float(row["gflops"]) * median == pytest.approx(spec.flops * 1e-9, rel=1e-4)
        assert float(row["gbytes_per_s"]) * median == pytest.approx((spec.nbytes("fp32") + added) * 1e-9, rel=1e-4)
    results = read_results(path)
    assert [(one.case.pass_, one.case.epilogue) for one in results[::2]] == [
        ("fprop", "none"), ("fprop", "bias"), ("dgrad", "none"), ("wgrad", "none"),
    ]  # fmt: skip
    assert "aten::convolution_backward" in read_rows(path)[4]["ran"]
