"""How does the walk of one convolution look in a terminal, and as JSON?"""

# ruff: noqa: RUF001  # the times and minus signs are meant: this is mathematics as text

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from rich.text import Text

from convbench.explain import STEPS
from convbench.explain.steps import Walk
from convbench.show.console import result_console
from convbench.show.frames import Frame
from convbench.show.grid import Block, heading, wrap_words
from convbench.show.pages import fit, print_page, room_for_text, with_notes
from convbench.show.steps import DRAWN, View


def draw(walk: Walk, steps: Sequence[str] = STEPS, view: View | None = None) -> int:
    """Print the steps as wide as the terminal, or COLUMNS (80) in a pipe, and return how many lines they took."""
    return print_page(lambda width: page(walk, width, steps, view))


def more(width: int) -> Block:
    """What else may be asked of the same problem."""
    options = ("--at 0,0", "-i", "--html FILE", "--code", "--algorithm all", "--backward")
    commands = ("convbench why QUESTION", "convbench ran", "convbench cost")
    asks = [Text(ask) for ask in (*options, *commands)]
    return wrap_words(asks, width, lead="  and more:    ", space="  ")


def page(walk: Walk, width: int, steps: Sequence[str] = STEPS, view: View | None = None) -> Iterator[Text]:
    """The lines of these steps, separated by blank lines, none wider than `width` (from 60 to 120)."""
    for i, step in enumerate(steps):
        if i:
            yield Text()
        yield from draw_step(walk, step, width, view).lines


def draw_step(walk: Walk, step: str, width: int, view: View | None = None) -> Frame:
    """One of STEPS as a frame."""
    width = fit(width)
    view = view or View()
    drawn = DRAWN[step](walk, room_for_text(width) - 2, view)
    title = f"{STEPS.index(step) + 1}/{len(STEPS)} {drawn.title}"
    notes = [*drawn.notes, *([f"Cost: {drawn.cost}"] if drawn.cost else [])]
    lines = [*heading(title, drawn.aside, width), *with_notes(drawn.body, notes, width)]
    for line in lines:
        line.rstrip()
    return Frame(title=title, width=width, lines=tuple(lines))


def print_summary(walk: Walk, lines: int, problem: str) -> None:
    """On a terminal with fewer lines than were printed: the walk in six lines, and how to go through it by keys."""
    console = result_console()
    if console.is_terminal and console.height < lines:
        print_page(lambda width: summary(walk, problem, width))


def summary(walk: Walk, problem: str, width: int) -> Block:
    """The walk in six lines, or some more where the sizes are long."""
    tensors = (walk.x, walk.w, walk.patches, walk.w_flat, walk.y_flat, walk.y)
    x, w, patches, w_flat, y_flat, y = (" × ".join(map(str, tensor.shape)) for tensor in tensors)
    told = (
        ("In short", f"image {x}, kernel {w}"),
        ("4 unfold", f"patches → {patches}: one column for each position of the kernel"),
        ("5 flatten", f"w_flat → {w_flat}: one row for each filter"),
        ("6 multiply", f"einsum('{walk.formula}', patches, w_flat) → {y_flat}"),
        ("7 reshape", f"y → {y}, equal to F.conv2d"),
        ("next", f"convbench explain {problem}{' ' if problem else ''}-i walks through it by keys"),
    )
    lines: Block = [Text()]
    for name, words in told:
        first, *others = wrap(words, width - 13, break_on_hyphens=False)
        lines += [Text.assemble((f"  {name:<11}", "bold"), first), *(Text(" " * 13 + other) for other in others)]
    return lines


def record(walk: Walk) -> dict[str, Any]:
    """Every number of the walk as plain values, tensors as nested lists in their own shapes."""
    return {
        "spec": str(walk.spec),
        "cell": asdict(walk.cell) | {"group": walk.group},
        "x": walk.x.tolist(),
        "w": walk.w.tolist(),
        "one_cell": {
            "terms": [asdict(term) | {"product": term.product} for term in walk.terms],
            "channel_sums": walk.channel_sums,
            "total": walk.total,
            "rows": walk.rows,
            "columns": walk.columns,
            "flipped": walk.flipped,
        },
        "axes": [
            asdict(axis)
            | {
                "room": axis.room,
                "rest": axis.rest,
                "positions": axis.positions,
                "readers": axis.readers.tolist(),
                "unread": axis.unread,
            }
            for axis in walk.axes
        ],
        "variants": [
            {"change": variant.change, "spec": str(variant.spec), "p": variant.spec.p, "q": variant.spec.q}
            for variant in walk.variants
        ],
        "unfolded": {
            "patches": walk.patches.tolist(),
            "column": walk.position,
            "first_row": walk.first_row,
            "taps": walk.taps,
            "padding": walk.padding.tolist(),
            "x_nbytes": walk.x_nbytes,
            "patches_nbytes": walk.patches_nbytes,
        },
        "multiplied": {
            "formula": walk.formula,
            "w_flat": walk.w_flat.tolist(),
            "y_flat": walk.y_flat.tolist(),
            "gemm": walk.gemm,
            "macs": walk.macs,
            "multiplications": walk.multiplications,
            "additions": walk.additions,
            "on_padding": walk.on_padding,
        },
        "y": walk.y.tolist(),
        "is_view": walk.is_view,
        "folded": walk.folded.tolist(),
        "proof": [asdict(comparison) | {"holds": comparison.holds} for comparison in walk.proof],
    }
