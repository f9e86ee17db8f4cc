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
    elapsed_s = time.perf_counter() - begin
    if elapsed_s <= 0:  # everybody's ratios would be spoilt, not its own alone
        raise RuntimeError("the clock did not run while it was called")
    return elapsed_s / count


def seconds_a_call(call: Callable[[], Any], device: str) -> float:
    """About how long a warm call takes; warms up by doubling until the calls fill half a block.

    The shortest of three blocks counts: one hiccup must not make blocks of a single call.
    """
    count = 1
    while True:
        call_s = min(time_block(call, count, device) for _ in range(3))
        if call_s * count >= BLOCK_S[device] / 2 or count >= MOST_CALLS:
            return call_s
        count *= 2


def block_counts(call_s: Mapping[str, float], baseline: str, device: str) -> dict[str, int]:
    """How many calls each candidate's block takes, from its seconds a call.

    All that are about as fast as the baseline get its number: the mean of many calls and the mean
    of few have different medians where the noise is skewed, so two that are equally fast would
    not look so.
    """
    counts = {name: max(1, min(MOST_CALLS, round(BLOCK_S[device] / max(own, 1e-9)))) for name, own in call_s.items()}
    base_s = call_s.get(baseline)
    if base_s is None:
        return counts
    alike = (name for name, own in call_s.items() if base_s / 2 <= own <= base_s * 2)
    return counts | dict.fromkeys(alike, counts[baseline])
