"""convbench verify --self-test: can the verifier be trusted?"""

import csv as csv_module
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

from convbench.case import LAYOUTS, Case
from convbench.cli import options
from convbench.cli.outputs import csv_file, tell
from convbench.cli.sweep import MOST_FAULTS_SHOWN
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING, RIGHT, WRONG

if TYPE_CHECKING:
    from convbench.verify.selftest.selftest import Finding, Judged

# Every product of a convolution is written out for some kernels: more would take gigabytes.
MOST_MACS = 10_000_000
# A process takes seconds to import torch: fewer cases are judged in this one.
CASES_WORTH_A_PROCESS = 30
TAKEN = frozenset("shape backend dtype layout seed threads csv overwrite".split())
TAKEN_ON_A_SUITE = frozenset(
    "suite match exclude backend dtype layout pass_ epilogue seed threads csv overwrite".split()
)


def self_test(choice: options.Choice, how: options.How, *, shapes: int | None, **others: object) -> NoReturn:
    """Run the verifier on kernels whose answer is known, on its own suite or on random shapes; exits with 0, 1 or 3.

    Args:
        choice: kernels of the self-test as backends, and what narrows the suite; with a shape, or a number of random
            ones, problems and their layouts in place of random ones.
        shapes: how many random shapes; None for the suite.
        others: the options of verify besides these, which it does not take.
    """
    on_a_suite = shapes is None and choice.shape is None
    taken = TAKEN_ON_A_SUITE if on_a_suite else TAKEN
    given = {**asdict(choice), **asdict(how), **others}
    if idle := [name for name, value in given.items() if name not in taken and value not in (None, False)]:
        options_given = ", ".join("--" + name.strip("_").replace("_", "-") for name in idle)
        instead = (
            "--backend, --suite, --match, --exclude, --dtype, --layout, --pass, --epilogue, --seed, --threads and --csv"
            if on_a_suite
            else "--shapes or --shape, --backend, --dtype, --layout, --seed, --threads and --csv"
        )
        raise ConvbenchError(
            f"--self-test brings its own kernels and does not take {options_given}; it takes {instead}"
        )
    shape, layout, csv = choice.shape, choice.layout, how.csv
    if shape is not None and shapes is not None:
        raise ConvbenchError(f"--shapes {shapes} and --shape: give a number of random shapes, or shapes; not both")
    if shapes is not None and layout is not None:
        raise ConvbenchError("--layout: random shapes draw a layout each; leave it out, or name shapes with --shape")
    if csv not in (None, "-") and not how.overwrite and Path(str(csv)).exists():
        raise ConvbenchError(f"{csv} exists; name another file, or replace it with --overwrite")

    threads = how.thread_counts()
    if len(threads) > 1:
        raise ConvbenchError(f"--threads {','.join(map(str, threads))}: --self-test takes one number, of processes")

    if on_a_suite:
        from convbench.cli.selftest_suite import try_suite

        raise typer.Exit(try_suite(choice, how))

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

    dtypes = options.choose("dtype", choice.dtype, DTYPES, DTYPES)
    kernels = choose_kernels(options.words(choice.backend))
    count = SHAPES if shapes is None else shapes
    cases = random_cases(count, seed=choice.seed, dtypes=dtypes) if shape is None else _given_cases(choice, dtypes)
    by_choice = shape is not None or (count, set(dtypes), len(kernels)) != (SHAPES, set(DTYPES), len(KERNELS))

    processes = set_threads(*threads)
    set_threads(1)  # in each process, so that a single case is computed as it was among many
    alone = processes == 1 or len(cases) < CASES_WORTH_A_PROCESS
    found = measure(cases, kernels) if alone else measure_with(processes, cases, kernels)
    with csv_file(csv) as file:
        judged = _follow(found, len(cases), file)
    finding = Finding.of(judged, by_choice=by_choice)
    _show(judged, finding, csv=csv)
    raise typer.Exit(NOTHING if finding.nothing else RIGHT if finding.met else WRONG)


def _given_cases(choice: options.Choice, dtypes: list[str]) -> list[Case]:
    from convbench.suites.choose import choose_problems

    given = choose_problems(None, options.listed_shapes(choice.shape), "awkward", given=("dtype",), tell=tell)
    for problem in given:
        if problem.spec.macs > MOST_MACS or problem.spec.n == 0:
            raise ConvbenchError(
                f"{problem.name}: {problem.spec.macs:,} multiply-adds; --self-test takes 1 to {MOST_MACS:,}, for it "
                f"writes every product out; try a smaller shape"
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
