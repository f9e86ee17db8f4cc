"""How do the costs of one convolution look in a terminal, in a pipe, and as JSON?"""

# ruff: noqa: RUF001  # the times sign is meant

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.backend import name_surplus
from convbench.errors import plural
from convbench.explain.ledger import CostCheck, Count, Ledger
from convbench.show.console import print_tabbed, result_console, side_console
from convbench.show.grid import heading
from convbench.show.pages import fit
from convbench.show.tables import plain_table
from convbench.show.units import amount
from convbench.spec import ITEM_NBYTES

BESIDE_FROM = 80


def print_ledger(ledger: Ledger, checks: Sequence[CostCheck], counts: Sequence[Count], missing: Sequence[str]) -> None:
    """Tables on a terminal; elsewhere rows of figure, value, unit and remark."""
    console = result_console()
    if console.is_terminal:
        console.print(page(ledger, checks, counts, missing, console.width))
        return
    print_tabbed(console, ["figure", "value", "unit", "remark"])
    for row in _rows(ledger, checks, counts):
        print_tabbed(console, row)
    for line in _remarks(ledger, checks, missing):
        side_console().print(line, markup=False)


def page(
    ledger: Ledger, checks: Sequence[CostCheck], counts: Sequence[Count], missing: Sequence[str], width: int
) -> RenderableType:
    """The whole ledger, no wider than `width` (from 60 to 120)."""
    width = fit(width)
    facts = (
        f"receptive field: {_field(ledger)}, the rows and columns of x that one output sees",
        f"patch matrix: {_patches(ledger)}",
        f"padding: {_percent(ledger.padding_waste)} of the MACs multiply a zero of the padding",
    )
    return Group(
        *heading("COST", str(ledger.spec), width),
        _work(ledger),
        _bytes(ledger),
        *hanging(facts, width),
        Text(),
        *heading("WHO COUNTS WHAT", "this layer with a bias", width),
        _tools(counts, width),
        *hanging(_remarks(ledger, checks, missing), width),
    )


def hanging(lines: Iterable[str], width: int) -> Iterator[Text]:
    """Each line wrapped to `width`, what goes on further in."""
    for line in lines:
        yield from map(Text, wrap(line, width, initial_indent="  ", subsequent_indent="    "))


def record(ledger: Ledger, checks: Sequence[CostCheck], counts: Sequence[Count]) -> dict[str, Any]:
    """Every figure as plain numbers."""
    spec = ledger.spec
    return {
        "spec": str(spec),
        "macs": ledger.macs,
        "flops": 2 * ledger.macs,
        "padding_counted": {"multiplications": ledger.multiplications, "additions": ledger.additions},
        "on_image": {
            "multiplications": ledger.multiplications_on_image,
            "additions": ledger.additions_on_image,
        },
        "bias_additions": ledger.bias_additions,
        "padding_waste": ledger.padding_waste,
        "receptive_field": list(ledger.field),
        "patch_matrix_blow_up": ledger.blow_up,
        "bytes": {
            dtype: dict(zip("xwy", ledger.nbytes(dtype), strict=True))
            | {
                "patch_matrix": spec.patch_matrix_nbytes(dtype),
                "flops_per_byte": spec.intensity(dtype),
            }
            for dtype in ITEM_NBYTES
        },
        "checks": [
            {"figure": one.name, "by": one.by, "found": one.found, "expected": one.expected, "holds": one.holds}
            for one in checks
        ],
        "tools": [
            {
                "tool": one.tool,
                "spec": str(spec.evened),
                "version": one.version,
                "counts": one.unit,
                "module": one.module,
                "function": one.function,
                "expected": one.expected,
                "expected_function": one.expected_function,
                "reconciled": one.reconciled,
                "why_not": one.why_not,
            }
            for one in counts
        ],
    }


def _work(ledger: Ledger) -> Table:
    table = plain_table()
    table.add_column("work", no_wrap=True)
    table.add_column("incl. padding", justify="right", no_wrap=True)
    table.add_column("excl. padding", justify="right", no_wrap=True)
    for name, counted, on_image in (
        ("MACs", ledger.macs, ledger.multiplications_on_image),
        ("FLOPs, 2 per MAC", 2 * ledger.macs, 2 * ledger.multiplications_on_image),
        ("multiplications", ledger.multiplications, ledger.multiplications_on_image),
        ("additions", ledger.additions, ledger.additions_on_image),
        ("bias additions (if any)", ledger.bias_additions, ledger.bias_additions),
    ):
        table.add_row(name, f"{counted:,}", f"{on_image:,}")
    return table


