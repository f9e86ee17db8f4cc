"""convbench verify: verdicts, the reproducing command, the CSV."""

import shlex
from pathlib import Path

import pandas as pd

from tests.cli.conftest import LAST_TAP, Cli, table

SHAPE = "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"


def test_right_backends_are_exit_0_with_a_row_each(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    done = cli("verify", "--shape", SHAPE, "--backend", "torch,unfold-einsum", "--dtype", "fp32,bf16", "--csv", path)
    assert done.code == 0
    rows = table(done.out)
    assert len(rows) == 2 * 2 * 3
    assert {row["outcome"] for row in rows} == {"verified"}
    assert "12 verified" in done.err
    frame = pd.read_csv(path)
    assert len(frame) == 12
    assert set(frame.layout) == {"nchw", "nhwc", "strided"}
    assert (frame.worst_of_bound <= 1).all()


def test_the_csv_may_go_to_stdout(cli: Cli) -> None:
    done = cli("verify", "--shape", "n1c1h4w4k1r2s2", "--backend", "torch", "--dtype", "fp32", "--csv", "-")
    assert done.code == 0
    header, *rows = done.out.splitlines()
    assert header.startswith("suite,name,count,spec,")
    assert len(rows) == 3


def test_a_wrong_plugin_is_exit_1_named_with_its_place_and_a_command(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "bad kernel.py"
    plugin.write_text(LAST_TAP)
    done = cli("verify", "--plugin", plugin, "--backend", "last-tap,torch", "--suite", "awkward", "--dtype", "fp32")
    assert done.code == 1
    lines = done.err.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("WRONG last-tap on note"))
    assert "in the last output column (q=2)" in lines[place + 1]
    command = shlex.split(lines[place + 2].strip())
    again = cli(*command[1:])
    assert again.code == 1
    (row,) = table(again.out)
    assert row["outcome"] == "wrong"
    assert "the last output column (q=2)" in row["reason"]
