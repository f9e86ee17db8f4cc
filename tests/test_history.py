"""Where a row changed over many runs, by the statistics of compare, and how that looks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import pytest

from convbench import Failed, Result, Skipped
from convbench.compare import Gate
from convbench.history import HistoryRun, Series, history, one_machine
from convbench.machine import Machine
from convbench.outcome import Outcome
from convbench.rows import Context, text_row, to_row
from convbench.show.history import BARS, history_rows, history_table, method, sparkline
from tests.show.test_tables import drawn
from tests.test_compare import MACHINE, case, disturbed, noisy

GATE = Gate(margin=0.02)


def run(number: int, rows: dict[str, Outcome], machine: Machine = MACHINE, name: str = "first") -> HistoryRun:
    context = Context(machine=machine, threads=2, command="convbench bench")
    results = [
        Result(case=case(name), backend=backend, family="vendor", outcome=outcome, threads=2)
        for backend, outcome in rows.items()
    ]
    pairs = [(text_row(to_row(one, context)), one) for one in results]
    time = datetime(2026, 8, 1, 8, tzinfo=UTC) + timedelta(days=number)
    return HistoryRun(name=f"run{number}", time=time.isoformat(), pairs=pairs)


def follow(runs: list[HistoryRun], gate: Gate = GATE) -> dict[str, Series]:
    return {one.key.backend: one for one in history(runs, wanted=lambda _: True, gate=gate)}


def times(values: list[float], rounds: int = 100) -> list[HistoryRun]:
    return [run(number, {"mine": noisy((number, value), value, rounds)}) for number, value in enumerate(values)]


def moves(series: Series) -> list[tuple[str, str]]:
    return [(one.run, one.change.verdict) for one in series.points if one.moved and one.change is not None]


def test_a_step_is_found_where_it_is_and_steady_runs_have_none() -> None:
    assert moves(follow(times([1e-3] * 12))["mine"]) == []
    series = follow(times([1e-3] * 5 + [1.1e-3] * 4 + [1e-3] * 3))["mine"]
    assert moves(series) == [("run5", "slower"), ("run9", "faster")]
    slower = series.points[5].change
    assert slower is not None
    assert slower.judged.low < 1 / 1.1 < slower.judged.high


def test_a_creeping_slowdown_adds_up_against_where_the_level_began() -> None:
    creeping = [1e-3 * 1.008**number for number in range(10)]
    assert moves(follow(times(creeping[:2]))["mine"]) == []
    assert {verdict for _, verdict in moves(follow(times(creeping))["mine"])} == {"slower"}


def test_steady_noise_is_called_a_change_no_oftener_than_the_confidence_says() -> None:
    gate = Gate(margin=1e-9, confidence=0.9)
    alarms = 0
    for trial in range(40):
        runs = [run(number, {"mine": noisy((trial, number), rounds=32, spread=0.1)}) for number in range(5)]
        alarms += bool(moves(follow(runs, gate)["mine"]))
    assert alarms / 40 <= 0.1 + 3 * (0.1 * 0.9 / 40) ** 0.5


def test_what_was_not_timed_or_noisy_is_shown_and_not_compared() -> None:
    runs = times([1e-3] * 6)
    outcomes: dict[int, Outcome] = {1: Failed("out of memory"), 2: Skipped("no"), 3: disturbed(noisy(3, 5e-3))}
    runs = [run(n, {"mine": outcomes[n]}) if n in outcomes else one for n, one in enumerate(runs)]
    runs[4] = run(4, {"other": noisy(4)})
    series = follow(runs)["mine"]
    assert [one.outcome for one in series.points] == ["timed", "failed", "skipped", "timed", "", "timed"]
    assert moves(series) == []
    assert series.points[3].note == "too few clean samples"
    bars = sparkline(series)
    assert (bars[1], bars[2], bars[3], bars[4]) == ("!", "·", BARS[-1], "·")


def test_times_of_another_regime_begin_a_level_and_are_no_change() -> None:
    runs = times([1e-3] * 2)
    runs.append(run(2, {"mine": replace(noisy(2, 5e-4), timing="graph")}))
    points = follow(runs)["mine"].points
    assert (points[2].begins, points[2].moved) == (True, False)
    assert "not comparable" in points[2].note


def test_relative_sees_through_a_machine_that_slowed_down_and_leaves_torch_out() -> None:
    runs = [
        run(n, {"torch": noisy((n, "t"), 1e-3 * slow), "mine": noisy((n, "m"), 2e-3 * slow)})
        for n, slow in enumerate([1.0, 1.0, 1.3, 1.3])
    ]
    assert moves(follow(runs)["torch"]) == [("run2", "slower")]
    assert moves(follow(runs)["mine"]) == []  # torch changed as much in the same rounds
    relative = follow(runs, replace(GATE, relative=True))
    assert list(relative) == ["mine"]
    assert moves(relative["mine"]) == []


def test_runs_of_another_machine_than_the_newest_are_left_out_and_told() -> None:
    runs = times([1e-3] * 3)
    runs[1] = run(1, {"mine": noisy(1)}, replace(MACHINE, machine="other"))
    kept, left_out = one_machine(runs)
    assert [one.name for one in kept] == ["run0", "run2"]
    assert left_out == {"run1": "machine other -> ci"}


def test_the_sparkline_is_of_eight_steps_and_level_where_times_are() -> None:
    series = follow(times([1e-3 * 2**step for step in range(8)]))["mine"]
    assert sparkline(series) == BARS
    assert len({*sparkline(follow(times([1e-3, 1.001e-3, 0.999e-3]))["mine"])} - {*BARS[2:6]}) == 0


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_has_a_line_a_backend_and_a_line_a_change_and_cuts_the_oldest_runs(width: int) -> None:
    found = history(times([1e-3] * 60 + [1.2e-3] * 40), wanted=lambda _: True, gate=GATE)
    text = drawn(width, history_table(found, relative=False, width=width))
    heading, line, change = text.splitlines()
    assert heading.startswith("quick:first  n1c64h56w56k64r3s3_pd1  cpu 2 threads fp32 nchw ieee")
    assert "  mine  …" in line
    assert line.endswith(("ms -> 1.20 ms", "ms -> 1.19 ms", "ms -> 1.21 ms"))
    assert change.strip().startswith("slower, 0.8")
    assert "since run60 (2026-09-30)" in change
    assert len(line) <= width
    assert method(GATE, 100, found=found).startswith("100 kept runs, 1 change of speed by more than 2 %")


def test_rows_for_a_pipe_have_each_run_with_its_interval() -> None:
    found = history(times([1e-3, 1.2e-3]), wanted=lambda _: True, gate=GATE)
    first, second = history_rows(found)
    assert first[10:14] == ["mine", "run0", "2026-08-01T08:00:00+00:00", "timed"]
    assert second[17] == "slower"
    low, high = second[19], second[20]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert 0 < low < 1 / 1.2 < high < inf
