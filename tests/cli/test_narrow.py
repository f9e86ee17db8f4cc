"""Is anything cut in what `list` and `doctor` print on a terminal of 60 to 120 columns?"""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from convbench.cli import catalogue
from convbench.suites import load_suite


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None], int], str]:
    """What a command prints on a terminal of so many columns."""

    def printed(command: Callable[[], None], width: int) -> str:
        out = io.StringIO()
        console = Console(file=out, width=width, color_system=None, force_terminal=True, highlight=False)
        monkeypatch.setattr("convbench.show.console.result_console", lambda: console)
        command()
        return out.getvalue()

    return printed


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("suite", [None, "edge", "quick"])
def test_no_name_and_no_number_of_a_suite_is_cut(
    draw: Callable[[Callable[[], None], int], str], suite: str | None, width: int
) -> None:
    text = draw(lambda: catalogue.suites(suite), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for problem in load_suite(suite) if suite else ():
        assert {problem.name, str(problem.spec), str(problem.count)} <= set(words)
    assert suite or "benchdnn_ssd_yolo_densenet" in words


@pytest.mark.parametrize("width", [60, 80, 120])
def test_sentences_are_wrapped_and_not_cut(draw: Callable[[Callable[[], None], int], str], width: int) -> None:
    sentence = "nothing: the hypervisor moves the CPUs; bench keeps only samples from their usual placement"
    rows = [("info", "CPUs 0, 1", "core-to-core latency 263 ns or 72 ns", sentence)]
    text = draw(lambda: catalogue.show_table(("", "what", "found", "what to do"), rows, prose=2), width)
    assert set(sentence.split()) <= set(text.split())
    assert max(map(len, text.splitlines())) <= width
