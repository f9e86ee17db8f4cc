"""convbench model: which convolutions does a model run, which of them are slow, and what can be done?"""

import io
import json as json_module
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli.completion import among, listed
from convbench.cli.options import (
    LONGEST_S,
    Json,
    ModelInputs,
    Overwrite,
    Threads,
    WaitUntilQuiet,
    Words,
    model_argument,
    model_command,
    model_inputs,
)
from convbench.cli.outputs import check_outputs, tell, write
from convbench.errors import ConvbenchError, check_words
from convbench.exit_codes import NOTHING

if TYPE_CHECKING:
    from convbench.cli.race import Raced
    from convbench.models.costs import ModelCosts
    from convbench.show.waiting import Waiting

EXAMPLE = """\b
Examples:
  convbench model resnet50
  convbench model resnet18 --passes all --no-time
  convbench model mobilenet_v2 --no-time --csv mobilenet.csv
"""
PASSES, ORDERS = ("fprop", "all"), ("time", "model")


def model(
    context: typer.Context,
    model: Annotated[str, model_argument("FILE.onnx, .pt2 or .pt")],
    input: ModelInputs = None,  # noqa: A002  # the name of its option
    passes: Annotated[
        str,
        typer.Option(
            "--passes",
            metavar="NAME",
            help="fprop, or all: a training step with dgrad and wgrad.",
            autocompletion=listed(among(PASSES)),
        ),
    ] = "fprop",
    race: Annotated[
        bool, typer.Option("--race", help="Then time every backend on the layers where most can be gained, at most 5.")
    ] = False,
    budget: Annotated[
        float,
        typer.Option(
            "--budget",
            metavar="SECONDS",
            min=0.0,
            max=LONGEST_S,
            help="With --race: time budget per layer for each backend besides torch, in seconds.",
        ),
    ] = 1.0,
    threads: Threads = 0,
    wait_until_quiet: WaitUntilQuiet = False,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="NAME",
            help="time: the slowest first; model: as the model runs them.",
            autocompletion=listed(among(ORDERS)),
        ),
    ] = "time",
    no_time: Annotated[
        bool, typer.Option("--no-time", help="Only count: time nothing, and run no layer at full size.")
    ] = False,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write the table as a suite, FILE.csv; - is stdout."),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find a model's slow convolutions, and what to do about them.

    Shows the time of each convolution, its share, how near it comes to this machine's peak (convbench ceilings), its
    multiply-adds and the kernel that PyTorch runs; then what to do next. Disturbed samples are set aside. --csv writes
    the table, which is a suite for `bench` and `verify` too. Exit 3: the model has no convolution.

    Beware: this runs the model's code, and a .pt or .pt2 file may run code when it is loaded.
    """
    if csv == "-" and json:
        raise ConvbenchError("--csv - --json: both would go to stdout; name a file for --csv")
    if csv not in (None, "-") and Path(csv).suffix != ".csv":
        raise ConvbenchError(f"--csv {csv}: name a FILE.csv, so that bench and verify can read it as a suite")
    if race and no_time:
        raise ConvbenchError("--race --no-time: a race times the layers; leave out one of them")
    [passes] = check_words("--passes", [passes], PASSES)
    [sort] = check_words("--sort", [sort], ORDERS)
    check_outputs({"--csv": csv}, overwrite=overwrite)
    if threads:
        from convbench.session import set_threads

        set_threads(threads)
    costs = _measure(model, input, context.obj, training=passes == "all", timed=not no_time, patiently=wait_until_quiet)
    if csv is not None and costs.rows:
        from convbench.show.models import write_suite

        text = io.StringIO()
        write_suite(costs, text)
        write(csv, text.getvalue(), overwrite=overwrite)
    raced = _race(costs, budget, context.obj) if race and costs.rows else ()
    again = shlex.join(
        model_command("model", model, input)
        + (["--passes", passes] if passes != "fprop" else [])
        + (["--threads", str(threads)] if threads else [])
    )
    whole = of_whole_model(model, input, threads) if costs.rows and passes == "fprop" else []
    _show(costs, raced, csv, again, whole, raced_too=race, by_time=sort == "time" and not no_time, as_json=json)
    if not costs.census.calls:
        tell(f"{model} runs no convolution on this input")
        raise typer.Exit(NOTHING)


def _show(
    costs: "ModelCosts",
    raced: "Sequence[Raced]",
    csv: str | None,
    again: str,
    whole: Sequence[str],
    *,
    raced_too: bool,
    by_time: bool,
    as_json: bool,
) -> None:
    from convbench.cli.race import gained
    from convbench.show.advice import advice

    said = [*advice(costs, again, suite=None if csv == "-" else csv, raced=raced_too), *gained(costs, raced), *whole]
    if as_json:
        from convbench.show.models import record

        found = record(costs, said, by_time=by_time) | ({"race": [one.record for one in raced]} if raced_too else {})
        typer.echo(json_module.dumps(found))
    elif csv != "-":
        from convbench.show.models import print_model

        print_model(costs, said, by_time=by_time)
    if csv not in (None, "-") and costs.rows:
        _tell_suite(costs, csv)


def of_whole_model(model: str, inputs: Words, threads: int) -> list[str]:
    """The line that leads to `convbench optimize`, with what it brought when it was last run here."""
    from convbench.optimize.plans import remembered

    if model.lower().endswith(".onnx"):
        return []
    command = shlex.join(model_command("optimize", model, inputs) + ["--threads", str(threads)] * (threads > 0))
    if brought := remembered(model):
        return [f"Whole model, as raced on this machine: {brought} ({command} races it again)."]
    return [f"Whole model: {command} races torch.compile, ONNX Runtime, OpenVINO and others on it."]


def _tell_suite(costs: "ModelCosts", csv: str) -> None:
    from convbench.errors import plural

    left_out = sum(costs.others.values())
    rest = f", and {plural(left_out, 'convolution')} that bench and verify do not take" if left_out else ""
    command = f"convbench bench --suite {shlex.quote(csv)}"
    tell(f"{plural(len(costs.problems), 'problem')} in {csv}{rest}: {command}")


def _measure(
    model: str, inputs: Words, waiting: "Waiting", *, training: bool, timed: bool, patiently: bool
) -> "ModelCosts":
    from convbench.bench.doctor import ready_to_time
    from convbench.ran.study import study

    def say_pass(number: int) -> None:
        waiting.say(f"timing {model}, {f'pass {number}' if number else 'warming up'}")
        waiting.hold()  # no thread of ours runs while an operator is timed

    return study(
        model,
        model_inputs(inputs),
        training=training,
        timed=timed,
        tell=tell,
        say=waiting.say,
        about_to_time=lambda: ready_to_time(tell, patiently=patiently),
        about_to_pass=say_pass,
    )


def _race(costs: "ModelCosts", budget_s: float, waiting: "Waiting") -> "Sequence[Raced]":
    from convbench.cli.race import race_layers

    waiting.say("preparing the race")
    return race_layers(costs, budget_s, tell, say=waiting.say, hold=waiting.hold)
