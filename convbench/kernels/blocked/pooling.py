"""Pools on blocks. Windows are clipped at the edges, so none reads a halo and max pools of negative numbers are right.

Compiled for: the kind, the taps and the dilation across. Sizes are arguments.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

from convbench.jit.emit import Fields, FloatVector, Int, Module, Pointer, float_word
from convbench.jit.target import Target
from convbench.kernels.blocked.geometry import Blocked
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan
from convbench.kernels.blocked.problems import Pair
from convbench.kernels.blocked.rows import ROWS, RowsPlan, for_rows, names_of, place_of, rows_plan, words_of


@dataclass(frozen=True, slots=True)
class BlockedMaxPool:
    """As torch's max_pool2d: NaN wins. Ceil mode is a y that is larger; each window must meet x."""

    x: Blocked
    y: Blocked
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)


@dataclass(frozen=True, slots=True)
class BlockedAveragePool:
    """As torch's avg_pool2d. Ceil mode is a y that is larger."""

    x: Blocked
    y: Blocked
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    count_include_pad: bool = True


@dataclass(frozen=True, slots=True)
class GlobalAveragePool:
    """The mean of each channel; y has h = w = 1."""

    x: Blocked
    y: Blocked


POOL = Fields.of(
    f"{ROWS} {names_of('x')} {names_of('y')} height width r down pad_top pad_left across stride inner_first "
    "inner_last columns taps rows_at columns_at"
)
MEAN = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} height width factor")


