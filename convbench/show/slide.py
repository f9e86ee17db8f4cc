"""On what is a picture of a step drawn? The matrices of a walk as grids of cells, large enough to be read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from convbench.errors import ConvbenchError
from convbench.explain.geometry import pad, window
from convbench.explain.program import step_code
from convbench.explain.steps import Walk
from convbench.show.scene import CHARACTER, Box, Line, Phrase, Scene, Words
from convbench.show.steps import View
from convbench.show.units import numeral
from convbench.spec import ConvSpec, Pair

WIDTH, HEIGHT, EDGE = 640.0, 360.0, 28.0  # points; 16:9, as slides are
TOP, BOTTOM = 62.0, 292.0  # of the matrices
LIVE, CODE = 320.0, 344.0  # baselines
CAPTION, SIGN, NAMES, GAP, SPACE = 17.0, 34.0, 46.0, 34.0, 12.0
LARGEST_CELL, LARGEST_TEXT, SMALLEST_TEXT = 36.0, 15.0, 7.5  # the smallest is 15 pixels high at twice the size
TEXT, SMALL = 14.0, 11.0
MOST_TERMS = 9  # of a sum in one line
# Pillow's own font has no signs beyond these letters; a picture says them with what it has.
_SPELLED = str.maketrans({"×": "x", "−": "-", "→": ">", "≈": "~", "≤": "<=", "≥": ">=", "–": "-"})  # noqa: RUF001  # signs

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time within a step: at which position it is (an element, in `flatten`), and which share of that is done.

    `rest` is the end: everything is filled.
    """

    position: int
    share: float = 1.0
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the cells of a matrix are."""

    left: float
    top: float
    cell: float
    rows: int
    columns: int

    @property
    def right(self) -> float:
        return self.left + self.columns * self.cell

    @property
    def bottom(self) -> float:
        return self.top + self.rows * self.cell

    def corner(self, row: float, column: float) -> Place:
        return self.left + column * self.cell, self.top + row * self.cell


def positions(walk: Walk, step: str) -> int:
    """How many positions a step goes through."""
    return {"operands": 0, "flatten": walk.spec.taps, "pytorch": 0}.get(step, walk.own.shape[1])


def filled(walk: Walk, step: str, moment: Moment) -> int:
    """How many results are there at a moment."""
    if moment.rest:
        return positions(walk, step)
    return moment.position + (moment.share >= 1)


class Slide:
    """The scene as it is filled, and the numbers that go on it."""

    def __init__(self, walk: Walk, step: str, moment: Moment, view: View, scene: Scene, option: str) -> None:
        self.walk, self.step, self.moment, self.view, self.scene = walk, step, moment, view, scene
        self.spec = spec = walk.spec
        self.channels = list(dict.fromkeys(term.channel for term in walk.terms))
        self.filled = filled(walk, step, moment)
        self.at = divmod(moment.position, spec.q) if step != "flatten" else (0, 0)
        self.cell, self.across = arrange(spec, step)
        self.size = text_size(spec, step, self.cell, max(map(ems, self._shown())), option)

    def _shown(self) -> Iterator[str]:
        """Every number of the step."""
        yield "?"
        if self.step in ("operands", "loops", "positions", "flatten", "multiply"):
            yield from self.w_row
        if self.step in ("loops", "multiply", "reshape"):
            yield from self.y_row
        if self.step in ("operands", "loops", "positions", "unfold", "multiply"):
            yield from (text for image in self.x for row in image for text in row)

    # The numbers, none of which is asked for by a step that does not show it.

    @cached_property
    def x(self) -> list[list[list[str]]]:
        """(C/G, H, W) with the padding: the image that the cell's filter reads."""
        return [texts(one) for one in pad(self.walk.x, self.spec)[self.walk.cell.n, self.channels].tolist()]

    @cached_property
    def w(self) -> list[list[list[str]]]:
        """(C/G, R, S), the cell's filter."""
        return [texts(one) for one in self.walk.w[self.walk.cell.k].tolist()]

    @cached_property
    def patches(self) -> list[list[str]]:
        return texts(self.walk.own.tolist())

    @cached_property
    def padding(self) -> list[list[bool]]:
        """Which of them are padding."""
        found: list[list[bool]] = self.walk.padding.tolist()
        return found

    @cached_property
    def w_row(self) -> list[str]:
        return texts([self.walk.w_row.tolist()])[0]

    @cached_property
    def y_row(self) -> list[str]:
        return texts([self.walk.y_row.tolist()])[0]

    @property
    def now(self) -> int:
        """How many terms of the position's sum are told."""
        taps = self.spec.taps
        return taps if self.moment.share >= 1 else min(taps, ceil(self.moment.share * (taps + 1) - 1e-9))

    def grid(self, left: float, top: float, rows: int, columns: int, caption: str) -> Grid:
        write(self.scene, left, top - 5, caption, SMALL, ink="quiet")
        return Grid(left, top, self.cell, rows, columns)

    def fill(self, grid: Grid, look: Callable[[int, int], tuple[str, str]]) -> None:
        """Each cell of a grid: its text, and what it is."""
        for row in range(grid.rows):
            for column in range(grid.columns):
                self.put(grid.corner(row, column), *look(row, column))

    def put(self, corner: Place, text: str, kind: str) -> None:
        """A cell: "", "empty", "padding", a role, or a role with ! where it is multiplied just now."""
        left, top = corner
        role, strong = kind.rstrip("!"), kind.endswith("!")
        inks = {"": ("cell", "ink", ""), "empty": ("paper", "quiet", "line"), "padding": ("paper", "quiet", "line")}
        ground, ink, edge = inks.get(role, (f"{role}-ground", role, role))
        ground, ink = (role, "paper") if strong else (ground, ink)
        inset = max(0.5, self.cell / 36)
        side = self.cell - 2 * inset
        self.scene.items.append(Box(x=left + inset, y=top + inset, width=side, height=side, ink=ground, edge=edge))
        if text:
            middle = left + self.cell / 2, top + self.cell / 2 + 0.36 * self.size
            write(self.scene, *middle, text, self.size, ink=ink, anchor="middle")

    def fly(self, start: Place, end: Place, text: str, kind: str) -> None:
        """A cell on its way at the moment's share; over a label it jumps, so that each can be read."""
        shares = [self.moment.share + step / 100 for step in range(101) if self.moment.share + step / 100 < 1]
        places = (between(start, end, share) for share in shares)
        free = (place for place in places if not any(_overlap(place, self.cell, label) for label in self._labels))
        self.put(next(free, end), text, kind)

    @cached_property
    def _labels(self) -> list[tuple[float, float, float, float]]:
        """Left, top, right and bottom of the words that are there before something flies, but for those in cells."""
        boxes = [item for item in self.scene.items if isinstance(item, Box)]
        found = []
        for item in self.scene.items:
            if not isinstance(item, Words) or any(
                box.x < item.x < box.x + box.width and box.y < item.y < box.y + box.height for box in boxes
            ):
                continue
            wide = ems(item.text) * item.size
            left = item.x - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[item.anchor]
            found.append((left, item.y - 0.8 * item.size, left + wide, item.y + 0.2 * item.size))
        return found

    def outline(self, grid: Grid, rows: slice, columns: slice, ink: str = "patch") -> None:
        """A frame around lines of a grid."""
        left, top = grid.corner(rows.start, columns.start)
        right, bottom = grid.corner(rows.stop, columns.stop)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        self.scene.items.append(Line(points=corners, ink=ink, width=2.0))

    def sign(self, text: str, x: float, grid: Grid) -> None:
        middle = (grid.top + grid.bottom) / 2 + 7
        write(self.scene, x, middle, text, 20.0, ink="quiet", anchor="middle")

    def live(self, *pieces: tuple[str, str]) -> None:
        """The line below the matrices."""
        said = tuple((text.translate(_SPELLED), ink) for text, ink in pieces)
        length = sum(len(text) for text, _ in said)
        size = min(TEXT, (WIDTH - 2 * EDGE) / (CHARACTER * max(1, length)))
        self.scene.items.append(Phrase(x=WIDTH / 2, y=LIVE, pieces=said, size=size, anchor="middle"))

    def aside(self, text: str) -> None:
        write(self.scene, WIDTH - EDGE, 38.0, text, SMALL + 1, ink="quiet", anchor="end")

    def code(self) -> None:
        """The step's line of torch."""
        line = step_code(self.walk, ())[self.step].line
        size = min(SMALL, (WIDTH - 2 * EDGE) / (CHARACTER * len(line)))
        write(self.scene, WIDTH / 2, CODE, line, size, ink="quiet", anchor="middle")

    # What several steps show.

    def images(self, left: float, *, strong: bool = False) -> list[Grid]:
        """x with its padding, a grid for each channel, the window marked."""
        names = [f"x[{self.walk.cell.n},{channel}]" for channel in self.channels]
        grids = self._for_channels(left, self.spec.padded, names)
        for i, grid in enumerate(grids):
            self._image(grid, i, strong=strong)
        return grids

    def _for_channels(self, left: float, size: Pair, names: Sequence[str]) -> list[Grid]:
        """A grid for each channel, `across` of them next to each other, in the middle of the height."""
        down = ceil(len(names) / self.across)
        tall = down * (size[0] * self.cell + CAPTION)
        top = TOP + max(0.0, (BOTTOM - TOP - tall) / 2)
        grids = []
        for i, name in enumerate(names):
            row, column = divmod(i, self.across)
            x = left + column * (size[1] * self.cell + SPACE)
            grids.append(self.grid(x, top + row * tall / down + CAPTION, *size, name))
        return grids

    def _image(self, grid: Grid, channel: int, *, strong: bool) -> None:
        """One channel of x, with its padding."""
        spec = self.spec
        window_rows, window_columns = window(spec, *self.at)
        rows, columns = lines(window_rows), lines(window_columns)
        top, _, before, _ = spec.sides
        now = self._tap(channel, rows, columns) if strong else None

        def look(row: int, column: int) -> tuple[str, str]:
            inside = 0 <= row - top < spec.h and 0 <= column - before < spec.w
            kind = "patch" if row in rows and column in columns else "" if inside else "padding"
            return self.x[channel][row][column], "patch!" if (row, column) == now else kind

        self.fill(grid, look)
        self.outline(grid, window_rows, window_columns)

    def kernels(self, left: float, *, strong: bool = False) -> list[Grid]:
        """The filter, a grid for each channel."""
        spec = self.spec
        names = [f"w[{self.walk.cell.k},{i}]" for i in range(len(self.channels))]
        grids = self._for_channels(left, (spec.r, spec.s), names)
        for i, grid in enumerate(grids):
            self.kernel(grid, i, self._tap(i, range(spec.r), range(spec.s)) if strong else None)
        return grids

    def kernel(self, grid: Grid, channel: int, now: tuple[int, int] | None = None) -> None:
        """One channel of the filter."""
        self.fill(grid, lambda r, s: (self.w[channel][r][s], "kernel!" if (r, s) == now else "kernel"))

    def _tap(self, channel: int, rows: Sequence[int], columns: Sequence[int]) -> tuple[int, int] | None:
        """The place of the tap that is multiplied just now, if it is of this channel."""
        if self.moment.share >= 1 or not self.now:
            return None
        c, r, s = tap_of(self.spec, self.now - 1)
        return (rows[r], columns[s]) if c == channel else None

    def outputs(self, left: float, look: Callable[[int], tuple[str, str]]) -> Grid:
        """y, in the middle of the height; `look` is asked by position."""
        spec, cell = self.spec, self.walk.cell
        start = TOP + max(0.0, (BOTTOM - TOP - spec.p * self.cell - CAPTION) / 2)
        grid = self.grid(left, start + CAPTION, spec.p, spec.q, f"y[{cell.n},{cell.k}]")
        self.fill(grid, lambda p, q: look(p * spec.q + q))
        return grid

    def result(self, position: int) -> tuple[str, str]:
        """An output as it is at the moment: not there yet, just made, or there."""
        if position >= self.filled:
            return "", "output" if position == self.moment.position else "empty"
        return self.y_row[position], "output" if position == self.moment.position else ""

    def in_a_row(self, look: Callable[[int], tuple[str, str]], *, strong: bool = False) -> None:
        """x * w = y."""
        spec, across = self.spec, self.across
        columns = across * (spec.padded[1] + spec.s) + spec.q
        wide = columns * self.cell + 2 * SIGN + 2 * (across - 1) * SPACE
        x = self.images((WIDTH - wide) / 2, strong=strong)[across - 1].right
        w = self.kernels(x + SIGN, strong=strong)[across - 1].right
        self.outputs(w + SIGN, look)
        middle = Grid(0, TOP + CAPTION, BOTTOM - TOP - CAPTION, 1, 1)
        self.sign("*", x + SIGN / 2, middle)
        self.sign("=", w + SIGN / 2, middle)

    def sum(self) -> None:
        """The products of the position as far as they are told, and their sum at the end.

        What is not told yet is there in the paper's ink, so that the line does not move as it grows.
        """
        position, now = self.moment.position, self.now
        pairs = list(enumerate(zip([row[position] for row in self.patches], self.w_row, strict=True)))
        left = max(0, min(len(pairs), max(now, MOST_TERMS)) - MOST_TERMS)
        pieces = [(f"... {left} more", "quiet" if now else "paper")] if left else []
        for tap, (x, w) in pairs[left : left + MOST_TERMS]:
            plus = " + " if pieces else ""
            inks = ("ink", "patch", "quiet", "kernel") if tap < now else ("paper",) * 4
            pieces += zip((plus, x, " · ", factor(w)), inks, strict=True)
        made = self.filled > position
        pieces += [(" = ", "ink" if made else "paper"), (self.y_row[position], "output" if made else "paper")]
        self.live(*pieces)


