"""How much may a search ask of a backend? Counted from the problems alone, so that it always ends at the same place.

A clock would not do: beside a busy neighbour the same search would end earlier, with another answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from convbench.spec import ConvSpec

# What a question takes besides its multiply-adds, in those of the oracle and a plain backend together (2.5e8 a second):
# 2 ms for operands, truth and bounds, and an eighth of one for each tap of the kernel, for which the oracle takes a
# view of the image.
CALL, TAP = 500_000, 30_000
QUESTIONS_A_STEP = 8  # about the calls of a verification; telling takes a millisecond, half of what a question does


class Spent(Exception):  # noqa: N818  # no error: the search ends here
    """What is left does not pay for the next question."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """What a search may still spend.

    Attributes:
        left: multiply-adds.
        asked: questions so far.
        tell: called before every eighth question, any of which may be the last thing that this process does.
    """

    left: int
    asked: int = 0
    tell: Callable[[], object] = lambda: None

    def pay(self, spec: ConvSpec, *, calls: int = 1) -> None:
        """Pay for some calls of a backend on a problem, or for none and a truth of our own.

        Raises:
            Spent: it is more than is left, and nothing is taken.
        """
        numbers = sum(map(prod, (spec.x_shape, spec.w_shape, spec.y_shape)))
        cost = max(calls, 1) * (CALL + TAP * spec.r * spec.s) + calls * (spec.macs + numbers)
        if cost > self.left:
            raise Spent
        self.left -= cost
        if self.asked % QUESTIONS_A_STEP == 0:
            self.tell()
        self.asked += 1
