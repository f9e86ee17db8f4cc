"""Which algorithms are there, and what does each compute from a walk's numbers?"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from convbench.errors import unknown
from convbench.explain.algorithms.fft import FFT
from convbench.explain.algorithms.implicit_gemm import IMPLICIT_GEMM
from convbench.explain.algorithms.loops import LOOPS
from convbench.explain.algorithms.shift_and_add import SHIFT_AND_ADD
from convbench.explain.algorithms.toeplitz import TOEPLITZ
from convbench.explain.algorithms.trace import ANSWER, Algorithm, Trace, close
from convbench.explain.algorithms.unfold import UNFOLD_EINSUM, UNFOLD_MATMUL
from convbench.explain.algorithms.winograd import winograd
from convbench.explain.letters import TORCH, Letters
from convbench.explain.steps import Walk

ALGORITHMS = (LOOPS, UNFOLD_EINSUM, UNFOLD_MATMUL, IMPLICIT_GEMM, SHIFT_AND_ADD, TOEPLITZ, winograd(), FFT)
ALSO = (TOEPLITZ, winograd(), FFT)  # what the walk names at its end: as unlike it as can be
_TILE = re.compile(r"winograd-([1-9]\d?)(?:x([1-9]\d?))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotHere:
    """An algorithm that cannot do this problem, and why."""

    name: str
    title: str
    why_not: str


def choose(names: str) -> tuple[Algorithm, ...]:
    """`winograd,fft`, `winograd-4x2` for another tile of outputs, or `all`, each once.

    Raises:
        ConvbenchError: there is no such algorithm, or no such tile.
    """
    known = {algorithm.name: algorithm for algorithm in ALGORITHMS}
    chosen: dict[str, Algorithm] = {}
    for name in (part.strip().lower() for part in names.split(",")):
        if name == "all":
            chosen |= known
        elif name in known:
            chosen[name] = known[name]
        elif tile := _TILE.fullmatch(name):
            found = winograd((int(tile[1]), int(tile[2] or tile[1])))
            chosen[found.name] = found
        else:
            raise unknown("algorithm", name, [*known, "all", "winograd-4", "winograd-4x2"])
    return tuple(chosen.values())


def follow(walk: Walk, algorithms: Sequence[Algorithm], letters: Letters = TORCH) -> Iterator[Trace | NotHere]:
    """Each algorithm on the walk's numbers, its y compared with the walk's as well."""
    for algorithm in algorithms:
        why_not = algorithm.why_not(walk.spec)
        if why_not is not None:
            yield NotHere(name=algorithm.name, title=algorithm.title(walk.spec), why_not=why_not)
            continue
        trace = algorithm.run(walk.x, walk.w, walk.spec, walk.cell)
        # An FFT of many numbers may be off by more than a half, and within its bound of every other way.
        allowed = 2 * max(comparison.worst for comparison in trace.proof[:2])
        proof = (*trace.proof, close(ANSWER, "the walk", trace.y, walk.y, allowed))
        yield replace(trace, proof=proof).in_letters(letters)
