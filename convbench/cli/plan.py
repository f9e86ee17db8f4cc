"""--dry-run: what would verify or bench run, and what would it take?"""

from typing import TYPE_CHECKING

from convbench.exit_codes import NOTHING, RIGHT

if TYPE_CHECKING:
    from convbench.selection import Selection
    from convbench.session import Bench, Verify


def show_plan(selection: "Selection", work: "Verify | Bench", *, why: str) -> int:
    """List the cases with the backends that would run; `why` explains the time.

    Returns the exit code: 0, or 3 where nothing would run.
    """
    from convbench.bench.plan import plan
    from convbench.show.plan import print_plan

    planned = print_plan(plan(selection.cases, selection.backends, work.at_most_s, force=work.force), why=why)
    return RIGHT if any(one.runs for one in planned) else NOTHING
