"""Find the fastest backend for single problems, and write it down: the plan that `auto` reads.

The cost table comes first: what it expects to be far slower is not raced. All others are verified and raced with cold
operands against the table's choice. A backend takes its place by a verdict alone, and a verdict needs undisturbed
rounds; so noise changes nothing.

Nothing here prints or exits: errors are ConvbenchErrors, notes go to `tell`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from convbench.backend import BASELINE, TRANSFORMS, Backend
from convbench.case import Case
from convbench.errors import ConvbenchError, plural
from convbench.files import check
from convbench.outcome import Failed, Result, Timed, Wrong
from convbench.selection import Selection, Tell
from convbench.session import Run
from convbench.tuned import TunedPlan, require_plan

STANDARD_L2 = 2e-6  # the largest relative error of a transform in fp32 that `standard` allows
NEEDS = ("llvmlite",)  # what convbench's own kernels are compiled with
SAME = ("case",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdRace:
    """Work of a Session: every backend verified, and timed on cold operands against the cost table's choice.

    Attributes:
        budget_s: time budget per backend, in seconds.
        force: run cases that a backend only refuses for their cost.
    """

    budget_s: float = 1.0
    force: bool = False
    needs: ClassVar[str] = "bench"

    def cases_each(self, case: Case) -> int:  # noqa: ARG002  # as Bench has it
        return 16

    def at_most_s(self, case: Case, backends: Sequence[Backend]) -> float:
        """Seconds that a case may take."""
        from convbench.bench.rounds import TimeBudget
        from convbench.verify.cost import bench_s

        return bench_s(case, backends, budget_s=self.budget_s, least_rounds=TimeBudget().least)

    def begin(self, run: Run, remaining: Sequence[Case], backends: Sequence[Backend], tell: Tell) -> Iterator[Result]:  # noqa: ARG002  # as Bench has it
        from convbench.bench.race import race
        from convbench.bench.rounds import TimeBudget
        from convbench.bench.statistics import VerdictRule

        sweep = partial(race, budget=TimeBudget(seconds=self.budget_s), rule=VerdictRule(), force=self.force)
        return run(sweep, remaining, backends)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedBackend:
    """A backend that was right on a case.

    Attributes:
        over_leader: the ratio leader / this, by undisturbed rounds; None if there were too few.
        noisy: whether there were too few.
    """

    backend: str
    relative_l2: float
    over_leader: float | None
    noisy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedCase:
    """What the race of a case came to.

    Attributes:
        case: the case.
        ranking: the backends that were right and of the accuracy, the chosen one first; none if there is no such.
        leader: the cost table's choice among them.
        faults: the results of those that were wrong or failed.
    """

    case: Case
    ranking: Sequence[RankedBackend]
    leader: str
    faults: Sequence[Result]

    @property
    def chosen(self) -> str:
        return self.ranking[0].backend if self.ranking else ""

    @property
    def over_torch(self) -> float | None:
        """How many times as fast as torch the chosen one is; None if that is not known."""
        ratios = {one.backend: one.over_leader for one in self.ranking}
        own, torch = ratios.get(self.chosen), ratios.get(BASELINE)
        return None if own is None or torch is None else own / torch

    @property
    def noisy(self) -> bool:
        """Whether too few rounds were undisturbed for a verdict on one of them."""
        return any(one.noisy for one in self.ranking)

    @classmethod
    def of(cls, results: Sequence[Result]) -> "TunedCase":
        """From the results of `bench.race.race` on one case."""
        from convbench.bench.race import leader

        case = results[0].case
        faults = [one for one in results if isinstance(one.outcome, Wrong | Failed)]
        timed = {one.backend: one.outcome for one in results if isinstance(one.outcome, Timed) and _accurate(one)}
        if not timed:
            return cls(case=case, ranking=(), leader="", faults=faults)
        first = leader(case, list(timed))
        against = {name: one.comparison for name, one in timed.items()}
        ratios = {name: None if one is None else one.ratio for name, one in against.items()} | {first: 1.0}
        faster = [name for name, one in against.items() if one is not None and one.verdict == "faster"]
        chosen = max(faster, key=lambda name: ratios[name] or 0.0, default=first)
        order = sorted(timed, key=lambda name: (name != chosen, -(ratios[name] or 0.0)))
        ranking = [
            RankedBackend(
                backend=name,
                relative_l2=timed[name].check.relative_l2,
                over_leader=ratios[name],
                noisy=timed[name].noise.noisy,
            )
            for name in order
        ]
        return cls(case=case, ranking=ranking, leader=first, faults=faults)

    def entry(self) -> dict[str, Any]:
        """Its entry in the "shapes" of a plan."""
        from convbench.backends._plan import installed, planned_key

        return {
            "case": planned_key(self.case).cells,
            "backends": [
                {
                    "backend": one.backend,
                    "version": installed(one.backend),
                    "over_leader": None if one.over_leader is None else float(f"{one.over_leader:.4g}"),
                    "relative_l2": float(f"{one.relative_l2:.2g}"),
                }
                for one in self.ranking
            ],
            "leader": self.leader,
            "noisy": self.noisy,
        }


def _accurate(result: Result) -> bool:
    """Whether its error is small enough for its case's accuracy; the bound has been checked."""
    assert isinstance(result.outcome, Timed)
    wide = result.family in TRANSFORMS and result.case.dtype == "fp32" and result.case.accuracy == "standard"
    return not wide or result.outcome.check.relative_l2 <= STANDARD_L2


