"""How do pixels get from a tensor into the order in which vectors need them, and back?

Everything that reads an operand's rows goes through `add_fill`: it copies rows of a plane into a strip, zeros where
the padding is, and takes the columns apart by their remainder (the phases of a stride, or of Winograd's tiles). Beyond
it no kernel meets an edge, and all of its loads are whole vectors.
"""

from collections.abc import Callable, Sequence

from convbench.jit.emit import Fields, FloatVector, Function, Int, Module, Pointer

FILL = "fill"
_NUMBERS = "first_row rows first_column height width vectors phases"


def add_fill(module: Module, phases: int) -> None:
    """`fill(source, to, first_row, rows, first_column, height, width, vectors, phases)`.

    to[row][phase][i] = source[first_row + row][first_column + i * phases + phase], zero outside of height x width, for
    i below `vectors` whole vectors.

    Args:
        phases: 1, 2 or 4, which are shuffles of vectors; 0 for any other, float by float.
    """
    f = module.function(FILL, "source to", _NUMBERS)
    source, to = f.pointers("source to")
    first_row, rows, first_column, height, width, vectors, any_phases = f.integers(_NUMBERS)
    size = vectors * f.lanes  # of a phase
    parts = phases or any_phases

    def for_rows(out: Pointer, inside: Callable[[Pointer, Pointer], None], outside: Callable[[Pointer], None]) -> None:
        """`inside(row of the plane, its place in the strip)`, or `outside(place)` for a row of padding."""

        def row(number: Int, to: Pointer) -> list[Pointer]:
            place = first_row + number
            f.when(place.inside(height), lambda: inside(source + place * width, to), lambda: outside(to))
            return [to + size * parts]

        f.loop(0, rows, row, [out])

    def take(i: Int) -> None:
        """One vector of each phase, of all rows: whether and where it meets an edge is the same in all of them."""
        column, out = first_column + i * phases, to + i

        def put(vectors: Sequence[FloatVector], there: Pointer) -> None:
            for phase, vector in enumerate(vectors):
                f.store(vector, there + size * phase)

        def clear(there: Pointer) -> None:
            put([f.zero()] * phases, there)

        def whole() -> None:
            def copy(line: Pointer, there: Pointer) -> None:
                put(apart(f, [f.load(line + column, f.lanes * one) for one in range(phases)]), there)

            for_rows(out, copy, clear)

        def at_edge() -> None:
            masks = [f.lanes_of(-f.lanes * one - column, width - column - f.lanes * one) for one in range(phases)]

            def copy(line: Pointer, there: Pointer) -> None:
                start = line + column
                put(apart(f, [f.load_some(start + f.lanes * one, mask) for one, mask in enumerate(masks)]), there)

            for_rows(out, copy, clear)

        inside = column.above(-1) & (column + phases * f.lanes).below(width + 1)
        f.when(inside, whole, at_edge)

    def take_floats(i: Int) -> None:
        """One float of each phase, of all rows."""

        def copy(line: Pointer, there: Pointer) -> None:
            def one(phase: Int) -> None:
                column, place = first_column + i * any_phases + phase, there + phase * size
                f.when(column.inside(width), lambda: f.copy_float(line + column, place), lambda: f.clear_float(place))

            f.loop(0, any_phases, one)

        def clear(there: Pointer) -> None:
            f.loop(0, any_phases, lambda phase: f.clear_float(there + phase * size))

        for_rows(to + i, copy, clear)

    f.loop(0, size, take if phases else take_floats, step=f.lanes if phases else 1)


def apart(f: Function, vectors: Sequence[FloatVector]) -> list[FloatVector]:
    """Neighbouring vectors taken apart by their lanes' remainder; as many vectors, a power of two."""
    if len(vectors) == 1:
        return list(vectors)
    pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
    even = apart(f, [f.shuffle(a, b, range(0, 2 * f.lanes, 2)) for a, b in pairs])
    odd = apart(f, [f.shuffle(a, b, range(1, 2 * f.lanes, 2)) for a, b in pairs])
    return [one for pair in zip(even, odd, strict=True) for one in pair]


def together(f: Function, phases: Sequence[FloatVector]) -> list[FloatVector]:
    """The reverse of `apart`."""
    if len(phases) == 1:
        return list(phases)
    pairs = zip(together(f, phases[::2]), together(f, phases[1::2]), strict=True)
    return [one for a, b in pairs for one in zipped(f, a, b)]


def zipped(f: Function, a: FloatVector, b: FloatVector) -> tuple[FloatVector, FloatVector]:
    """a0 b0 a1 b1 ...: the lower lanes of both, and the upper ones."""
    order = [place for lane in range(f.lanes) for place in (lane, f.lanes + lane)]
    return f.shuffle(a, b, order[: f.lanes]), f.shuffle(a, b, order[f.lanes :])


def transposed(f: Function, rows: Sequence[FloatVector]) -> list[FloatVector]:
    """A square of vectors turned: each round moves one bit of the row's number into that of the lane."""
    done = list(rows)
    half = f.lanes // 2
    for _ in range(half.bit_length()):
        done = [one for a, b in zip(done[:half], done[half:], strict=True) for one in zipped(f, a, b)]
    return done


TURN = Fields.of("source to rows columns chunk chunks")


def turn(module: Module) -> None:
    """`turn(args, piece, thread)`: to[columns][rows] = source[rows][columns] of each image: NHWC to NCHW and back.

    A piece is a chunk of the rows of one image.
    """
    f, block, piece, _ = module.task("turn")
    args = TURN.on(f, block)
    rows, columns, chunk, chunks = (args.number(one) for one in ("rows", "columns", "chunk", "chunks"))
    image, first = piece // chunks, piece % chunks * chunk
    source, to = (args.address(one) + image * (rows * columns) for one in ("source", "to"))
    last = f.least(first + chunk, rows)

    def square(row: Int, column: Int) -> None:
        at, out = source + row * columns + column, to + column * rows + row
        for lane, vector in enumerate(transposed(f, [f.load(at + columns * lane) for lane in range(f.lanes)])):
            f.store(vector, out + rows * lane)

    def one_by_one(row: Int, column: Int) -> None:
        def float_at(r: Int, c: Int) -> None:
            f.copy_float(source + r * columns + c, to + c * rows + r)

        row_end, column_end = f.least(row + f.lanes, last), f.least(column + f.lanes, columns)
        f.loop(row, row_end, lambda r: f.loop(column, column_end, lambda c: float_at(r, c)))

    def some(row: Int, column: Int) -> None:
        whole = (row + f.lanes).below(last + 1) & (column + f.lanes).below(columns + 1)
        f.when(whole, lambda: square(row, column), lambda: one_by_one(row, column))

    f.loop(first, last, lambda row: f.loop(0, columns, lambda column: some(row, column), step=f.lanes), step=f.lanes)


def vectors_for(lanes: int, floats: int) -> int:
    return -(-floats // lanes)
