"""convbench model: which convolutions does a model run, and what does each cost?"""

import io
import json as json_module
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli.options import Json, Overwrite, Words, words
from convbench.cli.outputs import check_outputs, tell, write
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING

if TYPE_CHECKING:
    from convbench.models.costs import ModelCosts

EXAMPLE = """\b
Examples:
  convbench model resnet50
  convbench model mobilenet_v2 --no-time --csv mobilenet.csv
"""


def model(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A model of torchvision or timm, package.module:factory, or FILE.onnx."),
    ],
    input: Annotated[  # noqa: A002  # the name of its option
        Words, typer.Option("--input", metavar="SIZES,...", help="Input sizes of the model, such as 1x3x224x224.")
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write the table as a suite, FILE.csv; - is stdout."),
    ] = None,
    no_time: Annotated[bool, typer.Option("--no-time", help="Do not time the convolutions.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """List every convolution of a model, with its cost.

    Shows the problem, count, multiply-adds and receptive field of each, the algorithm that PyTorch runs, and its share
    of the time. --csv writes the table, which is a suite for `bench` and `verify` too. Exit 3: the model has no
    convolution.
    """
    if csv == "-" and json:
        raise ConvbenchError("--csv - --json: both would go to stdout; name a file for --csv")
    if csv not in (None, "-") and Path(csv).suffix != ".csv":
        raise ConvbenchError(f"--csv {csv}: name a FILE.csv, so that bench and verify can read it as a suite")
    check_outputs({"--csv": csv}, overwrite=overwrite)
    costs = _measure(name, input, timed=not no_time)
    if csv is not None:
        _write(costs, csv, overwrite=overwrite)
    if json:
        from convbench.show.models import record

        typer.echo(json_module.dumps(record(costs)))
    elif csv != "-":
        from convbench.show.models import print_model

        print_model(costs)
    if not costs.census.calls:
        tell(f"{name} runs no convolution on this input")
        raise typer.Exit(NOTHING)


def _announce_timing(model: str) -> None:
    """Shares of time mean little on a busy machine, and take a while."""
    from convbench.bench.doctor import warning

    tell(warning())
    if sys.stderr.isatty():
        tell(f"timing the convolutions of {model}, for 30 s at most")


def _measure(model: str, inputs: Words, *, timed: bool) -> "ModelCosts":
    from convbench.models.costs import measure, parse_inputs
    from convbench.ran.of_model import watch_what_ran

    shapes = None if inputs is None else parse_inputs(",".join(words(inputs)))
    if model.lower().endswith(".onnx"):
        from convbench.models.onnx_file import measure_onnx

        return watch_what_ran(measure_onnx(Path(model), shapes))
    from convbench.models.load import find_model

    costs = measure(find_model(model), shapes, timed=timed, about_to_time=partial(_announce_timing, model))
    return watch_what_ran(costs)


def _write(costs: "ModelCosts", csv: str, *, overwrite: bool) -> None:
    from convbench.show.grid import plural
    from convbench.show.models import write_suite

    if not costs.rows:
        return
    text = io.StringIO()
    write_suite(costs, text)
    write(csv, text.getvalue(), overwrite=overwrite)
    if csv == "-":
        return
    left_out = sum(costs.others.values())
    rest = f", and {plural(left_out, 'convolution')} that bench and verify do not take" if left_out else ""
    tell(f"{plural(len(costs.problems), 'problem')} in {csv}{rest}: convbench bench --suite {csv}")
