"""The program: `convbench`, or python -m convbench."""

import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

from convbench.exit_codes import INTERRUPTED


def leave(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # what signal calls it with
    """End at once. A KeyboardInterrupt raised inside a half-done import of torch is swallowed or garbled."""
    with suppress(Exception):  # a write may be going on, which refuses another
        sys.stderr.flush()  # erases the line that says what is waited for
    os.write(2, b"\nconvbench: interrupted\n")
    os._exit(INTERRUPTED)


def open_standard_streams() -> None:
    """Open /dev/null for closed streams (`2>&-`): otherwise the next file would get their number and their output."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "r" if descriptor == 0 else "w", closefd=False))  # noqa: SIM115  # it stays open


def main() -> NoReturn:
    """Run the command line."""
    signal.signal(signal.SIGINT, leave)
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old encoding gets a question mark, not a traceback
    from convbench.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
