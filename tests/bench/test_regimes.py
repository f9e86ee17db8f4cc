"""What a cold call costs, and what is left out of it."""

import pytest
import torch

from convbench.bench.regimes import Eviction, cold_times, conversion_time
from convbench.call.watch import Watch
from convbench.device import find_device
from convbench.device.host import cpu_caches, cpus_allowed
from tests.conftest import make_case

CPU = find_device("cpu")


def fail(name: str, error: BaseException) -> None:
    pytest.fail(f"{name}: {error}")


def test_more_than_the_last_cache_is_written_before_each_call() -> None:
    one = Eviction(CPU)
    written: list[float] = []
    for _ in range(3):
        assert one.time(lambda: written.append(float(one._room.min()))) > 0
    assert written == [1.0, 2.0, 3.0]
    assert one._room.nbytes >= 2 * cpu_caches(cpus_allowed())[-1][1]


def test_all_are_called_in_turns_and_who_raises_is_told_once_and_left_out() -> None:
    order: list[str] = []
    faults: list[str] = []

    def bad() -> None:
        order.append("bad")
        if order.count("bad") == 2:
            raise ValueError("not today")

    found = cold_times(
        {"good": lambda clock: clock(lambda: order.append("good")), "bad": lambda clock: clock(bad)},
        CPU,
        Watch(),
        lambda name, error: faults.append(f"{name}: {error}"),
    )
    assert set(found) == {"good"}
    assert faults == ["bad: not today"]
    assert order == ["good", "bad"] * 2 + ["good"] * (CPU.cold_rounds - 2)


def test_caches_that_would_take_an_eighth_of_the_memory_are_not_emptied() -> None:
    room = Eviction(CPU)._room.nbytes
    assert Eviction(CPU, memory_nbytes=8 * room)._room.nbytes == room
    with pytest.raises(MemoryError):
        Eviction(CPU, memory_nbytes=8 * room - 8)
    called: list[str] = []
    watch = Watch(memory_nbytes=8 * room - 8)
    assert cold_times({"one": lambda clock: clock(lambda: called.append("one"))}, CPU, watch, fail) == {}
    assert called == []


def test_only_nhwc_has_a_conversion_to_pay_for() -> None:
    x = torch.ones(2, 8, 9, 8)
    seconds = {
        layout: conversion_time(x, make_case("n2c8h9w8k6r3s3_pd1", layout=layout))
        for layout in ("nchw", "nhwc", "strided")
    }
    assert seconds["nchw"] == 0.0
    assert seconds["strided"] is None
    assert seconds["nhwc"] is not None
    assert seconds["nhwc"] > 0
