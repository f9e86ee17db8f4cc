"""Does a user's regular expression match a text? The search has a time limit."""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from convbench.errors import ConvbenchError

MOST_S = 5.0  # for all texts together; an ordinary expression takes microseconds for each


@dataclass(slots=True)
class Expression:
    """One expression, and its remaining search time.

    Raises:
        ConvbenchError: it is not a regular expression, with the position of the error.
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
        """Whether it matches somewhere in a text.

        Raises:
            ConvbenchError: it took too long, as nested repeats do: `(a+)+b`.
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
    """Raise TimeoutError after a time, by a signal, which interrupts Python's own search.

    Only the main thread of a program can do that; in other threads there is no limit.
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
