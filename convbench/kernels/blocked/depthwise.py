"""Depthwise convolution on blocks: each channel by itself, any kernel, stride and dilation.

Some neighbouring outputs of a row are in registers; a row of the kernel is unrolled, so that each vector of x is loaded
once for all of its taps and outputs. Kernels wider than 7 go tap by tap.

Compiled for: pixels, taps of a turn, stride and dilation across, residual and the code of the activation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Carried, Fields, FloatVector, Function, Index, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked.activations import activate, clamp_words, code_of
from convbench.kernels.blocked.plan import Accuracy, Activation, BlockedPlan, Places
from convbench.kernels.blocked.problems import Depthwise
from convbench.kernels.blocked.rows import PIECE_SIZE, for_rows, names_of, place_of, words_of
from convbench.kernels.blocked.weights import by_blocks_of_filters
from convbench.kernels.tile import for_blocks, split

WIDEST = 7  # taps of a row that are unrolled
MOST = 8  # outputs in registers with 16 of them

FIELDS = Fields.of(
    f"x y weights residual blocks row_groups rows_of_group rows {names_of('x')} {names_of('y')} {names_of('residual')} "
    "floor ceiling turns tiles first_tiles weights_plane table_at"
)


@dataclass(frozen=True, slots=True)
class DepthwiseForm:
    """What the kernel is compiled for."""

    pixels: int
    taps: int
    stride: int
    dilation: int
    residual: bool
    code: Activation


def kernel(module: Module, form: DepthwiseForm) -> None:
    """`depthwise(args, piece, thread)`: some rows of a block of channels."""
    f, block, piece, _ = module.task("depthwise")
    args = FIELDS.on(f, block)

    def row(image: Int, channels: Int, r: Int) -> None:
        source, to = (place_of(args, one, image, channels, r) for one in ("x", "y"))
        beside = place_of(args, "residual", image, channels, r) if form.residual else to
        weights = args.address("weights") + channels * args.number("weights_plane")
        table = block + 2 * args.number("table_at")
        clamp = args.spread("floor"), args.spread("ceiling")
        tiles = args.number("tiles"), args.number("first_tiles")
        add_row(f, form, source, to, beside, weights, table, args.number("turns"), tiles, clamp)

    for_rows(f, args, piece, row)


def add_row(
    f: Function,
    form: DepthwiseForm,
    source: Pointer,
    to: Pointer,
    beside: Pointer,
    weights: Pointer,
    table: Pointer,
    turns: Int,
    tiles: tuple[Int, Int],
    clamp: tuple[FloatVector, FloatVector],
) -> None:
    """A row of outputs of a block of channels.

    Args:
        weights: the bias, and then the taps.
        table: where each turn reads, from the pixel on.
        tiles: their number, and how many of them have all pixels.
    """
    lanes, (floor, ceiling) = f.lanes, clamp

    def tile(pixels: int, _: Index, first: Index) -> None:
        at = source + first * (form.stride * lanes)

        def turn(_: Int, table: Pointer, w: Pointer, *sums: FloatVector) -> Sequence[Carried]:
            place, done = at + f.number(table, 0), list(sums)
            taps = [f.load(w, s * lanes) for s in range(form.taps)]
            columns: dict[int, list[tuple[int, int]]] = {}
            for q in range(pixels):
                for s in range(form.taps):
                    columns.setdefault(q * form.stride + s * form.dilation, []).append((q, s))
            for column, users in sorted(columns.items()):
                one = f.load(place, column * lanes)
                for q, s in users:
                    done[q] = f.fma(one, taps[s], done[q])
            return [table + 2, w + form.taps * lanes, *done]

        start: list[Carried] = [table, weights + lanes, *[f.load(weights)] * pixels]
        carried = f.loop(0, turns, turn, start)
        out, other = to + first * lanes, beside + first * lanes
        sums = [one for one in carried if isinstance(one, FloatVector)]
        for q, one in enumerate(sums):
            done = one + f.load(other, q * lanes) if form.residual else one
            f.store(done.at_least(floor).at_most(ceiling), out, q * lanes)
        if form.code != "none":
            f.loop(0, pixels, lambda q: f.store(activate(f, form.code, f.load(out + q * lanes)), out + q * lanes))

    for_blocks(f, 0, tiles[0], tiles[1], form.pixels, tile)


@dataclass(frozen=True)
class DepthwisePlan:
    """The plan of a problem.

    Attributes:
        rows: of a piece.
    """

    problem: Depthwise
    target: Target
    rows: int

    @property
    def name(self) -> str:
        return f"depthwise, {self.rows} rows"

    @property
    def scratch(self) -> int:
        return 0

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """[block]([bias], [tap][lane])."""
        x, y = self.problem.x, self.problem.y
        taps = w.reshape(x.c, -1).transpose(0, 1)  # each block of channels is a block of filters with one channel each
        return by_blocks_of_filters(taps, bias, y, 1, self.problem.activation)

    @property
    def taps(self) -> int:
        """Of a turn."""
        return self.problem.kernel[1] if self.problem.kernel[1] <= WIDEST else 1

    @cached_property
    def tiles(self) -> tuple[int, int, int]:
        """Pixels of the larger tiles, their number, and of those with a pixel less."""
        registers = 2 * self.target.rows + 4
        most = max(2, min(MOST * registers // 16, registers - 1 - self.taps))
        return split(self.problem.y.w, most)

    @cached_property
    def form(self) -> DepthwiseForm:
        problem = self.problem
        dilation = problem.dilation[1] if self.taps > 1 else 1
        return DepthwiseForm(
            self.tiles[0], self.taps, problem.stride[1], dilation, problem.residual is not None,
            code_of(problem.activation),
        )  # fmt: skip

    def steps(self, places: Places) -> list[KernelStep]:
        problem, lanes = self.problem, self.target.lanes
        x, y, residual = problem.x, problem.y, problem.residual or problem.y
        (r, s), (down, across) = problem.kernel, problem.dilation
        table = [i * down * x.row + j * across * lanes for i in range(r) for j in range(0, s, self.taps)]
        floor, ceiling = clamp_words(problem.activation)
        groups = -(-y.h // self.rows)
        _, first, rest = self.tiles
        words = {
            "x": places.x, "y": places.y, "weights": places.weights, "residual": places.residual,
            "blocks": x.blocks, "row_groups": groups, "rows_of_group": self.rows, "rows": y.h,
            **words_of("y", y), **words_of("residual", residual), **words_of("x", x),
            "x_row": problem.stride[0] * x.row, "x_start": x.at(-problem.padding[0], -problem.padding[1]),
            "floor": floor, "ceiling": ceiling, "turns": len(table), "tiles": first + rest, "first_tiles": first,
            "weights_plane": (1 + r * s) * lanes, "table_at": len(FIELDS.names),
        }  # fmt: skip
        block = FIELDS.block(words)
        block.extend(table)
        address = compiled(kernel, self.target, ("depthwise",), self.form).addresses["depthwise"]
        return [KernelStep(x.n * x.blocks * groups, address, block)]


def candidates(problem: Depthwise, target: Target, threads: int, accuracy: Accuracy = "standard") -> list[BlockedPlan]:
    """Pieces of fewer or more rows."""
    del accuracy
    y = problem.y
    planes = y.n * y.blocks
    fitting = max(1, min(y.h, PIECE_SIZE // y.row))
    fewest = max(1, min(fitting, planes * y.h // (4 * threads)))
    return [DepthwisePlan(problem, target, rows) for rows in dict.fromkeys([fewest, max(1, fewest // 4), y.h])]
