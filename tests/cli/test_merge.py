"""convbench merge, from the command line."""

from pathlib import Path

from convbench.store import read_rows
from tests.cli.conftest import Cli


def test_parts_are_merged_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    shapes = "quick:note,quick:onechannel5x5,quick:row1x7"
    words = ["verify", "--shape", shapes, "--backend", "torch,unfold-matmul"]
    axes = ["--dtype", "fp32", "--layout", "nchw", "--pass", "fprop", "--epilogue", "none", "--threads", "1"]
    parts = []
    for number in (1, 2, 3):
        parts.append(str(tmp_path / f"part-{number}.csv"))
        assert cli(*words, *axes, "--shard", f"{number}/3", "--csv", parts[-1]).code == 0
    done = cli("merge", *parts, "-o", tmp_path / "all.csv")
    assert done.code == 0
    assert "6 rows of 3 files; complete" in done.err
    assert [row["name"] for row in read_rows(tmp_path / "all.csv")[::2]] == ["note", "onechannel5x5", "row1x7"]
    held = [path for path in parts if read_rows(path)]
    without = cli("merge", *held[1:], "-o", tmp_path / "part.csv")
    assert without.code == 3
    lost = [row["name"] for row in read_rows(held[0])[::2]]
    assert f"{len(lost)} of 3 cases are missing on" in without.err
    assert all(name in without.err for name in lost)
    assert cli("merge", *parts, "-o", tmp_path / "all.csv").err.startswith("convbench: --output: ")
    assert cli("report", tmp_path / "all.csv").code == 0
