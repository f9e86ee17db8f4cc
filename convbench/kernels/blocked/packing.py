"""Into blocks of channels and back: NCHW to planes with a halo, NCHW to blocks, blocks to NCHW.

A square of channels by columns is turned in registers; at the end of a row or of the channels with masks.
Compiled for nothing but the target.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from convbench.jit.emit import Fields, FloatVector, Function, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.kernels.blocked.geometry import Geometry, Planes
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan
from convbench.kernels.blocked.rows import ROWS, for_rows, names_of, place_of, rows_plan, words_of
from convbench.kernels.epilogue import store_row
from convbench.kernels.layout import transposed


@dataclass(frozen=True, slots=True)
class Pack:
    """x, contiguous NCHW of y's sizes, to y."""

    y: Geometry


@dataclass(frozen=True, slots=True)
class Unpack:
    """x to y, contiguous NCHW of x's sizes."""

    x: Geometry


COPY = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} width")
TURN = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} width channels channel_step")


def copy_planes(module: Module) -> None:
    """Rows of planes into rows of planes."""
    f, block, piece, _ = module.task("copy_planes")
    args = COPY.on(f, block)

    def row(image: Int, channel: Int, row: Int) -> None:
        source, to = (place_of(args, one, image, channel, row) for one in ("x", "y"))
        width = args.number("width")
        whole = width // f.lanes * f.lanes
        f.loop(0, whole, lambda i: f.store(f.load(source + i), to + i), step=f.lanes)

        def some() -> None:
            mask = f.lanes_of(0, width - whole)
            f.store_some(f.load_some(source + whole, mask), to + whole, mask)

        f.when(whole.below(width), some)

    for_rows(f, args, piece, row)


def pack_blocks(module: Module) -> None:
    """A row of as many planes as a vector has lanes, to a row of a block; zeros for planes that do not exist."""
    f, block, piece, _ = module.task("pack_blocks")
    args = TURN.on(f, block)

    def row(image: Int, channel_block: Int, row: Int) -> None:
        source, to = (place_of(args, one, image, channel_block, row) for one in ("x", "y"))
        channels = args.number("channels") - channel_block * f.lanes
        row_in(f, source, to, args.number("width"), channels, args.number("channel_step"))

    for_rows(f, args, piece, row)


def unpack_blocks(module: Module) -> None:
    """A row of a block, to a row of each of its channels."""
    f, block, piece, _ = module.task("unpack_blocks")
    args = TURN.on(f, block)

    def row(image: Int, channel_block: Int, row: Int) -> None:
        source, to = (place_of(args, one, image, channel_block, row) for one in ("x", "y"))
        channels = args.number("channels") - channel_block * f.lanes
        row_out(f, source, to, args.number("width"), channels, args.number("channel_step"))

    for_rows(f, args, piece, row)


def row_in(f: Function, source: Pointer, to: Pointer, width: Int, channels: Int, step: Int) -> None:
    """to[column][lane] = source[lane * step + column], zero for lanes from `channels` on."""
    lanes = f.lanes

    def put(vector: FloatVector, column: Int, place: int) -> None:
        f.store(vector, to + (column + place) * lanes)

    def square(column: Int) -> None:
        for place, vector in enumerate(transposed(f, [f.load(source + column + step * c) for c in range(lanes)])):
            put(vector, column, place)

    def edge(column: Int) -> None:
        left = width - column
        rows = []
        for c in range(lanes):
            mask = f.lanes_of(0, f.choose(channels.above(c), left, 0))
            rows.append(f.load_some(source + column + step * c, mask))
        for place, vector in enumerate(transposed(f, rows)):
            f.when(left.above(place), partial(put, vector, column, place))

    def some(column: Int) -> None:
        whole = channels.above(lanes - 1) & (column + lanes).below(width + 1)
        f.when(whole, lambda: square(column), lambda: edge(column))

    f.loop(0, width, some, step=lanes)


def row_out(
    f: Function,
    source: Pointer,
    to: Pointer,
    width: Int,
    channels: Int,
    step: Int,
    last: Callable[[FloatVector], FloatVector] = lambda pixel: pixel,
) -> None:
    """to[lane * step + column] = last(source[column])[lane] for lanes below `channels`."""
    lanes = f.lanes

    def some(column: Int) -> None:
        left = f.integer(width - column)
        at = source + column * lanes
        read = [last(f.load(at + f.least(place, left - 1) * lanes)) for place in range(lanes)]
        for c, vector in enumerate(transposed(f, read)):
            there = to + column + step * c
            f.when(channels.above(c), partial(store_row, f, [vector], there, left, last_only=False))

    f.loop(0, width, some, step=lanes)


def candidates(
    problem: Pack | Unpack, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[BlockedPlan]:
    del accuracy
    packs = isinstance(problem, Pack)
    shape = problem.y if isinstance(problem, Pack) else problem.x
    plain = Planes(shape.n, shape.c, shape.h, shape.w)
    if isinstance(shape, Planes):
        x, y = (plain, shape) if packs else (shape, plain)
        words = {**words_of("x", x), **words_of("y", y), "width": shape.w}
        return [rows_plan("rows", copy_planes, (), COPY, shape, target, threads, words)]
    ends = {"image": plain.image, "plane": shape.lanes * plain.plane, "row": plain.row, "start": 0}
    first, second = ("x", "y") if packs else ("y", "x")
    words = {
        **{f"{first}_{key}": value for key, value in ends.items()}, **words_of(second, shape),
        "width": shape.w, "channels": shape.c, "channel_step": plain.plane,
    }  # fmt: skip
    return [rows_plan("squares", pack_blocks if packs else unpack_blocks, (), TURN, shape, target, threads, words)]
