"""What the two sides of an isolated sweep tell each other: the job, whose turn it is, who fell."""

import mmap
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from convbench.call.watch import Stage
from convbench.case import Case
from convbench.outcome import Failed, Outcome, Result

START, KILL = b"s", b"k"
STATUS = struct.Struct("=qq")  # pid, wait status
BEGUN = -1  # in the place of a wait status
MOST_PROCESSES = 512  # below a worker; compilers take one for each core
DYING_S = 10.0  # a process that SIGKILL does not end by then hangs in a driver

STAGES = list(Stage)  # the first one stands in memory that is still zero

Sweep = Callable[..., Iterator[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is to do; `felled` are the backends that the first of its cases is run without.

    `faults` are the traits of the wrong answers that earlier workers have met.
    """

    sweep: Sweep
    cases: tuple[Case, ...]
    names: tuple[str, ...]
    felled: tuple[str, ...]
    plugins: tuple[str, ...]
    threads: int
    timeouts_s: tuple[float, ...]
    memory_nbytes: int | None
    faults: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Fall:
    """A worker did not finish a case: because of this backend, or of nobody in particular."""

    backend: str | None
    outcome: Outcome


class Board:
    """Who is doing what, in memory that the worker shares with its parent.

    Writing it is one copy of eight bytes, outside of what is timed, and it needs no system call
    that a dying process could leave half done.
    """

    _FORMAT = struct.Struct("=IHBx")  # steps so far, the backend's number from 1, the stage
    NOBODY = 0

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)
        self._numbers: dict[str, int] = {}
        self._steps = 0

    def clear(self, names: Sequence[str]) -> None:
        """Start with nobody doing anything."""
        self._numbers = {name: number for number, name in enumerate(names, start=1)}
        self._steps = 0
        self._FORMAT.pack_into(self._memory, 0, 0, self.NOBODY, 0)

    def tell(self, backend: str, stage: Stage) -> None:
        """Write down that this backend (or nobody, with an empty name) comes to this stage."""
        self._steps = (self._steps + 1) % 2**32
        self._FORMAT.pack_into(
            self._memory, 0, self._steps, self._numbers.get(backend, self.NOBODY), STAGES.index(stage)
        )

    def read(self) -> tuple[int, str | None, str]:
        """Steps so far, the backend, the stage."""
        steps, number, stage = self._FORMAT.unpack_from(self._memory, 0)
        names = list(self._numbers)
        return steps, names[number - 1] if 0 < number <= len(names) else None, STAGES[stage % len(STAGES)]

    def close(self) -> None:
        self._memory.close()


def fall_of(board: Board, what: str, after: str = "") -> Fall:
    _, backend, stage = board.read()
    if backend is None:
        return Fall(None, Failed(f"not run: the worker process {what} {stage}{after}"))
    return Fall(backend, Failed(f"{what} {stage}{after}"))
