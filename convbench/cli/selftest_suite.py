"""convbench selftest on a suite: what does the default command of verify find, name and accuse?"""

import csv as csv_module
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.case import EPILOGUES, PASSES
from convbench.cli import options
from convbench.cli.outputs import Remarks, csv_file
from convbench.cli.sweep import MOST_FAULTS_SHOWN
from convbench.exit_codes import NOTHING, RIGHT, WRONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convbench.case import Case
    from convbench.verify.selftest.kernels import Kernel
    from convbench.verify.selftest.suite import Tried

KERNELS_WORTH_A_PROCESS = 8  # a process takes seconds to import torch


@dataclass(frozen=True, kw_only=True)
class SelfTestChoice:
    """Which kernels of the self-test are tried, and what narrows the cases."""

    suite: options.Suites = None
    match: options.Match = None
    exclude: options.Exclude = None
    backend: Annotated[
        options.Words, typer.Option("--backend", metavar="NAME,...", help="Kernels of the self-test. Default: all.")
    ] = None
    dtype: options.Dtypes = None
    layout: options.Layouts = None
    pass_: Annotated[
        options.Words, typer.Option("--pass", metavar="NAME,...", help=f"{', '.join(PASSES)}. Default: all.")
    ] = None
    epilogue: Annotated[
        options.Words, typer.Option("--epilogue", metavar="NAME,...", help=f"{', '.join(EPILOGUES)}. Default: all.")
    ] = None
    seed: options.Seed = 0


def try_suite(choice: SelfTestChoice, *, threads: int, csv: str | None, overwrite: bool) -> int:
    """Try the catalogue on the cases of the default command, or of what narrows it; the exit code."""
    from convbench.session import set_threads
    from convbench.verify.selftest.selftest import choose_kernels
    from convbench.verify.selftest.suite import CATALOGUE, Tally, try_kernels, try_with

    with Remarks() as remarks:
        kernels = choose_kernels(options.words(choice.backend), CATALOGUE)
        plan = plan_for(kernels, choice, remarks)
        processes = set_threads(threads)
    set_threads(1)  # in each process, so that a single kernel is tried as it was among many
    alone = processes == 1 or len(kernels) < KERNELS_WORTH_A_PROCESS
    with csv_file(csv, overwrite=overwrite) as file:
        tried = _follow(try_kernels(plan) if alone else try_with(processes, plan), len(plan))
        if file is not None:
            from convbench.show.selftest_suite import CSV_COLUMNS, csv_row

            writer = csv_module.writer(file, lineterminator="\n")
            writer.writerow(CSV_COLUMNS)
            writer.writerows(map(csv_row, tried))
    narrowed = (choice.suite, choice.match, choice.exclude, choice.dtype, choice.layout, choice.pass_, choice.epilogue)
    by_choice = len(kernels) < len(CATALOGUE) or any(one is not None for one in narrowed)
    _show(tried, csv=csv, by_choice=by_choice)

    tally = Tally.of(tried)
    return NOTHING if tally.nothing else RIGHT if tally.met(by_choice=by_choice) else WRONG


def plan_for(
    kernels: "Sequence[Kernel]", choice: SelfTestChoice, tell: "Callable[[str], None]"
) -> "list[tuple[Case, list[Kernel]]]":
    """The cases on which the default command tries these kernels, each with those that it is for."""
    from convbench.selection import FOR_VERIFY, bring, select
    from convbench.verify.selftest.kernels import as_backend

    alike: dict[tuple[tuple[str, ...], ...], list[Kernel]] = {}  # that bring the same passes and epilogues
    for kernel in kernels:
        alike.setdefault(tuple(map(tuple, bring([as_backend(kernel)]))), []).append(kernel)
    plan: dict[Case, list[Kernel]] = {}
    for _, group in sorted(alike.items(), key=lambda one: -sum(map(len, one[0]))):
        selection = select(
            suites=None if choice.suite is None else options.words(choice.suite),
            match=choice.match,
            exclude=choice.exclude,
            backends=[as_backend(group[0])],
            dtypes=None if choice.dtype is None else options.words(choice.dtype),
            layouts=None if choice.layout is None else options.words(choice.layout),
            passes=None if choice.pass_ is None else options.words(choice.pass_),
            epilogues=None if choice.epilogue is None else options.words(choice.epilogue),
            seed=choice.seed,
            defaults=FOR_VERIFY,
            tell=tell,
        )
        for case in selection.cases:
            plan.setdefault(case, []).extend(group)
    return list(plan.items())


def _follow(found: "Iterator[list[Tried]]", total: int) -> "list[Tried]":
    """What came of every kernel in the end."""
    from rich.progress import track

    from convbench.show.console import side_console

    console, tried = side_console(), []
    for so_far in track(
        found, "", total=total, console=console, transient=True, disable=not console.is_terminal, auto_refresh=False
    ):
        tried = so_far
    return tried


def _show(tried: "Sequence[Tried]", *, csv: str | None, by_choice: bool) -> None:
    from convbench.machine import this_machine
    from convbench.show.console import print_tabbed, result_console, side_console
    from convbench.show.selftest_suite import COLUMNS, suite_headline, suite_lines, suite_rows, suite_tables

    out, console = result_console(), side_console()
    if csv != "-" and out.is_terminal:
        console = out
        for part in suite_tables(tried):
            out.print(part)
    elif csv != "-":
        print_tabbed(out, COLUMNS)
        for row in suite_rows(tried):
            print_tabbed(out, row)
    told = suite_lines(tried)
    for lines in told[:MOST_FAULTS_SHOWN]:
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)
    if len(told) > MOST_FAULTS_SHOWN:
        console.print(f"... and {len(told) - MOST_FAULTS_SHOWN:,} more; --csv lists every kernel", markup=False)
    facts = this_machine()
    where = f"({facts.cpu}, torch {facts.torch})"
    answer = f"{suite_headline(tried, by_choice=by_choice)}  {where}"
    console.print(answer, style="bold", markup=False, soft_wrap=not console.is_terminal)
