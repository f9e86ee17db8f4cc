"""The host's cores: how many, their caches, and which threads of this process run on them."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

TASKS = Path("/proc/self/task")  # of Linux; elsewhere no threads are visible, so there is no wait
PATIENCE_S = 50e-3
LOOK_S = 2e-4


def cpus_allowed() -> int:
    """CPUs that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def cpu_caches(threads: int) -> list[tuple[str, int]]:
    """Name and bytes of each level of data cache, all that `threads` threads can reach together, nearest first.

    Where the system does not say, 32 KiB and 512 KiB for each thread and 8 MiB for all.
    """
    sizes: dict[str, dict[str, int]] = {}
    try:
        allowed = sorted(os.sched_getaffinity(0))
        for cpu in allowed:
            for folder in sorted(Path(f"/sys/devices/system/cpu/cpu{cpu}/cache").glob("index*")):
                level, kind, size, shared = (
                    (folder / name).read_text().strip() for name in ("level", "type", "size", "shared_cpu_list")
                )
                if kind != "Instruction":
                    scale = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(size[-1:], 1)
                    sizes.setdefault(f"L{level}", {})[shared] = int(size.rstrip("KMG")) * scale
    except (AttributeError, OSError, ValueError):
        sizes = {}
    if not sizes:
        return [("L1", threads << 15), ("L2", threads << 19), ("L3", 8 << 20)]
    return [(level, sum(sorted(each.values(), reverse=True)[:threads])) for level, each in sorted(sizes.items())]


def cpu_ns() -> dict[int, int]:
    """Nanoseconds that each thread of this process has run."""
    spent = {}
    for task in TASKS.glob("*"):
        text = read(task / "schedstat")
        if text:
            spent[int(task.name)] = int(text.split()[0])
    return spent


def wait_for(threads: Iterable[int]) -> None:
    """Wait until none of these threads runs, except the calling one, for at most PATIENCE_S."""
    rest = set(threads) - {threading.get_native_id()}
    end = time.perf_counter() + PATIENCE_S
    while any(running(thread) for thread in rest) and time.perf_counter() < end:
        time.sleep(LOOK_S)


def running(thread: int) -> bool:
    """Whether it runs or would, if it got a core. A thread that has ended does not."""
    return read(TASKS / str(thread) / "stat").rpartition(")")[2].split()[:1] == ["R"]


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
