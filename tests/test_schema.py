"""The columns of a results file: one table, which the docs show, and every older file is still read."""

import csv
import os
import re
from pathlib import Path

import pytest

from convbench import ConvbenchError, Failed, Skipped, Timed, Wrong
from convbench.compare import Gate, compare_files
from convbench.rows import csv_line, text_row
from convbench.schema import COLUMNS, OLDEST, SCHEMA, TABLE, markdown
from convbench.show.charts import Entry
from convbench.show.page import page
from convbench.store import read_pairs, read_results, read_rows
from tests.test_store import TIMED, row_of

PAGE = Path(__file__).parents[1] / "docs" / "csv.md"
# One file by each set of columns that there ever was, written by the convbench of its time.
OLD = sorted((Path(__file__).parent / "results" / "schemas").glob("*.csv"))
EVERY = [*OLD, *(Path(__file__).parent / "results").glob("*.csv"), *(PAGE.parents[1] / "results").glob("*.csv")]


def header_of(path: Path) -> tuple[str, ...]:
    with path.open(newline="") as file:
        return tuple(next(csv.reader(file)))


def write(path: Path, **cells: str) -> Path:
    row = text_row(row_of(TIMED)) | cells  # type: ignore[arg-type]  # its values are objects
    path.write_text(csv_line(dict(zip(COLUMNS, COLUMNS, strict=True))) + csv_line(row))
    return path


def test_the_docs_hold_the_table_that_the_code_makes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| column .*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    if os.environ.get("CONVBENCH_REFRESH_GOLDEN") == "1":
        PAGE.write_text(text.replace(table, markdown()), encoding="utf-8")
    else:
        assert table == markdown()


def test_every_schema_added_columns_and_this_one_is_the_last() -> None:
    assert {one.since for one in TABLE} == set(range(1, SCHEMA + 1))
    assert TABLE[0].since == 1
    assert COLUMNS[: len(OLDEST)] == OLDEST
    assert all(one.meaning and "|" not in one.meaning for one in TABLE)


def test_there_is_a_file_of_every_older_schema() -> None:
    headers = {frozenset(header_of(path)) for path in OLD}
    for schema in range(1, SCHEMA):
        assert frozenset(one.name for one in TABLE if one.since <= schema) in headers


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_file_of_an_older_schema_is_read(path: Path) -> None:
    header = header_of(path)
    assert set(header) < set(COLUMNS)
    rows, results = read_rows(path), read_results(path)
    kinds = {one.backend: type(one.outcome) for one in results}
    assert kinds == {"torch": Timed, "cudnn": Skipped, "unfold-matmul": Timed, "twice": Wrong, "raises": Failed}
    for row, result in zip(rows, results, strict=True):
        assert tuple(row) == COLUMNS
        assert {row[name] for name in set(COLUMNS) - set(header)} <= {""}
        assert (result.threads, result.case.spec.k) == (1, 6)
        if isinstance(result.outcome, Timed):
            assert result.outcome.regime == "eager, hot"
            assert result.outcome.median_s == pytest.approx(float(row["median_s"]), rel=1e-3)
            assert len(result.outcome.samples_s) == int(row["samples"])


@pytest.mark.parametrize("path", EVERY, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_older_file_is_compared_and_makes_a_page(path: Path) -> None:
    found = compare_files(path, path, gate=Gate())
    assert found.rows
    assert all(row.verdict == "same" or "too few clean samples" in row.note for row in found.rows)
    entries = [
        Entry(number=number, file=path.name, row=row, result=result)
        for number, (row, result) in enumerate(read_pairs(path))
    ]
    assert "All rows" in page(entries[:40])


def test_a_file_of_a_newer_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", schema=str(SCHEMA + 1))
    with pytest.raises(ConvbenchError, match=f"has schema {SCHEMA + 1}, but this convbench reads up to {SCHEMA};"):
        read_rows(path)


@pytest.mark.parametrize("text", ["x", "-1", "7.0", "9" * 5000, "\uff17"])
def test_a_schema_that_is_no_number_is_a_damaged_row(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConvbenchError, match="row 2 is damaged: its schema is") as error:
        read_rows(write(tmp_path / "rows.csv", schema=text))
    assert len(str(error.value)) < 1000


def test_a_row_says_its_schema_its_regime_and_its_images_a_second() -> None:
    timed, skipped = row_of(TIMED), row_of(Skipped("why"))
    assert [timed[name] for name in ("schema", "timing", "cache")] == [SCHEMA, "eager", "hot"]
    assert timed["images_per_s"] == pytest.approx(2 / 3e-3)  # n = 2, a median of 3 ms
    assert [skipped[name] for name in ("schema", "images_per_s", "timing", "cache")] == [SCHEMA, None, None, None]


def test_a_regime_is_read_back_and_an_unknown_one_is_a_damaged_row(tmp_path: Path) -> None:
    (result,) = read_results(write(tmp_path / "rows.csv", timing="graph", cache="cold"))
    assert isinstance(result.outcome, Timed)
    assert result.outcome.regime == "graph, cold"
    with pytest.raises(ConvbenchError, match="row 2 is damaged: unknown cache 'warm'"):
        read_results(write(tmp_path / "rows.csv", cache="warm"))
