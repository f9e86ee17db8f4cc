"""convbench explain: walk one convolution from x and w to y on real numbers."""

import json
from dataclasses import replace
from math import prod
from typing import Annotated

import typer

from convbench.cli import why as answers
from convbench.cli.options import Seed
from convbench.errors import ConvbenchError
from convbench.spec import ITEM_NBYTES, ConvSpec, Pair

NOTE = "n1c1h4w4k1r2s2"
MAX_JSON_NUMBERS = 5_000_000

EXAMPLE = """\b
Examples:
  convbench explain
  convbench explain n1c2h5w5k4r3s3_st2_pd1_g2 --at 0,0 --filter 3
  convbench explain resnet50:conv1 --why floor,memory
  convbench explain --error "non-positive stride is not supported"
"""


def explain(
    shape: Annotated[str, typer.Argument(metavar="SHAPE", help="A problem, as n1c2h5w5k2r3s3_pd1 or SUITE:ROW.")] = (
        NOTE
    ),
    at: Annotated[str | None, typer.Option("--at", metavar="P,Q", help="The output to follow, row and column.")] = None,
    filter_index: Annotated[
        int | None, typer.Option("--filter", metavar="K", help="Its output channel (its filter).")
    ] = None,
    image: Annotated[int, typer.Option("--image", metavar="N", help="Its image of the batch.")] = 0,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Every number as one JSON object.")] = False,
    why: answers.Why = None,
    error: answers.Error = None,
) -> None:
    """Show how a convolution is computed: seven steps on real numbers, each of them proved.

    The numbers are small integers; with seed 0, x counts 1, 2, 3, ... They are printed after
    each has been compared with torch and float64.
    """
    from convbench.suites import find_problem

    if error is not None:
        if why is not None or shape != NOTE:
            raise ConvbenchError("--error is about torch's message alone: leave SHAPE and --why out")
        answers.show_error(error, as_json=as_json)
        return
    whole = find_problem(shape).spec
    position = None if at is None else parse_at(at, whole)
    if why is not None:
        answers.show_answers(
            why, whole, at=position, image=image, filter_index=filter_index, seed=seed, as_json=as_json
        )
        return
    if as_json:
        refuse_long_json(whole)

    from convbench.explain.walk import affordable, choose_cell, small_integers, walk
    from convbench.show.explain import draw, record

    cell = choose_cell(whole, at=position, image=image, filter_index=filter_index)
    spec = affordable(whole)
    if spec != whole:
        typer.echo(
            f"{whole.n} images take too long to prove; images do not mix, so this is one alone: {spec}", err=True
        )
        cell = replace(cell, n=0)
    found = walk(*small_integers(spec, seed), spec, cell)
    if not found.holds:
        for comparison in found.proof:
            if not comparison.holds:
                typer.echo(f"convbench: {comparison.name} fails: {comparison.evidence}", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(record(found)))
    else:
        draw(found)


def refuse_long_json(spec: ConvSpec) -> None:
    """Raise where the JSON would hold more numbers than a reader or a parser can use."""
    shapes = (spec.x_shape, spec.w_shape, spec.y_shape)
    numbers = sum(prod(shape) for shape in shapes) + spec.patch_matrix_nbytes("fp32") // ITEM_NBYTES["fp32"]
    if numbers > MAX_JSON_NUMBERS:
        raise ConvbenchError(
            f"--json of {spec} would print {numbers:,} numbers (limit {MAX_JSON_NUMBERS:,}); "
            f"try a smaller n, h and w, or leave --json out to see a window of it"
        )


def parse_at(text: str, spec: ConvSpec) -> Pair:
    """`1,2` as (1, 2)."""
    p, comma, q = (part.strip() for part in text.partition(","))
    if not (comma and p.isdecimal() and q.isdecimal()):
        raise ConvbenchError(
            f"--at {text!r} is not P,Q: for {spec} give a row from 0 to {spec.p - 1} and a column from 0 to "
            f"{spec.q - 1}, like --at {spec.p - 1},{spec.q - 1}"
        )
    return (int(p), int(q))
