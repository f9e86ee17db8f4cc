"""A CSV that others meddle with, that a spreadsheet opens, and whose disk fails: nothing runs, no row is lost."""

import csv
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from convbench import ConvbenchError, Failed, Result, Skipped
from convbench.errors import MOST_CHARACTERS, one_line, printable
from convbench.machine import Machine
from convbench.rows import Context, csv_line, guard, to_row, unguard
from convbench.store import CsvFile, read_results, read_rows
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture
from tests.conftest import make_case

RUN = ("=", "+", "-", "@", "\t", "\r", "\0")
BAD = "=HYPERLINK(A1)"


def row_of(number: int, reason: str = "no") -> dict[str, Any]:
    machine = Machine(**{name: name for name in Machine.__dataclass_fields__})
    result = Result(case=make_case(f"n1c1h4w4k{number}r2s2"), backend="mine", family="im2col", outcome=Failed(reason))
    return dict(to_row(result, Context(machine=machine, threads=2, command="convbench bench --csv rows.csv --resume")))


# ----------------------------------------------------------------------------- cells


@given(st.text())
@example("'=1")
@example("''")
@example("\0x")
def test_what_is_guarded_is_no_formula_and_comes_back_exactly(text: str) -> None:
    assert not guard(text).startswith(RUN)
    assert unguard(guard(text)) == text


@given(st.one_of(st.text(), st.sampled_from([*RUN, "'", "''"]).flatmap(lambda mark: st.text().map(mark.__add__))))
@example("\ud800 lone surrogate")
@example('=cmd|"/c calc",1')
@example("'=1")
def test_a_text_survives_the_file_and_no_cell_of_it_is_run(text: str) -> None:
    line = csv_line(row_of(1, text))
    assert line.encode().count(b"\n") == 1
    cells = next(csv.reader([line]))
    assert not any(cell.startswith(RUN) for cell in cells)
    assert line.removesuffix("\n").isprintable()
    frame = pd.read_csv(io.StringIO(csv_line({c: c for c in row_of(1)}) + line), dtype=str, keep_default_na=False)
    assert unguard(frame.reason[0]) == printable(text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "'quoted'", "''", "'=1", "plain"])
