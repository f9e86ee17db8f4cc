"""Can a file or its name steer the terminal, be lost, or stop a program whose streams are closed?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

RESULTS = Path("tests/results/quick-cpu-zen4.csv")
# An escape, a bell, a tab, and a mark that turns what follows.
STEERING = "\x1b[2J\x07\u202e"


def steering_file(folder: Path) -> Path:
    """Results whose texts steer, in a file whose name does."""
    path = folder / f"a{STEERING}b.csv"
    header, *rows = RESULTS.read_text().splitlines()
    for word in ("quick", "torch", "Zen", "linux"):
        rows = [row.replace(word, word + STEERING) for row in rows]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize("command", [["report"], ["compare", "--json"], ["compare", "--markdown", "-"], ["compare"]])
def test_nothing_that_a_file_holds_steers_a_terminal(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    path = steering_file(tmp_path)
    done = cli(*command, path, *([path] if "compare" in command else []))
    assert done.out
    assert not set(done.out + done.err) & set(STEERING) - set("[2J")


def test_a_name_that_steers_is_told_by_its_codes(cli: Cli, tmp_path: Path) -> None:
    page = tmp_path / f"p{STEERING}.html"
    done = cli("report", steering_file(tmp_path), "--html", page)
    assert done.code == 0
    assert r"wrote" in done.err
    assert r"p\x1b[2J\x07\u202e.html" in done.err
    assert not set(page.read_text()) & set(STEERING) - set("[2J")


def test_a_page_of_a_file_whose_name_is_no_text_is_written(cli: Cli, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.csv"))
    odd.write_bytes(RESULTS.read_bytes())
    page = tmp_path / "page.html"
    assert cli("report", odd, "--html", page).code == 0
    assert r"odd\udcff.csv" in page.read_text(encoding="utf-8")


def test_an_output_that_appears_meanwhile_stays(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    monkeypatch.setattr("convbench.show.page.page", lambda _: page.write_text("mine") and "ours")
    done = cli("report", RESULTS, "--html", page)
    assert (done.code, page.read_text()) == (2, "mine")
    assert "appeared during the run and was left as it is" in done.err


def test_no_file_is_written_before_all_are_known_to_be_possible(cli: Cli, tmp_path: Path) -> None:
    verified = tmp_path / "v.csv"
    lines = RESULTS.read_text().splitlines()
    verified.write_text("\n".join(line for line in lines if ",timed," not in line) + "\n")
    page = tmp_path / "page.html"
    assert cli("report", verified, "--html", page, "--svg", tmp_path / "plot.svg").code == 2
    assert not page.exists()


@pytest.mark.program
@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "0<&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    csv = tmp_path / "rows.csv"
    words = [sys.executable, "-m", "convbench", "verify", "--shape", "n1c1h4w4k1r2s2", "--backend", "torch"]
    shell = ["sh", "-c", f'"$@" {closed}', "sh"]
    assert subprocess.run([*shell, *words, "--csv", csv], check=False).returncode == 0
    assert csv.read_text().count("verified") >= 3
    assert subprocess.run([*shell, *words[:4], "--shape", "nowhere"], check=False).returncode == 2
