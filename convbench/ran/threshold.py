"""At which size of the image does torch change its mind about how to compute a convolution?"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from convbench.errors import ConvbenchError
from convbench.ran.seen import Ran
from convbench.spec import ConvSpec

LARGEST = 1024  # rows and columns of the largest image that is asked about
MOST_NUMBERS = 2**28  # of x, which is reserved and not written


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Two square images one row and column apart, and what torch runs for each: ATen's names."""

    below: ConvSpec
    above: ConvSpec
    small: str
    large: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The sizes of the smallest and the largest square image that were asked about, which torch computes alike."""

    least: int
    most: int


def find_threshold(ran: Ran, ask: Callable[[ConvSpec], str | None]) -> Threshold | Unchanged | None:
    """The nearest change of mind when the image of the call grows or shrinks and all else stays.

    Args:
        ask: torch's answer for a problem; None where it gives none.

    Returns:
        Unchanged where the smallest and the largest square image are computed alike; None where torch does not say.
    """

    def square(size: int) -> ConvSpec | None:
        try:
            return replace(ran.spec, h=size, w=size)
        except ConvbenchError:
            return None  # the kernel does not fit

    def answer(size: int) -> str | None:
        spec = square(size)
        return None if spec is None else ask(spec)

    here = max(ran.spec.h, ran.spec.w)
    least = next((size for size in range(1, here + 1) if square(size) is not None), here)
    most = LARGEST
    while most > here and ran.spec.n * ran.spec.c * most * most > MOST_NUMBERS:
        most //= 2
    mine, at_most, at_least = answer(here), answer(most), answer(least)
    if mine is None or at_most is None or at_least is None:
        return None
    if mine == at_most == at_least:
        return Unchanged(least=least, most=most)
    near, far = here, most if at_most != mine else least
    while abs(far - near) > 1:
        middle = (far + near) // 2
        if answer(middle) == mine:
            near = middle
        else:
            far = middle
    low, high = sorted((near, far))
    below, above, small, large = square(low), square(high), answer(low), answer(high)
    if below is None or above is None or small is None or large is None:
        return None
    return Threshold(below=below, above=above, small=small, large=large)


def ask_torch(spec: ConvSpec) -> str | None:
    """What torch._C._select_conv_backend says for a call in fp32 on the CPU; None where it says nothing."""
    import torch

    from convbench.ran.witness import select

    return select(torch.empty(spec.x_shape), torch.empty(spec.w_shape), spec)[0]
