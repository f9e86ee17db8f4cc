"""How long does a block of calls take, on the CPU and on the GPU?"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

# Long against the clock's resolution and what surrounds a block, and short against a scheduler's
# slice, so that a disturbance spoils few samples. Events and a synchronisation cost more.
BLOCK_S = {"cpu": 5e-4, "cuda": 2e-3}
MOST_CALLS = 10_000


def time_block(call: Callable[[], Any], count: int, device: str) -> float:
    """Seconds a call over `count` calls: perf_counter on the CPU, events on the GPU.

    The events lie on the current stream and enclose the gaps between launches; the operands are
    the same in every call, so caches are hot. Work on another stream escapes the events, and
    then the time until the whole device is idle counts.
    """
    if device == "cuda":
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin = time.perf_counter()
        start.record()
        for _ in range(count):
            call()
        stop.record()
        torch.cuda.synchronize()
        until_idle_s = time.perf_counter() - begin
        by_events_s = float(start.elapsed_time(stop)) * 1e-3
        return (by_events_s if until_idle_s < 2 * by_events_s + 1e-4 else until_idle_s) / count
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


def calls_in_a_block(call: Callable[[], Any], device: str, *, block_s: float | None = None) -> int:
    """How many calls fill a block; warms up by doubling, so the estimate is of a warm call.

    The shortest of three blocks counts: one hiccup must not make blocks of a single call.
    """
    count, block_s = 1, block_s or BLOCK_S[device]
    while True:
        elapsed = min(time_block(call, count, device) for _ in range(3)) * count
        if elapsed >= block_s / 2 or count >= MOST_CALLS:
            return max(1, min(MOST_CALLS, round(count * block_s / max(elapsed, 1e-9))))
        count *= 2


def alike(counts: Mapping[str, int], baseline: str) -> dict[str, int]:
    """The baseline's number of calls for all that are about as fast as it.

    The mean of many calls and the mean of few have different medians where the noise is
    skewed: two that are equally fast would not look so.
    """
    base = counts.get(baseline)
    return {name: base if base and base / 2 <= count <= base * 2 else count for name, count in counts.items()}
