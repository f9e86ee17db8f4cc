"""How many calls fill a block, with a clock that only moves when something is called."""

from collections.abc import Callable

import pytest

from convbench.bench.clock import seconds_a_call
from convbench.device import find_device

CPU = find_device("cpu")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test may set."""
    time_s = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: time_s[0])
    return time_s


def takes(now: list[float], seconds: Callable[[int], float]) -> Callable[[], None]:
    """A call that takes as long as is said of its number."""
    calls = iter(range(10**6))

    def call() -> None:
        now[0] += seconds(next(calls))

    return call


def test_a_block_gives_the_seconds_of_its_calls(now: list[float]) -> None:
    assert CPU.time_block(takes(now, lambda number: 1.0 + number), 4) == pytest.approx(10.0)


def test_calls_are_doubled_until_they_fill_half_a_block(now: list[float]) -> None:
    made: list[int] = []

    def seconds(number: int) -> float:
        made.append(number)
        return 1e-6

    assert seconds_a_call(takes(now, seconds), CPU) == pytest.approx(1e-6)
    last = 256  # the first power of two of microseconds that is half a block or more
    assert last / 2 < CPU.block_s / 2 / 1e-6 <= last
    assert len(made) == 3 * (2 * last - 1)


def test_one_hiccup_does_not_pass_for_the_time_of_a_call(now: list[float]) -> None:
    assert seconds_a_call(takes(now, lambda number: 1e-6 if number else 1.0), CPU) == pytest.approx(1e-6)
