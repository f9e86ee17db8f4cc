"""The register tile of all products on blocks: a few pixels by a few vectors of output channels.

    y[pixel][lane of v] = sum over turns and channels of x[table[turn] + pixel + channel] * w[turn][channel][lane of v]

An output vector is a block of channels, so its weights are loaded as they lie and x is broadcast from memory, one
number for all lanes. The table says where the channels of a turn lie: one row of numbers stands for all kernels,
dilations, halos and groups, and the loop over it is the only one that holds sums.

Compiled for: pixels, vectors, channels of a turn, the steps from pixel to pixel, lines that are prefetched, whether a
residual is added, the code of the activation. All other sizes are arguments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convbench.jit.emit import Arguments, Fields, FloatVector, Function, Index, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.kernels.blocked.activations import activate
from convbench.kernels.blocked.plan import Activation
from convbench.kernels.tile import split

# The words of a kernel that the tile itself reads; they are in each block of arguments that it is given.
TILE = "channel_step y_plane residual_plane floor ceiling"
Kinds = tuple[tuple[int, int], ...]  # (vectors, pixels) of blocks of filters: of whole ones, and of a narrower last one
ADD, FINISH = 1, 2  # how a tile ends: with what is in y already; with bias, residual and activation
LINE = 16  # floats of a line of the caches


@dataclass(frozen=True, slots=True)
class TileForm:
    """What all tiles of a kernel have in common.

    Attributes:
        channels: of a turn.
        x_pixel: from a pixel to the next in x, floats.
        y_pixel: the same in y and in the residual.
        planes: whether the channels of a turn are `channel_step` apart, and not neighbours.
        ahead: lines of weights that a turn prefetches.
        x_ahead: whether a turn prefetches what it will read of x for the next tile of the row: the many blocks of
            channels of a 1x1 kernel are more streams than a CPU's own prefetcher follows.
        y_ahead: whether a tile asks for the lines of y that it will write before it begins.
    """

    channels: int
    x_pixel: int
    y_pixel: int
    planes: bool = False
    ahead: int = 0
    x_ahead: bool = False
    y_ahead: bool = False
    residual: bool = False
    code: Activation = "none"


def turn_channels(lanes: int) -> int:
    """Channels of a turn, of a block: the fewer, the less LLVM's scheduler moves loads up and spills sums.

    With all 16 of AVX-512 the largest tiles have up to 90 operands on the stack in a turn, half of them some; with all
    8 of AVX2 up to 40. With 4 there are at most 18, in AVX-512's largest tile alone, and none in AVX2's of two vectors.
    """
    return min(4, lanes)


def turns_of(offset: int, lanes: int) -> range:
    """Where the turns of a block of channels read that lies at the offset."""
    return range(offset, offset + lanes, turn_channels(lanes))


def most_pixels(target: Target, vectors: int) -> int:
    """So many pixels have their sums in registers, with their weights and one spread number."""
    registers = 2 * target.rows + 4
    return max(1, min(2 * target.rows, (registers - 1 - vectors) // vectors))


def tiles_of(target: Target, pixels: int, vectors: int) -> tuple[int, int, int]:
    """Pixels of the larger tiles of a row, the number of all its tiles, and of the larger ones among them."""
    larger, first, rest = split(pixels, most_pixels(target, vectors))
    return larger, first + rest, first


def kinds_of(target: Target, pixels: int, blocks: int, vectors: int) -> Kinds:
    """Those of so many blocks of channels of y, rows of so many pixels."""
    whole, last = divmod(blocks, vectors)
    widths = [vectors] * (whole > 0) + [last] * (last > 0)
    return tuple((width, tiles_of(target, pixels, width)[0]) for width in widths)


def counts_of(target: Target, pixels: int, kinds: Kinds) -> tuple[tuple[int, int], tuple[int, int]]:
    """All tiles of a row and the larger ones among them: for whole blocks, and for a narrower last one."""
    counts = [(count, larger) for _, count, larger in (tiles_of(target, pixels, vectors) for vectors, _ in kinds)]
    return counts[0], counts[1] if len(counts) > 1 else (0, 0)


def spread_lines(lines: int, tiles: int) -> tuple[int, int]:
    """So many lines a turn, in so many tiles, prefetch what the next part needs in each of its turns."""
    ahead = 1
    while ahead < lines and ahead * tiles < lines:
        ahead *= 2
    return ahead, -(-lines // ahead)


def prefetched(
    f: Function, form: TileForm, following: Pointer, tile: Int, tiles: Int, turns: Index
) -> tuple[Pointer, Int]:
    """The `ahead` and `ahead_step` of a tile: its share of what follows, if it is one of the first `tiles`."""
    useful = tile.below(tiles)
    ahead = following + f.choose(useful, f.integer(tile * turns * (form.ahead * LINE)), 0)
    return ahead, f.choose(useful, f.integer(form.ahead * LINE), 0)


def for_filters(
    f: Function, args: Arguments, first: Int, last: Index, kinds: Kinds, do: Callable[[Int, int, int, str], None]
) -> None:
    """`do(number, vectors, pixels, prefix of its words)` for blocks of filters `first` to below `last`."""
    whole = f.least(last, args.number("whole_blocks"))
    f.loop(first, whole, lambda number: do(number, *kinds[0], ""))
    if len(kinds) > 1:
        number = args.number("whole_blocks")
        f.when(number.below(last), lambda: do(number, *kinds[1], "last_"))


def add_tiles(module: Module, fields: Fields, form: TileForm, kinds: Kinds, name: str = "tile") -> None:
    """The tiles of all kinds: of those pixels, and of one less."""
    for pixels, vectors in dict.fromkeys((p, v) for v, most in kinds for p in (most, max(1, most - 1))):
        add_tile(module, fields, form, pixels, vectors, name)


def add_tile(module: Module, fields: Fields, form: TileForm, pixels: int, vectors: int, name: str = "tile") -> None:
    """`tile_PxV(args, x, table, w, y, residual, bias, ahead, turns, how, ahead_step)`."""
    f = module.function(
        f"{name}_{pixels}x{vectors}", "args x table w y residual bias ahead", "turns how ahead_step"
    )  # fmt: skip
    block, x, table, w, y, residual, bias, ahead = f.pointers("args x table w y residual bias ahead")
    turns, how, ahead_step = f.integers("turns how ahead_step")
    args = fields.on(f, block)
    step = args.number("channel_step") if form.planes else 1
    if form.y_ahead:
        plane = args.number("y_plane") if vectors > 1 else 0
        for v in range(vectors):
            for line in range(0, pixels * form.y_pixel, LINE):
                f.prefetch(y + plane * v if v else y, line, write=True)
    sums = products(f, form, pixels, vectors, x, table, w, turns, step, ahead, ahead_step)
    y_plane = args.number("y_plane") if vectors > 1 else 0

    def place(pixel: int, v: int) -> tuple[Pointer, Index]:
        return (y + y_plane * v if v else y), pixel * form.y_pixel

    def each() -> list[tuple[int, int, FloatVector]]:
        return [(q, v, sums[q * vectors + v]) for v in range(vectors) for q in range(pixels)]

    def keep(more: bool) -> None:
        for q, v, one in each():
            to, at = place(q, v)
            f.store(f.load(to, at) + one if more else one, to, at)

    def finish(more: bool) -> None:
        floor, ceiling = args.spread("floor"), args.spread("ceiling")
        residual_plane = args.number("residual_plane") if form.residual and vectors > 1 else 0
        for q, v, one in each():
            to, at = place(q, v)
            done = f.load(to, at) + one if more else one
            done = done + f.load(bias, v * f.lanes)
            if form.residual:
                done = done + f.load(residual + residual_plane * v if v else residual, at)
            f.store(done.at_least(floor).at_most(ceiling), to, at)
        if form.code == "none":
            return

        def again(v: int) -> None:
            """The sums have left the registers: a loop keeps the code short."""
            first = y + y_plane * v if v else y

            def one_pixel(_: Int, at: Pointer) -> list[Pointer]:
                f.store(activate(f, form.code, f.load(at)), at)
                return [at + form.y_pixel]

            f.loop(0, pixels, one_pixel, [first])

        for v in range(vectors):
            again(v)

    def end(more: bool) -> None:
        f.when(how.above(1), lambda: finish(more), lambda: keep(more))

    f.when((how % 2).is_not(0), lambda: end(True), lambda: end(False))


def products(
    f: Function,
    form: TileForm,
    pixels: int,
    vectors: int,
    x: Pointer,
    table: Pointer,
    w: Pointer,
    turns: Index,
    channel_step: Index,
    ahead: Pointer,
    ahead_step: Int,
) -> list[FloatVector]:
    """The sums, pixel by pixel: the loop in which all time should be spent."""
    lanes, asked = f.lanes, form.ahead
    x_lines = -(-pixels * form.x_pixel * form.channels // (LINE * lanes)) if form.x_ahead else 0

    def turn(_: Int, table: Pointer, w: Pointer, ahead: Pointer, *sums: FloatVector) -> Sequence[Pointer | FloatVector]:
        place = f.number(table, 0)
        start, done = x + place, list(sums)
        if x_lines:  # each turn of a block asks for its share of the next tile's lines
            share = place.remainder(lanes) * (x_lines * LINE // form.channels)
            following = start + (share + pixels * form.x_pixel)
        for c in range(form.channels):
            source = start + (channel_step * c if c else 0)
            weights = [f.load(w, (c * vectors + v) * lanes) for v in range(vectors)]
            for line in range(c * asked // form.channels, (c + 1) * asked // form.channels):
                f.prefetch(ahead, line * LINE, near=2)
            for line in range(c * x_lines // form.channels, (c + 1) * x_lines // form.channels):
                f.prefetch(following, line * LINE)
            for q in range(pixels):
                one = f.spread(source, q * form.x_pixel)
                for v in range(vectors):
                    done[q * vectors + v] = f.fma(one, weights[v], done[q * vectors + v])
        return [table + 2, w + form.channels * vectors * lanes, ahead + ahead_step, *done]

    zeros = [f.zero()] * (pixels * vectors)
    carried = f.loop(0, turns, turn, [table, w, ahead, *zeros])
    return [one for one in carried if isinstance(one, FloatVector)]
