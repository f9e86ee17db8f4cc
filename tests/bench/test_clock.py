"""How many calls fill a block, with a clock that only moves when something is called."""

from collections.abc import Callable

import pytest

from convbench.bench.clock import seconds_a_call
from convbench.device import find_device

CPU = find_device("cpu")


def call_s(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> tuple[float, int]:
    """What is found for a call that takes as long as is said of its number, and how often it was called."""
    now, made = 0.0, 0
    monkeypatch.setattr("time.perf_counter", lambda: now)

    def call() -> None:
        nonlocal now, made
        now += seconds(made)
        made += 1

    return seconds_a_call(call, CPU), made


def test_calls_are_doubled_until_they_fill_half_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    found_s, made = call_s(monkeypatch, lambda _: 1e-6)
    assert found_s == pytest.approx(1e-6)
    last = 256  # the first power of two of microseconds that is half a block or more
    assert last / 2 < CPU.block_s / 2 / 1e-6 <= last
    assert made == 3 * (2 * last - 1)


def test_one_hiccup_does_not_pass_for_the_time_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    found_s, _ = call_s(monkeypatch, lambda number: 1e-6 if number else 1.0)
    assert found_s == pytest.approx(1e-6)
