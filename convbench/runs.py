"""Which rows of a results file belong to one run, so that their times may be summed?

A file may hold more than one: two files joined, a run repeated into the same file, rows of another machine.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from convbench.case import RowKey
from convbench.outcome import Result, Timed
from convbench.shards import KIND

Pair = tuple[Mapping[str, str], Result]
_Part = tuple[tuple[str, ...], str, int]


def runs_apart(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The rows by run, in their order; each run has the words that tell it from the others, the only one none.

    Rows of two machines are two runs, rows of two regimes too, and a row that is there for the second time is of a
    second run. What was not timed goes with the times of its block.
    """
    machines, regimes = _machines(pairs), _regimes(pairs)
    seen: Counter[tuple[object, ...]] = Counter()
    found: dict[_Part, list[Pair]] = {}
    for pair, machine, regime in zip(pairs, machines, regimes, strict=True):
        key = (machine, regime, _key(pair))
        seen[key] += 1
        found.setdefault((machine, regime, seen[key]), []).append(pair)
    return {_words(part, list(found)): own for part, own in found.items()}


def _words(part: _Part, parts: Sequence[_Part]) -> str:
    """What tells this run from the others."""
    machine, regime, number = part
    facts = [
        fact for place, fact in enumerate(machine) if len({others[place] for others, _, _ in parts}) > 1
    ]  # names, CPUs or GPUs, whichever differ
    facts += [regime] if len({other for _, other, _ in parts}) > 1 else []
    facts += [f"run {number}"] if max(other for _, _, other in parts) > 1 else []
    return ", ".join(fact or "unknown" for fact in facts)


def _machines(pairs: Iterable[Pair]) -> list[tuple[str, ...]]:
    """The machine of each row: its name, CPU and GPU. A row on a CPU is of the machine whose GPU other rows name.

    The shards of a sweep are one run on each kind of machine, so those have no name.
    """
    rows = [{**row, "machine": machine_name(row)} for row, _ in pairs]
    gpus: dict[tuple[str, str], str] = {}
    for row in rows:
        if row["gpu"]:
            gpus.setdefault((row["machine"], row["cpu"]), row["gpu"])
    return [(row["machine"], row["cpu"], row["gpu"] or gpus.get((row["machine"], row["cpu"]), "")) for row in rows]


def machine_name(row: Mapping[str, str]) -> str:
    """The machine of a row, empty in a shard of a sweep: any machine of its kind may have run it."""
    return "" if row["shard"] else row["machine"]


def kind_of(row: Mapping[str, str]) -> str:
    """The kind of machine that a shard was run on, as words; empty in a row of no shard."""
    return " ".join(filter(None, map(row.__getitem__, KIND))) if row["shard"] else ""


def _regimes(pairs: Sequence[Pair]) -> list[str]:
    """The regime of each row, as `Timed.regime`: of one without times that of the nearest with times in its block."""
    own = [result.outcome.regime if isinstance(result.outcome, Timed) else "" for _, result in pairs]
    timed: dict[RowKey, list[int]] = {}
    for number, regime in enumerate(own):
        if regime:
            timed.setdefault(_key(pairs[number]).block, []).append(number)
    found, last = [], next(filter(None, own), "")
    for number, regime in enumerate(own):
        near = () if regime else timed.get(_key(pairs[number]).block, ())
        last = regime or (own[min(near, key=lambda other: abs(other - number))] if near else last)
        found.append(last)
    return found


def _key(pair: Pair) -> RowKey:
    row, result = pair
    return result.key(row["threads"])
