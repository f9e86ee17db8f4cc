"""Winograd's convolution on blocks: 3x3, stride 1, as products of channels at each point of the transformed tiles.

A vector is a block of channels in all stages. The transformed input V is [point][block][tile][lane], so that the
products of a point are a 1x1 convolution with tiles for pixels, done by the register tile; sums are of 64 channels,
as in `convbench.kernels.winograd`. The products M of a block of filters stay in the caches and are transformed at once.

A tile at the right or bottom edge may reach beyond the halo: it reads the last row or column again, whose numbers meet
only outputs that do not exist.

Compiled for: the points, the tile's form, pixels of its two sizes of tiles, the vectors of the last block. Sizes are
arguments.
"""

from array import array
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Fields, Index, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked.activations import activate, clamp_words, code_of
from convbench.kernels.blocked.geometry import Blocked
from convbench.kernels.blocked.plan import Activation, Places, distinct
from convbench.kernels.blocked.problems import Convolution
from convbench.kernels.blocked.register_tile import (
    ADD,
    LINE,
    TILE,
    Kinds,
    TileForm,
    add_tiles,
    counts_of,
    kinds_of,
    prefetched,
    spread_lines,
    tiles_of,
    turn_channels,
    turns_of,
)
from convbench.kernels.blocked.weights import by_blocks_of_filters
from convbench.kernels.plan import align
from convbench.kernels.tile import for_blocks
from convbench.kernels.transforms import (
    FOUR,
    TWO,
    Points,
    WinogradTransforms,
    apply_rows,
    transform_across,
    transform_down,
)
from convbench.kernels.winograd import for_units, memory

SUM = 64  # channels that are added up before their sum joins the others
FEW_TILES = 12  # of F4, in all images: then F2 comes first
MOST_KEPT = 16 << 20  # floats of V, in two steps
LONGEST_ROW = 64  # tiles of a row that are transformed at once

FIELDS = Fields.of(
    f"x y weights residual scratch {TILE} x_image x_plane x_row x_height x_width x_top x_left y_image out_plane "
    "out_row y_start residual_image beside_plane residual_row residual_start p q channel_blocks own_at data_step "
    "own_step product_at pieces_of_row rows_of_tiles units units_of_part row_tiles point_step product_step "
    "product_plane groups filter_groups blocks_of_group blocks whole_blocks block_size turns turns_of_part tiles "
    "register_tiles first_tiles last_register_tiles last_first_tiles ahead_tiles table_at channel_chunk "
    "channel_chunks"
)


@dataclass(frozen=True, slots=True)
class WinogradForm:
    """What the kernel is compiled for; the residual and the activation are those of the last transform."""

    points: Points
    tile: TileForm
    residual: bool
    code: Activation
    kinds: Kinds