def pool(module: Module, kind: Literal["max", "average"], taps: int, dilation: int) -> None:
    """`pool(args, piece, thread)`: some rows of y."""
    f, block, piece, _ = module.task("pool")
    args = POOL.on(f, block)
    lanes = f.lanes
    start = f.constant(-inf) if kind == "max" else f.zero()

    def join(total: FloatVector, one: FloatVector) -> FloatVector:
        return total.at_least(one).or_nan_of(one) if kind == "max" else total + one

    def range_of(first: Int, size: Int, apart: Int, count: Int) -> tuple[Int, Int]:
        """The taps that lie inside, from the place of the first one."""
        low = f.most(0, (0 - first + apart - 1) // apart)
        high = f.least(count, f.most(0, (size - first + apart - 1) // apart))
        return f.integer(low), f.integer(high)

    def row(image: Int, channels: Int, r: Int) -> None:
        # place_of has counted rows of x by the stride, from the first row that is read
        source, to = place_of(args, "x", image, channels, r), place_of(args, "y", image, channels, r)
        down, x_row = args.number("down"), args.number("x_row")
        first, last = range_of(
            r * args.number("stride") - args.number("pad_top"), args.number("height"), down, args.number("r")
        )
        line = f.integer(x_row // args.number("stride") * down)

        def put(column: Int, total: FloatVector) -> None:
            if kind == "average":
                factor = f.spread(block + 2 * args.number("rows_at"), r * 2)
                total = total * factor * f.spread(block + 2 * args.number("columns_at"), column * 2)
            f.store(total, to + column * lanes)

        def inner(column: Int) -> None:
            at = source + column * args.number("across")

            def tap_row(_: Int, at: Pointer, total: FloatVector) -> list[Pointer | FloatVector]:
                for s in range(taps):
                    total = join(total, f.load(at, s * dilation * lanes))
                return [at + line, total]

            _, total = f.loop(first, last, tap_row, [at + first * line, start])
            assert isinstance(total, FloatVector)
            put(column, total)

        def edge(column: Int) -> None:
            at = source + column * args.number("across")
            apart = f.integer(dilation)
            left = column * (args.number("across") // lanes) - args.number("pad_left")
            low, high = range_of(left, args.number("width"), apart, args.number("taps"))

            def tap_row(_: Int, at: Pointer, total: FloatVector) -> list[Pointer | FloatVector]:
                def tap(s: Int, total: FloatVector) -> list[FloatVector]:
                    return [join(total, f.load(at + s * (dilation * lanes)))]

                (found,) = f.loop(low, high, tap, [total])
                assert isinstance(found, FloatVector)
                return [at + line, found]

            _, total = f.loop(first, last, tap_row, [at + first * line, start])
            assert isinstance(total, FloatVector)
            put(column, total)

        inner_first, inner_last = args.number("inner_first"), args.number("inner_last")
        f.loop(0, inner_first, edge)
        f.loop(inner_first, inner_last, inner)
        f.loop(inner_last, args.number("columns"), edge)

    for_rows(f, args, piece, row)


def mean(module: Module) -> None:
    """`mean(args, piece, thread)`: the mean of a block of channels of an image."""
    f, block, piece, _ = module.task("mean")
    args = MEAN.on(f, block)
    lanes, together = f.lanes, 4

    def row(image: Int, channels: Int, r: Int) -> None:
        source, to = (place_of(args, one, image, channels, r) for one in ("x", "y"))
        width = args.number("width")
        whole = width // together * together

        def line(_: Int, at: Pointer, total: FloatVector) -> list[Pointer | FloatVector]:
            def some(column: Int, *sums: FloatVector) -> list[FloatVector]:
                return [one + f.load(at + column * lanes, v * lanes) for v, one in enumerate(sums)]

            def one(column: Int, found: FloatVector) -> list[FloatVector]:
                return [found + f.load(at + column * lanes)]

            four = f.loop(0, whole, some, [f.zero()] * together, step=together)
            a, b, c, d = (each for each in four if isinstance(each, FloatVector))
            (found,) = f.loop(whole, width, one, [(a + b) + (c + d)])
            assert isinstance(found, FloatVector)
            return [at + args.number("x_row"), total + found]

        _, total = f.loop(0, args.number("height"), line, [source, f.zero()])
        assert isinstance(total, FloatVector)
        f.store(total * args.spread("factor"), to)

    for_rows(f, args, piece, row)


def candidates(
    problem: BlockedMaxPool | BlockedAveragePool | GlobalAveragePool,
    target: Target,
    threads: int,
    accuracy: Accuracy = "standard",
) -> list[BlockedPlan]:
    del accuracy
    x, y = problem.x, problem.y
    if isinstance(problem, GlobalAveragePool):
        own = {"height": x.h, "width": x.w, "factor": float_word(1 / x.h / x.w)}
        words = {**words_of("x", x), **words_of("y", y), **own}
        return [rows_plan("mean", mean, (), MEAN, y, target, threads, words)]
    return [_pool(problem, target, threads)]


def _pool(problem: BlockedMaxPool | BlockedAveragePool, target: Target, threads: int) -> RowsPlan:
    x, y, lanes = problem.x, problem.y, target.lanes
    dilation = problem.dilation if isinstance(problem, BlockedMaxPool) else (1, 1)
    (r, s), (down, across), (top, left) = problem.kernel, problem.stride, problem.padding
    reach = (s - 1) * dilation[1]
    inner_first = min(y.w, -(-left // across))
    inner_last = max(inner_first, min(y.w, (x.w - 1 - reach + left) // across + 1))
    tables: list[int] = []
    if isinstance(problem, BlockedAveragePool):
        for out, size, taps, step, before in ((y.h, x.h, r, down, top), (y.w, x.w, s, across, left)):
            tables += map(float_word, _factors(out, size, taps, step, before, problem.count_include_pad))
    at = len(POOL.names)
    words = {
        **words_of("x", x), **words_of("y", y), "x_row": down * x.row, "x_start": x.at(-top, -left),
        "height": x.h, "width": x.w, "r": r, "down": dilation[0], "pad_top": top, "pad_left": left,
        "across": across * lanes, "stride": down, "inner_first": inner_first, "inner_last": inner_last,
        "columns": y.w, "taps": s, "rows_at": at, "columns_at": at + y.h,
    }  # fmt: skip
    kind = "max" if isinstance(problem, BlockedMaxPool) else "average"
    return rows_plan(f"{kind} pool", pool, (kind, s, dilation[1]), POOL, y, target, threads, words, tables)


def _factors(out: int, size: int, taps: int, step: int, before: int, include: bool) -> list[float]:
    """One over the places that count, for each output along one side."""
    low, high = (-before, size + before) if include else (0, size)
    starts = [number * step - before for number in range(out)]
    return [1 / (min(start + taps, high) - max(start, low)) for start in starts]
