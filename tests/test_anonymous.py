"""What is left out of rows and pages: the host, the command, folders, and the names of users."""

import getpass
import platform
from pathlib import Path

import pytest

from convbench import ConvbenchError, Wrong
from convbench.anonymous import anonymous_files, anonymous_pair, anonymous_text
from convbench.compare import Gate, compare_files
from convbench.outcome import Skipped
from convbench.rows import text_row
from convbench.session import Session, Verify
from convbench.show.changes import remarks
from convbench.store import read_rows
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture
from tests.show.results_page import faults
from tests.test_session import small

SHAPE = ("--shape", "n1c4h9w8k6r3s3")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("No such file: '/home/ada/my kernels/conv.py'", "No such file: 'conv.py'"),
        ("ImportError: /home/ada/lib/x.so: wrong ELF class", "ImportError: x.so: wrong ELF class"),
        ("cannot read /home/ada", "cannot read ~"),
        (r"C:\Users\ada\x.py is missing", "x.py is missing"),
        ("~/kernels/x.py (x.py:12)", "x.py (x.py:12)"),
        ("file:///home/ada/x", "file://~/x"),
        ("see https://github.com/a/b", "see https://github.com/a/b"),
        ("torch / this, n/a, 3 of 4 outputs wrong", "torch / this, n/a, 3 of 4 outputs wrong"),
        ("aten::bmm; aten::im2col", "aten::bmm; aten::im2col"),
    ],
)
def test_a_path_leaves_its_own_name(text: str, left: str) -> None:
    assert anonymous_text("defect", text) == left


def test_the_names_of_host_and_user_are_replaced_where_foreign_code_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(platform, "node", lambda: "engine.example")
    monkeypatch.setattr(Path, "home", lambda: Path("/srv/people/ada l"))
    text = "OSError: ada@engine.example has no /srv/people/ada l/x/y.so; adamant"
    assert anonymous_text("reason", text) == "OSError: anonymous@anonymous has no y.so; adamant"
    assert anonymous_text("backend", "ada-conv") == "ada-conv"  # the name that he gave it


def test_a_pair_keeps_its_picture_and_loses_its_names() -> None:
    entry = next(one for one in faults() if one.result.backend == "mine")
    row, result = anonymous_pair(dict(entry.row) | {"reason": "/home/ada/x.py fell"}, entry.result)
    assert (row["machine"], row["command"], row["reason"]) == ("anonymous", "", "x.py fell")
    assert isinstance(result.outcome, Wrong)
    assert isinstance(entry.result.outcome, Wrong)
    assert result.outcome.check.evidence == "x.py fell"
    assert result.outcome.check.picture == entry.result.outcome.check.picture is not None


def test_files_of_one_name_stay_apart() -> None:
    assert anonymous_files(["/a/x.csv", "b/x.csv", "/a/x.csv", r"C:\c\y.csv"]) == {
        "/a/x.csv": "x.csv",
        "b/x.csv": "x.csv (2)",
        r"C:\c\y.csv": "y.csv",
    }


def test_verify_and_report_name_neither_host_nor_folder_nor_command(cli: Cli, tmp_path: Path) -> None:
    named, path, page, report = (tmp_path / name for name in ("named.csv", "rows.csv", "a.html", "b.html"))
    words = ("verify", *SHAPE, "--backend", "torch,cudnn", "--dtype", "fp32", "--layout", "nchw")
    assert cli(*words, "--csv", named).code == 0
    done = cli(*words, "--csv", path, "--html", page, "--anonymous")
    assert done.code == 0
    assert cli("report", named, "--html", report, "--anonymous").code == 0
    rows = read_rows(path)
    assert {(row["machine"], row["command"]) for row in rows} == {("anonymous", "")}
    assert {row["machine"] for row in read_rows(named)} == {"test"}
    for text in (path.read_text(), page.read_text(), report.read_text(), done.out):
        assert "skipped" in text
        for name in (str(tmp_path), tmp_path.name, ">test<", '"test"', "--dtype fp32 --layout nchw --csv"):
            assert name not in text, name


def test_an_anonymous_file_is_gone_on_with_by_an_anonymous_run_alone(tmp_path: Path) -> None:
    path, told = str(tmp_path / "rows.csv"), list[str]()
    first = Session(small(), Verify(), csv=path, command="one", anonymous=True)
    results = first.run()
    next(results)
    results.close()
    with pytest.raises(ConvbenchError, match="row 2 has machine 'anonymous', this run has 'test'"):
        Session(small(), Verify(), csv=path, command="one", resume=True)
    again = Session(small(), Verify(), csv=path, command="two", anonymous=True, resume=True, tell=told.append)
    assert told == [
        f"1 of 3 cases are already in {path} and are kept",
        f"{path} is anonymous, so it is unknown whether its command had the same options",
    ]
    list(again.run())
    assert len(read_rows(path)) == 6
    with pytest.raises(ConvbenchError, match="row 2 has threads '1', this run has '2'"):
        Session(small(), Verify(), csv=path, anonymous=True, resume=True, threads=2)
    found = compare_files(path, path, gate=Gate())
    assert any(line.startswith("anonymous: ") for line in remarks(found))


def test_what_is_told_of_a_skip_on_a_page_has_no_folder() -> None:
    entry = faults()[-1]
    row = text_row(dict(entry.row) | {"reason": "no /home/ada/lib.so"})
    _, result = anonymous_pair(row, entry.result)
    assert result.outcome == Skipped("no lib.so")
