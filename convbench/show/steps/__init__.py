"""What is drawn of each step of the walk: its numbers, what to know of them, and what they cost?"""

from collections.abc import Callable, Mapping

from convbench.explain.steps import Walk
from convbench.show.steps.definition import one_cell, operands, positions
from convbench.show.steps.linear import flatten, multiply, pytorch, reshape, unfold
from convbench.show.steps.tensors import overview
from convbench.show.steps.view import Step, View

__all__ = ["DRAWN", "View", "overview"]

DRAWN: Mapping[str, Callable[[Walk, int, View], Step]] = {
    "operands": operands,
    "loops": one_cell,
    "positions": positions,
    "unfold": unfold,
    "flatten": flatten,
    "multiply": multiply,
    "reshape": reshape,
    "pytorch": pytorch,
}
