"""What do the results say, as one page that needs no network and no server?

Everything comes from the CSV and is escaped: into HTML, into the JSON that the script
reads, and into a shell's command. The script may run by its hash alone, so no other can.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from pathlib import Path

from convbench.backend import BASELINE
from convbench.bench.decision import standings, winners
from convbench.outcome import Failed, Picture, Result, Skipped, Timed, Wrong
from convbench.show.charts import Entry, by_machine, group_title, grouped, ratio_chart, roofline_chart, series
from convbench.show.heatmap import LEVELS, heat_svg, used_levels
from convbench.show.html import allowed, as_json, fill, read
from convbench.show.scene import Scene
from convbench.show.tables import (
    DOUBTFUL,
    answer,
    cause_cut_words,
    doubt_lines,
    geomean_words,
    layers_title,
    ratio_words,
    shrunk,
    skip_lines,
    smallest_words,
)
from convbench.show.units import amount, gflops, rate, seconds, share

MOST_SAMPLES, ALL_SAMPLES = 200, 500_000  # of a row, and of the page
LEAST_SAMPLES = 40
MOST_FAULTS, MOST_MAPS = 200, 24
MOST_ROWS = 10_000  # a browser takes seconds for so many, and a page of them some 15 MB
# What the rows of one run share.
MACHINE = tuple("machine cpu gpu driver python torch cuda cudnn onednn convbench commit command".split())
# Columns that stand elsewhere in the detail of a row; those of later versions join the facts.
_ELSEWHERE = frozenset([*MACHINE, *"n c h w k r s stride padding dilation groups backend reason samples_s".split()])
# A word next to each sign: neither colour nor sign alone.
SIGNS = {
    "faster": "▲",
    "slower": "▼",
    "tie": "=",
    "undecided": "?",
    "baseline": "●",
    "timed": "●",
    "verified": "✓",
    "skipped": "-",
    "wrong": "✕",
    "failed": "!",
}
_FACTS = (
    "suite name count spec device threads dtype layout precision pass epilogue seed family outcome median_s "
    "q25_s q75_s min_s samples ratio_to_torch ratio_low ratio_high verdict gflops gbytes_per_s percent_of_ceiling "
    "relative_l2 worst_of_bound first_call_s prepare_s peak_nbytes patch_matrix_nbytes ran time"
).split()


# The sections of each page in their order, with the words that lead to them; the machine comes last in both.
REPORT = {"who": "Who wins", "rows": "All rows", "ratios": "Ratios", "roofline": "Roofline", "faults": "Not timed"}
VERIFY = {"faults": "Faults", "backends": "Backends", "rows": "All rows"}


def verify_page(entries: Sequence[Entry], *, title: str = "convbench verify") -> str:
    """What was found right and wrong, as HTML: the faults first, each with its cause, commands and heat map."""
    return page(entries, title=title, sections=VERIFY)


def page(entries: Sequence[Entry], *, title: str = "convbench report", sections: Mapping[str, str] = REPORT) -> str:
    """The whole page as HTML.

    Args:
        entries: rows of one or more files, numbered from 0 in their order.
        sections: which of them, and the words that lead to each.
    """
    groups = grouped(entries)
    numbers = series(entries)
    whole = len(entries) <= MOST_ROWS
    listed = entries if whole else ()
    columns = _columns(entries)
    table = [_cells(entry, columns) for entry in listed]
    ratios = (ratio_chart(group_title(key, groups), own, numbers) for key, own in groups.items())
    rooflines = (roofline_chart(name, own, numbers) for name, own in by_machine(entries).items())
    draw: dict[str, tuple[str, Callable[[], str]]] = {
        "who": ("Who wins where", lambda: _standings(groups)),
        "rows": ("All rows", lambda: _rows(entries, columns, table) if whole else _counts(entries)),
        "ratios": ("Ratios to torch", lambda: _charts(ratios) or "<p>No row was compared with torch.</p>"),
        "roofline": ("Roofline", lambda: _charts(rooflines) or "<p>No row was timed.</p>"),
        "faults": ("Wrong, failed and skipped", lambda: _faults(entries)),
        "backends": ("By backend", lambda: _verdicts(entries)),
        "machine": ("Machine and commands", lambda: _machines(entries)),
    }
    links = {
        place: words
        for place, words in {**sections, "machine": "Machine and commands"}.items()
        if whole or place not in ("ratios", "roofline")
    }
    shown = [(place, *draw[place]) for place in links]
    script = read("page.js")
    parts = {
        "script_hash": allowed(script),
        "title": escape(title),
        "css": read("style.css", "page.css"),
        "js": script,
        "summary": _summary(entries, groups),
        "contents": "\n".join(f'<a href="#{place}">{words}</a>' for place, words in links.items()),
        "sections": "\n".join(
            f'<section id="{place}">\n<h2>{head}</h2>\n{body()}\n</section>' for place, head, body in shown
        ),
        "footer": f"Made by {escape(title)} from its rows only; times are in seconds unless a unit is given.",
        "data": _json(listed, table),
    }
    return fill("page.html", parts)


def again(entry: Entry) -> str:
    """A command that shows this row again, fit for a shell whatever its cells hold."""
    row, case = entry.row, entry.result.case
    timed = isinstance(entry.result.outcome, Timed)
    backend = entry.result.backend
    names = f"{BASELINE},{backend}" if timed and backend != BASELINE else backend
    words = ["convbench", "bench" if timed else "verify", "--backend", names, *case.flags().split()]
    words += ["--threads", row["threads"]] if row["threads"] else []
    return shlex.join([*words, *_plugins(row["command"])])


def _plugins(command: str) -> list[str]:
    """The plug-ins that the run had, and --force."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    pairs = list(pairwise(words))
    found = [word for pair in pairs if pair[0] == "--plugin" for word in pair]
    found += [word for word in words if word.startswith("--plugin=") or word == "--force"]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PageColumn:
    """Heading, share of the table's width, and whether it holds numbers."""

    name: str
    width: int
    number: bool = False


