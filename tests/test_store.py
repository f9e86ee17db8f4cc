"""CSV: whole rows, plain numbers, and nothing a spreadsheet would run."""

import csv
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from convbench import ConvbenchError, Failed, Result, Skipped, Timed, Verified, Wrong
from convbench.machine import Machine, cpu_name, free_nbytes, this_machine
from convbench.outcome import Bill, Check, Noise, Outcome, PairedRatio, Roofline
from convbench.rows import Context, csv_line, from_row, text_row, to_row
from convbench.schema import COLUMNS, OLDEST, SCHEMA
from convbench.store import _FREE_OPTIONS, CsvFile, read_pairs, read_results, read_rows
from tests.conftest import make_case

DESIGN = (
    "suite name count spec n c h w k r s stride padding dilation groups pass dtype layout precision epilogue device "
    "threads backend family outcome reason median_s q25_s q75_s min_s samples ratio_to_torch verdict gflops "
    "gbytes_per_s percent_of_ceiling relative_l2 worst_of_bound first_call_s prepare_s peak_nbytes machine cpu gpu "
    "driver python torch cuda cudnn convbench commit command time samples_s"
).split()
CHECK = Check(worst_of_bound=0.25, relative_l2=1e-7)
TIMED = Timed(
    check=CHECK,
    samples_s=(2e-3, 1e-3, 4e-3, 3e-3, 5e-3),
    bill=Bill(prepare_s=1e-4, first_call_s=0.02, peak_nbytes=4096, ran="aten::bmm"),
    comparison=PairedRatio(ratio=0.5, low=0.4, high=0.6, verdict="slower"),
)


def machine() -> Machine:
    words = {name: name for name in Machine.__dataclass_fields__}
    return Machine(**words)


def row_of(outcome: Outcome, backend: str = "unfold-matmul") -> dict[str, object]:
    case = make_case("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2", dtype="bf16", seed=3)
    result = Result(case=case, backend=backend, family="im2col", outcome=outcome)
    return dict(to_row(result, Context(machine=machine(), threads=2, command="convbench bench")))


def test_the_columns_keep_their_order_and_grow_at_the_end() -> None:
    assert list(COLUMNS[: len(DESIGN)]) == DESIGN
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_timed_row_holds_every_number_in_si_units() -> None:
    row = row_of(TIMED)
    assert tuple(row) == COLUMNS
    assert (row["median_s"], row["q25_s"], row["q75_s"], row["min_s"]) == (3e-3, 2e-3, 4e-3, 1e-3)
    assert (row["stride"], row["padding"], row["dilation"], row["groups"]) == ("2x1", "1x0", "1x2", 2)
    assert row["samples_s"] == "0.002 0.001 0.004 0.003 0.005"
    assert row["seed"] == 3
    case = make_case("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")
    assert row["gflops"] == pytest.approx(case.spec.flops / 3e-3 / 1e9)
    assert row["patch_matrix_nbytes"] == case.spec.patch_matrix_nbytes("bf16")


@pytest.mark.parametrize(
    ("outcome", "word", "reason"),
    [
        (Verified(CHECK), "verified", None),
        (Skipped("too large"), "skipped", "too large"),
        (Failed("ValueError: no"), "failed", "ValueError: no"),
        (Wrong(Check(worst_of_bound=9.0, relative_l2=0.1, evidence="all of them")), "wrong", "all of them"),
    ],
)
def test_every_outcome_is_a_row_with_its_reason(outcome: Outcome, word: str, reason: str | None) -> None:
    row = row_of(outcome)
    assert (row["outcome"], row["reason"]) == (word, reason)
    assert row["median_s"] is None


def test_the_baseline_is_its_own_measure() -> None:
    plain = Timed(check=CHECK, samples_s=(1e-3,), bill=TIMED.bill)
    row = row_of(plain, backend="torch")
    assert (row["ratio_to_torch"], row["verdict"], row["q25_s"]) == (1.0, "baseline", 1e-3)
    assert row_of(plain)["ratio_to_torch"] is None  # torch was not among the backends


