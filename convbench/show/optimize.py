"""How does a race of whole models look: a table of our own layers, one of the candidates, and a sentence?"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.errors import plural
from convbench.optimize.candidates import BASELINE
from convbench.show.ledger import hanging
from convbench.show.tables import plain_table
from convbench.show.units import duration, seconds

if TYPE_CHECKING:
    from convbench.optimize.race import CandidateRow, Race
    from convbench.outcome import PairedRatio

MOST_LAYERS = 12
INTERVALS_FROM = 72  # columns; the sentence below has that of the winner
WIDE_FROM = 100  # columns: from there on the two parts of the setup are shown
COLUMNS = (
    "model input threads accuracy candidate outcome median_s alone_s samples noisy ratio low high verdict relative_l2 "
    "eager_relative_l2 export_s build_s winner note"
).split()
OUTCOME = {"missing": "not installed", "failed": "failed", "wrong": "wrong", "behind": "not raced"}


def page(race: "Race", width: int, *, layers: str = "slowest") -> Group:
    """Everything, for a terminal of that width."""
    parts: list[RenderableType] = []
    if race.layers:
        parts += layers_part(race, every=layers == "all")
    title = f"{race.model} on {race.shapes}, fp32, {plural(race.threads, 'thread')}, accuracy {race.accuracy}"
    parts += [Text(line, "bold") for line in wrap(title, width - 1)]
    parts += [models_table(race, width), *hanging(remarks(race), width)]
    parts += [Text(), *(Text(line, "bold") for line in wrap(sentence(race), width - 1))]
    for heading, name in _how(race):
        parts += [Text(), Text(heading, "dim"), *(Text(f"  {line}") for line in race.lines(name))]
    return Group(*parts)


def models_table(race: "Race", width: int) -> Table:
    """The candidates that ran, the fastest first."""
    table = plain_table()
    wide = width >= WIDE_FROM
    table.add_column("candidate", no_wrap=True)
    intervals = ["interval"] if width >= INTERVALS_FROM else []
    heads = ["median", "vs eager", *intervals, "error", *(["export", "build"] if wide else ["setup"])]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    ran = [one for one in race.rows if one.median_s is not None]
    for row in sorted(ran, key=lambda one: one.median_s or 0.0):
        style = "bold" if row.name == race.winner else ""
        bill = [_billed(row.export_s), _billed(row.build_s)] if wide else [_billed(row.bill_s)]
        table.add_row(
            row.name,
            f"{'~' * row.noisy}{seconds(row.median_s)}",
            *_against(row)[: 1 + len(intervals)],
            _error(row.error),
            *bill,
            style=style,
        )
    return table


def layers_part(race: "Race", *, every: bool) -> list[RenderableType]:
    """The layers of our own graph, the slowest first: what it would run by default, and what tuning chose."""
    rows = sorted(race.layers, key=lambda one: -(one.get("chosen_s") or 0.0))
    shown = rows if every else rows[:MOST_LAYERS]
    more = "" if len(shown) == len(rows) else f", the slowest {len(shown)} of {len(rows)} (--layers all)"
    table = plain_table()
    table.add_column("layer", overflow="fold")
    for head in ("time", "gain", "error"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in shown:
        default, chosen, default_s, chosen_s = (one.get(key) for key in ("default", "chosen", "default_s", "chosen_s"))
        gain = f"{default_s / chosen_s:.2f}x" if default_s and chosen_s else ""
        how = str(chosen) if default == chosen else f"{default} -> {chosen}"
        about = (f"\n{one.get('operation')}: {how}", "dim")
        table.add_row(
            Text.assemble((str(one.get("name")), "bold"), about), seconds(chosen_s), gain, _error(one.get("error"))
        )
    return [Text(f"Layers of convbench's own graph{more}", "bold"), table]


def remarks(race: "Race") -> Iterator[str]:
    """What the table cannot show."""
    for row in race.rows:
        if row.outcome != "raced":
            yield f"{row.name}: {OUTCOME[row.outcome]}: {row.note}"
    yield (
        f"error: relative L2 against float64, the worst of {plural(race.inputs, 'input')}; eager itself "
        f"{race.eager_error:.1e}"
    )
    yield "setup: export, compilation and first call, once per process"
    if race.layers:
        yield "layers: default -> chosen by tuning; time and gain are within the whole model"
    if race.torch_share:
        yield f"convbench: {100 * race.torch_share:.0f} % of its time is in layers that torch runs for it"
    if any(row.noisy for row in race.rows):
        yield "~: too few undisturbed samples, so disturbed ones were used"
    yield from race.remarks


def sentence(race: "Race") -> str:
    """What to use."""
    if not race.winner and race.short is not None:
        return (
            f"No verdict yet: it takes {plural(race.short.least, 'round')}, and there was time for "
            f"{race.short.rounds}. Run it again with --budget {race.short.budget_s}."
        )
    if not race.winner:
        return (
            "The machine is too busy to tell which candidate is fastest; convbench doctor says what disturbs it. Run "
            f"it again with --wait-until-quiet, a larger --budget{' or fewer --threads' * (race.threads > 1)}."
        )
    won = race.row(race.winner)
    if won.ratio is None:
        others = sum(one.outcome in ("raced", "behind") for one in race.rows) - 1
        if not others:
            return "Keep torch eager: no other candidate was raced."
        said = f"none of {others} other candidates is" if others > 1 else "no other candidate is"
        return f"Keep torch eager: {said} certainly faster on this machine."
    text = f"Use {won.name}: {won.ratio.ratio:.2f}x as fast as eager ({_ends(won.ratio)})"
    if race.second is not None:
        name, ratio = race.second
        if ratio.verdict == "tie":
            text += f"; {name} is level with it"
        elif ratio.verdict == "undecided":
            again = "" if race.short is None else f" (--budget {race.short.budget_s} may)"
            text += f"; this race could not tell {name} from it{again}"
        else:
            ends = f"{1 / ratio.high:.2f} to {1 / ratio.low:.2f}"
            text += f", and {1 / ratio.ratio:.2f}x as fast as the next, {name} ({ends})"
    return text + "."


def record(race: "Race") -> dict[str, Any]:
    """Everything as plain values."""
    return {
        "model": race.model,
        "identity": race.identity,
        "input": race.shapes,
        "threads": race.threads,
        "accuracy": race.accuracy,
        "inputs_compared": race.inputs,
        "eager_relative_l2": race.eager_error,
        "winner": race.winner,
        "budget_s_needed": None if race.short is None else race.short.budget_s,
        "second": None if race.second is None else {"candidate": race.second[0], **_ratio(race.second[1])},
        "candidates": [
            dict(zip(COLUMNS[4:-2], _cells(row, race)[4:-2], strict=True))
            | {"note": row.note, "code": list(race.lines(row.name))}
            for row in race.rows
        ],
        "layers": [dict(one) for one in race.layers],
        "torch_share": race.torch_share,
        "remarks": list(race.remarks),
        "sentence": sentence(race),
    }


def write_csv(race: "Race", file: TextIO) -> None:
    """A row for each candidate."""
    out = csv.writer(file, lineterminator="\n")
    out.writerow(COLUMNS)
    out.writerows(["" if cell is None else cell for cell in _cells(row, race)] for row in race.rows)


def rows_of(race: "Race") -> Iterator[Sequence[str | float | None]]:
    """For a pipe."""
    for row in race.rows:
        yield _cells(row, race)


def _cells(row: "CandidateRow", race: "Race") -> list[Any]:
    ratio = _ratio(row.ratio)
    return [
        race.model,
        race.shapes,
        race.threads,
        race.accuracy,
        row.name,
        row.outcome,
        row.median_s,
        row.alone_s,
        row.samples if row.median_s is not None else None,
        row.noisy if row.median_s is not None else None,
        ratio["ratio"],
        ratio["low"],
        ratio["high"],
        ratio["verdict"],
        row.error,
        race.eager_error,
        row.export_s,
        row.build_s,
        race.winner,
        row.note,
    ]


def _ratio(one: "PairedRatio | None") -> Mapping[str, Any]:
    if one is None:
        return dict.fromkeys(("ratio", "low", "high", "verdict"))
    return {
        "ratio": one.ratio,
        "low": one.low,
        "high": one.high if isfinite(one.high) else None,
        "verdict": one.verdict,
    }


def _against(row: "CandidateRow") -> tuple[str, str]:
    if row.ratio is None:
        return ("1.00x", "") if row.name == "eager" else ("", "")
    if not isfinite(row.ratio.high) or (row.noisy and row.ratio.verdict == "undecided"):
        return f"~{row.ratio.ratio:.2f}x", "unknown"
    return f"{row.ratio.ratio:.2f}x", _ends(row.ratio)


def _ends(one: "PairedRatio") -> str:
    return f"{one.low:.2f} to {one.high:.2f}"


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _billed(value: float | None) -> str:
    return "" if not value else duration(value) if value >= 0.05 else "<0.1 s"


def _how(race: "Race") -> Iterator[tuple[str, str]]:
    """How to get the winner; where that is our own graph, the best of the others too."""
    if race.winner == "convbench":
        yield "In Python:", race.winner
    ours = ("convbench", BASELINE)
    others = [one for one in race.rows if one.median_s is not None and one.outcome == "raced" and one.name not in ours]
    if race.winner and others:
        best = min(others, key=lambda one: one.median_s or 0.0).name if race.winner == "convbench" else race.winner
        yield f"Without convbench, by {best}:", best
