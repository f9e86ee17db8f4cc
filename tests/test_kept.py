"""Which runs a folder has kept, in which order, and which one a word means."""

from pathlib import Path

import pytest

from convbench import ConvbenchError
from convbench.kept import find_run, kept_file, kept_runs, last_two, newest_after
from convbench.store import first_time
from tests.test_compare import case, noisy, write


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def kept(name: str, time: str) -> Path:
        path = tmp_path / kept_file(name)
        path.parent.mkdir(exist_ok=True)
        write(path, [(case(), "torch", noisy(name))])
        path.write_text(path.read_text().replace(first_time(path), time))
        return path

    return kept


def test_runs_are_in_the_order_of_their_rows_whenever_the_files_were_copied(keep) -> None:  # type: ignore[no-untyped-def]
    keep("newest", "2026-11-03T08:00:00+00:00")
    keep("oldest", "2026-11-01T08:00:00+00:00")
    keep("middle", "2026-11-02T08:00:00+00:00")
    assert [one.name for one in kept_runs()] == ["oldest", "middle", "newest"]
    assert [one.name for one in last_two()] == ["middle", "newest"]
    first = find_run("oldest")
    assert first is not None
    assert newest_after(first).name == "newest"
    newest = find_run("newest")
    assert newest is not None
    with pytest.raises(ConvbenchError, match="newest is the newest kept run; name the run to compare it with"):
        newest_after(newest)


def test_what_has_no_row_is_left_out_and_told(keep, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = keep("whole", "2026-11-01T08:00:00+00:00")
    (path.parent / "cut.csv").write_text(path.read_text().partition("\n")[0] + "\n")
    (path.parent / "other.csv").write_bytes(b"\xff\0,\n")
    (path.parent / "empty.csv").touch()
    told: list[str] = []
    assert [one.name for one in kept_runs(told.append)] == ["whole"]
    assert told == ["left out: cut.csv, empty.csv, other.csv in .convbench/, without a row"]


def test_a_word_is_a_file_if_there_is_one_and_otherwise_a_kept_run(keep, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    keep("before", "2026-11-01T08:00:00+00:00")
    found = find_run("before")
    assert found is not None
    assert found.path == Path(".convbench/before.csv")
    assert find_run("before.csv") is None
    assert find_run("folder/before") is None
    (tmp_path / "before").touch()
    assert find_run("before") is None
    with pytest.raises(ConvbenchError, match=r"unknown kept run 'befor': choose from before, or a file.*did you mean"):
        find_run("befor")


def test_a_folder_of_that_name_hides_no_kept_run(keep, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    keep("before", "2026-11-01T08:00:00+00:00")
    (tmp_path / "before").mkdir()
    found = find_run("before")
    assert found is not None
    assert found.path == Path(".convbench/before.csv")


def test_without_kept_runs_an_error_says_how_to_keep_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConvbenchError, match=r"before is no file, and .convbench/ has no kept run; keep one with"):
        find_run("before")
    with pytest.raises(ConvbenchError, match=r"two kept runs, and .convbench/ has 0 runs; give BEFORE AFTER"):
        last_two()


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "a b", "é", "a" * 101, "a\n"])
def test_a_name_is_one_for_a_file_on_every_system(name: str) -> None:
    with pytest.raises(ConvbenchError, match=r"--keep .*: a name has up to 100 letters"):
        kept_file(name)
