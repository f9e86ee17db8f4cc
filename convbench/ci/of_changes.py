"""What does compare tell CI?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from convbench.ci import markdown as md
from convbench.ci.findings import CiTest, Pair
from convbench.compare import Changes, RowChange
from convbench.show.changes import (
    ORDER,
    SPEED,
    TIME,
    apart_lines,
    apart_words,
    factor,
    gate_title,
    headline,
    key_cells,
    method,
    note_lines,
    remarks,
)
from convbench.show.units import seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesFindings:
    """Two files compared; its numbers are those of the second file, `pairs`."""

    changes: Changes
    pairs: Sequence[Pair]
    command: str = "compare"

    def tests(self) -> list[CiTest]:
        """Regressions fail, rows that were not compared or not decided are skipped; --undecided fail fails those."""
        changes, found = self.changes, []
        states = {"regression": "failed", "undecided": "failed" if changes.gate.undecided == "fail" else "skipped"}
        for row in changes.rows:
            words = f"{row.verdict}: {factor(row.judged)}, {seconds(row.before_s)} -> {seconds(row.after_s)}"
            state = states.get(row.state, "passed")
            kind = row.state if state == "failed" else ""
            found.append(CiTest(key=row.key, state=state, kind=kind, words=words, time_s=row.after_s))
        for one in changes.apart:
            state = "failed" if one.regression else "skipped"
            kind = "regression" if one.regression else ""
            words = f"{apart_words(one)}: {one.reason}"
            found.append(CiTest(key=one.key, state=state, kind=kind, words=words))
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values; an unbounded interval has null there."""
        changes = self.changes
        found = {"command": self.command} | asdict(changes)
        found |= {"state": changes.state, "drifted": changes.drifted, "headline": headline(changes)}
        keys = [*(row.key for row in changes.rows), *(one.key for one in changes.apart)]
        for one, key in zip(found["rows"] + found["apart"], keys, strict=True):
            one["key"] = key_cells(key)
        plain: dict[str, Any] = _plain(found)
        return plain

    def markdown(self) -> str:
        """A comment for a pull request: the result, the regressions, then the rest collapsed.

        If it does not fit into a comment, the least important rows are left out first, and counted.
        """
        changes = self.changes
        parts = [f"### convbench: {md.escaped(headline(changes))}", ""]
        parts += [f"{md.escaped(line)}\n" for line in (f"{changes.before}, then {changes.after}", *remarks(changes))]
        what = SPEED if changes.gate.relative else TIME
        if changes.wholes:
            parts += [f"| backend | geometric mean of {what} | rows |", "| --- | ---: | ---: |"]
            parts += [md.row((md.escaped(one.backend), factor(one.factor), str(one.rows))) for one in changes.wholes]
            parts.append("")
        head = [
            md.row(("case", "backend", "before", "after", what, "change", gate_title(changes.gate))),
            "| --- | --- | ---: | ---: | ---: | --- | --- |",
        ]
        bad = [row for row in changes.rows if row.state == "regression"]
        rest = sorted((row for row in changes.rows if row not in bad), key=lambda row: ORDER.index(row.state))
        room = md.Room(parts)
        for title, rows in (("", bad), (f"{len(rest)} other rows", rest)):
            if lines := room.take(map(_row, rows)):
                parts += md.folded(title, [*head, *lines])
        for title, words in (("not compared", apart_lines(changes)), ("notes", note_lines(changes))):
            parts += md.folded(title, room.take(f"- {md.escaped(line)}" for line in words))
        if room.left_out:
            parts.append(f"{room.left_out} more lines did not fit; `convbench compare` prints them all.\n")
        parts.append(f"<sub>{md.escaped(method(changes))}</sub>")
        return "\n".join(parts) + "\n"


def _row(row: RowChange) -> str:
    where = f"{row.key.suite}:{row.key.name} {row.key.axes}"
    state = "**regression**" if row.state == "regression" else row.state
    cells = (where, row.key.backend, seconds(row.before_s), seconds(row.after_s), factor(row.judged), row.verdict)
    return md.row((*map(md.escaped, cells), state))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
