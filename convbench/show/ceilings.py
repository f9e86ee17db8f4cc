"""Ceilings as a table: each probe with its reading, the highest of a kind first."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.show.tables import plain_table
from convbench.show.units import amount, seconds

LIMITS = {"call": "launch overhead"}  # what a kind of probe is called in a table, where that is not its own name


def ceiling_table(title: str, rows: Sequence[Sequence[str | float | None]], *, now: datetime | None = None) -> Group:
    """Rows of kind, nbytes, probe, rate a second, "yes" for the best, time, and why it did not run."""
    now = now or datetime.now(UTC)
    table: Table = plain_table(title)
    for name in ("limit", "probe"):
        table.add_column(name, no_wrap=True)
    for name in ("measured", "% of best", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    parts: list[RenderableType] = [table]
    last, highest = None, 1.0
    for kind, nbytes, probe, rate, best, time, reason in rows:
        if not isinstance(rate, float):
            parts.append(Text(f"{probe} did not run: {reason}", "dim"))
            continue
        heading = ""
        if kind != last:
            if last is not None:
                table.add_section()
            last, highest = kind, rate
            name = LIMITS.get(str(kind), str(kind))
            heading = f"{name}, {_binary(float(nbytes))}" if nbytes else name
        style = "bold" if best else ""
        table.add_row(
            Text(heading),
            Text(str(probe), style),
            Text(reached(str(kind), rate), style),
            Text(f"{100 * rate / highest:.0f} %"),
            Text(age(str(time), now), "dim"),
        )
    return Group(*parts)


def reached(kind: str, rate: float) -> str:
    """`225 GFLOP/s`, `43.1 GB/s`, or the time of one call."""
    if kind == "call":
        return seconds(1 / rate)
    return amount(rate, "FLOP/s" if kind == "operations" else "B/s")


def age(time: str, now: datetime) -> str:
    """How long ago, in the largest unit that has passed."""
    try:
        past_s = (now - datetime.fromisoformat(time)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if past_s >= unit_s:
            return f"{past_s / unit_s:.0f} {unit}"
    return "now"


def _binary(nbytes: float) -> str:
    """`32 KiB`: caches come in powers of two."""
    for scale, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if nbytes >= scale:
            return f"{nbytes / scale:.3g} {unit}"
    return f"{nbytes:.0f} B"
