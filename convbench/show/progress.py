"""How far is a run: a bar in a terminal, one in a notebook, and what a slow backend is doing?"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from convbench.call.watch import BackendStage
from convbench.show.console import side_console

# Nothing is written while something is timed.
QUIET = (BackendStage.CAPTURED, BackendStage.TIMED, BackendStage.EVICTED, BackendStage.WAITED)
# A case that takes so long: its step is named in the bar, in a pipe in a line, and smaller problems are proposed.
STEP_S, LINE_S, LONG_S = 2.0, 10.0, 30.0


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


class Steps:
    """What the backends of a slow case do: in the bar every second, in a pipe after 10 s, 20 s, 40 s and so on.

    Attributes:
        wrong: the backends that are known to be wrong on this case, whose rows wait for their causes and its end.
    """

    def __init__(self, drawn: Progress, tell: Callable[[str], None]) -> None:
        self._bar, self._tell = drawn, tell
        self._name = ""
        self._due_s = 0.0
        self._task: TaskID | None = None
        self.wrong: dict[str, None] = {}

    def begin(self, name: str, task: TaskID) -> None:
        """Another case."""
        self._name, self._task = name, task
        self.wrong = {}
        self._due_s = LINE_S if self._bar.disable else STEP_S

    def heard(self, backend: str, stage: str, seconds: float) -> None:
        """As `Session.heard`."""
        if stage == BackendStage.EXPLAINED:
            self.wrong[backend] = None
        if stage in QUIET or seconds < self._due_s or self._task is None:
            return
        words = f"{backend} {stage.removeprefix('while ')}"
        if stage == BackendStage.EXPLAINED:
            words = f"{backend} is WRONG; searching for the cause and the smallest problem"
        elif seconds >= LONG_S:
            words += "; smaller problems (--shape) take less"
        line = f"{self._name}: {words}, {seconds:.0f} s"
        if self._bar.disable:
            self._tell(line)
            self._due_s = 2 * self._due_s
        else:
            self._bar.update(self._task, description=line, refresh=True)
            self._due_s = seconds + 1

    def unfinished(self) -> str:
        """What is lost with a run that ends now: "", or a verdict that has no row yet."""
        if not self.wrong:
            return ""
        one = len(self.wrong) == 1
        rest = "its row would have come with the cause" if one else "their rows would have come with the causes"
        return f"{self._name}: {', '.join(self.wrong)} {'is' if one else 'are'} WRONG; {rest}"


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
