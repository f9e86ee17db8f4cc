"""--dry-run: what would verify or bench run, and what would it take?"""

from typing import TYPE_CHECKING

from convbench.cli.sweep import Selection
from convbench.exit_codes import NOTHING, RIGHT

if TYPE_CHECKING:
    from convbench.bench.plan import Seconds


def show_plan(selection: Selection, seconds: "Seconds", *, force: bool, why: str) -> int:
    """List the cases with the backends that would run; `why` explains the time.

    Returns the exit code: 0, or 3 where nothing would run.
    """
    from convbench.bench.plan import plan
    from convbench.show.plan import print_plan

    planned = print_plan(plan(selection.cases, selection.backends, seconds, force=force), why=why)
    return RIGHT if any(one.runs for one in planned) else NOTHING
