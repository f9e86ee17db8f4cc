"""How much may a search ask of a backend? Counted from the problems alone, so that it always ends at the same place.

A clock would not do: beside a busy neighbour the same search would end earlier, with another answer. Only a backend
whose calls take seconds, many times what its multiply-adds would, is charged by the seconds of its first call: an
interpreter of GPU code would search for hours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from convbench.spec import ConvSpec

# What a question takes besides its multiply-adds, in those of the oracle and a plain backend together (2.5e8 a second):
# 2 ms for operands, truth and bounds, and an eighth of one for each tap of the kernel, for which the oracle takes a
# view of the image.
CALL, TAP = 500_000, 30_000
MACS_A_SECOND = 250_000_000
# A call that takes so long, and so many times what is charged for it, is charged as slow; the search gets more then.
SLOW_S, SLOWER, MORE_IF_SLOW = 0.5, 8.0, 5
QUESTIONS_A_STEP = 8  # about the calls of a verification; telling takes a millisecond, half of what a question does


def how_slow(spec: ConvSpec, call_s: float) -> float:
    """How many times its multiply-adds a call costs that took so long; 1 unless that is slow beyond doubt."""
    usual_s = (CALL + TAP * spec.r * spec.s + _size(spec)) / MACS_A_SECOND
    return call_s * MACS_A_SECOND / _size(spec) if call_s > max(SLOW_S, SLOWER * usual_s) else 1.0


def _size(spec: ConvSpec) -> int:
    return spec.macs + sum(map(prod, (spec.x_shape, spec.w_shape, spec.y_shape)))


class Spent(Exception):  # noqa: N818  # no error: the search ends here
    """What is left does not pay for the next question."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """What a search may still spend.

    Attributes:
        left: multiply-adds.
        slowness: how many times its multiply-adds a call of this backend costs.
        asked: questions so far.
        tell: called before every eighth question, any of which may be the last thing that this process does.
    """

    left: int
    slowness: float = 1.0
    asked: int = 0
    tell: Callable[[], object] = lambda: None

    def pay(self, spec: ConvSpec, *, calls: int = 1) -> None:
        """Pay for some calls of a backend on a problem, or for none and a truth of our own.

        Raises:
            Spent: it is more than is left, and nothing is taken.
        """
        cost = max(calls, 1) * (CALL + TAP * spec.r * spec.s) + int(calls * _size(spec) * self.slowness)
        if cost > self.left:
            raise Spent
        self.left -= cost
        if self.asked % QUESTIONS_A_STEP == 0:
            self.tell()
        self.asked += 1
