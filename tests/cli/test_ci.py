"""The options for CI mean the same in every command that has results."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from convbench import Wrong
from tests.ci.formats import BMF, GITHUB_BENCHMARK, junit_violations, violations
from tests.cli.conftest import Cli, table
from tests.test_compare import BAD, case, noisy, write

ROWS = Path(__file__).parents[2] / "results" / "quick-cpu-zen4.csv"
SHAPE = ("--shape", "n1c1h4w4k1r2s2", "--dtype", "fp32", "--layout", "nchw")
COMMANDS = {
    "verify": ("verify", *SHAPE, "--backend", "torch,unfold-matmul", "--pass", "fprop", "--epilogue", "none"),
    "bench": ("bench", *SHAPE, "--backend", "torch,cudnn", "--budget", "0.02", "--min-rounds", "3", "--no-ceilings"),
    "report": ("report", ROWS),
    "compare": ("compare", ROWS, ROWS),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_writes_every_format(
    cli: Cli, folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = folder / "summary.md"
    summary.write_text("from an earlier step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    files = ("--junit", "junit.xml", "--markdown", summary, "--bmf", "bmf.json", "--github-benchmark", "benchmark.json")
    done = cli(*COMMANDS[command], *files, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["command"], found["state"]) == (command, "ok")
    text = (folder / "junit.xml").read_text()
    assert junit_violations(text) == []
    assert f'name="convbench {command}"' in text
    assert summary.read_text().startswith("from an earlier step\n### convbench")
    numbers = json.loads((folder / "bmf.json").read_text())
    assert violations(numbers, BMF) == []
    entries = json.loads((folder / "benchmark.json").read_text())
    assert violations(entries, GITHUB_BENCHMARK) == []
    assert [one["name"] for one in entries] == list(numbers)
    rows = len(found["rows"]) + len(found.get("apart", []))
    assert text.count("<testcase ") == rows
    skipped = text.count("<skipped ")
    assert len(numbers) == rows - skipped
    assert ("without a number for a tracker: skipped, wrong or failed" in done.err) == (skipped > 0)
    again = cli(*COMMANDS[command], *files)
    assert (again.code, again.out, again.err.count("\n")) == (2, "", 1)
    assert "junit.xml exists" in again.err


@pytest.mark.parametrize("command", list(COMMANDS))
def test_two_results_on_stdout_are_refused_before_anything_runs(cli: Cli, command: str) -> None:
    done = cli(*COMMANDS[command], "--json", "--bmf", "-")
    assert (done.code, done.out) == (2, "")
    assert "--json and --bmf both go to stdout; give them different files" in done.err


def test_one_format_may_have_stdout_for_itself(cli: Cli) -> None:
    assert junit_violations(cli("report", ROWS, "--junit", "-").out) == []
    assert cli("report", ROWS, "--markdown", "-").out.startswith("### convbench report: OK: ")
    assert violations(json.loads(cli("report", ROWS, "--github-benchmark", "-").out), GITHUB_BENCHMARK) == []


def test_a_fault_is_a_failure_with_its_cause_and_its_command_and_exit_1(cli: Cli, folder: Path) -> None:
    rows = write(folder / "rows.csv", [(case(), "mine", Wrong(replace(BAD, cause="a tap is missing")))])
    done = cli("report", rows, "--junit", "junit.xml", "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["state"], found["counts"], found["rows"][0]["file"]) == ("wrong", {"wrong": 1}, str(rows))
    text = (folder / "junit.xml").read_text()
    assert junit_violations(text) == []
    assert '<failure type="wrong" message="a tap is missing">' in text
    assert found["rows"][0]["reproduce"] in text


@pytest.mark.program
def test_a_fault_of_a_plug_in_is_reproduced_with_its_file_unless_anonymous(cli: Cli, folder: Path) -> None:
    (folder / "bad.py").write_text(
        "from convbench import backend\n\n@backend(family='direct', source='a test')\n"
        "def bad(x, w, spec):\n    raise ValueError('no')\n"
    )
    words = ("verify", *SHAPE, "--plugin", "bad.py", "--no-isolate", "--pass", "fprop", "--epilogue", "none")
    done = cli(*words, "--junit", "junit.xml", "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["state"], found["counts"]) == ("wrong", {"failed": 1})
    assert found["rows"][0]["reproduce"].endswith("--plugin bad.py")
    text = (folder / "junit.xml").read_text()
    assert junit_violations(text) == []
    assert '<failure type="failed" message="ValueError: no (bad.py:5)">' in text
    done = cli(*words, "--json", "--anonymous")
    assert "bad.py" not in json.loads(done.out)["rows"][0]["reproduce"]


def test_percentiles_are_in_the_csv_and_in_tables_on_request(cli: Cli, folder: Path) -> None:
    done = cli(*COMMANDS["bench"], "--csv", "rows.csv", "--percentiles")
    assert done.code == 0, done.err
    (row,) = [one for one in csv.DictReader((folder / "rows.csv").read_text().splitlines()) if one["median_s"]]
    assert 0 < float(row["q75_s"]) <= float(row["p95_s"]) <= float(row["p99_s"]) <= float(row["max_s"])
    shown = table(done.out)[0]
    assert list(shown)[list(shown).index("q75_s") :][:4] == ["q75_s", "p95_s", "p99_s", "max_s"]
    assert float(shown["max_s"]) == pytest.approx(float(row["max_s"]), rel=1e-4)
    assert "p95_s" not in table(cli("report", "rows.csv").out)[0]
    assert table(cli("report", "rows.csv", "--percentiles").out)[0]["p99_s"] == shown["p99_s"]
    old = table(cli("report", ROWS, "--percentiles").out)  # of a schema without them
    assert all(float(one["max_s"]) >= float(one["p99_s"]) for one in old if one["outcome"] == "timed")


def test_a_kept_run_is_compared_by_its_name_and_without_names_the_last_two_are(cli: Cli, folder: Path) -> None:
    done = cli(*COMMANDS["bench"], "--keep", "before")
    assert done.code == 0, done.err
    assert "results saved to .convbench/before.csv" in done.err
    shutil.copy(".convbench/before.csv", ".convbench/after.csv")  # later, by its own time
    again = cli(*COMMANDS["bench"], "--keep", "after")
    assert again.code == 2
    assert "--keep: .convbench/after.csv exists; name another file, replace it with --overwrite" in again.err
    both = cli(*COMMANDS["bench"], "--keep", "x", "--csv", "x.csv")
    assert (both.code, both.err.count("\n")) == (2, 1)
    assert not (folder / "x.csv").exists()
    for words in (("before", "after"), ("before",), ()):
        done = cli("compare", *words, "--undecided", "pass", "--fail-if-slower", "1000%")
        assert done.code == 0, done.err
        assert {row["backend"] for row in table(done.out)} == {"torch", "cudnn"}
    assert "comparing the last two kept runs: before (" in done.err
    assert table(cli("report", "after").out)[0]["file"] == ".convbench/after.csv"
    resumed = cli(*COMMANDS["bench"], "--keep", "after", "--resume", "--junit", "junit.xml")
    assert resumed.code == 0, resumed.err
    assert "1 of 1 cases are already in .convbench/after.csv" in resumed.err


def test_undecided_counts_as_what_one_chooses_and_nothing_compared_does_not(cli: Cli, folder: Path) -> None:
    few = [write(folder / f"{name}.csv", [(case(), "torch", noisy(name, rounds=2))]) for name in ("a", "b")]
    for words, code, failures in (((), 3, 0), (("--undecided", "pass"), 0, 0), (("--undecided", "fail"), 1, 1)):
        done = cli("compare", *few, *words, "--junit", "-")
        assert done.code == code
        assert "UNDECIDED: the gate of 1 of 1 row" in done.err
        assert done.out.count('<failure type="undecided"') == failures
        assert junit_violations(done.out) == []
    other = write(folder / "c.csv", [(case("second"), "torch", noisy(1))])
    for choice in ("pass", "fail"):
        assert cli("compare", few[0], other, "--undecided", choice).code == 3
    odd = cli("compare", *few, "--undecided", "skip")
    assert (odd.code, odd.err.count("\n")) == (2, 1)


def test_a_regression_stays_one_however_undecided_rows_count(cli: Cli, folder: Path) -> None:
    old = write(folder / "a.csv", [(case(), "torch", noisy(1)), (case(), "mine", noisy(2, rounds=2))])
    new = write(folder / "b.csv", [(case(), "torch", noisy(3, 2e-3)), (case(), "mine", noisy(4, rounds=2))])
    assert cli("compare", old, new, "--undecided", "pass").code == 1


def test_history_follows_a_problem_over_kept_runs(cli: Cli, folder: Path) -> None:
    (folder / ".convbench").mkdir()
    for number, value in enumerate([1e-3, 1e-3, 1.2e-3]):
        path = folder / ".convbench" / f"run{number}.csv"
        write(path, [(case(), "torch", noisy((number, value), value)), (case("second"), "torch", noisy(number))])
    done = cli("history", "quick:first", "--across")
    assert done.code == 0, done.err
    rows = table(done.out)
    assert len(rows) == 3
    assert [row["run"] for row in rows if row["change"] == "slower"] == ["run2"]
    assert "3 kept runs, 1 change of speed by more than 1.5 %" in done.err
    assert len(table(cli("history", "n1c64h56w56k64r3s3_pd1").out)) == 6  # both rows have these sizes
    found = json.loads(cli("history", "quick:", "--backend", "torch", "--json").out)
    assert len(found["rows"]) == 6
    for words in (("quick:first", "--backend", "onednn"), ("n1c1h4w4k1r2s2",)):
        nothing = cli("history", *words)
        assert (nothing.code, nothing.out) == (3, "")
        assert "no kept run has" in nothing.err
    shutil.rmtree(folder / ".convbench")
    assert "has no kept run; keep one with convbench bench --keep NAME" in cli("history", "note").err
