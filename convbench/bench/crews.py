"""Which threads are still awake when the next backend's turn comes?

A library keeps its threads spinning for a while after a call, so the next call starts at
once; torch's OpenMP does so for milliseconds. That takes time from the next backend, if
it has its own threads and there are no more cores than threads. So the threads
that work for each backend are determined first, and a turn begins when the other threads sleep.

By then the backend's own threads sleep too. The first calls wake them, perhaps all on one core, until the system's
scheduler spreads them some milliseconds later. So if there are several pools, a turn warms up before its
time counts. `python scripts/alone.py --waking` shows that effect and how long it lasts (docs/verdicts.md).
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from convbench.device.host import cpu_ns, wait_for

# A turn warms up for LEAST_S, and while a window is faster by more than STEADY than the one before. Schedulers look
# for a better core at their ticks, of which the common kernels have one every 1 to 4 ms.
WINDOW_S, LEAST_S, LONGEST_S = 2.5e-3, 10e-3, 20e-3
STEADY = 0.05


class Crews:
    """The threads of this process that work for each backend, without the calling thread."""

    def __init__(self) -> None:
        self._crews: dict[str, frozenset[int]] = {}

    def learn(self, name: str, call: Callable[[], Any]) -> None:
        """Find the threads that work during some calls, once all others sleep."""
        wait_for(cpu_ns())
        before = cpu_ns()
        start = time.perf_counter()
        for _ in range(5):  # a pool may use a different thread for each short call
            call()
            if time.perf_counter() - start > 10e-3:
                break
        wait_for(cpu_ns())  # a thread's time is counted when it leaves its core
        self._crews[name] = frozenset(
            thread
            for thread, spent in cpu_ns().items()
            if spent > before.get(thread, 0) and thread != threading.get_native_id()
        )

    @property
    def several(self) -> bool:
        """Whether there is more than one thread pool; crews that share a thread are one pool."""
        pools: list[frozenset[int]] = []
        for crew in self._crews.values():
            shared = [pool for pool in pools if pool & crew]
            pools = [pool for pool in pools if not pool & crew] + ([crew.union(*shared)] if crew else [])
        return len(pools) > 1

    def begin_turn(self, name: str, call: Callable[[], Any]) -> None:
        """Wait for the other threads to sleep, and call until the backend's own are awake and its calls steady.

        With one pool there is no wait, and one call brings the operands back: a backend that waited would find the
        pool asleep, and be compared with one that did not.
        """
        if self.several:
            wait_for(frozenset().union(*self._crews.values()) - self._crews.get(name, frozenset()))
            settle(call)
        else:
            call()


def settle(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> None:
    """Call until the calls stop getting faster; the same rule for every backend, without regard to its history.

    A rule that knew how fast a backend has been would wait for its best moments, and select different ones for another.
    """
    begin, before_s = clock(), 0.0
    while True:
        start, calls = clock(), 0
        while calls == 0 or clock() - start < WINDOW_S:
            call()
            calls += 1
        now = clock()
        own_s = (now - start) / calls
        if now - begin >= (LEAST_S if own_s > before_s * (1 - STEADY) else LONGEST_S):
            return
        before_s = own_s
