"""How does a session use a terminal: which key was pressed, and how is the screen taken and restored?

A few lines of termios, as ten keys and one page of text need no toolkit.
"""

import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType

from convbench.show.frames import ansi
from convbench.show.interactive import WalkSession, press, screen
from convbench.system import require

# xterm's control sequences, ctlseqs, "Alt and Meta Keys" and "PC-Style Function Keys": ESC [ A and ESC O A are both up.
NAMES = {"A": "up", "B": "down", "C": "right", "D": "left", "5~": "pageup", "6~": "pagedown"}
PLAIN = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x1b": "escape"}
_KEY = re.compile(r"\x1b[\[O]([0-9;]*[A-Za-z~])|(.)", re.DOTALL)
TAKE = "\x1b[?1049h\x1b[?25l"  # the other screen, no cursor
GIVE_BACK = "\x1b[?25h\x1b[?1049l"
ESCAPE_S = 0.03  # a lone ESC is the key if nothing follows it by then


def run(session: WalkSession) -> None:
    """Draw, wait for a key or a new size, and repeat until q. The terminal is always restored.

    Raises:
        ConvbenchError: this system's terminals have no termios.
        KeyboardInterrupt: Ctrl-C, or the process was told to end.
        UnprovedError: a cell that it moved to is not proved.
    """
    with _whole_terminal() as woken:
        coloured = not os.environ.get("NO_COLOR")
        while True:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
            session = replace(session, size=(columns, lines))
            _paint(session, coloured=coloured)
            keys = _read_keys(woken)
            if keys is None:
                return
            for key in keys:  # all that were typed meanwhile, then one drawing
                session = press(session, key)
                if session.done:
                    return


def parse_keys(typed: str) -> list[str]:
    """What a terminal sent, as names of keys; sequences that mean nothing here are left out."""
    keys = []
    for sequence, character in _KEY.findall(typed):
        if character:
            keys.append(PLAIN.get(character, character))
        elif sequence in NAMES:
            keys.append(NAMES[sequence])
    return keys


def _paint(session: WalkSession, *, coloured: bool) -> None:
    if session.page:  # an algorithm may take seconds for all of a large x
        sys.stdout.write(f"\x1b[{session.size[1]};1H Working ...  Ctrl-C stops\x1b[K")
        sys.stdout.flush()
    lines = (ansi(line) if coloured else line.plain for line in screen(session))
    # Home, each line over the old one, the rest erased: in one write, so nothing flickers.
    sys.stdout.write("\x1b[H" + "\r\n".join(line + "\x1b[K" for line in lines) + "\x1b[J")
    sys.stdout.flush()


def _read_keys(woken: int) -> list[str] | None:
    """The keys pressed, none if a signal came first; None if the input has ended."""
    terminal = sys.stdin.fileno()
    ready, _, _ = select.select([terminal, woken], [], [])
    if woken in ready:
        os.read(woken, 4096)
    if terminal not in ready:
        return []
    typed = os.read(terminal, 4096)
    if typed.endswith(b"\x1b") and select.select([terminal], [], [], ESCAPE_S)[0]:
        typed += os.read(terminal, 4096)
    return parse_keys(typed.decode("utf-8", "ignore")) if typed else None


@contextmanager
def _whole_terminal() -> Iterator[int]:
    """Raw keys and the other screen, and a descriptor that can be read when the size has changed."""
    require("explain --interactive", "try --at P,Q and --step STEP")
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)

    def take(_number: int = 0, _frame: FrameType | None = None) -> None:
        """Also after a stop: the shell had the terminal meanwhile."""
        tty.setraw(terminal)
        modes = termios.tcgetattr(terminal)
        modes[3] |= termios.ISIG  # Ctrl-C also while something is computed
        modes[6][termios.VSUSP] = modes[6][termios.VQUIT] = b"\0"  # no key stops it or dumps its core
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        sys.stdout.write(TAKE)

    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {signal.SIGWINCH: _noted, signal.SIGCONT: take, **dict.fromkeys(ends, _ended)}
    handled = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    told = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        take()
        yield woken
    finally:
        with suppress(OSError, termios.error):  # the terminal may be gone
            sys.stdout.write(GIVE_BACK)
            sys.stdout.flush()
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        signal.set_wakeup_fd(told)
        for number, handler in handled.items():
            signal.signal(number, handler)
        os.close(woken)
        os.close(wake)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor says it; this handler only keeps the signal from being ignored."""


def _ended(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