def _overlap(corner: Place, cell: float, label: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = label
    return corner[0] < right and left < corner[0] + cell and corner[1] < bottom and top < corner[1] + cell


def arrange(spec: ConvSpec, step: str) -> tuple[float, int]:
    """How large a cell of that step is, and how many channels of x are next to each other, so that all is largest."""
    taps, count = spec.taps, spec.p * spec.q
    alone = {
        "flatten": (
            max(spec.c_per_group * spec.s, taps),
            spec.r + 1,
            (spec.c_per_group - 1) * SPACE,
            2 * CAPTION + GAP,
        ),
        "multiply": (taps + count, taps + 1, NAMES + 10, 2 * CAPTION),
        "reshape": (max(count, spec.q), spec.p + 1, 0.0, 2 * CAPTION + GAP),
        "pytorch": (1, 1, 0.0, 0.0),
    }
    if step in alone:
        return _fitting(*alone[step]), 1
    return max((_fitting(*_with_images(spec, step, across)), across) for across in range(1, spec.c_per_group + 1))


def _with_images(spec: ConvSpec, step: str, across: int) -> tuple[int, int, float, float]:
    """Columns, rows, and what else is next to them and above them."""
    height, width = spec.padded
    down = ceil(spec.c_per_group / across)
    if step == "unfold":
        beside = SIGN + NAMES + (across - 1) * SPACE
        return across * width + spec.p * spec.q, max(down * height, spec.taps), beside, down * CAPTION
    beside = 2 * SIGN + 2 * (across - 1) * SPACE
    return across * (width + spec.s) + spec.q, max(down * height, spec.p), beside, down * CAPTION


def _fitting(columns: int, rows: int, beside: float, above: float) -> float:
    return min(LARGEST_CELL, (WIDTH - 2 * EDGE - beside) / columns, (BOTTOM - TOP - above) / rows)


def ems(text: str) -> float:
    """How wide a number is in Pillow's own font, in its size; all digits are equally wide."""
    return sum(0.57 if letter.isalnum() else 0.36 for letter in text)


def text_size(spec: ConvSpec, step: str, cell: float, widest: float, option: str) -> float:
    """The size of numbers in that cell, the widest of so many ems.

    Raises:
        ConvbenchError: it is too small to read.
    """
    size = min(LARGEST_TEXT, 0.66 * cell, 0.8 * cell / widest)
    if size < SMALLEST_TEXT:
        raise ConvbenchError(
            f"{option} of {spec}, step {step}: its numbers would be too small to read; try a smaller h, w or c, "
            f"another --step, or --svg, which shows a part"
        )
    return size


def write(
    scene: Scene,
    x: float,
    y: float,
    text: str,
    size: float,
    *,
    ink: str = "ink",
    anchor: str = "start",
    bold: bool = False,
) -> None:
    said = text.translate(_SPELLED)
    scene.items.append(Words(x=x, y=y, text=said, size=size, ink=ink, anchor=anchor, bold=bold))


def texts(numbers: Sequence[Sequence[float]]) -> list[list[str]]:
    return [[numeral(value) for value in row] for row in numbers]


def factor(text: str) -> str:
    return f"({text})" if text.startswith("-") else text


def lines(lines: slice) -> range:
    return range(lines.start, lines.stop, lines.step)


def tap_of(spec: ConvSpec, tap: int) -> tuple[int, int, int]:
    """(c, r, s) of a row of the patches."""
    c, rest = divmod(tap, spec.r * spec.s)
    return c, *divmod(rest, spec.s)


def between(start: Place, end: Place, share: float) -> Place:
    """On the way: slow at both ends."""
    eased = 4 * share**3 if share < 0.5 else 1 - (2 - 2 * share) ** 3 / 2
    x, y = (a + (b - a) * eased for a, b in zip(start, end, strict=True))
    return x, y
