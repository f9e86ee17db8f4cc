"""What the verifier found in kernels whose answer is known, as tables, as rows, and in words."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.show.tables import plain_table
from convbench.verify.selftest.kernels import CORRECT, DTYPES
from convbench.verify.selftest.mutants import ANYWHERE
from convbench.verify.selftest.selftest import (
    LEAST_BUG_RUNS,
    LEAST_CORRECT_RUNS,
    LEAST_FOUND,
    MOST_FALSE_ALARMS,
    RULES,
    SAME,
    Finding,
    Judged,
    Rate,
    choose_kernels,
)

OURS = ""
_TITLES = {
    OURS: "convbench",
    "allclose": "torch.allclose",
    "assert_close": "torch.testing.assert_close",
    "1e-3": "torch.allclose, rtol = atol = 1e-3",
    "1e-2": "torch.allclose, rtol = atol = 1e-2",
    "MIOpen": "MIOpen: root mean square of the error",
    "XLA": "XLA: error / (1 + value) up to 0.1",
}
# On a terminal narrower than this, the tables of kernels leave some criteria to the first table.
_WIDE, _NARROW = 100, ["allclose", "1e-2", "MIOpen", "XLA"]
COLUMNS = ("kernel", "kind", "dtype", "runs", "removed", "rejected", *(f"rejected_by_{name}" for name in RULES))
CSV_COLUMNS = (
    *("kernel", "kind", "spec", "dtype", "layout", "seed", "rejected", "equivalent", "probe", "evidence"),
    *(f"rejected_by_{name}" for name in RULES),
)


def selftest_tables(judged: Sequence[Judged], *, width: int) -> list[RenderableType]:
    """All criteria side by side, then each bug, then each kernel that is correct."""
    bugs, correct = ([one for one in judged if one.is_bug is which] for which in (True, False))
    rules = list(RULES) if width >= _WIDE else _NARROW
    parts: list[RenderableType] = [_criteria_table(correct, bugs)]
    if bugs:
        note = f"convbench: {'/'.join(DTYPES)}, or one figure if they agree; the other criteria: all dtypes together"
        parts.append(Group(_kernel_table("bugs found, %", bugs, rules), Text(note, "dim")))
    if correct:
        parts.append(_kernel_table("correct kernels rejected, %", correct, rules))
    return parts


def _criteria_table(correct: Sequence[Judged], bugs: Sequence[Judged]) -> Table:
    table = plain_table()
    table.add_column("criterion", no_wrap=True)
    for name in ("correct kernels rejected", "bugs found"):
        table.add_column(name, justify="right")
    for rule, title in _TITLES.items():
        rates = (Rate.of(correct, rule), Rate.of(bugs, rule))
        table.add_row(Text(title, "bold" if rule == OURS else ""), *(f"{_percent(rate)} %" for rate in rates))
    return table


def _kernel_table(title: str, judged: Sequence[Judged], rules: Sequence[str]) -> Table:
    table = plain_table()
    table.add_column(title, no_wrap=True)
    for name in ("runs", "convbench", *rules):
        table.add_column(name, justify="right", no_wrap=True)
    for name, group in _by_kernel(judged).items():
        ours = [_percent(Rate.of(one for one in group if one.case.dtype == dtype)) for dtype in DTYPES]
        fault = any(one.fault for one in group)
        table.add_row(
            Text(name),
            str(Rate.of(group).runs),
            Text(ours[0] if len(set(ours)) == 1 else "/".join(ours), "bold red" if fault else "green"),
            *(_percent(Rate.of(group, rule)) for rule in rules),
        )
    return table


def _percent(rate: Rate) -> str:
    """Whole per cents; 0 and 100 only where they are exact, and a dash for no runs."""
    if not rate.runs:
        return "-"
    if rate.rejected in (0, rate.runs):
        return "100" if rate.rejected else "0"
    return f"{100 * rate.share:.1f}" if rate.share > 0.99 or rate.share < 0.01 else f"{100 * rate.share:.0f}"


def _by_kernel(judged: Iterable[Judged]) -> dict[str, list[Judged]]:
    groups: dict[str, list[Judged]] = {kernel.name: [] for kernel in (*CORRECT, *ANYWHERE)}
    for one in judged:
        groups[one.kernel].append(one)
    return {name: group for name, group in groups.items() if group}


def selftest_rows(judged: Sequence[Judged]) -> list[list[str | float | None]]:
    """COLUMNS for each kernel and dtype: how many runs count, how many were removed, and the shares rejected."""
    rows: list[list[str | float | None]] = []
    for name, group in _by_kernel(judged).items():
        for dtype in DTYPES:
            some = [one for one in group if one.case.dtype == dtype]
            if not some:
                continue
            runs = Rate.of(some).runs
            shares = [Rate.of(some, rule).share if runs else None for rule in (OURS, *RULES)]
            rows.append([name, some[0].kind, dtype, runs, len(some) - runs, *shares])
    return rows


def csv_row(one: Judged) -> list[str | int]:
    """CSV_COLUMNS of one run; 1 and 0 for yes and no."""
    case = one.case
    return [
        *(one.kernel, one.kind, str(case.spec), case.dtype, case.layout, case.seed),
        *(int(one.rejected), int(one.equivalent), one.probe, one.evidence),
        *(int(name in one.rejected_by) for name in RULES),
    ]


def fault_lines(one: Judged) -> list[str]:
    """A bug that was missed, or a false alarm: what it is, and the command that shows it again."""
    (kernel,), case = choose_kernels([one.kernel]), one.case
    what = f"MISSED {one.kernel}" if one.is_bug else f"FALSE ALARM {one.kernel}"
    lines = [f"{what} on {case.spec} ({case.dtype} {case.layout}): {kernel.words}"]
    lines += [f"  {one.evidence}"] if one.evidence else []
    lines += [f"  for the probe: {kernel.probe}"] if one.is_bug and kernel.probe else []
    command = f"convbench selftest --backend {one.kernel} --shape {case.spec}"
    return [*lines, f"  {command} --dtype {case.dtype} --layout {case.layout} --seed {case.seed}"]


def remarks(finding: Finding) -> list[str]:
    """What does not count, and whether there was enough."""
    lines = []
    if finding.equivalent:
        lines.append(
            f"{finding.equivalent:,} planted bugs do not count, because on these operands they change nothing: their "
            f"ideal output is the truth within {SAME:g} or, for lost precision, every output is already the nearest "
            f"possible"
        )
    if not finding.enough:
        size = f"{LEAST_CORRECT_RUNS:,} correct runs and {LEAST_BUG_RUNS:,} bugs"
        whole = "so only its rates count" if finding.by_choice else "so it does not pass"
        lines.append(f"this run is smaller than the {size} that the required rates are stated for, {whole}")
    return lines


def headline(finding: Finding) -> str:
    """The answer in one line."""
    alarms, found = finding.alarms, finding.found
    counts = (
        f"{alarms.rejected:,} false alarms in {alarms.runs:,} correct runs; "
        f"{found.rejected:,} of {found.runs:,} bugs found" + (f" ({_floor(found)} %)" if found.runs else "")
    )
    if finding.nothing:
        return "NOTHING JUDGED: no kernel supports such a case, or the bug does not show there"
    asked = f"required: {MOST_FALSE_ALARMS} false alarms and {100 * LEAST_FOUND:g} % found"
    return f"{'OK' if finding.met else 'NOT MET'}: {counts}; {asked}"


def _floor(rate: Rate) -> str:
    """Per cent with two digits, cut off: no 99.995 becomes 100."""
    return f"{rate.rejected * 10_000 // rate.runs / 100:g}"
