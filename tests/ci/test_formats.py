"""What CI servers and trackers get: valid by their schemas, every row under a name of its own, nothing made up."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from convbench import Failed, Result, Skipped, Verified, Wrong
from convbench.ci.findings import Pair
from convbench.ci.junit import junit
from convbench.ci.of_results import RunFindings
from convbench.ci.trackers import bmf, github_benchmark, without_number
from convbench.outcome import Check, Outcome, PairedRatio
from convbench.rows import Context, text_row, to_row
from convbench.schema import COLUMNS
from convbench.session import reproduce
from tests.ci.formats import BMF, GITHUB_BENCHMARK, junit_violations, violations
from tests.test_compare import BAD, FINE, MACHINE, case, timed

FASTER = PairedRatio(ratio=1.25, low=1.2, high=1.3, verdict="faster")
ODD = '<b>|`x`&\x01]]> " \u2028'


def pair(backend: str, outcome: Outcome, name: str = "first", **axes: object) -> Pair:
    result = Result(case=case(name, **axes), backend=backend, family="vendor", outcome=outcome, threads=2)
    return text_row(to_row(result, Context(machine=MACHINE, threads=2, command="convbench bench"))), result


ROWS = [
    pair("torch", timed([1e-3, 1.1e-3, 1.2e-3, 1.3e-3])),
    pair("mine", replace(timed([8e-4, 9e-4, 1e-3]), comparison=FASTER)),
    pair("mine", Verified(FINE), dtype="bf16"),
    pair("mine", Wrong(replace(BAD, smallest="n1c1h1w1k1r1s1", cause=f"a tap is missing {ODD}")), layout="nhwc"),
    pair("other", Failed(ODD), name=f"second {ODD}"),
    pair("cudnn", Skipped("no CUDA")),
    pair("torch", timed([2e-3] * 3)),  # the same row again, of a second run
]


def run(pairs: Sequence[Pair] = ROWS, state: str = "wrong") -> RunFindings:
    return RunFindings(command="bench", pairs=pairs, state=state, reproduce=reproduce)


def test_junit_is_what_servers_read_and_each_row_is_a_test() -> None:
    text = junit("bench", run().tests())
    assert junit_violations(text) == []
    assert text.count("<testcase ") == len(ROWS)
    assert 'type="wrong"' in text
    assert "convbench verify --backend mine" in text
    assert "smallest: convbench verify" in text
    assert 'time="0.001150000"' in text
    assert "first n1c64h56w56k64r3s3_pd1 torch (2)" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('tests="7"', 'tests="6"', "tests is not the count"),
        ("<testsuite ", '<testsuite hostname="x" ', "testsuite has hostname"),
        (" torch (2)", " torch", "two tests have one name"),
        ('<skipped message="no CUDA" />', "<ignored />", "ignored"),
    ],
)
def test_a_junit_file_that_servers_misread_is_noticed(old: str, new: str, said: str) -> None:
    text = junit("bench", run().tests())
    assert old in text
    try:
        found = junit_violations(text.replace(old, new))
    except KeyError as unknown:
        found = [str(unknown)]
    assert any(said in one for one in found)


def test_bencher_gets_nanoseconds_with_quartiles_and_the_error() -> None:
    found = json.loads(bmf(ROWS))
    assert violations(found, BMF) == []
    assert len(found) == 4
    axes = "n1c64h56w56k64r3s3_pd1 cpu 2 threads fp32 nchw ieee"
    assert found[f"quick:first {axes} torch"] == {
        "latency": {"value": 1.15e6, "lower_value": 1.075e6, "upper_value": 1.225e6},
        "worst-of-bound": {"value": 0.1},
    }
    assert found[f"quick:first {axes} torch (2)"]["latency"]["value"] == 2e6
    assert found[f"quick:first {axes.replace('fp32', 'bf16')} mine"] == {"worst-of-bound": {"value": 0.1}}
    assert without_number(ROWS) == 3


def test_github_action_benchmark_gets_smaller_is_better() -> None:
    found = json.loads(github_benchmark(ROWS))
    assert violations(found, GITHUB_BENCHMARK) == []
    assert [(one["value"], one["unit"]) for one in found] == [
        (1.15e6, "ns"),
        (9e5, "ns"),
        (0.1, "of bound"),
        (2e6, "ns"),
    ]
    assert found[1]["extra"].endswith("vs torch: 1.25x (1.20-1.30), faster")
    assert found[1]["range"] == "± 50000"
    assert len({one["name"] for one in found}) == 4


def test_an_error_beyond_all_bounds_is_no_number_of_json() -> None:
    endless = [pair("torch", Verified(Check(worst_of_bound=inf, relative_l2=inf)))]
    assert json.loads(bmf(endless)) == {"quick:first n1c64h56w56k64r3s3_pd1 cpu 2 threads fp32 nchw ieee torch": {}}
    assert json.loads(github_benchmark(endless)) == []
    (row,) = run(endless).as_json()["rows"]
    assert row["worst_of_bound"] is None


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"a": {"latency": {"lower_value": 1}}}, BMF),
        ({"a": {"latency": {"value": "1"}}}, BMF),
        ([], BMF),
        ([], GITHUB_BENCHMARK),
        ([{"name": "a", "value": 1}], GITHUB_BENCHMARK),
        ([{"name": "a", "value": 1, "unit": "ns", "q25": 1}], GITHUB_BENCHMARK),
        ([{"name": "a", "value": True, "unit": "ns"}], GITHUB_BENCHMARK),
    ],
)
def test_what_a_tracker_would_not_read_is_noticed(value: Any, schema: dict[str, Any]) -> None:
    assert violations(value, schema)


@pytest.mark.needs("fastjsonschema")
def test_a_validator_of_others_agrees_with_the_schemas() -> None:
    import fastjsonschema

    for text, schema in ((bmf(ROWS), BMF), (github_benchmark(ROWS), GITHUB_BENCHMARK)):
        fastjsonschema.compile({"$schema": "http://json-schema.org/draft-07/schema", **schema})(json.loads(text))


@pytest.mark.needs("junitparser")
def test_a_parser_of_others_reads_the_same_tests() -> None:
    from junitparser import JUnitXml

    (suite,) = JUnitXml.fromstring(junit("bench", run().tests()).encode())
    assert (suite.name, suite.tests, suite.failures, suite.skipped) == ("convbench bench", 7, 2, 1)
    assert [one.is_passed for one in suite] == [True, True, True, False, False, False, True]
    assert [one.is_skipped for one in suite].index(True) == 5


def test_json_has_the_columns_of_the_csv_as_numbers_texts_and_nulls() -> None:
    found = run().as_json()
    assert (found["command"], found["state"], found["headline"]) == (
        "bench",
        "wrong",
        "WRONG: 3 timed, 1 verified, 1 wrong, 1 failed, 1 skipped",
    )
    json.dumps(found, allow_nan=False)
    first = found["rows"][0]
    assert tuple(first) == COLUMNS
    assert first["samples_s"] == [1e-3, 1.1e-3, 1.2e-3, 1.3e-3]
    assert (first["n"], first["median_s"], first["torch"], first["verdict"]) == (1, 1.15e-3, "2.14.0", "baseline")
    assert (first["p95_s"], first["max_s"], first["reason"], first["ratio_low"]) == (1.285e-3, 1.3e-3, None, None)
    assert "convbench verify --backend mine" in found["rows"][3]["reproduce"]
    assert RunFindings(command="report", pairs=ROWS[:1], state="ok", reproduce=reproduce, files=["a.csv"]).as_json()[
        "rows"
    ][0]["file"] == ("a.csv")


def test_markdown_has_the_faults_first_and_no_name_breaks_out_of_it() -> None:
    text = run().markdown()
    lines = text.splitlines()
    assert lines[0] == "### convbench bench: WRONG: 3 timed, 1 verified, 1 wrong, 1 failed, 1 skipped"
    assert lines[2] == "CPU, 2 cores, torch 2.14.0, convbench 0.1.0, commit abc"
    assert lines[4].startswith("- WRONG mine on first")
    assert "<b>" not in text
    assert "`" not in text
    tables = [line for line in lines if line.startswith("| ")]
    assert any("1.25x (1.20-1.30) | faster |" in line for line in tables)
    assert len({line.count("|") for line in tables}) == 2  # the timed rows, and the backends
    assert all(text.count(f"<{tag}>") == text.count(f"</{tag}>") for tag in ("details", "summary"))


def test_markdown_of_many_rows_fits_a_comment_and_counts_what_it_left_out() -> None:
    many = [pair("torch", timed([1e-3] * 3))] * 1000
    text = run(many, "ok").markdown()
    assert 40_000 < len(text) < 65_536
    assert "more lines did not fit" in text


def test_a_run_in_which_nothing_was_done_says_so() -> None:
    nothing = run([pair("cudnn", Skipped("no CUDA"))], "nothing")
    assert nothing.markdown().startswith("### convbench bench: NOTHING DONE: 1 skipped\n")
    assert junit_violations(junit("bench", nothing.tests())) == []
    assert json.loads(bmf(nothing.pairs)) == {}