def _columns(entries: Sequence[Entry]) -> list[PageColumn]:
    """The axes only where they differ, the ceiling only if there is one."""
    several = len({entry.axes for entry in entries}) > 1
    sizes, files = (len(set(own)) > 1 for own in (map(_size, entries), (entry.file for entry in entries)))
    timed = any(isinstance(entry.result.outcome, Timed) for entry in entries)
    ceiling = any(entry.number_of("percent_of_ceiling") is not None for entry in entries)
    found = [
        *([PageColumn(name="File", width=11)] if files else []),
        PageColumn(name="Case", width=18),
        *([PageColumn(name="Size", width=8)] if sizes else []),
        PageColumn(name="Backend", width=13),
        *([PageColumn(name="Axes", width=17)] if several else []),
        PageColumn(name="Outcome", width=10),
        *(_TIMES if timed else []),
        *([PageColumn(name="% of peak", width=9, number=True)] if ceiling else []),
        PageColumn(name="Error", width=8, number=True),
    ]
    # The words take what is left of a table that may be wider than the window.
    return [*found, PageColumn(name="Reason", width=max(12, 100 - sum(column.width for column in found)))]


_TIMES = (
    PageColumn(name="Speed vs torch", width=16, number=True),
    PageColumn(name="Time", width=8, number=True),
    PageColumn(name="Images/s", width=9, number=True),
    PageColumn(name="GFLOP/s", width=9, number=True),
)


def _heading(column: PageColumn) -> str:
    return f'<th scope="col" style="width:{column.width}%"{_look(column)}>{column.name}</th>'


def _look(column: PageColumn) -> str:
    return ' class="n"' if column.number else ""


Cell = tuple[str, str | float | None]


def _size(entry: Entry) -> str:
    return entry.result.case.problem.size


def _cells(entry: Entry, columns: Sequence[PageColumn]) -> list[Cell]:
    """What each column shows, and what it is sorted by."""
    result, outcome, problem = entry.result, entry.result.outcome, entry.result.case.problem
    error, percent = entry.number_of("worst_of_bound"), entry.number_of("percent_of_ceiling")
    case = f"{problem.suite}:{problem.layer}"
    found: dict[str, Cell] = {
        "File": (Path(entry.file).name, entry.file),
        "Case": (case, case),
        "Size": (problem.size, problem.size),
        "Backend": (result.backend, result.backend),
        "Axes": (entry.axes, entry.axes),
        "Outcome": (f"{SIGNS[entry.status]} {entry.status}", entry.status),
        "% of peak": ("" if percent is None else f"{percent:.0f} %", percent),
        "Error": ("" if error is None else share(error), error),
        "Reason": (_reason(entry), _reason(entry) or None),
    }
    if isinstance(outcome, Timed):
        spec, time_s = result.case.spec, outcome.median_s
        found["Time"] = (f"{DOUBTFUL * bool(outcome.noise.doubt)}{seconds(time_s)}", time_s)
        found["Images/s"] = (rate(spec.n / time_s), spec.n / time_s)
        found["GFLOP/s"] = (gflops(spec.flops, time_s), spec.flops / time_s)
        if (ratio := outcome.comparison) is not None:
            found["Speed vs torch"] = (ratio_words(ratio, 3), ratio.ratio)
        elif result.backend == BASELINE:
            found["Speed vs torch"] = ("1x", 1.0)
    return [found.get(column.name, ("", None)) for column in columns]


