"""Where does it pay to turn x into blocks of channels and y back, rather than compute on NCHW?

    python scripts/blocks_or_not.py [PART OF A SHAPE ...]
    CONVBENCH_VECTORS=avx2 python scripts/blocks_or_not.py

One thread's CPU time of both ways in turns, as in `kernel_speed.py`; "chosen" is what the rules of
`convbench/kernels/through_blocks.py` take. The shapes are those of `kernel_speed.py` and some on either side of the
rules.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from kernel_speed import PROBLEMS, SHORTEST_S, seconds, turns

from convbench import ConvSpec
from convbench.backends import depthwise, direct, grouped, winograd
from convbench.jit.target import host
from convbench.kernels.gemm import Gemm
from convbench.kernels.plan import KernelPlan, convolve
from convbench.kernels.strips import Strips
from convbench.kernels.through_blocks import Make, ThroughBlocks, by_winograd, channelwise, directly
from convbench.kernels.transforms import FOUR, TWO
from convbench.kernels.winograd import Winograd

MORE = (
    "n1c128h112w112k128r3s3_pd1 n1c64h112w112k128r3s3_pd1 n1c512h28w28k512r3s3_pd1 n1c512h14w14k512r3s3_pd1 "
    "n1c32h28w28k32r3s3_pd1 n1c16h112w112k16r3s3_pd1 n1c192h35w35k256r3s3 n1c64h35w35k96r5s5_pd2 "
    "n1c240h28w28k240r5s5_pd2_g240 n1c480h14w14k480r5s5_pd2_g480 n1c1152h7w7k1152r5s5_pd2_g1152 "
    "n1c960h7w7k960r3s3_pd1_g960 n1c384h14w14k384r7s7_pd3_g384 n1c768h7w7k768r7s7_pd3_g768 "
    "n1c256h28w28k256r3s3_pd1_g32 n1c512h14w14k512r3s3_pd1_g32 n1c1024h7w7k1024r3s3_pd1_g32 "
    "n1c512h28w28k128r1s1 n1c192h28w28k768r1s1 n1c768h14w14k192r1s1 n1c320h7w7k1280r1s1 n1c160h7w7k960r1s1 "
    "n1c256h28w28k256r3s3_st2_pd1"
)


def ways(spec: ConvSpec) -> tuple[dict[str, KernelPlan], dict[str, KernelPlan], KernelPlan]:
    """On NCHW, through blocks, and what is chosen."""

    def through(make: Make) -> KernelPlan:
        return ThroughBlocks(spec, make, host(), 1)

    if spec.groups > 1:
        alone = spec.c_per_group == spec.k_per_group == 1
        plan = (depthwise if alone else grouped).plan(spec, 1)
        return {"strips": Strips(spec, host(), 1)}, {"blocks": through(channelwise if alone else directly)}, plan
    plain: dict[str, KernelPlan] = {"direct": (Strips if spec.c <= 4 else Gemm)(spec, host(), 1)}
    blocks = {"direct": through(directly)}
    if (spec.r, spec.s, *spec.stride, *spec.dilation) != (3, 3, 1, 1, 1, 1):
        return plain, blocks, direct.plan(spec, 1)
    for name, points in (("F4", FOUR), ("F2", TWO)):
        plain[name], blocks[name] = Winograd(spec, points, host(), 1), through(by_winograd(points))
    return plain, blocks, winograd.planner(spec)(spec, 1)


def main(parts: list[str]) -> None:
    torch.set_num_threads(1)
    print("| problem | on NCHW | ms | through blocks | ms | nchw / blocks | chosen |")
    print("| --- | --- | ---: | --- | ---: | ---: | --- |")
    for shape in [*" ".join(PROBLEMS.values()).split(), *MORE.split()]:
        spec = ConvSpec.parse(shape)
        if (parts and not any(one in shape for one in parts)) or spec.c_per_group in range(2, 4):
            continue
        x, w = torch.randn(spec.x_shape), torch.randn(spec.w_shape)
        plain, blocks, chosen = ways(spec)
        calls: dict[str, Callable[[], Any]] = {
            f"{kind} {name}": partial(convolve, lambda *_, plan=plan: plan, x, plan.pack(w), spec)
            for kind, plans in (("nchw", plain), ("blocks", blocks))
            for name, plan in plans.items()
        }
        repeats = {key: max(1, int(SHORTEST_S / seconds(call, 2))) for key, call in calls.items()}
        took = {key: min(found) for key, found in turns(calls, repeats).items()}
        best = [min((key for key in took if key.startswith(kind)), key=took.__getitem__) for kind in ("nchw", "blocks")]
        cells = " | ".join(f"{key.split()[1]} | {1e3 * took[key]:.3f}" for key in best)
        way = "blocks" if isinstance(chosen, ThroughBlocks) else "nchw"
        print(f"| `{shape}` | {cells} | {took[best[0]] / took[best[1]]:.2f} | {way} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
