"""The race of `tune`: which backend is fastest on a case whose operands are in no cache?

In a model a layer finds its weight in memory, because all others have run since. So the caches are emptied before each
call: hot calls choose another backend for layers with large weights. The backend that the cost table chooses is the
baseline of the race; the others fall, or take its place, by undisturbed rounds alone.
"""

from collections.abc import Sequence
from functools import partial

from convbench.backend import BASELINE
from convbench.backends._cost_table import hopeless, ranked
from convbench.bench.sweep import Terms, bench
from convbench.case import Case


def leader(case: Case, names: Sequence[str]) -> str:
    """The one of these backends with which all others are compared: the cost table's choice."""
    return next(name for name in (*ranked(case), BASELINE, *names) if name in names)


race = partial(bench, terms=Terms(baseline=leader, hopeless=hopeless, emptied=True))
