"""convbench explain: walk one convolution from x and w to y on real numbers, or answer another question about it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli.explain import exports
from convbench.cli.explain.why import Error, Why, show_answers, show_error
from convbench.cli.options import (
    Devices,
    Dilation,
    Dtypes,
    Layouts,
    Overwrite,
    Padding,
    Precisions,
    Seed,
    Stride,
    Threads,
    Weight,
    Words,
    shape_of_sizes,
    words,
)
from convbench.cli.outputs import check_outputs, refuse_unproved, tell, write
from convbench.errors import ConvbenchError
from convbench.explain import STEPS
from convbench.spec import ITEM_NBYTES, ConvSpec, Pair

if TYPE_CHECKING:
    from convbench.explain.steps import Walk

NOTE = "n1c1h4w4k1r2s2"
SHAPE_HELP = "A problem: n images, c channels, h by w; k filters, r by s; as n1c2h5w5k2r3s3_pd1; or SUITE:ROW."
MAX_JSON_NUMBERS = 5_000_000

EXAMPLE = """\b
Examples:
  convbench explain
  convbench explain n1c2h5w5k4r3s3_st2_pd1_g2 --at 0,0 --filter 3
  convbench explain --at 1,2 --step unfold
  convbench explain --svg -
  convbench explain --algorithm winograd,fft --backward
  convbench explain --html explain.html --overwrite
  convbench explain resnet50:layer1.0.conv2 --ran --dtype fp32,fp64
  convbench explain resnet50:conv1 --ledger
  convbench explain --model mobilenet_v2 --no-time
  convbench explain resnet50:conv1 --why floor,memory
  convbench explain --error "non-positive stride is not supported"
