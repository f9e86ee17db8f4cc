"""How long does a block of calls take, on the CPU and on the GPU?"""

import time
from collections.abc import Callable
from typing import Any

import torch

# Long against the clock's and the events' resolution and short against a scheduler's slice, so that
# one disturbance spoils one sample.
BLOCK_S = 2e-3
MOST_CALLS = 10_000


def time_block(call: Callable[[], Any], count: int, device: str) -> float:
    """Seconds a call over `count` calls: perf_counter on the CPU, events on the GPU."""
    if device == "cuda":
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(count):
            call()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) * 1e-3 / count
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


def calls_in_a_block(call: Callable[[], Any], device: str, *, block_s: float = BLOCK_S) -> int:
    """How many calls fill a block; warms up by doubling, so the estimate is of a warm call."""
    count = 1
    while True:
        elapsed = time_block(call, count, device) * count
        if elapsed >= block_s / 2 or count >= MOST_CALLS:
            return max(1, min(MOST_CALLS, round(count * block_s / max(elapsed, 1e-9))))
        count *= 2
