"""convbench explain: walk one convolution from x and w to y with actual numbers."""

import json as json_module
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.explain import exports
from convbench.cli.explain.given import Given, read_operands
from convbench.cli.explain.modes import choose_mode
from convbench.cli.explain.opening import Open, open_page
from convbench.cli.explain.quiz import Key, Questions, Quiz, run_quiz
from convbench.cli.outputs import check_outputs, refuse_unproved, tell, write
from convbench.errors import ConvbenchError
from convbench.explain import NOTE, STEPS
from convbench.explain.letters import Letters, choose_letters
from convbench.spec import ITEM_NBYTES, ConvSpec, Pair

if TYPE_CHECKING:
    from convbench.explain.steps import Walk
    from convbench.show.steps import View

MAX_JSON_NUMBERS = 5_000_000

EXAMPLE = """\b
Examples:
  convbench explain
  convbench explain n1c2h5w5k4r3s3_st2_pd1_g2 --at 0,0 --filter 3
  convbench explain --at 1,2 --step unfold
  convbench explain --x '[[1,2,3],[4,5,6]]' --w '[[1,0],[0,-1]]'
  convbench explain --code
  convbench explain --step 4 --gif unfold.gif --png unfold.png --overwrite
  convbench explain --quiz 1-2 --seed 7 --html quiz.html --overwrite
  convbench explain --algorithm winograd,fft --backward
  convbench explain --html explain.html --overwrite
"""

Algorithms = Annotated[
    str | None,
    typer.Option(
        "--algorithm", metavar="NAMES", help="Show other algorithms instead of the steps: all, or winograd,fft."
    ),
]
Backward = Annotated[bool, typer.Option("--backward", help="Show the gradients of x and w instead of the steps.")]
Html = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write an interactive page; - is stdout.")]
EvidenceFile = Annotated[
    str | None,
    typer.Option(
        "--evidence", metavar="FILE", help="Output of convbench ran --json, to be shown in the page of --html."
    ),
]

XNumbers = Annotated[
    str | None, typer.Option("--x", metavar="FILE", help="The image: .npy, .csv, a picture, or a nested list.")
]
WNumbers = Annotated[
    str | None,
    typer.Option("--w", metavar="FILE", help="The kernel, likewise; or edges, blur, identity, random."),
]
Code = Annotated[bool, typer.Option("--code", help="Print the steps as a PyTorch program that asserts each.")]
Notebook = Annotated[
    str | None, typer.Option("--notebook", metavar="FILE", help="Write the steps as a Jupyter notebook; - is stdout.")
]