"""

# What can be asked for instead of the walk, by the options that ask for it, and what else goes with each.
SIZES = frozenset({"shape", "model_input", "weight", "stride", "padding", "dilation"})
CELL = SIZES | {"at", "filter_index", "image", "seed"}
MODES: Mapping[str, frozenset[str]] = {
    "error": frozenset({"as_json"}),
    "model": frozenset({"model_input", "csv", "overwrite", "no_time", "as_json"}),
    "ran": SIZES | frozenset({"devices", "dtypes", "layouts", "precisions", "threads", "as_json"}),
    "ledger": SIZES | {"as_json"},
    "why": CELL | {"as_json"},
    "html": CELL | {"overwrite"},
    "algorithm": CELL | {"backward", "as_json"},
    "backward": CELL | {"algorithm", "as_json"},
    "interactive": CELL | {"steps", "channel"},
}
WALK = CELL | {"steps", "channel", "svg", "cast", "overwrite", "as_json"}

Algorithms = Annotated[
    str | None,
    typer.Option("--algorithm", metavar="NAMES", help="Other algorithms on the same numbers: all, or winograd,fft."),
]
Backward = Annotated[bool, typer.Option("--backward", help="The gradients of x and w on the same numbers.")]
Html = Annotated[str | None, typer.Option("--html", metavar="FILE", help="A page to try it out; - is stdout.")]
WhatRan = Annotated[bool, typer.Option("--ran", help="What F.conv2d really ran, by which rule, with evidence.")]
Costs = Annotated[bool, typer.Option("--ledger", help="What it costs in every unit, and who counts it how.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Every convolution of a model of torchvision or timm, of package.module:factory or of FILE.onnx.",
    ),
]
Inputs = Annotated[
    Words,
    typer.Option("--input", metavar="SIZES,...", help="A problem's input, as 1x1x4x4; with --model the model's."),
]
Suite = Annotated[
    str | None, typer.Option("--csv", metavar="FILE", help="Write the model's convolutions as a suite; - is stdout.")
]
NoTime = Annotated[bool, typer.Option("--no-time", help="Do not time the model's convolutions.")]


def explain(
    context: typer.Context,
    shape: Annotated[str, typer.Argument(metavar="SHAPE", help=SHAPE_HELP)] = (NOTE),
    at: Annotated[str | None, typer.Option("--at", metavar="P,Q", help="The output to follow, row and column.")] = None,
    filter_index: Annotated[
        int | None, typer.Option("--filter", metavar="K", help="Its output channel (its filter).")
    ] = None,
    image: Annotated[int, typer.Option("--image", metavar="N", help="Its image of the batch.")] = 0,
    seed: Seed = 0,
    steps: exports.Steps = None,
    channel: exports.Channel = 0,
    interactive: exports.Interactive = False,
    svg: exports.Svg = None,
    cast: exports.Cast = None,
    html: Html = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every number as one JSON object.")] = False,
    algorithm: Algorithms = None,
    backward: Backward = False,
    why: Why = None,
    error: Error = None,
    ran: WhatRan = False,
    devices: Devices = None,
    dtypes: Dtypes = None,
    layouts: Layouts = None,
    precisions: Precisions = None,
    threads: Threads = 0,
    ledger: Costs = False,
    model: Model = None,
    model_input: Inputs = None,
    weight: Weight = None,
    stride: Stride = None,
    padding: Padding = None,
    dilation: Dilation = None,
    csv: Suite = None,
    no_time: NoTime = False,
) -> None:
    """Show how a convolution is computed: seven steps on real numbers, each of them proved.

    The numbers are small integers; with seed 0, x counts 1, 2, 3, ... They are printed after
    each has been compared with torch and float64. With --svg or --cast they go to a file instead, COLUMNS wide (60
    to 120; 80 where it is not set).
    """
    mode = choose_mode(context)
    if error is not None:
        show_error(error, as_json=as_json)
        return
    if model is not None:
        from convbench.cli.explain.costs import show_model

        show_model(model, inputs=model_input, csv=csv, overwrite=overwrite, timed=not no_time, as_json=as_json)
        return

    from convbench.suites import find_problem

    if len(inputs := words(model_input)) > 1:
        raise ConvbenchError("--input takes several sizes with --model alone; a problem has one input")
    by_sizes = shape_of_sizes(inputs[0] if inputs else None, weight, stride=stride, padding=padding, dilation=dilation)
    if by_sizes is not None and "shape" in given_options(context):
        raise ConvbenchError(f"SHAPE {shape} and --input --weight, which are {by_sizes}, are two problems; give one")
    problem = find_problem(by_sizes or shape)
    whole = problem.spec
    if ran:
        from convbench.cli.explain.ran import show_what_ran

        show_what_ran(
            problem,
            devices=devices,
            dtypes=dtypes,
            layouts=layouts,
            precisions=precisions,
            threads=threads,
            as_json=as_json,
        )
        return
    if ledger:
        from convbench.cli.explain.costs import show_ledger

        show_ledger(whole, as_json=as_json)
        return
    position = None if at is None else parse_at(at, whole)
    if why is not None:
        show_answers(why, whole, at=position, image=image, filter_index=filter_index, seed=seed, as_json=as_json)
        return

    # What may be wrong in the question is told before the proof.
    if as_json:
        refuse_long_json(whole)
    chosen = exports.parse_steps(steps)
    exports.check_channel(channel, whole)
    outputs = {"--svg": svg, "--cast": cast, "--html": html, "--json": "-" if as_json else None}
    check_outputs(outputs, overwrite=overwrite)
    if interactive:
        exports.refuse_without_terminal()
    if algorithm is not None:
        from convbench.explain.algorithms.catalogue import choose

        choose(algorithm)
    if html is not None:
        from convbench.show.explain_page import check_size

        check_size(whole)

    if steps is not None and as_json and svg is None and cast is None:
        raise ConvbenchError("--step with --json: the JSON has all steps; leave one of the two out")

    found = prove(whole, position, image, filter_index, seed)
    ones = str(found.spec) == NOTE and seed == 0  # the gradient of the note: that of a sum
    if mode in ("algorithm", "backward"):
        from convbench.cli.explain.algorithms import show_further

        most = MAX_JSON_NUMBERS if as_json else None
        show_further(found, algorithm, backward=backward, ones=ones, seed=seed, most=most)
        return
    if html is not None:
        from convbench.show.explain_page import explain_page

        write(html, explain_page(found, seed=seed))
        return

    from convbench.ran.claims import remark
    from convbench.ran.watch import glance
    from convbench.show.explain import View, draw, more, record

    view = View(channel=channel, remark=remark(glance(found.spec)) if found.spec == whole else "")
    if interactive:
        exports.interact(found, chosen[0], view, seed=seed, ones=ones)
        return
    if as_json:
        typer.echo(json.dumps(record(found)))
    if svg is not None or cast is not None:
        exports.write_frames(found, chosen, view, svg=svg, cast=cast)
    elif not as_json:
        draw(found, chosen, view)
        if chosen[-1] == STEPS[-1]:
            from convbench.cli.explain.algorithms import print_also_proved
            from convbench.show.pages import print_page

            print_also_proved(found)
            print_page(more)


def choose_mode(context: typer.Context) -> str | None:
    """The option that asks for something else than the walk; None for the walk.

    Raises:
        ConvbenchError: two of them, or an option that does not go with what is asked for.
    """
    words = {param.name or "": param.opts[0] for param in context.command.params} | {"shape": "SHAPE"}
    given = [name for name in words if name in given_options(context)]
    mode = next((name for name in MODES if name in given), None)
    fitting = WALK if mode is None else MODES[mode] | {mode}
    odd = [name for name in given if name not in fitting]
    if not odd:
        return mode
    belongs = [words[other] for other in MODES if not set(odd) - MODES[other]] if mode is None else []
    asked = "the walk" if mode is None else words[mode]
    fault = f"only with {' or '.join(belongs)}; {asked} takes" if belongs else f"not with {asked}, which takes"
    taken = [words[name] for name in words if name in fitting and name != mode]
    raise ConvbenchError(f"{', '.join(words[name] for name in odd)}: {fault} {', '.join(taken)}")


def given_options(context: typer.Context) -> set[str]:
    """The names of the parameters that stand on the command line."""
    names = (param.name or "" for param in context.command.params)
    return {name for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"}


def prove(whole: ConvSpec, at: Pair | None, image: int, filter_index: int | None, seed: int) -> "Walk":
    """The walk, of one image where all are too many; exit 1 where a number does not hold."""
    from convbench.explain.walk import affordable, choose_cell, small_integers, walk

    cell = choose_cell(whole, at=at, image=image, filter_index=filter_index)
    spec = affordable(whole)
    if spec != whole:
        tell(f"{whole.n} images take too long to prove; images do not mix, so this is one alone: {spec}")
        cell = replace(cell, n=0)
    found = walk(*small_integers(spec, seed), spec, cell)
    refuse_unproved({"": found.proof})
    return found


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