def _bytes(ledger: Ledger) -> Table:
    table = plain_table()
    table.add_column("bytes", no_wrap=True)
    for name in ("x", "w", "y", "FLOP/B"):
        table.add_column(name, justify="right", no_wrap=True)
    for dtype in ITEM_NBYTES:
        x, w, y = (f"{nbytes:,}" for nbytes in ledger.nbytes(dtype))
        table.add_row(dtype, x, w, y, f"{ledger.spec.intensity(dtype):.3g}")
    return table


def _tools(counts: Sequence[Count], width: int) -> RenderableType:
    """Each tool's figures, and how it counts: next to them, or below if there is no room."""
    if width < BESIDE_FROM:
        lines = []
        for one in counts:
            said = zip(("module", "function"), (one.module, one.function), strict=True)
            figures = "  ".join(f"{name} {figure:,}" for name, figure in said if figure is not None)
            lines.append(Text(f"  {one.tool}  {figures}"))
            lines += [Text(f"    {line}", _style(one)) for line in wrap(_verdict(one), width - 4)]
        return Group(*lines)
    table = plain_table()
    table.add_column("tool", no_wrap=True)
    table.add_column("nn.Conv2d", justify="right", no_wrap=True)
    table.add_column("F.conv2d", justify="right", no_wrap=True)
    table.add_column("counts", overflow="fold")
    for one in counts:
        figures_ = ("" if figure is None else f"{figure:,}" for figure in (one.module, one.function))
        table.add_row(one.tool, *figures_, Text(_verdict(one), _style(one)))
    return table


def _verdict(one: Count) -> str:
    return {True: "✓ ", False: "differs: ", None: ""}[one.reconciled] + _how(one)


def _style(one: Count) -> str:
    return "yellow" if one.reconciled is False else ""


def _how(one: Count) -> str:
    if one.reconciled is None:
        return f"not run: {one.why_not}"
    if one.reconciled:
        return one.unit
    return f"{one.expected:,} and {one.expected_function:,} were expected ({one.unit})"


def _remarks(ledger: Ledger, checks: Sequence[CostCheck], missing: Sequence[str]) -> Iterator[str]:
    if any(ledger.spec.surplus):
        padded = f"{name_surplus(ledger.spec)}, then {ledger.spec.evened}"
        yield f"torch's layers pad opposite sides equally: the tools saw x padded first, {padded}"
    ways = ", ".join(dict.fromkeys(one.by for one in checks))
    match = "✓ {} match" if all(one.holds for one in checks) else "✗ {} do not all match"
    yield f"{match.format(plural(len(checks), 'figure'))} PyTorch: {ways}"
    if missing:
        yield f"not installed: {', '.join(missing)}"


def _rows(ledger: Ledger, checks: Sequence[CostCheck], counts: Sequence[Count]) -> Iterator[list[str | float | None]]:
    spec = ledger.spec
    yield ["spec", str(spec), "", ""]
    for name, counted, on_image in (
        ("macs", ledger.macs, ledger.multiplications_on_image),
        ("flops", 2 * ledger.macs, 2 * ledger.multiplications_on_image),
        ("multiplications", ledger.multiplications, ledger.multiplications_on_image),
        ("additions", ledger.additions, ledger.additions_on_image),
    ):
        yield [name, counted, "", "incl. padding"]
        yield [f"{name}_on_image", on_image, "", "excl. padding"]
    yield ["bias_additions", ledger.bias_additions, "", "if there is a bias; in no other figure"]
    for dtype in ITEM_NBYTES:
        for name, nbytes in zip("xwy", ledger.nbytes(dtype), strict=True):
            yield [f"{name}_nbytes", nbytes, "B", dtype]
        yield ["patch_matrix_nbytes", spec.patch_matrix_nbytes(dtype), "B", dtype]
        yield ["intensity", spec.intensity(dtype), "FLOP/B", dtype]
    yield ["patch_matrix_blow_up", ledger.blow_up, "", "patch matrix / x"]
    yield ["receptive_field", _field(ledger), "pixels", "of the layer"]
    yield ["padding_waste", ledger.padding_waste, "", "share of the MACs"]
    for check in checks:
        yield [check.name, check.found, "", f"{check.by}: {'agrees' if check.holds else f'not {check.expected}'}"]
    for one in counts:
        for name, figure in (("nn.Conv2d", one.module), ("F.conv2d", one.function)):
            verdict = "" if one.reconciled is None else "as expected: " if one.reconciled else "differs: "
            yield [f"{one.tool} {one.version} {name}", figure, "", f"{verdict}{_how(one)}"]


def _field(ledger: Ledger) -> str:
    rows, columns = ledger.field
    return f"{rows}x{columns}"


def _patches(ledger: Ledger) -> str:
    spec = ledger.spec
    return f"{amount(spec.patch_matrix_nbytes('fp32'), 'B')} in fp32, {ledger.blow_up:.3g}× x"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
