"""convbench why: the questions about convolution that people keep asking, answered with actual numbers."""

import json as json_module
from typing import Annotated

import typer

from convbench.cli import options
from convbench.cli.outputs import refuse_unproved, tell

EXAMPLE = """\b
Questions:
  flip       Is the kernel flipped?
  order      In what order do the patch rows run?
  nine       What are the 4 and the 9 of (1, 4, 9)?
  floor      Why the floor, and what does it drop?
  dilation   What does dilation do to the kernel?
  fold       Does fold undo unfold, or build the output?
  groups     What do channels and groups do?
  padding    What does padding put around x?
  not-equal  Why is my unfold version not equal to conv2d?
  memory     Why is im2col so hungry for memory?
  algorithm  What runs, and when do Winograd and FFT pay?
  flops      MACs or FLOPs, and why doesn't fewer mean faster?
\b
Examples:
  convbench why flip
  convbench why floor,memory resnet50:conv1
"""


@options.unfold
def why(
    question: Annotated[str, typer.Argument(metavar="QUESTION,...", help="One or more of those below; or all.")],
    shape: options.Shape = None,
    *,
    cell: options.CellOptions,
    sizes: options.Sizes,
    names: options.Names = "torch",
    json: options.Json = False,
) -> None:
    """Answer a question about convolution, with actual numbers.

    Every number is computed and checked before it is printed. Exit 1: a check failed, and nothing is printed.
    """
    from convbench.explain.letters import choose_letters
    from convbench.explain.questions import ask, choose
    from convbench.explain.walk import affordable, choose_cell
    from convbench.show.questions import draw_answers, record_answers

    spec = sizes.problem(shape).spec
    at = cell.place(spec)
    questions = choose(question)
    letters = choose_letters(names)
    chosen = choose_cell(spec, at=at, image=cell.image, filter_index=cell.filter)
    smaller = affordable(spec)
    if smaller != spec:
        tell(f"{spec.n} images take too long to check; images are independent, so this shows one: {smaller}")
        chosen = choose_cell(smaller, at=at, filter_index=cell.filter)
    answers = [ask(one, smaller, chosen, cell.seed, letters) for one in questions]
    refuse_unproved({answer.name: answer.proof for answer in answers})
    if json:
        typer.echo(json_module.dumps(record_answers(answers)))
    else:
        draw_answers(answers)
