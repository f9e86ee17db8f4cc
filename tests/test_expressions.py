"""Does a regular expression of a user find what it should, and end?"""

import signal
import threading

import pytest

from convbench import ConvbenchError, expressions
from convbench.expressions import Expression


def test_it_is_found_anywhere_in_a_text() -> None:
    assert Expression("--match", "conv[12]$").found_in("resnet50:conv2")
    assert not Expression("--match", "conv[12]$").found_in("resnet50:conv3")


@pytest.mark.parametrize("text", ["(", "a{2,1}", "*", "a{99999999999}"])
def test_what_is_none_is_told(text: str) -> None:
    with pytest.raises(ConvbenchError, match=r"--match .* is not a regular expression.*a plain word works"):
        Expression("--match", text)


def test_one_that_would_never_end_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "MOST_S", 0.1)
    before = signal.getsignal(signal.SIGALRM)
    endless = Expression("--match", "(a|aa)+$")
    endless._left_s = 0.1
    for _ in range(2):  # the second finds the time spent
        with pytest.raises(ConvbenchError, match=r"takes more than 0.1 s to search for; avoid a repeat inside a"):
            endless.found_in("a" * 60 + "b")
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_beside_the_main_thread_it_searches_without_a_clock() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(Expression("--match", "b").found_in("abc")))
    thread.start()
    thread.join()
    assert found == [True]
