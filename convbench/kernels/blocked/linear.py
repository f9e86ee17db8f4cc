"""Linear layers on blocks: the weights pass by once, at the memory's speed; images are the pixels of the register tile.

x may be flattened from an image without a halo: its numbers stay where they lie, and the weights are packed in that
order. Sums are added up in parts of at most 256.

Compiled for: as `convolution`, with the sizes of an image of x and y for more than one image.
"""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Fields, Index, Int, Module
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked.activations import clamp_words, code_of
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan, Places, distinct
from convbench.kernels.blocked.problems import BlockedLinear
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
    turn_channels,
)
from convbench.kernels.blocked.weights import by_blocks_of_channels, by_blocks_of_filters
from convbench.kernels.tile import for_blocks

PART = 256  # products that are added up before their sum joins the others, at most
AHEAD = 4096  # floats of weights that are asked for before their use: some 16 KiB

FIELDS = Fields.of(
    f"x y weights residual {TILE} turns turns_of_part blocks_of_piece blocks whole_blocks block_size tiles first_tiles "
    "last_tiles last_first_tiles table_at"
)


@dataclass(frozen=True, slots=True)
class LinearForm:
    """What the kernel is compiled for."""

    tile: TileForm
    kinds: Kinds


def kernel(module: Module, form: LinearForm) -> None:
    """`linear(args, piece, thread)`: some blocks of outputs for all images."""
    add_tiles(module, FIELDS, form.tile, form.kinds)
    (most_vectors, _), *_ = form.kinds
    f, block, piece, _ = module.task("linear")
    args = FIELDS.on(f, block)
    lanes = f.lanes

    def outputs(number: Index, vectors: int, most: int, suffix: str) -> None:
        turn_size = form.tile.channels * vectors * lanes
        bias = args.address("weights") + number * args.number("block_size")
        to, beside = (args.address(one) + number * (most_vectors * lanes) for one in ("y", "residual"))

        def part(first: Int) -> None:
            turns = f.least(args.number("turns") - first, args.number("turns_of_part"))
            weights = bias + vectors * lanes + first * turn_size
            table = block + 2 * args.number("table_at") + first * 2
            last = f.most(0, f.least(1, first + turns - args.number("turns") + 1))
            how = f.integer(f.least(first, ADD) + last * FINISH)

            def tile(images: int, _: Index, image: Index) -> None:
                f.call(
                    f"tile_{images}x{vectors}",
                    block, args.address("x") + image * form.tile.x_pixel, table, weights,
                    to + image * form.tile.y_pixel, beside + image * form.tile.y_pixel, bias,
                    weights + AHEAD, turns, how, f.integer(turn_size),
                )  # fmt: skip

            for_blocks(f, 0, args.number(f"{suffix}tiles"), args.number(f"{suffix}first_tiles"), most, tile)

        f.loop(0, args.number("turns"), part, step=args.number("turns_of_part"))

    first = piece * args.number("blocks_of_piece")
    last = f.least(first + args.number("blocks_of_piece"), args.number("blocks"))
    for_filters(f, args, first, last, form.kinds, outputs)


@dataclass(frozen=True)
class LinearPlan:
    """The plan of a problem.

    Attributes:
        vectors: of a block of outputs.
        blocks: of outputs, of a piece.
        ahead: whether weights are prefetched: a CPU's own prefetcher may follow one long stream as well.
    """

    problem: BlockedLinear
    target: Target
    vectors: int
    blocks: int
    ahead: bool = False

    @property
    def name(self) -> str:
        return f"linear, {self.vectors} vectors x {self.blocks} blocks" + ", ahead" * self.ahead

    @property
    def scratch(self) -> int:
        return 0

    @cached_property
    def features(self) -> int:
        """Numbers of an image of x, those of spare channels among them."""
        return self.problem.x.image

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """[block of outputs]([bias], [feature as it lies in x][output of the block])."""
        x, y = self.problem.x, self.problem.y
        some = by_blocks_of_channels(w.reshape(-1, x.c, x.h, x.w), x.lanes)
        return by_blocks_of_filters(some, bias, y, self.vectors, self.problem.activation)

    @cached_property
    def form(self) -> LinearForm:
        x, y, lanes = self.problem.x, self.problem.y, self.target.lanes
        many = x.n > 1
        lines = -(-turn_channels(lanes) * self.vectors * lanes // LINE) if self.ahead else 0
        tile = TileForm(
            turn_channels(lanes), x.image if many else 0, y.image if many else 0, ahead=lines,
            residual=self.problem.residual is not None, code=code_of(self.problem.activation),
        )  # fmt: skip
        return LinearForm(tile, kinds_of(self.target, x.n, y.blocks, self.vectors))

    def steps(self, places: Places) -> list[KernelStep]:
        x, y, lanes, form = self.problem.x, self.problem.y, self.target.lanes, self.form
        turns = self.features // turn_channels(lanes)
        parts = -(-self.features // PART)
        floor, ceiling = clamp_words(self.problem.activation)
        blocks = -(-y.blocks // self.vectors)
        (tiles, first), (last_tiles, last_first) = counts_of(self.target, x.n, form.kinds)
        vectors, _ = form.kinds[0]
        at = len(FIELDS.names)
        words = {
            "x": places.x, "y": places.y, "weights": places.weights, "residual": places.residual,
            "channel_step": 1, "y_plane": lanes, "residual_plane": lanes, "floor": floor, "ceiling": ceiling,
            "turns": turns, "turns_of_part": -(-turns // parts), "blocks_of_piece": self.blocks, "blocks": blocks,
            "whole_blocks": y.blocks // vectors, "block_size": vectors * lanes * (1 + self.features),
            "tiles": tiles, "first_tiles": first, "last_tiles": last_tiles, "last_first_tiles": last_first,
            "table_at": at,
        }  # fmt: skip
        block = FIELDS.block(words)
        block.extend(range(0, self.features, turn_channels(lanes)))
        assert x.flat, "x of a linear layer has no halo"
        address = compiled(kernel, self.target, ("linear",), form).addresses["linear"]
        return [KernelStep(-(-blocks // self.blocks), address, block)]


def candidates(
    problem: BlockedLinear, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[BlockedPlan]:
    """Few images: blocks of many outputs, whose weights are one long stream; many: the usual register tile."""
    del accuracy
    n, blocks = problem.x.n, problem.y.blocks
    widths = [8, 4] if n == 1 else [4, 2] if n <= 3 else [2, 3]
    plans = []
    for vectors, ahead in [(widths[0], False), (widths[1], False), (widths[0], True)]:
        count = -(-blocks // vectors)
        plans.append(LinearPlan(problem, target, vectors, max(1, min(4, count // (8 * threads))), ahead))
    return distinct(plans)
