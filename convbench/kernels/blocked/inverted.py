"""An inverted residual in one pass: expand 1x1, depthwise, project 1x1 (+ residual), some rows of y a piece.

For two blocks of expanded channels at a time, the rows that the piece needs are expanded into memory of the thread,
rows beyond the image are zeros, and the depthwise kernel makes rows of D of them; project reads D when all channels are
there. The expanded activation never exists as a whole. The price is that rows at the border of two pieces are expanded
twice.

Compiled for: the tiles' forms of both products, that of the depthwise kernel, their pixels and last vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Fields, Index, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked.activations import clamp_words, code_of, keeps_zero
from convbench.kernels.blocked.convolution import Direct
from convbench.kernels.blocked.depthwise import DepthwiseForm, DepthwisePlan, add_row
from convbench.kernels.blocked.geometry import Blocked, Sides, halo_of
from convbench.kernels.blocked.plan import Accuracy, Activation, Places
from convbench.kernels.blocked.problems import Convolution, Depthwise, Pair
from convbench.kernels.blocked.register_tile import (
    FINISH,
    TILE,
    Kinds,
    TileForm,
    add_tiles,
    kinds_of,
    tiles_of,
    turn_channels,
    turns_of,
)
from convbench.kernels.plan import align
from convbench.kernels.tile import for_blocks

VECTORS = 2
MOST_NBYTES = 256 << 10  # of a thread's own memory: half of a second-level cache
LONGEST_SUM = 512  # the sums of project are not added up in parts

TILE_FIELDS = Fields.of(TILE)
FIELDS = Fields.of(
    "x y weights residual scratch x_image x_plane x_row x_start y_image y_plane y_row y_start residual_image "
    "residual_plane residual_row residual_start row_groups rows_of_group rows stride height width top left "
    "columns middle_blocks y_blocks own_step line e_plane d_at d_plane source_row expand_turns project_turns "
    "depthwise_turns expand_size project_size depthwise_size depthwise_at project_at "
    "expand_tiles expand_first last_expand_tiles last_expand_first depthwise_tiles depthwise_first "
    "project_tiles project_first last_project_tiles last_project_first floor ceiling "
    "expand_args project_args expand_table project_table depthwise_table"
)


@dataclass(frozen=True, slots=True)
class InvertedResidual:
    """y = activation(project(second(depthwise(first(expand(x))))) + residual); without `expand`, x goes to depthwise.

    The halo of x must be `halo` or wider.

    Attributes:
        middle: channels of the depthwise kernel.
        padding: of it, top and left.
        first, second, activation: after expand, depthwise and project.
    """

    x: Blocked
    y: Blocked
    middle: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair = (1, 1)
    expand: bool = True
    first: Activation = "relu6"
    second: Activation = "relu6"
    activation: Activation = "none"
    residual: Blocked | None = None

    @property
    def inner_halo(self) -> Sides:
        """What the depthwise kernel reads beyond the edges."""
        x, y = self.x, self.y
        return halo_of((x.h, x.w), (y.h, y.w), self.kernel, self.stride, self.padding, (1, 1))

    @property
    def halo(self) -> Sides:
        """What is read of x beyond its edges."""
        return (0, 0, 0, 0) if self.expand else self.inner_halo


@dataclass(frozen=True, slots=True)
class InvertedForm:
    """What the kernel is compiled for; no kinds of expand if there is none."""

    expand: TileForm
    expand_kinds: Kinds
    depthwise: DepthwiseForm
    project: TileForm
    project_kinds: Kinds


def kernel(module: Module, form: InvertedForm) -> None:
    """`inverted(args, piece, thread)`: some rows of y of an image, all channels."""
    for name, tile, kinds in (
        ("expand", form.expand, form.expand_kinds),
        ("project", form.project, form.project_kinds),
    ):
        add_tiles(module, TILE_FIELDS, tile, kinds, name)
    f, block, piece, thread = module.task("inverted")
    args = FIELDS.on(f, block)
    lanes, number = f.lanes, args.number
    image, group = piece // number("row_groups"), piece % number("row_groups")
    first = group * number("rows_of_group")
    rows = f.integer(f.least(number("rows") - first, number("rows_of_group")))
    own = args.address("scratch") + thread * number("own_step")
    made = own + number("d_at")
    top = first * number("stride") - number("top")
    read_rows = (rows - 1) * number("stride") + number("source_row")
    x = args.address("x") + image * number("x_image") + number("x_start")

    def place(name: str) -> Pointer:
        return block + 2 * number(name)

    def zeros(to: Pointer, count: Index) -> None:
        f.loop(0, count, lambda i: f.store(f.zero(), to + i * lanes))

    def blocks(count: Int, kinds: Sequence[Pair], do: Callable[[Int, int, int, str], None]) -> None:
        """`do(block, vectors, pixels, prefix of its words)`: first those of all vectors, then the last one."""
        whole = count // VECTORS
        prefix = "" if kinds[0][0] == VECTORS else "last_"
        if not prefix:
            f.loop(0, whole, lambda one: do(one, *kinds[0], ""))
        if prefix or len(kinds) > 1:
            do(whole, *kinds[-1], "last_")

    def expand(block_number: Int, vectors: int, most: int, prefix: str) -> None:
        bias = args.address("weights") + block_number * number("expand_size")
        line, left, plane = number("line"), number("left") * lanes, number("e_plane")

        def row(r: Int) -> None:
            to, source_row = own + r * line, top + r

            def inside() -> None:
                source = x + source_row * number("x_row")

                def tile(pixels: int, _: Index, column: Index) -> None:
                    f.call(
                        f"expand_{pixels}x{vectors}",
                        place("expand_args"), source + column * lanes, place("expand_table"), bias + vectors * lanes,
                        to + left + column * lanes, to, bias, bias, number("expand_turns"), FINISH, 0,
                    )  # fmt: skip

                for_blocks(f, 0, number(f"{prefix}expand_tiles"), number(f"{prefix}expand_first"), most, tile)

            def outside() -> None:
                for v in range(vectors):
                    zeros(to + plane * v + left, number("width"))

            f.when(source_row.inside(number("height")), inside, outside)

        f.loop(0, read_rows, row)

    def depthwise(channels: Index, source: Pointer, line: Int) -> None:
        weights = args.address("weights") + number("depthwise_at") + channels * number("depthwise_size")
        to = made + channels * number("d_plane")
        clamp = args.spread("floor"), args.spread("ceiling")
        tiles = number("depthwise_tiles"), number("depthwise_first")

        def row(r: Int) -> None:
            out = to + r * (number("columns") * lanes)
            at = source + r * (number("stride") * line)
            add_row(
                f, form.depthwise, at, out, out, weights, place("depthwise_table"), number("depthwise_turns"),
                tiles, clamp,
            )  # fmt: skip

        f.loop(0, rows, row)

    if form.expand_kinds:
        # Columns beyond the edges are zeros once for all channels; a row ends with them.
        left, line = number("left"), number("line")
        after = f.integer(line // lanes - left - number("width"))

        def clear(r: Int) -> None:
            for v in range(VECTORS):
                at = own + number("e_plane") * v + r * line
                zeros(at, left)
                zeros(at + (left + number("width")) * lanes, after)

        f.loop(0, read_rows, clear)

        def pair(block_number: Int, vectors: int, most: int, prefix: str) -> None:
            expand(block_number, vectors, most, prefix)
            f.loop(
                0, vectors,
                lambda v: depthwise(block_number * VECTORS + v, own + v * number("e_plane"), number("line")),
            )  # fmt: skip

        blocks(number("middle_blocks"), form.expand_kinds, pair)
    else:
        start = x + (top * number("x_row") - number("left") * lanes)
        f.loop(
            0, number("middle_blocks"), lambda one: depthwise(one, start + one * number("x_plane"), number("x_row"))
        )  # fmt: skip

    def project(block_number: Int, vectors: int, most: int, prefix: str) -> None:
        bias = args.address("weights") + number("project_at") + block_number * number("project_size")
        plane = block_number * VECTORS
        to = args.address("y") + image * number("y_image") + plane * number("y_plane") + number("y_start")
        beside = args.address("residual")
        if form.project.residual:
            beside = beside + image * number("residual_image") + plane * number("residual_plane")
            beside = beside + number("residual_start")

        def row(r: Int) -> None:
            source = made + r * (number("columns") * lanes)
            out = to + (first + r) * number("y_row")
            other = beside + (first + r) * number("residual_row") if form.project.residual else out

            def tile(pixels: int, _: Index, column: Index) -> None:
                f.call(
                    f"project_{pixels}x{vectors}",
                    place("project_args"), source + column * lanes, place("project_table"), bias + vectors * lanes,
                    out + column * lanes, other + column * lanes, bias, bias, number("project_turns"), FINISH, 0,
                )  # fmt: skip

            for_blocks(f, 0, number(f"{prefix}project_tiles"), number(f"{prefix}project_first"), most, tile)

        f.loop(0, rows, row)

    blocks(number("y_blocks"), form.project_kinds, project)


@dataclass(frozen=True)
class InvertedPlan:
    """The plan of a problem.

    Attributes:
        rows: of y, of a piece.
    """

    problem: InvertedResidual
    target: Target
    threads: int
    rows: int

    @property
    def name(self) -> str:
        return f"one pass, {self.rows} rows"

    @cached_property
    def middle(self) -> Blocked:
        """The expanded activation, which does not exist."""
        x = self.problem.x
        return Blocked(x.n, self.problem.middle, x.h, x.w, x.lanes)

    @cached_property
    def parts(self) -> tuple[Direct | None, DepthwisePlan, Direct]:
        """The three operations by themselves, whose packed weights are used here."""
        problem = self.problem
        flat, made = problem.x.with_halo((0, 0, 0, 0)), self.middle
        last = Blocked(made.n, made.c, problem.y.h, problem.y.w, made.lanes)
        first = Direct(Convolution(flat, made, (1, 1), activation=problem.first), self.target, 1, 1)
        middle = Depthwise(
            made.with_halo(problem.inner_halo), last, problem.kernel, problem.stride, problem.padding,
            activation=problem.second,
        )  # fmt: skip
        third = Direct(Convolution(last, problem.y, (1, 1), activation=problem.activation), self.target, 1, 1)
        return first if problem.expand else None, DepthwisePlan(middle, self.target, 1), third

    def pack_all(self, *weights: tuple[Tensor, Tensor | None]) -> Tensor:
        """(w, bias) of expand, if there is one, depthwise and project."""
        parts = [part for part in self.parts if part is not None]
        return torch.cat([part.pack(*one) for part, one in zip(parts, weights, strict=True)])

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        raise TypeError(f"{self.name} has three weights, but was given {w.shape} and {bias}: see pack_all")

    @cached_property
    def form(self) -> InvertedForm:
        problem, lanes = self.problem, self.target.lanes
        expand = TileForm(turn_channels(lanes), lanes, lanes, code=code_of(problem.first))
        project = TileForm(
            turn_channels(lanes), lanes, lanes, residual=problem.residual is not None, code=code_of(problem.activation)
        )  # fmt: skip
        expanded = kinds_of(self.target, problem.x.w, self.middle.blocks, VECTORS) if problem.expand else ()
        projected = kinds_of(self.target, problem.y.w, problem.y.blocks, VECTORS)
        return InvertedForm(expand, expanded, self.parts[1].form, project, projected)

    @cached_property
    def sizes(self) -> dict[str, int]:
        problem, lanes, middle = self.problem, self.target.lanes, self.middle
        x, y, residual = problem.x, problem.y, problem.residual or problem.y
        (r, s), (down, _) = problem.kernel, problem.stride
        _, _, left, right = problem.inner_halo
        line = (left + x.w + right) * lanes if problem.expand else x.row
        read_rows = (min(self.rows, y.h) - 1) * down + r
        e_plane = read_rows * line + 16 if problem.expand else 0
        d_plane = min(self.rows, y.h) * y.w * lanes + 16
        d_at = align(VECTORS * e_plane, 16)
        first, depthwise, _ = self.parts
        turn = len(turns_of(0, lanes))
        depthwise_at = first.weights_size if first else 0
        depthwise_size = (1 + r * s) * lanes
        floor, ceiling = clamp_words(problem.second)

        def tiles(name: str, width: int) -> dict[str, int]:
            found: dict[str, int] = {}
            for prefix, vectors in (("", VECTORS), ("last_", 1)):
                _, count, first = tiles_of(self.target, width, vectors)
                found |= {f"{prefix}{name}_tiles": count, f"{prefix}{name}_first": first}
            return found

        _, whole, rest = depthwise.tiles
        return {
            "x_image": x.image, "x_plane": x.plane, "x_row": x.row, "x_start": x.at(0, 0),
            "y_image": y.image, "y_plane": y.plane, "y_row": y.row, "y_start": y.at(0, 0),
            "residual_image": residual.image, "residual_plane": residual.plane, "residual_row": residual.row,
            "residual_start": residual.at(0, 0), "row_groups": -(-y.h // self.rows), "rows_of_group": self.rows,
            "rows": y.h, "stride": down, "height": x.h, "width": x.w, "top": problem.padding[0],
            "left": problem.padding[1], "columns": y.w, "middle_blocks": middle.blocks, "y_blocks": y.blocks,
            "own_step": align(d_at + middle.blocks * d_plane, 1024) + 208, "line": line, "e_plane": e_plane,
            "d_at": d_at, "d_plane": d_plane, "source_row": r, "expand_turns": x.blocks * turn,
            "project_turns": middle.blocks * turn, "depthwise_turns": r * (s // depthwise.taps),
            "expand_size": VECTORS * lanes * (1 + x.blocks * lanes),
            "project_size": VECTORS * lanes * (1 + middle.blocks * lanes), "depthwise_size": depthwise_size,
            "depthwise_at": depthwise_at, "project_at": depthwise_at + middle.blocks * depthwise_size,
            **tiles("expand", x.w), **tiles("project", y.w),
            "depthwise_tiles": whole + rest, "depthwise_first": whole, "floor": floor, "ceiling": ceiling,
        }  # fmt: skip

    @property
    def scratch(self) -> int:
        return self.threads * self.sizes["own_step"]

    def steps(self, places: Places) -> list[KernelStep]:
        problem, sizes, lanes = self.problem, self.sizes, self.target.lanes
        tables: list[list[int]] = []
        for activation, y_plane in ((problem.first, sizes["e_plane"]), (problem.activation, sizes["y_plane"])):
            floor, ceiling = clamp_words(activation)
            own = {
                "channel_step": 1, "y_plane": y_plane, "residual_plane": sizes["residual_plane"],
                "floor": floor, "ceiling": ceiling,
            }  # fmt: skip
            tables.append(list(TILE_FIELDS.block(own)))
        for blocks, plane in ((problem.x.blocks, problem.x.plane), (self.middle.blocks, sizes["d_plane"])):
            tables.append([turn for number in range(blocks) for turn in turns_of(number * plane, lanes)])
        (r, s), taps = problem.kernel, self.parts[1].taps
        tables.append([i * sizes["line"] + j * lanes for i in range(r) for j in range(0, s, taps)])
        names = ("expand_args", "project_args", "expand_table", "project_table", "depthwise_table")
        at, found = len(FIELDS.names), {}
        for name, table in zip(names, tables, strict=True):
            found[name] = at
            at += len(table)
        words = {
            **sizes, **found, "x": places.x, "y": places.y, "weights": places.weights, "residual": places.residual,
            "scratch": places.scratch,
        }  # fmt: skip
        block = FIELDS.block(words)
        for table in tables:
            block.extend(table)
        address = compiled(kernel, self.target, ("inverted",), self.form).addresses["inverted"]
        return [KernelStep(problem.x.n * sizes["row_groups"], address, block)]


def candidates(
    problem: InvertedResidual, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[InvertedPlan]:
    """Pieces of 2, 4 or 8 rows; none where the sums are long, or the rows of a piece do not fit into a cache."""
    del accuracy
    if problem.middle > LONGEST_SUM or not keeps_zero(problem.first):
        return []
    plans = [InvertedPlan(problem, target, threads, rows) for rows in (4, 2, 8) if rows <= problem.y.h]
    return [one for one in plans if 4 * one.sizes["own_step"] <= MOST_NBYTES]
