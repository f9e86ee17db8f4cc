"""What else did the machine do while a block was timed?"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, Self

from convbench.bench.placement import LOOK_EVERY_S, Placement
from convbench.device import Device
from convbench.errors import one_line
from convbench.outcome import Noise

# A block is disturbed when its threads waited for a core for more than this share of it.
DELAYED = 0.01
MOST_STAT_NBYTES = 2**17  # of /proc/stat: the lines of a thousand CPUs
NVML_EVERY_S = 0.05  # a look takes the driver a millisecond or more, and it averages over longer than that
TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01  # Windows counts no ticks that we read
# nvmlClocksEventReason*: what throttles a GPU. A power cap is not among
# them: large products run into it by themselves, and would never give a clean sample.
_SLOWED = {0x8: "hardware slowdown", 0x20: "thermal limit", 0x40: "thermal limit", 0x80: "power brake"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReading:
    """Counters at one moment; unknown ones stay 0.

    Attributes:
        waited_s: by thread of this process, how long it was ready and had no core.
        switches: how often they were preempted.
        steal_s: how long the hypervisor kept those virtual CPUs from running that we may use.
    """

    waited_s: Mapping[str, float]
    switches: int
    steal_s: float


class Meter:
    """Reads, block by block, what disturbs this process: a few small files, outside the timed window.

    Time ready without a core is what foreign load costs, thread by thread and to the
    nanosecond: proc(5), /proc/PID/task/TID/schedstat. Where the kernel keeps no such count, an
    involuntary switch of any thread counts. Steal is counted in ticks of 10 ms, so it marks the
    block in which the tick fell. With `threads` it also checks whether the CPUs stay in their place;
    `tell` is called whenever that takes time.
    """

    def __init__(self, device: Device | None = None, threads: int = 1, tell: Callable[[], None] = lambda: None) -> None:
        self._tell = tell
        self._stat = _open("/proc/stat")
        self._cpus = _allowed_cpus()
        self._tasks: dict[str, int] = {}
        self._kept = _read("/proc/self/schedstat").split()[:1] not in ([], ["0"])  # a kernel may count nothing
        self._gpu = None if device is None or device.on_host else Gpu.open(device)
        self._placement = Placement.of_machine(threads) if device is None or device.on_host else None
        if self._placement:
            for _ in self._placement.pairs:
                tell()
                self._placement.look(now=True)  # here, for no contest's time is running
        self._throttle, self._ask_again = "", 0.0
        self._seen: list[GpuState] = []
        self.refresh()
        self._cpu_at_start = (*self._cpu_ticks(), time.process_time())
        self._first = self.read()

    def refresh(self) -> None:
        """Once per round: find new and ended threads, and check the GPU and the places of the CPUs."""
        with suppress(OSError):
            found = os.listdir("/proc/self/task") if self._kept else []
            for task in set(found) - self._tasks.keys():
                if (opened := _open(f"/proc/self/task/{task}/schedstat")) is not None:
                    self._tasks[task] = opened
        if self._gpu and time.perf_counter() >= self._ask_again:
            self._ask_again = time.perf_counter() + NVML_EVERY_S
            state = self._gpu.state()
            self._throttle = state.throttle
            self._seen.append(state)
        if self._placement:
            self._placement.look()

    @property
    def moved(self) -> bool:
        """Whether the CPUs are not in their usual place."""
        return bool(self._placement and self._placement.moved)

    def wait(self, most_s: float) -> float:
        """Sleep until the CPUs are back, and say for how many seconds."""
        begin, seen = time.perf_counter(), list(self._placement.seen) if self._placement else []
        while self.moved and time.perf_counter() - begin < most_s:
            self._tell()
            time.sleep(LOOK_EVERY_S)
            self.refresh()
        if self._placement:  # time in which nothing was timed is not reported
            self._placement.seen[:] = seen
        return time.perf_counter() - begin

    def read(self) -> NoiseReading:
        waited_s = {}
        for task, opened in list(self._tasks.items()):
            try:
                waited_s[task] = int(os.pread(opened, 64, 0).split()[1]) * 1e-9
            except (OSError, IndexError):  # the thread has ended
                os.close(self._tasks.pop(task))
        return NoiseReading(
            waited_s=waited_s,
            switches=_switches(),
            steal_s=self._cpu_ticks()[1] * TICK_S,
        )

    def dirt(self, before: NoiseReading, after: NoiseReading, seconds: float) -> str:
        """What disturbed the `seconds` between two readings, in words; "" when nothing did."""
        if self._throttle:
            return self._throttle
        if self.moved:
            return "CPUs moved"
        if after.steal_s - before.steal_s > DELAYED * seconds * len(self._cpus):
            return "steal"
        if self._tasks:
            # The longest wait of one: of many threads each waits a little whenever it is woken.
            waited_s = max((now - before.waited_s.get(task, 0.0) for task, now in after.waited_s.items()), default=0.0)
            return "foreign load" if waited_s > DELAYED * seconds else ""
        return "preempted" if after.switches > before.switches else ""

    def lost(self, before: NoiseReading, after: NoiseReading, seconds: float) -> float:
        """The share of the `seconds` between two readings that disturbances cost, as far as they are counted.

        At most: all waits of all threads, and all steal, as if each had held up the whole. What a late thread costs
        the others is its own wait, however long they spin for it. Infinity if nothing is counted.
        """
        if self._throttle or self.moved or not self._tasks:
            return inf
        waited_s = sum(now - before.waited_s.get(task, 0.0) for task, now in after.waited_s.items())
        return (waited_s + max(0.0, after.steal_s - before.steal_s)) / seconds  # after a migration it may fall

    def noise(self) -> Noise:
        """What there was since this meter began."""
        total, steal, idle = self._cpu_ticks()
        total_0, steal_0, idle_0, own_0 = self._cpu_at_start
        spent_s = max((total - total_0) * TICK_S, 1e-9)
        own_s = time.process_time() - own_0
        busy_s = (total - total_0 - (steal - steal_0) - (idle - idle_0)) * TICK_S
        known = total > total_0
        clocks = [state.clock_hz for state in self._seen if state.clock_hz is not None]
        return Noise(
            steal=(steal - steal_0) * TICK_S / spent_s if known else None,
            foreign=max(0.0, busy_s - own_s) / spent_s if known else None,
            switches=self.read().switches - self._first.switches,
            clock_hz=(median(clocks) if clocks else None) if self._gpu else cpu_clock_hz(),
            power_w=max((state.power_w for state in self._seen if state.power_w is not None), default=None),
            temperature_c=max(
                (state.temperature_c for state in self._seen if state.temperature_c is not None), default=None
            ),
            throttle="; ".join(dict.fromkeys(state.throttle for state in self._seen if state.throttle)),
            handover_s=median(self._placement.seen) if self._placement and self._placement.seen else None,
            contended=max((state.others for state in self._seen if state.others is not None), default=None),
        )

    def _cpu_ticks(self) -> tuple[int, int, int]:
        """All ticks of the CPUs that we may use, those stolen, and those idle: proc(5), /proc/stat."""
        total = stolen = unused = 0
        for line in () if self._stat is None else os.pread(self._stat, MOST_STAT_NBYTES, 0).split(b"\n")[1:]:
            name, *ticks = line.split()[:9]
            if not name.startswith(b"cpu"):
                break  # the interrupts follow
            if name in self._cpus:
                user, nice, system, idle, iowait, irq, softirq, steal = map(int, ticks)
                total += user + nice + system + idle + iowait + irq + softirq + steal
                stolen, unused = stolen + steal, unused + idle + iowait
        return total, stolen, unused

    def close(self) -> None:
        for opened in (*self._tasks.values(), *([] if self._stat is None else [self._stat])):
            os.close(opened)
        self._tasks.clear()
        self._stat = None
        if self._placement:
            self._placement.keep()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """One reading of a GPU; None for unknown values.

    Attributes:
        others: how many processes besides our own compute on it.
    """

    clock_hz: float | None
    power_w: float | None
    temperature_c: float | None
    throttle: str
    others: int | None


class Gpu:
    """A GPU, seen through NVML."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    @classmethod
    def open(cls, device: Device) -> "Gpu | None":
        """None if NVML or the device cannot be reached."""
        try:
            import pynvml

            pynvml.nvmlInit()
            # torch counts only what CUDA_VISIBLE_DEVICES shows, NVML counts all: the bus address is common.
            facts: Any = device.properties()
            address = f"{facts.pci_domain_id:08x}:{facts.pci_bus_id:02x}:{facts.pci_device_id:02x}.0"
            return cls(pynvml, pynvml.nvmlDeviceGetHandleByPciBusId(address.encode()))
        except Exception:  # no module, no driver, no right to ask: the sweep goes on without
            return None

    def state(self) -> GpuState:
        """How it is now."""
        nvml, handle = self._nvml, self._handle

        def ask(question: Callable[..., float], *words: Any) -> float | None:
            try:
                return question(handle, *words)
            except nvml.NVMLError:  # a slice of a GPU, or a virtual one, does not know everything
                return None

        mhz = ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM)
        milliwatts = ask(nvml.nvmlDeviceGetPowerUsage)
        reasons = int(ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons) or 0)
        return GpuState(
            clock_hz=None if mhz is None else mhz * 1e6,
            power_w=None if milliwatts is None else milliwatts * 1e-3,
            temperature_c=ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            throttle="; ".join(dict.fromkeys(words for bit, words in _SLOWED.items() if reasons & bit)),
            others=None if (others := self.others(using=True)) is None else len(others),
        )

    def others(self, *, using: bool) -> list[int] | None:
        """Process ids of other programs that compute on it; None if NVML does not say.

        In a container NVML may give the ids that processes have outside. If this process is `using` the GPU, and is
        not among them, it is one of those that look foreign.
        """
        try:
            found = [one.pid for one in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)]
        except self._nvml.NVMLError:
            return None
        strangers = [pid for pid in found if not _is_ours(pid)]
        return strangers[1:] if using and len(strangers) == len(found) else strangers


