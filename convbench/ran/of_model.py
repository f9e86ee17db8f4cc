"""What did torch really run for each convolution of a model?"""

from dataclasses import replace

from convbench.models.costs import ModelCosts
from convbench.ran.watch import what_ran


def watch_what_ran(costs: ModelCosts) -> ModelCosts:
    """With what torch runs on this CPU in fp32 for each forward convolution, seen in a process of its own."""
    forward = [row for row in costs.problems if row.shape.pass_ == "fprop"]
    found = iter(what_ran([row.shape.spec for row in forward]))
    return replace(
        costs,
        rows=tuple(replace(row, ran=next(found).name) if row in forward else row for row in costs.rows),
    )
