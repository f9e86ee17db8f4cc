"""convbench selftest: can the verifier be trusted?"""

import csv as csv_module
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from convbench.case import LAYOUTS, Case
from convbench.cli import options
from convbench.cli.outputs import Remarks, check_outputs, csv_file
from convbench.cli.selftest_suite import SelfTestChoice, try_suite
from convbench.cli.sweep import MOST_FAULTS_SHOWN
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING, RIGHT, WRONG

if TYPE_CHECKING:
    from convbench.verify.selftest.selftest import Finding, Judged

EXAMPLE = """\b
Examples:
  convbench selftest
  convbench selftest --shapes 5 --backend tap-missing,kahan
"""
# Every product of a convolution is stored for some kernels: more would take gigabytes.
MOST_MACS = 10_000_000
# A process takes seconds to import torch: fewer cases are judged in this one.
CASES_WORTH_A_PROCESS = 30
ON_A_SUITE = ("suite", "match", "exclude", "pass_", "epilogue")


@options.unfold
def selftest(
    choice: SelfTestChoice,
    shape: options.Shapes = None,
    shapes: Annotated[
        int | None,
        typer.Option("--shapes", metavar="N", min=1, help="N random shapes instead of a suite.", show_default=False),
    ] = None,
    *,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", metavar="N", min=0, help="Processes to run in parallel; 0: as many as torch has threads."
        ),
    ] = 0,
    csv: options.Csv = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Test the verifier on planted bugs and correct kernels.

    At least 97 % of the bugs must be found and 80 % of the faults diagnosed, no diagnosis may be wrong, and every
    correct kernel must pass. The default suite is that of `verify`. With --shapes or --shape, 99.9 % of the bugs must
    be found, none is diagnosed, and the tolerances of other libraries are tried on the same kernels.

    Exit 1: a requirement was not met; 3: nothing was tested.
    """
    on_a_suite = shape is None and shapes is None
    if not on_a_suite and (idle := [name for name in ON_A_SUITE if getattr(choice, name) is not None]):
        given = ", ".join("--" + name.strip("_") for name in idle)
        raise ConvbenchError(
            f"{given} cannot be combined with --{'shapes' if shape is None else 'shape'}, which takes --backend, "
            f"--dtype, --layout, --seed, --threads and --csv"
        )
    if shape is not None and shapes is not None:
        raise ConvbenchError(f"--shapes {shapes} and --shape: give a number of random shapes, or shapes; not both")
    if shapes is not None and choice.layout is not None:
        raise ConvbenchError("--layout: random shapes draw a layout each; leave it out, or name shapes with --shape")
    check_outputs({"--csv": csv}, overwrite=overwrite)
    if on_a_suite:
        raise typer.Exit(try_suite(choice, threads=threads, csv=csv, overwrite=overwrite))

    from convbench.session import set_threads
    from convbench.verify.selftest.kernels import DTYPES
    from convbench.verify.selftest.selftest import (
        KERNELS,
        SHAPES,
        Finding,
        choose_kernels,
        measure,
        measure_with,
        random_cases,
    )

    with Remarks() as remarks:
        dtypes = options.choose("dtype", choice.dtype, DTYPES, DTYPES)
        kernels = choose_kernels(options.words(choice.backend))
        if shapes is not None:
            cases = random_cases(shapes, seed=choice.seed, dtypes=dtypes)
        else:
            cases = _given_cases(shape, choice, dtypes, remarks)
        processes = set_threads(threads)
    by_choice = (shapes, set(dtypes), len(kernels)) != (SHAPES, set(DTYPES), len(KERNELS))

    set_threads(1)  # in each process, so that a single case is computed as it was among many
    alone = processes == 1 or len(cases) < CASES_WORTH_A_PROCESS
    found = measure(cases, kernels) if alone else measure_with(processes, cases, kernels)
    with csv_file(csv, overwrite=overwrite) as file:
        judged = _follow(found, len(cases), file)
    finding = Finding.of(judged, by_choice=by_choice)
    _show(judged, finding, csv=csv)
    raise typer.Exit(NOTHING if finding.nothing else RIGHT if finding.met else WRONG)


def _given_cases(shape: options.Words, choice: SelfTestChoice, dtypes: list[str], remarks: Remarks) -> list[Case]:
    from convbench.suites.choose import choose_problems

    given = choose_problems(None, options.listed_shapes(shape), "awkward", given=("dtype",), tell=remarks)
    for problem in given:
        if problem.spec.macs > MOST_MACS or problem.spec.n == 0:
            raise ConvbenchError(
                f"{problem.name}: {problem.spec.macs:,} multiply-adds; selftest takes 1 to {MOST_MACS:,}, because it "
                f"stores every product; try a smaller shape"
            )
    layouts = options.choose("layout", choice.layout, LAYOUTS, ("nchw",))
    return [
        Case(problem=problem, dtype=dtype, layout=one, seed=choice.seed)
        for problem in given
        for dtype in dtypes
        for one in layouts
    ]


def _follow(found: "Iterator[list[Judged]]", total: int, file: TextIO | None) -> "list[Judged]":
    """Everything as it comes, into the file as well."""
    from rich.progress import track

    from convbench.show.console import side_console
    from convbench.show.selftest import CSV_COLUMNS, csv_row

    writer = None if file is None else csv_module.writer(file, lineterminator="\n")
    if writer is not None:
        writer.writerow(CSV_COLUMNS)
    console, judged = side_console(), []
    for some in track(
        found, "", total=total, console=console, transient=True, disable=not console.is_terminal, auto_refresh=False
    ):
        judged += some
        if writer is not None and file is not None:
            writer.writerows(map(csv_row, some))
            file.flush()
    return judged


def _show(judged: "list[Judged]", finding: "Finding", *, csv: str | None) -> None:
    from convbench.machine import this_machine
    from convbench.show.console import print_tabbed, result_console, side_console
    from convbench.show.selftest import COLUMNS, fault_lines, headline, remarks, selftest_rows, selftest_tables

    out, words = result_console(), side_console()
    if csv != "-" and out.is_terminal:
        words = out
        for part in selftest_tables(judged, width=out.width):
            out.print(part)
    elif csv != "-":
        print_tabbed(out, COLUMNS)
        for row in selftest_rows(judged):
            print_tabbed(out, row)
    faults = [one for one in judged if one.fault]
    for one in faults[:MOST_FAULTS_SHOWN]:
        for line in fault_lines(one):
            words.print(line, markup=False, soft_wrap=True)
    if len(faults) > MOST_FAULTS_SHOWN:
        words.print(f"... and {len(faults) - MOST_FAULTS_SHOWN:,} more; --csv lists every run", markup=False)
    for line in remarks(finding):
        words.print(line, style="dim", markup=False)
    facts = this_machine()
    words.print(f"{headline(finding)}  ({facts.cpu}, torch {facts.torch})", style="bold", markup=False)
