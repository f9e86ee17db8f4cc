"""What would a sweep do, case by case? Everything except the work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from convbench.backend import Backend
from convbench.case import Case
from convbench.outcome import Result
from convbench.verify.cost import needed_nbytes
from convbench.verify.lineup import refusal

Seconds = Callable[[Case, Sequence[Backend]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One case that would run.

    Attributes:
        case: the case.
        threads: CPU threads that it would have; 0 is torch's own choice.
        runs: the names of the backends that would run, in order.
        refused: the rows of the others, with their reasons.
        needed_nbytes: peak memory on its device, including the oracle's.
        at_most_s: upper limit in seconds, including verification; 0 if nothing runs.
    """

    case: Case
    threads: int
    runs: tuple[str, ...]
    refused: tuple[Result, ...]
    needed_nbytes: int
    at_most_s: float


def dry_run(
    cases: Iterable[tuple[int, Case]], backends: Sequence[Backend], seconds: Seconds, *, force: bool = False
) -> Iterator[Planned]:
    """Ask every backend about every case, as a sweep would before it allocates anything.

    Args:
        cases: each with its number of threads.
    """
    for threads, case in cases:
        running, refused = [], []
        for backend in (one.for_case(case) for one in backends):
            outcome = refusal(backend, case, force=force)
            if outcome is None:
                running.append(backend)
            else:
                refused.append(
                    Result(
                        case=case,
                        backend=backend.name,
                        family=backend.family,
                        outcome=outcome,
                        threads=threads,
                        chosen=backend.chosen,
                    )
                )
        yield Planned(
            case=case,
            threads=threads,
            runs=tuple(one.name for one in running),
            refused=tuple(refused),
            needed_nbytes=max((needed_nbytes(case, one.family) for one in running), default=0),
            at_most_s=seconds(case, running),
        )
