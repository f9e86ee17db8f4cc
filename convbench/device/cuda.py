"""A GPU that torch calls cuda."""

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

from convbench.device.base import Call, Device
from convbench.system import output_of

GRAPH_CALLS = 20


@dataclass(frozen=True, slots=True)
class Cuda(Device):
    """Calls are queued on its current stream."""

    kind: ClassVar[str] = "cuda"
    numbered: ClassVar[bool] = True
    on_host: ClassVar[bool] = False
    tensor_cores: ClassVar[bool] = True
    macs_per_s: ClassVar[float] = 1e11
    oracle_speed: ClassVar[float] = 30.0
    start_s: ClassVar[float] = 6.0
    hang_s: ClassVar[float] = 30.0  # its time is dear
    block_s: ClassVar[float] = 2e-3  # events and a synchronisation cost more than a clock
    cold_rounds: ClassVar[int] = 11
    allocation_nbytes: ClassVar[int] = 512  # c10's CUDACachingAllocator, kMinBlockSize
    profiled_as: ClassVar[str] = "CUDA"
    timing: ClassVar[str] = "graph"  # what the host takes for a launch is no property of a kernel
    cache: ClassVar[str] = "cold"

    @property
    def torch_name(self) -> str:
        return f"cuda:{self.number}"  # torch takes plain cuda for whichever is current

    def why_absent(self) -> str | None:
        import torch

        if not torch.cuda.is_available():
            built = "" if torch.version.cuda else ", and was built without CUDA"
            return f"torch {torch.__version__} sees no CUDA device{built}"
        if self.number >= (count := torch.cuda.device_count()):
            return f"torch {torch.__version__} sees {count} CUDA device{'s' if count > 1 else ''}, counted from 0"
        return None

    def lacks(self) -> str:
        return "" if driver_version() else "no NVIDIA driver on this machine"

    def facts(self) -> dict[str, str]:
        import torch

        rocm = torch.version.hip  # such a build calls its devices cuda, and MIOpen cuDNN
        cudnn = torch.backends.cudnn.version()
        return {
            "gpu": torch.cuda.get_device_name(self.number),
            "driver": driver_version(),
            "cuda": f"ROCm {rocm}" if rocm else str(torch.version.cuda or ""),
            "cudnn": f"MIOpen {cudnn}" if rocm else str(cudnn or ""),
        }

    def free_nbytes(self) -> int | None:
        import torch

        free, _ = torch.cuda.mem_get_info(self.number)
        return int(free) + torch.cuda.memory_reserved(self.number) - torch.cuda.memory_allocated(self.number)

    def synchronize(self) -> None:
        import torch

        torch.cuda.synchronize(self.number)

    @contextmanager
    def selected(self) -> Iterator[None]:
        import torch

        with torch.cuda.device(self.number):
            yield

    def time_calls(self, calls: Sequence[Call], *, first: Call | None = None) -> tuple[float, Any]:
        """By events on the current stream, gaps between launches included.

        What `first` queues lets the host run ahead, as nvbench's blocking kernel does: then the events enclose no gap
        before the first launch. Work on another stream escapes the events, and then the time until the whole
        device is idle counts.
        """
        queued, start, stop = self._event(), self._event(), self._event()
        self.synchronize()
        begin = time.perf_counter()
        if first is not None:
            queued.record()
            first()
        start.record()
        for call in calls:
            out = None  # drop the previous output: its memory is free for the next
            out = call()
        stop.record()
        self.synchronize()
        until_idle_s = time.perf_counter() - begin
        if first is not None:
            until_idle_s -= float(queued.elapsed_time(start)) * 1e-3
        by_events_s = float(start.elapsed_time(stop)) * 1e-3
        return (by_events_s if until_idle_s < 2 * by_events_s + 1e-4 else until_idle_s), out

    def cache_nbytes(self) -> int:
        return int(self.properties().L2_cache_size)

    def cold_nbytes(self, free_nbytes: int | None) -> int:  # noqa: ARG002  # of the host's memory
        """More than the L2 cache holds, and long enough for the host to run ahead meanwhile."""
        return max(4 * self.cache_nbytes(), 2**28)

    def eager_times(self, call: Call, tell: Call) -> tuple[float, float]:
        whole, host = [], []
        for _ in range(self.cold_rounds):
            tell()
            self.synchronize()
            begin = time.perf_counter()
            call()
            host.append(time.perf_counter() - begin)
            self.synchronize()
            whole.append(time.perf_counter() - begin)
        return median(whole), median(host)

    def graph_time(self, call: Call, tell: Call) -> float | None:
        """By a CUDA graph of GRAPH_CALLS calls; None if the call cannot be captured."""
        tell()
        try:
            replay = self.capture([call] * GRAPH_CALLS)
            replay()
            seconds = []
            for _ in range(self.cold_rounds):
                tell()
                seconds.append(self.time_calls([replay])[0] / GRAPH_CALLS)
            return median(seconds)
        except (Exception, SystemExit):  # a call that synchronises, or allocates on the host, may say so in any way
            return None

    def watch_peak(self) -> Callable[[], int | None]:
        import torch

        self.synchronize()
        torch.cuda.reset_peak_memory_stats(self.number)
        before = torch.cuda.memory_allocated(self.number)
        return lambda: torch.cuda.max_memory_allocated(self.number) - before

    def properties(self) -> Any:
        import torch

        return torch.cuda.get_device_properties(self.number)

    def capture(self, calls: Sequence[Call], *, kept: int = 1) -> Callable[[], list[Any]]:
        import torch

        graph = torch.cuda.CUDAGraph()
        before, side = torch.cuda.current_stream(self.number), torch.cuda.Stream(self.number)
        outs: deque[Any] = deque(maxlen=kept)
        try:
            side.wait_stream(before)
            with torch.cuda.stream(side):  # what is planned or allocated at first must not fall into the capture
                for call in (list(calls[:3]) * 3)[:3]:
                    call()
            before.wait_stream(side)
            with warnings.catch_warnings():
                # torch only warns of a graph that holds nothing: its work is on another stream.
                warnings.filterwarnings("error", message="The CUDA Graph is empty")
                with torch.cuda.graph(graph, stream=side):  # its own would be of the first GPU that captured
                    for call in calls:
                        outs.append(call())
        except BaseException:
            self._leave_capture(graph, before)
            raise

        def replay() -> list[Any]:
            graph.replay()
            return list(outs)

        return replay

    def _leave_capture(self, graph: Any, stream: Any) -> None:
        """A capture that fails leaves torch's allocator and current stream as they were within it."""
        import torch

        with suppress(Exception):
            self.synchronize()
        torch.cuda.set_stream(stream)
        with suppress(Exception):  # it had not begun
            torch._C._cuda_endAllocateToPool(self.number, graph.pool())  # noqa: SLF001  # it has no public name

    def release(self) -> None:
        import torch

        torch.cuda.empty_cache()

    def _event(self) -> Any:
        import torch

        return torch.cuda.Event(enable_timing=True)


@cache
def driver_version() -> str:
    """The NVIDIA driver's version, empty where it cannot be told."""
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").partition("\n")[0]