def _reason(entry: Entry) -> str:
    """The cause where it is known, and where it is wrong; of a time, why it is in doubt."""
    outcome = entry.result.outcome
    doubt = outcome.noise.doubt if isinstance(outcome, Timed) else ""
    return "; ".join(filter(None, (entry.row.get("cause", ""), entry.row["reason"], doubt and f"timed {doubt}")))


def _rows(entries: Sequence[Entry], columns: Sequence[PageColumn], table: Sequence[Sequence[Cell]]) -> str:
    """The table of all rows, and what chooses among them."""
    rows = (_table_row(entry, columns, cells) for entry, cells in zip(entries, table, strict=True))
    parts = {"filters": _filters(entries), "headings": "".join(map(_heading, columns)), "rows": "\n".join(rows)}
    return fill("rows.html", parts)


def _counts(entries: Sequence[Entry]) -> str:
    """How the rows of each suite, backend and choice of axes came out, where they are too many for a browser."""
    return (
        f"<p>There are {len(entries):,} rows, and a page lists at most {MOST_ROWS:,}, so they are only counted here, "
        f"without charts; report fewer files, or a part of the rows, to see both.</p>"
    ) + _tally(
        ("suite", "backend", "axes"),
        ((entry.status, (entry.result.case.problem.suite, entry.result.backend, entry.axes)) for entry in entries),
    )


