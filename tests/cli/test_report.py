"""convbench report: what a CSV says, wrong rows and all."""

from pathlib import Path

import pytest

from tests.cli.conftest import LAST_TAP, Cli, table

SHAPE = ("--shape", "n1c4h9w8k6r3s3")


@pytest.mark.program
def test_a_report_repeats_the_rows_and_the_exit_code_of_the_run(cli: Cli, tmp_path: Path) -> None:
    plugin, good, bad = tmp_path / "bad.py", tmp_path / "good.csv", tmp_path / "bad.csv"
    plugin.write_text(LAST_TAP)
    assert cli("bench", *SHAPE, "--budget", "0.02", "--backend", "torch,cudnn", "--csv", good).code == 0
    assert cli("verify", *SHAPE, "--plugin", plugin, "--backend", "last-tap", "--dtype", "fp32", "--csv", bad).code == 1
    done = cli("report", good)
    assert done.code == 0
    rows = table(done.out)
    assert [(row["backend"], row["outcome"]) for row in rows] == [("torch", "timed"), ("cudnn", "skipped")]
    done = cli("report", good, bad)
    assert done.code == 1
    assert len(table(done.out)) == 2 + 5  # a row for each layout
    assert "WRONG last-tap" in done.err
    assert "convbench verify --backend last-tap" in done.err


def test_a_report_of_skips_alone_is_exit_3(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert cli("verify", *SHAPE, "--backend", "cudnn", "--dtype", "fp32", "--csv", path).code == 3
    assert cli("report", path).code == 3
