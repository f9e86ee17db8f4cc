"""Where channels and pixels go: parts of a concatenation, and upsampling.

Compiled for: a copy, the offset of its first channel within a block; upsampling, its mode.
"""

from dataclasses import dataclass
from typing import Literal

from convbench.jit.emit import Fields, Int, Module, float_word
from convbench.jit.target import Target
from convbench.kernels.blocked.geometry import Blocked
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan
from convbench.kernels.blocked.rows import ROWS, for_rows, names_of, place_of, rows_plan, words_of

Mode = Literal["nearest", "bilinear"]


@dataclass(frozen=True, slots=True)
class Copy:
    """x into channels `first` to `first + x.c` of y: a part of a concatenation; the others may be written at once.

    The part that ends with y's last channel writes the spare ones, too.
    """

    x: Blocked
    y: Blocked
    first: int = 0


@dataclass(frozen=True, slots=True)
class BlockedUpsample:
    """As torch's interpolate to y's size."""

    x: Blocked
    y: Blocked
    mode: Mode = "nearest"
    align_corners: bool = False


COPY = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} width first_block first last end x_blocks")
UPSAMPLE = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} columns rows_at columns_at")


def copy(module: Module, shift: int) -> None:
    """`copy(args, piece, thread)`: some rows of a block of y."""
    f, block, piece, _ = module.task("copy")
    args = COPY.on(f, block)
    lanes = f.lanes

    def row(image: Int, number: Int, r: Int) -> None:
        to = place_of(args, "y", image, f.integer(number + args.number("first_block")), r)
        base = place_of(args, "x", image, f.integer(number * 0), r)
        last_block = args.number("x_blocks") - 1
        low = base + f.most(0, number - 1) * args.number("x_plane")
        high = base + f.least(number, last_block) * args.number("x_plane")
        begin = (number + args.number("first_block")) * lanes
        first, last = args.number("first") - begin, args.number("last") - begin
        exist, written = f.lanes_of(first, last), f.lanes_of(first, args.number("end") - begin)
        order = range(lanes - shift, 2 * lanes - shift)

        def some(whole: bool, column: Int) -> None:
            at = column * lanes
            one = f.load(high + at)
            if shift:
                one = f.shuffle(f.load(low + at), one, order)
            if whole:
                f.store(one, to + at)
            else:
                f.store_some(one.where(exist), to + at, written)

        width = args.number("width")
        f.when(
            first.below(1) & last.above(lanes - 1),
            lambda: f.loop(0, width, lambda i: some(True, i)),
            lambda: f.loop(0, width, lambda i: some(False, i)),
        )

    for_rows(f, args, piece, row)


def upsample(module: Module, mode: Mode) -> None:
    """`upsample(args, piece, thread)`: some rows of y; where each output looks is in tables."""
    f, block, piece, _ = module.task("upsample")
    args = UPSAMPLE.on(f, block)
    words = 1 if mode == "nearest" else 4

    def row(image: Int, channels: Int, r: Int) -> None:
        to = place_of(args, "y", image, channels, r)
        base = place_of(args, "x", image, channels, f.integer(r * 0))
        rows, columns = block + 2 * args.number("rows_at"), block + 2 * args.number("columns_at")
        upper = base + f.number(rows, r * words)

        def nearest(column: Int) -> None:
            f.store(f.load(upper + f.number(columns, column)), to + column * f.lanes)

        def bilinear(column: Int) -> None:
            lower = base + f.number(rows, r * words + 1)
            left, right = (f.number(columns, column * words + place) for place in range(2))
            near, far = (f.spread(columns, (column * words + place) * 2) for place in (2, 3))
            above, below = (f.spread(rows, (r * words + place) * 2) for place in (2, 3))
            one = f.fma(near, f.load(upper + left), far * f.load(upper + right))
            other = f.fma(near, f.load(lower + left), far * f.load(lower + right))
            f.store(f.fma(above, one, below * other), to + column * f.lanes)

        f.loop(0, args.number("columns"), nearest if mode == "nearest" else bilinear)

    for_rows(f, args, piece, row)


def candidates(
    problem: Copy | BlockedUpsample, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[BlockedPlan]:
    del accuracy
    x, y, lanes = problem.x, problem.y, target.lanes
    words = {**words_of("x", x), **words_of("y", y)}
    if isinstance(problem, Copy):
        first, last = problem.first, problem.first + x.c
        blocks = -(-last // lanes) - first // lanes
        end = y.blocks * lanes if last == y.c else last
        words.update(width=x.w, first_block=first // lanes, first=first, last=last, end=end, x_blocks=x.blocks)
        shape = Blocked(x.n, blocks * lanes, x.h, x.w, lanes)
        return [rows_plan("copy", copy, (first % lanes,), COPY, shape, target, threads, words)]
    tables: list[int] = []
    for out, size, step in ((y.h, x.h, x.row), (y.w, x.w, lanes)):
        tables += _places(out, size, step, problem.mode, problem.align_corners)
    words_each = 1 if problem.mode == "nearest" else 4
    at = len(UPSAMPLE.names)
    words.update(columns=y.w, rows_at=at, columns_at=at + words_each * y.h)
    name = f"{problem.mode} upsampling"
    return [rows_plan(name, upsample, (problem.mode,), UPSAMPLE, y, target, threads, words, tables)]


def _places(out: int, size: int, step: int, mode: Mode, align_corners: bool) -> list[int]:
    """For each output along one side: the offset of its source, or those of two and their factors."""
    if mode == "nearest":
        return [number * size // out * step for number in range(out)]
    words = []
    for number in range(out):
        if align_corners:
            place = number * (size - 1) / (out - 1) if out > 1 else 0.0
        else:
            place = max(0.0, (number + 0.5) * size / out - 0.5)
        low = min(int(place), size - 1)
        far = place - low
        words += [low * step, min(low + 1, size - 1) * step, float_word(1 - far), float_word(far)]
    return words
