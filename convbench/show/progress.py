"""How far is a run that Python started: a bar in a terminal, and one in a notebook?"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from convbench.show.console import side_console


@contextmanager
def progress(names: Sequence[str], *, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar over the cases of these names; the value says that one more is done. It is gone at the end.

    Without a terminal or a notebook nothing is shown.
    """
    with _in_notebook(names) if shown and notebook() is not None else _in_terminal(names, shown=shown) as advance:
        yield advance


def notebook() -> Any:
    """IPython's display functions in a notebook; None elsewhere."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return None if getattr(shell, "kernel", None) is None else ipython.display


def bar(console: Console, *, shown: bool) -> Progress:
    """A bar that is only drawn when told: a refreshing thread would disturb what is being timed."""
    return Progress(
        TextColumn("{task.description}", style="dim"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
        disable=not (shown and console.is_terminal),
    )


@contextmanager
def _in_terminal(names: Sequence[str], *, shown: bool) -> Iterator[Callable[[], None]]:
    upcoming = iter(names)
    with bar(side_console(), shown=shown) as drawn:
        task = drawn.add_task(next(upcoming, ""), total=len(names))
        drawn.refresh()
        yield lambda: drawn.update(task, advance=1, description=next(upcoming, ""), refresh=True)


@contextmanager
def _in_notebook(names: Sequence[str]) -> Iterator[Callable[[], None]]:
    display = notebook()
    done = 0

    def drawn() -> Any:
        name = escape(names[done]) if done < len(names) else ""
        return display.HTML(f'<progress value="{done}" max="{len(names)}"></progress> {done}/{len(names)} {name}')

    handle = display.display(drawn(), display_id=True)

    def advance() -> None:
        nonlocal done
        done += 1
        handle.update(drawn())

    try:
        yield advance
    finally:
        handle.update(display.HTML(""))
