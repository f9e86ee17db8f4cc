"""What `tune` found: for each problem the chosen backend, how much faster it is, and how exact."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from convbench.errors import plural, printable
from convbench.show.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from convbench.tune import PlanFile, TunedCase

COLUMNS = "suite name spec dtype layout pass epilogue chosen over_torch over_table relative_l2 noisy raced".split()


def cells(choice: "TunedCase") -> list[str | float | None]:
    """The cells of a problem in a pipe, in the order of COLUMNS."""
    case = choice.case
    first = choice.ranking[0] if choice.ranking else None
    return [
        case.problem.suite,
        case.problem.name,
        str(case.spec),
        case.dtype,
        case.layout,
        case.pass_,
        case.epilogue,
        choice.chosen,
        choice.over_torch,
        None if first is None else first.over_leader,
        None if first is None else first.relative_l2,
        int(choice.noisy),
        " ".join(one.backend for one in choice.ranking),
    ]


def print_choices(out: "Console", err: "Console", file: "PlanFile") -> None:
    """The table on a terminal, and the sum."""
    choices = file.choices
    if out.is_terminal:
        table = plain_table()
        table.add_column("problem", overflow="fold", ratio=1)
        for name in ("chosen", "vs torch", "vs table", "rel. error"):
            table.add_column(name, justify="right" if name != "chosen" else "left", no_wrap=True)
        for one in choices:
            chosen = Text(one.chosen or "none", "bold" if one.chosen not in ("", one.leader) else "")
            error = f"{one.ranking[0].relative_l2:.1e}" if one.ranking else ""
            kind = " ".join(filter(None, (one.case.dtype, one.case.layout, one.case.kind)))
            over_table = one.ranking[0].over_leader if one.ranking else None
            table.add_row(
                Text(f"{one.case.problem.name}  {kind}"),
                chosen,
                f"{'~' * one.noisy}{_times(one.over_torch)}",
                _times(over_table),
                error,
            )
        out.print(table)
    counts = Counter(one.chosen for one in choices if one.chosen)
    words = ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "nothing"
    console = out if out.is_terminal else err
    console.print(f"{plural(len(choices), 'problem')} tuned: {words}", markup=False)
    if noisy := sum(one.noisy for one in choices):
        console.print(
            f"{plural(noisy, 'problem')} had too few undisturbed rounds to settle all verdicts (~): there the cost "
            f"table's choice is kept, and the next run of tune races {'it' if noisy == 1 else 'them'} again",
            style="yellow",
            markup=False,
        )
    console.print(f"plan saved to {printable(str(file.path))}", markup=False)


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"
