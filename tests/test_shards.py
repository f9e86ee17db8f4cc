"""Shards: every case in one of them, always the same, and every row knows its place in the whole."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench import ConvbenchError, ConvSpec
from convbench.selection import FOR_VERIFY, Selection, select
from convbench.session import Session, Verify
from convbench.shards import MOST, Shard, Sweep, environment_of, shard_number
from convbench.store import read_rows
from tests.conftest import make_case
from tests.strategies import specs

SHAPES = [f"n1c2h5w5k{k}r3s3" for k in range(1, 9)]


def small(*shapes: str) -> Selection:
    return select(
        shapes=shapes or SHAPES,
        backends=["torch", "unfold-matmul"],
        dtypes=["fp32"],
        layouts=["nchw"],
        passes=["fprop"],
        epilogues=["none"],
        defaults=FOR_VERIFY,
        tell=lambda _: None,
    )


@given(spec=specs(), of=st.integers(1, MOST))
def test_a_case_is_in_one_shard_alone(spec: ConvSpec, of: int) -> None:
    key = make_case(str(spec)).key
    number = shard_number(key, of)
    assert Shard(number, of).holds(key)
    assert not Shard(number % of + 1, of).holds(key) or of == 1


def test_the_shard_of_a_case_never_changes() -> None:
    """What other releases and processes say: files of different days are merged."""
    assert [shard_number(make_case(shape).key, 64) for shape in SHAPES] == [17, 58, 62, 46, 35, 33, 14, 37]


def test_shards_are_about_even() -> None:
    cases = [make_case(f"n1c{c}h9w9k{k}r3s3").key for c in range(1, 41) for k in range(1, 41)]
    sizes = Counter(shard_number(key, 16) for key in cases)
    assert len(sizes) == 16
    assert max(sizes.values()) < 1.6 * min(sizes.values())


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1/0", "a/4", "1", "1/2/3", "-1/4", "1/999999999", "1 /4"])
def test_what_is_no_shard_is_one_line(text: str) -> None:
    with pytest.raises(ConvbenchError, match="give I/N with 1 <= I <= N"):
        Shard.parse(text)


def test_the_shards_of_a_run_are_the_whole_run(tmp_path: Path) -> None:
    whole = list(Session(small(), Verify()).run())
    parts, told = [], list[str]()
    for number in range(1, 4):
        path = str(tmp_path / f"{number}.csv")
        session = Session(small(), Verify(), csv=path, shard=Shard(number, 3), tell=told.append)
        parts += list(session.run())
        assert {row["shard"] for row in read_rows(path)} <= {f"{number}/3"}
        for row in read_rows(path):
            sweep, place = Sweep.read(row["plan"]) or pytest.fail("it has no place")
            assert sweep == session.sweep
            assert SHAPES[place - 1] == row["spec"]
            assert row["environment"] == environment_of(row)
    sizes = [int(line.split(": ")[1].split()[0]) for line in told]
    assert sum(sizes) == len(whole) == len(SHAPES)
    assert sorted(str(results[0].case.spec) for results in parts) == SHAPES


def test_a_shard_is_gone_on_with(tmp_path: Path) -> None:
    path = str(tmp_path / "part.csv")
    number = Counter(shard_number(make_case(shape).key, 3) for shape in SHAPES).most_common(1)[0][0]
    results = Session(small(), Verify(), csv=path, shard=Shard(number, 3)).run()
    next(results)
    results.close()
    again = Session(small(), Verify(), csv=path, shard=Shard(number, 3), resume=True)
    assert again.kept == 1
    assert len(list(again.run())) == again.total - 1


def test_a_sweep_has_one_name_for_equal_cases_and_backends_alone() -> None:
    here = Session(small(), Verify()).sweep
    assert Session(small(), Verify()).sweep == here
    assert Session(small(*SHAPES[:7]), Verify()).sweep != here
    assert Session(small(*SHAPES[::-1]), Verify()).sweep != here
    assert Session(small(), Verify(), threads=1).sweep != here


def test_a_run_by_the_clock_has_no_parts() -> None:
    with pytest.raises(ConvbenchError, match="a run that ends by the clock has no parts"):
        Session(small(), Verify(seconds=1.0), shard=Shard(1, 2))


@pytest.mark.parametrize("cell", ["1/2", "3/2 of 0123456789ab", "0/2 of 0123456789ab", "x", "1/2 of 01234"])
def test_a_place_that_cannot_be_is_one_line(cell: str) -> None:
    with pytest.raises(ConvbenchError, match="plan is"):
        Sweep.read(cell)


@pytest.mark.program
def test_from_the_command_line_an_empty_shard_is_no_failure(tmp_path: Path) -> None:
    words = ["verify", "--shape", SHAPES[0], "--backend", "torch", "--dtype", "fp32", "--layout", "nchw"]
    codes = []
    for number in (1, 2):
        more = ["--shard", f"{number}/2", "--csv", str(tmp_path / f"{number}.csv")]
        command = [sys.executable, "-m", "convbench", *words, *more]
        codes.append(subprocess.run(command, check=False, capture_output=True).returncode)
    assert codes == [0, 0]
    assert sorted(len(read_rows(tmp_path / f"{number}.csv")) > 0 for number in (1, 2)) == [False, True]
