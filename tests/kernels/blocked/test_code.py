"""What the code generator makes of the kernels on blocks, for CPUs that we have and others: read, not run."""

import re

import pytest

from convbench.jit.compile import Kernel, assembly
from convbench.jit.target import Target
from convbench.kernels.blocked import convolution, depthwise, linear, winograd
from convbench.kernels.blocked.register_tile import TileForm, turn_channels
from convbench.kernels.transforms import FOUR
from tests.jit.test_assembly import TARGETS, inner_loops


def forms(target: Target) -> dict[str, tuple[Kernel, object]]:
    lanes, rows, turn = target.lanes, target.rows, turn_channels(target.lanes)
    tile = TileForm(turn, lanes, lanes, ahead=1, y_ahead=True)
    stem = TileForm(3, 2, lanes, planes=True, ahead=1, y_ahead=True)
    pointwise = TileForm(turn, lanes, lanes, ahead=2, x_ahead=True, y_ahead=True, residual=True, code="silu")
    one = TileForm(turn, 0, 0, ahead=4)
    return {
        "direct": (convolution.kernel, convolution.ConvolutionForm(tile, ((2, rows),))),
        "1x1": (convolution.kernel, convolution.ConvolutionForm(pointwise, ((2, rows),))),
        "stem": (convolution.kernel, convolution.ConvolutionForm(stem, ((2, rows),))),
        "winograd": (winograd.kernel, winograd.WinogradForm(FOUR, tile, True, "none", ((2, rows),))),
        "linear": (linear.kernel, linear.LinearForm(one, ((8, 1),))),
        "depthwise": (depthwise.kernel, depthwise.DepthwiseForm(8, 3, 1, 1, False, "none")),
        "depthwise 7x7": (depthwise.kernel, depthwise.DepthwiseForm(8, 7, 1, 1, False, "none")),
    }


QUICK = {("AVX2", "direct"), ("AVX2", "1x1"), ("AVX2", "stem"), ("AVX-512", "direct"), ("AVX2", "depthwise 7x7")}
EVERY = [
    pytest.param(target, kernel, marks=() if (target, kernel) in QUICK else pytest.mark.program)
    for target in ("AVX2", "AVX-512")
    for kernel in forms(TARGETS["AVX2"][0])
]


@pytest.mark.parametrize(("target", "name"), EVERY)
def test_no_inner_loop_of_multiply_adds_touches_the_stack(target: str, name: str) -> None:
    """Every sum has a register: a kernel that spills loses half its speed."""
    machine, fma, _ = TARGETS[target]
    stack = r"\(%rsp"  # rbp is a register like others here, for there are no frame pointers
    kernel, form = forms(machine)[name]
    text = assembly(kernel, machine, form)
    loops = [one for one in inner_loops(text) if sum(bool(re.search(fma, line)) for line in one) >= 24]
    assert loops, "the loops of the tiles were not found"
    for one in loops:
        assert [line for line in one if re.search(stack, line)] == []
    if target == "AVX-512":
        assert not re.search(r"vfmadd\w+ps.*%ymm", text), "16 lanes are one register each"