@dataclass(slots=True)
class PlanFile:
    """The plan that `tune` writes, and what is left to do for it; it is saved after each case.

    Attributes:
        plan: with what has been found so far.
        selection: the cases that it lacks, and the backends.
        kept: cases that it has already.
    """

    path: Path
    plan: TunedPlan
    selection: Selection | None
    kept: int
    choices: list[TunedCase] = field(default_factory=list)

    @classmethod
    def open(
        cls, path: Path, selection: Selection, *, threads: int, accuracy: str, retune: bool, tell: Tell
    ) -> "PlanFile":
        """The file, or a new one.

        Args:
            retune: race what it has already, too; one that does not hold here is replaced.

        Raises:
            ConvbenchError: it does not hold here, or is damaged; or it cannot be written.
        """
        from convbench.backends._plan import planned_key, shape_text

        plan = TunedPlan.here(threads=threads, accuracy=accuracy, packages=NEEDS)
        require_plan(path)
        if path.exists():
            try:
                plan = TunedPlan.load(path, threads=threads, accuracy=accuracy)
            except ConvbenchError as error:
                if not retune:
                    raise
                tell(f"replaced: {error}")
        done = set()
        for one in plan.shapes if not retune else ():
            if isinstance(one.get("case"), dict) and not one.get("noisy"):
                done.add(shape_text(one["case"]))
        left: dict[str, Case] = {}
        for case in selection.cases:
            if (text := planned_key(case).text) not in done:
                left.setdefault(text, case)
        kept = len({planned_key(case).text for case in selection.cases} - left.keys())
        if kept:
            tell(f"{plural(kept, 'shape')} are in {path} already and are kept; --retune races them again")
        file = cls(path, plan, replace(selection, cases=list(left.values())) if left else None, kept)
        file.save()
        return file

    def take(self, results: Sequence[Result]) -> TunedCase:
        """The results of a case, which are then in the file."""
        found = TunedCase.of(results)
        self.choices.append(found)
        if found.ranking:
            self.plan = self.plan.with_shape(found.entry(), same=SAME)
            self.save()
        return found

    def save(self) -> None:
        """Write it.

        Raises:
            ConvbenchError: that cannot be done.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConvbenchError(f"cannot create {self.path.parent}: {error.strerror}; name a file with -o") from None
        self.plan.save(self.path)


def plan_path(given: str | None, threads: int, accuracy: str) -> Path:
    """The file of -o, or the one in the cache folder that `auto` reads.

    Raises:
        ConvbenchError: there is no cache folder.
    """
    from convbench.backends._plan import usual_path

    path = Path(given) if given is not None else usual_path(threads, accuracy)
    if path is None:
        raise ConvbenchError("there is no cache folder for the plan; name a file with -o, or set CONVBENCH_CACHE")
    if path.exists():
        try:
            check(path)
        except OSError as error:
            raise ConvbenchError(f"cannot write the plan {path}: {error.strerror}; name another file with -o") from None
    return path
