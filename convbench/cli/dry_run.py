"""--dry-run: what would verify or bench run, and what would it take?"""

from typing import TYPE_CHECKING

from convbench.exit_codes import NOTHING, RIGHT

if TYPE_CHECKING:
    from convbench.cli.options import How
    from convbench.selection import Selection
    from convbench.session import Bench, Verify


def show_dry_run(selection: "Selection", work: "Verify | Bench", *, how: "How", why: str) -> int:
    """List the cases with the backends that would run, with each number of threads; `why` explains the time.

    Returns the exit code: 0, or 3 where nothing would run.
    """
    from convbench.bench.dry_run import dry_run
    from convbench.show.dry_run import print_dry_run

    threads, shard = how.thread_counts(), how.part()
    cases = [
        (count, case)
        for count in threads
        for case in selection.cases
        if (count == threads[0] or case.target.on_host) and (shard is None or shard.holds(case.key))
    ]
    planned = print_dry_run(dry_run(cases, selection.backends, work.at_most_s, force=work.force), why=why)
    return RIGHT if any(one.runs for one in planned) else NOTHING
