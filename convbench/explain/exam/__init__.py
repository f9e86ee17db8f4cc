"""Which questions are on a quiz of a level and a seed? From one sum of products to gradients and memory.

Every question has a small problem of its own. Its answer is read from a proved walk or counted by `ConvSpec`; the
formula is only in the explanation. The same seed gives the same quiz.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from convbench.explain.exam import first, layouts, training, windows
from convbench.explain.exam.ask import Kind
from convbench.explain.letters import TORCH, Letters
from convbench.explain.quiz import QuizQuestion

TITLES = {
    1: "output sizes and sums of products",
    2: "stride, padding and dilation",
    3: "patches, groups, parameters and MACs",
    4: "gradients, algorithms and memory",
}
KINDS: Mapping[int, Sequence[Kind]] = {1: first.KINDS, 2: windows.KINDS, 3: layouts.KINDS, 4: training.KINDS}
TRIES = 50


def draw(levels: Sequence[int], count: int, seed: int, letters: Letters = TORCH) -> tuple[QuizQuestion, ...]:
    """So many questions of these levels, the easy ones first, none twice.

    Each kind of question comes once before one comes again.
    """
    drawn: list[QuizQuestion] = []
    for i, level in enumerate(levels):
        random = Random(f"{seed} {level}")  # noqa: S311  # a quiz needs no secrets
        kinds: list[Kind] = []
        for _ in range(count * (i + 1) // len(levels) - count * i // len(levels)):
            kinds = kinds or random.sample(KINDS[level], len(KINDS[level]))
            kind = kinds.pop()
            asked = {(one.text, one.grids) for one in drawn}
            tries = (replace(kind(random, letters), level=level) for _ in range(TRIES))
            drawn.append(next(one for one in tries if (one.text, one.grids) not in asked))
    return tuple(drawn)
