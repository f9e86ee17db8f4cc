"""Results files as other programs leave them: saved, joined, repeated, or spoiled by hand."""

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from convbench.errors import ConvbenchError
from convbench.runs import runs_apart
from convbench.store import read_pairs, read_rows
from tests.cli.conftest import Cli, table

SHIPPED = Path(__file__).parents[1] / "results" / "quick-cpu-zen4.csv"
TEXT = SHIPPED.read_text(encoding="utf-8")
Row = dict[str, str]
KINDS = [next(csv.DictReader(io.StringIO(TEXT)))["cpu"], "zen5"]


def decimal_comma(word: str) -> str:
    try:
        float(word)
    except ValueError:
        return word
    return word.replace(".", ",")


def semicolons(text: str) -> str:
    """As a spreadsheet of a country with decimal commas saves it."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    for row in csv.reader(io.StringIO(text)):
        writer.writerow(" ".join(map(decimal_comma, cell.split(" "))) for cell in row)
    return out.getvalue()


def tabs(text: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter="\t").writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


@pytest.mark.parametrize(
    "saved",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode()),
        lambda text: gzip.compress(text[:1000].encode()) + gzip.compress(text[1000:].encode()),
        lambda text: semicolons(text).encode("utf-8-sig"),
        lambda text: tabs(text).encode("utf-16"),
    ],
    ids=["bom", "utf-16", "gzip", "joined gzip", "semicolons and decimal commas", "tabs of UTF-16"],
)
def test_what_another_program_saved_is_the_same_file(tmp_path: Path, saved: Callable[[str], bytes]) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(saved(TEXT))
    assert read_pairs(path) == read_pairs(SHIPPED)


def test_what_cannot_be_read_says_how_to_save_it(tmp_path: Path) -> None:
    for data, said in (
        (b"PK\x03\x04sheet", "it is a workbook or another zip archive; save it as CSV UTF-8, with commas"),
        (TEXT.encode("utf-16-le"), "it is binary, or UTF-16 without a byte order mark; save it as CSV UTF-8"),
        (TEXT.replace("quick", "qu\xefck").encode("latin-1"), "line 2 is not UTF-8; save it as CSV UTF-8"),
        (gzip.compress(TEXT.encode())[:-20], "its gzip data is damaged"),
    ):
        path = tmp_path / "rows.csv"
        path.write_bytes(data)
        with pytest.raises(ConvbenchError) as raised:
            read_rows(path)
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


def test_files_joined_in_one_are_read_and_told(tmp_path: Path) -> None:
    path, told = tmp_path / "both.csv", list[str]()
    old = (SHIPPED.parent / "schemas" / "columns-60.csv").read_text(encoding="utf-8")  # fewer columns
    path.write_text(TEXT + old + TEXT, encoding="utf-8")
    rows = read_rows(path, tell=told.append)
    lines = [len(list(csv.reader(io.StringIO(one)))) for one in (TEXT, old)]
    assert len(rows) == 2 * lines[0] + lines[1] - 3
    first, second = lines[0] + 1, lines[0] + lines[1] + 1
    assert told == [f"{path} holds several files in one: row {first}, row {second} is a header again"]


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("median_s", "fast", "median_s is 'fast', which is no number"),
        ("median_s", "nan", "median_s is nan, which cannot be"),
        ("median_s", "-1", "median_s is -1, which cannot be"),
        ("median_s", "inf", "median_s is inf, which cannot be"),
        ("median_s", "0", "median_s is 0, but the samples give "),
        ("gflops", "1", "gflops is 1, but the samples give "),
        ("samples", "7", "samples is 7, but the samples give "),
        ("samples_s", "1e-5 quick", "samples_s is 'quick', which is no number"),
        ("samples_s", "1e-5 -1e-5", "samples_s is -1e-5, which cannot be"),
        ("samples_s", "1e-5 0", "samples_s holds 0, which cannot be"),
        ("k", "77", "k is '77', but spec "),
        ("stride", "5", "stride is '5', but spec "),
        ("count", "1.5", "count is 1.5, which is no whole number"),
        ("count", "", "count is empty"),
        ("first_call_s", "much", "first_call_s is 'much', which is no number"),
        ("ratio_to_torch", "99", "ratio_to_torch is 99, outside its interval from "),
    ],
)
def test_a_cell_that_cannot_be_is_told_with_row_and_column(tmp_path: Path, column: str, cell: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    rows = list(csv.DictReader(io.StringIO(TEXT)))
    number = next(number for number, row in enumerate(rows) if row["ratio_low"])
    rows[number][column] = cell
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ConvbenchError) as raised:
        read_pairs(path)
    assert f"{path}, row {number + 2} is damaged: {said}" in str(raised.value)


def test_two_machines_two_regimes_and_a_repeated_run_are_never_summed(cli: Cli, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(TEXT)))
    columns = [*rows[0], "timing", "cache", "shard"]

    def written(name: str, *runs: Row) -> Path:
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for run in runs:
                writer.writerows({**dict.fromkeys(columns, ""), **row, **run} for row in rows)
        return path

    cold = {"timing": "eager", "cache": "cold"}
    for name, runs, words in (
        ("one.csv", [{}], [""]),
        ("again.csv", [{}, {}, {}], ["run 1", "run 2", "run 3"]),
        ("machines.csv", [{"machine": "a"}, {"machine": "b"}], ["a", "b"]),
        ("shards.csv", [{"machine": "a", "shard": "1/2"}, {"machine": "b", "cpu": "zen5", "shard": "2/2"}], KINDS),
        ("cold.csv", [{}, cold], ["eager, hot", "eager, cold"]),
        ("both.csv", [{"machine": "a"}, {"machine": "a"}, {"machine": "b"}], ["a, run 1", "a, run 2", "b, run 1"]),
    ):
        path = written(name, *runs)
        parts = runs_apart(read_pairs(path))
        assert list(parts) == words
        assert {len(own) for own in parts.values()} == {len(rows)}
        done = cli("report", path)
        assert done.code == 0, done.err
        assert len(table(done.out)) == len(rows) * len(runs)
        assert done.err.count("Fastest overall") + done.err.count("no ranking") == len(runs)
        told = f"{path} holds {len(runs)} runs, which are shown apart: {'; '.join(words)}"
        assert (told in done.err) == (len(runs) > 1)
        assert f" of {12 * len(runs)} cases" not in done.err or len(runs) == 1


def test_the_shards_of_a_kind_of_machine_are_one_run() -> None:
    pairs = read_pairs(SHIPPED)
    mixed = [({**row, "machine": f"n{number % 3}", "shard": "1/9"}, one) for number, (row, one) in enumerate(pairs)]
    assert list(runs_apart(mixed)) == [""]


def test_a_row_on_the_cpu_is_of_the_machine_whose_gpu_other_rows_name() -> None:
    pairs = read_pairs(SHIPPED)
    mixed = [({**row, "gpu": "H200" if number > 5 else ""}, result) for number, (row, result) in enumerate(pairs)]
    assert list(runs_apart(mixed)) == [""]
