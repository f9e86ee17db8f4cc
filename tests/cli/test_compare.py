"""convbench compare: its exit codes, and each of its forms."""

import csv
import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from convbench.cli.options import fraction
from convbench.errors import ConvbenchError
from tests.cli.conftest import Cli, table

QUICK = Path(__file__).parents[1] / "results" / "quick-cpu-zen4.csv"
OF_SAMPLES = {"median_s", "q25_s", "q75_s", "min_s", "samples", "gflops", "gbytes_per_s", "images_per_s"}
Row = dict[str, str]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a shipped report, measured anew by a die, with rows changed by a function."""

    def copy(name: str, change: Callable[[Row], None] = lambda row: None, least: int = 0) -> Path:
        rng, path = random.Random(name), tmp_path / f"{name}.csv"
        with QUICK.open(newline="") as old, path.open("w", newline="") as new:
            rows = csv.DictReader(old)
            writer = csv.DictWriter(new, rows.fieldnames or ())
            writer.writeheader()
            for row in rows:
                if row["samples_s"]:
                    factor = float(row.get("factor", 1))
                    middle = float(row["median_s"])
                    row["samples_s"] = " ".join(f"{factor * middle * rng.gauss(1, 0.005):.4g}" for _ in range(64))
                change(row)
                row.update(dict.fromkeys(row.keys() & OF_SAMPLES, ""))  # which are other ones now
                writer.writerow(row)
        return path

    return copy


def slow_onednn(row: Row) -> None:
    if row["backend"] == "onednn" and row["samples_s"]:
        row["samples_s"] = " ".join(f"{1.12 * float(one):.4g}" for one in row["samples_s"].split())


def test_the_same_again_is_exit_0(cli: Cli, changed: Callable[..., Path]) -> None:
    done = cli("compare", changed("a"), changed("b"), "--fail-if-slower", "5%")
    assert done.code == 0, done.err
    rows = table(done.out)
    assert {row["gate"] for row in rows if row["outcome_after"] == "timed"} == {"ok"}
    assert {row["reason"] for row in rows if row["backend"] == "cudnn"} == {"cudnn runs on cuda, not on cpu"}
    assert "OK: none of 49 rows is slower by more than 5 %" in done.err
    assert "skipped in both: cudnn on 12 cases" in done.err


def test_a_slower_backend_is_exit_1_and_named(cli: Cli, changed: Callable[..., Path]) -> None:
    done = cli("compare", changed("a"), changed("b", slow_onednn), "--fail-if-slower", "0.05")
    assert done.code == 1
    bad = [row for row in table(done.out) if row["gate"] == "regression"]
    assert {row["backend"] for row in bad} == {"onednn"}
    assert len(bad) == 12
    assert "REGRESSION: 12 of 49 rows slower by more than 5 %" in done.err
    assert cli("compare", changed("a"), changed("b", slow_onednn), "--fail-if-slower", "20%").code == 0
    assert cli("compare", changed("b", slow_onednn), changed("a"), "--fail-if-slower", "5%").code == 0


def test_too_few_samples_are_exit_3(cli: Cli, changed: Callable[..., Path]) -> None:
    def cut(row: Row) -> None:
        row["samples_s"] = " ".join(row["samples_s"].split()[:3])

    done = cli("compare", changed("a"), changed("b", cut))
    assert done.code == 3
    assert "UNDECIDED: the gate of 49 of 49 rows (limit: " in done.err
    assert "none is a certain regression" in done.err
    assert "may be" not in done.err


def test_the_reason_of_a_row_whose_interval_is_across_the_limit_says_so(cli: Cli, changed: Callable[..., Path]) -> None:
    rng = random.Random(1)

    def wide(row: Row) -> None:
        if row["backend"] == "onednn":
            times = (float(one) * 1.055 * rng.gauss(1, 0.03) for one in row["samples_s"].split())
            row["samples_s"] = " ".join(f"{one:.4g}" for one in times)

    done = cli("compare", changed("a"), changed("b", wide), "--fail-if-slower", "5%")
    found = [row for row in table(done.out) if (row["verdict"], row["gate"]) == ("slower", "undecided")]
    assert len(found) > 3
    for row in found:
        low, high = float(row["ratio_low"]), float(row["ratio_high"])
        assert row["reason"] == f"the interval {low:.3f} to {high:.3f} reaches above 0.952"
    decided = {row["reason"] for row in table(done.out) if row["gate"] in ("ok", "regression")}
    assert decided == {""}


def test_nothing_in_common_is_exit_3(cli: Cli, changed: Callable[..., Path]) -> None:
    done = cli("compare", changed("a"), changed("b", lambda row: row.update(suite="other")))
    assert done.code == 3
    assert "NOTHING COMPARED" in done.err
    assert "only in the second file" in done.err


def test_another_machine_is_exit_2_in_one_line_that_names_the_fact(cli: Cli, changed: Callable[..., Path]) -> None:
    paths = changed("a"), changed("b", lambda row: row.update(cpu="another"))
    done = cli("compare", *paths)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "cpu AMD EPYC (family 25 model 17), 2 cores -> another" in done.err
    done = cli("compare", *paths, "--across", "--fail-if-slower", "5%")
    assert done.code == 0
    assert "WARNING: different machines: cpu" in done.err


def test_a_drifting_machine_is_warned_of_and_relative_sees_through_it(cli: Cli, changed: Callable[..., Path]) -> None:
    def drift(row: Row) -> None:
        row["samples_s"] = " ".join(f"{1.2 * float(one):.4g}" for one in row["samples_s"].split())

    paths = changed("a"), changed("b", drift)
    done = cli("compare", *paths)
    assert done.code == 3
    assert {row["gate"] for row in table(done.out) if row["outcome_after"] == "timed"} == {"undecided"}
    words = (
        "torch itself is slower overall (time before/after: 0.833), its interval beyond the margin in 12 of 12 cases "
        "(12 undecided, see the notes): the machine drift"
    )
    assert f"WARNING: {words}" in done.err
    done = cli("compare", *paths, "--relative", "--fail-if-slower", "5%")
    assert done.code == 0, done.err
    assert "the ratios to torch hide it" in done.err


NASTY = '<script>alert("x")</script> | [a](b) `c` & \x01 ]]>'


def spoil(row: Row) -> None:
    if row["backend"] == "unfold-matmul":
        row.update(backend="<script>", outcome="failed", reason=NASTY)


def test_markdown_is_a_comment_that_no_text_breaks_out_of(
    cli: Cli, changed: Callable[..., Path], tmp_path: Path
) -> None:
    old, new = (
        changed(
            "a",
            lambda row: row.update(backend=row["backend"].replace("unfold-matmul", "<script>")),
        ),
        changed("b", spoil),
    )
    out = tmp_path / "changes.md"
    assert cli("compare", old, new, "--markdown", out).code == 1
    text = out.read_text()
    assert text.startswith("### convbench: REGRESSION: ")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "`c`" not in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| quick")}) == 1
    assert text == cli("compare", old, new, "--markdown", "-").out


def test_markdown_of_a_large_sweep_fits_and_says_what_it_left_out(
    cli: Cli, changed: Callable[..., Path], tmp_path: Path
) -> None:
    paths = []
    for name in ("a", "b"):
        header, *lines = changed(name).read_text().splitlines()
        path = tmp_path / f"many-{name}.csv"
        path.write_text(
            "\n".join([header, *(line.replace("quick,", f"q{i},", 1) for i in range(15) for line in lines)])
        )
        paths.append(path)
    done = cli("compare", *paths, "--markdown", "-", "--fail-if-slower", "5%")
    assert done.code == 0
    assert 40_000 < len(done.out) < 65_536
    assert "more lines did not fit" in done.out


def test_junit_fails_regressions_and_skips_what_was_not_compared(
    cli: Cli, changed: Callable[..., Path], tmp_path: Path
) -> None:
    def both(row: Row) -> None:
        slow_onednn(row)
        if row["backend"] == "torch" and row["name"] == "note":
            row.update(outcome="failed", reason=NASTY)

    out = tmp_path / "junit.xml"
    assert cli("compare", changed("a"), changed("b", both), "--fail-if-slower", "5%", "--junit", out).code == 1
    suite = ET.fromstring(out.read_bytes())[0]
    tests = suite.findall("testcase")
    names = [(one.get("classname"), one.get("name")) for one in tests]
    assert len(set(names)) == len(names) == int(suite.get("tests", 0)) == 72
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures", 0)) == 13
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped", 0)) == 23
    assert any("<script>" in (one.text or "") for one in suite.iter("failure"))


def test_json_says_everything_and_holds_no_infinity(cli: Cli, changed: Callable[..., Path]) -> None:
    def cut(row: Row) -> None:
        row["samples_s"] = " ".join(row["samples_s"].split()[:2])

    done = cli("compare", changed("a"), changed("b", cut), "--json")
    found = json.loads(done.out)
    assert found["state"] == "undecided"
    assert found["rows"][0]["key"]["pass"] == "fprop"
    assert found["rows"][0]["judged"]["high"] is None
    assert len(found["rows"]) + len(found["apart"]) == 72


@pytest.mark.parametrize(
    ("text", "value"), [("5%", 0.05), ("0.05", 0.05), ("5 %", 0.05), (".5", 0.5), ("2.5%", 0.025), ("300%", 3.0)]
)
def test_a_share_is_a_percentage_or_a_number(text: str, value: float) -> None:
    assert fraction("--margin", text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["5", "1.05x", "", "0", "-5%", "nan", "five", "5%%", "2000%"])
def test_another_share_is_refused(text: str) -> None:
    with pytest.raises(ConvbenchError, match="or a percentage such as 5%"):
        fraction("--margin", text)


@pytest.mark.parametrize(
    "words",
    [
        ("--fail-if-slower", "1%", "--margin", "2%"),
        ("--confidence", "1"),
        ("--json", "--markdown", "-"),
        ("--fail-if-slower", "5"),
    ],
)
def test_options_that_make_no_sense_are_exit_2(cli: Cli, words: tuple[str, ...]) -> None:
    done = cli("compare", QUICK, QUICK, *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)


def test_a_small_allowance_narrows_the_margin(cli: Cli) -> None:
    assert cli("compare", QUICK, QUICK, "--fail-if-slower", "1%").code == 0


def test_junit_on_stdout_is_alone_there(cli: Cli, changed: Callable[..., Path]) -> None:
    done = cli("compare", changed("a"), changed("b", slow_onednn), "--junit", "-")
    assert done.code == 1
    assert ET.fromstring(done.out).tag == "testsuites"


def test_no_file_is_replaced_unasked(cli: Cli, changed: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "changes.md"
    out.write_text("mine")
    words = ("compare", changed("a"), changed("b"), "--markdown", out)
    done = cli(*words)
    assert (done.code, done.out) == (2, "")
    assert f"--markdown: {out} exists; name another file, or replace it with --overwrite" in done.err
    assert out.read_text() == "mine"
    assert cli(*words, "--overwrite").code == 0
    assert "convbench" in out.read_text()


def test_the_summary_of_a_step_of_github_is_added_to(
    cli: Cli, changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary, other = tmp_path / "summary.md", tmp_path / "other.md"
    summary.write_text("from an earlier step\n")
    other.write_text("mine")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    old, new = changed("a"), changed("b")
    for _ in range(2):
        assert cli("compare", old, new, "--markdown", summary).code == 0
    text = summary.read_text()
    assert text.startswith("from an earlier step\n### convbench: ")
    assert text.count("### convbench: ") == 2
    assert cli("compare", old, new, "--markdown", other).code == 2
    assert other.read_text() == "mine"


@pytest.mark.program
def test_a_rerun_times_the_cases_of_a_file_here_and_compares_their_ratios(cli: Cli, tmp_path: Path) -> None:
    before, after = tmp_path / "before.csv", tmp_path / "after.csv"
    words = ("--shape", "n1c4h9w8k6r3s3", "--backend", "torch,unfold-matmul", "--threads", "1")
    assert cli("bench", *words, "--budget", "0.02", "--csv", before).code == 0
    text = before.read_text()
    before.write_text(text + text.splitlines()[-1].replace(",unfold-matmul,", ",from-a-plug-in,") + "\n")
    done = cli("compare", before, after, "--rerun", "--budget", "0.02")
    assert done.code in (0, 1, 3), done.err
    assert "left out: from-a-plug-in, which came with a plug-in" in done.err
    (row, *_) = table(done.out)
    assert (row["backend"], row["outcome_before"], row["outcome_after"]) == ("unfold-matmul", "timed", "timed")
    assert row["ratio"]
    rows = list(csv.DictReader(after.read_text().splitlines()))
    assert {(row["backend"], row["threads"], row["outcome"]) for row in rows} == {
        ("torch", "1", "timed"), ("unfold-matmul", "1", "timed"),
    }  # fmt: skip
    assert cli("compare", before, after, "--rerun").code == 2  # it exists


def test_a_rerun_says_what_it_cannot_run(cli: Cli, changed: Callable[..., Path], tmp_path: Path) -> None:
    done = cli("compare", changed("a"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "compare needs two files; add AFTER.csv, or --rerun to run the cases of" in done.err
    done = cli("compare", changed("a"), "-", "--rerun")
    assert (done.code, done.err.count("\n")) == (2, 1)
    untimed = changed("b", lambda row: row.update(outcome="skipped", reason="no"))
    done = cli("compare", untimed, tmp_path / "new.csv", "--rerun")
    assert done.code == 2
    assert "has no timed row; give a CSV file of convbench bench" in done.err
    elsewhere = changed("c", lambda row: row.update(device="cuda"))
    done = cli("compare", elsewhere, tmp_path / "new.csv", "--rerun")
    assert done.code == 2
    assert "was timed on cuda, which is not here; give another file" in done.err
    assert not (tmp_path / "new.csv").exists()


def of_kinds(tmp_path: Path, name: str, *, onednn: float = 1.0, **factors: float) -> Path:
    """A merged file: two cases of the shipped report as shards, on each kind of machine as slow as its factor.

    On the last of them onednn is slower by a factor of its own.
    """
    path = tmp_path / f"{name}.csv"
    with QUICK.open(newline="") as old, path.open("w", newline="") as new:
        rows = list(csv.DictReader(old))
        chosen = [row for row in rows if row["name"] in list(dict.fromkeys(one["name"] for one in rows))[1:3]]
        writer = csv.DictWriter(new, [*rows[0], "shard"])
        writer.writeheader()
        for cpu, factor in factors.items():
            for row in chosen:
                own = factor * (onednn if (cpu, row["backend"]) == ([*factors][-1], "onednn") else 1.0)
                samples = " ".join(f"{own * float(one):.4g}" for one in row["samples_s"].split())
                empty = dict.fromkeys(row.keys() & OF_SAMPLES, "")
                writer.writerow({**row, "samples_s": samples, "cpu": cpu, "shard": "1/2", "machine": cpu, **empty})
    return path


def test_each_kind_of_machine_is_compared_with_itself(cli: Cli, tmp_path: Path) -> None:
    old, same = (of_kinds(tmp_path, name, zen5=1.0, grace=2.0) for name in ("old", "same"))
    done = cli("compare", old, same)
    assert done.code == 0, done.err
    assert {row["kind"] for row in table(done.out)} == {"zen5", "grace"}
    assert "grace:" in done.err.splitlines()
    slow = cli("compare", old, of_kinds(tmp_path, "slow", onednn=2.0, zen5=1.0, grace=2.0))
    assert slow.code == 1
    assert {row["kind"] for row in table(slow.out) if row["gate"] == "regression"} == {"grace"}
    lost = cli("compare", old, of_kinds(tmp_path, "lost", zen5=1.0))
    assert lost.code == 0
    assert f"convbench: grace is only in {old} (" in lost.err
    assert {row["kind"] for row in table(lost.out)} == {"zen5"}
    refused = cli("compare", old, same, "--junit", tmp_path / "junit.xml")
    assert refused.code == 2
    assert "from several kinds of machine (zen5; grace); reports for CI are of one" in refused.err
