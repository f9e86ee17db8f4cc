"""The register tile: a few rows by two vectors of sums, which Winograd, 1x1 and direct kernels share."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from convbench.jit.emit import Carried, FloatVector, Function, Index, Int, Module, Pointer

UNROLL = 2


def split(count: int, most: int) -> tuple[int, int, int]:
    """(rows, first, rest): blocks of `rows` and then blocks of one row less that hold `count`, no row left over.

    64 rows by at most 6 are 9 blocks of 6 and 2 of 5, all of them fast, not 10 and one of 4. `rows` is even: one kernel
    in two would do, so half of them need not be compiled.
    """

    def blocks_of(rows: int) -> tuple[int, int, int] | None:
        for blocks in range(-(-count // rows), count // max(1, rows - 1) + 1):
            first = count - blocks * (rows - 1)
            if first <= blocks:
                return rows, first, blocks - first
        return None

    if count == 1:
        return 1, 1, 0
    found = [one for rows in range(2, most + 2, 2) if (one := blocks_of(min(rows, most)))]
    return min(found, key=lambda one: one[1] + one[2])


def multiply(
    f: Function, w: Pointer, x: Pointer, x_step: Index, depth: Index, rows: int, vectors: int
) -> list[FloatVector]:
    """sum over i < depth of w[i][row] * x[i * x_step + lane], row by row: the loop in which all time should be spent.

    A turn is `vectors` loads, `rows` spread numbers and rows * vectors multiply-adds, all addresses constants.
    """

    def step(w: Pointer, x: Pointer, sums: Sequence[FloatVector], at: int) -> list[FloatVector]:
        start = x + x_step * at if at else x
        columns = [f.load(start, v * f.lanes) for v in range(vectors)]
        added = []
        for row in range(rows):
            one = f.spread(w, at * rows + row)
            added += [f.fma(one, columns[v], sums[row * vectors + v]) for v in range(vectors)]
        return added

    def turn(unrolled: int, _: Int, w: Pointer, x: Pointer, *sums: FloatVector) -> list[Pointer | FloatVector]:
        done = list(sums)
        for at in range(unrolled):
            done = step(w, x, done, at)
        return [w + rows * unrolled, x + x_step * unrolled, *done]

    start: list[Carried] = [w, x, *([f.zero()] * (rows * vectors))]
    whole = depth // UNROLL
    carried = f.loop(0, whole, partial(turn, UNROLL), start)
    carried = f.loop(whole * UNROLL, depth, partial(turn, 1), carried)
    return [one for one in carried if isinstance(one, FloatVector)]


def add_tile(module: Module, rows: int, vectors: int) -> str:
    """The function that adds a tile's sums to memory, and its name.

    `(w, x, out, x_step, depth, out_step, add)`: out[row * out_step + lane] = sums, added to what is there unless
    `add` is 0. Long sums come in blocks: their roundings then grow with the blocks and not with the products.
    """
    name = f"tile_{rows}x{vectors}"
    f = module.function(name, "w x out", "x_step depth out_step add")
    w, x, out = f.pointers("w x out")
    x_step, depth, out_step, add = f.integers("x_step depth out_step add")
    sums = multiply(f, w, x, x_step, depth, rows, vectors)

    def put(more: bool) -> None:
        for row in range(rows):
            to = out + out_step * row
            for v in range(vectors):
                one = sums[row * vectors + v]
                f.store(f.load(to, v * f.lanes) + one if more else one, to, v * f.lanes)

    f.when(add.is_not(0), lambda: put(True), lambda: put(False))
    return name


def for_blocks(
    f: Function, first: Index, last: Index, blocks: Int, rows: int, do: Callable[[int, Index, Index], None]
) -> None:
    """`do(rows of the block, its number, its first row)` for blocks `first` to below `last` of a `split`.

    Args:
        blocks: how many have `rows` rows; those after them have one less.
    """
    f.loop(first, f.least(last, blocks), lambda block: do(rows, block, block * rows))
    if rows > 1:
        more = f.choose(blocks.below(first), f.integer(first), blocks)
        f.loop(more, last, lambda block: do(rows - 1, block, block * (rows - 1) + blocks))


def for_columns(f: Function, count: Index, do: Callable[[Int, int], None]) -> None:
    """`do(first, vectors)` over columns by two vectors; by one for the last, if that is enough."""

    def two_or_one(first: Int) -> None:
        left = count - first
        f.when(left.above(f.lanes), lambda: do(first, 2), lambda: do(first, 1))

    f.loop(0, count, two_or_one, step=2 * f.lanes)


def pack_blocks(w: Tensor, most: int) -> Tensor:
    """(..., K, T) as [...][block of filters][T][filter of the block], with the blocks of `split`."""
    *others, filters, depth = w.shape
    rows, first, rest = split(filters, most)
    whole, less = w.split([first * rows, filters - first * rows], dim=-2)
    parts = [whole.reshape(*others, first, rows, depth).transpose(-1, -2).reshape(*others, -1)]
    if rest:
        parts.append(less.reshape(*others, rest, rows - 1, depth).transpose(-1, -2).reshape(*others, -1))
    return torch.cat(parts, dim=-1).flatten().contiguous()
