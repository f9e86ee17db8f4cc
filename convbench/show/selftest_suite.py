"""What the default command found of planted bugs, which causes it named, and whom it accused: tables and words."""

import re
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from convbench.errors import plural
from convbench.show.tables import plain_table
from convbench.verify.selftest.selftest import choose_kernels
from convbench.verify.selftest.suite import (
    CATALOGUE,
    KINDS,
    LEAST_FOUND,
    LEAST_NAMED,
    LEAST_RIGHT_RUNS,
    Fault,
    Tally,
    Tried,
)

COLUMNS = ("kind", "kernels", "found", "true", "none", "false", "runs", "alarms")
CSV_COLUMNS = (
    *("kernel", "kind", "words", "runs", "wrong", "failed", "explained", "true", "none", "false", "probe"),
    *("spec", "dtype", "layout", "pass", "epilogue", "cause", "evidence", "false_cause"),
)


def suite_tables(tried: Sequence[Tried]) -> list[RenderableType]:
    """By kind what was found and named, and of each right kernel how often it was accused."""
    parts: list[RenderableType] = []
    if any(one.is_bug for one in tried):
        parts.append(_kind_table(tried))
    if right := [one for one in tried if not one.is_bug]:
        parts.append(_right_table(right))
    return parts


def _kind_table(tried: Sequence[Tried]) -> Table:
    table = plain_table()
    table.add_column("bugs", no_wrap=True)
    for name in ("kinds", "found", "faults", "diagnosed", "not", "wrongly"):
        table.add_column(name, justify="right")
    groups = {kind: [one for one in tried if one.kind == kind] for kind in KINDS[1:]}
    for name, group in [*groups.items(), ("all", [one for one in tried if one.is_bug])]:
        if group:
            tally = Tally.of(group)
            style = "green" if tally.found == tally.kinds and not tally.false else "bold red"
            cells = (tally.kinds, tally.found, tally.explained, tally.true, tally.none, tally.false)
            table.add_row(Text(name, "bold" if name == "all" else ""), *(Text(f"{cell:,}", style) for cell in cells))
    return table


def _right_table(right: Sequence[Tried]) -> Table:
    table = plain_table()
    table.add_column("correct kernel", no_wrap=True)
    for name in ("runs", "false alarms"):
        table.add_column(name, justify="right")
    for one in right:
        table.add_row(Text(one.kernel), f"{one.runs:,}", Text(f"{one.alarms:,}", "bold red" if one.alarms else "green"))
    return table


def suite_rows(tried: Sequence[Tried]) -> list[list[str | float | None]]:
    """COLUMNS for each kind."""
    rows: list[list[str | float | None]] = []
    for kind in KINDS:
        if group := [one for one in tried if one.kind == kind]:
            tally = Tally.of(group)
            cells = (tally.found, tally.true, tally.none, tally.false, tally.runs, tally.alarms)
            rows.append([kind, len(group), *cells])
    return rows


def csv_row(one: Tried) -> list[str | int]:
    """CSV_COLUMNS of one kernel: how often what, its first fault, and the first cause that is false."""
    (kernel,), first = choose_kernels([one.kernel], CATALOGUE), next(iter(one.faults), None)
    false = next((fault.cause for fault in one.faults if fault.named == "false"), "")
    row: list[str | int] = [one.kernel, one.kind, kernel.words, one.runs, one.wrong, one.failed]
    row += [len(one.faults) if one.is_bug else 0, *(one.named[name] for name in ("true", "none", "false"))]
    if first is None:
        return [*row, *[""] * (len(CSV_COLUMNS) - len(row))]
    case = first.case
    row += [first.probe, str(case.spec), case.dtype, case.layout, case.pass_, case.epilogue]
    return [*row, first.cause, first.evidence, false]


def suite_lines(tried: Sequence[Tried]) -> list[list[str]]:
    """Misses, false causes and false alarms, each with the command that shows it again."""
    told = []
    for one in tried:
        (kernel,) = choose_kernels([one.kernel], CATALOGUE)
        if one.missed:
            failed = f", {one.failed:,} failed" if one.failed else ""
            lines = [f"MISSED {one.kernel}: {kernel.words}", f"  found on none of {plural(one.runs, 'case')}{failed}"]
            told.append([*lines, f"  convbench selftest --backend {one.kernel}"])
        for fault in one.faults:
            if fault.named == "false" or not one.is_bug:
                what = "WRONG DIAGNOSIS" if one.is_bug else "FALSE ALARM"
                lines = [f"{what} {one.kernel} on {_case(fault)}: {kernel.words}"]
                lines += [f"  {fault.cause}"] if fault.cause else []
                told.append([*lines, f"  {fault.evidence}", f"  {_command(one, fault)}"])
                break  # one of each kernel is enough to begin with
    return told


def _case(fault: Fault) -> str:
    case = fault.case
    return f"{case.problem.name} ({' '.join((case.dtype, case.layout, *case.kind.split()))})"


def _command(one: Tried, fault: Fault) -> str:
    case, problem = fault.case, fault.case.problem
    kind = f"--epilogue {case.epilogue}" if case.epilogue != "none" else f"--pass {case.pass_}"
    return (
        f"convbench selftest --backend {one.kernel} --suite {problem.suite} --match "
        f"'^{re.escape(f'{problem.suite}:{problem.name}')}$' --dtype {case.dtype} --layout {case.layout} {kind} "
        f"--seed {case.seed}"
    )


def suite_headline(tried: Sequence[Tried], *, by_choice: bool) -> str:
    """The answer in one line, with its denominators; `by_choice` where somebody chose the kernels or the cases."""
    tally = Tally.of(tried)
    if tally.nothing:
        return "NOTHING TRIED: no kernel supports such a case"
    counts = (
        f"{tally.found:,} of {tally.kinds:,} kinds of bugs found{_share(tally.found, tally.kinds)}; "
        f"of {tally.explained:,} faults {tally.true:,} diagnosed{_share(tally.true, tally.explained)}, "
        f"{tally.none:,} not diagnosed, {tally.false:,} wrongly; {tally.alarms:,} false alarms in {tally.runs:,} "
        f"correct runs"
    )
    asked = f"{100 * LEAST_FOUND:g} % found, {100 * LEAST_NAMED:g} % diagnosed, 0 wrongly, 0 false alarms"
    more = "" if by_choice else f" in {LEAST_RIGHT_RUNS:,}"
    return f"{'OK' if tally.met(by_choice=by_choice) else 'NOT MET'}: {counts}; required: {asked}{more}"


def _share(part: int, whole: int) -> str:
    """Per cent with one digit, cut off: no 99.95 becomes 100."""
    return f" ({part * 1_000 // whole / 10:g} %)" if whole else ""
