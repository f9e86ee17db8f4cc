"""What do sharding and merging cost, process starts left out?

python scripts/shard_overhead.py --shards 4 --rounds 3

A suite is run as a whole and in shards that are merged, in turns, in this process. Their ratio includes the noise of
the machine, so what sharding adds is also timed separately: canaries, further sessions, the merge.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from convbench.bench import canaries
from convbench.merge import merge
from convbench.selection import FOR_BENCH, Selection, select
from convbench.session import Bench, Session
from convbench.shards import Shard

BACKENDS = ["torch", "unfold-matmul"]


@contextmanager
def spent(into: list[float]) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    into.append(time.perf_counter() - begin)


def counted(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    def call(*words: Any) -> Any:
        with spent(into):
            return function(*words)

    return call


def run(selection: Selection, work: Bench, path: Path, shard: Shard | None, set_up: list[float]) -> None:
    with spent(set_up):
        session = Session(selection, work, csv=str(path), shard=shard, threads=1)
    for _ in session.run():
        pass


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--shards", type=int, default=4)
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--budget", type=float, default=3.0)
    given.add_argument("--suite", default="quick")
    options = given.parse_args()
    selection = select(suites=[options.suite], backends=BACKENDS, defaults=FOR_BENCH, tell=lambda _: None)
    work = Bench(budget_s=options.budget, ceilings=False)
    measure = canaries.measure
    ratios, shares = [], []
    torch.set_num_threads(1)
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            own: dict[str, list[float]] = defaultdict(list)
            canaries.measure = counted(measure, own["canaries"])
            parts = [Path(folder) / f"{one}.csv" for one in range(1, options.shards + 1)]
            for which in ("whole", "parts") if number % 2 else ("parts", "whole"):
                with spent(own[which]):
                    if which == "whole":
                        run(selection, work, Path(folder) / "whole.csv", None, own["set-up of the whole"])
                        continue
                    for one, part in enumerate(parts, start=1):
                        run(selection, work, part, Shard(one, options.shards), own["set-ups of parts"])
                    with spent(own["merge"]):
                        text = merge([str(part) for part in parts]).text
            assert len(text) == 1 + len(selection.cases) * len(BACKENDS)
        whole_s, parts_s = own["whole"][0], own["parts"][0]
        set_up_s = sum(own["set-ups of parts"]) - sum(own["set-up of the whole"])
        added_s = sum(own["canaries"]) + set_up_s + sum(own["merge"])
        ratios.append(parts_s / whole_s)
        shares.append(added_s / whole_s)
        words = ", ".join(
            f"{name} {100 * seconds / whole_s:.2f} %"
            for name, seconds in (
                ("canaries", sum(own["canaries"])),
                ("set-up", set_up_s),
                ("merge", sum(own["merge"])),
            )
        )
        print(
            f"round {number + 1}: shards / whole {ratios[-1]:.3f}; added {100 * shares[-1]:.2f} % ({words})", flush=True
        )
    print(f"median: shards / whole {median(ratios):.3f}; added {100 * median(shares):.2f} % of the sweep")


if __name__ == "__main__":
    main()
