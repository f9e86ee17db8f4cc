"""convbench list: which backends, suites and devices are there, and if not, why not?"""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from convbench.cli import options, values
from convbench.cli.help import Command
from convbench.cli.outputs import tell
from convbench.device import KINDS, find_device

# Suites of which each row has a purpose of its own.
OWN = {
    "awkward": "shapes that break implementations, each with a dtype and a layout (docs/verification.md)",
    "edge": "cases that broke other libraries (docs/edge-cases.md)",
    "edge_large": "the cases of edge that take minutes and about 100 GiB",
    "quick": "the worked example, and one layer of each common kind",
}
SENTENCE = 50  # columns that a sentence needs to be readable

app = typer.Typer(cls=values.PlainGroup, help="List what is available, and why something is not.")


@app.command(cls=Command, epilog="\b\nExample:\n  convbench list backends")
def backends(plugin: options.Plugins = None) -> None:
    """List the backends, and why one is not available.

    Shipped and installed backends are only looked up, not imported. A --plugin file is imported, on Linux in a process
    of its own.
    """
    from convbench.discovery import sources
    from convbench.workers.probe import load_others

    rows = []
    for source in sources():
        reasons = [f"No module named {name!r}" for name in source.missing]
        lacking = [find_device(kind).lacks() for kind in source.devices]
        reasons += lacking if len(lacking) == 1 and all(lacking) else []
        reasons += ["convbench has a backend of that name"] if source.shadowed else []
        available = "; ".join(reasons) or ("only if named with --backend" if source.on_request else "yes")
        rows.append((source.name, source.family, " ".join(source.devices), available, source.doc))
    loaded, _ = load_others((), options.words(plugin))()
    rows += [(one.name, one.family, " ".join(sorted(one.devices)), "yes", one.doc) for one in loaded]
    show_table(("backend", "family", "devices", "available", "what it is"), rows)


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
        show_table(("row", "problem", "count", "each", *more, "source or purpose"), rows)
        return
    whole = []
    for name in suite_names():
        problems = load_suite(name)
        flops = sum(problem.spec.flops * problem.count for problem in problems)
        whole.append((name, str(len(problems)), amount(flops, "FLOP"), OWN.get(name, problems[0].source)))
    show_table(("suite", "problems", "all layers", "source"), whole)


@app.command(cls=Command, epilog="\b\nExample:\n  convbench list devices")
def devices() -> None:
    """List the CPU and the GPUs, with their libraries."""
    import torch

    from convbench.machine import cpu_name, this_machine

    facts, count = this_machine(), torch.get_num_threads()
    cpu = (cpu_name(), "yes", f"torch {facts.torch}, oneDNN {facts.onednn}, {count} thread{'' if count == 1 else 's'}")
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


def show_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, prose: int = 1) -> None:
    """A table on a terminal, lines of cells separated by tabs in a pipe.

    Where the whole table has no room, each row takes two lines or more: the columns that fit, and the others below.

    Args:
        columns: their headings.
        rows: the cells of each.
        prose: so many of the last columns are sentences, which may be wrapped.
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
    if sum(widths[:-prose]) + min(sum(widths[-prose:]), SENTENCE) + 2 * len(widths) > console.width:
        fits = next((n for n in range(len(columns) - 1, 0, -1) if sum(widths[:n]) + 2 * n <= console.width), 1)
        for place, row in enumerate((columns, *rows)):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row[:fits], widths, strict=False)).rstrip()
            heading = Text(line, "dim" if place == 0 else "")
            heading.stylize("" if place == 0 else "bold", 0, len(row[0]))
            console.print(heading)
            if below := Text("  ".join(filter(None, row[fits:])), "dim"):
                console.print(Padding(below, (0, 0, 0, 4), expand=False))
        return
    table = plain_table()
    for number, column in enumerate(columns):
        numbers = bool(rows) and all(row[number].isdecimal() for row in rows)
        justify: Literal["left", "right"] = "right" if numbers else "left"
        table.add_column(column, overflow="fold", no_wrap=number < len(columns) - prose, justify=justify)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