def test_pandas_reads_it_with_no_options(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        for outcome in (TIMED, Skipped('a, b\nand "c"')):
            file.append(row_of(outcome))  # type: ignore[arg-type]
    frame = pd.read_csv(path)
    assert list(frame.columns) == list(COLUMNS)
    assert frame.median_s.tolist()[0] == 3e-3
    assert frame.reason.tolist()[1] == 'a, b and "c"'


@pytest.mark.parametrize(
    "outcome",
    [
        TIMED,
        Verified(CHECK),
        Skipped("too large"),
        Failed("no"),
        replace(TIMED, noise=Noise(contended=2, suspect="its canaries are slow")),
        replace(TIMED, noise=Noise(contended=0)),
        Wrong(Check(worst_of_bound=9, relative_l2=1, evidence="all")),
        Wrong(Check(worst_of_bound=9, relative_l2=1, evidence="all", cause_cut=99, smallest_cut=60)),
    ],
)
def test_a_result_is_read_back(tmp_path: Path, outcome: Outcome) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        file.append(row_of(outcome))  # type: ignore[arg-type]
    (result,) = read_results(path)
    assert result.outcome == outcome
    assert result.case == make_case("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2", dtype="bf16", seed=3)


def test_further_attempts_are_left_out_but_a_wrong_answer(tmp_path: Path) -> None:
    path, told = tmp_path / "merged.csv", list[str]()
    wrong = Wrong(Check(worst_of_bound=9, relative_l2=1, evidence="all"))
    with CsvFile(str(path)) as file:
        for attempt, outcome in ((None, TIMED), (2, wrong), (3, TIMED), (4, Failed("out of memory"))):
            file.append({**row_of(outcome), "attempt": attempt})  # type: ignore[dict-item]
    assert [type(result.outcome) for _, result in read_pairs(path, tell=told.append)] == [Timed, Wrong]
    assert told == [f"{path} has 2 rows of further attempts, which are left out"]


@pytest.mark.parametrize(("launch_s", "read"), [(1e-4, 1e-4), (None, None)], ids=["now", "older"])
def test_the_launch_that_limits_a_row_is_read_back_from_its_percent(launch_s: float | None, read: float | None) -> None:
    roof = Roofline(time_s=1e-9, bound="launch", flops_per_s=1e9, bytes_per_s=1e9, probe="", launch_s=launch_s)
    row = text_row(row_of(replace(TIMED, roofline=roof)))  # type: ignore[arg-type]
    assert float(row["percent_of_ceiling"]) == pytest.approx(100 * (launch_s or 1e-9) / 3e-3, rel=1e-4)
    outcome = from_row(row).outcome
    assert isinstance(outcome, Timed)
    assert outcome.roofline is not None
    assert outcome.roofline.launch_s == (None if read is None else pytest.approx(read, rel=1e-4))


@pytest.mark.parametrize("columns", [COLUMNS, OLDEST], ids=["now", "oldest"])
def test_a_row_read_back_has_the_key_of_its_result(tmp_path: Path, columns: tuple[str, ...]) -> None:
    path = tmp_path / "rows.csv"
    axes: list[dict[str, object]] = [
        {},
        {"pass_": "dgrad"},
        {"epilogue": "bias_relu"},
        {"device": "cuda", "precision": "tf32", "seed": 2**70},
    ]
    made = [make_case("n2c4h7w9k6r3s2_pd1x0_g2", **one) for one in axes]
    results = [Result(case=one, backend="=mine", family="", outcome=Skipped("no")) for one in made]
    with path.open("w") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for result in results:
            writer.writerow(text_row(to_row(result, Context(machine=machine(), threads=2, command=""))))
    read = [result.key(row["threads"]) for row, result in read_pairs(path)]
    assert read == [result.key("2") for result in results]
    assert len(set(read)) == len(axes)


def test_a_row_of_unknown_axes_is_damaged_in_one_line(tmp_path: Path) -> None:
    path, row = tmp_path / "rows.csv", text_row(row_of(TIMED))  # type: ignore[arg-type]  # as row_of has it
    for column, value in (("dtype", "fp23"), ("layout", ""), ("spec", "n1"), ("seed", "a"), ("pass", "forward")):
        path.write_text(csv_line(dict(zip(COLUMNS, COLUMNS, strict=True))) + csv_line(row | {column: value}))
        with pytest.raises(ConvbenchError, match="row 2 is damaged"):
            read_results(path)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        file.append(row_of(Failed(text)))  # type: ignore[arg-type]
    assert next(csv.DictReader(path.read_text().splitlines()))["reason"] == "'" + text


def test_a_file_that_holds_results_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("precious")
    with pytest.raises(ConvbenchError, match="exists; name another file"):
        CsvFile(str(path))
    assert path.read_text() == "precious"
    with CsvFile(str(path), overwrite=True):
        pass
    assert path.read_text().startswith("suite,name")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConvbenchError, match="cannot write"):
        CsvFile(str(tmp_path / "no" / "rows.csv"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with pytest.raises(ConvbenchError, match="No space left"):
        CsvFile("/dev/full", overwrite=True)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(ConvbenchError):
        read_results(path)


LINES = (",".join(COLUMNS), ",".join(text_row(row_of(Skipped("why"))).values()))  # type: ignore[arg-type]  # its values are objects


@pytest.mark.parametrize(
    "data",
    [
        "{0}\n{1}\n",
        "{0}\n{1}",
        "\ufeff{0}\r\n{1}\r\n",
        "{0}\r{1}\r",
        "\n{0}\n\n  \n{1}\n,,,\n",
        "{0},,\n{1},,\n",
        '{0},mine\n{1},"two\nlines"\n',
        "{0},mine\n{1},\0\n",
    ],
)
def test_what_an_editor_or_a_spreadsheet_does_to_a_file_does_no_harm(tmp_path: Path, data: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(data.format(*LINES).encode())
    (row,) = read_rows(path)
    assert list(row) == [*COLUMNS, *(["mine"] if "mine" in data else [])]
    assert (row["spec"], row["reason"], row["cause"]) == ("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2", "why", "")
    assert row.get("mine", "\\x00") in ("two\nlines", "\\x00")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("{0}\n{1}\n{1},0\n", f"row 3 is damaged: it has {len(COLUMNS) + 1} cells for {len(COLUMNS)} columns"),
        ("{0}\n{1},0\n", "row 2 is damaged"),
        ("{0}\n\n{1}\nrow,quick\n", "row 3 is damaged: it has 2 cells"),
        ('{0}\n{1}\n"', "line 3: unexpected end of data"),
        ('{0},mine\n{1},"a"b\n', "line 2: ',' expected after '\"'"),
        ("{0},seed\n{1},1\n", "has the column seed twice"),
        ("{0}\n\udcff{1}\n", "line 2 is not UTF-8; save it as CSV UTF-8, with commas"),
        ("\udcff\udcfe{0}\n", "line 1 is not UTF-16; save it as CSV UTF-8, with commas"),
    ],
)
def test_a_damaged_file_is_one_line_that_says_where(tmp_path: Path, data: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(data.format(*LINES).encode(errors="surrogateescape"))
    with pytest.raises(ConvbenchError) as raised:
        read_rows(path)
    assert str(path) in str(raised.value)
    assert said in str(raised.value)


def test_a_cell_may_be_as_long_as_the_file_and_the_limit_of_others_is_left_alone(tmp_path: Path) -> None:
    path, limit = tmp_path / "rows.csv", csv.field_size_limit()
    path.write_text(f"{LINES[0]},mine\n{LINES[1]},{'x' * (limit + 1)}\n")
    assert len(read_rows(path)[0]["mine"]) == limit + 1
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("words", [["compare", "--across"], ["report"]])
def test_compare_and_report_import_no_heavy_package(words: list[str]) -> None:
    files = [str(path) for path in sorted((Path(__file__).parent / "results").glob("*.csv"))]
    code = (
        f"import sys\nfrom convbench.cli import main\ntry: main({[*words, *files]!r})\nexcept SystemExit: pass\n"
        "print('HEAVY', sorted({'numpy', 'pandas', 'PIL', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") > 10
    assert done.stdout.endswith("HEAVY []\n")


def test_the_machine_is_named_with_its_versions() -> None:
    facts = this_machine()
    assert facts.cpu == cpu_name()
    assert "cores" in facts.cpu
    assert facts.torch.startswith("2.")
    assert facts.onednn.count(".") == 2
    assert (facts.gpu, facts.cuda) == ("", "")
    free = free_nbytes("cpu")
    assert free is None or free > 10**8


def plan_of(*shapes: str) -> list[list[dict[str, Any]]]:
    """A run of these shapes with two backends, as it is known before it."""
    context = Context(machine=machine(), threads=2, command="convbench bench --budget 1 --csv rows.csv --resume")
    return [
        [
            dict(to_row(Result(case=make_case(shape), backend=name, family="im2col", outcome=Skipped("")), context))
            for name in ("torch", "mine")
        ]
        for shape in shapes
    ]


def finished(plan: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """The same rows with what a run found out, by the command that was first given."""
    return [
        [row | {"reason": 'it said "no, never"', "command": "convbench bench --budget 1 --overwrite"} for row in case]
        for case in plan
    ]


PLAN = plan_of("n1c1h4w4k1r2s2", "n1c1h4w4k2r2s2", "n1c1h4w4k1r2s2")  # the last one is the first again


def written(path: Path, rows: list[list[dict[str, Any]]]) -> bytes:
    with CsvFile(str(path), overwrite=True) as file:
        for case in rows:
            file.append(*case)
    return path.read_bytes()


def test_wherever_a_file_is_cut_its_whole_cases_are_kept_and_the_rest_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = finished(PLAN)
    data = written(path, rows)
    ends = [len(b"".join(data.splitlines(keepends=True)[: 1 + 2 * cases])) for cases in range(4)]
    for cut in sorted({*range(0, len(data) + 1, 13), *(end + more for end in ends for more in (-1, 0, 1)), len(data)}):
        if cut > len(data):
            continue
        path.write_bytes(data[:cut])
        with CsvFile(str(path), plan=PLAN) as file:
            whole = sum(cut >= end for end in ends[1:])
            assert len(file.finished) == 2 * whole
            assert path.read_bytes() == data[: ends[whole]]
            if cut % 7 == 0:
                for case in rows[whole:]:
                    file.append(*case)
                assert path.read_bytes() == data


def test_a_run_goes_on_with_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path), plan=PLAN) as file:
        assert file.finished == []
    assert path.read_text().startswith("suite,name")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"torch": "2.11.0"}, "row 2 has torch '2.11.0', this run has 'torch'"),
        ({"backend": "other"}, "row 2 has backend 'other', this run has 'torch'"),
        ({"seed": 1}, "row 2 has seed '1', this run has '0'"),
        ({"threads": 1}, "row 2 has threads '1', this run has '2'"),
        ({"schema": 1}, f"row 2 has schema '1', this run has '{SCHEMA}'"),
        ({"operands": "huge"}, "row 2 has operands 'huge', this run has ''"),
        (
            {"command": "convbench bench --budget 2"},
            "row 2 was made with '--budget 2', but this run has '--budget 1'",
        ),
        ({"command": "convbench bench"}, "row 2 was made without '--budget 1', which this run has"),
        (
            {"command": "convbench bench --budget 1 --force"},
            "row 2 was made with '--force', which this run does not have",
        ),
        ({"command": "an odd ' quote"}, "row 2 was made with 'an odd', but this run has 'convbench bench'"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "rows.csv"
    data = written(path, [[row | change for row in case] for case in finished(PLAN)])
    for _ in range(2):  # and the file is not left locked
        with pytest.raises(ConvbenchError, match=re.escape(said)):
            CsvFile(str(path), plan=PLAN)
    assert path.read_bytes() == data


def test_a_file_with_more_or_other_cases_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    written(path, finished(PLAN))
    with pytest.raises(ConvbenchError, match="row 6 repeats a case; convbench merge keeps each case once"):
        CsvFile(str(path), plan=PLAN[:2])
    with pytest.raises(ConvbenchError, match=r"row 4 is of .* \(n1c1h4w4k2r2s2, cpu, fp32\), which is not in this run"):
        CsvFile(str(path), plan=[PLAN[0], PLAN[2]])


def test_the_order_of_the_cases_in_a_file_is_free(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    written(path, [finished(PLAN)[place] for place in (1, 2)])
    with CsvFile(str(path), plan=PLAN) as file:
        assert file.done == [1, 0]
        assert [row["spec"] for row in file.finished] == ["n1c1h4w4k2r2s2"] * 2 + ["n1c1h4w4k1r2s2"] * 2


def test_a_case_that_lost_a_row_in_the_middle_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = written(path, finished(PLAN)).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with CsvFile(str(path), plan=PLAN) as file:
        assert file.done == [1, 0]
        assert path.read_bytes() == b"".join([lines[0], *lines[3:]])
        file.append(*finished(PLAN)[2])
    assert path.read_bytes() == b"".join([lines[0], *lines[3:], *lines[1:3]])


def test_another_host_of_the_same_kind_goes_on_and_another_kind_only_across(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    written(path, [[row | {"machine": "node-7"} for row in case] for case in finished(PLAN)])
    with CsvFile(str(path), plan=PLAN) as file:
        assert {row["machine"] for row in file.finished} == {"node-7"}
    data = written(path, [[row | {"cpu": "another"} for row in case] for case in finished(PLAN)])
    with pytest.raises(ConvbenchError, match="row 2 has cpu 'another', this run has 'cpu'; --across continues it"):
        CsvFile(str(path), plan=PLAN)
    with CsvFile(str(path), plan=PLAN, across=True) as file:
        assert len(file.finished) == 6
    assert path.read_bytes() == data


@pytest.mark.parametrize("text", ["precious", "precious\n", "a,b\n1,2\n", "\n"])
def test_a_foreign_file_is_not_gone_on_with_and_not_touched(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(ConvbenchError, match="different columns"):
        CsvFile(str(path), plan=PLAN)
    assert path.read_text() == text


def test_timeout_memory_and_file_name_may_differ(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    command = "convbench bench --timeout 3 --budget 1 --memory-limit=2 --csv=elsewhere.csv"
    written(path, [[row | {"command": command} for row in case] for case in finished(PLAN)])
    with CsvFile(str(path), plan=PLAN) as file:
        assert len(file.finished) == 6


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.csv")
    with CsvFile(path) as file:
        with pytest.raises(ConvbenchError, match="is being written by another convbench"):
            CsvFile(path, plan=PLAN)
        with pytest.raises(ConvbenchError, match="is being written by another convbench"):
            CsvFile(path, overwrite=True)
        file.append(*PLAN[0])
    with CsvFile(path, plan=PLAN) as file:
        assert len(file.finished) == 2


def test_the_rows_of_a_case_are_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    real = os.write

    def write(where: int, data: bytes) -> int:
        writes.append(data.count(b"\n"))
        return real(where, data)

    with CsvFile(str(tmp_path / "rows.csv")) as file:
        monkeypatch.setattr("os.write", write)
        file.append(*PLAN[0])
    assert writes == [2]


def test_a_torn_row_that_an_editor_has_ended_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = written(path, finished(PLAN)).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][: len(lines[4]) // 2] + b"\n")
    with CsvFile(str(path), plan=PLAN) as file:
        assert len(file.finished) == 2
        assert path.read_bytes() == b"".join(lines[:3])


def test_rows_that_were_put_back_are_still_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    told: list[str] = []
    with CsvFile(str(path), tell=told.append) as file:
        file.append(*PLAN[0])
        path.unlink()
        file.mend()
        assert "have been restored" in told[0]
        with pytest.raises(ConvbenchError, match="is being written by another convbench"):
            CsvFile(str(path), overwrite=True)
        file.append(*PLAN[1])
    assert len(path.read_text().splitlines()) == 5


def test_the_rounds_of_the_samples_are_kept_as_ranges(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    timed = replace(TIMED, rounds=(0, 1, 3, 17, 18), noise=Noise(set_aside=(2, 9)))
    written: dict[str, Any] = row_of(timed)
    with CsvFile(str(path)) as file:
        file.append(written)
    ((row, result),) = read_pairs(path)
    assert row["rounds"] == "0-1 3 17-18"
    assert isinstance(result.outcome, Timed)
    assert result.outcome.by_round == dict(zip((0, 1, 3, 17, 18), TIMED.samples_s, strict=True))
    assert list(TIMED.by_round) == [0, 1, 2, 3, 4]  # as older files have it


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        ("0-3", "it has 5 samples, but a different number of rounds"),
        ("0-99999999999", "it has 5 samples, but a different number of rounds"),
        ("0-2 2-3", "it has 5 samples, but a different number of rounds"),
        ("0-1 5-3 8-9", "it has 5 samples, but a different number of rounds"),
        ("0-4 ", "it has samples from rounds that were set aside"),
        ("many", "invalid literal"),
    ],
)
def test_rounds_that_cannot_be_are_a_damaged_row(tmp_path: Path, rounds: str, words: str) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        row: dict[str, Any] = row_of(TIMED) | {"set_aside": 1, "set_aside_rounds": "3", "rounds": rounds}
        file.append(row)
    with pytest.raises(ConvbenchError, match=f"row 2 is damaged: {words}"):
        read_results(path)


def test_rounds_set_aside_that_were_never_held_are_a_damaged_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with CsvFile(str(path)) as file:
        row: dict[str, Any] = row_of(TIMED) | {"set_aside": 1, "set_aside_rounds": "17"}
        file.append(row)
    with pytest.raises(ConvbenchError, match=r"row 2 is damaged: it has 6 rounds, but others were set aside"):
        read_results(path)


def test_the_documents_list_the_options_that_may_differ_when_a_file_is_continued() -> None:
    page = " ".join((Path(__file__).parents[1] / "docs" / "isolation.md").read_text().split())
    listed = page.partition("Only `--across`")[2].partition(" may differ")[0]
    assert set(re.findall(r"`(--[a-z-]+)`", "`--across`" + listed)) == set(_FREE_OPTIONS)
