"""Which pages do the keys `a` and `d` show: algorithms and gradients on the numbers of a walk?"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from rich.text import Text

from convbench.explain.algorithms.catalogue import ALGORITHMS, NotHere, follow
from convbench.explain.algorithms.trace import Algorithm
from convbench.explain.backward import backward, gradient
from convbench.explain.letters import TORCH, Letters
from convbench.explain.steps import UnprovedError, Walk
from convbench.show.algorithms import backward_page, trace_page
from convbench.show.grid import heading, wrap_words

# A page of the walk: its name, and its lines at a width for the followed cell.
Pages = Mapping[str, Callable[[Walk, int], Iterable[Text]]]


def further_pages(walk: Walk, seed: int, *, ones: bool, letters: Letters = TORCH) -> tuple[Pages, Pages]:
    """The pages of the algorithms and of the backward pass; the gradient of y is of ones, or drawn from the seed."""

    def draw_algorithm(algorithm: Algorithm) -> Callable[[Walk, int], list[Text]]:
        def draw(walk: Walk, width: int) -> list[Text]:
            (found,) = follow(walk, [algorithm], letters)
            if isinstance(found, NotHere):
                why_not = wrap_words([Text(word) for word in f"{found.why_not}.".split()], width - 2, lead="  ")
                return [*heading(found.title.upper(), "not here", width), *why_not]
            return _proved(found, trace_page, width)

        return _last_kept(draw)

    def draw_gradients(walk: Walk, width: int) -> list[Text]:
        g = gradient(walk.spec, seed, ones=ones)
        return _proved(backward(walk, g), partial(backward_page, letters=letters), width)

    algorithms = {one.title(walk.spec): draw_algorithm(one) for one in ALGORITHMS}
    return algorithms, {"dx and dw": _last_kept(draw_gradients)}


def _proved(found: Any, draw: Callable[[Any, int], Iterable[Text]], width: int) -> list[Text]:
    if not found.holds:
        raise UnprovedError(tuple(one for one in found.proof if not one.holds))
    return list(draw(found, width))


def _last_kept(draw: Callable[[Walk, int], list[Text]]) -> Callable[[Walk, int], list[Text]]:
    """An algorithm runs on all of x for each cell; a key that only scrolls need not run it again."""
    kept: dict[tuple[int, int], tuple[Walk, list[Text]]] = {}

    def draw_once(walk: Walk, width: int) -> list[Text]:
        place = (id(walk), width)
        if place not in kept:
            lines = draw(walk, width)
            kept.clear()
            kept[place] = (walk, lines)  # the walk is held, so no other one can take its id
        return kept[place][1]

    return draw_once
