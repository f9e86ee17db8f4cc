"""What the code generator makes of the kernels, for this CPU and for those that we do not have: read, not run."""

import re
from collections.abc import Iterator

import pytest

from convbench.jit.compile import Kernel, assembly
from convbench.jit.target import Target, avx2, avx512, neon
from convbench.kernels import gemm, layout, strips, winograd
from convbench.kernels.transforms import FOUR

LINUX = "x86_64-unknown-linux-gnu"
TARGETS = {
    "AVX2": (avx2(LINUX, "haswell", ""), r"vfmadd\w+ps", r"\(%r[sb]p"),
    "AVX-512": (avx512(LINUX, "skylake-avx512", ""), r"vfmadd\w+ps", r"\(%r[sb]p"),
    "NEON": (neon("aarch64-unknown-linux-gnu", "neoverse-n1", ""), r"fmla", r"\[sp"),
}
KERNELS: dict[str, tuple[Kernel, tuple[object, ...]]] = {
    "direct and 1x1": (gemm.kernel, (1,)),
    "strided": (strips.kernel, (2,)),
    "winograd": (winograd.kernel, (FOUR, 3)),
}
QUICK = {
    ("AVX2", "direct and 1x1"),
    ("AVX2", "strided"),
    ("AVX2", "winograd"),
    ("NEON", "strided"),
    ("AVX-512", "strided"),
}
EVERY = [
    pytest.param(target, kernel, marks=() if (target, kernel) in QUICK else pytest.mark.program)
    for target in TARGETS
    for kernel in KERNELS
]


def text_of(target: Target, name: str) -> str:
    kernel, form = KERNELS[name]
    rows = target.rows
    words = {"direct and 1x1": (rows, *form), "strided": (*form, rows, 1), "winograd": (*form, rows)}
    return assembly(kernel, target, *words[name])


def inner_loops(text: str) -> Iterator[list[str]]:
    """The blocks that jump back to their own beginning."""
    label, lines = "", list[str]()
    for line in text.splitlines():
        if found := re.match(r"(\.L\w+):", line):
            label, lines = found[1], []
        elif label:
            lines.append(line)
            if re.match(rf"\s+(j\w+|b\.\w+|cbn?z\s+\w+,)\s+{re.escape(label)}\b", line):
                yield lines
                label = ""


@pytest.mark.parametrize(("target", "kernel"), EVERY)
def test_no_inner_loop_of_multiply_adds_touches_the_stack(target: str, kernel: str) -> None:
    """Every number that is reused there has a register: a kernel that spills loses half its speed."""
    machine, fma, stack = TARGETS[target]
    loops = [one for one in inner_loops(text_of(machine, kernel)) if any(re.search(fma, line) for line in one)]
    tiles = [one for one in loops if sum(bool(re.search(fma, line)) for line in one) >= 2 * (machine.rows - 1)]
    assert len(tiles) >= 2, "the loops of the register tiles were not found"
    for one in tiles:
        assert [line for line in one if re.search(stack, line)] == []


@pytest.mark.program
def test_no_vector_is_narrower_than_the_targets() -> None:
    """16 lanes are one register each, not two of 8: else LLVM splits the tile, and it no longer fits."""
    text = assembly(layout.turn, TARGETS["AVX-512"][0])
    assert "%zmm" in text
    tile = assembly(gemm.kernel, TARGETS["AVX-512"][0], 14, gemm.POINTWISE)
    assert len(re.findall(r"vfmadd\w+ps.*%zmm", tile)) > 100
    assert not re.findall(r"vfmadd\w+ps.*%ymm", tile)
