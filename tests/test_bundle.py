"""What a bug report needs, and nothing more."""

import platform
import shutil
from pathlib import Path

import pytest
import torch

from convbench.bench.doctor import Disturbance
from convbench.bundle import bundle
from convbench.ceilings.cache import Cache, CeilingLedger, CeilingReading
from convbench.device import find_device
from convbench.machine import cpu_name, fingerprint
from convbench.version import installed_version

SHIPPED = Path(__file__).parent / "results" / "quick-cpu-zen4.csv"


def test_a_bundle_has_versions_the_machine_its_ceilings_and_the_newest_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "node", lambda: "a-host-of-mine")
    reading = CeilingReading(rate=1.5e11, time="2026-11-29T12:00:00+00:00")
    Cache.of_user().add(fingerprint("cpu", 2), CeilingLedger(readings={"calls": {"smallest": reading}}))
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(SHIPPED, results / "bench.csv")
    found = [Disturbance(what="steal", ok=True, found="0.0% of all cores")]
    text = bundle(find_device("cpu"), 2, found, results)
    for line in (
        f"  system: {platform.system()}",
        f"  cpu: {cpu_name()}",
        f"  convbench: {installed_version()}",
        f"  torch: {torch.__version__}",
        "  ok: steal: 0.0% of all cores",
        "  calls: 1.5e+11 a second by smallest, 2026-11-29T12:00:00+00:00",
    ):
        assert line in text.splitlines()
    assert "  bench.csv: 72 rows" in text
    assert not [word for word in ("a-host-of-mine", str(tmp_path), str(Path.home())) if word in text]
    other = bundle(find_device("cpu"), 3, [], tmp_path / "nowhere")
    assert [part.partition("\n")[2] for part in other.split("\n\n")][2:] == ["  none", "  none", "  none\n"]


def test_a_results_file_that_is_damaged_is_told_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("no results")
    assert "  a.csv: " in bundle(find_device("cpu"), 2, [], tmp_path)
