"""Is every number of `convbench explain --algorithm all --backward` right, on random problems of every kind?

    python scripts/prove_explain.py --specs 300 --seed 0

Each problem has a random size, stride, padding (that of one in three differs at opposite sides), dilation, batch and
number of groups, a random cell and random whole numbers; every number of every algorithm that does it, of Winograd
with another tile, and of both gradients is compared with a second way to it. Prints how many were, and every one that
differs; exit 1 if one does.
"""

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import torch

from convbench.errors import ConvbenchError
from convbench.explain.algorithms.catalogue import ALGORITHMS, NotHere, follow
from convbench.explain.algorithms.trace import Algorithm
from convbench.explain.algorithms.winograd import winograd
from convbench.explain.backward import backward, gradient
from convbench.explain.steps import Comparison
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.spec import ConvSpec

BACKWARD = "backward"


def random_spec(source: random.Random) -> ConvSpec:
    """Any legal problem: small enough for a second of proofs; one in two has stride and dilation 1, for Winograd."""
    while True:
        groups = source.choice((1, 1, 2, 3))
        plain = source.random() < 0.5
        try:
            return ConvSpec(
                n=source.randint(1, 3),
                c=groups * source.randint(1, 3),
                h=source.randint(1, 10),
                w=source.randint(1, 10),
                k=groups * source.randint(1, 3),
                r=source.randint(1, 5),
                s=source.randint(1, 5),
                stride=(1, 1) if plain else (source.randint(1, 3), source.randint(1, 3)),
                padding=(source.randint(0, 3), source.randint(0, 3)),
                dilation=(1, 1) if plain else (source.randint(1, 3), source.randint(1, 3)),
                groups=groups,
                padding_end=(source.randint(0, 3), source.randint(0, 3)) if source.random() < 0.3 else None,
            )
        except ConvbenchError:
            continue  # the kernel is larger than the image


def prove(spec: ConvSpec, source: random.Random) -> Iterator[tuple[str, Sequence[Comparison]]]:
    """The comparisons of the walk, of each algorithm and of the gradients, by name; none for what is not here."""
    cell = choose_cell(
        spec,
        at=(source.randrange(spec.p), source.randrange(spec.q)),
        image=source.randrange(spec.n),
        filter_index=source.randrange(spec.k),
    )
    seed = source.randrange(1, 2**31)
    found = walk(*small_integers(spec, seed), spec, cell)
    yield "walk", found.proof
    tiled: Algorithm = winograd((source.randint(1, 4), source.randint(1, 4)))
    for trace in follow(found, [*ALGORITHMS, tiled]):
        name = "winograd, other tiles" if trace.name == tiled.name else trace.name
        yield name, () if isinstance(trace, NotHere) else trace.proof
    yield BACKWARD, backward(found, gradient(spec, seed, ones=False)).proof


def main(words: Sequence[str] | None = None) -> int:
    """Prove as many random problems, print the counts; 1 if a number differs or something was never proved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    source = random.Random(options.seed)
    problems, numbers, wrong = Counter[str](), Counter[str](), Counter[str]()
    for _ in range(options.specs):
        spec = random_spec(source)
        for name, proof in prove(spec, source):
            problems[name] += bool(proof)
            numbers[name] += sum(comparison.compared for comparison in proof)
            for comparison in proof:
                if not comparison.holds:
                    wrong[name] += 1
                    print(f"{spec} {name}: {comparison.name} against {comparison.against}: {comparison.evidence}")
    print(f"{'':<22}{'problems':>10}{'numbers':>13}{'differ':>8}")
    for name in problems:
        print(f"{name:<22}{problems[name]:>10,}{numbers[name]:>13,}{wrong[name]:>8,}")
    print(f"{'in all':<22}{options.specs:>10,}{numbers.total():>13,}{wrong.total():>8,}")
    return 1 if wrong or not all(problems.values()) or not problems else 0


if __name__ == "__main__":
    torch.set_num_threads(1)  # a second thread costs more than it saves on so few numbers
    raise SystemExit(main())
