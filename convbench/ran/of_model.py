"""What does torch really run for each convolution of a model?"""

from collections.abc import Callable
from dataclasses import replace

from convbench.dtypes import DTYPE
from convbench.models.costs import ModelCosts
from convbench.ran.seen import Ran
from convbench.ran.watch import watch


def watch_what_ran(
    costs: ModelCosts, *, run: bool = True, about_to_watch: Callable[[int], None] = lambda _: None
) -> ModelCosts:
    """With what torch runs on this CPU for each forward convolution, in its own dtype, layout and number of threads.

    Args:
        run: run each once in a process of its own; otherwise torch is asked what it would select, and nothing runs.
        about_to_watch: called before, with the number of convolutions.
    """
    forward = [row for row in costs.problems if row.shape.pass_ == "fprop" and row.shape.dtype in DTYPE]
    if not forward:
        return costs
    about_to_watch(len(forward))
    calls = [Ran.blank(row.shape.spec, dtype=row.shape.dtype, layout=row.shape.layout) for row in forward]
    found = dict(zip(forward, watch(calls, threads=costs.threads, run=run), strict=True))
    return replace(costs, rows=tuple(replace(row, ran=found[row].name) if row in found else row for row in costs.rows))
