"""What does a command tell CI, whatever the format?"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from convbench.case import RowKey
from convbench.outcome import Result

Pair = tuple[Mapping[str, str], Result]
MOST_NAME = 1000  # characters; Bencher takes 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CiTest:
    """One row as a test.

    Attributes:
        state: passed, failed or skipped.
        kind: why it failed: wrong, failed, regression or undecided; empty otherwise.
        words: what came of it, in one line.
        text: the same in full.
        time_s: the median; None if it was not timed.
    """

    key: RowKey
    state: str
    kind: str = ""
    words: str = ""
    text: str = ""
    time_s: float | None = None


class Findings(Protocol):
    """What came of a command: its rows as tests, as numbers, as a page of Markdown and as plain values."""

    @property
    def command(self) -> str: ...
    @property
    def pairs(self) -> Sequence[Pair]: ...
    def tests(self) -> list[CiTest]: ...
    def markdown(self) -> str: ...
    def as_json(self) -> dict[str, Any]: ...


def row_names(keys: Iterable[RowKey]) -> list[str]:
    """A name for each row that is the same in every run; where several have the same, the later ones are numbered."""
    return numbered(map(_row_name, keys))


def _row_name(key: RowKey) -> str:
    problem = key.name if key.suite == "shape" else f"{key.suite}:{key.name}"
    spec = f"{key.case.spec}@{key.case.operands}" if key.case.operands else key.case.spec
    words = (problem, "" if spec == key.name else spec, key.axes, key.backend)
    return " ".join(filter(None, words))[:MOST_NAME]


def numbered(names: Iterable[str]) -> list[str]:
    """The names, each once: a server drops a test, and a tracker a value, whose name it has seen."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return found
