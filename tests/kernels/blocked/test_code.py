"""What the code generator makes of the kernels on blocks, for CPUs that we have and others: read, not run."""

import re

import pytest

from convbench.jit.compile import Kernel, assembly
from convbench.jit.emit import Module
from convbench.jit.target import Target
from convbench.kernels.blocked import convolution, depthwise, linear, winograd
from convbench.kernels.blocked.register_tile import TileForm, add_tile, most_pixels, turn_channels
from convbench.kernels.transforms import FOUR
from tests.jit.test_assembly import TARGETS, inner_loops

STACK = r"\(%rsp|\[sp"  # rbp is a register like others here, for there are no frame pointers


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
def test_no_inner_loop_of_these_kernels_touches_the_stack(target: str, name: str) -> None:
    """Every sum has a register: a kernel that spills loses half its speed."""
    machine, fma, _ = TARGETS[target]
    kernel, form = forms(machine)[name]
    text = assembly(kernel, machine, form)
    loops = [one for one in inner_loops(text) if sum(bool(re.search(fma, line)) for line in one) >= 24]
    assert loops, "the loops of the tiles were not found"
    for one in loops:
        assert [line for line in one if re.search(STACK, line)] == []
    if target == "AVX-512":
        assert not re.search(r"vfmadd\w+ps.*%ymm", text), "16 lanes are one register each"


def one_tile(module: Module, form: TileForm, pixels: int, vectors: int) -> None:
    add_tile(module, convolution.FIELDS, form, pixels, vectors)


MOST_SPILLED = [  # target, vectors, operands on the stack in a turn: of 48, 112 and 96 multiply-adds
    ("AVX2", 2, 0),
    ("AVX2", 1, 12),
    ("AVX-512", 2, 20),
    ("AVX-512", 1, 0),
    pytest.param("NEON", 2, 48, marks=pytest.mark.program),
    pytest.param("NEON", 1, 120, marks=pytest.mark.program),
]


@pytest.mark.parametrize(("target", "vectors", "most"), MOST_SPILLED)
def test_the_largest_tiles_spill_no_more_than_that(target: str, vectors: int, most: int) -> None:
    """LLVM's scheduler moves loads up; how far depends on the number of prefetches."""
    machine, fma, _ = TARGETS[target]
    channels, largest = turn_channels(machine.lanes), most_pixels(machine, vectors)
    found = []
    for pixels in (largest, largest - 1):
        for ahead in (0, 1, 2):
            form = TileForm(channels, machine.lanes, machine.lanes, ahead=ahead, y_ahead=True)
            loops = inner_loops(assembly(one_tile, machine, form, pixels, vectors))
            count = pixels * vectors * channels
            [turn] = [one for one in loops if sum(bool(re.search(fma, line)) for line in one) >= count]
            found.append(sum(bool(re.search(STACK, line)) for line in turn))
    assert max(found) <= most
