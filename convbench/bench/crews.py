"""Whose threads are still awake when the next backend's turn comes?

A library keeps its threads spinning for a while after a call, so that the next call starts at
once; torch's OpenMP does so for milliseconds. That time is taken from whoever is timed next, if
that one has threads of its own and there are no more cores than threads. So the threads
that work for each backend are learned, and a turn begins when those of the others sleep.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from convbench.device.host import cpu_ns, wait_for


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
