"""convbench explain: walk one convolution from x and w to y on real numbers."""

import json as json_module
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.explain import exports
from convbench.cli.outputs import check_outputs, refuse_unproved, tell, write
from convbench.errors import ConvbenchError
from convbench.explain import STEPS
from convbench.spec import ITEM_NBYTES, ConvSpec, Pair

if TYPE_CHECKING:
    from convbench.explain.steps import Walk

MAX_JSON_NUMBERS = 5_000_000

EXAMPLE = """\b
Examples:
  convbench explain
  convbench explain n1c2h5w5k4r3s3_st2_pd1_g2 --at 0,0 --filter 3
  convbench explain --at 1,2 --step unfold
  convbench explain --svg -
  convbench explain --algorithm winograd,fft --backward
  convbench explain --html explain.html --overwrite
"""

# What can be asked for instead of the walk, by the options that ask for it, and what else goes with each.
CELL = frozenset("shape input weight stride padding dilation at filter image seed".split())
MODES: Mapping[str, frozenset[str]] = {
    "html": CELL | {"overwrite"},
    "algorithm": CELL | {"backward", "json"},
    "backward": CELL | {"algorithm", "json"},
    "interactive": CELL | {"step", "channel"},
}
WALK = CELL | {"step", "channel", "svg", "cast", "overwrite", "json"}

Algorithms = Annotated[
    str | None,
    typer.Option("--algorithm", metavar="NAMES", help="The same numbers by other algorithms: all, or winograd,fft."),
]
Backward = Annotated[bool, typer.Option("--backward", help="Show the gradients of x and w as well.")]
Html = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write an interactive page; - is stdout.")]


@options.unfold
def explain(
    context: typer.Context,
    shape: options.Shape = None,
    *,
    cell: options.Cell,
    sizes: options.Sizes,
    step: exports.Steps = None,
    channel: exports.Channel = 0,
    interactive: exports.Interactive = False,
    svg: exports.Svg = None,
    cast: exports.Cast = None,
    html: Html = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    algorithm: Algorithms = None,
    backward: Backward = False,
) -> None:
    """Show how a convolution is computed, step by step.

    Seven steps on small integers; with seed 0, x counts 1, 2, 3, ... Every number is checked against torch and float64
    before it is printed. --svg and --cast write to a file instead, as wide as COLUMNS (60 to 120; 80 if it is not set).
    """
    mode = choose_mode(context)
    whole = sizes.problem(shape).spec
    at = cell.place(whole)

    # What may be wrong in the question is told before the proof.
    if json:
        refuse_long_json(whole)
    chosen = exports.parse_steps(step)
    exports.check_channel(channel, whole)
    outputs = {"--svg": svg, "--cast": cast, "--html": html, "--json": "-" if json else None}
    check_outputs(outputs, overwrite=overwrite)
    if interactive:
        exports.refuse_without_terminal()
    if algorithm is not None:
        from convbench.explain.algorithms.catalogue import choose

        choose(algorithm)
    if html is not None:
        from convbench.show.explain_page import check_size

        check_size(whole)

    if step is not None and json and svg is None and cast is None:
        raise ConvbenchError("--step with --json: the JSON has all steps; leave out one of them")

    found = prove(whole, at, cell)
    ones = str(found.spec) == options.NOTE and cell.seed == 0  # the gradient of the note: that of a sum
    if mode in ("algorithm", "backward"):
        from convbench.cli.explain.algorithms import show_further

        most = MAX_JSON_NUMBERS if json else None
        show_further(found, algorithm, backward=backward, ones=ones, seed=cell.seed, most=most)
        return
    if html is not None:
        from convbench.show.explain_page import explain_page

        write(html, explain_page(found, seed=cell.seed), overwrite=overwrite)
        return

    from convbench.ran.claims import remark
    from convbench.ran.watch import glance
    from convbench.show.explain import View, draw, more, record

    view = View(channel=channel, remark=remark(glance(found.spec)) if found.spec == whole else "")
    if interactive:
        exports.interact(found, chosen[0], view, seed=cell.seed, ones=ones)
        return
    if json:
        typer.echo(json_module.dumps(record(found)))
    if svg is not None or cast is not None:
        exports.write_frames(found, chosen, view, svg=svg, cast=cast, overwrite=overwrite)
    elif not json:
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


def prove(whole: ConvSpec, at: Pair | None, cell: options.Cell) -> "Walk":
    """The walk, of one image where all are too many; exit 1 where a number does not hold."""
    from convbench.explain.walk import affordable, choose_cell, small_integers, walk

    chosen = choose_cell(whole, at=at, image=cell.image, filter_index=cell.filter)
    spec = affordable(whole)
    if spec != whole:
        tell(f"{whole.n} images take too long to check; images are independent, so this shows one: {spec}")
        chosen = replace(chosen, n=0)
    found = walk(*small_integers(spec, cell.seed), spec, chosen)
    refuse_unproved({"": found.proof})
    return found


def refuse_long_json(spec: ConvSpec) -> None:
    """Raise where the JSON would hold more numbers than a reader or a parser can use."""
    shapes = (spec.x_shape, spec.w_shape, spec.y_shape)
    numbers = sum(prod(shape) for shape in shapes) + spec.patch_matrix_nbytes("fp32") // ITEM_NBYTES["fp32"]
    if numbers > MAX_JSON_NUMBERS:
        raise ConvbenchError(
            f"--json of {spec} would print {numbers:,} numbers (limit {MAX_JSON_NUMBERS:,}); "
            f"try a smaller n, h and w, or leave out --json to see part of it"
        )
