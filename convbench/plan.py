"""Which backend computes each case fastest on one machine, as a bench found it?"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from convbench.backend import BASELINE
from convbench.case import Case, CaseKey, Problem
from convbench.ceilings.cache import write_json
from convbench.errors import ConvbenchError, cause, one_line
from convbench.files import read_bytes
from convbench.outcome import Result, Timed
from convbench.spec import ConvSpec

VERSION = 1
MOST_NBYTES = 2**26  # of a file; a choice takes some 300 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBackend:
    """The backend for a case, and the settings it was timed with, such as {"threads": 4}."""

    backend: str
    settings: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendPlan:
    """A backend for each case that was timed against the baseline, whatever its random numbers.

    Attributes:
        machine: what the times depend on, from `machine.fingerprint`: the choices only apply there.
        choices: by `CaseKey.unseeded`.
    """

    machine: Mapping[str, str]
    choices: Mapping[CaseKey, PlannedBackend]

    @classmethod
    def of(
        cls, results: Iterable[Result], *, machine: Mapping[str, str], settings: Mapping[str, int | str] | None = None
    ) -> Self:
        """The plan from the results of a bench.

        A row that was timed was right before and after. If no backend's interval is entirely above 1, the choice is the
        baseline: a tie or an undecided race is no reason to switch. A case that the baseline was not timed on has
        no verdicts, and no choice.

        Raises:
            ConvbenchError: the results have several numbers of CPU threads.
        """
        rows: dict[CaseKey, dict[str, list[Timed | None]]] = defaultdict(lambda: defaultdict(list))
        results = list(results)
        if len(threads := sorted({one.threads for one in results if one.threads and one.case.target.on_host})) > 1:
            raise ConvbenchError(
                f"these results had {' and '.join(map(str, threads))} threads, and a plan needs a single thread count; "
                f"make one plan for each"
            )
        for result in results:
            timed = result.outcome if isinstance(result.outcome, Timed) else None
            rows[result.case.key.unseeded][result.backend].append(timed)
        choices = {
            key: PlannedBackend(backend=_fastest(backends), settings=dict(settings or {}))
            for key, backends in rows.items()
            if any(backends.get(BASELINE, []))
        }
        return cls(machine=dict(machine), choices=choices)

    def choose(self, case: Case) -> PlannedBackend | None:
        """The choice for a case; None if it was not timed."""
        return self.choices.get(case.key.unseeded)

    def save(self, path: str | Path) -> None:
        """Write the plan to a file, replacing an older one.

        Raises:
            ConvbenchError: the file cannot be written.
        """
        choices = [{"case": key.cells, **asdict(choice)} for key, choice in self.choices.items()]
        try:
            write_json(Path(path), {"version": VERSION, "machine": dict(self.machine), "choices": choices})
        except OSError as error:
            raise ConvbenchError(f"cannot write the plan {path}: {cause(error)}; try another path") from None

    @classmethod
    def load(cls, path: str | Path, *, machine: Mapping[str, str]) -> Self:
        """The plan in a file.

        Raises:
            ConvbenchError: it does not exist, is damaged, or is from another machine than `machine`.
        """
        again = "run bench again and save a new plan"
        try:
            data = json.loads(read_bytes(path, MOST_NBYTES))
            if (version := data["version"]) != VERSION:
                raise ConvbenchError(
                    f"the plan {path} has version {version!r}, but this convbench reads {VERSION}; {again}"
                )
            plan = cls(machine=_texts(data["machine"]), choices=dict(map(_read, data["choices"])))
            if len(plan.choices) < len(data["choices"]):
                raise ValueError("it has two choices for one case")
        except OSError as error:
            raise ConvbenchError(f"cannot read the plan {path}: {cause(error)}") from None
        except ValueError as error:
            raise ConvbenchError(f"the plan {path} is damaged: {error}; {again}") from None
        except (TypeError, KeyError, AttributeError, RecursionError):
            raise ConvbenchError(f"the plan {path} is damaged: something is missing or misplaced; {again}") from None
        there, here = (
            {name: facts.get(name) or "unknown" for name in {**plan.machine, **machine}}
            for facts in (plan.machine, machine)
        )
        if odd := [f"{name} {there[name]}, here {here[name]}" for name in there if there[name] != here[name]]:
            raise ConvbenchError(f"the plan {path} is from another machine: {'; '.join(odd)}; {again}")
        return plan


def _fastest(backends: Mapping[str, list[Timed | None]]) -> str:
    """The backend with the largest ratio to the baseline, of those that were faster in each of their rows."""
    ratios: dict[str, float] = {}
    for name, rows in backends.items():
        compared = [row.comparison for row in rows if row is not None and row.comparison is not None]
        if len(compared) == len(rows) and all(one.verdict == "faster" for one in compared):
            ratios[name] = min(one.ratio for one in compared)
    return max(ratios, key=lambda name: ratios[name], default=BASELINE)


def _read(entry: Any) -> tuple[CaseKey, PlannedBackend]:
    """A case and its choice; building the case here finds anything invalid in it."""
    cells, choice = entry["case"], PlannedBackend(backend=str(entry["backend"]), settings=dict(entry["settings"]))
    axes = {name: cells[name] for name in ("dtype", "layout", "precision", "epilogue", "device", "seed")}
    axes |= {"accuracy": cells["accuracy"]} if "accuracy" in cells else {}
    try:
        problem = Problem(suite="", name="", spec=ConvSpec.parse(cells["spec"]), operands=cells["operands"])
        key = Case(problem=problem, pass_=cells["pass"], **axes).key
    except ConvbenchError as error:
        raise ValueError(str(error)) from None
    if key.cells != cells or key != key.unseeded:
        raise ValueError(f"{one_line(str(cells))} is not a case of a plan")
    return key, choice


def _texts(facts: Any) -> dict[str, str]:
    if not facts or not all(isinstance(one, str) for pair in facts.items() for one in pair):
        raise ValueError("it does not describe its machine")
    return dict(facts)
