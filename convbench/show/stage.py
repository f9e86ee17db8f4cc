"""What is on the picture of a step at a moment? A drawing that depends on the walk and the moment alone.

The window slides over x, its numbers move to where they are used, and the results fill up one by one. Everything is
drawn or the picture is refused: nothing is left out as in the text of a terminal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import wrap

from convbench.explain import STEPS
from convbench.explain.geometry import window
from convbench.explain.steps import Walk
from convbench.show.scene import CHARACTER, Scene
from convbench.show.slide import (
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
    SPACE,
    TEXT,
    TOP,
    WIDTH,
    Grid,
    Moment,
    Slide,
    arrange,
    ems,
    lines,
    positions,
    tap_of,
    text_size,
    write,
)
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
    """The moments of a step that a film shows, and for how many seconds each; it ends where it has come to."""
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
    yield Moment(count - 1, rest=True), 2.0  # where the film has come to, not where --at is


def check_readable(spec: ConvSpec, steps: Sequence[str], option: str) -> None:
    """Raise where the numbers of a step would be too small to read, as far as the sizes say."""
    for step in steps:
        text_size(spec, step, arrange(spec, step)[0], ems("10"), option)


def stage(walk: Walk, step: str, moment: Moment, view: View, option: str = "--png") -> Scene:
    """The picture.

    Raises:
        ConvbenchError: its numbers would be too small to read.
    """
    number = STEPS.index(step) + 1
    scene = Scene(width=WIDTH, height=HEIGHT, title=f"convbench explain {walk.spec}, step {number}: {TITLES[step]}")
    slide = Slide(walk, step, moment, view, scene, option)
    write(scene, EDGE, 38.0, f"{number}  {TITLES[step]}", 18.0, bold=True)
    _DRAWN[step](slide)
    return scene


def _operands(slide: Slide) -> None:
    spec, cell = slide.spec, slide.walk.cell
    at = (cell.p, cell.q)
    slide.in_a_row(lambda position: ("?", "output") if divmod(position, spec.q) == at else ("", "empty"))
    x, w, y = ("x".join(map(str, shape)) for shape in (spec.x_shape, spec.w_shape, spec.y_shape))
    slide.live((f"image {x}", "patch"), (f"    kernel {w}", "kernel"), (f"    output {y}", "output"))
    slide.aside(str(spec))


def _loops(slide: Slide) -> None:
    slide.in_a_row(slide.result, strong=True)
    slide.sum()
    names, (p, q) = slide.view.letters, slide.at
    slide.aside(f"y[{slide.walk.cell.n},{slide.walk.cell.k},{p},{q}]: {names.p} = {p}, {names.q} = {q}")


def _positions(slide: Slide) -> None:
    walk, names = slide.walk, slide.view.letters

    def look(position: int) -> tuple[str, str]:
        kind = "output" if position == slide.moment.position else "" if position < slide.filled else "empty"
        return str(position) if position < slide.filled else "", kind

    slide.in_a_row(look)
    for letter, axis, baseline in zip((names.P, names.Q), walk.axes, (LIVE - 4, CODE - 6), strict=True):
        both = f"2·{axis.padding}" if axis.padding == axis.padding_end else f"{axis.padding} + {axis.padding_end}"
        formula = f"floor(({axis.size} + {both} - {axis.dilation}·({axis.taps} - 1) - 1) / {axis.stride}) + 1"
        text = f"{letter} = {formula} = {axis.positions}"
        write(slide.scene, WIDTH / 2, baseline, text, TEXT - 1, anchor="middle")
    count = f"{names.P} x {names.Q} = {slide.spec.p} x {slide.spec.q} = {walk.own.shape[1]} positions"
    slide.aside(count)


def _unfold(slide: Slide) -> None:
    walk, spec, moment = slide.walk, slide.spec, slide.moment
    taps, count = walk.own.shape
    wide = (slide.across * spec.padded[1] + count) * slide.cell + SIGN + NAMES + (slide.across - 1) * SPACE
    images = slide.images((WIDTH - wide) / 2)
    tall = taps * slide.cell + CAPTION
    top = TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    grid = Grid(images[slide.across - 1].right + SIGN + NAMES, top, slide.cell, taps, count)
    _row_names(slide, grid)
    slide.fill(grid, lambda row, column: _patch_cell(slide, row, column))
    slide.outline(grid, slice(0, taps), slice(moment.position, moment.position + 1))
    if 0 < moment.share < 1 and not moment.rest:
        rows, columns = (lines(one) for one in window(spec, *slide.at))
        for row in range(taps):
            c, r, s = tap_of(spec, row)
            start, end = images[c].corner(rows[r], columns[s]), grid.corner(row, moment.position)
            slide.fly(start, end, slide.patches[row][moment.position], "patch!")
    p, q = slide.at
    names = slide.view.letters
    slide.live((f"column l = {names.p}·{names.Q} + {names.q} = {p}·{spec.q} + {q} = {moment.position}", "ink"))
    x, patches = ("x".join(map(str, one.shape)) for one in (walk.x, walk.patches))
    slide.aside(f"x {x}, patches {patches}")
    slide.code()


def _patch_cell(slide: Slide, row: int, column: int) -> tuple[str, str]:
    if column >= slide.filled:
        return "", "empty"
    kind = "patch" if column == slide.moment.position else "padding" if slide.padding[row][column] else ""
    return slide.patches[row][column], kind


def _row_names(slide: Slide, grid: Grid) -> None:
    """(c,kh,kw) next to each row of the patch matrix, and l above its columns."""
    names = slide.view.letters
    size = min(SMALL - 1, slide.cell * 0.7)
    write(slide.scene, grid.left - 6, grid.top - 5, f"({names.c},{names.r},{names.s})", size, ink="quiet", anchor="end")
    for row, name in enumerate(slide.walk.taps):
        baseline = grid.top + (row + 0.5) * grid.cell + 0.36 * size
        write(slide.scene, grid.left - 6, baseline, f"({','.join(map(str, name))})", size, ink="quiet", anchor="end")
    _column_names(slide, grid)


def _column_names(slide: Slide, grid: Grid) -> None:
    size = min(SMALL - 1, slide.cell * 0.55)
    if size < SMALLEST_TEXT:
        write(slide.scene, grid.left, grid.top - 5, f"l = 0 to {grid.columns - 1}", SMALL - 1, ink="quiet")
        return
    for column in range(grid.columns):
        now = column == slide.moment.position
        write(
            slide.scene,
            grid.left + (column + 0.5) * grid.cell,
            grid.top - 5,
            f"l={column}" if now and grid.cell > 24 else str(column),
            size,
            ink="patch" if now else "quiet",
            anchor="middle",
        )


def _flatten(slide: Slide) -> None:
    walk, spec, moment = slide.walk, slide.spec, slide.moment
    many = len(slide.channels)
    wide = many * spec.s * slide.cell + (many - 1) * SPACE
    tall = (spec.r + 1) * slide.cell + 2 * CAPTION + GAP
    left, top = (WIDTH - wide) / 2, TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    kernels = []
    for c in range(many):
        grid = slide.grid(left, top, spec.r, spec.s, f"w[{walk.cell.k},{c}]")
        slide.kernel(grid, c)
        kernels.append(grid)
        left = grid.right + SPACE
    names = slide.view.letters
    row = slide.grid(
        (WIDTH - spec.taps * slide.cell) / 2,
        kernels[0].bottom + GAP + CAPTION,
        1,
        spec.taps,
        f"w_flat[{names.k}={walk.cell.k}]",
    )
    slide.fill(row, lambda _, tap: (slide.w_row[tap], "kernel") if tap < slide.filled else ("", "empty"))
    if 0 < moment.share < 1 and not moment.rest:
        c, r, s = tap_of(spec, moment.position)
        slide.fly(kernels[c].corner(r, s), row.corner(0, moment.position), slide.w_row[moment.position], "kernel!")
    values = "1 value is a kernel element" if spec.taps == 1 else f"{spec.taps} values are kernel elements"
    slide.live((f"{values}, in the order ({names.c}, {names.r}, {names.s})", "ink"))
    w, w_flat = ("x".join(map(str, one.shape)) for one in (walk.w, walk.w_flat))
    slide.aside(f"w {w}, w_flat {w_flat}")
    slide.code()


def _multiply(slide: Slide) -> None:
    walk, spec, moment = slide.walk, slide.spec, slide.moment
    taps, count = walk.own.shape
    wide, tall = (taps + count) * slide.cell + NAMES + 10, (taps + 1) * slide.cell + 2 * CAPTION
    left, top = (WIDTH - wide) / 2, TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    names = slide.view.letters
    patches = Grid(left + taps * slide.cell + NAMES + 10, top, slide.cell, taps, count)
    now = None if moment.share >= 1 or not slide.now else slide.now - 1

    def look(row: int, column: int) -> tuple[str, str]:
        kind = "patch" if column == moment.position else "padding" if slide.padding[row][column] else ""
        return slide.patches[row][column], "patch!" if kind == "patch" and row == now else kind

    _row_names(slide, patches)
    slide.fill(patches, look)
    slide.outline(patches, slice(0, taps), slice(moment.position, moment.position + 1))
    bottom = patches.bottom + CAPTION
    w = slide.grid(left, bottom, 1, taps, f"w_flat[{names.k}={walk.cell.k}]")
    slide.fill(w, lambda _, tap: (slide.w_row[tap], "kernel!" if tap == now else "kernel"))
    y = Grid(patches.left, bottom, slide.cell, 1, count)
    write(slide.scene, y.left - 6, y.top + 0.5 * slide.cell + 4, "= y", SMALL, ink="quiet", anchor="end")
    slide.fill(y, lambda _, column: slide.result(column))
    slide.sum()
    m, n, k = walk.gemm
    each = " for each group" if spec.groups > 1 else ""
    slide.aside(f"a {m}x{k} matrix times a {k}x{n} matrix{each}")
    slide.code()


def _reshape(slide: Slide) -> None:
    walk, spec, moment = slide.walk, slide.spec, slide.moment
    count = walk.own.shape[1]
    tall = (spec.p + 1) * slide.cell + 2 * CAPTION + GAP
    top = TOP + max(0.0, (BOTTOM - TOP - tall) / 2) + CAPTION
    row = Grid((WIDTH - count * slide.cell) / 2, top, slide.cell, 1, count)
    _column_names(slide, row)
    slide.fill(row, lambda _, at: (slide.y_row[at], "output" if at == moment.position else ""))
    name = f"y[{walk.cell.n},{walk.cell.k}]"
    grid = slide.grid((WIDTH - spec.q * slide.cell) / 2, row.bottom + GAP + CAPTION, spec.p, spec.q, name)
    slide.fill(grid, lambda p, q: slide.result(p * spec.q + q))
    if 0 < moment.share < 1 and not moment.rest:
        slide.fly(row.corner(0, moment.position), grid.corner(*slide.at), slide.y_row[moment.position], "output!")
    (p, q), names, position = slide.at, slide.view.letters, moment.position
    where = f"{names.p} = floor({position} / {spec.q}) = {p}, {names.q} = {position} - {p}·{spec.q} = {q}"
    slide.live((f"l = {position}: {where}", "ink"))
    flat, y = ("x".join(map(str, one.shape)) for one in (walk.y_flat, walk.y))
    slide.aside(f"{flat} becomes {y}")
    slide.code()


def _pytorch(slide: Slide) -> None:
    told = slide.view.here or ("Not watched for this picture; convbench ran shows it.",)
    baseline = TOP + 36
    for sentence in told:
        for line in wrap(sentence, int((WIDTH - 2 * EDGE) / (CHARACTER * TEXT))):
            write(slide.scene, EDGE, baseline, line, TEXT)
            baseline += TEXT * 1.5
        baseline += TEXT * 0.5
    slide.aside(str(slide.spec))
    slide.code()


_DRAWN: Mapping[str, Callable[[Slide], None]] = {
    "operands": _operands,
    "loops": _loops,
    "positions": _positions,
    "unfold": _unfold,
    "flatten": _flatten,
    "multiply": _multiply,
    "reshape": _reshape,
    "pytorch": _pytorch,
}
