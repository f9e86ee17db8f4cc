"""Multiply-adds of a CUDA device that never leave its registers."""

import triton
import triton.language as tl

BLOCK = 1024  # with 4 warps, 8 independent sums for each thread: more than the latency of an FMA
FMAS = 32  # of each number in one round, without a branch between them


@triton.jit  # type: ignore[untyped-decorator]
def fma_loop(numbers, ROUNDS: tl.constexpr, BLOCK: tl.constexpr = BLOCK, FMAS: tl.constexpr = FMAS):  # type: ignore[no-untyped-def]  # noqa: N803
    """Each number becomes x * 1/2 + 1, `ROUNDS * FMAS` times, which leads from anything to 2.

    A number of rounds known at run time alone is a tensor to Triton 3.6's interpreter, which numpy 2.5 takes for
    no index.
    """
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(numbers + place)
    half = tl.full((BLOCK,), 0.5, x.dtype)
    one = tl.full((BLOCK,), 1.0, x.dtype)
    for _ in range(ROUNDS):
        for _ in tl.static_range(FMAS):
            x = tl.fma(x, half, one)
    tl.store(numbers + place, x)
