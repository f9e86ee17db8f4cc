"""Direct convolution from strips: dense with any stride and dilation, grouped, depthwise.

    y[k, p, q..] = sum over c, r, s of w[k, c, r, s] * strip[c][p * stride + r * dilation][phase][q + shift ..]

A piece copies the rows that it reads into a strip, with the padding, its columns taken apart by their remainder modulo
the stride: neighbouring outputs then read neighbouring floats, whatever the stride. Where a tap begins within a channel
of the strip is a table, so the loop over the taps is one loop with constant addresses.
"""

from array import array
from dataclasses import dataclass
from functools import cached_property
from math import prod

from torch import Tensor

from convbench.jit.compile import compiled
from convbench.jit.emit import Carried, Fields, FloatVector, Index, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.epilogue import finish, row_of, store_row
from convbench.kernels.layout import FILL, add_fill, vectors_for
from convbench.kernels.plan import CALL, Call, align
from convbench.kernels.tile import for_blocks, for_columns, pack_blocks, split
from convbench.spec import ConvSpec

LINES = 4  # rows of outputs that share a spread weight, if there is one filter only
STRIP_NBYTES = 128 << 10  # what a strip should stay below: a quarter of a second-level cache

FIELDS = Fields.of(
    f"{CALL} own_step offsets taps channels group_channels filters group_filters groups height width p q "
    "top left stride strip_rows strip_vectors phases row_size plane_size lines line_blocks "
    "first_blocks blocks group block_groups"
)


def kernel(module: Module, phases: int, rows: int, lines: int) -> None:
    """`strip(args, piece, thread)`.

    Args:
        phases: 1 or 2, the stride along a row; 0 for any other.
        rows: filters of a register tile; it and one less are compiled.
        lines: rows of outputs of a register tile.
    """
    add_fill(module, phases)
    for number in {rows, max(1, rows - 1)}:
        for vectors in (1, 2):
            add_tile(module, number, lines, vectors)
    f, block, piece, thread = module.task("strip")
    args = FIELDS.on(f, block)
    strip = args.address("scratch") + thread * args.number("own_step")
    share, rest = piece % args.number("block_groups"), piece // args.number("block_groups")
    line_block, rest = rest % args.number("line_blocks"), rest // args.number("line_blocks")
    group, image = rest % args.number("groups"), rest // args.number("groups")
    first_line = line_block * args.number("lines")

    def fill(c: Int) -> None:
        height, width = args.number("height"), args.number("width")
        channel = image * args.number("channels") + group * args.number("group_channels") + c
        f.call(
            FILL, args.address("x") + channel * (height * width), strip + c * args.number("plane_size"),
            first_line * args.number("stride") - args.number("top"), args.number("strip_rows"),
            0 - args.number("left"), height, width, args.number("strip_vectors"), args.number("phases"),
        )  # fmt: skip

    f.loop(0, args.number("group_channels"), fill)
    first_block = share * args.number("group")
    last_block = f.least(first_block + args.number("group"), args.number("blocks"))

    def block_of(count: int, _: Index, row: Index) -> None:
        first_filter = group * args.number("group_filters") + row
        weights = args.address("w") + first_filter * (args.number("group_channels") * args.number("taps"))
        bias = args.address("bias") + first_filter
        last_line = f.least(args.number("lines"), args.number("p") - first_line)

        def line(place: Int) -> None:
            q = args.number("q")
            at = strip + place * (args.number("stride") * args.number("row_size"))
            out = args.address("y") + row_of(
                image, args.number("filters"), first_filter, args.number("p"), first_line + place, q
            )

            def columns(column: Int, vectors: int) -> None:
                f.call(
                    f"strip_{count}x{lines}x{vectors}",
                    block, weights, at + column, out + column, bias, q - column, last_line - place,
                )  # fmt: skip

            for_columns(f, q, columns)

        f.loop(0, last_line, line, step=lines)

    for_blocks(f, first_block, last_block, args.number("first_blocks"), rows, block_of)


def add_tile(module: Module, rows: int, lines: int, vectors: int) -> None:
    """Sums of `rows` filters at `lines` rows of outputs by `vectors` of columns, and their way to y."""
    f = module.function(f"strip_{rows}x{lines}x{vectors}", "args w x y bias", "columns count")
    block, w, x, y, bias = f.pointers("args w x y bias")
    columns, count = f.integers("columns count")
    args = FIELDS.on(f, block)
    offsets, taps, plane = args.address("offsets"), args.number("taps"), args.number("plane_size")
    line_step = args.number("stride") * args.number("row_size") if lines > 1 else 0

    def channel(_: Int, w: Pointer, x: Pointer, *sums: FloatVector) -> list[Pointer | FloatVector]:
        def tap(number: Int, w: Pointer, *sums: FloatVector) -> list[Pointer | FloatVector]:
            at = x + f.number(offsets, number)
            read = [
                f.load(at + line_step * line if line else at, v * f.lanes)
                for line in range(lines)
                for v in range(vectors)
            ]
            added = []
            for row in range(rows):
                one = f.spread(w, row)
                added += [f.fma(one, column, sums[row * len(read) + n]) for n, column in enumerate(read)]
            return [w + rows, *added]

        w_end, *done = f.loop(0, taps, tap, [w, *sums])
        return [w_end, x + plane, *done]  # type: ignore[list-item]  # a pointer and vectors, as they went in

    start: list[Carried] = [w, x, *([f.zero()] * (rows * lines * vectors))]
    _, _, *sums = f.loop(0, args.number("group_channels"), channel, start)
    floor, q, p = args.spread("floor"), args.number("q"), args.number("p")
    for row in range(rows):
        one = f.spread(bias, row)
        for line in range(lines):
            first = (row * lines + line) * vectors
            done = [finish(sum_, one, floor) for sum_ in sums[first : first + vectors] if isinstance(sum_, FloatVector)]
            to = y + (p * q) * row + q * line

            def put(done: list[FloatVector] = done, to: Pointer = to) -> None:
                store_row(f, done, to, columns)

            if line:
                f.when(count.above(line), put)
            else:
                put()


