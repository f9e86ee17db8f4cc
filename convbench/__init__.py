"""convbench shows how a convolution is computed, runs it, checks it, and times it.

The public names. Importing this package imports no torch; a backend's file does, when it
is loaded.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m convbench` looks into the working directory first: a torch.py or typing.py that lies there would run.
    del sys.path[0]

from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name == "__version__":  # read when asked for: importlib.metadata would slow down --help
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("convbench")
        except PackageNotFoundError:  # run from a tree that was never installed
            return "0+unknown"
    raise AttributeError(f"module 'convbench' has no attribute {name!r}")
