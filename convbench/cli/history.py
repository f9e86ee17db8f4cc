"""convbench history: how did the times of a problem change over the kept runs?"""

import json as json_module
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.completion import backends, listed, shapes
from convbench.cli.outputs import Remarks
from convbench.errors import ConvbenchError, NothingSelected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from convbench.history import HistoryRun
    from convbench.outcome import Result

EXAMPLE = "\b\nExample:\n  convbench history resnet50:conv1 --backend torch,onednn"
MARGIN = "1.5%"


def history(
    shape: Annotated[
        str,
        typer.Argument(
            metavar="SHAPE",
            help="The problem, such as n1c64h56w56k64r3s3_pd1, or SUITE:ROW as in the kept runs, or SUITE: (with the "
            "colon) for all its rows.",
            autocompletion=listed(shapes),
        ),
    ],
    backend: Annotated[
        options.Words,
        typer.Option("--backend", metavar="NAME,...", help="Only these backends.", autocompletion=listed(backends)),
    ] = None,
    margin: Annotated[
        str, typer.Option("--margin", metavar="FRACTION", help="Smaller changes do not count, as 1.5% or 0.015.")
    ] = MARGIN,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="FRACTION", help="Joint confidence of all changes.")
    ] = 0.99,
    relative: Annotated[
        bool, typer.Option("--relative", help="Follow ratios to torch: cancels drift, hides a change in torch.")
    ] = False,
    across: Annotated[bool, typer.Option("--across", help="Follow runs of different machines anyway.")] = False,
    json: options.Json = False,
) -> None:
    """Follow a problem over kept runs, and find where it changed.

    A sparkline for each backend, and each run in which it got faster or slower. The runs are those of bench --keep in
    .convbench/, in order of time. Each is compared with the first runs since the last change, with the same
    statistics as convbench compare. Runs from a machine other than that of the newest run are left out.

    Exit 3: no kept run has this problem.
    """
    from convbench.compare import Gate
    from convbench.history import HistoryRun, one_machine
    from convbench.history import history as find_history
    from convbench.kept import FOLDER, kept_runs
    from convbench.show.console import print_tabbed, result_console, side_console
    from convbench.show.history import COLUMNS, history_rows, history_table, method
    from convbench.store import read_pairs

    if not 0.5 <= confidence < 1:
        raise ConvbenchError(f"--confidence {confidence}: give a fraction from 0.5 to below 1; try --confidence 0.99")
    gate = Gate(confidence=confidence, margin=options.fraction("--margin", margin), relative=relative)
    chosen = None if backend is None else options.words(backend)
    with Remarks() as remarks:
        found = kept_runs(remarks)
        if not found:
            raise NothingSelected(f"{FOLDER}/ has no kept run; keep one with convbench bench --keep NAME")
        runs = [HistoryRun(name=one.name, time=one.time, pairs=read_pairs(one.path, tell=remarks)) for one in found]
        if not across:
            runs, left_out = one_machine(runs)
            for name, words in left_out.items():
                remarks(f"left out: {name}, not from the machine of the newest run: {words} (--across)")
        same = _matching(shape, runs)
        series = find_history(
            runs,
            wanted=lambda result: same(result) and (chosen is None or result.backend in chosen),
            gate=gate,
        )
        if not series:
            of = f" by {', '.join(chosen)}" if chosen else ""
            raise NothingSelected(f"no kept run has {shape}{of}; convbench report NAME shows what a run has")
    out, err = result_console(), side_console()
    if json:
        rows = [dict(zip(COLUMNS, map(_plain, row), strict=True)) for row in history_rows(series)]
        typer.echo(json_module.dumps({"command": "history", "rows": rows}, indent=1, allow_nan=False))
    elif out.is_terminal:
        out.print(history_table(series, relative=relative, width=out.width))
    else:
        print_tabbed(out, COLUMNS)
        for row in history_rows(series):
            print_tabbed(out, row)
    whole = out if out.is_terminal and not json else err
    whole.print(method(gate, len(runs), found=series), style="dim", markup=False)


def _matching(shape: str, runs: "Sequence[HistoryRun]") -> "Callable[[Result], bool]":
    """Whether a result is of this problem: by the name it has in the kept runs, otherwise by its sizes."""
    from convbench.suites import find_problem

    names = {f"{one.case.problem.suite}:{one.case.problem.name}" for run in runs for _, one in run.pairs}
    if shape in names:
        return lambda one: f"{one.case.problem.suite}:{one.case.problem.name}" == shape
    if shape.endswith(":") and any(name.startswith(shape) for name in names):
        return lambda one: f"{one.case.problem.suite}:" == shape
    problem = find_problem(shape)
    return lambda one: one.case.problem.text == problem.text


def _plain(cell: str | float | None) -> str | float | None:
    return None if isinstance(cell, float) and not isfinite(cell) else cell
