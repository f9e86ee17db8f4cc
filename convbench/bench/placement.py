"""How far apart are this machine's CPUs, and do they stay where they are?

A hypervisor moves a virtual CPU from core to core without telling the guest. On two cores with a
common cache the threads of a call hand over in a quarter of the time that it takes between caches,
and as two threads of one core they share its units: one backend loses a tenth by the first and
another half by the second, so the winner of one hour is the loser of the next. What shows it is
the time in which two CPUs exchange a cache line.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from convbench.ceilings.cache import Cache, write_json
from convbench.machine import cpu_name, is_virtual

if TYPE_CHECKING:
    from convbench.jit.llvm import Loop

LOOK_EVERY_S = 0.1  # a look takes about a millisecond
SURVEY_LOOKS = 21  # if nothing is known yet
# Hand-over times of 23, 48 and 245 ns were seen on one machine (one core, one cache, two caches), each within a fifth.
SAME = 1.5
MOST_PAIRS = 8
EXCHANGES, TURNS = 200, 5  # the fastest of this many turns counts: a thread may be preempted
PATIENCE = 20_000_000  # loads of a line that does not change: some milliseconds
PLACES = 8  # that are remembered of a pair
MOST_LOOKS = 20_000  # then all counts are halved, so a permanent move is accepted eventually
VERSION = 1

Pair = tuple[int, int]


@dataclass(slots=True)
class Place:
    """A distance between two CPUs: seconds for a hand-over, and how often it was seen."""

    handover_s: float
    looks: int = 1


@dataclass(slots=True, kw_only=True)
class Placement:
    """The current distances of some pairs of CPUs, compared with their usual ones.

    Verdicts only apply to the usual distances. These are learned from run to run and stored
    with the ceilings, so a run in which the CPUs are elsewhere all the time does not count as usual.
    """

    pairs: tuple[Pair, ...]
    path: Path | None = None
    known: dict[Pair, list[Place]] = field(default_factory=dict)
    seen: list[float] = field(default_factory=list, init=False)
    _usual: dict[Pair, float] = field(default_factory=dict, init=False)
    _now: dict[Pair, float] = field(default_factory=dict, init=False)
    _next: int = field(default=0, init=False)
    _looked_s: float = field(default=0.0, init=False)

    @classmethod
    def of_machine(cls, threads: int) -> "Placement | None":
        """What is known of this machine; None with one thread, one CPU, no hypervisor or no LLVM."""
        if is_virtual() is False:  # a clock that sleeps between two looks would look like another place
            return None
        try:
            cpus = sorted(os.sched_getaffinity(0))
        except AttributeError:  # not Linux
            return None
        if min(threads, len(cpus)) < 2:
            return None
        try:
            exchange_loop()
        except (ImportError, OSError, RuntimeError):  # no LLVM, or none for this CPU: nothing is known of distances
            return None
        step = -(-(len(cpus) - 1) // MOST_PAIRS)
        pairs = tuple((cpus[0], cpu) for cpu in cpus[1::step])
        folder = Cache.of_user().folder
        name = hashlib.sha256(f"{cpu_name()} {cpus}".encode()).hexdigest()[:16]
        path = None if folder is None else folder / f"placement-{name}.json"
        return cls(pairs=pairs, path=path, known=_load(path))

    @property
    def moved(self) -> str:
        """Which pair is not in its usual place, or ""."""
        for pair, now_s in self._now.items():
            usual_s = self._usual[pair]
            if not same_place(now_s, usual_s):
                return f"CPUs {pair[0]} and {pair[1]} {1e9 * now_s:.0f} ns apart, mostly {1e9 * usual_s:.0f} ns"
        return ""

    def look(self, *, now: bool = False) -> None:
        """Measure the next pair, when it is time for that or `now`."""
        if not now and time.perf_counter() - self._looked_s < LOOK_EVERY_S:
            return
        if not self.pairs:
            return
        pair = self.pairs[self._next % len(self.pairs)]
        self._next += 1
        if pair not in self._usual:
            self._survey(pair)
        if pair in self._usual:
            self._take(pair)
        self._looked_s = time.perf_counter()

    def shares(self, pair: Pair) -> list[tuple[float, float]]:
        """Seconds for a hand-over and the share of all looks at which it was met, the most frequent first."""
        places = sorted(self.known.get(pair, []), key=lambda place: -place.looks)
        total = sum(place.looks for place in places)
        return [(place.handover_s, place.looks / total) for place in places]

    def keep(self) -> None:
        """Save what was learned, if possible."""
        if self.path is None:
            return
        places = {
            f"{one}-{other}": [[place.handover_s, place.looks] for place in places]
            for (one, other), places in self.known.items()
        }
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, {"version": VERSION, "places": places})

    def _survey(self, pair: Pair) -> None:
        """Find the usual distance of a pair; one that cannot be measured is not checked again."""
        if not self.known.get(pair):
            for _ in range(SURVEY_LOOKS):
                self._take(pair)
                time.sleep(LOOK_EVERY_S / 4)
        if self.known.get(pair):
            self._usual[pair] = max(self.known[pair], key=lambda place: place.looks).handover_s
        else:
            self.pairs = tuple(other for other in self.pairs if other != pair)

    def _take(self, pair: Pair) -> None:
        found_s = handover_s(*pair)
        if found_s is None:  # one of the two got no time: other checks report that disturbance
            return
        if pair in self._usual:
            self._now[pair] = found_s
            self.seen.append(found_s)
        places = self.known.setdefault(pair, [])
        for place in places:
            if same_place(found_s, place.handover_s):
                place.looks += 1
                place.handover_s += (found_s - place.handover_s) / min(place.looks, 100)
                break
        else:
            places.append(Place(found_s))
        if sum(place.looks for place in places) > MOST_LOOKS:
            places[:] = [Place(place.handover_s, place.looks // 2) for place in places if place.looks > 1]
        if len(places) > PLACES:
            places.remove(min(places, key=lambda place: place.looks))


def handover_s(one: int, other: int) -> float | None:
    """Seconds in which two CPUs exchange a cache line, each its own for the other's; None if one got no time."""
    import torch

    loop = exchange_loop()
    room = torch.zeros(64, dtype=torch.int64)  # two lines of 128 bytes, so no prefetcher brings both
    mine, theirs = room.data_ptr(), room.data_ptr() + 256
    turns: list[float] = []

    def lead() -> None:
        with suppress(OSError):  # the CPU was taken from us
            os.sched_setaffinity(0, {one})
        for turn in range(TURNS):
            begin = time.perf_counter()
            loop(mine, theirs, theirs, turn * EXCHANGES, EXCHANGES)
            turns.append(time.perf_counter() - begin)

    def follow() -> None:
        with suppress(OSError):
            os.sched_setaffinity(0, {other})
        loop(theirs, mine, mine, 0, TURNS * EXCHANGES)

    threads = [Thread(target=work, daemon=True) for work in (follow, lead)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = int(room[0]) == int(room[32]) == TURNS * EXCHANGES
    return min(turns) / EXCHANGES if whole else None


def same_place(one_s: float, other_s: float) -> bool:
    """Whether two hand-over times are of one place."""
    return max(one_s, other_s) <= SAME * min(one_s, other_s)


def _load(path: Path | None) -> dict[Pair, list[Place]]:
    """The saved distances; a damaged file, or one of another version, counts as none."""
    known: dict[Pair, list[Place]] = {}
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        data = json.loads(path.read_text(encoding="utf-8")) if path else {}
        if data.get("version") == VERSION:
            for name, places in data["places"].items():
                one, other = name.split("-")
                known[int(one), int(other)] = [Place(float(seconds), int(looks)) for seconds, looks in places]
    return known


@cache
def exchange_loop() -> "Loop":
    """`loop(mine, theirs, theirs, first, count)` writes first + 1, ... and each time waits until the other did."""
    from convbench.jit.llvm import compile_loop

    return compile_loop(f"""
define void @loop(ptr %mine, ptr %theirs, ptr %unused, i64 %first, i64 %count) {{
start:
  %end = add i64 %first, %count
  br label %next
next:
  %i = phi i64 [%first, %start], [%i1, %step]
  %i1 = add i64 %i, 1
  store atomic i64 %i1, ptr %mine release, align 8
  br label %wait
wait:
  %looks = phi i64 [0, %next], [%looks1, %again]
  %seen = load atomic i64, ptr %theirs acquire, align 8
  %there = icmp sge i64 %seen, %i1
  br i1 %there, label %step, label %again
step:
  %more = icmp slt i64 %i1, %end
  br i1 %more, label %next, label %stop
again:
  %looks1 = add i64 %looks, 1
  %late = icmp sgt i64 %looks1, {PATIENCE}
  br i1 %late, label %stop, label %wait
stop:
  ret void
}}
""")
