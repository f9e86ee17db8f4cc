"""Is a file written whole or not at all, and is nothing lost that was there?"""

import os
from pathlib import Path

import pytest

from convbench.files import put


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        put(path, b"ours", overwrite=False)
    assert path.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["a"]


def test_one_that_appears_while_it_is_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    monkeypatch.setattr(os, "fsync", lambda _: path.write_bytes(b"mine"))
    with pytest.raises(FileExistsError):
        put(path, b"ours", overwrite=False)
    assert path.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        put(tmp_path / "a", b"ours", overwrite=False)
    assert os.listdir(tmp_path) == ["a"]


def test_the_file_behind_a_link_is_replaced_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "a").symlink_to(tmp_path / "there")
    put(tmp_path / "a", b"ours", overwrite=True)
    assert (tmp_path / "there").read_bytes() == b"ours"
    assert (tmp_path / "a").is_symlink()


def test_what_was_there_survives_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        put(path, b"ours", overwrite=True)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_device_takes_what_is_written() -> None:
    put("/dev/null", b"ours", overwrite=True)
    assert not Path("/dev/null").is_file()
