"""How fast are our own kernels on one thread, against torch, oneDNN with packed weights, and ncnn?

    python scripts/kernel_speed.py [PART OF A SHAPE ...]

Prints the tables of docs/kernels.md. The time is CPU time of the process, which others on the machine disturb less than
that of the clock; the backends take turns, each is called once before it is timed, and the fastest of 20 rounds counts.
`nhwc` and `bias_relu` are what those cost: the time of the own backend that is fastest in nchw over that in nchw.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from math import exp, log
from typing import Any

import torch

from convbench import Case, ConvSpec, Problem, discover

RIVALS = ("torch", "onednn-prepacked", "ncnn")
OWN = ("winograd", "direct", "depthwise", "grouped", "gemm-1x1")
ROUNDS = 20
SHORTEST_S = 3e-3  # of a sample: a shorter call is repeated
PROBLEMS = {
    "3x3": "n1c64h56w56k64r3s3_pd1 n1c128h28w28k128r3s3_pd1 n1c256h14w14k256r3s3_pd1 n1c512h7w7k512r3s3_pd1 "
    "n8c64h56w56k64r3s3_pd1 n8c128h28w28k128r3s3_pd1 n8c256h14w14k256r3s3_pd1 n8c512h7w7k512r3s3_pd1 "
    "n1c64h224w224k64r3s3_pd1 n1c256h56w56k256r3s3_pd1",
    "1x1": "n1c256h56w56k64r1s1 n1c1024h14w14k256r1s1 n8c64h56w56k256r1s1 n1c2048h7w7k512r1s1 n1c512h7w7k2048r1s1",
    "strided, stem": "n1c128h56w56k128r3s3_st2_pd1 n1c512h14w14k512r3s3_st2_pd1 n1c256h56w56k512r1s1_st2 "
    "n1c3h224w224k64r7s7_st2_pd3",
    "depthwise": "n1c96h112w112k96r3s3_pd1_g96 n1c240h28w28k240r5s5_st2_pd2_g240 n8c96h56w56k96r7s7_pd3_g96 "
    "n1c64h32w32k64r31s31_pd15_g64 n1c576h14w14k576r3s3_pd1_g576",
    "grouped": "n1c128h56w56k128r3s3_pd1_g32",
    "dilated": "n1c256h28w28k256r3s3_pd2_dl2",
    "C=1": "n64c1h28w28k20r5s5",
}


def measure(shape: str) -> dict[str, float]:
    """Seconds a call, by backend."""
    spec = ConvSpec.parse(shape)
    case = Case(problem=Problem(suite="speed", name=shape, spec=spec))
    x, w, bias = torch.randn(spec.x_shape), torch.randn(spec.w_shape), torch.randn(spec.k)
    nhwc = x.to(memory_format=torch.channels_last)
    calls: dict[str, Callable[[], Any]] = {}
    for backend in discover(names=[*RIVALS, *OWN])[0]:
        if backend.why_not(case) is None:
            weight = w if backend.prepare is None else backend.prepare(w, spec)
            calls[backend.name] = partial(backend.fn, x, weight, spec)
            if backend.name in OWN and backend.fused is not None:
                calls[f"{backend.name} nhwc"] = partial(backend.fn, nhwc, weight, spec)
                calls[f"{backend.name} bias_relu"] = partial(backend.fused, x, weight, spec, bias, True)
    repeats = {name: max(1, int(SHORTEST_S / seconds(call, 2))) for name, call in calls.items()}
    return {name: min(one) for name, one in turns(calls, repeats).items()}


def turns(calls: dict[str, Callable[[], Any]], repeats: dict[str, int]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()
            found[name].append(seconds(call, repeats[name]))
    return found


def seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return max((time.process_time() - start) / repeats, 1e-9)


def mean(ratios: list[float]) -> float:
    return exp(sum(map(log, ratios)) / len(ratios))


def main(chosen: list[str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"| problem | {' | '.join(RIVALS)} | our own | GFLOP/s | over torch | over the best | nhwc | bias_relu |")
    print("| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    families: dict[str, list[tuple[float, float]]] = {}
    with torch.no_grad():
        for family, shapes in PROBLEMS.items():
            for shape in shapes.split():
                if chosen and not any(one in shape for one in chosen):
                    continue
                took = measure(shape)
                own = min((name for name in OWN if name in took), key=took.__getitem__)
                over = [took[name] / took[own] for name in RIVALS]
                families.setdefault(family, []).append((over[0], min(over)))
                rivals = " | ".join(f"{1e3 * took[name]:.2f}" for name in RIVALS)
                rate = ConvSpec.parse(shape).flops / took[own] / 1e9
                print(f"| `{shape}` | {rivals} | {own} {1e3 * took[own]:.2f} | {rate:.0f}", end=" | ")
                nhwc, bias_relu = (took[f"{own} {kind}"] / took[own] for kind in ("nhwc", "bias_relu"))
                print(f"{over[0]:.2f} | {min(over):.2f} | {nhwc:.2f} | {bias_relu:.2f} |", flush=True)
    families["all"] = [one for found in families.values() for one in found]
    print("\n| family | problems | over torch | over the best |\n| --- | ---: | ---: | ---: |")
    for family, found in families.items():
        over_torch, over_best = (mean([one[place] for one in found]) for place in (0, 1))
        print(f"| {family} | {len(found)} | {over_torch:.2f} | {over_best:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
