"""Canaries: a load that stays shows in them, one that passes does not."""

from collections.abc import Iterable

import pytest

from convbench.bench.canaries import AGREE, FEWEST, MOST, PAUSE_S, SHAPES, Canaries, fastest, measure
from convbench.device import find_device


def measured(windows: Iterable[list[float]]) -> tuple[tuple[float, ...], int]:
    """What counts of these windows, and for how many of them it was waited."""
    left, slept = iter(windows), list[float]()
    found = fastest(lambda: next(left), slept.append)
    assert set(slept) <= {PAUSE_S}
    return found, len(slept)


def test_on_a_quiet_machine_two_windows_are_enough() -> None:
    assert measured([[1.0, 2.0, 3.0], [1.01, 1.99, 3.1]]) == ((1.0, 1.99, 3.0), 0)
    assert FEWEST == 2


def test_a_disturbance_that_passes_is_outlived() -> None:
    windows = [[3.0, 2.0, 3.0], [1.7, 9.0, 3.0], [1.0, 2.0, 8.0], [1.01, 2.02, 3.03]]
    assert measured(windows) == ((1.0, 2.0, 3.0), 2)


def test_a_load_that_stays_shows() -> None:
    apart = AGREE + 0.01
    assert measured([3.0 * apart**number] * 3 for number in range(MOST)) == ((3.0, 3.0, 3.0), MOST - FEWEST)
    assert measured([float(2**number)] * 3 for number in range(MOST)) == ((1.0, 1.0, 1.0), MOST - FEWEST)


def test_the_wait_for_a_core_is_part_of_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = list[int]()

    def time_block(self: object, call: object, count: int) -> float:
        counts.append(count)
        return 1e-3 if count == 1 else count * 1e-3 + 0.02  # of which the calls alone take a third

    monkeypatch.setattr(type(find_device("cpu")), "time_block", time_block)
    found = measure("cpu")
    assert found == pytest.approx((3e-3,) * len(SHAPES))
    assert {count for count in counts if count > 1} == {10}


def test_they_are_measured_once_a_minute_and_when_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    now, times = [1000.0], list[str]()
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def measure(device: str) -> tuple[float, ...]:
        times.append(device)
        return 1e-3, 2.5e-5, 3.0

    monkeypatch.setattr("convbench.bench.canaries.measure", measure)
    canaries = Canaries("cpu")
    assert canaries.cell == ""
    for step, taken in ((0.0, 1), (59.0, 1), (2.0, 2)):
        now[0] += step
        canaries.measure()
        assert len(times) == taken
    canaries.measure(sure=True)
    assert len(times) == 3
    assert canaries.cell == "0.001 2.5e-05 3"
