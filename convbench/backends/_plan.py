"""Which plan does `auto` read, and what does it say of a case?

The plan is the file that --plan names, else the one in the cache folder that `convbench tune` wrote for this machine,
number of threads and accuracy. One that does not hold here counts as none, and says why.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from convbench.case import Case, CaseKey
from convbench.errors import ConvbenchError, plural
from convbench.files import cache_folder
from convbench.tuned import AGAIN, TunedPlan

VARIABLE = "CONVBENCH_PLAN"  # the file of --plan, for this process and those that it starts


@dataclass(frozen=True, slots=True)
class Ranked:
    """A backend in a plan, and the version of its library when it was tuned; "" for one of convbench's own."""

    backend: str
    version: str = ""

    @property
    def why_not(self) -> str:
        """Why what was measured does not hold here; "" if it does."""
        here = installed(self.backend)
        if here == self.version:
            return ""
        return f"{self.backend} {self.version or 'unknown'} is planned, and " + (
            f"{here} is installed" if here else "it is not installed"
        )


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
    backends: Mapping[str, Sequence[Ranked]] = field(default_factory=dict)

    def of(self, case: Case) -> Iterator[str]:
        """The backends for a case, the fastest first; none if it was not tuned."""
        for one in self.backends.get(planned_key(case).text, ()):
            if not one.why_not:
                yield one.backend


NO_PLAN = ShapeRankings()  # one object: choices are cached by it


@cache
def installed(backend: str) -> str:
    """The version of the library of the backend's name; "" for one of convbench's own, and if it is not installed."""
    try:
        return version(backend)
    except PackageNotFoundError:
        return ""


def planned_key(case: Case) -> CaseKey:
    """What the choice depends on: neither the seed nor the recipe of the operands changes how long a call takes."""
    return replace(case.key.unseeded, operands="")


def named_plan() -> Path | None:
    """The file of --plan."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else None


def usual_path(threads: int, accuracy: str) -> Path | None:
    """Where `convbench tune` keeps the plan of this machine; None without a cache folder."""
    folder = cache_folder()
    return None if folder is None else folder / f"plan-{_machine()}-{threads}-{accuracy}.json"


@cache
def _machine() -> str:
    facts = TunedPlan.here(threads=1, accuracy="standard").machine
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:16]


def rankings(threads: int, accuracy: str) -> ShapeRankings:
    """Those of the plan that holds for so many threads and this accuracy."""
    named = named_plan()
    path = named or usual_path(threads, accuracy)
    try:
        changed = None if path is None else path.stat().st_mtime_ns
    except OSError:
        changed = None
    if path is None or (changed is None and named is None):
        return NO_PLAN
    return _read(path, changed, threads, accuracy)


@lru_cache(64)
def _read(path: Path, changed: int | None, threads: int, accuracy: str) -> ShapeRankings:  # noqa: ARG001  # read anew
    try:
        plan = TunedPlan.load(path, threads=threads, accuracy=accuracy)
        return ShapeRankings(path=path, backends=dict(_entry(path, one) for one in plan.shapes))
    except ConvbenchError as error:
        return ShapeRankings(path=path, why_not=str(error))


def _entry(path: Path, entry: Mapping[str, Any]) -> tuple[str, Sequence[Ranked]]:
    """The key and the backends of an entry of "shapes".

    Raises:
        ConvbenchError: it has none.
    """
    try:
        backends = tuple(Ranked(str(one["backend"]), str(one.get("version", ""))) for one in entry["backends"])
        return shape_text(entry["case"]), backends
    except (KeyError, TypeError, AttributeError):
        raise ConvbenchError(f"the plan {path} is damaged: a shape has no case or no backends; {AGAIN}") from None


def shape_text(cells: Mapping[str, Any]) -> str:
    """The text of `planned_key`, from the cells in a plan."""
    if not isinstance(cells, dict):
        raise TypeError("a case is an object")
    return json.dumps(cells, sort_keys=True, separators=(",", ":"))


def remarks(settings: Iterable[tuple[int, str]]) -> list[str]:
    """What a user of `auto` should know of its plan, for each number of threads and accuracy of a run.

    Raises:
        ConvbenchError: --plan names a file that holds for none of them.
    """
    found = {setting: rankings(*setting) for setting in dict.fromkeys(settings)}
    refused = [one.why_not for one in found.values() if one.why_not]
    if named_plan() is not None and refused and len(refused) == len(found):
        raise ConvbenchError(refused[0])
    words = [f"auto takes its cost table: {why}" for why in refused]
    for one in found.values():
        if not one.why_not and one.path is not None:
            gone = Counter(ranking[0].why_not for ranking in one.backends.values() if ranking and ranking[0].why_not)
            words += [f"auto takes the next backend for {plural(count, 'shape')}: {why}" for why, count in gone.items()]
    return list(dict.fromkeys(words))
