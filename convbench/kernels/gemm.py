"""Direct convolution as a matrix product: y[k, pixel] = sum over taps of w[k, tap] * patches[tap, pixel].

A panel is the patches of two vectors of neighbouring pixels, in the order in which the register tile reads them; it is
made once and serves all filters. Pixels are counted through the rows of an image, so the end of a row leaves no lane
empty. A 1x1 kernel of stride 1 has its panels in x as they are, and reads them there if they are small or read by few
filters; all others take them from a strip (`layout.add_fill`).
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
from convbench.kernels.epilogue import finish, store_row
from convbench.kernels.layout import FILL, add_fill
from convbench.kernels.plan import CALL, Call, align
from convbench.kernels.strips import StripGeometry
from convbench.kernels.tile import add_tile, for_blocks, multiply, pack_blocks, split
from convbench.spec import ConvSpec

DEPTH = 256  # taps that are added up at once: so many rows of a panel stay in the first-level cache
FEW_BLOCKS, SMALL_IMAGE = 2, 160 << 10  # blocks of filters, floats of x: then a 1x1 kernel reads x where it lies
PANELS = 8  # of a piece: so many use a block of weights that is in the first-level cache
PANEL_NBYTES = 2 << 20  # of them together
POINTWISE = -1  # in place of the number of phases: there is no strip

FIELDS = Fields.of(
    f"{CALL} own_step panel_size sums_at strip_at table_at channels depth filters pixels panels "
    "panel_blocks panels_of_block first_blocks blocks group block_groups "
    "in_place offsets taps height width q top left stride strip_rows strip_vectors phases row_size plane_size"
)


def kernel(module: Module, rows: int, phases: int) -> None:
    """`gemm(args, piece, thread)`: some panels by some blocks of filters.

    Args:
        rows: filters of a register tile; it and one less are compiled.
        phases: as those of `add_fill`, or POINTWISE.
    """
    for number in {rows, max(1, rows - 1)}:
        for vectors in (1, 2):
            add_tile(module, number, vectors)
            add_last(module, number, vectors)
    if phases != POINTWISE:
        add_fill(module, phases)
    f, block, piece, thread = module.task("gemm")
    args = FIELDS.on(f, block)
    panel = args.address("scratch") + thread * args.number("own_step")
    share, rest = piece % args.number("block_groups"), piece // args.number("block_groups")
    image = rest // args.number("panel_blocks")
    first_panel = rest % args.number("panel_blocks") * args.number("panels_of_block")
    first_block = share * args.number("group")
    last_block = f.least(first_block + args.number("group"), args.number("blocks"))
    width = 2 * f.lanes
    first_line = None if phases == POINTWISE else first_panel * width // args.number("q")
    if first_line is not None:
        fill_strip(f, args, panel, image, first_line)

    last_panel = f.least(first_panel + args.number("panels_of_block"), args.number("panels"))

    def panel_at(number: Int) -> Pointer:
        return panel + (number - first_panel) * args.number("panel_size")

    if first_line is None:
        copy_panels(f, args, panel, image, first_panel, last_panel)
    else:
        gather = partial(gather_panel, f, args, panel, first_line)
        f.loop(first_panel, last_panel, lambda number: gather(panel_at(number), number * width))

    image_x = args.address("x") + image * (args.number("channels") * args.number("pixels"))

    def some(first: Int) -> None:
        def block_of(count: int, _: Index, row: Index) -> None:
            depth = args.number("depth")
            weights, left = args.address("w") + row * depth + first * count, depth - first

            def one_panel(number: Int) -> None:
                pixels, pixel = args.number("pixels"), number * width
                taps = panel_at(number) + first * width
                place = (number - first_panel) * args.number("filters") + row
                sums = panel + args.number("sums_at") + place * width

                step = f.integer(width)
                if phases == POINTWISE:
                    here = args.number("in_place").is_not(0) & (pixel + width).below(pixels + 1)
                    step = f.choose(here, pixels, step)
                    taps = f.choose(here, image_x + first * pixels + pixel, taps)

                def tile(vectors: int) -> None:
                    def more() -> None:
                        f.call(f"tile_{count}x{vectors}", weights, taps, sums, step, DEPTH, width, first)

                    def last() -> None:
                        to = args.address("y") + (image * args.number("filters") + row) * pixels + pixel
                        bias = args.address("bias") + row
                        f.call(
                            f"last_{count}x{vectors}",
                            block, weights, taps, sums, to, bias, step, left, first, pixels, pixels - pixel,
                        )  # fmt: skip

                    f.when(left.above(DEPTH), more, last)

                f.when((pixels - pixel).above(f.lanes), lambda: tile(2), lambda: tile(1))

            f.loop(first_panel, last_panel, one_panel)

        for_blocks(f, first_block, last_block, args.number("first_blocks"), rows, block_of)

    f.loop(0, args.number("depth"), some, step=DEPTH)


def copy_panels(f: Function, args: Arguments, own: Pointer, image: Int, first: Int, last: Index) -> None:
    """panel[c][lane] = x[image, c, pixel + lane] for panels first to last, zero beyond the image.

    Channel by channel through all panels: the CPU foresees long rows, not two lines at a time on pages far apart.
    """
    channels, pixels, width = args.number("channels"), args.number("pixels"), 2 * f.lanes
    x = args.address("x") + image * (channels * pixels)
    size = f.integer(args.number("panel_size"))
    whole = f.least(last, pixels // width)

    def row(_: Int, source: Pointer, to: Pointer) -> list[Pointer]:
        def panel(_: Int, source: Pointer, to: Pointer) -> list[Pointer]:
            for v in range(2):
                f.store(f.load(source, v * f.lanes), to, v * f.lanes)
            return [source + width, to + size]

        f.loop(first, whole, panel, [source, to])
        return [source + pixels, to + width]

    def copy_whole() -> None:
        f.loop(0, channels, row, [x + first * width, own])

    f.when(args.number("in_place").is_not(0), lambda: None, copy_whole)

    def partial_panel(number: Int) -> None:
        left = pixels - number * width
        masks = [f.lanes_of(0, left - v * f.lanes) for v in range(2)]

        def row(_: Int, source: Pointer, to: Pointer) -> list[Pointer]:
            for v, mask in enumerate(masks):
                f.store(f.load_some(source + v * f.lanes, mask), to, v * f.lanes)
            return [source + pixels, to + width]

        f.loop(0, channels, row, [x + number * width, own + (number - first) * size])

    f.loop(f.most(first, whole), last, partial_panel)


def fill_strip(f: Function, args: Arguments, panel: Pointer, image: Int, first_line: Int) -> None:
    """The rows of all channels that the outputs from `first_line` on read."""

    def channel(c: Int) -> None:
        height, width = args.number("height"), args.number("width")
        f.call(
            FILL,
            args.address("x") + (image * args.number("channels") + c) * (height * width),
            panel + args.number("strip_at") + c * args.number("plane_size"),
            first_line * args.number("stride") - args.number("top"), args.number("strip_rows"),
            0 - args.number("left"), height, width, args.number("strip_vectors"), args.number("phases"),
        )  # fmt: skip

    f.loop(0, args.number("channels"), channel)


def gather_panel(f: Function, args: Arguments, own: Pointer, first_line: Int, panel: Pointer, pixel: Int) -> None:
    """panel[c][tap][lane] from the strip, a segment for each row of y that the panel touches.

    Segments are copied in their order as whole vectors: what one copies too much, the next one or the next tap
    overwrites.
    """
    q, width = args.number("q"), 2 * f.lanes
    line, column = pixel // q, pixel % q
    count = f.least(width, args.number("pixels") - pixel)
    segments = (column + count - 1) // q + 1
    line_step = args.number("stride") * args.number("row_size")
    start = own + args.number("strip_at") + (line - first_line) * line_step

    def segment(number: Index) -> tuple[Index, Index]:
        """Where it begins in the strip, from `start` on, and in a row of the panel."""
        if isinstance(number, int):
            return (column, 0) if number == 0 else (line_step * number, q * number - column)
        return number * line_step + f.most(0, column - number * q), f.most(0, number * q - column)

    def copy(source: Pointer, to: Pointer) -> None:
        for v in range(2):
            f.store(f.load(source, v * f.lanes), to, v * f.lanes)

    def all_taps(copy_row: Callable[[Pointer, Pointer], None]) -> None:
        offsets, taps, plane = args.address("offsets"), args.number("taps"), args.number("plane_size")

        def channel(_: Int, source: Pointer, to: Pointer) -> list[Pointer]:
            def tap(number: Int, to: Pointer) -> list[Pointer]:
                copy_row(source + f.number(offsets, number), to)
                return [to + width]

            (end,) = f.loop(0, taps, tap, [to])
            assert isinstance(end, Pointer)
            return [source + plane, end]

        f.loop(0, args.number("channels"), channel, [start, panel])

    def few(number: int) -> None:
        places = [segment(one) for one in range(number)]

        def copy_row(source: Pointer, to: Pointer) -> None:
            for here, there in places:
                copy(source + here, to + there)

        all_taps(copy_row)

    def many() -> None:
        table = own + args.number("table_at")

        def note(number: Int) -> None:
            for place, value in enumerate(segment(number)):
                f.store_number(value, table, number * 2 + place)

        f.loop(0, segments, note)

        def copy_row(source: Pointer, to: Pointer) -> None:
            def one(number: Int) -> None:
                here, there = f.number(table, number * 2), f.number(table, number * 2 + 1)
                copy(source + here, to + there)

            f.loop(0, segments, one)

        all_taps(copy_row)

    def two_or_more() -> None:
        f.when(segments.above(2), many, lambda: few(2))

    f.when(segments.above(1), two_or_more, lambda: few(1))


def add_last(module: Module, rows: int, vectors: int) -> None:
    """The last taps of a tile: with the sums of those before them, if there are any, and the epilogue, to y."""
    f = module.function(f"last_{rows}x{vectors}", "args w x sums y bias", "x_step depth before pixels count")
    block, w, x, before, y, bias = f.pointers("args w x sums y bias")
    x_step, depth, add, pixels, count = f.integers("x_step depth before pixels count")
    sums = multiply(f, w, x, x_step, depth, rows, vectors)
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
class Gemm:
    """The plan of one problem with one group."""

    spec: ConvSpec
    target: Target
    threads: int

    @property
    def pointwise(self) -> bool:
        return (self.spec.r, self.spec.s, *self.spec.stride, *self.spec.sides) == (1, 1, 1, 1, 0, 0, 0, 0)

    def pack(self, w: Tensor) -> Tensor:
        """w[block of filters][c][tap][filter of the block]."""
        return pack_blocks(w.reshape(self.spec.k, self.spec.taps), self.target.rows)

    @property
    def form(self) -> tuple[int, int]:
        """What the kernel is compiled for: rows, phases."""
        strips = StripGeometry(self.spec, self.target)
        return split(self.spec.k, self.target.rows)[0], POINTWISE if self.pointwise else strips.compiled_phases

    @cached_property
    def sizes(self) -> dict[str, int]:
        spec, lanes = self.spec, self.target.lanes
        width, pixels, depth = 2 * lanes, spec.p * spec.q, spec.taps
        panels = -(-pixels // width)
        _, first_blocks, rest = split(spec.k, self.target.rows)
        blocks = first_blocks + rest
        parts = spec.n * panels
        panels_of_block = max(1, min(panels, PANELS, PANEL_NBYTES // (4 * depth * width), parts // (4 * self.threads)))
        block_groups = 1 if self.threads == 1 else max(1, min(blocks // 4, 4 * self.threads // max(1, parts)))
        group = -(-blocks // block_groups)
        lines = min(spec.p, (panels_of_block * width + spec.q - 2) // spec.q + 1)
        strips = StripGeometry(spec, self.target)
        plane = strips.plane_size(lines)
        panel_size = (depth + 1) * width  # the last segment of the last tap is copied whole, too
        table_at = align(panels_of_block * panel_size, 16)
        sums_at = table_at + 4 * width
        strip_at = sums_at + (align(panels_of_block * spec.k * width, 16) if depth > DEPTH else 0)
        return {
            "channels": spec.c, "depth": depth, "filters": spec.k, "pixels": pixels, "panels": panels,
            "in_place": int(self.pointwise and (blocks <= FEW_BLOCKS or depth * pixels <= SMALL_IMAGE)),
            "panel_blocks": -(-panels // panels_of_block), "panels_of_block": panels_of_block,
            "first_blocks": first_blocks, "blocks": blocks, "group": group, "block_groups": -(-blocks // group),
            "panel_size": panel_size, "sums_at": sums_at, "strip_at": strip_at, "table_at": table_at, "q": spec.q,
            "own_step": strip_at + (0 if self.pointwise else align(spec.c * plane + 4 * lanes, 16)) + 48,
            "strip_rows": strips.rows(lines), "plane_size": plane, **strips.numbers,
        }  # fmt: skip

    @property
    def scratch(self) -> int:
        """Floats that a call needs besides its operands."""
        return self.threads * self.sizes["own_step"]

    @cached_property
    def work(self) -> tuple[int, int]:
        """Pieces and the address of their kernel."""
        pieces = self.spec.n * self.sizes["panel_blocks"] * self.sizes["block_groups"]
        return pieces, compiled(kernel, self.target, ("gemm",), *self.form).addresses["gemm"]

    @cached_property
    def offsets(self) -> "array[int]":
        return StripGeometry(self.spec, self.target).offsets

    @cached_property
    def words(self) -> "array[int]":
        return FIELDS.block({**self.sizes, "offsets": self.offsets.buffer_info()[0]}, len(CALL.split()))

    def steps(self, call: Call) -> list[KernelStep]:
        return [KernelStep(*self.work, call + self.words)]
