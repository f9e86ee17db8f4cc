"""How do results look where Python shows them: the tables and faults of the command line, and a table of HTML?"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from html import escape

from rich.console import RenderableType

from convbench.bench.decision import leaders
from convbench.outcome import Failed, Result, Timed, Verified, Wrong
from convbench.show.notebook import WIDTH, as_html, as_text, text_width
from convbench.show.tables import (
    bench_table,
    defect_lines,
    doubt_lines,
    dtype_lines,
    fault_lines,
    launch_line,
    memory_line,
    mode_lines,
    noise_line,
    of_peak,
    ratio_words,
    shrunk,
    skip_lines,
    standing_table,
    table_title,
    verify_table,
)
from convbench.show.units import gflops, seconds, share

MOST_ROWS, MOST_FAULTS = 200, 8
HEADINGS = ("problem", "axes", "backend", "time", "speed vs torch", "verdict", "GFLOP/s", "% of peak", "err/bound")
NUMBERS = ("time", "speed vs torch", "GFLOP/s", "% of peak", "err/bound")

Reproduce = Callable[[Result], str]


def results_text(results: Sequence[Result], reproduce: Reproduce, notes: Sequence[str], width: int | None) -> str:
    """Tables, faults with their commands, and remarks, as the command line prints them."""
    width = text_width(width)
    lines = [*fault_text(results, reproduce), *defect_lines(results), *remark_lines(results)]
    parts: list[RenderableType] = [*_tables(results, width), *lines]
    return as_text([*parts, *(f"note: {one}" for one in notes)] or ["no results"], width)


def fault_text(results: Iterable[Result], reproduce: Reproduce, most: int = MOST_FAULTS) -> list[str]:
    """What is wrong or failed: the cause, the place, the smallest problem, and what reproduces each."""
    told = [*each_fault(results, reproduce)]
    lines = [line for _, own in told[:most] for line in own()]
    more = len(told) - most
    return [*lines, f"... and {more:,} more that are wrong or failed"] if more > 0 else lines


def each_fault(results: Iterable[Result], reproduce: Reproduce) -> Iterator[tuple[Result, Callable[[], Sequence[str]]]]:
    """The results that are wrong or failed, each with what makes its lines."""
    for result in results:
        if isinstance(result.outcome, Wrong | Failed):
            yield result, partial(_lines_of, result, reproduce)


def _lines_of(result: Result, reproduce: Reproduce) -> Sequence[str]:
    smaller = shrunk(result)
    return fault_lines(result, reproduce(result), "" if smaller is None else reproduce(smaller))


def results_html(results: Sequence[Result], reproduce: Reproduce, notes: Sequence[str]) -> str:
    """The timed rows as a table, the rest as text."""
    timed = [one for one in results if isinstance(one.outcome, Timed)]
    parts = (
        [_table(timed)] if timed else [as_html(as_text(_tables(results, WIDTH), WIDTH))] if results else ["no results"]
    )
    if timed and (best := leaders(results)):
        words = "fastest" if len(best) == 1 else "fastest, and cannot be told apart"
        parts.append(f"<p>{words}: <b>{escape(', '.join(sorted(best)))}</b></p>")
    lines = [*fault_text(results, reproduce), *defect_lines(results), *remark_lines(results)]
    parts += [as_html("\n".join(lines))] if lines else []
    parts += [f"<p>note: {escape(one)}</p>" for one in notes]
    return "\n".join(parts)


def suite_tables(
    results: Iterable[Result], width: int, *, whole: bool = True, percentiles: bool = False
) -> Iterator[RenderableType]:
    """Suite by suite: the cases if `whole`, and what one backend everywhere would cost."""
    suites: dict[str, list[Result]] = {}
    for one in results:  # with several numbers of threads a suite comes several times
        suites.setdefault(one.case.problem.suite, []).append(one)
    for rows in suites.values():
        if whole:
            yield bench_table(table_title(rows), rows, width=width, percentiles=percentiles)
        if (standing := standing_table(rows)) is not None:
            yield standing


def _tables(results: Sequence[Result], width: int) -> Iterator[RenderableType]:
    if any(isinstance(one.outcome, Timed) for one in results):
        yield from suite_tables(results, width)
    elif any(isinstance(one.outcome, Verified | Wrong | Failed) for one in results):
        yield verify_table(results, width=width)


def remark_lines(results: Sequence[Result]) -> list[str]:
    """Why others were skipped, how the times spread, what memory and launches cost, and the noise."""
    every = (*dtype_lines(results), *skip_lines(results), *mode_lines(results))
    every += (memory_line(results), launch_line(results), noise_line(results), *doubt_lines(results))
    return [one for one in every if one]


def _table(timed: Sequence[Result]) -> str:
    rows = [_row(one) for one in timed[:MOST_ROWS]]
    used = [number for number in range(len(HEADINGS)) if any(row[number] for row in rows)]
    head = "".join(f"<th>{HEADINGS[number]}</th>" for number in used)
    body = "\n".join(f"<tr>{''.join(_cell(row, number) for number in used)}</tr>" for row in rows)
    more = f"<p>... and {len(timed) - MOST_ROWS:,} more</p>" if len(timed) > MOST_ROWS else ""
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>{more}"


def _cell(row: Sequence[str], number: int) -> str:
    right = HEADINGS[number] in NUMBERS
    return f'<td style="text-align:{"right" if right else "left"}">{escape(row[number])}</td>'


def _row(result: Result) -> tuple[str, ...]:
    timed, case = result.outcome, result.case
    assert isinstance(timed, Timed)
    compared = timed.comparison
    return (
        case.problem.name if case.problem.suite == "shape" else f"{case.problem.suite}:{case.problem.name}",
        result.key().axes,
        result.backend,
        seconds(timed.median_s),
        ratio_words(compared) if compared else "",
        compared.verdict if compared else "",
        gflops(case.spec.flops, timed.median_s),
        of_peak(result, timed).plain,
        share(timed.check.worst_of_bound),
    )
