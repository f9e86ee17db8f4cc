"""What does a call cost when its operands are in no cache, and when no launch gap is hidden?"""

import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from statistics import median
from typing import Any

import torch
from torch import Tensor

from convbench.bench.crews import cpu_ns, wait_for
from convbench.call.bind import ANY_FAULT, synchronize
from convbench.call.tensors import lay_out
from convbench.call.watch import Stage, Watch
from convbench.case import Case
from convbench.machine import cpu_caches, cpus_allowed, free_nbytes

Call = Callable[[], Any]
Fault = Callable[[str, BaseException], None]

ROUNDS = {"cpu": 5, "cuda": 11}
GRAPH_CALLS = 20
LAUNCH_BOUND_S = 5e-3  # a longer call hides its launch gaps, and a graph of it has nothing to tell


class Eviction:
    """Writes more than the last cache holds, so that what a call reads next comes from memory.

    The whole bill is cold: input, weights (prepared ones too) and output. On a GPU the writing
    also lets the host run ahead, so that the events enclose no launch gap (the blocking kernel
    of nvbench serves the same end); for that it is made long.
    """

    def __init__(self, device: str, memory_nbytes: int | None = None) -> None:
        self._device = device
        if device == "cuda":
            nbytes = max(4 * torch.cuda.get_device_properties(0).L2_cache_size, 2**28)
        else:
            nbytes = max(2 * cpu_caches(cpus_allowed())[-1][1], 2**24)
            room = free_nbytes(device) if memory_nbytes is None else memory_nbytes
            if room is not None and nbytes > room // 8:
                raise MemoryError("emptying the caches would take too much of the memory")
        self._room = torch.zeros(nbytes // 4, device=device)

    def time(self, call: Call) -> float:
        """Seconds of one cold call."""
        self._room.add_(1)  # all threads write, so that every core's own cache is emptied too
        if self._device == "cuda":
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            stop.record()
            torch.cuda.synchronize()
            return float(start.elapsed_time(stop)) * 1e-3
        wait_for(cpu_ns())  # nor do the threads that wrote take a core from those that the call wakes
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin


def cold_times(calls: Mapping[str, Call], device: str, watch: Watch, fault: Fault) -> dict[str, float]:
    """Median seconds of a cold call by name, taken in turns; empty where there is no memory to empty the caches."""
    watch.tell("", Stage.EVICTED)
    try:
        eviction = Eviction(device, watch.memory_nbytes)
    except (MemoryError, RuntimeError):
        return {}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS[device]):
        for name in list(seconds):
            watch.tell(name, Stage.TIMED)
            try:
                seconds[name].append(eviction.time(calls[name]))
            except ANY_FAULT as error:
                del seconds[name]
                fault(name, error)
    return {name: median(own) for name, own in seconds.items()}


def eager_times(call: Call, tell: Callable[[], None]) -> tuple[float, float]:
    """On a GPU: median seconds from the call to an idle device, and until the host is free again."""
    whole, host = [], []
    for _ in range(ROUNDS["cuda"]):
        tell()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        host.append(time.perf_counter() - begin)
        torch.cuda.synchronize()
        whole.append(time.perf_counter() - begin)
    return median(whole), median(host)


def graph_time(call: Call, tell: Callable[[], None]) -> float | None:
    """On a GPU: median seconds a call within a replayed CUDA graph; None where it cannot be captured.

    A capture that fails can leave torch's allocator and current stream as they were within it, so
    this comes last of all that is done for a case.
    """
    tell()
    before = torch.cuda.current_stream()
    try:
        graph = torch.cuda.CUDAGraph()
        side = torch.cuda.Stream()
        side.wait_stream(before)
        with torch.cuda.stream(side):  # what is planned or allocated at first must not fall into the capture
            for _ in range(3):
                call()
        before.wait_stream(side)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error"
            )  # torch only warns of a graph that holds nothing: its work is on another stream
            with torch.cuda.graph(graph):
                for _ in range(GRAPH_CALLS):
                    call()
        graph.replay()
        seconds = []
        for _ in range(ROUNDS["cuda"]):
            tell()
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            stop.record()
            torch.cuda.synchronize()
            seconds.append(float(start.elapsed_time(stop)) * 1e-3 / GRAPH_CALLS)
        return median(seconds)
    except ANY_FAULT:  # a call that synchronises or allocates on the host cannot be captured, and may say so in any way
        with suppress(RuntimeError):
            torch.cuda.synchronize()
        return None
    finally:
        torch.cuda.set_stream(before)


def conversion_time(first: Tensor, case: Case) -> float | None:
    """Seconds to bring the first operand from NCHW into NHWC and the output back: for neighbours that are NCHW.

    None for a layout that nobody would convert to.
    """
    if case.layout != "nhwc":
        return 0.0 if case.layout == "nchw" else None
    plain, out = first.contiguous(), lay_out(first.new_zeros(case.out_shape), case.layout)
    seconds = []
    for _ in range(ROUNDS[case.device]):
        synchronize(case.device)
        begin = time.perf_counter()
        lay_out(plain, case.layout)
        out.contiguous()
        synchronize(case.device)
        seconds.append(time.perf_counter() - begin)
    return median(seconds)
