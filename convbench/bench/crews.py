"""Whose threads are still awake when the next backend's turn comes?

A library keeps its threads spinning for a while after a call, so that the next call starts at
once; torch's OpenMP does so for milliseconds. That time is taken from whoever is timed next, if
that one has threads of its own and there are no more cores than threads. So the threads
that work for each backend are learned, and a turn begins when those of the others sleep.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TASKS = Path("/proc/self/task")  # of Linux; elsewhere nothing is learned, and nobody waits
PATIENCE_S = 50e-3
LOOK_S = 2e-4


class Crews:
    """The threads of this process that work for each backend, the calling thread left out."""

    def __init__(self) -> None:
        self._crews: dict[str, frozenset[int]] = {}

    def learn(self, name: str, call: Callable[[], Any]) -> None:
        """See who works during some calls, once everybody else has gone to sleep."""
        wait_for(cpu_ns())
        before = cpu_ns()
        start = time.perf_counter()
        for _ in range(5):  # a pool may give a short call to another of its threads each time
            call()
            if time.perf_counter() - start > 10e-3:
                break
        wait_for(cpu_ns())  # what a thread has run is counted when it leaves its core
        self._crews[name] = frozenset(
            thread
            for thread, spent in cpu_ns().items()
            if spent > before.get(thread, 0) and thread != threading.get_native_id()
        )

    @property
    def several(self) -> bool:
        """Whether there is more than one pool of threads; crews with a thread in common are one."""
        pools: list[frozenset[int]] = []
        for crew in self._crews.values():
            shared = [pool for pool in pools if pool & crew]
            pools = [pool for pool in pools if not pool & crew] + ([crew.union(*shared)] if crew else [])
        return len(pools) > 1

    def make_way(self, name: str) -> None:
        """Wait for the others' threads to sleep; its own then need a call that nobody times to wake.

        With one pool nobody waits: whoever did would find it asleep, and be compared with who did not.
        """
        if self.several:
            wait_for(frozenset().union(*self._crews.values()) - self._crews.get(name, frozenset()))


def cpu_ns() -> dict[int, int]:
    """Nanoseconds that each thread of this process has run."""
    spent = {}
    for task in TASKS.glob("*"):
        text = read(task / "schedstat")
        if text:
            spent[int(task.name)] = int(text.split()[0])
    return spent


def wait_for(threads: Iterable[int]) -> None:
    """Until none of these threads runs, the calling one left out; not longer than PATIENCE_S."""
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
