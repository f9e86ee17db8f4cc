"""The cost table of `auto`: measure the candidates that come with convbench, and fit the table to their times.

    python scripts/cost_table.py measure TIMES.csv [SUITE ...]
    python scripts/cost_table.py fit TIMES.csv ...

`measure` writes CPU time of one thread, which others on the machine disturb less than that of the clock; the candidates
take turns, and the fastest of the rounds counts. `fit` writes convbench/backends/cost_table.json and prints the regret of
its choices on problems that it has not seen.
"""

import csv
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from convbench import Case, Problem, discover
from convbench.call.bind import bound, conditions, prepare
from convbench.case import cases
from convbench.suites import load_suite
from convbench.verify.operands import make_operands

CANDIDATES = (
    "torch", "onednn", "onednn-prepacked", "winograd", "direct", "gemm-1x1", "depthwise", "grouped"
)  # fmt: skip
SUITES = (
    "quick resnet18 resnet50 vgg16 mobilenet_v2 efficientnet_b0 resnext50_32x4d convnext_tiny googlenet "
    "deepbench_inference_device deepbench_inference_server benchdnn_dilated benchdnn_googlenet_v3 benchdnn_unet "
    "benchdnn_mobilenet benchdnn_perf_basic benchdnn_alexnet asymmetric deepbench_training torchbench_mobilenet_v2_bs96"
).split()
KINDS = (("nchw", "fprop"), ("nhwc", "fprop"), ("nchw", "dgrad"))
BATCHES = (1, 4)  # the rows of models come with a batch of 1, or with one too large to be timed often
MOST_FLOPS, MOST_NUMBERS = 3e9, 2e7
ROUNDS, SHORTEST_S = 7, 1.5e-3
COLUMNS = ("spec", "layout", "pass", *CANDIDATES)


def problems(suites: list[str]) -> Iterator[Problem]:
    """Each problem of the suites once, with a batch of 1 and a small one."""
    seen = set()
    for suite in suites:
        for problem in load_suite(suite):
            for n in BATCHES:
                spec = replace(problem.spec, n=n)
                small = 0 < spec.flops <= MOST_FLOPS and spec.n * (spec.c * spec.h * spec.w) <= MOST_NUMBERS
                if small and str(spec) not in seen and not problem.skip:
                    seen.add(str(spec))
                    yield Problem(suite="table", name=str(spec), spec=spec)


def measure(case: Case) -> dict[str, float]:
    """Seconds a call, by candidate."""
    operands = make_operands(case)
    names = list(case.operands)
    calls: dict[str, Callable[[], Any]] = {}
    with conditions(case):
        for backend in discover(names=CANDIDATES)[0]:
            if backend.why_not(case) is None:
                given, _ = prepare(backend, case, dict(zip(names, operands, strict=True)))
                calls[backend.name] = bound(backend, case, given)
        for call in calls.values():
            call()
        repeats = {name: max(1, int(SHORTEST_S / seconds(call, 1))) for name, call in calls.items()}
        found: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                call()
                found[name].append(seconds(call, repeats[name]))
    return {name: min(one) for name, one in found.items()}


def seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return max((time.process_time() - start) / repeats, 1e-9)


def measure_all(path: Path, suites: list[str]) -> None:
    torch.set_num_threads(1)
    done = set()
    if path.exists():
        with path.open() as file:
            done = {(row["spec"], row["layout"], row["pass"]) for row in csv.DictReader(file)}
    todo = [
        case
        for problem in problems(suites or SUITES)
        for layout, pass_ in KINDS
        for case in cases([problem], layouts=[layout], passes=[pass_])
        if (str(case.spec), layout, pass_) not in done
    ]
    random.Random(0).shuffle(todo)
    with path.open("a", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        if not done:
            rows.writerow(COLUMNS)
        for number, case in enumerate(todo):
            took = measure(case)
            times = [f"{took[name]:.4g}" if name in took else "" for name in CANDIDATES]
            rows.writerow([str(case.spec), case.layout, case.pass_, *times])
            file.flush()
            print(f"\r{number + 1}/{len(todo)}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", path, *suites]:
            measure_all(Path(path), suites)
        case _:
            sys.exit(__doc__)
