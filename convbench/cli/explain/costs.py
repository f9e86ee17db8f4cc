"""explain --ledger and --model: what does a convolution cost, and what do all those of a model cost?"""

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from convbench.cli.options import Words, words
from convbench.cli.outputs import check_outputs, tell, write
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING, WRONG
from convbench.spec import ConvSpec

if TYPE_CHECKING:
    from convbench.models.costs import ModelCosts


def show_ledger(spec: ConvSpec, *, as_json: bool) -> None:
    """Print the ledger; exit with 1 where one of its figures does not hold."""
    from convbench.explain.ledger import Ledger, ask_tools, check_ledger, not_installed
    from convbench.show.ledger import print_ledger, record

    ledger = Ledger(spec=spec)
    checks = check_ledger(ledger)
    if failed := [one for one in checks if not one.holds]:
        for one in failed:
            tell(f"{one.name}: {one.expected:,} by the ledger, {one.found:,} by {one.by}")
        raise typer.Exit(WRONG)
    counts = ask_tools(ledger)
    if as_json:
        typer.echo(json.dumps(record(ledger, checks, counts)))
    else:
        print_ledger(ledger, checks, counts, not_installed())


def show_model(model: str, *, inputs: Words, csv: str | None, overwrite: bool, timed: bool, as_json: bool) -> None:
    """Print the table of a model and write its suite; exit with 3 where there is no convolution."""
    if csv == "-" and as_json:
        raise ConvbenchError("--csv - --json: both would go to stdout; name a file for the suite")
    if csv not in (None, "-") and Path(csv).suffix != ".csv":
        raise ConvbenchError(f"--csv {csv}: a suite is a FILE.csv, so that bench and verify know it as one")
    check_outputs({"--csv": csv}, overwrite=overwrite)
    costs = _measure(model, inputs, timed=timed)
    if csv is not None:
        _write(costs, csv, overwrite=overwrite)
    if as_json:
        from convbench.show.models import record

        typer.echo(json.dumps(record(costs)))
    elif csv != "-":
        from convbench.show.models import print_model

        print_model(costs)
    if not costs.census.calls:
        tell(f"{model} runs no convolution on this input")
        raise typer.Exit(NOTHING)


def _say_what_comes(model: str) -> None:
    """Shares of time mean little on a busy machine, and take a while."""
    from convbench.bench.doctor import warning

    tell(warning())
    if sys.stderr.isatty():
        tell(f"{model}: one pass for its shapes, several for shares of time (30 s at most), then what each runs")


def _measure(model: str, inputs: Words, *, timed: bool) -> "ModelCosts":
    from convbench.models.costs import measure, parse_inputs
    from convbench.ran.of_model import watch_what_ran

    shapes = None if inputs is None else parse_inputs(",".join(words(inputs)))
    if model.lower().endswith(".onnx"):
        from convbench.models.onnx_file import measure_onnx

        return watch_what_ran(measure_onnx(Path(model), shapes))
    from convbench.models.load import find_model

    found = find_model(model)
    if timed:
        _say_what_comes(model)
    return watch_what_ran(measure(found, shapes, timed=timed))


def _write(costs: "ModelCosts", csv: str, *, overwrite: bool) -> None:
    from convbench.show.models import write_suite

    if not costs.problems:
        tell(f"no suite is written: {costs.model} runs no plain 2-D convolution")
        return
    text = io.StringIO()
    write_suite(costs, text)
    write(csv, text.getvalue(), overwrite=overwrite)
    if csv == "-":
        return
    left_out = sum(costs.others.values())
    rest = f"; {left_out} that bench and verify do not take are left out" if left_out else ""
    tell(f"{len(costs.problems)} problems in {csv}{rest}: convbench bench --suite {csv}")
