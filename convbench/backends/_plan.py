"""Which plan does `auto` read, and what does it say of a case?

The plan is the file that --plan names, else the one in the cache folder that `convbench tune` wrote for this machine,
number of threads and accuracy. One that does not hold here counts as none, and says why.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from convbench.case import Case, CaseKey
from convbench.errors import ConvbenchError
from convbench.files import cache_folder
from convbench.tuned import TunedPlan

VARIABLE = "CONVBENCH_PLAN"  # the file of --plan, for this process and those that it starts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShapeRankings:
    """What a plan says of single problems.

    Attributes:
        path: the file; None if there is none.
        why_not: why it is not used; empty if it is.
        backends: by the text of `planned_key`, the backends that were right, the fastest first.
    """

    path: Path | None = None
    why_not: str = ""
    backends: Mapping[str, Sequence[str]] = field(default_factory=dict)


NO_PLAN = ShapeRankings()


def planned_key(case: Case) -> CaseKey:
    """What the choice depends on: neither the seed nor the recipe of the operands changes how long a call takes."""
    return replace(case.key.unseeded, operands="")


def named_plan() -> Path | None:
    """The file of --plan."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else None


def usual_path(threads: int, accuracy: str) -> Path | None:
    """Where `convbench tune` keeps the plan of this machine; None without a cache folder.

    Raises:
        ConvbenchError: a number of threads that no machine has.
    """
    folder = cache_folder()
    if folder is None:
        return None
    machine = json.dumps(dict(TunedPlan.here(threads=threads, accuracy=accuracy).machine), sort_keys=True)
    digest = hashlib.sha256(machine.encode()).hexdigest()[:16]
    return folder / f"plan-{digest}-{threads}-{accuracy}.json"


def rankings(threads: int, accuracy: str) -> ShapeRankings:
    """Those of the plan that holds for so many threads and this accuracy."""
    named = named_plan()
    path = named or _usual_path(threads, accuracy, os.environ.get("CONVBENCH_CACHE", ""))
    try:
        changed = None if path is None else path.stat().st_mtime_ns
    except OSError:
        changed = None
    if path is None or (changed is None and named is None):
        return NO_PLAN
    return _read(path, changed, threads, accuracy)


_usual_path = lru_cache(64)(lambda threads, accuracy, _: usual_path(threads, accuracy))


@lru_cache(64)
def _read(path: Path, changed: int | None, threads: int, accuracy: str) -> ShapeRankings:  # noqa: ARG001  # a key of it
    try:
        plan = TunedPlan.load(path, threads=threads, accuracy=accuracy)
        return ShapeRankings(path=path, backends=dict(_entry(path, one) for one in plan.shapes))
    except ConvbenchError as error:
        return ShapeRankings(path=path, why_not=str(error))


def _entry(path: Path, entry: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    """The key and the backends of an entry of "shapes".

    Raises:
        ConvbenchError: it has none.
    """
    case, ranking = entry.get("case"), entry.get("backends")
    if not isinstance(case, dict) or not isinstance(ranking, list) or not all(isinstance(one, str) for one in ranking):
        raise ConvbenchError(f"the plan {path} is damaged: a shape has no case or no backends; --retune replaces it")
    return json.dumps(case, sort_keys=True, separators=(",", ":")), tuple(ranking)
