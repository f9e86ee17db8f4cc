"""Does a load on one of several nodes show in its canaries, and is a sound node left in peace?

python scripts/canary_trial.py --runs 10

Each run is a sweep on four nodes, which are names here: they run one after the other on this machine, in this process.
During one of them as many busy processes as twice the CPUs run beside it. Then the parts are merged, and it is counted
how many slowed and how many sound nodes the merge names. Each run also shows how busy the CPUs were during each node
(/proc/stat): on a machine that others use, a node may be named because it was disturbed.
"""

import argparse
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from convbench.merge import merge
from convbench.selection import FOR_BENCH, select
from convbench.session import Bench, Session
from convbench.shards import Shard

NODES = ("n1", "n2", "n3", "n4")
SHAPES = ["n1c16h28w28k16r3s3_pd1", "n1c32h14w14k32r3s3_pd1"]


@contextmanager
def hogs(count: int) -> Iterator[None]:
    """Processes that do nothing but keep a CPU busy, until this one is gone, however it ends."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def busy_share(before: list[int], after: list[int]) -> float:
    spent = [later - earlier for earlier, later in zip(before, after, strict=True)]
    return 1 - (spent[3] + spent[4]) / max(1, sum(spent))


def ticks() -> list[int]:
    return [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


def trial(folder: Path, slowed: str, load: int, threads: int) -> tuple[Mapping[str, str], dict[str, float]]:
    """The suspect nodes with the reason, and how busy the CPUs were during each node."""
    selection = select(shapes=SHAPES, backends=["torch"], defaults=FOR_BENCH, tell=lambda _: None)
    files, shares = [], {}
    for node in NODES:
        path = str(folder / f"{node}.csv")
        os.environ["CONVBENCH_MACHINE"] = node
        before = ticks()
        with hogs(load if node == slowed else 0):
            # Each node runs the whole sweep: with so few cases a shard may be empty.
            work = Bench(budget_s=0.1, ceilings=False)
            for _ in Session(selection, work, csv=path, shard=Shard(1, 1), threads=threads).run():
                pass
        shares[node] = busy_share(before, ticks())
        files.append(path)
    rows = csv.DictReader(merge(files).text)
    return {row["machine"]: row["suspect"] for row in rows if row["suspect"]}, shares


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--runs", type=int, default=10)
    given.add_argument("--threads", type=int, default=1)
    given.add_argument("--load", type=int, default=2 * (os.cpu_count() or 1), help="busy processes")
    given.add_argument("--seed", type=int, default=0)
    options = given.parse_args()
    dice = random.Random(options.seed)
    named = falsely = 0
    for number in range(1, options.runs + 1):
        slowed = dice.choice(NODES)
        with tempfile.TemporaryDirectory() as folder:
            found, shares = trial(Path(folder), slowed, options.load, options.threads)
        named += slowed in found
        falsely += len(found.keys() - {slowed})
        busy = " ".join(f"{node} {100 * share:.0f} %" for node, share in shares.items())
        print(f"run {number}: load on {slowed}; suspect: {dict(found) or 'none'}; CPUs busy: {busy}", flush=True)
    sound = options.runs * (len(NODES) - 1)
    print(f"named: {named} of {options.runs} slowed nodes, {falsely} of {sound} sound ones")


if __name__ == "__main__":
    main()
