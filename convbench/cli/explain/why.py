"""convbench explain --why and --error: questions people keep asking, and what torch's messages mean."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from convbench.cli.outputs import refuse_unproved, tell
from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec, Pair

NAMES = "flip, order, nine, floor, dilation, fold, groups, padding, not-equal, memory, algorithm, flops"
MOST_READ = 200_000  # characters from a pipe

Why = Annotated[
    str | None,
    typer.Option("--why", metavar="QUESTION,...", help=f"Answer it on SHAPE: {NAMES}; or all."),
]
Error = Annotated[
    str | None,
    typer.Option("--error", metavar="TEXT", help="What a message of torch about shapes means; - reads it from a pipe."),
]


def show_answers(
    words: str,
    spec: ConvSpec,
    *,
    at: Pair | None,
    image: int,
    filter_index: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Print the answers; exit 1 where a number does not hold, with nothing printed on stdout."""
    from convbench.explain.questions import ask, choose
    from convbench.explain.walk import affordable, choose_cell
    from convbench.show.questions import draw_answers, record_answers

    questions = choose(words)
    cell = choose_cell(spec, at=at, image=image, filter_index=filter_index)
    smaller = affordable(spec)
    if smaller != spec:
        tell(f"{spec.n} images take too long to prove; images do not mix, so this is one alone: {smaller}")
        cell = choose_cell(smaller, at=at, filter_index=filter_index)
    answers = [ask(question, smaller, cell, seed) for question in questions]
    refuse_unproved({answer.name: answer.proof for answer in answers})
    if as_json:
        typer.echo(json.dumps(record_answers(answers)))
    else:
        draw_answers(answers)


def show_error(text: str, *, as_json: bool) -> None:
    """Print what a message means."""
    if text == "-":
        text = sys.stdin.read(MOST_READ)
    if not text.strip():
        raise ConvbenchError(
            "--error is empty: give the last line of torch's traceback, or pipe the traceback to --error -"
        )
    from convbench.explain.messages import decode
    from convbench.show.questions import draw_decoded

    decoded = decode(text)
    if as_json:
        fixes = [
            {"words": fix.words, "call": fix.call.text, "shape": fix.shape, "computed": fix.computed}
            | {"spec": None if fix.spec is None else str(fix.spec)}
            for fix in decoded.fixes
        ]
        typer.echo(json.dumps(asdict(decoded) | {"fixes": fixes}))
    else:
        draw_decoded(decoded)
