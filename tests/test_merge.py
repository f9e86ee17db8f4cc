"""convbench merge: whatever the split, each case once, in the order of the sweep, and nothing lost without a word."""

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convbench import ConvbenchError
from convbench.case import Case, Problem
from convbench.cli.planned import planned
from convbench.merge import Merged, merge
from convbench.outcome import Failed, Result
from convbench.rows import Context, csv_line, to_row
from convbench.schema import COLUMNS
from convbench.shards import Sweep
from convbench.spec import ConvSpec
from tests.test_store import TIMED, machine

BACKENDS = ("torch", "mine")


def case(number: int) -> Case:
    spec = ConvSpec.parse(f"n1c2h5w5k{number + 1}r3s3")
    return Case(problem=Problem(suite="test", name=f"row{number}", spec=spec))


def rows_of(number: int, of: int = 12, **cells: Any) -> list[dict[str, Any]]:
    """The rows of a case of a sweep, on a machine."""
    context = Context(machine=machine(), threads=2, command="convbench bench --suite test")
    outcome = cells.pop("result", TIMED)
    found = []
    for backend in BACKENDS:
        result = Result(case=case(number), backend=backend, family="im2col", outcome=outcome)
        row: dict[str, Any] = dict(to_row(result, context))
        row["plan"] = Sweep("0123456789ab", of).cell(number + 1)
        found.append(row | {"time": f"2026-01-01T00:00:{number:02d}+00:00"} | cells)
    return found


def write(path: Path, cases: Sequence[Sequence[dict[str, Any]]]) -> str:
    text = csv_line(dict(zip(COLUMNS, COLUMNS, strict=True)))
    path.write_text(text + "".join(csv_line(row) for rows in cases for row in rows))
    return str(path)


def merged_rows(merged: Merged) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(merged.text))))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_split_merged_is_the_whole(data: st.DataObject, tmp_path: Path) -> None:
    """In any order, with overlaps, repeats and further measurements; what is nowhere is named."""
    of = data.draw(st.integers(1, 8))
    files = []
    present, twice = set(), set()
    first: dict[int, str] = {}
    for number in range(data.draw(st.integers(1, 4))):
        chosen = data.draw(st.lists(st.integers(0, of - 1), max_size=10))
        parts = []
        for place in chosen:
            measured = data.draw(st.sampled_from(["0.001", "0.002"]))
            parts.append(rows_of(place, of, samples_s=measured))
            twice |= {place} if first.setdefault(place, measured) != measured else set()
        present |= set(chosen)
        files.append(write(tmp_path / f"{number}.csv", parts))
    if not present:
        with pytest.raises(ConvbenchError, match="there are no rows"):
            merge(files)
        return
    merged = merge(files)
    rows = merged_rows(merged)
    results = [row for row in rows if not row["attempt"]]
    assert [(row["name"], row["backend"]) for row in results] == [
        (f"row{place}", name) for place in sorted(present) for name in BACKENDS
    ]
    assert {row["name"] for row in rows if row["attempt"]} == {f"row{place}" for place in twice}
    missing = [place - 1 for one in merged.missing for place in one.places]
    assert missing == sorted({*range(of)} - present)
    again = write(tmp_path / "merged.csv", [rows])
    assert merged_rows(merge([again, *files])) == rows  # it is the same once more


def test_what_failed_on_a_machine_gives_way_to_what_was_measured_elsewhere(tmp_path: Path) -> None:
    failed = write(tmp_path / "a.csv", [rows_of(0, 1, result=Failed("out of memory"), machine="a")])
    timed = write(tmp_path / "b.csv", [rows_of(0, 1, machine="b", time="2027-01-01T00:00:00+00:00")])
    rows = merged_rows(merge([failed, timed]))
    assert [(row["outcome"], row["attempt"]) for row in rows] == [("timed", ""), ("timed", ""), *[("failed", "2")] * 2]


def test_the_backends_of_a_case_are_of_one_machine(tmp_path: Path) -> None:
    torch_only = write(tmp_path / "a.csv", [rows_of(0, 1, machine="a")[:1]])
    whole = write(tmp_path / "b.csv", [rows_of(0, 1, machine="b", samples_s="0.003")])
    rows = merged_rows(merge([torch_only, whole]))
    assert [(row["machine"], row["attempt"]) for row in rows] == [("b", ""), ("b", ""), ("a", "2")]
    (missing,) = merge([torch_only, write(tmp_path / "c.csv", [rows_of(1, 2)])], across=True).missing[:1]
    assert missing.places == (1,)


def test_files_of_two_sweeps_or_two_versions_are_only_merged_across(tmp_path: Path) -> None:
    one = write(tmp_path / "a.csv", [rows_of(0, 2)])
    other = write(tmp_path / "b.csv", [rows_of(1, 3)])
    with pytest.raises(ConvbenchError, match=r"a.csv is of sweep 0123456789ab \(2 cases\), .*b.csv of sweep"):
        merge([one, other])
    newer = write(tmp_path / "c.csv", [rows_of(1, 2, torch="3.0", environment="ffffffff")])
    with pytest.raises(ConvbenchError, match="have different versions of torch"):
        merge([one, newer])
    assert len(merged_rows(merge([one, newer], across=True))) == 4
    assert len(merged_rows(merge([one, write(tmp_path / "d.csv", [rows_of(1, 2, cpu="other")])]))) == 4


