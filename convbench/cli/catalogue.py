"""convbench list: which backends, suites and devices are there, and if not, why not?"""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from convbench.cli import options, values
from convbench.cli.help import Command
from convbench.cli.outputs import tell
from convbench.device import KINDS, find_device

SENTENCE, SOME = 50, 12  # columns that a sentence needs to be readable, and a source to be recognised

app = typer.Typer(cls=values.PlainGroup, help="List what is available, and why something is not.")


@app.command(cls=Command, epilog="\b\nExample:\n  convbench list backends")
def backends(plugin: options.Plugins = None) -> None:
    """List the backends, and why one is not available.

    No backend is imported; plug-ins run in their own process.
    """
    from convbench.discovery import sources
    from convbench.workers.probe import load_others

    rows = []
    for source in sources():
        reasons = [f"No module named {name!r}" for name in source.missing]
        lacking = [find_device(kind).lacks() for kind in source.devices]
        reasons += lacking if len(lacking) == 1 and all(lacking) else []
        reasons += ["convbench has a backend of that name"] if source.shadowed else []
        available = "; ".join(reasons) or ("yes, when named" if source.on_request else "yes")
        rows.append((source.name, source.family, " ".join(source.devices), available, source.doc))
    loaded, _ = load_others((), options.words(plugin))()
    rows += [(one.name, one.family, " ".join(sorted(one.devices)), "yes", one.doc) for one in loaded]
    show_table(("backend", "family", "devices", "available", "what it is"), rows, last_below=True)


@app.command(cls=Command, epilog="\b\nExamples:\n  convbench list suites\n  convbench list suites resnet50")
def suites(
    suite: Annotated[str | None, typer.Argument(metavar="SUITE", help="List the rows of this suite or file.")] = None,
) -> None:
    """List the shipped suites and their sources."""
    from convbench.show.units import amount
    from convbench.suites import load_suite, read_suite, suite_names
    from convbench.suites.choose import left_out_remarks

    if suite is not None:
        reading = read_suite(suite)
        for remark in left_out_remarks(reading.left_out):
            tell(remark)
        passes = any(one.pass_ is not None for one in reading.problems)
        timed = any(one.logged_s is not None for one in reading.problems)
        rows = [
            (
                one.name,
                str(one.spec),
                str(one.count),
                amount(one.spec.flops, "FLOP"),
                *((one.pass_ or "",) if passes else ()),
                *(("" if one.logged_s is None else f"{one.logged_s:.4g}",) if timed else ()),
                one.source,
            )
            for one in reading.problems
        ]
        more = (*(("pass",) if passes else ()), *(("logged_s",) if timed else ()))
        columns = ("row", "problem", "count", "each", *more, "source")
        show_table(columns, rows, cut_last=True)
        return
    whole = []
    for name in suite_names():
        problems = load_suite(name)
        flops = sum(problem.spec.flops * problem.count for problem in problems)
        whole.append((name, str(len(problems)), amount(flops, "FLOP"), problems[0].source))
    show_table(("suite", "problems", "all layers", "source of the first row"), whole, cut_last=True)


@app.command(cls=Command, epilog="\b\nExample:\n  convbench list devices")
def devices() -> None:
    """List the CPU and the GPUs, with their libraries."""
    import torch

    from convbench.machine import cpu_name, this_machine

    facts = this_machine()
    cpu = (cpu_name(), "yes", f"torch {facts.torch}, oneDNN {facts.onednn}, {torch.get_num_threads()} threads")
    rows = []
    for kind in KINDS.values():
        found = kind.present()
        if not found:
            rows.append((kind.kind, "", kind().why_absent() or "", ""))
        for one in found:
            own = one.facts()
            template = "{cuda}, {cudnn}" if own.get("cuda", "").startswith("ROCm") else "CUDA {cuda}, cuDNN {cudnn}"
            libraries = f"driver {{driver}}, {template}".format_map(own) if own else ""
            rows.append((one.name, *cpu) if one.on_host else (one.name, own["gpu"], "yes", libraries))
    show_table(("device", "name", "available", "with"), rows)


def show_table(
    columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, cut_last: bool = False, last_below: bool = False
) -> None:
    """A table on a terminal, lines of cells separated by tabs in a pipe.

    Args:
        columns: their headings.
        rows: the cells of each.
        cut_last: the last column is cut where it has no room, and left out where it has next to none.
        last_below: the last column, of whole sentences, is a line of its own where it has little room.
    """
    from rich.padding import Padding
    from rich.text import Text

    from convbench.show.console import print_tabbed, result_console
    from convbench.show.tables import plain_table

    console = result_console()
    if not console.is_terminal:
        for row in (columns, *rows):
            print_tabbed(console, row)
        return
    widths = [max(len(row[number]) for row in (columns, *rows)) for number in range(len(columns))]
    room = console.width - sum(width + 2 for width in widths[:-1]) - 2
    if last_below and room < SENTENCE:
        for row in rows:
            heading = Text("  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)).rstrip())
            heading.stylize("bold", 0, len(row[0]))
            console.print(heading, Padding(Text(row[-1], "dim"), (0, 0, 0, 4)))
        return
    if cut_last and room < min(widths[-1], SOME):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    elif cut_last:
        rows = [(*row[:-1], row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…") for row in rows]
    table = plain_table()
    for number, column in enumerate(columns):
        numbers = bool(rows) and all(row[number].isdecimal() for row in rows)
        justify: Literal["left", "right"] = "right" if numbers else "left"
        table.add_column(column, overflow="fold", no_wrap=number == 0 or cut_last, justify=justify)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
