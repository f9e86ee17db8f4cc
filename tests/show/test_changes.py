"""The comparison on a terminal, at 80 and 120 columns."""

from dataclasses import replace
from math import inf

import pytest

from convbench.bench.shift import Shift
from convbench.case import RowKey
from convbench.compare import Apart, Changes, Difference, Drift, Gate, RowChange, Whole
from convbench.show.changes import apart_lines, changes_table, headline, remarks
from tests.conftest import make_case
from tests.show.test_tables import drawn
from tests.snapshots import assert_golden


def key(name: str, backend: str, **axes: str) -> RowKey:
    case = make_case("n1c64h56w56k64r3s3_pd1", **axes).key
    return RowKey(suite="quick", name=name, case=case, threads="2", backend=backend)


def change(key: RowKey, after_s: float, ratio: float, verdict: str, state: str) -> RowChange:
    found = Shift(ratio=ratio, low=ratio * 0.99, high=ratio * 1.01)
    return RowChange(
        key=key,
        before_s=after_s * ratio,
        after_s=after_s,
        time=found,
        to_torch=None if key.backend == "torch" else found,
        judged=found,
        verdict=verdict,
        state=state,
    )


CHANGES = Changes(
    before="old.csv",
    after="new.csv",
    gate=Gate(allowance=0.05),
    machine=(Difference(name="cpu", before="old one", after="new one"),),
    versions=(Difference(name="torch", before="2.14", after="2.15"), Difference(name="driver", before="", after="590")),
    rows=(
        change(key("dense3x3_early", "torch"), 1.19e-3, 0.97, "slower", "ok"),
        change(key("dense3x3_early", "my-very-long-backend-name"), 3.4e-4, 0.88, "slower", "regression"),
        change(key("grouped", "torch", dtype="bf16"), 2.5e-6, 1.0, "same", "ok"),
        change(key("grouped", "onednn", dtype="bf16"), 2.5e-6, 12.5, "faster", "ok"),
    ),
    apart=(
        Apart(key=key("note", "onednn"), before="timed", after="wrong", reason="3 of 9 wrong", regression=True),
        Apart(key=key("note", "cudnn"), before="skipped", after="skipped", reason="no CUDA", regression=False),
        Apart(key=key("stem", "cudnn"), before="skipped", after="skipped", reason="no CUDA", regression=False),
        Apart(key=key("stem", "torch"), before="timed", after="", reason="", regression=False),
    ),
    verified=0,
    wholes=(Whole(backend="torch", rows=2, factor=Shift(ratio=0.98, low=0.97, high=0.99)),),
    drift=Drift(cases=2, moved=1, factor=Shift(ratio=0.98, low=0.97, high=0.99)),
)


@pytest.mark.parametrize("width", [80, 120])
def test_the_changes_look_as_they_did(width: int) -> None:
    text = drawn(width, changes_table(CHANGES, width=width))
    assert max(map(len, text.splitlines())) <= width
    lines = [*apart_lines(CHANGES), *remarks(CHANGES), headline(CHANGES)]
    assert_golden(f"changes_{width}", text + "\n".join(lines) + "\n")


def test_the_columns_of_both_ways_to_judge_are_named_alike_everywhere() -> None:
    text = drawn(120, changes_table(CHANGES, width=120))
    for heading in ("time before/after", "vs torch after/before", "change", "gate (5 %)"):
        assert heading in text
    assert "geometric mean time before/after rows" in " ".join(text.split())
    relative = replace(CHANGES, gate=replace(CHANGES.gate, relative=True))
    text = drawn(120, changes_table(relative, width=120))
    assert text.startswith("vs torch after/before: by what factor the speed relative to torch changed")
    assert "geometric mean vs torch after/before rows" in " ".join(text.split())


def test_a_time_of_too_few_clean_samples_and_an_interval_without_bounds_are_marked() -> None:
    text = drawn(120, changes_table(CHANGES, width=120))
    assert "~" not in text
    assert "no bound" not in text
    row = replace(CHANGES.rows[0], noisy=("after",), time=Shift(ratio=0.97, low=0.0, high=inf))
    text = drawn(120, changes_table(replace(CHANGES, rows=(row,)), width=120))
    assert "1.15 ms ~1.19 ms" in text
    assert "0.970 (no bound)" in text
    assert "no bound: too few samples for this confidence. ~ too few clean samples." in " ".join(text.split())


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1.01, 1.03, "WARNING: torch itself is faster overall (time before/after: 1.020), though no single case is"),
        (0.236, 78.54, "torch itself: time before/after 1.020 (0.236-78.54) overall, too uncertain to say whether the"),
        (0.0, inf, "torch itself: time before/after 1.020 (no bound) overall, too uncertain to say whether the"),
    ],
)
def test_drift_is_only_warned_of_where_its_interval_excludes_one(low: float, high: float, words: str) -> None:
    drift = Drift(cases=1, moved=0, factor=Shift(ratio=1.02, low=low, high=high))
    (said,) = [line for line in remarks(replace(CHANGES, drift=drift)) if "torch itself" in line]
    assert said.startswith(words)
    assert replace(CHANGES, drift=drift).drifted == said.startswith("WARNING")


def test_rows_of_torch_that_are_undecided_are_counted_where_their_intervals_are_beyond_the_margin() -> None:
    torch, mine, *_ = CHANGES.rows
    doubted = replace(torch, verdict="undecided", time=Shift(ratio=1.2, low=1.1, high=1.3))
    doubted = replace(doubted, judged=doubted.time)
    within = replace(doubted, judged=Shift(ratio=1.02, low=0.9, high=1.1))
    drift = Drift(cases=2, moved=2, factor=Shift(ratio=1.2, low=1.1, high=1.3))
    for rows, words in (
        ((torch, mine), "2 of 2 cases: the machine"),
        ((doubted, within, mine), "2 of 2 cases (1 undecided, see the notes): the machine"),
    ):
        (said,) = [one for one in remarks(replace(CHANGES, rows=rows, drift=drift)) if "torch itself" in one]
        assert f"its interval beyond the margin in {words}" in said


def test_the_head_says_that_notes_overrule_the_intervals() -> None:
    relative = replace(CHANGES, gate=replace(CHANGES.gate, relative=True))
    for one in (CHANGES, relative):
        text = " ".join(drawn(120, changes_table(one, width=120)).split())
        assert "it decides change and gate, except in rows that a note below calls undecided." in text


def test_drift_within_the_margin_is_no_remark() -> None:
    drift = Drift(cases=1, moved=0, factor=Shift(ratio=1.01, low=0.5, high=2.0))
    assert not any("torch itself" in line for line in remarks(replace(CHANGES, drift=drift)))
