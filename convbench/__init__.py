"""convbench shows how a convolution is computed, runs it, checks it, and times it.

The public names. Importing this package imports no torch; a backend's file does, when it
is loaded.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m convbench` searches the working directory first: a torch.py or typing.py in it would run.
    # Another program run with -m finds its own modules there. Its name precedes its arguments: `-m name`, or `-mname`.
    _program = sys.orig_argv[-len(sys.argv)]
    if (_program.partition("m")[2] if _program.startswith("-") else _program).partition(".")[0] == "convbench":
        del sys.path[0]

from typing import TYPE_CHECKING

from convbench.backend import Backend, Unavailable, backend
from convbench.case import Case, Problem
from convbench.discovery import discover
from convbench.errors import ConvbenchError
from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong
from convbench.spec import ConvSpec

if TYPE_CHECKING:
    __version__: str

__all__ = [
    "Backend",
    "Case",
    "ConvSpec",
    "ConvbenchError",
    "Failed",
    "Problem",
    "Result",
    "Skipped",
    "Timed",
    "Unavailable",
    "Verified",
    "Wrong",
    "__version__",
    "backend",
    "discover",
]


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> str:
        if name == "__version__":  # read on demand: importlib.metadata would slow down --help
            from convbench.version import installed_version

            return installed_version()
        raise AttributeError(f"module 'convbench' has no attribute {name!r}")
