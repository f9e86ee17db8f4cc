"""convbench ceilings, and what bench makes of them."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from convbench.ceilings.cache import Cache
from convbench.machine import fingerprint
from tests.cli.conftest import Cli, table
from tests.conftest import keep_fake_ceilings

SHAPE = ("--shape", "n1c4h9w8k6r3s3", "--budget", "0.02", "--threads", "1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, with nothing in it."""
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real probes, but for the shortest time."""
    from convbench.ceilings import cpu, gather
    from convbench.ceilings.measure import highest

    for name in ("COMPUTE_S", "MEMORY_S", "CALLS_S"):
        monkeypatch.setattr(gather, name, 0.0)
    monkeypatch.setattr(cpu, "LARGEST_NBYTES", 4 << 20)
    monkeypatch.setattr(gather, "highest", lambda probes, seconds: highest(probes, seconds, burst_s=0.0))


def test_each_probe_has_a_row_with_its_figure(cli: Cli, folder: Path) -> None:
    keep_fake_ceilings(folder, 1)
    done = cli("ceilings", "--threads", "1", "--dtype", "fp32,bf16")
    assert (done.code, done.err) == (0, "")
    rows = table(done.out)
    assert {row["dtype"] for row in rows} == {"fp32", "bf16"}
    assert [row["kind"] for row in rows if row["dtype"] == "fp32"][0::5] == ["operations", "call"]
    assert {(row["probe"], row["per_second"], row["best"]) for row in rows} == {("a fake", "1e+15", "yes")}


def test_what_is_not_known_is_probed_said_and_kept(cli: Cli, folder: Path, quick: None) -> None:
    first = cli("ceilings", "--threads", "1")
    assert first.code == 0
    assert first.err.startswith("convbench: measuring the ceilings of cpu fp32 ieee, about ")
    best = {row["kind"]: float(row["per_second"]) for row in table(first.out) if row["best"]}
    assert list(best) == ["operations", "L1", "L2", "L3", "memory", "call"]
    assert best["operations"] > 1e8
    second = cli("ceilings", "--threads", "1")
    assert (second.out, second.err) == (first.out, "")
    assert "measuring" in cli("ceilings", "--threads", "1", "--refresh").err


def test_json_holds_the_ceilings_the_probes_and_the_machine(cli: Cli, folder: Path) -> None:
    keep_fake_ceilings(folder, 1)
    (data,) = json.loads(cli("ceilings", "--threads", "1", "--dtype", "fp64", "--json").out)
    assert data["fingerprint"] == fingerprint("cpu", 1)
    assert data["ceilings"]["flops_per_s"] == 1e15
    assert data["ceilings"]["levels"][-1] == {"name": "memory", "nbytes": None, "bytes_per_s": 1e15, "probe": "a fake"}
    assert {probe["probe"] for probe in data["probes"]} == {"a fake"}


def test_tf32_on_a_cpu_has_no_ceiling(cli: Cli, folder: Path) -> None:
    done = cli("ceilings", "--precision", "tf32")
    assert done.code == 3
    assert "TF32 is for fp32 on cuda only" in done.err


def test_bench_fills_its_columns_and_a_report_repeats_them(cli: Cli, folder: Path, tmp_path: Path) -> None:
    keep_fake_ceilings(folder, 1)
    path = tmp_path / "rows.csv"
    done = cli("bench", *SHAPE, "--backend", "torch,unfold-matmul,cudnn", "--csv", path)
    assert done.code == 0
    assert "measuring" not in done.err
    frame = pd.read_csv(path)
    timed = frame[frame.outcome == "timed"]
    assert len(timed) == 2
    assert (timed.peak_flops_per_s == 1e15).all()
    assert timed.percent_of_ceiling.tolist() == pytest.approx((100 * timed.roofline_s / timed.median_s).tolist(), 1e-4)
    assert timed.bound.tolist() == ["compute"] * 2
    assert timed.ceiling_probe.tolist() == ["a fake"] * 2
    assert timed.flag.isna().all()
    flops = timed.gflops * 1e9 * timed.median_s
    assert timed.actual_flops.isna().tolist() == [True, False]  # what torch does, nobody knows
    assert timed.actual_flops.tolist()[1] == pytest.approx(flops.tolist()[1], rel=1e-4)
    assert frame[frame.outcome == "skipped"].roofline_s.isna().all()
    shown = {row["backend"]: row["percent_of_ceiling"] for row in table(cli("report", path).out)}
    assert [shown[name] for name in timed.backend] == [f"{value:.6g}" for value in timed.percent_of_ceiling]


def test_no_ceilings_probes_nothing_and_leaves_the_columns_empty(cli: Cli, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    done = cli("bench", *SHAPE, "--backend", "torch", "--csv", path, "--no-ceilings")
    assert done.code == 0
    assert "measuring" not in done.err
    assert not folder.exists()
    frame = pd.read_csv(path)
    assert frame[["percent_of_ceiling", "roofline_s", "bound", "peak_flops_per_s", "flag"]].isna().all(axis=None)


def test_a_row_above_its_ceiling_has_it_probed_again_and_raised(
    cli: Cli, folder: Path, quick: None, tmp_path: Path
) -> None:
    """Ceilings as a machine that was suspended meanwhile would have read them."""
    keep_fake_ceilings(folder, 1, rate=1.0)
    path = tmp_path / "rows.csv"
    done = cli("bench", *SHAPE, "--backend", "torch", "--csv", path)
    for side in ("compute", "memory"):  # with the one raised, the other stands in the way
        assert f"above its ceiling: measuring {side} again" in done.err
    raised = Cache(folder).load(fingerprint("cpu", 1)).best("flops fp32 ieee")
    assert raised is not None
    assert raised[1].rate > 1e8
    (row,) = pd.read_csv(path).to_dict("records")
    assert row["peak_flops_per_s"] == pytest.approx(raised[1].rate, rel=1e-5)
    assert pd.isna(row["flag"])
    assert 0 < row["roofline_s"] < row["median_s"]


def test_a_results_file_from_before_there_were_ceilings_is_read(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    cli("bench", *SHAPE, "--backend", "torch", "--csv", path)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[:, :"onednn"].assign(percent_of_ceiling="").to_csv(tmp_path / "old.csv", index=False)
    done = cli("report", tmp_path / "old.csv")
    assert done.code == 0
    assert [row["flag"] for row in table(done.out)] == [""]


def test_the_threads_of_the_ceilings_are_those_of_the_run(cli: Cli, folder: Path) -> None:
    keep_fake_ceilings(folder, 1)
    keep_fake_ceilings(folder, 2, rate=2e15)
    before = torch.get_num_threads()
    try:
        rows = table(cli("ceilings", "--threads", "2").out)
    finally:
        torch.set_num_threads(before)
    assert {(row["threads"], row["per_second"]) for row in rows} == {("2", "2e+15")}
