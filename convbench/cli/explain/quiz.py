"""convbench explain --quiz: questions by level, asked here, as JSON, or on a sheet to print."""

import json as json_module
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli.explain.opening import open_page
from convbench.cli.outputs import refuse_unproved, write
from convbench.errors import ConvbenchError

if TYPE_CHECKING:
    from convbench.explain.letters import Letters
    from convbench.explain.quiz import QuizQuestion

LEVELS = range(1, 5)
MOST_QUESTIONS = 40

Quiz = Annotated[
    str | None,
    typer.Option(
        "--quiz",
        metavar="LEVEL",
        help="Ask questions of one level, 1 (easiest) to 4, or of several, as 1-3. --html writes a worksheet with the "
        "answers at the end (--no-key leaves them out); a different --seed gives different questions.",
    ),
]
Key = Annotated[bool, typer.Option("--key/--no-key", help="Whether the worksheet of --quiz --html has the answers.")]
Questions = Annotated[
    int, typer.Option("--questions", metavar="N", min=1, max=MOST_QUESTIONS, help="How many questions --quiz asks.")
]


def parse_levels(text: str) -> tuple[int, ...]:
    """`2`, `1-3`, or several after commas.

    Raises:
        ConvbenchError: there is no such level.
    """
    chosen: set[int] = set()
    for word in text.split(","):
        first, dash, last = (part.strip() for part in word.partition("-"))
        ends = [first, last if dash else first]
        if not all(one.isascii() and one.isdecimal() and int(one) in LEVELS for one in ends) or ends[0] > ends[1]:
            raise ConvbenchError(f"--quiz {text!r}: give a level from 1 to {LEVELS[-1]}, or several such as 1-3 or 1,4")
        chosen |= set(range(int(ends[0]), int(ends[1]) + 1))
    return tuple(sorted(chosen))


def run_quiz(
    text: str,
    count: int,
    seed: int,
    letters: "Letters",
    *,
    html: str | None,
    key: bool,
    opened: bool,
    json: bool,
    overwrite: bool,
) -> None:
    """Draw the questions and ask them, or write them where that was asked for."""
    from convbench.explain.exam import draw
    from convbench.explain.steps import UnprovedError

    if json and html is not None:
        raise ConvbenchError("--json --html: a quiz is printed or written as a sheet; leave out one of them")
    if not key and html is None:
        raise ConvbenchError("--no-key leaves the answers out of a sheet; add --html FILE")
    levels = parse_levels(text)
    if count < len(levels):
        raise ConvbenchError(f"--questions {count}: --quiz {text} has {len(levels)} levels; ask at least one of each")
    try:
        questions = draw(levels, count, seed, letters)
    except UnprovedError as unproved:
        refuse_unproved({"": unproved.failures})
        return
    if html is not None:
        from convbench.show.quiz_sheet import quiz_sheet

        words = ["convbench", "explain", "--quiz", text, "--questions", str(count), "--seed", str(seed)]
        words += ["--names", letters.name] if letters.name != "torch" else []
        command = shlex.join([*words, "--html", "quiz.html"])
        write(html, quiz_sheet(questions, seed=seed, command=command, key=key), overwrite=overwrite)
        if opened:
            open_page(html)
    elif json:
        from convbench.show.quiz import record

        typer.echo(json_module.dumps(record(questions, seed)))
    else:
        ask(questions, seed)


def ask(questions: "Sequence[QuizQuestion]", seed: int) -> None:
    """One after the other: a line is the reply, an empty one asks for the answer, the end of the input ends it."""
    from functools import partial

    from convbench.show.pages import print_page
    from convbench.show.quiz import question_page, score, verdict

    marks: list[tuple[QuizQuestion, bool]] = []
    for number, question in enumerate(questions, 1):
        if number > 1:
            typer.echo()
        print_page(partial(question_page, question, number, len(questions)))
        reply = _reply(question)
        if reply is None:
            break
        marks.append((question, bool(question.grade(reply))))
        print_page(partial(verdict, question, reply))
    if marks:
        typer.echo()
        print_page(partial(score, marks, seed))


def _reply(question: "QuizQuestion") -> str | None:
    """The numbers that were asked for, or nothing; None at the end of the input."""
    while True:
        try:
            reply = input("  > ").strip()
        except EOFError:
            typer.echo()
            return None
        if not sys.stdin.isatty():
            typer.echo(reply)  # a terminal shows what is typed
        if not reply or question.grade(reply) is not None:
            return reply
        typer.echo(f"  Type {question.form}, or press Enter for the answer.")
