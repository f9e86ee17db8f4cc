"""Winograd's convolution: tiles are transformed, multiplied point by point as matrices, and transformed back.

    Y = A^T [ sum over c of (G g G^T) * (B^T d B) ] A

A vector holds the same element of neighbouring tiles, so C and K may be any number, and the sum over c at each of the
t * t points is a matrix product of K x C weights and C x tiles, done by the register tile. Of a block of tiles the
transformed input V and the products M stay in the second-level cache.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Arguments, Fields, Function, Index, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.epilogue import finish, row_of, store_row
from convbench.kernels.layout import FILL, add_fill, together, vectors_for
from convbench.kernels.plan import CALL, Call, align
from convbench.kernels.tile import add_tile, for_blocks, for_columns, pack_blocks, split
from convbench.kernels.transforms import Points, WinogradTransforms, apply_rows, transform_across, transform_down
from convbench.spec import ConvSpec

SUM = 64  # channels that are added up before their sum joins the others
MOST_TILES = 64  # of a block
FILTERS = 48  # whose products are kept at once, about

FIELDS = Fields.of(
    f"{CALL} own_at data_step own_step product_at channels filters height width p q top left "
    "rows_of_tiles pieces_of_row units units_of_part row_tiles tile_step point_step strip_vectors "
    "first_blocks blocks group groups product_step channel_chunk channel_chunks"
)


def kernel(module: Module, points: Points, taps: int, rows: int) -> None:
    """Tasks: `fused` does a block of tiles; of few blocks, `enter` does some channels each, then `leave` some filters.

    Args:
        rows: filters of a register tile; it and one less are compiled.
    """
    transforms = WinogradTransforms.of(points, taps)
    add_fill(module, transforms.step)
    for number in {rows, max(1, rows - 1)}:
        for vectors in (1, 2):
            add_tile(module, number, vectors)
    add_enter(module, transforms)
    add_leave(module, transforms, rows)

    f, block, piece, thread = module.task("fused")
    args = FIELDS.on(f, block)
    data, own = memory(args, thread, thread)
    f.call("enter_block", block, data, own, piece, 0, args.number("channels"))
    f.loop(0, args.number("groups"), lambda group: f.call("leave_block", block, data, own, piece, group))

    f, block, piece, thread = module.task("enter")
    args = FIELDS.on(f, block)
    chunks, chunk, channels = (args.number(one) for one in ("channel_chunks", "channel_chunk", "channels"))
    data, own = memory(args, piece // chunks, thread)
    first = piece % chunks * chunk
    last = f.least(first + chunk, channels)
    f.call("enter_block", block, data, own, piece // chunks, first, f.integer(last))

    f, block, piece, thread = module.task("leave")
    args = FIELDS.on(f, block)
    groups = args.number("groups")
    data, own = memory(args, piece // groups, thread)
    f.call("leave_block", block, data, own, piece // groups, piece % groups)


def memory(args: Arguments, place: Int, thread: Int) -> tuple[Pointer, Pointer]:
    """V of a part of the tiles, and what belongs to the thread alone: rows on their way, and M."""
    scratch = args.address("scratch")
    own = scratch + args.number("own_at") + thread * args.number("own_step")
    return scratch + place * args.number("data_step"), own


def for_units(f: Function, args: Arguments, part: Int, do: Callable[[Int, Int, Int, Int], None]) -> None:
    """`do(image, row of tiles, first tile of the row, first tile of the part)` for each piece of a row of tiles."""
    first = part * args.number("units_of_part")
    last = f.least(first + args.number("units_of_part"), args.number("units"))

    def one(unit: Int) -> None:
        pieces, rows, row_tiles = (args.number(one) for one in ("pieces_of_row", "rows_of_tiles", "row_tiles"))
        line = unit // pieces
        do(line // rows, line % rows, unit % pieces * row_tiles, (unit - first) * row_tiles)

    f.loop(first, last, one)


def add_enter(module: Module, transforms: WinogradTransforms) -> None:
    """`enter_block(args, data, own, block, first, last)`: V[point][c][tile] = B^T d B for channels first to last."""
    f = module.function("enter_block", "args data strip", "block first last")
    (block_of_args, data, strip), (block, first, last) = f.pointers("args data strip"), f.integers("block first last")
    args = FIELDS.on(f, block_of_args)
    t, m, lanes = transforms.tile, transforms.step, f.lanes

    def one(c: Int, image: Int, row: Int, tile: Int, place: Int) -> None:
        height, width, vectors = (args.number(one) for one in ("height", "width", "strip_vectors"))
        plane = args.address("x") + (image * args.number("channels") + c) * (height * width)
        first_row, first_column = row * m - args.number("top"), tile * m - args.number("left")
        f.call(FILL, plane, strip, first_row, t, first_column, height, width, vectors, m)
        size = vectors * lanes
        line = size * m

        def down(i: Int) -> None:
            at = strip + i
            read = [f.load(at + line * r) for r in range(t)]
            for r, vector in enumerate(apply_rows(f, transforms.inputs, read)):
                f.store(vector, at + line * r)

        f.loop(0, line, down, step=lanes)
        step, point = args.number("tile_step"), args.number("point_step")
        out = data + c * step + place

        def across(i: Int, _: Int, at: Pointer, to: Pointer) -> list[Pointer]:
            read = [f.load(at + i + size * (j % m), j // m) for j in range(t)]
            for j, vector in enumerate(apply_rows(f, transforms.inputs, read)):
                f.store(vector, to + i + point * j)
            return [at + line, to + point * t]

        def columns(i: Int) -> None:
            f.loop(0, t, partial(across, i), [strip, out])

        f.loop(0, args.number("row_tiles"), columns, step=lanes)

    f.loop(first, last, lambda c: for_units(f, args, block, partial(one, c)))


def add_leave(module: Module, transforms: WinogradTransforms, rows: int) -> None:
    """`leave_block(args, data, own, block, group)`: M = U V for a group of filters, and their y = A^T M A."""
    f = module.function("leave_block", "args data own", "block group")
    (block_of_args, data, own), (block, group) = f.pointers("args data own"), f.integers("block group")
    args = FIELDS.on(f, block_of_args)
    t, m, lanes = transforms.tile, transforms.step, f.lanes
    product = own + args.number("product_at")
    first_block = group * args.number("group")
    last_block = f.least(first_block + args.number("group"), args.number("blocks"))
    whole = args.number("first_blocks")

    def first_row_of(number: Index) -> Int:
        """Blocks before `whole` have `rows` filters, those after it one less."""
        return f.integer(number * (rows - 1) + f.least(number, whole) if rows > 1 else number)

    first_filter, last_filter = first_row_of(first_block), first_row_of(last_block)

    def point(number: Int) -> None:
        filters, channels, step = (args.number(one) for one in ("filters", "channels", "tile_step"))
        w = args.address("w") + number * (filters * channels)
        v = data + number * args.number("point_step")
        to = product + number * args.number("product_step")

        def columns(tile: Int, vectors: int) -> None:
            def block_of(count: int, _: Index, row: Index) -> None:
                weights, out = w + row * channels, to + (row - first_filter) * step + tile

                def some(c: Int) -> None:
                    depth = f.least(channels - c, SUM)
                    f.call(
                        f"tile_{count}x{vectors}", weights + c * count, v + c * step + tile, out, step, depth, step, c
                    )

                f.loop(0, channels, some, step=SUM)

            for_blocks(f, first_block, last_block, whole, rows, block_of)

        units = f.least(args.number("units") - block * args.number("units_of_part"), args.number("units_of_part"))
        for_columns(f, units * args.number("row_tiles"), columns)

    f.loop(0, t * t, point)

    def unit(k: Int, image: Int, row: Int, tile: Int, place: Int) -> None:
        step, point_step = args.number("tile_step"), args.number("product_step")
        p, q = args.number("p"), args.number("q")
        bias, floor = f.spread(args.address("bias"), k), args.spread("floor")
        source = product + (k - first_filter) * step + place

        def columns(i: Int) -> None:
            transform_down(f, transforms, source + i, point_step, own)
            column = (tile + i) * m
            own_columns = f.integer(f.least(q - column, (args.number("row_tiles") - i) * m))

            def across(r: Int) -> None:
                y = [finish(one, bias, floor) for one in transform_across(f, transforms, r, own)]
                to = args.address("y") + row_of(image, args.number("filters"), k, p, row * m + r, q) + column
                store_row(f, together(f, y), to, own_columns, last_only=False)

            f.loop(0, f.least(p - row * m, m), across)

        f.loop(0, args.number("row_tiles"), columns, step=lanes)

    f.loop(first_filter, last_filter, lambda k: for_units(f, args, block, partial(unit, k)))


@dataclass(frozen=True)
class Winograd:
    """The plan of one problem.

    Attributes:
        points: of the polynomials, without infinity.
    """

    spec: ConvSpec
    points: Points
    target: Target
    threads: int

    @property
    def transforms(self) -> WinogradTransforms:
        return WinogradTransforms.of(self.points, self.spec.r)

    def pack(self, w: Tensor) -> Tensor:
        """U[point][block of filters][c][filter of the block] = G g G^T, transformed in float64."""
        return pack_blocks(self.transforms.of_weights(w), self.target.rows)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The numbers of the argument block, and some more."""
        spec, lanes = self.spec, self.target.lanes
        t, m = self.transforms.tile, self.transforms.step
        rows_of_tiles, columns_of_tiles = -(-spec.p // m), -(-spec.q // m)
        pieces = -(-columns_of_tiles // MOST_TILES)
        row_tiles = -(-columns_of_tiles // pieces)
        units = spec.n * rows_of_tiles * pieces
        units_of_part = self.fitting(units, row_tiles)
        tiles = units_of_part * row_tiles
        tile_step = align(tiles + align(row_tiles, lanes) - row_tiles, 16)
        rows, first_blocks, rest = split(spec.k, self.target.rows)
        blocks = first_blocks + rest
        group = max(1, min(FILTERS // rows, blocks))
        strip_vectors = vectors_for(lanes, row_tiles + (t - 1) // m)
        strip = align(t * strip_vectors * lanes * m + 2 * lanes, 16)
        product_step = group * rows * tile_step + 16
        chunk = max(1, min(16, -(-spec.c // (4 * self.threads))))
        return {
            "channels": spec.c, "filters": spec.k, "height": spec.h, "width": spec.w, "p": spec.p, "q": spec.q,
            "top": spec.sides[0], "left": spec.sides[2],
            "rows_of_tiles": rows_of_tiles, "pieces_of_row": pieces, "units": units, "units_of_part": units_of_part,
            "row_tiles": row_tiles, "tile_step": tile_step, "point_step": spec.c * tile_step + 16,
            "strip_vectors": strip_vectors,
            "first_blocks": first_blocks, "blocks": blocks, "group": group, "groups": -(-blocks // group),
            "product_at": max(strip, m * t * lanes), "product_step": product_step,
            "data_step": t * t * (spec.c * tile_step + 16) + 32,
            "own_step": align(strip + t * t * product_step + 256, 16),
            "channel_chunk": chunk, "channel_chunks": -(-spec.c // chunk),
        }  # fmt: skip

    def fitting(self, units: int, row_tiles: int) -> int:
        """How many pieces of rows make a block: those that leave the fewest lanes empty, with work for all threads."""

        def cost(count: int) -> tuple[bool, int, int]:
            blocks, left = divmod(units, count)
            lanes = blocks * align(count * row_tiles, self.target.lanes) + align(left * row_tiles, self.target.lanes)
            return self.threads > 1 and blocks < 2 * self.threads, lanes, blocks

        most = max(1, min(units, MOST_TILES // row_tiles))
        return min(range(1, most + 1), key=cost) if units else 1

    @property
    def blocks(self) -> int:
        """Of tiles."""
        return -(-self.sizes["units"] // self.sizes["units_of_part"])

    @property
    def fused(self) -> bool:
        """Whether a block is done by one thread: there are enough of them."""
        return self.threads == 1 or self.blocks >= 2 * self.threads

    @property
    def own_at(self) -> int:
        """Where the threads' own memory begins, behind V."""
        return (self.threads if self.fused else self.blocks) * self.sizes["data_step"]

    @cached_property
    def scratch(self) -> int:
        """Floats that a call needs besides its operands."""
        return self.own_at + self.threads * self.sizes["own_step"]

    @cached_property
    def work(self) -> tuple[tuple[int, int], ...]:
        """Pieces and the address of their kernel, step by step."""
        rows = split(self.spec.k, self.target.rows)[0]
        code = compiled(kernel, self.target, ("fused", "enter", "leave"), self.points, self.spec.r, rows).addresses
        if self.fused:
            return ((self.blocks, code["fused"]),)
        enter, leave = self.blocks * self.sizes["channel_chunks"], self.blocks * self.sizes["groups"]
        return (enter, code["enter"]), (leave, code["leave"])

    @cached_property
    def words(self) -> "array[int]":
        return FIELDS.block({**self.sizes, "own_at": self.own_at}, len(CALL.split()))

    def steps(self, call: Call) -> list[KernelStep]:
        block = call + self.words
        return [KernelStep(pieces, address, block) for pieces, address in self.work]