@options.unfold
def explain(
    context: typer.Context,
    shape: options.Shape = None,
    *,
    cell: options.CellOptions,
    sizes: options.Sizes,
    step: exports.Steps = None,
    channel: exports.Channel = 0,
    names: options.Names = "torch",
    x: XNumbers = None,
    w: WNumbers = None,
    interactive: exports.Interactive = False,
    code: Code = False,
    notebook: Notebook = None,
    svg: exports.Svg = None,
    cast: exports.Cast = None,
    png: exports.Png = None,
    gif: exports.Gif = None,
    html: Html = None,
    open: Open = False,  # noqa: A002  # the option's name
    evidence: EvidenceFile = None,
    quiz: Quiz = None,
    questions: Questions = 10,
    key: Key = True,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    algorithm: Algorithms = None,
    backward: Backward = False,
) -> None:
    """Show how a convolution is computed, step by step.

    Eight steps with actual numbers; every computed number is checked against PyTorch and float64 before it is printed.
    By default x and w are small integers; with seed 0, x repeats 1 to 97. With --svg, --cast, --png or --gif the steps
    go to a file instead; --svg and --cast are as wide as the variable COLUMNS says (60 to 120; default 80).
    """
    mode = choose_mode(context)
    letters = choose_letters(names)
    drawings = {"--svg": svg, "--cast": cast, "--png": png, "--gif": gif}
    outputs = drawings | {"--html": html, "--notebook": notebook, "--json": "-" if json else None}
    if open and (html is None or html == "-"):
        raise ConvbenchError("--open shows a file; name it, such as --html page.html")
    if quiz is not None:
        check_outputs(outputs, overwrite=overwrite)
        run_quiz(quiz, questions, cell.seed, letters, html=html, key=key, opened=open, json=json, overwrite=overwrite)
        return
    given = None
    if x is not None or w is not None:
        given = read_operands(x, w, shape, sizes, seed=cell.seed)
    whole = given.spec if given else sizes.problem(shape).spec
    at = cell.place(whole)

    # What may be wrong in the question is told before the proof.
    if json:
        refuse_long_json(whole)
    chosen = exports.parse_steps(step)
    exports.check_channel(channel, whole)
    check_outputs(outputs, overwrite=overwrite)
    exports.check_pictures(whole, chosen, png=png, gif=gif)
    if interactive:
        exports.refuse_without_terminal()
    if algorithm is not None:
        from convbench.explain.algorithms.catalogue import choose

        choose(algorithm)
    if html is not None:
        from convbench.show.explain_evidence import read
        from convbench.show.explain_page import check_size

        check_size(whole)
        seen = None if evidence is None else read(evidence, whole)

    drawn = any(file is not None for file in drawings.values())
    if step is not None and json and not drawn:
        raise ConvbenchError("--step with --json: the JSON has all steps; leave out one of them")

    from convbench.explain.steps import is_whole

    found, lines = prove(whole, at, cell, given)
    whole_numbers = given is None or is_whole(found)
    if not whole_numbers and mode in ("algorithm", "backward", "interactive"):
        raise ConvbenchError(
            f"--{mode} is for whole numbers, whose sums are exact, and these are not; try the walk alone, or --x with "
            "pixels and --w with whole numbers"
        )
    ones = str(found.spec) == NOTE and cell.seed == 0  # the gradient of the note: that of a sum
    if mode in ("algorithm", "backward"):
        from convbench.cli.explain.algorithms import show_further

        most = MAX_JSON_NUMBERS if json else None
        show_further(found, letters, algorithm, backward=backward, ones=ones, seed=cell.seed, most=most)
        return
    if html is not None:
        from convbench.show.explain_evidence import watch
        from convbench.show.explain_page import explain_page

        view = look(found, whole, ("pytorch",), letters)
        page = explain_page(found, view, seed=cell.seed, evidence=seen or watch(found.spec, view.here))
        write(html, page, overwrite=overwrite)
        if open:
            open_page(html)
        return

    from convbench.show.explain import draw, more, record

    if code or notebook is not None:
        view = look(found, whole, STEPS if notebook else (), letters)
        exports.write_code(found, lines, view, notebook=notebook, overwrite=overwrite)
        return
    pictures = drawn and svg is cast is None  # they show no times
    watched = () if json else tuple(one for one in chosen if one != "positions" or not pictures)
    view = replace(look(found, whole, watched, letters), channel=channel, operands=lines)
    if interactive:
        exports.interact(found, chosen[0], view, seed=cell.seed, ones=ones)
        return
    if json:
        typer.echo(json_module.dumps(record(found)))
    if drawn:
        exports.write_pictures(found, chosen, view, png=png, gif=gif, overwrite=overwrite)
        exports.write_frames(found, chosen, view, svg=svg, cast=cast, overwrite=overwrite)
    elif not json:
        lines_printed = draw(found, chosen, view)
        if chosen[-1] == STEPS[-1]:
            from convbench.cli.explain.algorithms import print_also_proved
            from convbench.show.explain import print_summary
            from convbench.show.pages import print_page

            if whole_numbers:
                print_also_proved(found)
            print_page(more)
            if len(chosen) == len(STEPS):
                print_summary(found, lines_printed, exports.same_problem(context))


def look(found: "Walk", whole: ConvSpec, steps: Sequence[str], letters: Letters) -> "View":
    """What is measured and watched for those steps, here and now."""
    from convbench.show.steps import View

    view = View(letters=letters)
    if "positions" in steps:
        from convbench.explain.price import measure

        view = replace(view, prices=measure(found))
    if "pytorch" in steps and found.spec == whole:
        from convbench.ran.claims import in_plain_words
        from convbench.ran.threshold import ask_torch, find_threshold
        from convbench.ran.watch import glance

        ran = glance(found.spec)
        view = replace(view, here=in_plain_words(ran, find_threshold(ran, ask_torch)))
    return view


def prove(
    whole: ConvSpec, at: Pair | None, cell: options.CellOptions, given: Given | None
) -> tuple["Walk", tuple[str, ...]]:
    """The walk, of one image where all are too many, and the lines of Python that make its x and w.

    Raises:
        typer.Exit: 1, a number does not hold.
    """
    from convbench.explain.program import counted_operands
    from convbench.explain.walk import affordable, choose_cell, small_integers, walk

    if given and at is None:  # of an image its border says least
        at = (whole.p // 2, whole.q // 2)
    chosen = choose_cell(whole, at=at, image=cell.image, filter_index=cell.filter)
    spec = affordable(whole)
    if spec != whole:
        tell(f"{whole.n} images take too long to check; images are independent, so this shows one: {spec}")
        given = given and given.alone(chosen.n)
        chosen = replace(chosen, n=0)
    x, w = (given.x, given.w) if given else small_integers(spec, cell.seed)
    found = walk(x, w, spec, chosen)
    refuse_unproved({"": found.proof})
    return found, given.code if given else counted_operands(spec, cell.seed)


def refuse_long_json(spec: ConvSpec) -> None:
    """Raise where the JSON would hold more numbers than a reader or a parser can use."""
    shapes = (spec.x_shape, spec.w_shape, spec.y_shape)
    numbers = sum(prod(shape) for shape in shapes) + spec.patch_matrix_nbytes("fp32") // ITEM_NBYTES["fp32"]
    if numbers > MAX_JSON_NUMBERS:
        raise ConvbenchError(
            f"--json of {spec} would print {numbers:,} numbers (limit {MAX_JSON_NUMBERS:,}); "
            f"try a smaller n, h and w, or leave out --json to see part of it"
        )
