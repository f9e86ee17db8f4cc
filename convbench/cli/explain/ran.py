"""convbench explain --ran: what torch really ran for a problem."""

import json

import typer

from convbench.case import DTYPES, LAYOUTS, PRECISIONS, Problem, cases
from convbench.cli.options import Words, choose, choose_devices
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING
from convbench.system import require


def show_what_ran(
    problem: Problem,
    *,
    devices: Words,
    dtypes: Words,
    layouts: Words,
    precisions: Words,
    threads: int,
    as_json: bool,
) -> None:
    """Print it for every combination; exit 3 where nothing could be found out.

    Raises:
        ConvbenchError: there is no such combination, or this system cannot tell.
    """
    require("explain --ran")
    wanted = list(
        cases(
            [problem],
            dtypes=choose("dtype", dtypes, DTYPES, ("fp32",)),
            layouts=choose("layout", layouts, LAYOUTS, ("nchw",)),
            precisions=choose("precision", precisions, PRECISIONS, ("ieee",)),
            devices=choose_devices(devices),
        )
    )
    for case in wanted:
        if case.why_not:
            raise ConvbenchError(f"{case.flags()}: {case.why_not}")

    from convbench.ran.seen import Ran
    from convbench.ran.watch import watch
    from convbench.show.ran import draw_ran, record_ran

    calls = [
        Ran.blank(case.spec, dtype=case.dtype, layout=case.layout, precision=case.precision, device=case.device)
        for case in wanted
    ]
    found = watch(calls, threads=threads)
    if as_json:
        typer.echo(json.dumps({"ran": [record_ran(one) for one in found]}))
    else:
        draw_ran(found)
    if all(one.backend is None for one in found):
        raise typer.Exit(NOTHING)
