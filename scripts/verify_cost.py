"""What does it cost to verify one backend on one case, against one float64 F.conv2d of that case?

    python scripts/verify_cost.py

Over the suite `quick`, fp32, on this machine. Verifying includes the oracle, the truth of the whole
numbers, all calls and all verdicts. The two are timed in turns, and the ratio is of their medians.
"""

import time
from collections.abc import Callable
from statistics import median

import torch.nn.functional as F

from convbench import Verified, discover
from convbench.case import Case
from convbench.suites import load_suite
from convbench.verify.operands import make_operands
from convbench.verify.sweep import verify

ROUNDS = 7


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    (torch_itself,), _ = discover(names=["torch"])
    print(f"{'':22} {'conv2d fp64':>12} {'verify':>10} {'(verify - 50 ms) / conv2d':>26}")
    shares = []
    for problem in load_suite("quick"):
        case = Case(problem=problem)
        spec = case.spec
        x, w = (operand.double() for operand in make_operands(case))
        plain, whole = [], []
        for _ in range(ROUNDS):
            plain.append(seconds(lambda: F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)))  # noqa: B023
            begin = time.perf_counter()
            (result,) = verify([case], [torch_itself])
            whole.append(time.perf_counter() - begin)
            assert isinstance(result.outcome, Verified), result
        shares.append((median(whole) - 0.05) / median(plain))
        print(f"{problem.name:22} {median(plain) * 1e3:9.1f} ms {median(whole) * 1e3:7.1f} ms {shares[-1]:26.1f}")
    print(f"{'median':22} {median(shares):51.1f}")


if __name__ == "__main__":
    main()