def test_reading_back_undoes_the_prefix(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        file.append(row_of(1, text))
    assert read_rows(path)[0]["reason"] == text
    assert read_results(path)[0].outcome == Failed(text)
    with CsvFile(str(path), plan=[[row_of(1, "")]]) as file:
        assert file.finished[0]["reason"] == text


def test_a_run_whose_names_a_spreadsheet_would_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = [row_of(number) | {"name": BAD, "suite": "-s", "family": "'f"} for number in (1, 2)]
    with CsvFile(str(path)) as file:
        file.append(rows[0])
    with CsvFile(str(path), plan=[[one] for one in rows]) as file:
        assert [(one["name"], one["suite"], one["family"]) for one in file.finished] == [(BAD, "-s", "'f")]


def test_a_number_is_no_text_even_a_negative_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        file.append(row_of(1) | {"temperature_c": -5.5, "seed": -1, "reason": "-1"})
    frame = pd.read_csv(path)
    assert (frame.temperature_c[0], frame.seed[0], frame.reason[0]) == (-5.5, -1, "'-1")


def test_foreign_words_are_one_printable_line_of_bounded_length() -> None:
    line = one_line("\x1b[2J\x07bell\nnext\u202eturned " + "x" * 2**20)
    assert line.startswith(r"\x1b[2J\x07bell next\u202eturned xxx")
    assert line.isprintable()
    assert len(line) < MOST_CHARACTERS + 60
    assert line.endswith(f"... ({2**20 + 22:,} characters)")
    assert one_line("short") == "short"


# ----------------------------------------------------------------------------- meddling


def delete(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def truncate(path: Path) -> None:
    os.truncate(path, 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lengthen(path: Path) -> None:
    with path.open("a") as file:
        file.write("forged\n")


def forge(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"failed", b"passed"))


def replace_by_a_link(path: Path) -> None:
    precious = path.with_name("precious")
    precious.write_text("precious")
    path.unlink()
    path.symlink_to(precious)


def remove_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


MEDDLING: dict[Callable[[Path], None], str] = {
    delete: "deleted",
    rename: "renamed",
    truncate: "cut short",
    empty: "cut short",
    lengthen: "written to",
    forge: "changed",
    replace_by_a_link: "replaced",
    remove_the_folder: "deleted",
}


@pytest.mark.parametrize("last", [True, False], ids=["after the last row", "between rows"])
@pytest.mark.parametrize("meddle", MEDDLING, ids=lambda one: one.__name__)
def test_whatever_is_done_to_the_file_its_rows_are_there_at_the_end_and_it_is_told(
    tmp_path: Path, meddle: Callable[[Path], None], last: bool
) -> None:
    path, told = tmp_path / "folder" / "rows.csv", list[str]()
    path.parent.mkdir()
    with CsvFile(str(path), tell=told.append) as file:
        file.append(row_of(1))
        if not last:
            meddle(path)
        file.append(row_of(2))
        if last:
            meddle(path)
    assert [row["k"] for row in read_rows(path)] == ["1", "2"]
    assert {row["outcome"] for row in read_rows(path)} == {"failed"}
    (line,) = told
    assert line.startswith(f"{path} was {MEDDLING[meddle]} by another program; its rows so far (")
    assert line.endswith(f" have been restored in {path}")
    assert sorted(one.name for one in path.parent.iterdir() if one.name not in ("elsewhere", "precious")) == [path.name]
    if meddle is replace_by_a_link:
        assert path.with_name("precious").read_text() == "precious"


def test_a_file_that_nobody_touched_stays_the_same_file(tmp_path: Path) -> None:
    path, told = tmp_path / "rows.csv", list[str]()
    (tmp_path / "link.csv").symlink_to(path)
    with CsvFile(str(tmp_path / "link.csv"), tell=told.append, overwrite=True) as file:
        number = path.stat().st_ino
        file.append(row_of(1))
    assert path.stat().st_ino == number
    assert (tmp_path / "link.csv").is_symlink()
    assert told == []


def test_an_interruption_in_the_middle_of_a_write_is_nobodys_meddling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / "rows.csv", list[str]()
    with CsvFile(str(path), tell=told.append) as file:
        real = os.fsync

        def fsync(where: int) -> None:
            file.mend()  # as the handler of Ctrl-C does
            real(where)

        monkeypatch.setattr(os, "fsync", fsync)
        file.append(row_of(1))
    assert told == []
    assert len(read_rows(path)) == 1


def test_a_link_of_the_users_stays_a_link_when_its_target_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    (tmp_path / "link.csv").symlink_to(path)
    with CsvFile(str(tmp_path / "link.csv"), overwrite=True) as file:
        file.append(row_of(1))
        path.unlink()
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read_rows(path)) == 1


def test_where_a_directory_lies_in_the_place_the_rows_go_beside_it(tmp_path: Path) -> None:
    path, told = tmp_path / "rows.csv", list[str]()
    with CsvFile(str(path), tell=told.append) as file:
        file.append(row_of(1))
        path.unlink()
        (path / "full").mkdir(parents=True)
        file.append(row_of(2))
    beside = told[0].partition("restored in ")[2]
    assert len(read_rows(beside)) == 2
    assert len(told) == 1


def test_a_file_that_was_put_back_is_locked_again_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        file.append(row_of(1))
        path.unlink()
        file.append(row_of(2))
        with pytest.raises(ConvbenchError, match="is being written by another convbench"):
            CsvFile(str(path), overwrite=True)
    with CsvFile(str(path), plan=[[row_of(number)] for number in (1, 2, 3)]) as file:
        assert len(file.finished) == 2


# ----------------------------------------------------------------------------- disks that fail

VERIFY = (
    "verify",
    "--pass",
    "fprop",
    "--shape",
    "n1c1h4w4k1r2s2,n1c1h4w4k2r2s2",
    "--backend",
    "torch,unfold-matmul",
    "--dtype",
    "fp32",
)


def failing(
    monkeypatch: pytest.MonkeyPatch, path: Path, name: str, code: int, when: int, torn: bool
) -> Callable[[], bool]:
    """Make the `when`-th call of os.write or os.fsync on that file fail, after half the bytes if `torn`."""
    real, count = getattr(os, name), 0

    def call(where: int, *rest: Any) -> Any:
        nonlocal count
        if not (path.exists() and os.path.samestat(os.fstat(where), path.stat())):
            return real(where, *rest)
        count += 1
        if count == when and torn:
            return real(where, rest[0][: len(rest[0]) // 2])
        if count == when + torn:
            raise OSError(code, os.strerror(code))
        return real(where, *rest)

    monkeypatch.setattr(os, name, call)
    return lambda: count >= when + torn


@pytest.mark.parametrize(
    ("name", "code", "torn"),
    [("write", errno.ENOSPC, False), ("write", errno.EIO, True), ("fsync", errno.EIO, False)],
)
def test_the_kth_write_fails_for_every_k_until_a_run_is_clean(
    cli: Cli, tmp_path: Path, name: str, code: int, torn: bool
) -> None:
    clean = 0
    for when in range(1, 12):
        path = tmp_path / f"rows{when}.csv"
        with pytest.MonkeyPatch.context() as patch:
            failed = failing(patch, path, name, code, when, torn)
            done = cli(*VERIFY, "--layout", "nchw", "--csv", path)
        rows = read_rows(path) if path.stat().st_size else []
        if not failed():
            assert done.code == 0
            assert len(rows) == 4
            clean = when
            break
        assert done.code == 2
        assert done.err == f"convbench: cannot write {path}: {os.strerror(code)}; the rows before this one are kept\n"
        assert len(rows) == 2 * max(when - 2, 0), "whole cases only"
        assert cli(*VERIFY, "--layout", "nchw", "--csv", path, "--resume").code == 0
        assert len(read_rows(path)) == 4
    assert clean == 4, "the header and two cases are three writes"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--csv", "/dev/full", "--overwrite"], ["--csv", "/dev/full", "--resume"]])
def test_a_full_device_ends_the_command_in_one_line(cli: Cli, words: list[str]) -> None:
    done = cli(*VERIFY, *words)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "/dev/full" in done.err


def test_a_disk_that_fails_even_to_cut_a_torn_row_off_is_one_line_and_resumed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, path, "write", errno.EIO, 3, torn=True)

        def ftruncate(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(os, "ftruncate", ftruncate)
        done = cli(*VERIFY, "--layout", "nchw", "--csv", path)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert not path.read_bytes().endswith(b"\n")
    assert cli(*VERIFY, "--layout", "nchw", "--csv", path, "--resume").code == 0
    assert len(read_rows(path)) == 4


def test_a_skip_is_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        file.append(row_of(1) | {"outcome": "skipped", "reason": "@once"})
    assert read_results(path)[0].outcome == Skipped("@once")
