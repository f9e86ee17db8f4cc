"""Does a backend take in the race what it takes alone in a process of its own? For anybody who doubts a verdict.

    python scripts/alone.py [--backend torch,onnxruntime] [--runs 3] [--csv FILE] [SHAPE ...]

Every shape is raced as `convbench bench` does it, in a process of its own. Before and after each race every
backend runs alone, each time in a fresh process that loads nothing else: warm calls, one after the other, on sets
of operands in turn, as many as the race has (--sets 1 for always the same). Prints the medians, their ratio, and
whether the race's verdict against torch contradicts the runs alone. The heap is kept in both, as `bench` keeps it;
--heap plain leaves it to the allocator when alone.

    python scripts/alone.py --waking [--backend ...] [SHAPE ...]

shows why a turn of the race settles first: the median of a backend's calls by how long ago its first one was, once the
threads of all backends had gone to sleep.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import cycle
from statistics import median
from typing import Any

import torch

from convbench import Timed, discover
from convbench.bench.heap import heap_kept
from convbench.bench.ring import Ring
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule, modes
from convbench.bench.sweep import bench
from convbench.call.bind import bind, conditions
from convbench.case import Case, Problem
from convbench.device.host import cpu_ns, wait_for
from convbench.spec import ConvSpec
from convbench.verify.operands import make_operands

SHAPES = (
    "n1c64h56w56k64r3s3_pd1",
    "n1c128h28w28k128r3s3_pd1",
    "n1c256h14w14k256r3s3_pd1",
    "n1c512h7w7k512r3s3_pd1",
    "n1c256h56w56k64r1s1",
    "n1c512h14w14k256r1s1",
    "n1c96h56w56k96r3s3_pd1_g96",
    "n1c96h112w112k96r3s3_st2_pd1_g96",
    "n1c3h224w224k64r7s7_st2_pd3",
    "n1c3h224w224k32r3s3_st2_pd1",
)
BACKENDS = "torch,onednn-prepacked,onnxruntime,openvino,ncnn,jax,torch-compile"
WARM_S, CALLS, MOST_S = 0.3, 400, 3.0
AFTER_S, LAST_S, TURNS = (0.0, 1e-9, 2.5e-3, 5e-3, 10e-3, 20e-3), 40e-3, 30


def case_of(shape: str) -> Case:
    return Case(problem=Problem(suite="shape", name=shape, spec=ConvSpec.parse(shape)))


def alone(backend: str, shape: str, heap: str, sets: int | None) -> list[float]:
    """Seconds of each of up to 400 calls, after a warm-up; the sets are those of the race if no number is given."""
    (own,), _ = discover(names=[backend])
    case = case_of(shape)
    with heap_kept() if heap == "kept" else nullcontext(), conditions(case):
        operands = dict(zip(case.operands, make_operands(case), strict=True))
        ring = Ring(case, operands)
        name = next(iter(operands))
        calls = cycle([bind(own, case, operands | {name: one.first})[0] for one in ring.sets[:sets]])
        end = time.perf_counter() + WARM_S
        while time.perf_counter() < end:
            next(calls)()
        seconds: list[float] = []
        end = time.perf_counter() + MOST_S
        while len(seconds) < CALLS and (len(seconds) < 20 or time.perf_counter() < end):
            call = next(calls)
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
    return seconds


def race(backends: str, shape: str) -> dict[str, Any]:
    """Median, ratio and verdict of each that was timed."""
    loaded, _ = discover(names=backends.split(","))
    found = {}
    for result in bench([case_of(shape)], loaded, budget=TimeBudget(), rule=VerdictRule()):
        timed = result.outcome
        if isinstance(timed, Timed):
            compared = timed.comparison
            found[result.backend] = {
                "median_s": timed.median_s,
                "ratio": 1.0 if compared is None else compared.ratio,
                "verdict": "baseline" if compared is None else compared.verdict,
                "noisy": timed.noise.noisy,
                "modes": [mode.centre for mode in modes(timed.samples_s)],
            }
    return found


def waking(names: Sequence[str], shape: str) -> dict[str, list[float | None]]:
    """Median seconds of a call of each, by the edges of AFTER_S since its turn began with all threads asleep."""
    case, loaded = case_of(shape), discover(names=names)[0]
    operands = dict(zip(case.operands, make_operands(case), strict=True))
    seconds: dict[str, list[list[float]]] = {one.name: [[] for _ in AFTER_S] for one in loaded}
    with heap_kept(), conditions(case):
        calls = {one.name: bind(one, case, operands)[0] for one in loaded}
        for number in range(1 + TURNS):
            for name in random.sample(sorted(calls), len(calls)):
                wait_for(cpu_ns())
                begin = before = time.perf_counter()
                while before - begin < LAST_S:
                    calls[name]()
                    after = time.perf_counter()
                    if number:  # the first turn plans and compiles
                        seconds[name][bisect_right(AFTER_S, before - begin) - 1].append(after - before)
                    before = after
    return {name: [median(one) if one else None for one in own] for name, own in seconds.items()}


def in_a_process(*words: str) -> Any:
    """What this script prints as JSON when it is asked for one part."""
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def contradicts(verdict: str, ratio: float, margin: float) -> bool:
    """Whether runs alone, torch's time over this one's, say the opposite of a verdict."""
    match verdict:
        case "faster":
            return ratio < 1 / (1 + margin)
        case "slower":
            return ratio > 1 + margin
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=SHAPES, metavar="SHAPE")
    parser.add_argument("--backend", default=BACKENDS)
    parser.add_argument("--runs", type=int, default=2, help="runs alone, half of them before the race")
    parser.add_argument("--heap", choices=("kept", "plain"), default="kept")
    parser.add_argument("--sets", type=int, help="of operands, when alone; those of the race by default")
    parser.add_argument("--csv", help="write the table there as well")
    parser.add_argument("--waking", action="store_true")
    parser.add_argument("--part", choices=("alone", "race"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part == "alone":
        print(json.dumps(alone(chosen.backend, chosen.shapes[0], chosen.heap, chosen.sets)))
        return
    if chosen.part == "race":
        print(json.dumps(race(chosen.backend, chosen.shapes[0])))
        return
    if chosen.waking:
        edges = ["first call", *(f"{edge * 1e3:g} ms on" for edge in (0.0, *AFTER_S[2:]))]
        print(f"{'ms a call':52s}" + "".join(f"{edge:>12s}" for edge in edges))
        for shape in chosen.shapes:
            for name, medians in waking(chosen.backend.split(","), shape).items():
                print(
                    f"{shape:34s} {name:17s}"
                    + "".join(f"{'' if one is None else format(one * 1e3, '.3f'):>12s}" for one in medians),
                    flush=True,
                )
        return
    how = ["--heap", chosen.heap, *(["--sets", str(chosen.sets)] if chosen.sets else [])]
    rows = []
    for shape in chosen.shapes:
        runs: dict[str, list[float]] = {name: [] for name in chosen.backend.split(",")}

        def run_alone(times: int, runs: dict[str, list[float]] = runs, shape: str = shape) -> None:
            for _ in range(times):
                for name, own in runs.items():
                    own.append(median(in_a_process("--part", "alone", "--backend", name, *how, shape)))

        run_alone((chosen.runs + 1) // 2)
        raced = in_a_process("--part", "race", "--backend", chosen.backend, shape)
        run_alone(chosen.runs // 2)
        base_s = median(runs["torch"]) if "torch" in runs else 0.0
        for name, found in raced.items():
            own_s = median(runs[name])
            rows.append(
                {
                    "spec": shape,
                    "backend": name,
                    "race_s": found["median_s"],
                    "alone_s": own_s,
                    "race_over_alone": found["median_s"] / own_s,
                    "alone_spread": max(runs[name]) / min(runs[name]),
                    "ratio_race": found["ratio"],
                    "ratio_alone": base_s / own_s,
                    "verdict": found["verdict"],
                    "contradicted": contradicts(found["verdict"], base_s / own_s, VerdictRule().margin),
                    "modes_s": " ".join(f"{one:.4g}" for one in found["modes"]),
                }
            )
            row = rows[-1]
            print(
                f"{shape:34s} {name:17s} race {found['median_s'] * 1e3:8.3f} ms  alone {own_s * 1e3:8.3f} ms"
                f"  {row['race_over_alone']:5.2f} (alone by itself {row['alone_spread']:4.2f})"
                f"  ratio {found['ratio']:5.2f} alone {row['ratio_alone']:5.2f}  {found['verdict']}"
                + ("  CONTRADICTED" if row["contradicted"] else "")
                + (f"  two modes: {row['modes_s']}" if found["modes"] else ""),
                flush=True,
            )
    shares = [row["race_over_alone"] for row in rows]
    near = sum(one <= 1.05 for one in shares)
    print(
        f"{near} of {len(rows)} rows within 1.05, the worst {max(shares):.2f}; "
        f"{sum(row['contradicted'] for row in rows)} verdicts contradicted; {torch.get_num_threads()} threads"
    )
    if chosen.csv:
        with open(chosen.csv, "w", newline="", encoding="utf-8") as file:  # csv wants the file open
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
