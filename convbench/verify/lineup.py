"""Which backends run a case, in which order, and which have dropped out?"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from convbench.backend import Backend
from convbench.call.bind import ANY_FAULT, alive, failure
from convbench.call.watch import BackendStage, Loss, Watch, not_run
from convbench.case import Case
from convbench.machine import free_nbytes, held_nbytes
from convbench.outcome import Failed, Outcome, Result, Skipped, Wrong
from convbench.verify.cost import needed_nbytes


class DeviceLost(Exception):  # noqa: N818  # it says what happened
    """No call on the device can succeed any more, and every backend in the lineup has an outcome."""


@dataclass(slots=True, kw_only=True)
class Lineup:
    """The backends of one case: the remaining ones, and the outcomes of the others.

    Attributes:
        out: an outcome for each backend that dropped out, by name.
    """

    case: Case
    backends: Sequence[Backend]
    watch: Watch
    out: dict[str, Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, case: Case, backends: Sequence[Backend], *, force: bool, watch: Watch) -> Self:
        """Backends that refuse the case drop out, and all others if its device was lost before."""
        chosen = [backend.for_case(case) for backend in backends]
        lineup = cls(case=case, backends=chosen, watch=watch)
        for backend in chosen:
            if (refused := refusal(backend, case, force=force, watch=watch)) is not None:
                lineup.out[backend.name] = refused
        if case.device in watch.lost:
            lineup.give_up(not_run(watch.lost[case.device]))
        return lineup

    @property
    def left(self) -> list[Backend]:
        """The remaining backends, in the given order."""
        return [backend for backend in self.backends if backend.name not in self.out]

    @property
    def foreign(self) -> list[Backend]:
        """The third-party ones among them, which must run while there is no truth that they could find."""
        return [backend for backend in self.left if not backend.built_in]

    @property
    def foreign_first(self) -> list[Backend]:
        """The remaining backends, third-party code first."""
        return sorted(self.left, key=lambda backend: backend.built_in)

    def settle(self, name: str, outcome: Outcome) -> None:
        """One drops out, with this outcome.

        Raises:
            DeviceLost: it broke the device, so all others drop out too.
        """
        self.out[name] = outcome
        if isinstance(outcome, Failed | Wrong) and not alive(self.case.device):
            loss = Loss(backend=name, problem=self.case.problem.name)
            self.watch.lost[self.case.device] = loss
            self.give_up(not_run(loss))
            raise DeviceLost(name)

    def give_up(self, outcome: Outcome) -> None:
        """All remaining backends drop out."""
        for backend in self.left:
            self.out[backend.name] = outcome

    def results(self) -> list[Result]:
        """One outcome for each backend, in the given order; none may remain."""
        return [
            Result(case=self.case, backend=one.name, family=one.family, outcome=self.out[one.name], chosen=one.chosen)
            for one in self.backends
        ]


def refusal(
    backend: Backend, case: Case, *, force: bool = False, watch: Watch | None = None
) -> Skipped | Failed | None:
    """Why this backend does not run this case, or None."""
    if backend.broken:
        return Failed(backend.broken)
    watch = watch or Watch()
    watch.tell(backend.name, BackendStage.ASKED)
    try:
        reason = backend.why_not(case, force=force) or too_large(case, backend, limit_nbytes=watch.memory_nbytes)
    except ANY_FAULT as error:
        return failure(error)
    return None if reason is None else Skipped(reason)


def too_large(case: Case, backend: Backend, *, limit_nbytes: int | None = None) -> str | None:
    """Why this would not fit into memory, judged before anything is allocated; None if it fits."""
    free, needed = free_nbytes(case.device), needed_nbytes(case, backend.family)
    if limit_nbytes is not None and case.target.on_host:
        left = max(0, limit_nbytes - held_nbytes(os.getpid()))
        free = left if free is None else min(free, left)
    if free is None or needed <= free:
        return None
    return (
        f"it needs about {needed / 2**30:.1f} GiB with its oracle, and {free / 2**30:.1f} GiB are free on {case.device}"
    )
