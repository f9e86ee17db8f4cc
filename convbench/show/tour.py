"""In which order are the frames of a recording shown, and for how long?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from convbench.explain.steps import Cell, Walk
from convbench.explain.walk import move
from convbench.show.explain import draw_step
from convbench.show.frames import Frame
from convbench.show.steps import View

# Three seconds to read a step before its cell moves; then each move is seen, not read.
READ_S, MOVE_S, MOVE_MANY_S, MANY = 3.0, 0.6, 0.25, 16
MOST_CELLS = 64
UNMOVED = ("positions", "flatten", "pytorch")  # these look the same at every output of a filter


def tour(walk: Walk, steps: Sequence[str], width: int, view: View) -> Iterator[tuple[Frame, float]]:
    """Each step at the walk's own cell, and then at the outputs of its image and filter in turn.

    Of more than MOST_CELLS outputs, evenly spaced ones are shown, the first and the last among them.

    Raises:
        UnprovedError: a comparison fails at one of the cells.
    """
    cells = list(spread_cells(walk.spec.p, walk.spec.q, walk.cell))
    moves = [move(walk, cell) for cell in cells] if set(steps) - set(UNMOVED) else []
    seconds = MOVE_S if len(cells) <= MANY else MOVE_MANY_S
    for step in steps:
        yield draw_step(walk, step, width, view), READ_S
        if step not in UNMOVED:
            for moved in moves:
                yield draw_step(moved, step, width, view), seconds


def spread_cells(p: int, q: int, cell: Cell) -> Iterator[Cell]:
    """The outputs of the cell's image and filter, row by row."""
    last, shown = p * q - 1, min(p * q, MOST_CELLS)
    for i in range(shown):
        position = i * last // max(1, shown - 1)
        yield replace(cell, p=position // q, q=position % q)