@dataclass(frozen=True, slots=True)
class StripGeometry:
    """How the rows of a channel lie in a strip."""

    spec: ConvSpec
    target: Target

    @property
    def compiled_phases(self) -> int:
        """1, 2 or 4, which are shuffles of vectors; 0 for any other stride along a row."""
        return self.spec.stride[1] if self.spec.stride[1] in (1, 2, 4) else 0

    @property
    def numbers(self) -> dict[str, int]:
        """The words that all kernels on strips have."""
        spec = self.spec
        return {
            "height": spec.h, "width": spec.w, "top": spec.sides[0], "left": spec.sides[2], "stride": spec.stride[0],
            "phases": spec.stride[1], "strip_vectors": self.vectors, "row_size": self.row_size,
            "taps": spec.r * spec.s,
        }  # fmt: skip

    @property
    def vectors(self) -> int:
        """Of a phase of a row: those of y's row, and how far the last tap is shifted against the first."""
        lanes = self.target.lanes
        shift = (self.spec.s - 1) * self.spec.dilation[1] // self.spec.stride[1]
        return vectors_for(lanes, align(self.spec.q, lanes) + shift)

    @property
    def row_size(self) -> int:
        return self.vectors * self.target.lanes * self.spec.stride[1]

    def rows(self, lines: int) -> int:
        """Rows of x that so many rows of y read."""
        return (lines - 1) * self.spec.stride[0] + (self.spec.r - 1) * self.spec.dilation[0] + 1

    def plane_size(self, lines: int) -> int:
        return align(self.rows(lines) * self.row_size + self.target.lanes, 16) + 16

    @property
    def offsets(self) -> "array[int]":
        """Where each tap begins within a channel of the strip."""
        spec, phase_size = self.spec, self.vectors * self.target.lanes
        rows = [r * spec.dilation[0] * self.row_size for r in range(spec.r)]
        columns = [divmod(s * spec.dilation[1], spec.stride[1]) for s in range(spec.s)]
        return array("q", [row + phase * phase_size + shift for row in rows for shift, phase in columns])


@dataclass(frozen=True)
class Strips:
    """The plan of one problem."""

    spec: ConvSpec
    target: Target
    threads: int

    def pack(self, w: Tensor) -> Tensor:
        """w[group][block of filters][c][tap][filter of the block]."""
        spec = self.spec
        return pack_blocks(w.reshape(spec.groups, spec.k_per_group, spec.taps), self.target.rows)

    @property
    def geometry(self) -> StripGeometry:
        return StripGeometry(self.spec, self.target)

    @property
    def form(self) -> tuple[int, int, int]:
        """What the kernel is compiled for: phases, rows, lines."""
        rows = split(self.spec.k_per_group, self.target.rows)[0]
        return self.geometry.compiled_phases, rows, LINES if rows == 1 else 1

    @cached_property
    def sizes(self) -> dict[str, int]:
        spec, lanes, strips = self.spec, self.target.lanes, self.geometry
        lines_of_tile = self.form[2]
        _, first_blocks, rest = split(spec.k_per_group, self.target.rows)
        blocks = first_blocks + rest

        def plane_size(lines: int) -> int:
            return strips.plane_size(align(lines, lines_of_tile))

        lines = spec.p
        while lines > lines_of_tile and 4 * plane_size(lines) * spec.c_per_group > STRIP_NBYTES:
            lines = align(-(-lines // 2), lines_of_tile)
        parts = spec.n * spec.groups * -(-spec.p // lines)
        while self.threads > 1 and parts < 2 * self.threads and lines > 4 * lines_of_tile:
            lines = align(-(-lines // 2), lines_of_tile)
            parts = spec.n * spec.groups * -(-spec.p // lines)
        block_groups = 1 if self.threads == 1 else max(1, min(blocks, 2 * self.threads // max(1, parts)))
        group = -(-blocks // block_groups)
        return {
            "channels": spec.c, "group_channels": spec.c_per_group, "filters": spec.k,
            "group_filters": spec.k_per_group, "groups": spec.groups, "p": spec.p, "q": spec.q,
            "strip_rows": strips.rows(align(lines, lines_of_tile)), "plane_size": plane_size(lines), "lines": lines,
            "line_blocks": -(-spec.p // lines), "first_blocks": first_blocks, "blocks": blocks, "group": group,
            "block_groups": -(-blocks // group),
            "own_step": align(spec.c_per_group * plane_size(lines) + 4 * lanes, 16), **strips.numbers,
        }  # fmt: skip

    @property
    def scratch(self) -> int:
        """Floats that a call needs besides its operands."""
        return self.threads * self.sizes["own_step"]

    @cached_property
    def work(self) -> tuple[int, int]:
        """Pieces and the address of their kernel."""
        pieces = self.spec.n * prod(self.sizes[one] for one in ("groups", "line_blocks", "block_groups"))
        return pieces, compiled(kernel, self.target, ("strip",), *self.form).addresses["strip"]

    @cached_property
    def offsets(self) -> "array[int]":
        return self.geometry.offsets

    @cached_property
    def words(self) -> "array[int]":
        return FIELDS.block({**self.sizes, "offsets": self.offsets.buffer_info()[0]}, len(CALL.split()))

    def steps(self, call: Call) -> list[KernelStep]:
        return [KernelStep(*self.work, call + self.words)]
