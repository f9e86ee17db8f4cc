"""Which operators, allocations and kernels are in a profile of one call?

Read from torch.profiler's Chrome trace, which is its public form: the profiler's own events sum the memory of an
operator up, so a scratch block that is freed before the operator ends adds nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from convbench.device import find_device

CALL = "convbench: the call"  # the record_function around F.conv2d
CUDA_DEVICE_TYPE = 1  # c10::DeviceType
HOST_DEVICE_TYPE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBlock:
    """Memory that torch's allocator returned during the call.

    Attributes:
        operators: in which it was asked for, the outermost first.
        kept: whether the call had not freed it when it ended.
    """

    nbytes: int
    operators: tuple[str, ...] = ()
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTrace:
    """What happened between the beginning and the end of the call.

    Attributes:
        operators: names as aten::conv2d, each once, in the order in which they first began.
        blocks: memory of the device that the call is for, in the order in which it was allocated.
        peak_nbytes: the most that was held of it at once.
        kernels: names of kernels on the device, in the order in which they began.
    """

    operators: tuple[str, ...]
    blocks: tuple[MemoryBlock, ...]
    peak_nbytes: int
    kernels: tuple[str, ...] = ()


def read_trace(events: Iterable[Mapping[str, Any]], *, device: str = "cpu") -> CallTrace:
    """The call in the `traceEvents` of a Chrome trace.

    Raises:
        ValueError: the call is not in it, or its format is unknown.
    """
    try:
        timed = sorted((event for event in events if "ts" in event), key=lambda event: float(event["ts"]))
        call = next(event for event in timed if event.get("name") == CALL and event.get("cat") == "user_annotation")
        begin, end = float(call["ts"]), float(call["ts"]) + float(call["dur"])
        within = [event for event in timed if begin <= float(event["ts"]) <= end]
        kind = HOST_DEVICE_TYPE if find_device(device).on_host else CUDA_DEVICE_TYPE
        blocks, peak = _follow(within, kind)
        return CallTrace(
            operators=tuple(dict.fromkeys(str(event["name"]) for event in within if event.get("cat") == "cpu_op")),
            blocks=blocks,
            peak_nbytes=peak,
            # They run when the call is over, and nothing else was launched.
            kernels=tuple(str(event["name"]) for event in timed if event.get("cat") == "kernel"),
        )
    except (StopIteration, KeyError, TypeError) as error:
        raise ValueError(f"a trace without the call, or in an unknown format ({error!r})") from None


def _follow(events: Iterable[Mapping[str, Any]], device_type: int) -> tuple[tuple[MemoryBlock, ...], int]:
    """Blocks in the order of their allocation, and the most that was held at once.

    Memory that was allocated before the call does not count.
    """
    running: list[tuple[float, str]] = []  # operators that have begun and not ended: end, name
    given: list[tuple[int, tuple[str, ...]]] = []
    held: dict[object, int] = {}  # address -> number of the block
    now = peak = 0
    for event in events:
        when = float(event["ts"])
        while running and running[-1][0] < when:
            running.pop()
        if event.get("cat") == "cpu_op":
            running.append((when + float(event["dur"]), str(event["name"])))
        if event.get("name") != "[memory]" or event["args"].get("Device Type") != device_type:
            continue
        nbytes, address = int(event["args"]["Bytes"]), event["args"].get("Addr")
        if nbytes > 0:
            held[address] = len(given)
            given.append((nbytes, tuple(name for _, name in running)))
            now += nbytes
        elif address in held:
            now -= given[held.pop(address)][0]
        peak = max(peak, now)
    kept = set(held.values())
    blocks = (
        MemoryBlock(nbytes=nbytes, operators=where, kept=number in kept) for number, (nbytes, where) in enumerate(given)
    )
    return tuple(blocks), peak
