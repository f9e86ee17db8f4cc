"""convbench list: what is there, and why something is not."""

import pytest

from convbench.suites import suite_names
from tests.cli.conftest import LAST_TAP, Cli, table


@pytest.mark.program
def test_backends_are_listed_with_why_they_are_not_available(cli: Cli, tmp_path: object) -> None:
    from pathlib import Path

    from convbench.device.cuda import driver_version

    plugin = Path(str(tmp_path)) / "mine.py"
    plugin.write_text(LAST_TAP)
    rows = {row["backend"]: row for row in table(cli("list", "backends", "--plugin", plugin).out)}
    assert rows["torch"]["available"] == "yes"
    assert rows["cudnn"]["available"] == ("yes" if driver_version() else "no NVIDIA driver on this machine")
    assert rows["last-tap"]["what it is"] == "Drops the last tap in the last column."


def test_every_suite_is_listed_with_its_source(cli: Cli) -> None:
    rows = {row["suite"]: row for row in table(cli("list", "suites").out)}
    assert sorted(rows) == suite_names()
    assert rows["resnet50"]["problems"] == "23"
    assert all(row["source"] for row in rows.values())


def test_devices_are_listed_with_their_libraries(cli: Cli) -> None:
    rows = {row["device"]: row for row in table(cli("list", "devices").out)}
    assert rows["cpu"]["available"] == "yes"
    assert "oneDNN" in rows["cpu"]["with"]
    assert "cuda" in rows
