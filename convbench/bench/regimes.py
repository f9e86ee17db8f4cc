"""What does a call cost with cold operands, with new memory for its output, or with its input in another layout?"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from convbench.bench.heap import heap_released
from convbench.call.bind import ANY_FAULT
from convbench.call.tensors import lay_out
from convbench.call.watch import BackendStage, Watch
from convbench.case import Case
from convbench.device import Device

Call = Callable[[], Any]
Fault = Callable[[str, BaseException], None]

LAUNCH_BOUND_S = 5e-3  # a longer call hides its launch gaps, so a graph of it shows nothing new


class Eviction:
    """Writes and reads more than the last cache holds, so what a call reads next comes from memory.

    Everything is cold: input, weights (prepared ones too) and output. What was written is not read again and the
    other half is read last: else lines that wait to be written back would leave the cache while a call is timed.
    """

    def __init__(self, device: Device, memory_nbytes: int | None = None) -> None:
        """Take the memory for it.

        Raises:
            MemoryError, RuntimeError: there is too little.
        """
        count = device.cold_nbytes(memory_nbytes) // 8
        self._written, self._read = (torch.zeros(count, device=device.torch_name) for _ in range(2))

    def __call__(self) -> None:
        self._written.add_(1)
        self._read.sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A call that cannot reuse memory of the call before: its seconds, and how many resident bytes it adds."""

    seconds: float
    peak_nbytes: int | None


def cold_times(
    takes: Mapping[str, Callable[[Call], float]], device: Device, watch: Watch, fault: Fault
) -> dict[str, float]:
    """Median seconds of a cold call by name, taken in turns; empty if there is no memory to empty the caches.

    Each of `takes` empties the caches with its argument and times one call; it raises if that call did
    not do its work.
    """
    watch.tell("", BackendStage.EVICTED)
    try:
        eviction = Eviction(device, watch.memory_nbytes)
    except (MemoryError, RuntimeError):
        return {}
    seconds: dict[str, list[float]] = {name: [] for name in takes}
    for _ in range(device.cold_rounds):
        for name in list(seconds):
            watch.tell(name, BackendStage.TIMED)
            try:
                seconds[name].append(takes[name](eviction))
            except ANY_FAULT as error:
                del seconds[name]
                fault(name, error)
    return {name: median(own) for name, own in seconds.items()}


def mapped_times(
    turns: Mapping[str, Callable[[], float]], calls: Mapping[str, Call], device: Device, watch: Watch, fault: Fault
) -> dict[str, Mapped]:
    """Seconds of a warm call that cannot reuse memory of the call before, by name, taken in turns.

    Empty where no memory is kept in the first place.

    Args:
        turns: each gives the seconds of a call.
        calls: each makes one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    peaks: dict[str, list[int]] = {name: [] for name in turns}
    with heap_released() as released:
        for name in list(turns) * (device.cold_rounds if released and device.on_host else 0):
            if name in seconds:
                watch.tell(name, BackendStage.TIMED)
                try:
                    seconds[name].append(turns[name]())
                    peak = device.watch_peak()
                    calls[name]()
                    peaks[name] += [] if (nbytes := peak()) is None else [nbytes]
                except ANY_FAULT as error:
                    del seconds[name]
                    fault(name, error)
    return {
        name: Mapped(seconds=median(own), peak_nbytes=round(median(peaks[name])) if peaks[name] else None)
        for name, own in seconds.items()
        if own
    }


def conversion_time(first: Tensor, case: Case) -> float | None:
    """Seconds to bring the first operand from NCHW into NHWC and the output back: for neighbours that are NCHW.

    None for a layout that is never converted to.
    """
    if case.layout != "nhwc":
        return 0.0 if case.layout == "nchw" else None
    device = case.target
    plain, out = first.contiguous(), lay_out(first.new_zeros(case.out_shape), case.layout)
    seconds = []
    for _ in range(device.cold_rounds):
        device.synchronize()
        begin = time.perf_counter()
        lay_out(plain, case.layout)
        out.contiguous()
        device.synchronize()
        seconds.append(time.perf_counter() - begin)
    return median(seconds)
