"""How do the answers to the twelve questions look in a terminal, and as JSON?"""

# ruff: noqa: RUF001  # the times sign and the like are meant: this is mathematics as text

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from math import isnan
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.text import Text

from convbench.errors import plural
from convbench.explain.sheet import NumberGrid, Say, Sum, Table, WhyAnswer
from convbench.show.grid import (
    FAINT,
    KERNEL,
    OUTPUT,
    PATCH,
    ROLES,
    Block,
    Role,
    Span,
    flow,
    grid,
    heading,
    in_role,
    wrap_words,
)
from convbench.show.pages import fit, print_page, room_for_text, with_notes
from convbench.show.units import numeral

if TYPE_CHECKING:
    from convbench.explain.messages.reading import Decoded

GRID_ROWS, GRID_COLUMNS = 6, 16
TABLE_ROWS, TERMS = 8, 12
LEAD = 22  # columns for a number of a message, before what it means


def draw_answers(answers: Sequence[WhyAnswer]) -> None:
    """Print them as wide as the terminal; a pipe gets 80 columns, or COLUMNS."""
    print_page(partial(answer_page, answers))


def draw_decoded(decoded: "Decoded") -> None:
    """Print what a message of torch means."""
    print_page(partial(decoded_page, decoded))


def answer_page(answers: Sequence[WhyAnswer], width: int) -> Iterator[Text]:
    """The lines of all answers, none wider than `width` (from 60 to 120)."""
    width = fit(width)
    for number, answer in enumerate(answers):
        if number:
            yield Text()
        yield from heading(f"{answer.name.upper()} · {answer.question}", str(answer.spec), width)
        notes = [*answer.notes, f"Sources: {'; '.join(answer.sources)}."]
        yield from with_notes(_body(answer, room_for_text(width) - 2), notes, width)


def decoded_page(decoded: "Decoded", width: int) -> Iterator[Text]:
    """The lines of one decoded message, none wider than `width` (from 60 to 120)."""
    width = fit(width)
    yield from heading(f"MESSAGE · {decoded.title}", decoded.function, width)
    for number, meaning in decoded.meanings:
        lead = number.rjust(LEAD)
        if len(number) > LEAD:
            yield from (Text(f"  {line}", style=PATCH.style) for line in wrap(number, width - 2))
            lead = " " * LEAD
        for line in wrap(meaning, width - LEAD - 4):
            yield Text("  ") + Text(lead, style=PATCH.style) + Text(f"  {line}")
            lead = " " * LEAD
    yield Text()
    yield from (Text(f"  {line}", style="bold") for line in wrap(decoded.fault, width - 2))
    for fix in decoded.fixes:
        yield Text()
        yield from (Text(f"  {line}") for line in wrap(fix.words, width - 2))
        yield from (
            Text("    ") + Text(line, style=KERNEL.style)
            for line in wrap(fix.call.text, width - 4, break_long_words=False, break_on_hyphens=False)
        )
        seen = "ran just now" if fix.computed else "too large to run; shapes derived by torch"
        yield Text(f"    ✓ {seen}: {_shape(fix.shape)}", style="green")
        if fix.spec is not None:
            yield Text(f"    convbench explain {fix.spec}")


def record_answers(answers: Sequence[WhyAnswer]) -> dict[str, Any]:
    """Questions, answers, numbers, sources and proofs as plain values."""
    return {"answers": [_record(answer) for answer in answers]}


def _record(answer: WhyAnswer) -> dict[str, Any]:
    return {
        "name": answer.name,
        "question": answer.question,
        "asked": str(answer.asked),
        "spec": str(answer.spec),
        "stand_in": answer.stand_in,
        "answer": answer.short,
        "parts": [_record_part(part) for part in answer.parts],
        "notes": answer.notes,
        "sources": answer.sources,
        "numbers": answer.numbers,
        "proof": [asdict(comparison) | {"holds": comparison.holds} for comparison in answer.proof],
    }


def _record_part(part: Say | Sum | NumberGrid | Table) -> dict[str, Any]:
    match part:
        case Say():
            return {"kind": "text", "text": part.text}
        case Sum():
            return {"kind": "sum", "of": part.lead, "products": part.products, "total": part.total}
        case Table():
            rows = [{"name": name, "numbers": numbers} for name, numbers in part.rows]
            return {"kind": "table", "columns": part.columns, "rows": rows}
        case NumberGrid():
            return {
                "kind": "grid",
                "label": part.label,
                "origin": part.origin,
                "rows": part.rows,
                "role": part.role,
                "numbers": part.numbers.tolist(),
                "marked": None if part.marked is None else part.marked.tolist(),
            }


