"""What is printed was measured: no time lies below the fastest sample of its row, in any contest and anywhere."""

import json
import random
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench import Case, ConvSpec, Problem, Result, Timed
from convbench.bench.decision import standings, winners
from convbench.bench.rounds import Contest, TimeBudget, TimeSample
from convbench.bench.statistics import VerdictRule
from convbench.cli.bench import COLUMNS
from convbench.cli.sweep import tabbed
from convbench.machine import Machine
from convbench.outcome import Bill, Check, Noise
from convbench.rows import Context, from_row, text_row, to_row
from convbench.show.charts import Entry
from convbench.show.page import page
from convbench.show.tables import answer, bench_table, standing_table
from convbench.show.units import seconds
from tests.show.test_tables import drawn

CHECK = Check(worst_of_bound=0.1, relative_l2=1e-7)
BILL = Bill(prepare_s=None, first_call_s=0.02)
CONTEXT = Context(
    machine=Machine(**{name: name for name in Machine.__dataclass_fields__}), threads=2, command="convbench bench"
)
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def layer(name: str, count: int) -> Case:
    return Case(problem=Problem(suite="random", name=name, count=count, spec=ConvSpec.parse("n4c8h9w9k8r3s3")))


def play(case: Case, names: list[str], rng: random.Random, dirty: float) -> list[Result]:
    """One case on a machine that changes its speed now and then, and is disturbed in some of the blocks."""
    contest = Contest(
        names=names,
        baseline="torch",
        budget=TimeBudget(seconds=rng.choice([0.01, 0.3, 1.0]), most=400),
        rule=VerdictRule(),
        rng=random.Random(rng.random()),
    )
    typical = {name: 1e-3 * rng.lognormvariate(0, rng.choice([0.002, 0.02, 0.5])) for name in names}
    spread, speed, elapsed_s = rng.choice([0.001, 0.03, 0.5]), 1.0, 0.0
    while order := contest.next_round(elapsed_s):
        speed = rng.lognormvariate(0, 0.7) if rng.random() < 0.03 else speed
        samples = {
            name: TimeSample(
                seconds=typical[name] * speed * rng.lognormvariate(0, spread),
                dirt="foreign load" if rng.random() < dirty else "",
            )
            for name in order
        }
        elapsed_s += sum(sample.seconds for sample in samples.values())
        contest.record(samples)
    found = []
    for name in names:
        told = contest.told(name, Noise())
        outcome = Timed(
            check=CHECK,
            bill=BILL,
            samples_s=told.samples_s,
            rounds=told.rounds,
            comparison=told.comparison,
            noise=told.noise,
        )
        found.append(Result(case=case, backend=name, family="", outcome=outcome))
    return found


def outcome_of(result: Result) -> Timed:
    assert isinstance(result.outcome, Timed)
    return result.outcome


def fastest_s(result: Result) -> float:
    return min(outcome_of(result).samples_s)


def printed_s(text: str) -> float:
    """The first time in a text."""
    found = re.search(r"([\d.,]+)[ \u00a0](s|ms|us|ns)\b", text)
    assert found, text
    return float(found[1].replace(",", "")) * UNITS[found[2]]


@given(
    seed=st.integers(0, 2**32), rivals=st.integers(1, 4), layers=st.integers(1, 3), dirty=st.sampled_from([0, 0.2, 0.8])
)
def test_no_time_is_printed_that_is_below_its_fastest_sample(seed: int, rivals: int, layers: int, dirty: float) -> None:
    rng = random.Random(seed)
    names = ["torch", *(f"rival{number}" for number in range(rivals))]
    cases = [layer(f"layer{number}", rng.randint(1, 3)) for number in range(layers)]
    measured = [result for case in cases for result in play(case, names, rng, dirty)]
    rows = [text_row(to_row(result, CONTEXT)) for result in measured]
    results = [from_row(row) for row in rows]
    assert [outcome_of(one).by_round for one in results] == [outcome_of(one).by_round for one in measured]

    for result, row in zip(results, rows, strict=True):
        pipe = dict(zip(COLUMNS, tabbed(row, COLUMNS), strict=True))
        assert float(row["median_s"]) == float(str(pipe["median_s"])) == pytest.approx(outcome_of(result).median_s)
        assert float(row["median_s"]) >= float(row["min_s"]) == fastest_s(result)
        assert pipe["images_per_s"] == pytest.approx(4 / float(row["median_s"]))
        assert float(str(pipe["images_per_s"])) <= 4 / fastest_s(result) * (1 + 1e-5)

    for width in (60, 80, 120):
        lines = drawn(width, bench_table("random", results, width=width)).splitlines()
        shown = [line for line in lines if line.startswith("  ")][1:]
        assert len(shown) == len(results)
        for line, result in zip(shown, results, strict=True):
            assert printed_s(line) >= printed_s(seconds(fastest_s(result)))

    entries = [
        Entry(number=number, file="random.csv", row=row, result=result)
        for number, (row, result) in enumerate(zip(rows, results, strict=True))
    ]
    text = page(entries)
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert found
    cells = re.findall(r'<tr data-row="\d+">(.*?)</tr>', text)
    for drawn_row, told, result in zip(cells, json.loads(found[1])["rows"], results, strict=True):
        assert told["median_s"] == outcome_of(result).median_s
        assert told["median_s"] in told["cells"]
        assert printed_s(drawn_row) >= printed_s(seconds(fastest_s(result)))

    check_whole(results, cases, names)


def check_whole(results: list[Result], cases: list[Case], names: list[str]) -> None:
    """The totals, and who comes first."""
    whole, said, table = standings(results), answer(results), standing_table(results)
    of: Mapping[tuple[str, str], Result] = {(one.case.problem.name, one.backend): one for one in results}
    for one in whole.found:
        rows = [(case.problem.count, of[case.problem.name, one.backend]) for case in cases]
        least_s = sum(count * fastest_s(row) for count, row in rows)
        assert one.total_s is not None
        assert one.total_s == pytest.approx(sum(count * outcome_of(row).median_s for count, row in rows))
        assert one.total_s >= least_s * (1 - 1e-12)
        if table is not None:
            line = next(line for line in drawn(80, table).splitlines() if line.startswith(f" {one.backend} "))
            assert printed_s(line) >= printed_s(seconds(least_s))
    totals = {one.backend: one.total_s or 0.0 for one in whole.found}
    if "Fastest overall" in said and "a tie of" not in said:
        first, second = re.findall(r"torch|rival\d", said)[:2]
        assert totals[first] < totals[second]
        assert [one.backend for one in whole.found[:2]] == [first, second]
    undecided = [outcome_of(one).comparison for one in results if one.backend != "torch"]
    unsure = sum(one is None or one.verdict == "undecided" for one in undecided)
    assert ("no ranking" in said) == (2 * unsure > len(undecided) and len(cases) > 1 and len(names) > 1)
    for block, name in winners(results).items():
        medians = {one.backend: outcome_of(one).median_s for one in results if one.key().block == block}
        assert medians[name] == min(medians.values())
