"""The 1x1 convolution of stride 1 as a matrix product: y[k, pixel..] = sum over c of w[k, c] * x[c, pixel..]."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Fields, Function, Index, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.jit.team import Step
from convbench.kernels.epilogue import finish, store_row
from convbench.kernels.plan import Call, align
from convbench.kernels.tile import add_tile, for_blocks, multiply, split
from convbench.kernels.winograd import pack_blocks
from convbench.spec import ConvSpec

DEPTH = 256  # channels that are added up at once: so many rows of a panel stay in the first-level cache

FIELDS = Fields.of(
    "x w y bias floor own own_step sums_at channels filters pixels panels panel_blocks panels_of_block "
    "first_blocks blocks group block_groups"
)


def kernel(module: Module, rows: int) -> None:
    """`pointwise(args, piece, thread)`: some panels of two vectors of pixels by some blocks of filters.

    Args:
        rows: filters of a register tile; it and one less are compiled.
    """
    for number in {rows, max(1, rows - 1)}:
        for vectors in (1, 2):
            add_tile(module, number, vectors)
            add_last(module, number, vectors)
    f, block, piece, thread = module.task("pointwise")
    args = FIELDS.on(f, block)
    panel = args.address("own") + thread * args.number("own_step")
    share, rest = piece % args.number("block_groups"), piece // args.number("block_groups")
    first_panel, image = (
        rest % args.number("panel_blocks") * args.number("panels_of_block"),
        rest // args.number("panel_blocks"),
    )
    first_block = share * args.number("group")
    last_block = f.least(first_block + args.number("group"), args.number("blocks"))
    width = 2 * f.lanes

    def one_panel(number: Int) -> None:
        pixels, channels = args.number("pixels"), args.number("channels")
        pixel = number * width
        x = args.address("x") + image * (channels * pixels) + pixel
        copy_panel(f, x, panel, channels, pixels, pixels - pixel)

        def all_blocks(vectors: int) -> None:
            def depth(c: Int) -> None:
                def block_of(count: int, _: Index, row: Index) -> None:
                    weights = args.address("w") + row * channels + c * count
                    sums = panel + args.number("sums_at") + row * width
                    left = channels - c

                    def more() -> None:
                        f.call(f"tile_{count}x{vectors}", weights, panel + c * width, sums, width, DEPTH, width, c)

                    def last() -> None:
                        to = args.address("y") + (image * args.number("filters") + row) * pixels + pixel
                        f.call(
                            f"last_{count}x{vectors}", block, weights, panel + c * width, sums, to,
                            args.address("bias") + row, left, c, pixels, pixels - pixel,
                        )  # fmt: skip

                    f.when(left.above(DEPTH), more, last)

                for_blocks(f, first_block, last_block, args.number("first_blocks"), rows, block_of)

            f.loop(0, args.number("channels"), depth, step=DEPTH)

        f.when((pixels - pixel).above(f.lanes), lambda: all_blocks(2), lambda: all_blocks(1))

    f.loop(first_panel, f.least(first_panel + args.number("panels_of_block"), args.number("panels")), one_panel)


def copy_panel(f: Function, x: Pointer, panel: Pointer, channels: Int, pixels: Int, left: Int) -> None:
    """panel[c][lane] = x[c * pixels + lane], zero from `left` on; a panel is two vectors wide."""

    def copy(whole: bool) -> None:
        masks = [None if whole else f.lanes_of(0, left - v * f.lanes) for v in range(2)]

        def row(_: Int, source: Pointer, to: Pointer) -> list[Pointer]:
            for v, mask in enumerate(masks):
                at = source + v * f.lanes
                f.store(f.load(at) if mask is None else f.load_some(at, mask), to, v * f.lanes)
            return [source + pixels, to + 2 * f.lanes]

        f.loop(0, channels, row, [x, panel])

    f.when(left.below(2 * f.lanes), lambda: copy(False), lambda: copy(True))


def add_last(module: Module, rows: int, vectors: int) -> None:
    """The last channels of a tile: with the sums of those before them, if there are any, and the epilogue, to y."""
    f = module.function(f"last_{rows}x{vectors}", "args w x sums y bias", "depth before pixels count")
    block, w, x, before, y, bias = f.pointers("args w x sums y bias")
    depth, add, pixels, count = f.integers("depth before pixels count")
    sums = multiply(f, w, x, 2 * f.lanes, depth, rows, vectors)
    floor = FIELDS.on(f, block).spread("floor")

    def put(more: bool) -> None:
        for row in range(rows):
            done = sums[row * vectors : (row + 1) * vectors]
            if more:
                done = [one + f.load(before, (2 * row + v) * f.lanes) for v, one in enumerate(done)]
            one = f.spread(bias, row)
            store_row(f, [finish(each, one, floor) for each in done], y + pixels * row, count)

    f.when(add.is_not(0), lambda: put(True), lambda: put(False))


@dataclass(frozen=True)
class Pointwise:
    """The plan of one problem."""

    spec: ConvSpec
    target: Target
    threads: int

    def pack(self, w: Tensor) -> Tensor:
        """w[block of filters][c][filter of the block]."""
        return pack_blocks(w.reshape(self.spec.k, self.spec.c), self.target.rows)

    @cached_property
    def sizes(self) -> dict[str, int]:
        spec, width = self.spec, 2 * self.target.lanes
        pixels = spec.p * spec.q
        panels = -(-pixels // width)
        _, first_blocks, rest = split(spec.k, self.target.rows)
        blocks = first_blocks + rest
        parts = spec.n * panels
        panels_of_block = max(1, min(panels, 8, parts // (4 * self.threads)))
        block_groups = 1 if self.threads == 1 else max(1, min(blocks // 4, 4 * self.threads // max(1, parts)))
        group = -(-blocks // block_groups)
        sums_at = align(spec.c * width, 16)
        return {
            "channels": spec.c, "filters": spec.k, "pixels": pixels, "panels": panels,
            "panel_blocks": -(-panels // panels_of_block), "panels_of_block": panels_of_block,
            "first_blocks": first_blocks, "blocks": blocks, "group": group,
            "block_groups": -(-blocks // group), "sums_at": sums_at,
            "own_step": sums_at + (spec.k * width if spec.c > DEPTH else 0) + 48,
        }  # fmt: skip

    @property
    def scratch(self) -> int:
        return self.threads * self.sizes["own_step"]

    def steps(self, call: Call) -> list[Step]:
        sizes = self.sizes
        rows = split(self.spec.k, self.target.rows)[0]
        code = compiled(kernel, self.target, ("pointwise",), rows).addresses
        words = FIELDS.block(sizes | call.words | {"own": call.scratch})
        return [Step(self.spec.n * sizes["panel_blocks"] * sizes["block_groups"], code["pointwise"], words)]