def _body(answer: WhyAnswer, room: int) -> Iterator[Text]:
    yield from (Text(line, style="bold") for line in wrap(answer.short, room))
    if answer.stand_in:
        words = f"Shown on {answer.spec}, since {answer.stand_in}. It is a similar problem that can show this."
        yield from (Text(line) for line in wrap(words, room))
    yield Text()
    grids: list[Block] = []
    on_padding = False  # in a sum that the legend has not followed yet
    for part in answer.parts:
        if on_padding and not isinstance(part, Sum):
            yield _legend()
            on_padding = False
        if isinstance(part, NumberGrid):
            grids.append(_grid(part, room))
            continue
        if grids:
            yield from flow(grids, room)
            grids = []
        match part:
            case Say():
                yield from (Text(line) for line in wrap(part.text, room))
            case Sum():
                yield from _sum(part, room)
                on_padding = on_padding or any(x is None for x, _ in part.products[:TERMS])
            case Table():
                yield from _table(part, room)
    if grids:
        yield from flow(grids, room)
    compared = sum(comparison.compared for comparison in answer.proof)
    mark = ("✓ ", "green") if answer.holds else ("✗ ", "red")
    match = "match" if answer.holds else "do not all match"
    words = f"{plural(compared, 'number')} {match} a second, independent computation; --json lists each"
    for i, line in enumerate(wrap(words, room - 2)):
        yield Text.assemble(mark if not i else "  ", line)


def _grid(part: NumberGrid, room: int) -> Block:
    top, left = part.origin
    height, width = part.numbers.shape
    marked = part.marked
    # In view is the first that is marked, if not everything is.
    row, column = 0, 0
    if marked is not None and bool(marked.any()) and not bool(marked.all()):
        row, column = marked.nonzero()[0].tolist()
    role: Role = ROLES[part.role]

    def look(i: int, j: int) -> tuple[str, Role | None]:
        given = marked is not None and bool(marked[i - top, j - left])
        return numeral(part.numbers[i - top, j - left].item()), role if given else None

    return grid(
        part.label,
        Span(top, top + height, top + row, top + row, GRID_ROWS),
        Span(left, left + width, left + column, left + column, GRID_COLUMNS),
        look,
        room,
        row_names=part.rows,
    )


def _sum(part: Sum, room: int) -> Iterator[Text]:
    shown = part.products[:TERMS]
    more = (
        [Text(f"… {plural(len(part.products) - len(shown), 'more term')}")] if len(shown) < len(part.products) else []
    )
    products = []
    for i, (x, w) in enumerate(shown):
        product = Text() + in_role("·0" if x is None else numeral(x), PATCH) + in_role(numeral(w), KERNEL)
        products.append(product if not i else Text("+ ") + product)
    total = Text("= ") + in_role(numeral(part.total), OUTPUT)
    yield from wrap_words([*products, *more, total], room, lead=f"{part.lead} = ")


def _legend() -> Text:
    """What the marks of a sum are, as explain has it."""
    return Text("   ").join([in_role("patch", PATCH), in_role("kernel", KERNEL), Text("·0 zero of the padding")])


def _table(part: Table, room: int) -> Iterator[Text]:
    shown = part.rows[:TABLE_ROWS]
    cells = [[_cell(value) for value in numbers] for _, numbers in shown]
    widths = [max(len(name), *(len(row[i]) for row in cells)) for i, name in enumerate(part.columns)]
    lead = max(len(name) for name, _ in shown)
    lead = min(lead, room - sum(widths) - 2 * len(widths))
    header = "".join(f"  {name:>{width}}" for name, width in zip(part.columns, widths, strict=True))
    yield Text(" " * lead + header, style=FAINT)
    for (name, _), row in zip(shown, cells, strict=True):
        yield Text(f"{name:<{lead}}" + "".join(f"  {one:>{width}}" for one, width in zip(row, widths, strict=True)))
    if len(shown) < len(part.rows):
        yield Text(f"… {plural(len(part.rows) - len(shown), 'more row')}", style=FAINT)


def _cell(value: float) -> str:
    if isinstance(value, float) and isnan(value):
        return "–"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}"


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(str(size) for size in shape)})"