def test_each_kind_of_machine_has_each_case_once(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{cpu}.csv", [rows_of(place, 2, cpu=cpu, gpu="") for place in places])
        for cpu, places in (("zen5", (0, 1)), ("grace", (1,)))
    ]
    merged = merge(files)
    assert [(row["name"], row["cpu"]) for row in merged_rows(merged)[::2]] == [
        ("row0", "zen5"),
        ("row1", "grace"),
        ("row1", "zen5"),
    ]
    (missing,) = merged.missing
    assert (missing.kind, missing.places) == ("grace", (1,))


def canaries(*seconds: float) -> str:
    return " ".join(f"{one:.4g}" for one in seconds)


def test_a_machine_with_slow_canaries_is_named_and_its_rows_are_marked(tmp_path: Path) -> None:
    sound = [
        write(tmp_path / f"{node}.csv", [
            rows_of(place, 9, machine=node, canaries_s=canaries(1e-3 + place * 2e-5, 2e-3, 3e-3))
            for place in places
        ])
        for node, places in (("n1", (0, 1, 2)), ("n2", (3, 4, 5)))
    ]  # fmt: skip
    assert not [line for line in merge(sound).lines if "suspect" in line]
    sick = write(tmp_path / "n3.csv", [
        rows_of(place, 9, machine="n3", canaries_s=canaries(1.9e-3, 3.1e-3, 5.2e-3))
        for place in (6, 7, 8)
    ])  # fmt: skip
    merged = merge([*sound, sick])
    (line,) = [line for line in merged.lines if "suspect" in line]
    assert line.startswith("n3 is suspect: its canaries took up to 1.7 times as long as usual for its kind; its 6 rows")
    assert {row["machine"] for row in merged_rows(merged) if row["suspect"]} == {"n3"}
    assert sum(bool(row["suspect"]) for row in merged_rows(merged)) == 6


@pytest.mark.parametrize(
    ("foreign", "steal", "said"),
    [
        ("", "", ""),
        ("0.01", "0", ", though other work used less than 5 % of its CPUs"),
        ("0.62", "0", ", while other processes used 62 % of its CPUs"),
        ("0.31", "0.2", ", while other processes used 31 % of its CPUs and the hypervisor took 20 % of its CPUs"),
    ],
)
def test_a_busy_machine_is_told_from_one_that_is_slow_by_nature(
    tmp_path: Path, foreign: str, steal: str, said: str
) -> None:
    files = [
        write(tmp_path / f"{node}.csv", [
            rows_of(place, 9, machine=node, canaries_s=canaries(one, 2 * one), foreign=foreign, steal=steal)
            for place, one in zip(places, (seconds, seconds * 1.001, seconds), strict=True)
        ])
        for node, seconds, places in (("n1", 1e-3, (0, 1, 2)), ("n2", 1.01e-3, (3, 4, 5)), ("n3", 2e-3, (6, 7, 8)))
    ]  # fmt: skip
    (line,) = [line for line in merge(files).lines if "suspect" in line]
    assert line == (
        f"n3 is suspect: its canaries took up to 2.0 times as long as usual for its kind{said}; its 6 rows are marked"
    )


def test_a_machine_that_became_slow_is_named(tmp_path: Path) -> None:
    seconds = (1e-3, 1.01e-3, 0.99e-3, 1e-3, 1.02e-3, 1.6e-3)
    rows = [rows_of(place, 6, machine="n1", canaries_s=f"{one:.4g}") for place, one in enumerate(seconds)]
    lines = merge([write(tmp_path / "a.csv", rows)]).lines
    assert [line.partition(":")[0] for line in lines] == ["n1 is suspect"]


def test_a_damaged_place_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [rows_of(0, plan="7/3 of 0123456789ab")])
    with pytest.raises(ConvbenchError, match=r"a.csv, row 2 is damaged: plan is '7/3 of 0123456789ab'"):
        merge([path])


def test_the_cases_of_a_command_are_found_without_running_it() -> None:
    whole, cases = planned("convbench bench --suite quick --backend torch --threads 1 --shard 2/3 --csv x.csv")
    assert whole.cases == len(cases) == 12
    assert cases[0].problem.name == "note"
    again, _ = planned("convbench bench --suite quick --backend torch --threads 1")
    assert again == whole
    for odd in ("convbench report x.csv", "rm -rf", ""):
        with pytest.raises((ValueError, ConvbenchError)):
            planned(odd)


@pytest.mark.program
def test_twenty_thousand_rows_are_merged_in_seconds(tmp_path: Path) -> None:
    import resource

    count, files = 10_000, []
    template = rows_of(0, count)
    for part in range(20):
        own = []
        for place in range(part, count, 20):
            plan = Sweep("0123456789ab", count).cell(place + 1)
            own.append([row | {"name": f"row{place}", "plan": plan} for row in template])
        files.append(write(tmp_path / f"{part}.csv", own))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.process_time()
    merged = merge(files)
    assert time.process_time() - begin < 4  # a fifth of what a hundred thousand may take
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20 / 5  # KiB
    assert len(merged.text) == 2 * count + 1
    assert merged.missing == []
