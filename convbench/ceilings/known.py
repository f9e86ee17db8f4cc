"""Which ceilings are a run's timings compared with, and how is one of them measured again?"""

from collections.abc import Callable, Iterable, Sequence

import torch

from convbench.case import Case
from convbench.ceilings.cache import Cache
from convbench.ceilings.gather import Prober
from convbench.ceilings.roofline import Ceilings, Kind, Reprobe, kind_of


def make_prober(tell: Callable[[str], None], remark: str = "") -> Prober:
    """A prober with the user's cache and torch's threads as they are, that tells what it is about to do."""

    def say(kind: Kind, groups: Sequence[str], seconds: float) -> None:  # noqa: ARG001  # what a prober calls it with
        tell(f"measuring the ceilings of {' '.join(kind)}, about {seconds:.0f} s{remark}")

    return Prober(threads=torch.get_num_threads(), cache=Cache.of_user(), say=say)


def known_ceilings(cases: Iterable[Case], tell: Callable[[str], None]) -> tuple[dict[Kind, Ceilings], Reprobe]:
    """The ceilings of every kind among the cases, probed where they are not known, and how to probe again."""
    prober = None
    found = {}
    for kind in dict.fromkeys(kind_of(case) for case in cases if case.why_not is None):
        prober = prober or make_prober(tell, " (skip with --no-ceilings)")
        if (one := prober.ceilings(kind)) is not None:
            found[kind] = one

    def reprobe(kind: Kind, bound: str) -> Ceilings | None:
        assert prober is not None  # a kind without ceilings is never asked for again
        tell(f"a timing is above its ceiling: measuring {bound} again")
        return prober.again(kind, bound)

    return found, reprobe
