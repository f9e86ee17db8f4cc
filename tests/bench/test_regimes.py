"""What a cold call costs, and what is left out of it."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from convbench.bench.regimes import Eviction, cold_times, conversion_time
from convbench.call.watch import Watch
from convbench.device import find_device
from convbench.device.host import cpu_caches, cpus_allowed
from tests.conftest import make_case

CPU = find_device("cpu")


def fail(name: str, error: BaseException) -> None:
    pytest.fail(f"{name}: {error}")


class Order(TorchDispatchMode):
    """Notes which operators run, and on which memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own has no types
        self.seen: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append((func.overloadpacket.__name__, args[0].data_ptr()))
        return func(*args, **(kwargs or {}))


def test_as_much_as_the_last_cache_holds_is_written_and_as_much_read_last() -> None:
    evict = Eviction(CPU)
    with Order() as order:
        evict()
    assert order.seen == [("add_", evict._written.data_ptr()), ("sum", evict._read.data_ptr())]
    assert evict._written.nbytes == evict._read.nbytes >= cpu_caches(cpus_allowed())[-1][1]
    begun: list[float] = []
    CPU.time_calls([lambda: begun.append(float(evict._written.min()))], first=evict)
    assert begun == [2.0]


def test_all_are_called_in_turns_and_who_raises_is_told_once_and_left_out() -> None:
    order: list[str] = []
    faults: list[str] = []

    def bad() -> float:
        order.append("bad")
        if order.count("bad") == 2:
            raise ValueError("not today")
        return 1.0

    found = cold_times(
        {
            "good": lambda evict: CPU.time_calls([lambda: order.append("good")], first=evict)[0],
            "bad": lambda evict: bad(),
        },
        CPU,
        Watch(),
        lambda name, error: faults.append(f"{name}: {error}"),
    )
    assert set(found) == {"good"}
    assert faults == ["bad: not today"]
    assert order == ["good", "bad"] * 2 + ["good"] * (CPU.cold_rounds - 2)


def test_caches_that_would_take_an_eighth_of_the_memory_are_not_emptied() -> None:
    room = 2 * Eviction(CPU)._read.nbytes
    assert 2 * Eviction(CPU, memory_nbytes=8 * room)._read.nbytes == room
    with pytest.raises(MemoryError):
        Eviction(CPU, memory_nbytes=8 * room - 8)
    watch = Watch(memory_nbytes=8 * room - 8)
    assert cold_times({"one": lambda _: pytest.fail("it was called")}, CPU, watch, fail) == {}


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
