"""Which part of a sweep does this machine run, and which case of the whole is a row?"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from convbench.case import Case, CaseKey
from convbench.errors import ConvbenchError

MOST = 100_000


@dataclass(frozen=True, slots=True)
class Shard:
    """One of the parts of a sweep, counted from 1.

    The hash of a case's key decides its shard, so the case is in the same one in every run, on every machine, whatever
    else is swept. Shards are uneven for that reason: use many more of them than machines.

    Raises:
        ConvbenchError: there is no such part.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of <= MOST:
            raise ConvbenchError(f"shard {self.number}/{self.of}: give I/N with 1 <= I <= N <= {MOST:,}, such as 3/64")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard of `3/64`.

        Raises:
            ConvbenchError: it is none.
        """
        if not re.fullmatch("[0-9]{1,9}/[0-9]{1,9}", text):
            raise ConvbenchError(f"--shard {text!r}: give I/N with 1 <= I <= N, such as 3/64")
        number, of = map(int, text.split("/"))
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, key: CaseKey) -> bool:
        """Whether a case is in it."""
        return shard_number(key, self.of) == self.number


def shard_number(key: CaseKey, of: int) -> int:
    """The shard of a case, from 1 to `of`."""
    return int(key.sha256[:16], 16) % of + 1


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as a whole, however many machines run it.

    Attributes:
        digest: its name, equal wherever the same cases and backends are selected.
        cases: how many it has.
    """

    digest: str
    cases: int

    @classmethod
    def of(cls, work: str, todo: Iterable[tuple[int, Case]], backends: Sequence[str]) -> Self:
        """The sweep of these cases, in this order, each with the number of threads that was asked for."""
        entries = [
            [threads, case.problem.suite, case.problem.name, case.problem.count, case.key.text]
            for threads, case in todo
        ]
        text = json.dumps([work, list(backends), entries], separators=(",", ":"))
        return cls(hashlib.sha256(text.encode()).hexdigest()[:12], len(entries))

    def cell(self, place: int) -> str:
        """The cell of the case at a place, counted from 1: `17/96 of 0123456789ab`."""
        return f"{place}/{self.cases} of {self.digest}"

    @classmethod
    def read(cls, cell: str) -> "tuple[Self, int] | None":
        """The sweep in a cell, and the place; None in an empty one.

        Raises:
            ConvbenchError: it is none.
        """
        if not cell:
            return None
        if not (found := re.fullmatch("([0-9]{1,9})/([0-9]{1,9}) of ([0-9a-f]{12})", cell)):
            raise ConvbenchError(f"plan is {cell!r}, which cannot be")
        place, cases = int(found[1]), int(found[2])
        if not 1 <= place <= cases:
            raise ConvbenchError(f"plan is {cell!r}, which cannot be")
        return cls(found[3], cases), place


# What the times of a machine depend on besides its processor.
_ENVIRONMENT = ("driver", "python", "torch", "cuda", "cudnn", "onednn", "convbench", "commit")
# A kind of machine: times of one kind may be put side by side.
KIND = ("cpu", "gpu")


def environment_of(row: Mapping[str, object]) -> str:
    """A short name of the versions in a row: of driver, Python, torch, its libraries and convbench."""
    text = json.dumps([row.get(name) or "" for name in _ENVIRONMENT])
    return hashlib.sha256(text.encode()).hexdigest()[:8]