def _tally(headings: Sequence[str], rows: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """How many rows of each kind came out how, each row by its status and its kind."""
    found: dict[tuple[str, ...], Counter[str]] = {}
    for status, kind in rows:
        found.setdefault(kind, Counter())[status] += 1
    words = [word for word in SIGNS if any(count[word] for count in found.values())]
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    head += "".join(f'<th scope="col" class="n">{SIGNS[word]} {word}</th>' for word in words)
    lines = []
    for (first, *others), count in found.items():
        names = f'<th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(other)}</td>" for other in others)
        cells = "".join(f'<td class="n{f" {word}" if count[word] else ""}">{count[word] or ""}</td>' for word in words)
        lines.append(f"<tr>{names}{cells}</tr>")
    return _scroll(
        " by ".join(("rows", *headings)),
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>",
    )


def _scroll(label: str, content: str, *, kind: str = "scroll") -> str:
    """What may be wider than the page, in a box that keys can reach and scroll."""
    return f'<div class="{kind}" tabindex="0" role="group" aria-label="{escape(label)}">{content}</div>'


def _table_row(entry: Entry, columns: Sequence[PageColumn], cells: Sequence[Cell]) -> str:
    parts = []
    for column, (text, _) in zip(columns, cells, strict=True):
        look = f' class="{entry.status}"' if column.name == "Outcome" else _look(column)
        # What may be cut on a screen is whole when pointed at.
        problem = entry.result.case.problem
        whole = {"Case": f"{problem.suite}:{problem.name} {problem.spec}", "File": entry.file}
        title = {**whole, "Reason": text, "Backend": text}.get(column.name, "")
        parts.append(f"<td{look}{_title(title)}>{escape(text)}</td>")
    return f'<tr data-row="{entry.number}">{"".join(parts)}</tr>'


def _title(text: str) -> str:
    return f' title="{escape(text)}"' if text else ""


def _json(entries: Sequence[Entry], table: Sequence[Sequence[Cell]]) -> str:
    """What the script needs of each row."""
    most = max(LEAST_SAMPLES, min(MOST_SAMPLES, ALL_SAMPLES // max(1, len(entries))))
    baselines = {
        (entry.group, entry.result.case): entry.number
        for entry in entries
        if entry.result.backend == BASELINE and isinstance(entry.result.outcome, Timed)
    }
    facts = list(dict.fromkeys([*_FACTS, *(name for entry in entries for name in entry.row if name not in _ELSEWHERE)]))
    contexts: dict[tuple[str, ...], int] = {}
    rows = []
    for entry, cells in zip(entries, table, strict=True):
        outcome = entry.result.outcome
        samples = outcome.samples_s if isinstance(outcome, Timed) else ()
        drawn = min(most, len(samples))
        chosen = [samples[number * len(samples) // drawn] for number in range(drawn)]
        middle = outcome.median_s if isinstance(outcome, Timed) else 1.0
        context = contexts.setdefault((entry.file, *(entry.row[name] for name in MACHINE)), len(contexts))
        rows.append(
            {
                "backend": entry.result.backend,
                "name": entry.result.case.problem.name,
                "status": entry.status,
                "reason": entry.row["reason"],
                "cells": [key for _, key in cells],
                "filters": {name: choice(entry) for name, (_, choice) in FILTERS.items()},
                "median_s": middle,
                "samples": [round(1000 * sample / middle) for sample in chosen],
                "drawn": drawn,
                "count": len(samples),
                "baseline": baselines.get((entry.group, entry.result.case)),
                "context": context,
                "again": again(entry),
                "facts": [entry.row.get(name, "") for name in facts],
            }
        )
    shared = [dict(zip(("file", *MACHINE), values, strict=True)) for values in contexts]
    return as_json({"facts": facts, "rows": rows, "contexts": shared})


def _summary(entries: Sequence[Entry], groups: Mapping[tuple[str, str, str], Sequence[Entry]]) -> str:
    """How many came out how, and the first answer."""
    counts = Counter(_outcome(entry) for entry in entries)
    words = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "no rows"
    parts = [f'<p class="quiet">{escape(words)}; from {_list(dict.fromkeys(entry.file for entry in entries))}.</p>']
    if bad := counts["wrong"] + counts["failed"]:
        parts.append(f'<p class="verdict wrong">✕ {bad} wrong or failed: <a href="#faults">see them</a>.</p>')
    for key, own in groups.items():
        if said := answer([entry.result for entry in own]):
            parts.append(f'<p class="verdict">{escape(group_title(key, groups))}: {escape(said)}</p>')
    parts += [f'<p class="quiet">{escape(line)}</p>' for line in doubt_lines([entry.result for entry in entries])]
    return "\n".join(parts)


def _outcome(entry: Entry) -> str:
    return entry.row["outcome"]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"<code>{escape(name)}</code>" for name in names)


def _time(value: float | None) -> str:
    return seconds(value).replace(" ", "\N{NO-BREAK SPACE}")


def _percent(value: float) -> str:
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def _standings(groups: Mapping[tuple[str, str, str], Sequence[Entry]]) -> str:
    """For each suite: what one backend everywhere would cost, and how its cases were decided."""
    parts = []
    for key, own in groups.items():
        results = [entry.result for entry in own]
        found = standings(results).found
        if not found:
            continue
        won = Counter(winners(results).values())
        lines = []
        for one in found:
            verdicts = Counter(entry.status for entry in own if entry.result.backend == one.backend)
            cells = [
                _time(one.total_s),
                "" if one.regret is None else _percent(one.regret),
                geomean_words(one),
                *(str(verdicts[word]) if one.backend != BASELINE else "" for word in _DECIDED),
                str(won[one.backend]),
            ]
            numbers = "".join(f'<td class="n">{cell}</td>' for cell in cells)
            lines.append(f'<tr><th scope="row">{escape(one.backend)}</th>{numbers}</tr>')
        decided = (f"{SIGNS[word]} {word}" for word in _DECIDED)
        words = (layers_title(results), "regret", "geomean", *decided, "wins")
        head = "".join(f'<th scope="col" class="n">{escape(word)}</th>' for word in words)
        title = group_title(key, groups)
        table = (
            f'<table><thead><tr><th scope="col">backend</th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
        )
        parts.append(f"<h3>{escape(title)}</h3>{_scroll(title, table)}")
    parts.append(
        '<p class="quiet">all layers: the sum of its medians, each as often as the layer occurs in its model. regret: '
        "how much slower than the fastest backend per layer, by the ratios to torch. geomean: the mean of these ratios "
        "over all cases, or the number of cases timed. faster, slower, tie, undecided: cases, by the interval "
        "against torch. wins: cases in which its interval is above all others. Times are medians; ratios come from the "
        "rounds in which both were timed, not from the medians.</p>"
    )
    return "\n".join(parts) if len(parts) > 1 else "<p>Nothing was timed.</p>"


_DECIDED = ("faster", "slower", "tie", "undecided")


FILTERS: dict[str, tuple[str, Callable[[Entry], str]]] = {
    "file": ("File", lambda entry: entry.file),
    "suite": ("Suite", lambda entry: entry.result.case.problem.suite),
    "size": ("Size", _size),
    "backend": ("Backend", lambda entry: entry.result.backend),
    "axes": ("Axes", lambda entry: entry.axes),
    "status": ("Outcome", lambda entry: entry.status),
}


def _filters(entries: Sequence[Entry]) -> str:
    """A list for each way to choose rows, where there is more than one choice."""
    parts = []
    for name, (label, choice) in FILTERS.items():
        values = [choice(entry) for entry in entries]
        if name in ("file", "size") and len(set(values)) < 2:
            continue
        choices = "".join(f'<option value="{escape(one)}">{escape(one)}</option>' for one in dict.fromkeys(values))
        parts.append(f'<label>{label} <select name="{name}"><option value="">all</option>{choices}</select></label>')
    return "\n".join(parts)


def _charts(scenes: Iterable[Scene | None]) -> str:
    drawn = (scene for scene in scenes if scene is not None)
    return "\n".join(_scroll(scene.title, scene.svg(alone=False), kind="chart") for scene in drawn)


def _faults(entries: Sequence[Entry]) -> str:
    """Every wrong and failed row with its command, then the reasons of the skips."""
    parts = []
    bad = [entry for entry in entries if isinstance(entry.result.outcome, Wrong | Failed)]
    maps = MOST_MAPS
    for entry in bad[:MOST_FAULTS]:
        result = entry.result
        what = f"{SIGNS[entry.status]} {entry.status}: {result.backend} on {result.case.problem.name}"
        where = f"{result.case.spec}, {entry.axes}"
        check = result.outcome.check if isinstance(result.outcome, Wrong) else None
        cause = entry.row.get("cause") or (cause_cut_words(check) if check else "")
        parts.append(
            f'<h3 class="{entry.status}">{escape(what)}</h3>'
            + (f'<p class="verdict">{escape(cause)}</p>' if cause else "")
            + f"<p>{escape(where)}<br>{escape(entry.row['reason'])}</p>"
            f'<div class="command"><pre>{escape(again(entry))}</pre></div>'
        )
        words = smallest_words(check) if check else ""
        if (smaller := shrunk(result)) is not None:
            command = escape(again(replace(entry, result=smaller)))
            found = words if check and check.smallest_cut is not None else "smallest that was found"
            parts.append(f'<p>The {found}:</p><div class="command"><pre>{command}</pre></div>')
        elif words:
            parts.append(f"<p>{words.capitalize()}.</p>")
        picture = check.picture if check else None
        if picture is not None and maps:
            maps -= 1
            parts.append(_heat(picture))
    if len(bad) > MOST_FAULTS:
        parts.append(f"<p>And {len(bad) - MOST_FAULTS} more: the CSV has all.</p>")
    if not bad:
        parts.append("<p>Nothing was wrong and nothing failed.</p>")
    if skips := skip_lines(_results(entries, Skipped)):
        items = "".join(f"<li>{escape(line)}</li>" for line in skips)
        parts.append(f"<h3>Skipped</h3><ul>{items}</ul>")
    return "\n".join(parts)


def _heat(picture: Picture) -> str:
    """A heat map with its caption and the legend of its levels."""
    legend = "".join(
        f'<span><svg class="key" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">'
        f'<rect class="h{number}" width="12" height="12"/></svg> {escape(LEVELS[number][2])}</span>'
        for number in used_levels(picture)
    )
    return (
        f'<figure><figcaption class="quiet">Error / bound of {escape(picture.name)}, '
        f"{picture.rows}x{picture.columns} outputs; the worst image and channel.</figcaption>"
        f'{_scroll(f"heat map of {picture.name}", heat_svg(picture))}<p class="legend quiet">{legend}</p></figure>'
    )


def _verdicts(entries: Sequence[Entry]) -> str:
    """How many cases of each backend came out how."""
    return _tally(("backend",), ((entry.status, (entry.result.backend,)) for entry in entries))


def _results(entries: Iterable[Entry], kind: type) -> list[Result]:
    return [entry.result for entry in entries if isinstance(entry.result.outcome, kind)]


def _machines(entries: Sequence[Entry]) -> str:
    """The facts of each run: file, machine, versions, command, and when."""
    runs: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        runs.setdefault((entry.file, *(entry.row[name] for name in MACHINE)), []).append(entry)
    parts = []
    for (file, *values), own in runs.items():
        facts = dict(zip(MACHINE, values, strict=True))
        command = facts.pop("command")
        times = sorted(entry.row["time"] for entry in own)
        facts["threads"] = ", ".join(dict.fromkeys(entry.row["threads"] for entry in own))
        facts["rows"] = f"{len(own)}, from {times[0]} to {times[-1]}"
        if roofs := sorted({entry.row.get("peak_flops_per_s", "") for entry in own} - {""}):
            facts["peak_flops_per_s"] = ", ".join(amount(float(roof), "FLOP/s") for roof in roofs)
        items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
        parts.append(
            f"<h3>{escape(file)}</h3><dl>{items}</dl>"
            + (f'<div class="command"><pre>{escape(" ".join(command.split()))}</pre></div>' if command else "")
        )
    return "\n".join(parts)
