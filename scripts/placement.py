"""What do two backends take, wherever a hypervisor puts the CPUs? On this machine, for some minutes.

    python scripts/placement.py --seconds 300

Each line is a window of a second: how long two CPUs need to exchange a cache line, the medians of both
backends, and the median of their paired ratios. The table at the end puts windows of one place together.
Windows in which the CPUs moved, as the quickest and the slowest exchange tell, are left out of it.
"""

import argparse
import random
import time
from statistics import median

import torch

from convbench import discover
from convbench.bench.clock import block_counts, seconds_a_call
from convbench.bench.heap import heap_kept
from convbench.bench.placement import Placement, handover_s, same_place
from convbench.call.bind import conditions
from convbench.case import Case, Problem
from convbench.spec import ConvSpec
from convbench.verify.exam import prepare_exam
from convbench.verify.trial import Trial, attempt

Window = tuple[float, float, float, float]  # seconds for a hand-over, of the baseline, of the other, and the ratio


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", default="n1c64h56w56k64r3s3_pd1")
    parser.add_argument("--backends", default="torch,onednn-prepacked")
    parser.add_argument("--seconds", type=float, default=300)
    asked = parser.parse_args()
    names = asked.backends.split(",")
    place = Placement.of_machine(torch.get_num_threads())
    if place is None:
        raise SystemExit("one thread, one CPU, no hypervisor or no LLVM: nothing moves, or nothing can see it")
    case = Case(problem=Problem(suite="shape", name=asked.shape, spec=ConvSpec.parse(asked.shape)))
    backends, _ = discover(names=names)
    exam, by_name = prepare_exam(case), {backend.name: backend for backend in backends}
    windows: list[Window] = []
    with conditions(case), heap_kept():
        trials = {name: attempt(by_name[name], exam) for name in names}
        calls = {name: trial.call for name, trial in trials.items() if isinstance(trial, Trial)}
        if len(calls) < 2:
            raise SystemExit(f"two backends that can do it are needed, of {asked.backends} only {', '.join(calls)} can")
        exam.forget()
        counts = block_counts(
            {name: seconds_a_call(call, case.target) for name, call in calls.items()}, names[0], case.target.block_s
        )
        end = time.monotonic() + asked.seconds
        while time.monotonic() < end:
            window_end, places = time.monotonic() + 1, list[float]()
            taken: dict[str, list[float]] = {name: [] for name in names}
            while time.monotonic() < window_end:
                if (now_s := handover_s(*place.pairs[0])) is not None:
                    places.append(now_s)
                for _ in range(10):
                    for name in random.sample(names, len(names)):
                        calls[name]()
                        taken[name].append(case.target.time_block(calls[name], counts[name]) / counts[name])
            if not places or not same_place(min(places), max(places)):
                continue
            ratio = median(base / own for base, own in zip(*taken.values(), strict=True))
            windows.append((median(places), *(median(own) for own in taken.values()), ratio))
            print(describe([windows[-1]]), flush=True)
    print("\nhand-over ns, windows, " + " us, ".join(names) + " us, ratio (lowest, highest window)")
    while windows:
        alike = [one for one in windows if same_place(one[0], windows[0][0])]
        windows = [one for one in windows if not same_place(one[0], alike[0][0])]
        ratios = [one[3] for one in alike]
        print(f"{describe(alike)}  ({min(ratios):.3f}, {max(ratios):.3f})")


def describe(windows: list[Window]) -> str:
    handover, base, own, ratio = (median(column) for column in zip(*windows, strict=True))
    return f"{1e9 * handover:4.0f} {len(windows):4d} {1e6 * base:8.1f} {1e6 * own:8.1f} {ratio:6.3f}"


if __name__ == "__main__":
    main()
