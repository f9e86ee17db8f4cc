"""convbench ran: what did torch really run for a problem?"""

import json as json_module

import typer

from convbench.case import DTYPES, LAYOUTS, PRECISIONS, cases
from convbench.cli import options
from convbench.errors import ConvbenchError
from convbench.exit_codes import NOTHING
from convbench.system import require

EXAMPLE = "\b\nExample:\n  convbench ran resnet50:layer1.0.conv2 --dtype fp32,fp64"


@options.unfold
def ran(
    shape: options.Shape = None,
    *,
    sizes: options.Sizes,
    device: options.Devices = None,
    dtype: options.Dtypes = None,
    layout: options.Layouts = None,
    precision: options.Precisions = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Show what PyTorch really ran for a problem.

    The library and kernel that F.conv2d chose, by which rule, what it allocated, and whether it built the patch matrix:
    each with its evidence, for every combination of the options. Exit 3: nothing could be found out.
    """
    require("convbench ran")
    problem = sizes.problem(shape)
    wanted = list(
        cases(
            [problem],
            dtypes=options.choose("dtype", dtype, DTYPES, ("fp32",)),
            layouts=options.choose("layout", layout, LAYOUTS, ("nchw",)),
            precisions=options.choose("precision", precision, PRECISIONS, ("ieee",)),
            devices=options.choose_devices(device),
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
    if json:
        typer.echo(json_module.dumps({"ran": [record_ran(one) for one in found]}))
    else:
        draw_ran(found)
    if all(one.backend is None for one in found):
        raise typer.Exit(NOTHING)
