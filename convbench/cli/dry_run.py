"""--dry-run: what would verify or bench run, and what would it take?"""

from typing import TYPE_CHECKING

from convbench.exit_codes import NOTHING, RIGHT

if TYPE_CHECKING:
    from convbench.selection import Selection
    from convbench.session import Bench, Verify


def show_dry_run(selection: "Selection", work: "Verify | Bench", *, why: str) -> int:
    """List the cases with the backends that would run; `why` explains the time.

    Returns the exit code: 0, or 3 where nothing would run.
    """
    from convbench.bench.dry_run import dry_run
    from convbench.show.dry_run import print_dry_run

    planned = print_dry_run(dry_run(selection.cases, selection.backends, work.at_most_s, force=work.force), why=why)
    return RIGHT if any(one.runs for one in planned) else NOTHING
