"""What do verify, bench and report tell CI?"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from convbench.bench.decision import standings
from convbench.ci import markdown as md
from convbench.ci.findings import CiTest, Pair
from convbench.exit_codes import NOTHING, RIGHT, WRONG
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong
from convbench.schema import SCHEMA, TABLE
from convbench.session import count_outcomes
from convbench.show.results import remark_lines
from convbench.show.tables import answer, defect_lines, fault_lines, ratio_words, shrunk, suite_title
from convbench.show.units import seconds, share

STATES = {RIGHT: "ok", WRONG: "wrong", NOTHING: "nothing"}  # by exit code
_WORDS = {"ok": "OK", "wrong": "WRONG", "nothing": "NOTHING DONE"}
_NUMBERS = frozenset(one.name for one in TABLE if one.is_number)
_LIST = "samples_s"
_FACTS = {"cpu": "", "gpu": "", "torch": "torch ", "convbench": "convbench ", "commit": "commit "}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFindings:
    """The rows of a run, or of several files.

    Attributes:
        state: ok, wrong or nothing (done).
        reproduce: the command that reproduces a result.
        files: the file of each row; empty for a run.
    """

    command: str
    pairs: Sequence[Pair]
    state: str
    reproduce: Callable[[Result], str]
    files: Sequence[str] = ()

    @property
    def headline(self) -> str:
        """The answer in one line: `OK: 12 timed, 3 skipped`."""
        counts = count_outcomes(result for _, result in self.pairs)
        return (
            f"{_WORDS[self.state]}: {', '.join(f'{number:,} {kind}' for kind, number in counts.items()) or 'no rows'}"
        )

    def tests(self) -> list[CiTest]:
        return [self._judged(row["threads"], result) for row, result in self.pairs]

    def _judged(self, threads: str, result: Result) -> CiTest:
        key = result.key(threads)
        match result.outcome:
            case Timed() as timed:
                return CiTest(key=key, state="passed", time_s=timed.median_s)
            case Verified():
                return CiTest(key=key, state="passed")
            case Skipped(reason):
                return CiTest(key=key, state="skipped", words=reason)
            case Wrong(check):
                words = check.cause or check.evidence or ""
            case Failed(message):
                words = message
        kind = "wrong" if isinstance(result.outcome, Wrong) else "failed"
        return CiTest(key=key, state="failed", kind=kind, words=words, text="\n".join(self._fault(result)))

    def _fault(self, result: Result) -> list[str]:
        smaller = shrunk(result)
        return fault_lines(result, self.reproduce(result), "" if smaller is None else self.reproduce(smaller))

    def as_json(self) -> dict[str, Any]:
        """Every row with the columns of the CSV: numbers as numbers, null for empty ones and for infinity."""
        rows = []
        for number, (row, result) in enumerate(self.pairs):
            found = {"file": self.files[number]} if self.files else {}
            found |= {name: _value(name, text) for name, text in row.items() if name}
            if isinstance(result.outcome, Wrong | Failed):
                found["reproduce"] = self.reproduce(result)
            rows.append(found)
        return {
            "command": self.command,
            "schema": SCHEMA,
            "state": self.state,
            "headline": self.headline,
            "counts": dict(count_outcomes(result for _, result in self.pairs)),
            "rows": rows,
        }

    def markdown(self) -> str:
        """A comment for a pull request, or the summary of a step: the result, the faults, then the rest collapsed."""
        results = [result for _, result in self.pairs]
        parts = [f"### convbench {self.command}: {md.escaped(self.headline)}", ""]
        if facts := self._facts():
            parts += [md.escaped(facts), ""]
        room = md.Room(parts)
        faults = [line for one in results for line in self._fault(one)]
        parts += md.folded("", room.take(f"- {md.escaped(line)}" for line in faults))
        parts += md.folded("", room.take(f"- {md.escaped(line)}" for line in _answers(results)))
        if timed := [one for one in results if isinstance(one.outcome, Timed)]:
            head = [md.row(("case", "backend", "time", "vs torch", "verdict")), "| --- | --- | ---: | ---: | --- |"]
            parts += md.folded(f"{len(timed):,} timed rows", _under(head, room.take(map(_timed_row, timed))))
        if any(isinstance(one.outcome, Verified | Wrong) for one in results):
            head = [
                md.row(("backend", "verified", "wrong", "failed", "skipped", "err/bound")),
                "| --- | ---: | ---: | ---: | ---: | ---: |",
            ]
            parts += md.folded("", _under(head, room.take(_backend_rows(results))))
        notes = [*remark_lines(results), *defect_lines(results)]
        parts += md.folded("notes", room.take(f"- {md.escaped(line)}" for line in notes))
        if room.left_out:
            parts.append(f"{room.left_out:,} more lines did not fit; the CSV file has every row.\n")
        return "\n".join(parts).rstrip("\n") + "\n"

    def _facts(self) -> str:
        """The machine and the versions: each fact once, several where the files differ."""
        found = {name: dict.fromkeys(row[name] for row, _ in self.pairs if row[name]) for name in _FACTS}
        words = {name: " and ".join(values) for name, values in found.items() if values}
        return ", ".join(f"{_FACTS[name]}{text}" for name, text in words.items())


def _value(column: str, text: str) -> Any:
    if not text:
        return None
    if column == _LIST:
        return [float(one) for one in text.split()]
    if column not in _NUMBERS:
        return text
    number = json.loads(text) if text.isdecimal() and text.isascii() else float(text)
    return number if isfinite(number) else None


def _under(head: Sequence[str], lines: Sequence[str]) -> list[str]:
    return [*head, *lines] if lines else []


def _answers(results: Sequence[Result]) -> list[str]:
    """Of each suite and each set of axes the backend that is fastest overall, where there is a choice to make."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        groups.setdefault((one.case.problem.suite, one.key().axes), []).append(one)
    said = {key: answer(group) for key, group in groups.items() if standings(group).winner is not None}
    heading = len([words for words in said.values() if words]) > 1  # a suite of one case has no answer
    return [
        f"{suite_title(groups[suite, axes])} {axes}: {words}" if heading else words
        for (suite, axes), words in said.items()
        if words
    ]


def _timed_row(result: Result) -> str:
    timed, key = result.outcome, result.key()
    assert isinstance(timed, Timed)
    compared = timed.comparison
    cells = (
        f"{key.name if key.suite == 'shape' else f'{key.suite}:{key.name}'} {key.axes}",
        result.backend,
        seconds(timed.median_s),
        ratio_words(compared) if compared else "",
        compared.verdict if compared else "",
    )
    return md.row(map(md.escaped, cells))


def _backend_rows(results: Sequence[Result]) -> list[str]:
    """How often each backend had which outcome, and how near its bound it came."""
    rows = []
    for backend in dict.fromkeys(one.backend for one in results):
        own = [one for one in results if one.backend == backend]
        counts = count_outcomes(own)
        right = [one.outcome.check.worst_of_bound for one in own if isinstance(one.outcome, Verified | Timed)]
        numbers = (counts["verified"] + counts["timed"], counts["wrong"], counts["failed"], counts["skipped"])
        rows.append(md.row((md.escaped(backend), *map(str, numbers), share(max(right)) if right else "")))
    return rows
