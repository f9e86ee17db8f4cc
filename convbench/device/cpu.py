"""The CPU that this process runs on."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from convbench.device.base import Call, Device
from convbench.device.host import cpu_caches, cpu_ns, cpus_allowed, wait_for


@dataclass(frozen=True, slots=True)
class Cpu(Device):
    """All cores of the host, by torch's threads."""

    kind: ClassVar[str] = "cpu"
    on_host: ClassVar[bool] = True
    tensor_cores: ClassVar[bool] = False
    macs_per_s: ClassVar[float] = 1e9  # a depthwise layer is among the slow ones
    block_s: ClassVar[float] = 5e-4
    cold_rounds: ClassVar[int] = 5
    profiled_as: ClassVar[str] = "CPU"

    def why_absent(self) -> str | None:
        return None

    def facts(self) -> dict[str, str]:
        return {}

    def free_nbytes(self) -> int | None:
        limits = [nbytes for nbytes in (_available_nbytes(), _cgroup_nbytes()) if nbytes is not None]
        return min(limits, default=None)

    def synchronize(self) -> None:
        """A call is done when it returns."""

    def time_calls(self, calls: Sequence[Call], *, first: Call | None = None) -> tuple[float, Any]:
        if first is not None:
            first()  # all threads take part, so every core's own cache is emptied too
            wait_for(cpu_ns())  # nor do they take a core from those that the calls wake
        begin = time.perf_counter()
        for call in calls:
            out = None  # drop the previous output: its memory is free for the next
            out = call()
        elapsed_s = time.perf_counter() - begin
        if elapsed_s <= 0:  # it would spoil the ratios of all backends
            raise RuntimeError("the clock did not run while it was called")
        return elapsed_s, out

    def cache_nbytes(self) -> int:
        return cpu_caches(cpus_allowed())[-1][1]

    def cold_nbytes(self, free_nbytes: int | None) -> int:
        nbytes = max(2 * self.cache_nbytes(), 2**24)
        room = self.free_nbytes() if free_nbytes is None else free_nbytes
        if room is not None and nbytes > room // 8:
            raise MemoryError("emptying the caches would need too much memory")
        return nbytes

    def watch_peak(self) -> Callable[[], int | None]:
        """How much the resident memory of the process rises, with any allocator; memory it already has does not count.

        Linux counts pages for each thread and adds them up in batches, so some hundred KiB do not show either.
        """
        try:
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak is what is resident now
            before = _status_nbytes("VmRSS")
        except (OSError, KeyError):
            return lambda: None
        return lambda: max(0, _status_nbytes("VmHWM") - before)


def _available_nbytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _cgroup_nbytes() -> int | None:
    """What a container's own limit leaves, which /proc/meminfo knows nothing of."""
    folder = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        if limit == "max":
            return None
        kinds = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        # Cached file pages count as used, but are released on demand.
        cached = int(kinds.get("inactive_file", 0)) + int(kinds.get("active_file", 0))
        return int(limit) - int(used) + cached
    return None


def _status_nbytes(name: str) -> int:
    lines = (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int({key: value for key, _, value in lines}[name].split()[0]) * 1024
