"""The plan file: what was found fastest on one machine, for whole models and for single problems.

One JSON file for both, so that one file goes with a program: `optimize` writes and reads `models`, `tune` writes
`shapes`, and the backend `auto` reads those. It holds for one machine, one set of versions, one number of threads and
one accuracy, and is refused elsewhere.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from convbench.case import ACCURACIES
from convbench.errors import ConvbenchError, cause, one_line
from convbench.files import put, read_bytes
from convbench.machine import fingerprint
from convbench.version import installed_version

SCHEMA = 1
MOST_NBYTES = 2**26
BEGIN = b'{"schema":'  # of the file, without its blanks
AGAIN = "--retune (retune=True) measures again and replaces it"
_MACHINE = ("cpu", "cpu_flags", "cpus_allowed", "cpu_quota")  # of the fingerprint; the rest are versions and threads
_FIELDS = {"schema": int, "machine": dict, "versions": dict, "threads": int, "accuracy": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedPlan:
    """What was found fastest.

    Attributes:
        machine: what the times depend on; a host's name is not among it.
        versions: of convbench, torch and every package that took part.
        threads: of the CPU.
        accuracy: one of ACCURACIES.
        models, shapes: an entry each, plain JSON; who writes them knows their keys.
    """

    machine: Mapping[str, str]
    versions: Mapping[str, str]
    threads: int
    accuracy: str
    models: tuple[Mapping[str, Any], ...] = field(default=())
    shapes: tuple[Mapping[str, Any], ...] = field(default=())

    @classmethod
    def here(cls, *, threads: int, accuracy: str, packages: Iterable[str] = ()) -> Self:
        """An empty plan of this machine; `packages` took part, those that are not installed are left out."""
        facts = fingerprint("cpu", threads)
        return cls(
            machine={name: facts[name] for name in _MACHINE},
            versions=versions(packages),
            threads=threads,
            accuracy=accuracy,
        )

    def why_not_here(self, *, threads: int, accuracy: str) -> str:
        """Why it does not hold on this machine, with these versions, threads and accuracy; "" if it does."""
        here = TunedPlan.here(threads=threads, accuracy=accuracy, packages=self.versions)
        odd = [
            f"{name} {_said(there.get(name))}, here {_said(now.get(name))}"
            for there, now in ((self.machine, here.machine), (self.versions, here.versions))
            for name in dict.fromkeys((*there, *now))
            if there.get(name, "") != now.get(name, "")
        ]
        if self.threads != threads:
            odd.append(f"threads {self.threads}, here {threads}")
        if self.accuracy != accuracy:
            odd.append(f"accuracy {self.accuracy}, here {accuracy}")
        return "; ".join(odd)

    def with_model(self, entry: Mapping[str, Any], *, same: Iterable[str]) -> Self:
        """With this entry in place of the one that has the same values of the keys `same`."""
        return replace(self, models=_put(self.models, entry, tuple(same)))

    def with_shape(self, entry: Mapping[str, Any], *, same: Iterable[str]) -> Self:
        """As `with_model`, for a shape."""
        return replace(self, shapes=_put(self.shapes, entry, tuple(same)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, replacing an older file, which is kept until the new one is complete.

        Raises:
            ConvbenchError: it cannot be written.
        """
        text = json.dumps({"schema": SCHEMA} | asdict(self), indent=1, allow_nan=False)
        try:
            put(os.fspath(path), (text + "\n").encode(), overwrite=True)
        except OSError as error:
            raise ConvbenchError(f"cannot write the plan {path}: {cause(error)}; try another path") from None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """The plan in a file, of whatever machine.

        Raises:
            ConvbenchError: there is none, or it is damaged or of another schema.
        """
        try:
            require_plan(path)
            data = json.loads(read_bytes(Path(path), MOST_NBYTES), parse_constant=_no_number)
            _need(isinstance(data, dict), "it is not an object")
            schema = data.get("schema")
            if isinstance(schema, int) and schema != SCHEMA:
                raise ConvbenchError(f"the plan {path} has schema {schema}, and this convbench reads {SCHEMA}; {AGAIN}")
            _check(data)
            return cls(
                machine=data["machine"],
                versions=data["versions"],
                threads=data["threads"],
                accuracy=data["accuracy"],
                models=tuple(data["models"]),
                shapes=tuple(data["shapes"]),
            )
        except OSError as error:
            raise ConvbenchError(f"cannot read the plan {path}: {cause(error)}") from None
        except (ValueError, RecursionError) as error:
            raise ConvbenchError(f"the plan {path} is damaged: {one_line(str(error), 200)}; {AGAIN}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, threads: int, accuracy: str) -> Self:
        """The plan in a file, if it holds here.

        Raises:
            ConvbenchError: as `read`; or it is of another machine, other versions, threads or accuracy.
        """
        plan = cls.read(path)
        if why := plan.why_not_here(threads=threads, accuracy=accuracy):
            raise ConvbenchError(f"the plan {path} does not hold here: {why}; {AGAIN}")
        return plan


def require_plan(path: str | os.PathLike[str]) -> None:
    """Raise a ConvbenchError for a file that was never a plan: not even --retune may replace it."""
    with suppress(OSError), open(path, "rb") as file:
        begin = b"".join(file.read(64).split())
        if begin[: len(BEGIN)] != BEGIN[: len(begin)]:  # a plan may be cut off anywhere
            raise ConvbenchError(f"{path} is no plan of convbench, and is left as it is; name another file")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of convbench, torch, and those of these packages that are installed."""
    found = {"convbench": installed_version()}
    for name in dict.fromkeys(("torch", *packages)):
        try:
            found[name] = version(name) if name != "convbench" else found[name]
        except PackageNotFoundError:
            continue
    return found


def _check(data: Mapping[str, Any]) -> None:
    """Raise a ValueError if something of a file's data is missing, or no such value."""
    for name, kind in _FIELDS.items():
        _need(type(data.get(name)) is kind, f"{name} is missing, or is no {kind.__name__}")
    for name, one in (("threads", data["threads"] >= 1), ("accuracy", data["accuracy"] in ACCURACIES)):
        _need(one, f"{name} is {data[name]!r}")
    for name in ("machine", "versions"):
        texts = [isinstance(one, str) for one in data[name].values()]
        _need(bool(texts) and all(texts), f"{name} is no list of texts")
    for name in ("models", "shapes"):
        entries = data.get(name)
        _need(isinstance(entries, list) and all(isinstance(one, dict) for one in entries), f"{name} is no list")


def _put(
    entries: tuple[Mapping[str, Any], ...], entry: Mapping[str, Any], same: tuple[str, ...]
) -> tuple[Mapping[str, Any], ...]:
    def key(one: Mapping[str, Any]) -> list[Any]:
        return [one.get(name) for name in same]

    return (*(one for one in entries if key(one) != key(entry)), entry)


def _need(fine: bool, words: str) -> None:
    if not fine:
        raise ValueError(words)


def _said(value: str | None) -> str:
    return value or "unknown"


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")
