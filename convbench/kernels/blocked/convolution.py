"""Convolution on blocks by the register tile: dense and grouped, any kernel, stride, dilation and padding.

A tile is some pixels of a row of y. Where neither x nor y has a halo, a 1x1 kernel of stride 1 takes an image as one
row. Sums of more than 384 products are added up in parts, which are kept in y on the way: their roundings then
grow with the parts, and the weights of a part stay in the first-level cache while all tiles of a piece use them.

Compiled for: the tile's form (`register_tile`), the pixels of its two sizes of tiles, and the vectors of the last
block. Sizes are arguments.
"""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Fields, Index, Int, Module
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked.activations import clamp_words, code_of
from convbench.kernels.blocked.geometry import Blocked, Planes
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan, Places, distinct
from convbench.kernels.blocked.problems import Convolution, Pair
from convbench.kernels.blocked.register_tile import (
    ADD,
    FINISH,
    LINE,
    TILE,
    Kinds,
    TileForm,
    add_tiles,
    counts_of,
    for_filters,
    kinds_of,
    prefetched,
    spread_lines,
    tiles_of,
    turn_channels,
    turns_of,
)
from convbench.kernels.blocked.weights import by_blocks_of_channels, by_blocks_of_filters
from convbench.kernels.blocked.winograd import winograd_candidates
from convbench.kernels.tile import for_blocks

SLAB_NBYTES = 256 << 10  # of x, of a piece
DEPTH = 384  # products that are added up before their sum joins the others, at most

FIELDS = Fields.of(
    f"x y weights residual {TILE} x_image x_row x_start y_image y_row y_start residual_image residual_row "
    "residual_start row_groups rows_of_group rows tile_groups tiles_of_group filter_groups blocks_of_group "
    "blocks whole_blocks block_size turns turns_of_part first_tiles tiles last_first_tiles last_tiles "
    "ahead_tiles table_at starts_at"
)


@dataclass(frozen=True, slots=True)
class ConvolutionForm:
    """What the kernel is compiled for.

    Attributes:
        kinds: of blocks of filters.
    """

    tile: TileForm
    kinds: Kinds


def kernel(module: Module, form: ConvolutionForm) -> None:
    """`convolve(args, piece, thread)`: some rows, or tiles of a row, of an image by some blocks of filters."""
    add_tiles(module, FIELDS, form.tile, form.kinds)
    (most_vectors, _), *_ = form.kinds
    f, block, piece, _ = module.task("convolve")
    args = FIELDS.on(f, block)
    rest, tile_group = piece // args.number("tile_groups"), piece % args.number("tile_groups")
    rest, row_group = rest // args.number("row_groups"), rest % args.number("row_groups")
    image, filter_group = rest // args.number("filter_groups"), rest % args.number("filter_groups")
    first_block = filter_group * args.number("blocks_of_group")
    last_block = f.least(first_block + args.number("blocks_of_group"), args.number("blocks"))
    first_row = row_group * args.number("rows_of_group")
    last_row = f.least(first_row + args.number("rows_of_group"), args.number("rows"))
    x = args.address("x") + image * args.number("x_image") + args.number("x_start")
    y = args.address("y") + image * args.number("y_image") + args.number("y_start")
    residual = args.address("residual")
    if form.tile.residual:
        residual = residual + image * args.number("residual_image") + args.number("residual_start")

    def filters(number: Index, vectors: int, most: int, suffix: str) -> None:
        """One block of filters."""
        plane = number * most_vectors
        to, source = y + plane * args.number("y_plane"), x + f.number(block + 2 * args.number("starts_at"), number)
        beside = residual + plane * args.number("residual_plane") if form.tile.residual else residual
        bias = args.address("weights") + number * args.number("block_size")
        first_tile = tile_group * args.number("tiles_of_group")
        last_tile = f.least(first_tile + args.number("tiles_of_group"), args.number(f"{suffix}tiles"))
        turn_size = form.tile.channels * vectors * f.lanes
        tiles_of_row = f.integer(last_tile - first_tile)

        def part(first_turn: Int) -> None:
            turns = f.least(args.number("turns") - first_turn, args.number("turns_of_part"))
            weights = bias + vectors * f.lanes + first_turn * turn_size
            table = block + 2 * args.number("table_at") + first_turn * 2
            following = weights + turns * turn_size
            add = f.least(first_turn, ADD)
            finishes = f.most(0, f.least(1, first_turn + turns - args.number("turns") + 1)) * FINISH
            how = f.integer(add + finishes)

            def row(r: Int) -> None:
                x_row, y_row = source + r * args.number("x_row"), to + r * args.number("y_row")
                residual_row = beside + r * args.number("residual_row") if form.tile.residual else beside

                def tile(pixels: int, number: Index, first: Index) -> None:
                    ahead, step = following, f.integer(0)
                    if form.tile.ahead:
                        place = (r - first_row) * tiles_of_row + (number - first_tile)
                        ahead, step = prefetched(f, form.tile, following, place, args.number("ahead_tiles"), turns)
                    f.call(
                        f"tile_{pixels}x{vectors}",
                        block, x_row + first * form.tile.x_pixel, table, weights, y_row + first * form.tile.y_pixel,
                        residual_row + first * form.tile.y_pixel, bias, ahead, turns, how, step,
                    )  # fmt: skip

                for_blocks(f, first_tile, last_tile, args.number(f"{suffix}first_tiles"), most, tile)

            f.loop(first_row, last_row, row)

        f.loop(0, args.number("turns"), part, step=args.number("turns_of_part"))

    for_filters(f, args, first_block, last_block, form.kinds, filters)


