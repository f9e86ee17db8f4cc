"""The interface of every kind of device."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Device(ABC):
    """A place where tensors are stored and calls run. Creating one does not import torch; most methods do.

    Attributes:
        number: which one of its kind, as torch counts them.
        kind: the word that backends and cases know it by.
        numbered: whether there may be several.
        on_host: it computes on the cores of this process, with its threads: a call is done when it returns, and
            whatever else runs on those cores disturbs it. Otherwise calls are queued.
        tensor_cores: it has units that multiply TF32, fp16 and bf16 and add in truncated fp32.
        macs_per_s: multiply-adds per second of a slow backend, to predict how long a case takes.
        oracle_speed: how much faster than on two cores the oracle is, at least.
        start_s: the time a new process needs to start using it.
        hang_s: a step of a backend that takes longer counts as hung, unless it has much to compute.
        block_s: seconds of a block of timed calls: long against the clock's resolution and what surrounds a block,
            short against a scheduler's slice, so a disturbance spoils few samples.
        cold_rounds: how often a cold call is timed.
        allocation_nbytes: torch's allocator returns multiples of this.
        profiled_as: what torch's profiler calls it.
        timing, cache: the regime of what is timed in rounds, where a backend can be: see outcome.TIMINGS and CACHES.
    """

    number: int = 0

    kind: ClassVar[str]
    numbered: ClassVar[bool] = False
    on_host: ClassVar[bool]
    tensor_cores: ClassVar[bool]
    macs_per_s: ClassVar[float]
    oracle_speed: ClassVar[float] = 1.0
    start_s: ClassVar[float] = 0.0
    hang_s: ClassVar[float] = 120.0
    block_s: ClassVar[float]
    cold_rounds: ClassVar[int]
    allocation_nbytes: ClassVar[int] = 1
    profiled_as: ClassVar[str]
    timing: ClassVar[str] = "eager"
    cache: ClassVar[str] = "hot"

    @property
    def name(self) -> str:
        """Its name in a case, a report and on the command line: cpu, cuda, cuda:1."""
        return f"{self.kind}:{self.number}" if self.number else self.kind

    @property
    def torch_name(self) -> str:
        """torch's name for it."""
        return self.name

    @abstractmethod
    def why_absent(self) -> str | None:
        """Why torch cannot compute on it here, or None."""

    @classmethod
    def present(cls) -> "list[Device]":
        """Those of this kind that torch can compute on here."""
        found: list[Device] = []
        while (cls.numbered or not found) and (one := cls(len(found))).why_absent() is None:
            found.append(one)
        return found

    def lacks(self) -> str:
        """What this machine lacks for it, as far as that is visible without torch, or ""."""
        return ""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Name and versions of an accelerator, as the columns gpu, driver, cuda, cudnn of a report; empty for a CPU."""

    @abstractmethod
    def free_nbytes(self) -> int | None:
        """Bytes that can still be allocated on it, or None if the system does not say."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until it is idle, so faults surface here and clocks are right."""

    @contextmanager
    def selected(self) -> Iterator[None]:
        """Make it the default device of libraries for a while."""
        yield

    @abstractmethod
    def time_calls(self, calls: Sequence[Call], *, first: Call | None = None) -> tuple[float, Any]:
        """Seconds that the calls take together, one after the other, and what the last of them returned.

        Args:
            first: untimed work before them; what it queued has finished when their time begins.
        """

    def time_block(self, call: Call, count: int) -> float:
        """Seconds that `count` equal calls take together."""
        return self.time_calls([call] * count)[0]

    @abstractmethod
    def cache_nbytes(self) -> int:
        """What its last cache holds."""

    @abstractmethod
    def cold_nbytes(self, free_nbytes: int | None) -> int:
        """How much must be written and read to evict everything else from its caches.

        Args:
            free_nbytes: what may be allocated for that; None for whatever is free.

        Raises:
            MemoryError: that would take too much of it.
        """

    def eager_times(self, call: Call, tell: Call) -> tuple[float, float] | None:  # noqa: ARG002  # for who has them
        """Median seconds from a call to an idle device, and until the host is free again; None on the host itself."""
        return None

    def graph_time(self, call: Call, tell: Call) -> float | None:  # noqa: ARG002  # for who has one
        """Median seconds per call within a replayed graph, free of launch gaps; None if there is none."""
        return None

    def capture(self, calls: Sequence[Call], *, kept: int = 1) -> Callable[[], list[Any]]:
        """The calls as one, which replays them without the host and returns what the last `kept` of them returned.

        On the host itself they are called one after another.
        """

        def replay() -> list[Any]:
            outs: deque[Any] = deque(maxlen=kept)
            for call in calls:
                outs.append(call())
            return list(outs)

        return replay

    def release(self) -> None:  # noqa: B027  # a CPU keeps none
        """Release the memory that torch keeps for future tensors."""

    def watch_peak(self) -> Callable[[], int | None]:
        """Start to watch the memory; the result returns by how many bytes its peak has risen, or None."""
        return lambda: None

    def properties(self) -> Any:
        """What torch knows about an accelerator; nothing for a CPU."""
        return {}
