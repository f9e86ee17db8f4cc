"""How fast are the kernels on blocks of channels, as a share of the core's peak, against torch and our own on NCHW?

    python scripts/blocked_speed.py [--all] [PART OF A SHAPE ...]

Prints the table of docs/kernels.md; --all prints every candidate, too. The time is CPU time of one thread; the calls
take turns with a loop of multiply-adds in registers, which is the peak, and the fastest of 15 rounds counts. x, w, y
and the scratch memory are the same in each call. Products of Winograd count as those of the direct algorithm.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from convbench import Case, ConvSpec, Problem, discover
from convbench.ceilings.simd import fma_loops
from convbench.jit.target import host
from convbench.jit.team import run
from convbench.kernels.blocked import convolution, depthwise
from convbench.kernels.blocked.geometry import Blocked, Planes
from convbench.kernels.blocked.plan import BlockedPlan, Places
from convbench.kernels.blocked.problems import Convolution, Depthwise

ROUNDS = 15
SHORTEST_S = 3e-3  # of a sample: a shorter call is repeated
OWN = ("winograd", "direct", "depthwise", "grouped", "gemm-1x1")
SHAPES = (
    "n1c64h56w56k64r1s1 n1c256h56w56k64r1s1 n1c64h56w56k256r1s1 n1c512h28w28k128r1s1 n1c128h28w28k512r1s1 "
    "n1c1024h14w14k256r1s1 n1c256h14w14k1024r1s1 n1c2048h7w7k512r1s1 n1c512h7w7k2048r1s1 "
    "n1c64h56w56k64r3s3_pd1 n1c128h28w28k128r3s3_pd1 n1c256h14w14k256r3s3_pd1 n1c512h7w7k512r3s3_pd1 "
    "n1c64h224w224k64r3s3_pd1 n1c256h56w56k256r3s3_pd1 n1c512h14w14k512r3s3_pd1 "
    "n1c128h56w56k128r3s3_st2_pd1 n1c256h28w28k256r3s3_st2_pd1 n1c512h14w14k512r3s3_st2_pd1 n1c256h56w56k512r1s1_st2 "
    "n1c3h224w224k64r7s7_st2_pd3 n1c3h224w224k32r3s3_st2_pd1 n1c3h224w224k64r3s3_pd1 "
    "n1c32h112w112k16r1s1 n1c16h112w112k96r1s1 n1c24h56w56k144r1s1 n1c144h28w28k32r1s1 n1c96h14w14k576r1s1 "
    "n1c32h112w112k32r3s3_pd1_g32 n1c96h112w112k96r3s3_st2_pd1_g96 n1c144h56w56k144r3s3_pd1_g144 "
    "n1c384h14w14k384r3s3_pd1_g384 n1c960h7w7k960r3s3_pd1_g960 n1c240h28w28k240r5s5_pd2_g240 "
    "n1c96h56w56k96r7s7_pd3_g96 n1c128h56w56k128r3s3_pd1_g32"
).split()


def plans_of(spec: ConvSpec, room: list[Any]) -> dict[str, Callable[[], Any]]:
    """A call of each candidate; `room` keeps its memory."""
    target = host()
    y = Blocked(spec.n, spec.k, spec.p, spec.q, target.lanes)
    few = spec.c < target.lanes
    x: Blocked | Planes = Planes(spec.n, spec.c, spec.h, spec.w) if few else Blocked(*spec.x_shape, target.lanes)
    options = (spec.r, spec.s), spec.stride, (spec.sides[0], spec.sides[2]), spec.dilation
    candidates: list[BlockedPlan]
    if spec.groups == spec.c == spec.k and isinstance(x, Blocked):
        problem = Depthwise(x, y, *options, activation="relu")
        problem = replace(problem, x=x.with_halo(problem.halo))
        candidates = depthwise.candidates(problem, target, 1)
        memory: Blocked | Planes = problem.x
    else:
        dense = Convolution(x, y, *options, groups=spec.groups, activation="relu")
        dense = replace(dense, x=x.with_halo(dense.halo))
        candidates = convolution.candidates(dense, target, 1)
        memory = dense.x
    source, to = aligned(memory.size), aligned(y.size)
    memory.write(source, torch.randn(spec.x_shape))
    w, bias = torch.randn(spec.w_shape), torch.randn(spec.k)
    room += [source, to]
    calls: dict[str, Callable[[], Any]] = {}
    for plan in candidates:
        packed = plan.pack(w, bias)
        weights, scratch = aligned(packed.numel()).copy_(packed), aligned(plan.scratch)
        room += [weights, scratch]
        places = Places(source.data_ptr(), to.data_ptr(), weights.data_ptr(), 0, scratch.data_ptr())
        calls[plan.name] = partial(run, plan.steps(places), 1)
    return calls


def aligned(floats: int) -> torch.Tensor:
    """Memory that begins with a line of the caches."""
    whole = torch.zeros(floats + 16)
    return whole[-whole.data_ptr() // 4 % 16 :][:floats]


def measure(shape: str) -> tuple[dict[str, float], dict[str, float], float]:
    """Seconds a call of the candidates and of the others, and FLOP/s of the loop in registers."""
    spec, room = ConvSpec.parse(shape), list[Any]()
    case = Case(problem=Problem(suite="speed", name=shape, spec=spec))
    ours = plans_of(spec, room)
    x, w, bias = torch.randn(spec.x_shape), torch.randn(spec.w_shape), torch.randn(spec.k)
    last = torch.channels_last
    padding = (spec.sides[0], spec.sides[2])
    assert (*padding, *padding) == (spec.sides[0], spec.sides[2], spec.sides[1], spec.sides[3])
    others: dict[str, Callable[[], Any]] = {
        "torch": partial(
            F.conv2d, x.contiguous(memory_format=last), w.contiguous(memory_format=last), bias,
            spec.stride, padding, spec.dilation, spec.groups,
        )
    }  # fmt: skip
    for backend in discover(names=list(OWN))[0]:
        if backend.why_not(case) is None:
            weight = w if backend.prepare is None else backend.prepare(w, spec)
            others[backend.name] = partial(backend.fn, x, weight, spec)
    loop = next(iter(fma_loops("fp32")))
    floats = (ctypes.c_float * 64)()
    rounds = 200_000
    calls: dict[str, Callable[[], Any]] = {**ours, **others}
    calls["peak"] = partial(loop.loop, floats, floats, floats, 0, rounds)
    repeats = {name: max(1, int(SHORTEST_S / seconds(call, 2))) for name, call in calls.items()}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()  # what the one before it has left in the caches is not its own
            best[name] = min(best[name], seconds(call, repeats[name]))
    peak = rounds * loop.flops / best["peak"]
    return {name: best[name] for name in ours}, {name: best[name] for name in others}, peak


def seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return max((time.process_time() - start) / repeats, 1e-9)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    every, chosen = "--all" in arguments, [one for one in arguments if one != "--all"]
    print("| problem | best candidate | GFLOP/s | % of peak | default / best | over torch | over our own on NCHW |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with torch.no_grad():
        for shape in SHAPES:
            if chosen and not any(one in shape for one in chosen):
                continue
            ours, others, peak = measure(shape)
            flops, name = ConvSpec.parse(shape).flops, min(ours, key=ours.__getitem__)
            if every:
                for one, took in ours.items():
                    print(f"  {one:40} {flops / took / 1e9:6.1f} GFLOP/s  {100 * flops / took / peak:5.1f} % of peak")
            took = ours[name]
            own = min((one for other, one in others.items() if other != "torch"), default=float("nan"))
            print(
                f"| `{shape}` | {name} | {flops / took / 1e9:.0f} | {100 * flops / took / peak:.0f} "
                f"| {next(iter(ours.values())) / took:.2f} | {others['torch'] / took:.2f} | {own / took:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