def kernel(module: Module, form: WinogradForm) -> None:
    """Tasks: `fused` does a group of tiles; or `enter` some of its channels, then `leave` some blocks of filters."""
    transforms = WinogradTransforms.of(form.points, 3)
    add_tiles(module, FIELDS, form.tile, form.kinds)
    add_enter(module, transforms)
    add_leave(module, form, transforms)

    f, block, piece, thread = module.task("fused")
    args = FIELDS.on(f, block)
    data, own = memory(args, thread, thread)
    f.call("enter_group", block, data, own, piece, 0, args.number("channel_blocks"))
    f.loop(0, args.number("blocks"), lambda number: f.call("leave_block", block, data, own, piece, number))

    f, block, piece, thread = module.task("enter")
    args = FIELDS.on(f, block)
    chunks, chunk = args.number("channel_chunks"), args.number("channel_chunk")
    data, own = memory(args, piece // chunks, thread)
    first = piece % chunks * chunk
    last = f.least(first + chunk, args.number("channel_blocks"))
    f.call("enter_group", block, data, own, piece // chunks, first, f.integer(last))

    f, block, piece, thread = module.task("leave")
    args = FIELDS.on(f, block)
    shares = args.number("filter_groups")
    data, own = memory(args, piece // shares, thread)
    first = piece % shares * args.number("blocks_of_group")
    last = f.least(first + args.number("blocks_of_group"), args.number("blocks"))
    f.loop(first, last, lambda number: f.call("leave_block", block, data, own, piece // shares, number))


def add_enter(module: Module, transforms: WinogradTransforms) -> None:
    """`enter_group(args, data, own, group, first, last)`: V = B^T d B for blocks of channels first to last."""
    f = module.function("enter_group", "args data own", "group first last")
    (block, data, own), (group, first, last) = f.pointers("args data own"), f.integers("group first last")
    args = FIELDS.on(f, block)
    t, m, lanes = transforms.tile, transforms.step, f.lanes

    def unit(image: Int, row: Int, tile: Int, place: Int) -> None:
        columns = args.number("row_tiles") * m + (t - m)
        line = columns * lanes
        top, left = row * m + args.number("x_top"), tile * m + args.number("x_left")
        x_row = args.number("x_row")
        rows = [f.least(top + r, args.number("x_height") - 1) * x_row for r in range(t)]
        image_at = args.address("x") + image * args.number("x_image")
        last_column = args.number("x_width") - 1

        def channels(number: Int) -> None:
            plane = image_at + number * args.number("x_plane")

            def column(j: Int) -> None:
                at = plane + f.least(left + j, last_column) * lanes
                to = own + j * lanes
                for r, vector in enumerate(apply_rows(f, transforms.inputs, [f.load(at + one) for one in rows])):
                    f.store(vector, to + line * r)

            f.loop(0, columns, column)
            point = args.number("point_step")
            out = data + number * args.number("tiles") * lanes + place * lanes

            def one_tile(i: Int) -> None:
                def across(_: Int, at: Pointer, to: Pointer) -> list[Pointer]:
                    read = [f.load(at, j * lanes) for j in range(t)]
                    for j, vector in enumerate(apply_rows(f, transforms.inputs, read)):
                        f.store(vector, to + point * j if j else to)
                    return [at + line, to + point * t]

                f.loop(0, t, across, [own + i * (m * lanes), out + i * lanes])

            f.loop(0, args.number("row_tiles"), one_tile)

        f.loop(first, last, channels)

    for_units(f, args, group, unit)


def add_leave(module: Module, form: WinogradForm, transforms: WinogradTransforms) -> None:
    """`leave_block(args, data, own, group, number)`: M = U V of a block of filters, and their y = A^T M A."""
    f = module.function("leave_block", "args data own", "group number")
    (block, data, own), (group, number) = f.pointers("args data own"), f.integers("group number")
    args = FIELDS.on(f, block)
    t, m, lanes = transforms.tile, transforms.step, f.lanes
    product = own + args.number("product_at")
    bias = args.address("weights") + number * args.number("block_size")

    def point(vectors: int, most: int, suffix: str, place: Int) -> None:
        turn_size = form.tile.channels * vectors * lanes
        turns = args.number("turns")
        weights = bias + vectors * lanes + place * turns * turn_size
        v, to = data + place * args.number("point_step"), product + place * args.number("product_step")

        def part(first: Int) -> None:
            count = f.least(turns - first, args.number("turns_of_part"))
            table = block + 2 * args.number("table_at") + first * 2
            w = weights + first * turn_size
            following = w + count * turn_size
            add = f.integer(f.least(first, ADD))

            def tile(pixels: int, number: Index, first_tile: Index) -> None:
                ahead, step = following, f.integer(0)
                if form.tile.ahead:
                    tiles = args.number("ahead_tiles")
                    ahead, step = prefetched(f, form.tile, following, f.integer(number), tiles, count)
                f.call(
                    f"tile_{pixels}x{vectors}",
                    block, v + first_tile * lanes, table, w, to + first_tile * lanes, to, bias, ahead, count, add, step,
                )  # fmt: skip

            tiles, whole = args.number(f"{suffix}register_tiles"), args.number(f"{suffix}first_tiles")
            for_blocks(f, 0, tiles, whole, most, tile)

        f.loop(0, turns, part, step=args.number("turns_of_part"))

    def vector(v: int) -> None:
        """The outputs of a vector of filters."""
        plane = number * form.kinds[0][0] + v
        source_plane, bias_vector = product + args.number("product_plane") * v, f.load(bias, v * lanes)
        floor, ceiling = args.spread("floor"), args.spread("ceiling")

        def unit(image: Int, row: Int, tile: Int, place: Int) -> None:
            p, q = args.number("p"), args.number("q")
            y_row, beside_row = args.number("out_row"), args.number("residual_row")
            first_row, rows = row * m, f.least(p - row * m, m)
            y = args.address("y") + image * args.number("y_image") + plane * args.number("out_plane")
            y = y + args.number("y_start") + first_row * y_row
            beside = args.address("residual")
            if form.residual:
                beside = beside + image * args.number("residual_image") + plane * args.number("beside_plane")
                beside = beside + args.number("residual_start") + first_row * beside_row

            def one_tile(i: Int) -> None:
                step = args.number("product_step")
                transform_down(f, transforms, source_plane + (place + i) * lanes, step, own)
                column = (tile + i) * m
                left = f.integer(q - column)

                def across(r: Int) -> None:
                    done = transform_across(f, transforms, r, own)
                    to, other = y + r * y_row + column * lanes, beside + r * beside_row + column * lanes

                    def put(j: int) -> None:
                        one = done[j] + bias_vector
                        if form.residual:
                            one = one + f.load(other, j * lanes)
                        one = one.at_least(floor).at_most(ceiling)
                        f.store(one if form.code == "none" else activate(f, form.code, one), to, j * lanes)

                    def every() -> None:
                        for j in range(m):
                            put(j)

                    def some() -> None:
                        for j in range(m):
                            f.when(left.above(j), partial(put, j))

                    f.when(left.above(m - 1), every, some)

                f.loop(0, rows, across)

            f.loop(0, args.number("row_tiles"), one_tile)

        for_units(f, args, group, unit)

    def all_of(vectors: int, most: int, suffix: str) -> None:
        f.loop(0, t * t, lambda place: point(vectors, most, suffix, place))
        for v in range(vectors):
            vector(v)

    kind, *last = form.kinds
    if last:
        whole = number.below(args.number("whole_blocks"))
        f.when(whole, lambda: all_of(*kind, ""), lambda: all_of(*last[0], "last_"))
    else:
        all_of(*kind, "")


@dataclass(frozen=True)
class BlockedWinograd:
    """The plan of a problem.

    Attributes:
        tiles: of a group, at most, about.
        fused: whether a thread does all of a group; else its channels and then its filters are shared out.
    """

    problem: Convolution
    points: Points
    target: Target
    threads: int
    tiles: int
    fused: bool
    vectors: int = 2

    @property
    def transforms(self) -> WinogradTransforms:
        return WinogradTransforms.of(self.points, 3)

    @property
    def name(self) -> str:
        return f"F{self.transforms.step}, {self.sizes['tiles']} tiles" + ("" if self.fused else ", two steps")

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """[block of filters]([bias], [point][channel][filter of the block]), transformed in float64."""
        problem = self.problem
        u = self.transforms.of_weights(w)
        u = torch.nn.functional.pad(u, (0, -problem.x.c % self.target.lanes)).transpose(1, 2)
        return by_blocks_of_filters(u, bias, problem.y, self.vectors, problem.activation)

    @cached_property
    def form(self) -> WinogradForm:
        problem, lanes = self.problem, self.target.lanes
        tile = TileForm(turn_channels(lanes), lanes, lanes, ahead=self.ahead[0])
        kinds = kinds_of(self.target, self.grid["tiles"], problem.y.blocks, self.vectors)
        return WinogradForm(self.points, tile, problem.residual is not None, code_of(problem.activation), kinds)

    @property
    def ahead(self) -> tuple[int, int]:
        """Lines of weights that a turn prefetches, and how many tiles do: the next part's, spread evenly."""
        lines = -(-turn_channels(self.target.lanes) * self.vectors * self.target.lanes // LINE)
        _, here, _ = tiles_of(self.target, self.grid["tiles"], min(self.vectors, self.problem.y.blocks))
        return spread_lines(lines, here)

    @cached_property
    def grid(self) -> dict[str, int]:
        """How the tiles of all images are cut into groups."""
        y, m = self.problem.y, self.transforms.step
        rows, columns = -(-y.h // m), -(-y.w // m)
        pieces = -(-columns // min(LONGEST_ROW, max(1, self.tiles)))
        row_tiles = -(-columns // pieces)
        units = y.n * rows * pieces
        groups = -(-units // max(1, self.tiles // row_tiles))
        units_of_part = -(-units // groups)
        return {
            "pieces_of_row": pieces, "rows_of_tiles": rows, "units": units, "units_of_part": units_of_part,
            "row_tiles": row_tiles, "groups": -(-units // units_of_part), "tiles": units_of_part * row_tiles,
        }  # fmt: skip

    @cached_property
    def sizes(self) -> dict[str, int]:
        problem, lanes, grid = self.problem, self.target.lanes, self.grid
        x, y, residual = problem.x, problem.y, problem.residual or problem.y
        assert isinstance(x, Blocked)
        t, m = self.transforms.tile, self.transforms.step
        tiles, kinds = grid["tiles"], self.form.kinds
        (vectors, _), *_ = kinds
        point_step = align(x.blocks * tiles * lanes, 16) + 16
        product_plane = tiles * lanes
        product_step = vectors * product_plane + 16
        rows = align(max(t * (grid["row_tiles"] * m + t - m), t * m) * lanes, 16)
        blocks = -(-y.blocks // self.vectors)
        shares = max(1, min(blocks, 4 * self.threads))
        chunk = max(1, x.blocks * grid["groups"] // (8 * self.threads))
        parts = -(-x.blocks * lanes // SUM)
        turns = x.blocks * lanes // turn_channels(lanes)
        floor, ceiling = clamp_words(problem.activation)
        (register_tiles, first_tiles), (last_tiles, last_first) = counts_of(self.target, tiles, kinds)
        data_step = align(t * t * point_step, 16) + 32
        return {
            "channel_step": 1, "y_plane": product_plane, "residual_plane": 0, "floor": floor, "ceiling": ceiling,
            "x_image": x.image, "x_plane": x.plane, "x_row": x.row, "x_height": x.height, "x_width": x.width,
            "x_top": x.halo[0] - problem.padding[0], "x_left": x.halo[2] - problem.padding[1],
            "y_image": y.image, "out_plane": y.plane, "out_row": y.row, "y_start": y.at(0, 0),
            "residual_image": residual.image, "beside_plane": residual.plane, "residual_row": residual.row,
            "residual_start": residual.at(0, 0), "p": y.h, "q": y.w, "channel_blocks": x.blocks,
            "own_at": (self.threads if self.fused else grid["groups"]) * data_step, "data_step": data_step,
            "own_step": align(rows + t * t * product_step, 1024) + 208, "product_at": rows, **grid,
            "point_step": point_step, "product_step": product_step, "product_plane": product_plane,
            "filter_groups": shares, "blocks_of_group": -(-blocks // shares), "blocks": blocks,
            "whole_blocks": y.blocks // vectors,
            "block_size": vectors * lanes * (1 + t * t * x.blocks * lanes), "turns": turns,
            "turns_of_part": -(-turns // parts), "register_tiles": register_tiles, "first_tiles": first_tiles,
            "last_register_tiles": last_tiles, "last_first_tiles": last_first, "ahead_tiles": self.ahead[1],
            "channel_chunk": chunk, "channel_chunks": -(-x.blocks // chunk),
        }  # fmt: skip

    @property
    def scratch(self) -> int:
        return self.sizes["own_at"] + self.threads * self.sizes["own_step"]

    def steps(self, places: Places) -> list[KernelStep]:
        sizes, lanes = self.sizes, self.target.lanes
        at = len(FIELDS.names)
        words = {
            **sizes, "x": places.x, "y": places.y, "weights": places.weights, "residual": places.residual,
            "scratch": places.scratch, "table_at": at,
        }  # fmt: skip
        block: array[int] = FIELDS.block(words)
        for number in range(sizes["channel_blocks"]):
            block.extend(turns_of(number * sizes["tiles"] * lanes, lanes))
        code = compiled(kernel, self.target, ("fused", "enter", "leave"), self.form).addresses
        groups = sizes["groups"]
        if self.fused:
            return [KernelStep(groups, code["fused"], block)]
        return [
            KernelStep(groups * sizes["channel_chunks"], code["enter"], block),
            KernelStep(groups * sizes["filter_groups"], code["leave"], block),
        ]


def fits(problem: Convolution) -> bool:
    """Whether Winograd can do it."""
    return (
        isinstance(problem.x, Blocked)
        and problem.kernel == (3, 3)
        and (*problem.stride, *problem.dilation, problem.groups) == (1, 1, 1, 1, 1)
    )


def preferred_points(n: int, p: int, q: int) -> Points:
    """The weights of F4 are 36 matrices, those of F2 16: with few tiles, reading them is all the time."""
    return TWO if n * -(-p // 4) * -(-q // 4) < FEW_TILES else FOUR


def winograd_candidates(problem: Convolution, target: Target, threads: int, *, four: bool) -> list[BlockedWinograd]:
    """Groups by rows of tiles, and two steps where there are few tiles; first what a rule prefers.

    Args:
        four: whether F4 is allowed.
    """
    if not fits(problem):
        return []
    y, found = problem.y, []
    first = preferred_points(y.n, y.h, y.w)
    for points in (first, TWO if first == FOUR else FOUR) if four else (TWO,):
        m = len(points) - 1
        tiles = y.n * -(-y.h // m) * -(-y.w // m)
        kinds = [(most, True) for most in (28, 56, 112) if tiles >= most * threads]
        kept = (m + 2) ** 2 * problem.x.c * tiles  # V of all tiles
        if tiles < 112 * threads and kept <= MOST_KEPT:
            kinds.append((min(tiles, 64), False))
        kinds = kinds or [(min(tiles, 28), True)]
        found += [BlockedWinograd(problem, points, target, threads, most, fused) for most, fused in kinds]
    return distinct(found)
