"""How does a quiz look in a terminal, and as JSON?"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from rich.text import Text

from convbench.errors import plural
from convbench.explain.exam import TITLES
from convbench.explain.quiz import QuizGrid, QuizQuestion
from convbench.show.grid import ROLES, Block, Span, flow, grid, heading

INDENT = 2


def question_page(question: QuizQuestion, number: int, count: int, width: int) -> Iterator[Text]:
    """What is asked, none of its lines wider than `width`."""
    yield from heading(f"{number}/{count}", f"level {question.level}: {TITLES[question.level]}", width)
    if question.grids:
        yield from (Text(" " * INDENT) + line for line in flow([_grid(one) for one in question.grids], width - INDENT))
    yield from (Text(" " * INDENT + line, style="bold") for line in wrap(question.text, width - INDENT))


def verdict(question: QuizQuestion, reply: str, width: int) -> Iterator[Text]:
    """Whether a reply is right and why; of a usual mistake, which one it was. An empty reply gives the answer."""
    right = question.grade(reply)
    slip = question.slip(reply)
    mistake = f"{reply}: {slip}. " if slip else ""
    words = "Right: " if right else f"Not quite. {mistake}It is " if reply else "It is "
    mark = ("✓ ", "green") if right else ("✗ ", "red") if reply else ("  ", "")
    for i, line in enumerate(wrap(f"{words}{question.answer_text}. {because(question)}", width - 2 * INDENT)):
        yield Text.assemble(" " * INDENT, mark if not i else "  ", line)


def because(question: QuizQuestion) -> str:
    """The reason as a sentence."""
    first = question.because.split(" ", 1)[0]
    plain = first.isalpha() and first.islower() and len(first) > 1  # not a formula, and no name such as kH
    return f"{first.capitalize() if plain else first}{question.because[len(first) :]}."


def score(marks: Sequence[tuple[QuizQuestion, bool]], seed: int, width: int) -> Block:
    """How many were right, of each level as well where there are several, and how to get other questions."""
    levels = list(dict.fromkeys(question.level for question, _ in marks))
    text = f"{sum(right for _, right in marks)} of {plural(len(marks), 'answer')} right."
    if len(levels) > 1:
        each = ((level, [right for question, right in marks if question.level == level]) for level in levels)
        text += " " + ", ".join(f"level {level}: {sum(own)} of {len(own)}" for level, own in each) + "."
    lines = [Text(" " * INDENT + line, style="bold") for line in wrap(text, width - INDENT)]
    return [*lines, Text(f"{' ' * INDENT}Other questions of the same kind: --seed {seed + 1}")]


def record(questions: Sequence[QuizQuestion], seed: int) -> dict[str, Any]:
    """Questions, answers, reasons and usual mistakes as plain values."""
    return {"seed": seed, "questions": [asdict(question) for question in questions]}


def _grid(given: QuizGrid) -> Block:
    rows, columns = len(given.rows), len(given.rows[0])
    role = ROLES[given.role] if given.role == "kernel" else None
    return grid(
        given.label,
        Span(0, rows, 0, 0, rows),
        Span(0, columns, 0, 0, columns),
        lambda row, column: (str(given.rows[row][column]), role),
        80,
    )
