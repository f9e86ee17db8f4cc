"""convbench optimize: which way to run a whole model is fastest on this CPU, with outputs checked against float64?"""

import io
import json as json_module
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.case import ACCURACIES
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
    model_inputs,
    words,
)
from convbench.cli.outputs import check_outputs, tell, write
from convbench.errors import ConvbenchError, check_words
from convbench.exit_codes import NOTHING

if TYPE_CHECKING:
    from convbench.optimize.candidates import Candidate
    from convbench.optimize.race import Race
    from convbench.optimize.subject import ModelCall
    from convbench.show.waiting import Waiting

EXAMPLE = """\b
Examples:
  convbench optimize resnet18
  convbench optimize mobilenet_v2 --input 8x3x224x224 --only onnxruntime,convbench
  convbench optimize resnet50 --accuracy strict -o plan.json
"""
LAYERS = ("slowest", "all")


def _candidates(_: str) -> list[str]:
    from convbench.optimize.candidates import CANDIDATES

    return list(CANDIDATES)


def optimize(
    context: typer.Context,
    model: Annotated[str, model_argument("FILE.pt2 or .pt")],
    input: ModelInputs = None,  # noqa: A002  # the name of its option
    accuracy: Annotated[
        str,
        typer.Option(
            "--accuracy",
            metavar="NAME",
            help="strict: at most twice the error of torch eager; standard: at most 5e-6 or twice that of eager, "
            "whichever is larger.",
            autocompletion=listed(among(ACCURACIES)),
        ),
    ] = "standard",
    only: Annotated[
        Words,
        typer.Option(
            "--only",
            metavar="NAME,...",
            help="Race these candidates, and eager. Default: all.",
            autocompletion=listed(_candidates),
        ),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            "--budget",
            metavar="SECONDS",
            min=0.01,
            max=LONGEST_S,
            help="Time budget for each candidate but eager, not counting its build; the finalists get it again.",
        ),
    ] = 5.0,
    threads: Threads = 0,
    wait_until_quiet: WaitUntilQuiet = False,
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            metavar="NAME",
            help="Which layers of convbench's own graph to list: slowest, or all.",
            autocompletion=listed(among(LAYERS)),
        ),
    ] = "slowest",
    plan: Annotated[
        str | None,
        typer.Option("-o", "--plan", metavar="FILE", help="Add the result to a plan file, for convbench.optimize()."),
    ] = None,
    retune: Annotated[
        bool,
        typer.Option("--retune", help="Race again what the plan has, and replace a plan that does not hold here."),
    ] = False,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write a row for each candidate; - is stdout.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    no_isolate: Annotated[
        bool, typer.Option("--no-isolate", help="Run all candidates in this process; a crash ends it.")
    ] = False,
) -> None:
    """Find the fastest way to run a model, and check its outputs.

    Races torch eager, channels_last, torch.compile, ONNX Runtime, OpenVINO, ncnn and convbench's own graph (the model
    captured, its layers fused, and run by convbench's kernels): fp32, the same threads, in interleaved rounds, each in
    its own process. A candidate whose outputs, compared with float64, are not within --accuracy cannot win. Exit 3: the
    machine is too busy to tell.

    Beware: this runs the model's code, and a .pt or .pt2 file may run code when it is loaded.
    """
    from convbench.optimize.candidates import choose_candidates
    from convbench.tuned import require_plan

    if csv == "-" and json:
        raise ConvbenchError("--csv - --json: both would go to stdout; name a file for --csv")
    [accuracy] = check_words("--accuracy", [accuracy], ACCURACIES)
    [layers] = check_words("--layers", [layers], LAYERS)
    chosen = choose_candidates(None if only is None else words(only))
    check_outputs({"--csv": csv}, overwrite=overwrite)
    check_outputs({"--plan": plan, "--csv": csv}, overwrite=True)
    from convbench.session import set_threads

    count = set_threads(threads)
    waiting: Waiting = context.obj
    subject = _subject(model, input, waiting)
    if plan is not None and os.path.exists(plan):
        require_plan(plan)
        if not retune:
            _refuse_or_show(plan, subject, count, accuracy, rows_wanted=csv is not None or json)
    race = _race(subject, chosen, count, accuracy, budget, waiting, isolate=not no_isolate, patiently=wait_until_quiet)
    _show(race, csv, layers, overwrite=overwrite, as_json=json)
    from convbench.optimize.plans import add, remember

    if not only:
        remember(race)
    if not race.winner:
        if plan is not None:
            tell(f"{plan} was not written: no candidate won")
        raise typer.Exit(NOTHING)
    if plan is not None:
        add(race, plan, retune=retune)
        terms = f"threads={count}" + f", accuracy={accuracy!r}" * (accuracy != ACCURACIES[0])
        tell(f"wrote {plan}; use it: fast = convbench.optimize(model, x, plan={plan!r}, {terms})")


def _subject(model: str, inputs: Words, waiting: "Waiting") -> "ModelCall":
    from convbench.optimize.use import subject_of
    from convbench.printing import prints_to_stderr

    waiting.say(f"building {model}")
    with prints_to_stderr():  # the model's own code runs
        return subject_of(model, model_inputs(inputs), tell)


def _refuse_or_show(plan: str, subject: "ModelCall", threads: int, accuracy: str, *, rows_wanted: bool) -> None:
    """Raise if the plan does not hold here, and end with what it says of the model, if it has it."""
    from convbench.optimize.plans import brought, find
    from convbench.optimize.subject import identity
    from convbench.tuned import TunedPlan

    known = find(TunedPlan.load(plan, threads=threads, accuracy=accuracy), identity(subject.model, subject.inputs))
    if known is not None and rows_wanted:
        raise ConvbenchError(f"{plan} has {subject.name} already, without the rows for --csv or --json; add --retune")
    if known is not None:
        typer.echo(f"{plan} has {subject.name}: {brought(known)}. Race it again with --retune.")
        raise typer.Exit


def _race(
    subject: "ModelCall",
    candidates: "list[Candidate]",
    threads: int,
    accuracy: str,
    budget_s: float,
    waiting: "Waiting",
    *,
    isolate: bool,
    patiently: bool,
) -> "Race":
    from convbench.bench.doctor import ready_to_time
    from convbench.optimize.race import race
    from convbench.printing import prints_to_stderr

    ready_to_time(tell, patiently=patiently)
    with prints_to_stderr():
        found = race(
            subject,
            candidates,
            threads=threads,
            accuracy=accuracy,
            budget_s=budget_s,
            isolate=isolate,
            tell=tell,
            say=waiting.say,
            hold=waiting.hold,
        )
    sys.stderr.flush()  # which erases the line that waits: while it was drawn, stdout was not to be seen
    return found


def _show(race: "Race", csv: str | None, layers: str, *, overwrite: bool, as_json: bool) -> None:
    from convbench.show.console import print_tabbed, result_console, side_console
    from convbench.show.optimize import COLUMNS, page, record, remarks, rows_of, sentence, write_csv

    if csv is not None:
        text = io.StringIO()
        write_csv(race, text)
        write(csv, text.getvalue(), overwrite=overwrite)
    if as_json:
        typer.echo(json_module.dumps(record(race), allow_nan=False))
        return
    if csv == "-":
        return
    out, err = result_console(), side_console()
    if out.is_terminal:
        out.print(page(race, out.width, layers=layers))
        return
    print_tabbed(out, COLUMNS)
    for row in rows_of(race):
        print_tabbed(out, row)
    for line in (*remarks(race), sentence(race)):
        err.print(line, markup=False)
