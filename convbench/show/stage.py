"""What is on the picture of a step at a moment? A drawing that depends on the walk and the moment alone.

The window slides over x, its numbers move to where they are used, and the results fill up one by one. Everything is
drawn or the picture is refused: nothing is left out as in the text of a terminal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import wrap

from convbench.explain import STEPS
from convbench.explain.geometry import window
from convbench.explain.steps import Walk
from convbench.show.board import (
    BOTTOM,
    CAPTION,
    CODE,
    EDGE,
    GAP,
    HEIGHT,
    LIVE,
    NAMES,
    SIGN,
    SMALL,
    SMALLEST_TEXT,
    TEXT,
    TOP,
    WIDTH,
    Board,
    Grid,
    Moment,
    between,
    cell_size,
    lines,
    positions,
    tap_of,
    text_size,
    write,
)
from convbench.show.scene import CHARACTER, Scene
from convbench.show.steps import View
from convbench.spec import ConvSpec

MANY, SLOW = 16, 3  # of more positions than MANY, so many are shown slowly
TITLES = dict(
    zip(
        STEPS,
        ("Operands", "One cell, by loops", "Positions", "Unfold", "Flatten w", "Multiply", "Reshape", "PyTorch"),
        strict=True,
    )
)


def at_rest(walk: Walk) -> Moment:
    """The end of a step."""
    return Moment(walk.position, rest=True)


def timeline(walk: Walk, step: str) -> Iterator[tuple[Moment, float]]:
    """The moments of a step that a film shows, and for how many seconds each."""
    count = positions(walk, step)
    if not count:
        yield at_rest(walk), 4.0 if step == "pytorch" else 2.5
        return
    taps = walk.spec.taps
    shares, seconds = {
        "positions": ((1.0,), min(0.5, 4.5 / count)),
        "unfold": ((0.3, 0.5, 0.7, 1.0), 1.05),
        "flatten": ((0.5, 1.0), min(0.7, 2.8 / count)),
        "reshape": ((0.4, 0.7, 1.0), min(0.6, 3.4 / count)),
    }.get(step, (tuple((i + 1) / (min(taps, 4) + 1) for i in range(min(taps, 4) + 1)), 1.05))
    yield Moment(0, 0.0), 0.6
    for position in range(count):
        if count > MANY and position >= SLOW:
            yield Moment(position), max(0.06, 9.0 / count)
            continue
        for share in shares:
            # What has landed is read for as long as it took to come.
            yield Moment(position, share), seconds / (len(shares) + 1) * (2 if share >= 1 else 1)
    yield at_rest(walk), 2.0


def check_readable(spec: ConvSpec, steps: Sequence[str], option: str) -> None:
    """Raise where the numbers of a step would be too small to read, as far as the sizes say."""
    for step in steps:
        text_size(spec, step, cell_size(spec, step), 2, option)


def stage(walk: Walk, step: str, moment: Moment, view: View, option: str = "--png") -> Scene:
    """The picture.

    Raises:
        ConvbenchError: its numbers would be too small to read.
    """
    number = STEPS.index(step) + 1
    scene = Scene(width=WIDTH, height=HEIGHT, title=f"convbench explain {walk.spec}, step {number}: {TITLES[step]}")
    board = Board(walk, step, moment, view, scene, option)
    write(scene, EDGE, 38.0, f"{number}  {TITLES[step]}", 18.0, bold=True)
    _DRAWN[step](board)
    return scene


def _operands(board: Board) -> None:
    spec, cell = board.spec, board.walk.cell
    at = (cell.p, cell.q)
    board.in_a_row(lambda position: ("?", "output") if divmod(position, spec.q) == at else ("", "empty"))
    x, w, y = ("x".join(map(str, shape)) for shape in (spec.x_shape, spec.w_shape, spec.y_shape))
    board.live((f"image {x}", "patch"), (f"    kernel {w}", "kernel"), (f"    output {y}", "output"))
    board.aside(str(spec))


def _loops(board: Board) -> None:
    board.in_a_row(board.result, strong=True)
    board.sum()
    names, (p, q) = board.view.letters, board.at
    board.aside(f"y[{board.walk.cell.n},{board.walk.cell.k},{p},{q}]: {names.p} = {p}, {names.q} = {q}")


def _positions(board: Board) -> None:
    walk, names = board.walk, board.view.letters

    def look(position: int) -> tuple[str, str]:
        kind = "output" if position == board.moment.position else "" if position < board.filled else "empty"
        return str(position) if position < board.filled else "", kind

    board.in_a_row(look)
    for letter, axis, baseline in zip((names.P, names.Q), walk.axes, (LIVE - 4, CODE - 6), strict=True):
        both = f"2·{axis.padding}" if axis.padding == axis.padding_end else f"{axis.padding} + {axis.padding_end}"
        formula = f"floor(({axis.size} + {both} - {axis.dilation}·({axis.taps} - 1) - 1) / {axis.stride}) + 1"
        text = f"{letter} = {formula} = {axis.positions}"
        write(board.scene, WIDTH / 2, baseline, text, TEXT - 1, anchor="middle")
    count = f"{names.P} x {names.Q} = {board.spec.p} x {board.spec.q} = {walk.own.shape[1]} positions"
    board.aside(count)


def _unfold(board: Board) -> None:
    walk, spec, moment = board.walk, board.spec, board.moment
    taps, count = walk.own.shape
    wide = (spec.padded[1] + count) * board.cell + SIGN + NAMES
    images = board.images((WIDTH - wide) / 2)
    tall = taps * board.cell + CAPTION
    top = TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    grid = Grid(images[0].right + SIGN + NAMES, top, board.cell, taps, count)
    _row_names(board, grid)
    board.fill(grid, lambda row, column: _patch_cell(board, row, column))
    board.outline(grid, slice(0, taps), slice(moment.position, moment.position + 1))
    if 0 < moment.share < 1 and not moment.rest:
        rows, columns = (lines(one) for one in window(spec, *board.at))
        for row in range(taps):
            c, r, s = tap_of(spec, row)
            start, end = images[c].corner(rows[r], columns[s]), grid.corner(row, moment.position)
            board.put(between(start, end, moment.share), board.patches[row][moment.position], "patch!")
    p, q = board.at
    names = board.view.letters
    board.live((f"column l = {names.p}·{names.Q} + {names.q} = {p}·{spec.q} + {q} = {moment.position}", "ink"))
    x, patches = ("x".join(map(str, one.shape)) for one in (walk.x, walk.patches))
    board.aside(f"x {x}, patches {patches}")
    board.code()


def _patch_cell(board: Board, row: int, column: int) -> tuple[str, str]:
    if column >= board.filled:
        return "", "empty"
    kind = "patch" if column == board.moment.position else "padding" if board.padding[row][column] else ""
    return board.patches[row][column], kind


def _row_names(board: Board, grid: Grid) -> None:
    """(c,kh,kw) next to each row of the patch matrix, and l above its columns."""
    names = board.view.letters
    size = min(SMALL - 1, board.cell * 0.7)
    write(board.scene, grid.left - 6, grid.top - 5, f"({names.c},{names.r},{names.s})", size, ink="quiet", anchor="end")
    for row, name in enumerate(board.walk.taps):
        baseline = grid.top + (row + 0.5) * grid.cell + 0.36 * size
        write(board.scene, grid.left - 6, baseline, f"({','.join(map(str, name))})", size, ink="quiet", anchor="end")
    _column_names(board, grid)


def _column_names(board: Board, grid: Grid) -> None:
    size = min(SMALL - 1, board.cell * 0.55)
    if size < SMALLEST_TEXT:
        write(board.scene, grid.left, grid.top - 5, f"l = 0 to {grid.columns - 1}", SMALL - 1, ink="quiet")
        return
    for column in range(grid.columns):
        now = column == board.moment.position
        write(
            board.scene,
            grid.left + (column + 0.5) * grid.cell,
            grid.top - 5,
            f"l={column}" if now and grid.cell > 24 else str(column),
            size,
            ink="patch" if now else "quiet",
            anchor="middle",
        )


def _flatten(board: Board) -> None:
    walk, spec, moment = board.walk, board.spec, board.moment
    many, space = len(board.channels), 16.0
    wide = many * spec.s * board.cell + (many - 1) * space
    tall = (spec.r + 1) * board.cell + 2 * CAPTION + GAP
    left, top = (WIDTH - wide) / 2, TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    kernels = []
    for c in range(many):
        grid = board.grid(left, top, spec.r, spec.s, f"w[{walk.cell.k},{c}]")
        board.kernel(grid, c)
        kernels.append(grid)
        left = grid.right + space
    names = board.view.letters
    row = board.grid(
        (WIDTH - spec.taps * board.cell) / 2,
        kernels[0].bottom + GAP + CAPTION,
        1,
        spec.taps,
        f"w_flat[{names.k}={walk.cell.k}]",
    )
    board.fill(row, lambda _, tap: (board.w_row[tap], "kernel") if tap < board.filled else ("", "empty"))
    if 0 < moment.share < 1 and not moment.rest:
        c, r, s = tap_of(spec, moment.position)
        place = between(kernels[c].corner(r, s), row.corner(0, moment.position), moment.share)
        board.put(place, board.w_row[moment.position], "kernel!")
    board.live((f"{spec.taps} values are kernel elements, in the order ({names.c}, {names.r}, {names.s})", "ink"))
    w, w_flat = ("x".join(map(str, one.shape)) for one in (walk.w, walk.w_flat))
    board.aside(f"w {w}, w_flat {w_flat}")
    board.code()


def _multiply(board: Board) -> None:
    walk, spec, moment = board.walk, board.spec, board.moment
    taps, count = walk.own.shape
    wide, tall = (taps + count) * board.cell + NAMES + 10, (taps + 1) * board.cell + 2 * CAPTION
    left, top = (WIDTH - wide) / 2, TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    names = board.view.letters
    patches = Grid(left + taps * board.cell + NAMES + 10, top, board.cell, taps, count)
    now = None if moment.share >= 1 or not board.now else board.now - 1

    def look(row: int, column: int) -> tuple[str, str]:
        kind = "patch" if column == moment.position else "padding" if board.padding[row][column] else ""
        return board.patches[row][column], "patch!" if kind == "patch" and row == now else kind

    _row_names(board, patches)
    board.fill(patches, look)
    board.outline(patches, slice(0, taps), slice(moment.position, moment.position + 1))
    bottom = patches.bottom + CAPTION
    w = board.grid(left, bottom, 1, taps, f"w_flat[{names.k}={walk.cell.k}]")
    board.fill(w, lambda _, tap: (board.w_row[tap], "kernel!" if tap == now else "kernel"))
    y = Grid(patches.left, bottom, board.cell, 1, count)
    write(board.scene, y.left - 6, y.top + 0.5 * board.cell + 4, "= y", SMALL, ink="quiet", anchor="end")
    board.fill(y, lambda _, column: board.result(column))
    board.sum()
    m, n, k = walk.gemm
    each = " for each group" if spec.groups > 1 else ""
    board.aside(f"a {m}x{k} matrix times a {k}x{n} matrix{each}")
    board.code()


def _reshape(board: Board) -> None:
    walk, spec, moment = board.walk, board.spec, board.moment
    count = walk.own.shape[1]
    tall = (spec.p + 1) * board.cell + 2 * CAPTION + GAP
    top = TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    row = Grid((WIDTH - count * board.cell) / 2, top, board.cell, 1, count)
    _column_names(board, row)
    board.fill(row, lambda _, at: (board.y_row[at], "output" if at == moment.position else ""))
    name = f"y[{walk.cell.n},{walk.cell.k}]"
    grid = board.grid((WIDTH - spec.q * board.cell) / 2, row.bottom + GAP + CAPTION, spec.p, spec.q, name)
    board.fill(grid, lambda p, q: board.result(p * spec.q + q))
    if 0 < moment.share < 1 and not moment.rest:
        place = between(row.corner(0, moment.position), grid.corner(*board.at), moment.share)
        board.put(place, board.y_row[moment.position], "output!")
    (p, q), names, position = board.at, board.view.letters, moment.position
    where = f"{names.p} = floor({position} / {spec.q}) = {p}, {names.q} = {position} - {p}·{spec.q} = {q}"
    board.live((f"l = {position}: {where}", "ink"))
    flat, y = ("x".join(map(str, one.shape)) for one in (walk.y_flat, walk.y))
    board.aside(f"{flat} becomes {y}")
    board.code()


def _pytorch(board: Board) -> None:
    told = board.view.here or ("Not watched for this picture; convbench ran shows it.",)
    baseline = TOP + 36
    for sentence in told:
        for line in wrap(sentence, int((WIDTH - 2 * EDGE) / (CHARACTER * TEXT))):
            write(board.scene, EDGE, baseline, line, TEXT)
            baseline += TEXT * 1.5
        baseline += TEXT * 0.5
    board.aside(str(board.spec))
    board.code()


_DRAWN: Mapping[str, Callable[[Board], None]] = {
    "operands": _operands,
    "loops": _loops,
    "positions": _positions,
    "unfold": _unfold,
    "flatten": _flatten,
    "multiply": _multiply,
    "reshape": _reshape,
    "pytorch": _pytorch,
}
