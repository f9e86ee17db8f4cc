"""What does a sweep report to its supervisor: its stage, lost devices, and faults found?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from convbench.case import Case
from convbench.outcome import Failed


class BackendStage(StrEnum):
    """What a sweep is doing, as the end of "it died ..."."""

    LOADING = "while loading the backends"
    IMPORTED = "while being imported"
    TRUTH = "while computing the truth"
    ASKED = "while being asked what it supports"
    VERIFIED = "while being verified"
    DISTURBED = "while computing a larger problem"
    WAITED = "while waiting for the CPUs to return to their usual place"
    CAPTURED = "while being captured"
    TIMED = "while being timed"
    EVICTED = "while emptying the caches"
    VERIFIED_AGAIN = "while being verified again"
    EXPLAINED = "while searching for the cause of a wrong answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The backend that broke a device, and its problem."""

    backend: str
    problem: str

    def __str__(self) -> str:
        return f"{self.backend} on {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The link between a sweep and its supervisor, which may be another process.

    Attributes:
        tell: `tell(backend, stage)`, called before each thing that could be the last; the name is
            empty when it is no backend's doing. It is never called in a timed window.
        memory_nbytes: what this process may hold; None for all that is free.
        lost: the devices that were lost so far, by name.
        faults: the traits of the wrong answers so far; more of the same would show nothing new.
        disturbed: the backends that were asked after calls on problems made to disturb them, with what matters for
            that, see `verify.state.kind`: in a sweep each problem comes after others anyway.
        spared: the backends that are not asked after such calls, because one of them ended a process.
        worn: what happened in this process that should not affect the next case, as words.
    """

    tell: Callable[[str, BackendStage], None] = lambda _backend, _stage: None
    memory_nbytes: int | None = None
    lost: dict[str, Loss] = field(default_factory=dict)
    faults: set[tuple[str, str]] = field(default_factory=set)
    disturbed: set[tuple[str, str]] = field(default_factory=set)
    spared: frozenset[str] = frozenset()
    worn: list[str] = field(default_factory=list)


def not_run(loss: Loss) -> Failed:
    """The row of a backend that comes after the one that broke the device."""
    return Failed(f"not run: the device was lost in {loss}; --isolate runs the others in their own processes")


def fault_traits(backend: str, case: Case) -> set[tuple[str, str]]:
    """What makes a fault new: the problem, and the rest of the case."""
    return {(backend, case.key.spec), (backend, " ".join(case.key.axes))}
