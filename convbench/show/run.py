"""A run as text: one line per stage, the verdict, and what to do next."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from convbench.outcome import Failed, Skipped, Verified, Wrong
from convbench.show.console import print_tabbed, result_console, side_console
from convbench.show.tables import plain_table
from convbench.show.units import seconds, share
from convbench.spec import pair_text

if TYPE_CHECKING:
    from convbench.run import Run

STYLE = {"VERIFIED": "bold green", "WRONG": "bold red", "FAILED": "bold red", "SKIPPED": "bold yellow"}


def print_run(done: "Run") -> None:
    """A table and lines on a terminal; elsewhere rows on stdout, and what to do next on stderr."""
    console = result_console()
    word, reason = verdict(done)
    if console.is_terminal:
        table = plain_table()
        table.add_column("stage", no_wrap=True)
        table.add_column("sizes", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("what", overflow="fold")
        for stage in done.stages:
            table.add_row(
                Text(stage.name, "bold"), sizes_text(stage.sizes), seconds(stage.time_s), Text(stage.what, "dim")
            )
        console.print(table)
        for line in code_lines(done):
            console.print(Text(f"  {line}"), soft_wrap=True)  # not wrapped, so it can be copied
        console.print()
        console.print(Text.assemble((word, STYLE[word]), f"  {reason}"))
        for name, line in next_lines(done):
            # Not wrapped: a command must survive being copied.
            console.print(Text.assemble((f"{name:<9}", "dim"), line), soft_wrap=True)
        return
    print_tabbed(console, ["stage", "sizes", "time_s", "what", "code"])
    for stage in done.stages:
        print_tabbed(console, [stage.name, sizes_text(stage.sizes), stage.time_s, stage.what, stage.code])
    print_tabbed(console, ["verdict", word, "", reason, ""])
    for name, line in next_lines(done):
        side_console().print(Text(f"{name}: {line}"), soft_wrap=True)


def code_lines(done: "Run") -> list[str]:
    """The stages as lines of PyTorch and torchvision in an order that runs: the data set takes the transform."""
    return [stage.code for stage in sorted(done.stages, key=lambda one: one.name != "transform") if stage.code]


def sizes_text(sizes: tuple[tuple[str, int], ...]) -> str:
    """`8x1x64x64` for a tensor, `819 train, 205 validation` for words."""
    words = any(name.isalpha() and len(name) > 1 for name, _ in sizes)
    if words:
        return ", ".join(f"{size} {name}" for name, size in sizes if size)
    return "x".join(str(size) for _, size in sizes)


def verdict(done: "Run") -> tuple[str, str]:
    """One word, and the reason in a line."""
    match done.outcome:
        case Verified(check):
            return "VERIFIED", (
                f"{done.backend} in {done.case.dtype}: the largest error is {share(check.worst_of_bound)} of its "
                f"bound, relative L2 {check.relative_l2:.2g}, against float64"
            )
        case Wrong(check):
            return "WRONG", f"{done.backend} in {done.case.dtype}: {check.evidence}"
        case Failed(message):
            return "FAILED", f"{done.backend}: {message}"
        case Skipped(reason):
            return "SKIPPED", f"{done.backend}: {reason}"
    raise AssertionError(done.outcome)


def next_lines(done: "Run") -> Iterator[tuple[str, str]]:
    """The problem in its text form, and the commands that take it further."""
    case = done.case
    axes = [
        f" --{name} {value}"
        for name, value, usual in (
            ("dtype", case.dtype, "fp32"),
            ("precision", case.precision, "ieee"),
            ("device", case.device, "cpu"),
        )
        if value != usual
    ]
    yield "problem", str(case.spec)
    yield "time it", f"convbench bench --shape {case.spec}{''.join(axes)}"
    yield "see how", explain_command(done)


def explain_command(done: "Run") -> str:
    """The walk over this image and these filters where both can be named, else over the problem's small numbers."""
    plan, spec = done.plan, done.case.spec
    if done.operands:
        x, w = done.operands
    elif plan.data.startswith("image:") and plan.image_size is None and plan.weights is None:
        x, w = plan.data.removeprefix("image:"), plan.filters
    else:
        return f"convbench explain {spec}    (to use these images, first rerun with --operands FOLDER)"
    words = ["convbench", "explain", "--x", x, "--w", w]
    for name, value, usual in (
        ("stride", pair_text(spec.stride), "1"),
        ("padding", "x".join(map(str, spec.sides)) if spec.padding_end else pair_text(spec.padding), "0"),
        ("dilation", pair_text(spec.dilation), "1"),
    ):
        words += [f"--{name}", value] if value != usual else []
    if w == "random":
        words += ["--seed", str(plan.seed)]
    return shlex.join(words)
