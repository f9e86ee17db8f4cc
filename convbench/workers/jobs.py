"""What do the two sides of an isolated sweep exchange: the job, whose turn it is, which backend failed?"""

import mmap
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from convbench.backend import Unavailable
from convbench.call.watch import BackendStage
from convbench.case import Case
from convbench.outcome import Failed, Outcome, Result

START, KILL, LOAD = b"s", b"k", b"l"
MODULE_NBYTES = 100  # of the name that follows LOAD, with blanks at its end
STATUS = struct.Struct("=qq")  # pid, wait status
BEGUN = -1  # in place of a wait status
MOST_PROCESSES = 512  # below a worker; compilers take one for each core
DYING_S = 10.0  # a process that SIGKILL does not end by then hangs in a driver

STAGES = list(BackendStage)  # the first one is the value of memory that is still zero

Sweep = Callable[..., Iterator[Result]]
Heard = Callable[[str, str, float], None]  # a backend, what it is doing, for how many seconds of this case
Further = Iterator[tuple[Case, float]]  # cases that follow those of a job, with the seconds for a step of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a worker runs, as the process that asks does: the working directory, sys.path and the environment."""

    folder: str
    path: tuple[str, ...]
    environment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """The job of a worker.

    Attributes:
        names: the backends that may be to blame if it dies.
        timeouts_s: seconds for a step of each answer that is expected.
        memory_nbytes: memory limit of it and its children; None for no limit.
    """

    names: tuple[str, ...]
    timeouts_s: tuple[float, ...]
    memory_nbytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Errand):
    """Cases to run; the first of them runs without the backends in `felled`.

    `unavailable` are those whose code must not be loaded again; `faults` are the traits of the wrong answers that
    earlier workers found; `spared` backends compute no larger problem, since one cost a worker. With `more`, further
    cases are sent one at a time once these are done, and None at the end.
    """

    sweep: Sweep
    cases: tuple[Case, ...]
    felled: tuple[str, ...]
    plugins: tuple[str, ...]
    unavailable: tuple[Unavailable, ...]
    threads: int
    faults: frozenset[tuple[str, str]] = frozenset()
    spared: frozenset[str] = frozenset()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry(Errand):
    """Which backends does this entry point, or this plug-in, define? One of them is given."""

    point: str = ""
    plugin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A third-party backend, without its code."""

    name: str
    doc: str
    family: str
    source: str
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    passes: tuple[str, ...]
    fused: bool
    max_macs: int | None
    macs_per_s: float
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """Why third-party code was not loaded; `broken` as in `Unavailable`."""

    reason: str
    broken: bool


@dataclass(frozen=True, slots=True)
class Fall:
    """A worker did not finish a case, because of this backend, or for an unknown reason."""

    backend: str | None
    outcome: Outcome
    stage: str = ""

    @property
    def words(self) -> str:
        return self.outcome.message if isinstance(self.outcome, Failed) else ""


@dataclass(frozen=True, slots=True)
class Enough:
    """A worker has reached its limit and leaves the rest of its cases to another one."""


class Board:
    """Which backend is doing what, in memory that the worker shares with its parent.

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
        """Start with no backend active."""
        self._numbers = {name: number for number, name in enumerate(names, start=1)}
        self._steps = 0
        self._FORMAT.pack_into(self._memory, 0, 0, self.NOBODY, 0)

    def tell(self, backend: str, stage: BackendStage) -> None:
        """Record that this backend (or none, with an empty name) reaches this stage."""
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
    return Fall(backend, Failed(f"{what} {stage}{after}"), str(stage))
