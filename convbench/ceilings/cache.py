"""Where are readings stored between runs, and which of them still count?"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from convbench.files import cache_folder

VERSION = 1  # a file of another version is probed again


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingReading:
    """The highest reading of a probe.

    Attributes:
        rate: operations, bytes or calls per second.
        time: when that was, ISO 8601 in UTC.
    """

    rate: float
    time: str


@dataclass(slots=True, kw_only=True)
class CeilingLedger:
    """The readings of one machine and thread count.

    Attributes:
        readings: by group ("flops fp32 ieee", "bytes L2", "calls") and probe.
        missing: the probes that could not run, likewise, with the reason.
    """

    readings: dict[str, dict[str, CeilingReading]] = field(default_factory=dict)
    missing: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, other: "CeilingLedger") -> None:
        """The higher of both, probe by probe: a reading taken while others worked was too low."""
        for group, probes in other.readings.items():
            mine = self.readings.setdefault(group, {})
            for name, reading in probes.items():
                if name not in mine or reading.rate > mine[name].rate:
                    mine[name] = reading
        for group, reasons in other.missing.items():
            self.missing[group] = {
                name: reason for name, reason in reasons.items() if name not in self.readings.get(group, {})
            }

    def best(self, group: str) -> tuple[str, CeilingReading] | None:
        """The probe with the highest reading, and that reading."""
        return max(self.readings.get(group, {}).items(), key=lambda pair: pair[1].rate, default=None)


@dataclass(frozen=True, slots=True)
class Cache:
    """One JSON file for each fingerprint in a folder; None keeps nothing.

    A file that cannot be read, is damaged, or has another version counts as none, and a folder
    that cannot be written is not an error: readings are then only used in this run.
    """

    folder: Path | None

    @classmethod
    def of_user(cls) -> "Cache":
        """In convbench's cache folder."""
        return cls(cache_folder())

    def path(self, facts: Mapping[str, str]) -> Path | None:
        """The file of this fingerprint."""
        text = json.dumps(facts, sort_keys=True)
        name = f"ceilings-{facts['device']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        return None if self.folder is None else self.folder / name

    def load(self, facts: Mapping[str, str]) -> CeilingLedger:
        """What is known of this fingerprint."""
        path = self.path(facts)
        if path is None:
            return CeilingLedger()
        try:
            return _read(json.loads(path.read_text(encoding="utf-8")), facts)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return CeilingLedger()

    def add(self, facts: Mapping[str, str], found: CeilingLedger, *, anew: bool = False) -> tuple[CeilingLedger, bool]:
        """Keep the higher of what is known and what was found, and say whether it could be written.

        With `again` the groups that were found replace what was known of them. The file is
        replaced by a rename, under a lock: a reader sees a complete file, and of two that
        write at once neither loses a reading.
        """
        path = self.path(facts)
        with suppress(OSError):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with _locked(path.with_suffix(".lock")):
                    ledger = _joined(self.load(facts), found, anew=anew)
                    write_json(path, {"version": VERSION, "fingerprint": dict(facts), **asdict(ledger)})
                    return ledger, True
        return _joined(self.load(facts), found, anew=anew), False


def _joined(known: CeilingLedger, found: CeilingLedger, *, anew: bool) -> CeilingLedger:
    if anew:
        for group in found.readings:
            known.readings.pop(group, None)
    known.take(found)
    return known


def _read(data: Any, facts: Mapping[str, str]) -> CeilingLedger:
    """The ledger in a file's data.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is not one of ours.
    """
    if data["version"] != VERSION or data["fingerprint"] != dict(facts):
        raise ValueError("another version or another machine")
    ledger = CeilingLedger()
    for group, probes in data["readings"].items():
        for name, reading in probes.items():
            rate, time = float(reading["rate"]), str(reading["time"])
            if not 0 < rate < inf:
                raise ValueError(f"a rate of {rate}")
            ledger.readings.setdefault(group, {})[name] = CeilingReading(rate=rate, time=time)
    for group, reasons in data["missing"].items():
        ledger.missing[group] = {str(name): str(reason) for name, reason in reasons.items()}
    return ledger


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a file by a rename: a reader sees the old one or the new one, complete."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among all processes, where the system has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows: of two that write at once, one may lose a reading
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