def _is_ours(pid: int) -> bool:
    """Whether a process is our parent, or was started with us: a worker leads a group of its own."""
    try:
        return pid == os.getppid() or os.getpgid(pid) == os.getpgid(0)
    except OSError:  # none here has this id
        return False


def nvml_lacks() -> str:
    """Why NVML reports nothing about the GPUs here, or ""."""
    import torch

    if torch.version.hip:
        return f"NVML does not support GPUs with ROCm {torch.version.hip}"
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # no module, no driver, no right to ask
        return f"NVML does not work ({one_line(str(error) or type(error).__name__)})"
    return ""


# Above these shares of all CPU time a sweep loses samples that it could use.
FOREIGN, STEAL = 0.05, 0.01


def noise_now(seconds: float = 0.3) -> Noise:
    """How noisy the machine is while this process sleeps."""
    with Meter() as meter:
        time.sleep(seconds)
        return meter.noise()


def disturbance_now(device: Device | None, threads: int, seconds: float) -> str:
    """What would disturb a sweep now, by the criteria that set samples aside, or ""."""
    with Meter(device, threads) as meter:
        time.sleep(seconds)
        meter.refresh()
        noise, moved = meter.noise(), meter.moved
    found = [
        f"{100 * share:.0f} % {what}"
        for share, most, what in ((noise.foreign, FOREIGN, "other load"), (noise.steal, STEAL, "steal"))
        if share is not None and share > most
    ]
    return ", ".join([*found, *(["CPUs moved by the hypervisor"] if moved else []), *filter(None, [noise.throttle])])


def cpu_clock_hz() -> float | None:
    """The current clock of the fastest core; None if unknown."""
    speeds = []
    for file in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):
        with suppress(OSError, ValueError):
            speeds.append(int(file.read_text()) * 1e3)
    return max(speeds, default=None)


def _allowed_cpus() -> set[bytes]:
    """Their names in /proc/stat."""
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        cpus = set(range(os.cpu_count() or 1))
    return {b"cpu%d" % cpu for cpu in cpus}


def _switches() -> int:
    """How often this process was preempted; 0 if the system does not count it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None
