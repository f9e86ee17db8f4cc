"""How long does a call take, and how many of them make a block?"""

from collections.abc import Callable, Mapping
from typing import Any

from convbench.device import Device

MOST_CALLS = 10_000


def seconds_a_call(call: Callable[[], Any], device: Device) -> float:
    """The approximate time of a warm call; warms up by doubling until the calls fill half a block.

    The shortest of three blocks counts: one hiccup must not make blocks of a single call.
    """
    count = 1
    while True:
        call_s = min(device.time_block(call, count) for _ in range(3)) / count
        if call_s * count >= device.block_s / 2 or count >= MOST_CALLS:
            return call_s
        count *= 2


def block_counts(call_s: Mapping[str, float], baseline: str, block_s: float) -> dict[str, int]:
    """The number of calls in each candidate's block of about `block_s` seconds, from its seconds per call.

    All that are roughly as fast as the baseline get its number: the mean of many calls and the mean
    of few have different medians if the noise is skewed, so two that are equally fast would
    not look so.
    """
    counts = {name: max(1, min(MOST_CALLS, round(block_s / max(own, 1e-9)))) for name, own in call_s.items()}
    base_s = call_s.get(baseline)
    if base_s is None:
        return counts
    alike = (name for name, own in call_s.items() if base_s / 2 <= own <= base_s * 2)
    return counts | dict.fromkeys(alike, counts[baseline])
