"""convbench ceilings: how fast could this machine be, and who says so?"""

import json as json_text
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convbench.case import DTYPES, PRECISIONS
from convbench.cli import options
from convbench.cli.outputs import tell
from convbench.device import find_device
from convbench.exit_codes import NOTHING, RIGHT

if TYPE_CHECKING:
    from convbench.ceilings.gather import Prober
    from convbench.ceilings.roofline import Ceilings, Kind

EXAMPLE = "\b\nExample:\n  convbench ceilings --dtype fp32 --threads 1"
PROBES = (
    "llvm: loops that convbench compiles for this CPU; fma: fused multiply-adds in registers; past the cache: stores "
    "that bypass the caches (non-temporal); launch overhead: the cheapest call of an operator or kernel"
)
COLUMNS = "device threads dtype precision kind nbytes probe per_second best time reason".split()


def ceilings(
    device: options.Devices = None,
    dtype: options.Dtypes = None,
    precision: options.Precisions = None,
    threads: options.Threads = 0,
    refresh: Annotated[bool, typer.Option("--refresh", help="Discard the cached readings and measure again.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the peak speeds of this machine.

    `bench` compares its timings with them. This measures operations per second (matrix products, convolutions, and
    multiply-adds in registers), bytes per second (each level of memory), and launch overhead (the cheapest call). The
    best reading of each is the peak (for launch overhead, the lowest). Readings are cached per machine, library
    versions and thread count.
    """
    from convbench.ceilings.known import make_prober
    from convbench.session import set_threads

    devices = options.choose_devices(device)
    dtypes = options.choose("dtype", dtype, DTYPES, ("fp32",))
    precisions = options.choose("precision", precision, PRECISIONS, ("ieee",))
    set_threads(threads)
    kinds = [
        (device, dtype, precision)
        for device in devices
        for dtype in dtypes
        for precision in precisions
        if precision == "ieee" or (dtype == "fp32" and find_device(device).tensor_cores)
    ]
    if not kinds:
        tell("TF32 is for fp32 on cuda only; nothing was measured")
        raise typer.Exit(NOTHING)
    prober = make_prober(tell)
    found = {kind: prober.ceilings(kind, refresh=refresh) for kind in kinds}
    if json:
        typer.echo(json_text.dumps([_as_data(prober, kind, one) for kind, one in found.items()], indent=1))
    else:
        _show(prober, found)
    raise typer.Exit(RIGHT if all(found.values()) else NOTHING)


def _rows(prober: "Prober", kind: "Kind") -> list[list[str | float | None]]:
    """One row for each probe, the ones that did not run with their reason."""
    device, dtype, precision = kind
    ledger, rows = prober.ledger(device), []
    for name, group, nbytes in prober.groups(kind):
        best = ledger.best(group)
        where = [device, str(prober.threads) if find_device(device).on_host else "", dtype, precision, name, nbytes]
        readings = sorted(ledger.readings.get(group, {}).items(), key=lambda pair: -pair[1].rate)
        rows += [
            [*where, probe, reading.rate, "yes" if best and probe == best[0] else "", reading.time, ""]
            for probe, reading in readings
        ]
        rows += [[*where, probe, None, "", "", reason] for probe, reason in ledger.missing.get(group, {}).items()]
    return rows


def _as_data(prober: "Prober", kind: "Kind", found: "Ceilings | None") -> dict[str, Any]:
    from dataclasses import asdict

    rows = [dict(zip(COLUMNS, row, strict=True)) for row in _rows(prober, kind)]
    return {
        "fingerprint": prober.facts(kind[0]),
        "dtype": kind[1],
        "precision": kind[2],
        "ceilings": None if found is None else asdict(found),
        "probes": [
            {key: row[key] for key in ("kind", "nbytes", "probe", "per_second", "time", "reason")} for row in rows
        ],
    }


def _show(prober: "Prober", found: "dict[Kind, Ceilings | None]") -> None:
    from convbench.errors import plural
    from convbench.show.ceilings import ceiling_table
    from convbench.show.console import print_tabbed, result_console

    console = result_console()
    if not console.is_terminal:
        print_tabbed(console, COLUMNS)
        for kind in found:
            for row in _rows(prober, kind):
                print_tabbed(console, row)
        return
    for kind in found:
        facts = prober.facts(kind[0])
        where = f"{facts['cpu']}, {plural(prober.threads, 'thread')}" if find_device(kind[0]).on_host else facts["gpu"]
        console.print(ceiling_table(f"{' '.join(kind)}  ({where})", [row[4:] for row in _rows(prober, kind)]))
    console.print(PROBES, style="dim", markup=False)
    path = prober.cache.path(prober.facts(next(iter(found))[0]))
    kept = f"cached in {path}" if prober.saved and path is not None else "not cached: the folder cannot be written"
    console.print(kept, style="dim", markup=False, soft_wrap=True)  # a path is copied whole
    console.print("--refresh measures again", style="dim", markup=False)