@dataclass(frozen=True)
class Direct:
    """The plan of a problem.

    Attributes:
        rows: of a piece; of an image that is one row, tiles.
        blocks: of filters, of a piece.
        vectors: of a block of filters.
        spread, offset: of the rows and columns of y, which ones are written: a transposed convolution is several.
    """

    problem: Convolution
    target: Target
    rows: int
    blocks: int
    vectors: int = 2
    spread: Pair = (1, 1)
    offset: Pair = (0, 0)

    @property
    def name(self) -> str:
        vectors = "" if self.vectors == 2 else f", {self.vectors} vectors"
        return f"direct, {self.rows} {'tiles' if self.one_row else 'rows'} x {self.blocks} blocks{vectors}"

    @property
    def scratch(self) -> int:
        return 0

    @cached_property
    def one_row(self) -> bool:
        return self.spread == (1, 1) and is_one_row(self.problem)

    @cached_property
    def pixels(self) -> tuple[int, int]:
        """Rows, and pixels of a row."""
        y = self.problem.y
        if self.one_row:
            return 1, y.h * y.w
        rows, columns = (
            -(-(size - first) // step)
            for size, first, step in zip((y.h, y.w), self.offset, self.spread, strict=True)
        )  # fmt: skip
        return rows, columns

    @property
    def weights_size(self) -> int:
        """Floats of the packed weights."""
        turns = len(self.table) * self.channels
        return self.problem.y.blocks * self.target.lanes * (1 + turns)

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """[block of filters]([bias of each lane], [turn][channel][lane of each vector])."""
        problem = self.problem
        if problem.groups > 1:
            w = self.ungrouped(w)
        lanes = problem.x.c if isinstance(problem.x, Planes) else self.target.lanes  # all planes are one block
        w = by_blocks_of_channels(w, lanes)
        return by_blocks_of_filters(w, bias, problem.y, self.vectors, problem.activation)

    def ungrouped(self, w: Tensor) -> Tensor:
        """Filters by the channels of their groups, counted from the first block that their own block reads."""
        problem, lanes = self.problem, self.target.lanes
        own_c, own_k = problem.x.c // problem.groups, problem.y.c // problem.groups
        channels = problem.x.c if isinstance(problem.x, Planes) else self.input_blocks * lanes
        full = w.new_zeros(len(w), channels, *w.shape[2:])
        for k in range(problem.y.c):
            first = k // own_k * own_c - self.starts[k // (lanes * self.vectors)] * lanes
            full[k, first : first + own_c] = w[k]
        return full

    @cached_property
    def starts(self) -> list[int]:
        """The first block of channels that each block of filters reads."""
        return [first for first, _ in self.read_blocks]

    @cached_property
    def input_blocks(self) -> int:
        """Blocks of channels that a block of filters reads."""
        return self.read_blocks[0][1]

    @cached_property
    def read_blocks(self) -> list[tuple[int, int]]:
        """First block of channels and their number, by block of filters; the number is the same for all."""
        problem, lanes = self.problem, self.target.lanes
        x, y = problem.x, problem.y
        width = lanes * self.vectors
        count = -(-y.blocks // self.vectors)
        if isinstance(x, Planes) or problem.groups == 1:
            return [(0, 1 if isinstance(x, Planes) else x.blocks)] * count
        own_c, own_k = x.c // problem.groups, y.c // problem.groups
        ranges = []
        for number in range(count):
            first, last = number * width, min(y.c, (number + 1) * width) - 1
            ranges.append((first // own_k * own_c // lanes, ((last // own_k + 1) * own_c - 1) // lanes + 1))
        most = max(last - first for first, last in ranges)
        return [(min(first, x.blocks - most), most) for first, _ in ranges]

    @cached_property
    def table(self) -> list[int]:
        """Where each turn reads, from the pixel on."""
        x, (r, s), (down, across) = self.problem.x, self.problem.kernel, self.problem.dilation
        places = [
            block * x.plane + i * down * x.row + j * across * x.lanes
            for block in range(self.input_blocks)
            for i in range(r)
            for j in range(s)
        ]
        if isinstance(x, Planes):
            return places
        return [turn for place in places for turn in turns_of(place, x.lanes)]

    @cached_property
    def tile(self) -> TileForm:
        problem, lanes = self.problem, self.target.lanes
        x = problem.x
        planes = isinstance(x, Planes)
        return TileForm(
            channels=self.channels,
            x_pixel=problem.stride[1] * x.lanes,
            y_pixel=lanes * self.spread[1],
            planes=planes,
            ahead=self.ahead[0],
            x_ahead=problem.kernel == (1, 1) and not planes and self.blocks >= self.blocks_total,
            y_ahead=True,
            residual=problem.residual is not None,
            code=code_of(problem.activation),
        )

    @cached_property
    def ahead(self) -> tuple[int, int]:
        """Lines of weights that a turn prefetches, and how many tiles of a part do: the next part's, spread evenly.

        If a piece has more rows than that needs, the weights are few, or their time is hidden.
        """
        lines = -(-self.channels * self.vectors * self.target.lanes // LINE)
        rows, _ = self.pixels
        _, tiles, _ = tiles_of(self.target, self.pixels[1], self.vectors)
        here = min(self.rows, tiles if self.one_row else rows) * (1 if self.one_row else tiles)
        if len(self.table) * lines * self.blocks_total <= 512:  # 32 KiB, which stay in the first-level cache
            return 0, 0
        return spread_lines(lines, here)

    @property
    def channels(self) -> int:
        """Of a turn."""
        x = self.problem.x
        return x.c if isinstance(x, Planes) else turn_channels(x.lanes)

    @property
    def blocks_total(self) -> int:
        return -(-self.problem.y.blocks // self.vectors)

    @cached_property
    def form(self) -> ConvolutionForm:
        kinds = kinds_of(self.target, self.pixels[1], self.problem.y.blocks, self.vectors)
        return ConvolutionForm(self.tile, kinds)

    @cached_property
    def words(self) -> dict[str, int]:
        problem, form, lanes = self.problem, self.form, self.target.lanes
        x, y, residual = problem.x, problem.y, problem.residual or problem.y
        rows, columns = self.pixels
        (tiles, first_tiles), (last_tiles, last_first_tiles) = counts_of(self.target, columns, form.kinds)
        vectors, _ = form.kinds[0]
        rows_of_group = 1 if self.one_row else min(self.rows, rows)
        tiles_of_group = min(self.rows, tiles) if self.one_row else max(tiles, last_tiles)
        turns = len(self.table)
        parts = max(1, -(-turns * self.tile.channels // DEPTH))
        floor, ceiling = clamp_words(problem.activation)
        block_size = vectors * lanes * (1 + turns * self.tile.channels)
        whole_blocks = y.blocks // vectors
        tile_groups = max(-(-tiles // tiles_of_group), -(-last_tiles // tiles_of_group))
        return {
            "channel_step": x.plane if isinstance(x, Planes) else 1,
            "y_plane": y.plane, "residual_plane": residual.plane, "floor": floor, "ceiling": ceiling,
            "x_image": x.image, "x_row": problem.stride[0] * x.row,
            "x_start": x.at(-problem.padding[0], -problem.padding[1]),
            "y_image": y.image, "y_row": y.row * self.spread[0], "y_start": y.at(*self.offset),
            "residual_image": residual.image, "residual_row": residual.row * self.spread[0],
            "residual_start": residual.at(*self.offset),
            "row_groups": -(-rows // rows_of_group), "rows_of_group": rows_of_group, "rows": rows,
            "tile_groups": tile_groups, "tiles_of_group": tiles_of_group,
            "filter_groups": -(-self.blocks_total // self.blocks), "blocks_of_group": self.blocks,
            "blocks": self.blocks_total, "whole_blocks": whole_blocks, "block_size": block_size,
            "turns": turns, "turns_of_part": -(-turns // parts),
            "first_tiles": first_tiles, "tiles": tiles, "last_first_tiles": last_first_tiles, "last_tiles": last_tiles,
            "ahead_tiles": self.ahead[1],
        }  # fmt: skip

    @cached_property
    def pieces(self) -> int:
        words = self.words
        return self.problem.y.n * words["tile_groups"] * words["row_groups"] * words["filter_groups"]

    def steps(self, places: Places) -> list[KernelStep]:
        x = self.problem.x
        step = x.plane
        tables = [*self.table, *(0 if isinstance(x, Planes) else first * step for first in self.starts)]
        at = len(FIELDS.names)
        words = {
            **self.words, "x": places.x, "y": places.y, "weights": places.weights, "residual": places.residual,
            "table_at": at, "starts_at": at + len(self.table),
        }  # fmt: skip
        block = FIELDS.block(words)
        block.extend(tables)
        code = compiled(kernel, self.target, ("convolve",), self.form)
        return [KernelStep(self.pieces, code.addresses["convolve"], block)]


def is_one_row(problem: Convolution) -> bool:
    """Whether an image may be taken as one row of pixels."""
    x, y, residual = problem.x, problem.y, problem.residual
    return (
        isinstance(x, Blocked)
        and (*problem.kernel, *problem.stride, *problem.padding) == (1, 1, 1, 1, 0, 0)
        and (x.h, x.w) == (y.h, y.w)
        and all(one.flat for one in (x, y, residual) if one is not None)
    )


def candidates(
    problem: Convolution, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[BlockedPlan]:
    """Winograd first where it can do the problem: F4, or F2 for strict accuracy."""
    direct = direct_candidates(problem, target, threads)
    return [*winograd_candidates(problem, target, threads, four=accuracy == "standard"), *direct]


def direct_candidates(
    problem: Convolution, target: Target, threads: int, *, spread: Pair = (1, 1), offset: Pair = (0, 0)
) -> list[Direct]:
    """By rows and by blocks of filters; first what a rule prefers."""
    own = problem.y.c // problem.groups
    # A block of filters reads the channels of all groups that it has filters of: the fewer, the better.
    vectors = 1 if problem.groups > 1 and own % (2 * target.lanes) else 2

    def plan(rows: int, blocks: int) -> Direct:
        return Direct(problem, target, rows, blocks, vectors, spread=spread, offset=offset)

    rows = plan(1, 1)
    count, _ = rows.pixels
    blocks = rows.blocks_total
    units = counts_of(target, rows.pixels[1], rows.form.kinds)[0][0] if rows.one_row else count
    y, x = problem.y, problem.x
    # By rows: as few as give each thread four pieces, and as fill some of the second-level cache.
    new_rows = min(problem.stride[0], problem.kernel[0])
    row_nbytes = 4 * x.c * (x.w * new_rows if not rows.one_row else rows.form.kinds[0][1])
    fitting = max(1, SLAB_NBYTES // row_nbytes)
    shares = [
        max(1, min(fitting, -(-units * y.n // (4 * threads)))),
        max(1, min(2 * fitting, -(-units * y.n // (2 * threads)))),
        max(1, min(fitting // 4, units)),
    ]
    by_rows = [plan(some, blocks) for some in dict.fromkeys(shares)]
    by_filters = [plan(units, some) for some in dict.fromkeys([1, max(1, min(4, blocks // (4 * threads)))])]
    weights = y.c * x.c // problem.groups * problem.kernel[0] * problem.kernel[1]
    many = weights > 1.2 * x.c * x.h * x.w and blocks * y.n >= 2 * threads
    first, second = (by_filters, by_rows) if many else (by_rows, by_filters)
    return distinct([*first[:1], *second[:1], *first[1:], *second[1:]])
