"""convbench cost: what does a convolution cost in every unit, and who counts it how?"""

import json as json_module

import typer

from convbench.cli import options
from convbench.cli.outputs import tell
from convbench.exit_codes import WRONG

EXAMPLE = "\b\nExample:\n  convbench cost resnet50:conv1"


@options.unfold
def cost(shape: options.Shape = None, *, sizes: options.Sizes, json: options.Json = False) -> None:
    """Count what a convolution costs, in MACs, FLOPs and bytes.

    With and without padding, next to what other tools count. Exit 1: a figure failed its check.
    """
    from convbench.explain.ledger import Ledger, ask_tools, check_ledger, not_installed
    from convbench.show.ledger import print_ledger, record

    ledger = Ledger(spec=sizes.problem(shape).spec)
    checks = check_ledger(ledger)
    if failed := [one for one in checks if not one.holds]:
        for one in failed:
            tell(f"{one.name}: {one.expected:,} by arithmetic, {one.found:,} by {one.by}")
        raise typer.Exit(WRONG)
    counts = ask_tools(ledger)
    if json:
        typer.echo(json_module.dumps(record(ledger, checks, counts)))
    else:
        print_ledger(ledger, checks, counts, not_installed())
