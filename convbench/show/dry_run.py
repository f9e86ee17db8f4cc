"""What would run, as a table or as rows, from what is known before anything runs."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from convbench.errors import plural
from convbench.outcome import Failed, Skipped
from convbench.show.console import print_tabbed, result_console, side_console
from convbench.show.tables import plain_table, skip_lines
from convbench.show.units import amount, duration

if TYPE_CHECKING:
    from convbench.bench.dry_run import Planned

COLUMNS = (
    "suite name count spec device dtype layout precision pass epilogue flop operand_nbytes needed_nbytes at_most_s "
    "backends refused threads"
).split()


def print_dry_run(planned: "Iterable[Planned]", *, why: str) -> "list[Planned]":
    """A table on a terminal; elsewhere rows on stdout as they come, and the sum on stderr."""
    out, err = result_console(), side_console()
    found = []
    if out.is_terminal:
        found = list(planned)
        out.print(_table(found))
    else:
        print_tabbed(out, COLUMNS)
        for one in planned:
            print_tabbed(out, _row(one))
            found.append(one)
    console = out if out.is_terminal else err
    for line in skip_lines(result for one in found for result in one.refused):
        console.print(line, style="dim", markup=False)
    console.print(why, style="dim", markup=False)
    console.print(_sum(found), markup=False)
    return found


def _row(one: "Planned") -> list[str | float | None]:
    case, spec = one.case, one.case.spec
    reasons = [
        f"{result.backend}: {result.outcome.reason if isinstance(result.outcome, Skipped) else result.outcome.message}"
        for result in one.refused
        if isinstance(result.outcome, Skipped | Failed)
    ]
    return [
        case.problem.suite,
        case.problem.name,
        case.problem.count,
        str(spec),
        case.device,
        case.dtype,
        case.layout,
        case.precision,
        case.pass_,
        case.epilogue,
        spec.flops,
        case.nbytes,
        one.needed_nbytes,
        one.at_most_s,
        " ".join(one.runs),
        "; ".join(reasons),
        one.threads or None,
    ]


def _table(planned: "Sequence[Planned]") -> Table:
    columns = zip(
        *(
            (
                one.case.device,
                plural(one.threads, "thread") if one.threads else "own threads",
                one.case.dtype,
                one.case.layout,
                one.case.precision,
                one.case.kind,
            )
            for one in planned
        ),
        strict=True,
    )
    axes = list(zip(*(column for column in columns if len(set(column)) > 1), strict=True))  # those that vary
    suites = len({one.case.problem.suite for one in planned}) > 1
    table = plain_table()
    table.add_column("problem", overflow="fold", ratio=1)
    if axes:
        table.add_column("axes", overflow="fold")
    for name in ("work", "operands", "memory", "at most", "runs"):
        table.add_column(name, justify="right", no_wrap=True)
    for one, own in zip(planned, axes or [()] * len(planned), strict=True):
        case = one.case
        name = f"{case.problem.suite}:{case.problem.name}" if suites else case.problem.name
        cells: list[str | Text] = [Text(name)]
        if axes:
            cells.append(Text(" ".join(own), "cyan"))
        cells += [
            amount(case.spec.flops, "FLOP"),
            amount(case.nbytes, "B"),
            amount(one.needed_nbytes, "B") if one.runs else "",
            duration(one.at_most_s) if one.runs else "",
            Text(f"{len(one.runs)} of {len(one.runs) + len(one.refused)}", "" if one.runs else "yellow"),
        ]
        table.add_row(*cells)
    return table


def _sum(planned: "Sequence[Planned]") -> str:
    runs = sum(len(one.runs) for one in planned)
    skipped = sum(len(one.refused) for one in planned)
    largest = max(planned, key=lambda one: one.needed_nbytes, default=None)
    cases = "1 case" if len(planned) == 1 else f"{len(planned):,} cases"
    text = f"{cases}, {runs + skipped:,} rows: {runs:,} would run, {skipped:,} would be skipped"
    if largest is None or not runs:
        return text
    total = duration(sum(one.at_most_s for one in planned))
    return (
        f"{text}; {total} at most; {amount(largest.needed_nbytes, 'B')} of memory at most ({largest.case.problem.name})"
    )
