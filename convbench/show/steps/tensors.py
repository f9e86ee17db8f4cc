"""How are x, w, the patches and y drawn, each with what belongs to the followed output marked?"""

from collections.abc import Callable

from rich.text import Text

from convbench.explain.letters import TAP
from convbench.explain.steps import Walk
from convbench.show.grid import KERNEL, OUTPUT, PATCH, Block, Role, Span, flow, grid, in_role, wrap_words
from convbench.show.steps.view import GRID_COLUMNS, NARROWEST_CELL, TAPS, View
from convbench.show.units import numeral


def image(walk: Walk, channel: int, room: int, view: View) -> Block:
    """One channel of x with the cell's patch marked."""
    spec, cell, rows, columns = walk.spec, walk.cell, walk.rows, walk.columns
    image = walk.x[cell.n, channel]

    def look(row: int, column: int) -> tuple[str, Role | None]:
        inside = 0 <= row < spec.h and 0 <= column < spec.w
        text = numeral(image[row, column].item()) if inside else "·0"
        return text, PATCH if row in rows and column in columns else None

    return grid(
        f"x[{cell.n},{channel}]",
        Span(min(0, rows[0]), max(spec.h, rows[-1] + 1), rows[0], rows[-1], view.rows),
        Span(min(0, columns[0]), max(spec.w, columns[-1] + 1), columns[0], columns[-1], GRID_COLUMNS),
        look,
        room,
    )


def kernel(walk: Walk, c: int, room: int, view: View) -> Block:
    """One channel of the cell's filter."""
    spec, cell = walk.spec, walk.cell
    kernel = walk.w[cell.k, c]
    return grid(
        f"w[{cell.k},{c}]",
        Span(0, spec.r, 0, 0, view.rows),
        Span(0, spec.s, 0, 0, GRID_COLUMNS),
        lambda r, s: (numeral(kernel[r, s].item()), KERNEL),
        room,
    )


def patch_matrix(walk: Walk, room: int, view: View) -> Block:
    """The patches that the cell's group reads, with the cell's column marked."""
    spec, names = walk.spec, view.letters
    taps, positions = walk.own.shape
    own, padding = walk.own, walk.padding
    row_names = [f"({channel},{r},{s})" for channel, r, s in walk.taps]
    start, position = view.channel * spec.r * spec.s, walk.position
    first = next((row for row in range(start, taps) if not walk.terms[row].padding), start)

    def look(row: int, column: int) -> tuple[str, Role | None]:
        text = "·0" if padding[row, column] else numeral(own[row, column].item())
        return text, PATCH if column == position else None

    return grid(
        names.write(TAP),
        Span(0, taps, first, first, view.patch_rows),
        Span(0, positions, position, position, room // NARROWEST_CELL),
        look,
        room,
        row_names=row_names,
        marked_column=position,
    )


def flat_kernel(walk: Walk, room: int, view: View) -> Block:
    """The cell's filter as a row of numbers."""
    numbers = walk.w_row.tolist()
    words = [in_role(numeral(value), KERNEL) for value in numbers[:TAPS]]
    if len(numbers) > TAPS:
        words.append(Text(f" … {len(numbers) - TAPS} more"))
    return wrap_words(words, room, lead=f"w_flat[{view.letters.k}={walk.cell.k}] = ", space="")


def flat_output(walk: Walk, room: int, view: View) -> Block:
    """What the cell's filter gives at each location, with the cell marked."""
    row, positions = walk.y_row, walk.own.shape[1]
    return grid(
        f"y[{walk.cell.n},{view.letters.k},l]",
        Span(0, 1, 0, 0, 1),
        Span(0, positions, walk.position, walk.position, room // NARROWEST_CELL),
        lambda _, column: (numeral(row[column].item()), OUTPUT if column == walk.position else None),
        room,
        row_names=[f"{view.letters.k}={walk.cell.k}"],
        marked_column=walk.position,
    )


def output(walk: Walk, room: int, view: View, text: Callable[[int, int], str]) -> Block:
    """y of the cell's image and filter, with the cell marked."""
    spec, cell = walk.spec, walk.cell
    return grid(
        f"y[{cell.n},{cell.k}]",
        Span(0, spec.p, cell.p, cell.p, view.rows),
        Span(0, spec.q, cell.q, cell.q, GRID_COLUMNS),
        lambda p, q: (text(p, q), OUTPUT if (p, q) == (cell.p, cell.q) else None),
        room,
    )


def overview(walk: Walk, room: int, view: View) -> Block:
    """x, the patches, w_flat and y together, linked by the roles: for a screen that has the height."""
    y = walk.y[walk.cell.n, walk.cell.k]
    channel = walk.terms[view.channel * walk.spec.r * walk.spec.s].channel
    images = [
        image(walk, channel, room, view),
        kernel(walk, view.channel, room, view),
        output(walk, room, view, lambda p, q: numeral(y[p, q].item())),
    ]
    product = [*patch_matrix(walk, room, view), *flat_kernel(walk, room, view), *flat_output(walk, room, view)]
    return [*flow(images, room), Text(), *product]
