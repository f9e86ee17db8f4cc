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


def main() -> NoReturn:
    """Run the command line."""
    signal.signal(signal.SIGINT, leave)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # an old encoding gets a question mark, not a traceback
    from convbench.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
