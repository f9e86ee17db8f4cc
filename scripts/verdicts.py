"""How often is a verdict wrong, and how often is a difference found? On this machine, with its own noise.

    python scripts/verdicts.py alike --pairs 200            the same backend against itself
    python scripts/verdicts.py alike --pairs 200 --load     beside a load that comes and goes
    python scripts/verdicts.py slower --pairs 100 --by 0.05
    python scripts/verdicts.py sequential --pairs 200       torch.utils.benchmark, one after the other
    python scripts/verdicts.py cost                         time to a verdict over the quick suite

Each prints a table of the verdicts, a shape a line; Ctrl-C prints that of the pairs so far. `slower` does the same
work and then waits until its own call has taken that fraction more.
"""

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from statistics import median, quantiles
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils import benchmark

from convbench import Backend, Timed, backend, discover
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import bench
from convbench.call.watch import BackendStage, Watch
from convbench.case import Case, Problem
from convbench.spec import ConvSpec
from convbench.suites import load_suite
from convbench.verify.operands import make_operands

SHAPES = (
    "n1c64h56w56k64r3s3_pd1",
    "n1c256h56w56k64r1s1",
    "n1c3h224w224k64r7s7_st2_pd3",
    "n1c96h112w112k96r3s3_st2_pd1_g96",
    "n1c512h7w7k512r3s3_pd1",
    "n1c128h28w28k128r3s3_pd1",
    "n8c1h28w28k32r5s5_pd2",
    "n1c128h17w17k128r1s7_pd0x3",
)
# Busy for 0.2 to 1 s, then idle for 0.5 to 2 s, on one core.
LOAD = """
import random, time
while True:
    end = time.perf_counter() + random.uniform(0.2, 1.0)
    while time.perf_counter() < end: pass
    time.sleep(random.uniform(0.5, 2.0))
"""


def case_of(text: str) -> Case:
    return Case(problem=Problem(suite="shape", name=text, spec=ConvSpec.parse(text)))


def slower(by: float) -> Backend:
    """The baseline's work and then `by` of the time it took."""

    @backend(family="vendor", source="F.conv2d", devices={"cpu"})
    def slowed(x: Any, w: Any, spec: ConvSpec) -> Any:
        begin = time.perf_counter()
        y = F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
        end = begin + (time.perf_counter() - begin) * (1 + by)
        while time.perf_counter() < end:
            pass
        return y

    return slowed


@contextmanager
def load(wanted: bool) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", LOAD]) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def race(rival: Backend, pairs: int) -> dict[str, list[tuple[str, float]]]:
    """Verdicts and seconds by shape; every round visits the shapes in a new order."""
    (torch_itself,), _ = discover(names=["torch"])
    found: dict[str, list[tuple[str, float]]] = {shape: [] for shape in SHAPES}
    order = [SHAPES[number % len(SHAPES)] for number in range(pairs)]
    random.shuffle(order)
    with suppress(KeyboardInterrupt):
        for number, shape in enumerate(order):
            begin = time.perf_counter()
            case = replace(case_of(shape), seed=number)
            _, result = bench([case], [torch_itself, rival], budget=TimeBudget(), rule=VerdictRule())
            assert isinstance(result.outcome, Timed), result
            assert result.outcome.comparison is not None
            found[shape].append((result.outcome.comparison.verdict, time.perf_counter() - begin))
            print(f"\r{number + 1} of {pairs}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    return found


def sequential(pairs: int) -> dict[str, list[tuple[str, float]]]:
    """The usual way: one after the other, and different where the interquartile ranges are disjoint."""
    found: dict[str, list[tuple[str, float]]] = {shape: [] for shape in SHAPES}
    for number in range(pairs):
        shape = SHAPES[number % len(SHAPES)]
        case = case_of(shape)
        x, w = make_operands(case)
        spec = case.spec
        timer = benchmark.Timer(
            "F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)",
            globals={"F": F, "x": x, "w": w, "spec": spec},
            num_threads=torch.get_num_threads(),
        )
        begin = time.perf_counter()
        # A single block, where one lasts that long, is its own quartiles.
        runs = [timer.blocked_autorange(min_run_time=0.2).times for _ in range(2)]
        first, second = (quantiles(times if len(times) > 1 else times * 2, n=4, method="inclusive") for times in runs)
        verdict = "undecided"
        if first[2] < second[0]:
            verdict = "slower"
        elif second[2] < first[0]:
            verdict = "faster"
        found[shape].append((verdict, time.perf_counter() - begin))
    return found


def cost() -> None:
    """Time to a verdict for each candidate of the quick suite, verification and cold calls included."""
    backends, _ = discover(names=["torch", "onednn", "unfold-matmul", "unfold-einsum"])
    each, each_waited = [], []
    for problem in load_suite("quick"):
        waits = Waits()
        begin = time.perf_counter()
        cases = [Case(problem=problem)]
        results = list(bench(cases, backends, budget=TimeBudget(), rule=VerdictRule(), watch=Watch(tell=waits.tell)))
        spent = time.perf_counter() - begin
        timed = [one.outcome.comparison for one in results if isinstance(one.outcome, Timed)]
        verdicts = ", ".join(one.verdict for one in timed if one is not None)
        each.append(spent / len(results))
        each_waited.append(waits.seconds / len(results))
        print(
            f"{problem.name:16s} {spent:6.2f} s for {len(results)}, {each[-1]:5.2f} s each,"
            f" of which {each_waited[-1]:5.2f} s waiting for the CPUs: {verdicts}",
            flush=True,
        )
    own = median(whole - waited for whole, waited in zip(each, each_waited, strict=True))
    print(
        f"median {median(each):.2f} s a candidate, {own:.2f} s without waiting; a fixed second for each would be 1.00 s"
    )


class Waits:
    """How long a sweep waited for CPUs that had been moved."""

    def __init__(self) -> None:
        self.seconds, self._last, self._stage = 0.0, time.perf_counter(), BackendStage.TRUTH

    def tell(self, _backend: str, stage: BackendStage) -> None:
        now = time.perf_counter()
        if self._stage == BackendStage.WAITED:
            self.seconds += now - self._last
        self._last, self._stage = now, stage


def show(found: dict[str, list[tuple[str, float]]]) -> None:
    words = ("slower", "faster", "tie", "undecided")
    print(f"{'':34s}" + "".join(f"{word:>10s}" for word in words) + f"{'median s':>10s}")
    every = [one for own in found.values() for one in own]
    for name, own in [*found.items(), ("all", every)]:
        count = Counter(verdict for verdict, _ in own)
        print(
            f"{name:34s}"
            + "".join(f"{count[word]:10d}" for word in words)
            + (f"{median(seconds for _, seconds in own):10.2f}" if own else ""),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("alike", "slower", "sequential", "cost"))
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--by", type=float, default=0.05)
    parser.add_argument("--load", action="store_true")
    chosen = parser.parse_args()
    with load(chosen.load):
        match chosen.what:
            case "alike":
                (torch_itself,), _ = discover(names=["torch"])
                show(race(replace(torch_itself, name="torch-again"), chosen.pairs))
            case "slower":
                show(race(slower(chosen.by), chosen.pairs))
            case "sequential":
                show(sequential(chosen.pairs))
            case "cost":
                cost()


if __name__ == "__main__":
    main()
