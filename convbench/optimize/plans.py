"""What of a race is kept: its entry in a plan file, and a line that `convbench model` shows later."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convbench.errors import ConvbenchError
from convbench.files import cache_folder, put, read_bytes
from convbench.optimize.candidates import CANDIDATES
from convbench.optimize.race import RACED, Race
from convbench.tuned import AGAIN, TunedPlan, require_plan

SAME = ("identity",)
MOST_NBYTES = 2**16


def entry_of(race: Race) -> dict[str, Any]:
    """What a plan says of a model.

    Raises:
        ConvbenchError: the race has no winner.
    """
    if not race.winner:
        raise ConvbenchError(
            f"the race of {race.model} has no winner, so there is nothing to plan; run it on a quieter machine"
        )
    won, eager = race.row(race.winner), race.rows[0]
    return {
        "name": race.model,
        "identity": race.identity,
        "input": race.shapes,
        "winner": race.winner,
        "choices": race.choices if race.choices is None else dict(race.choices),
        "median_s": won.median_s,
        "eager_s": eager.median_s,
        "ratio": 1.0 if won.ratio is None else won.ratio.ratio,
        "low": 1.0 if won.ratio is None else won.ratio.low,
        "high": 1.0 if won.ratio is None else won.ratio.high,
        "error": won.error,
        "raced": [one.name for one in race.rows if one.outcome == RACED],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def plan_of(race: Race) -> TunedPlan:
    """A plan of this model alone, on this machine.

    Raises:
        ConvbenchError: as `entry_of`.
    """
    packages = [package for one in race.rows if one.outcome == RACED for package in CANDIDATES[one.name].needs]
    plan = TunedPlan.here(threads=race.threads, accuracy=race.accuracy, packages=packages)
    return plan.with_model(entry_of(race), same=SAME)


def add(race: Race, path: str | Path, *, retune: bool = False) -> None:
    """Put the race into a plan file, whose other entries are kept.

    Args:
        retune: replace a file that does not hold here, or is damaged.

    Raises:
        ConvbenchError: the file does not hold here, is damaged, or cannot be written.
    """
    require_plan(path)
    plan = plan_of(race)
    if Path(path).exists():
        with suppress(*([ConvbenchError] if retune else [])):
            old = TunedPlan.load(path, threads=race.threads, accuracy=race.accuracy)
            both = {**old.versions, **plan.versions}
            plan = replace(old.with_model(plan.models[0], same=SAME), versions=both)
    plan.save(path)


def find(plan: TunedPlan, identity: str) -> Mapping[str, Any] | None:
    """What a plan says of a model, or None.

    Raises:
        ConvbenchError: the entry is damaged.
    """
    found = next((one for one in plan.models if one.get("identity") == identity), None)
    if found is not None and (
        found.get("winner") not in CANDIDATES
        or not isinstance(found.get("choices"), dict | None)
        or not all(isinstance(found.get(name), int | float) for name in ("ratio", "low", "high"))
    ):
        raise ConvbenchError(f"the plan's entry of this model is damaged; {AGAIN}")
    return found


def brought(entry: Mapping[str, Any]) -> str:
    """What an entry brought, in a sentence without its end."""
    day = str(entry.get("time", ""))[:10]
    won = "convbench's own graph" if entry["winner"] == "convbench" else entry["winner"]
    gain = (
        "nothing is certainly faster than eager"
        if won == "eager"
        else f"{won} is {entry['ratio']:.2f}x as fast as eager ({entry['low']:.2f} to {entry['high']:.2f})"
    )
    return f"{gain} on {entry['input']}, measured {day}"


def remember(race: Race) -> None:
    """Keep it for `convbench model`; a folder that cannot be written is no error."""
    folder = cache_folder()
    if folder is None or not race.winner:
        return
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        put(_file(folder, race.model), json.dumps(entry_of(race)).encode(), overwrite=True)


def remembered(model: str) -> str:
    """What optimize brought for a model of this name when it was last run here, or ""."""
    folder = cache_folder()
    if folder is None:
        return ""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return brought(json.loads(read_bytes(_file(folder, model), MOST_NBYTES)))
    return ""


def _file(folder: Path, model: str) -> Path:
    return folder / f"optimized-{hashlib.sha256(model.encode()).hexdigest()[:16]}.json"
