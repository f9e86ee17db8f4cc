"""What did torch really run for each convolution of a model?"""

from dataclasses import replace

from convbench.models.costs import ModelCosts
from convbench.ran.watch import what_ran


def watch_what_ran(costs: ModelCosts) -> ModelCosts:
    """With what torch runs on this CPU in fp32 for each plain convolution, seen in a process of its own."""
    found = iter(what_ran([row.shape.spec for row in costs.problems]))
    return replace(
        costs,
        rows=tuple(
            row if row.shape.why_no_spec is not None else replace(row, ran=next(found).name) for row in costs.rows
        ),
    )
