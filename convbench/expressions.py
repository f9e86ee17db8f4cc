"""Is a regular expression that a user gave found in a text? It may search for so long and no longer."""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from convbench.errors import ConvbenchError

MOST_S = 5.0  # in all texts together; an ordinary expression takes microseconds for each


@dataclass(slots=True)
class Expression:
    """One expression, and how long it may still search.

    Raises:
        ConvbenchError: it is no regular expression, with the place in it.
    """

    option: str
    text: str
    _pattern: re.Pattern[str] = field(init=False, repr=False)
    _left_s: float = field(init=False, repr=False, default=MOST_S)

    def __post_init__(self) -> None:
        try:
            self._pattern = re.compile(self.text)
        except (re.error, OverflowError, RecursionError) as error:
            position = getattr(error, "pos", None)
            place = "" if position is None else f" at position {position}"
            raise ConvbenchError(
                f"{self.option} {self.text!r} is not a regular expression{place}: {getattr(error, 'msg', error)}; a "
                f"plain "
                f"word works, and \\ escapes a special character"
            ) from None

    def found_in(self, text: str) -> bool:
        """Whether it is somewhere in a text.

        Raises:
            ConvbenchError: it has searched for too long, as nested repeats do: `(a+)+b`.
        """
        began = time.monotonic()
        try:
            with _alarm(max(self._left_s, 0.001)):
                return self._pattern.search(text) is not None
        except TimeoutError:
            raise ConvbenchError(
                f"{self.option} {self.text!r} takes more than {MOST_S:g} s to search for; avoid a repeat inside a "
                f"repeat, such as (a+)+"
            ) from None
        finally:
            self._left_s -= time.monotonic() - began


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """TimeoutError after so long, by a signal, which Python's own search lets through.

    Only the main thread of a program gets one; elsewhere nothing is timed.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
