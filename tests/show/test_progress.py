"""What is shown of a slow case, before it has a result."""

import io

from rich.console import Console
from rich.progress import TaskID

from convbench.call.watch import BackendStage
from convbench.show.progress import Steps, bar


def steps_of(*, terminal: bool) -> tuple[Steps, list[str], io.StringIO]:
    told: list[str] = []
    screen = io.StringIO()
    drawn = bar(Console(file=screen, force_terminal=terminal, width=150), shown=True)
    drawn.start()
    steps = Steps(drawn, told.append)
    steps.begin("conv1", drawn.add_task("conv1", total=1))
    return steps, told, screen


def test_a_pipe_gets_a_line_for_a_slow_step_at_ever_longer_intervals() -> None:
    steps, told, _ = steps_of(terminal=False)
    for tenths in range(600):
        stage = BackendStage.VERIFIED if tenths < 350 else BackendStage.EXPLAINED
        steps.heard("mine", stage, tenths / 10)
    assert told == [
        "conv1: mine being verified, 10 s",
        "conv1: mine being verified, 20 s",
        "conv1: mine is WRONG; searching for the cause and the smallest problem, 40 s",
    ]
    steps.heard("mine", BackendStage.VERIFIED, 100)
    assert told[-1] == "conv1: mine being verified; smaller problems (--shape) take less, 100 s"


def test_a_verdict_that_has_no_row_yet_is_not_lost() -> None:
    steps, told, _ = steps_of(terminal=False)
    steps.heard("torch", BackendStage.VERIFIED, 0.1)
    assert steps.unfinished() == ""
    for backend in ("mine", "other", "mine"):
        steps.heard(backend, BackendStage.EXPLAINED, 0.2)
    assert steps.unfinished() == "conv1: mine, other are WRONG; their rows would have come with the causes"
    steps.begin("conv2", TaskID(0))
    assert (steps.unfinished(), told) == ("", [])


def test_the_bar_names_the_step_every_second_and_nothing_is_written_while_something_is_timed() -> None:
    steps, told, screen = steps_of(terminal=True)
    steps.heard("mine", BackendStage.VERIFIED, 1.0)
    steps.heard("mine", BackendStage.TIMED, 30.0)
    assert "mine" not in screen.getvalue()
    for tenths in range(20, 50):
        steps.heard("mine", BackendStage.VERIFIED, tenths / 10)
    assert screen.getvalue().count("conv1: mine being verified, ") == 3
    assert not told
