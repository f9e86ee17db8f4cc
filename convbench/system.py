"""Which operating system is this, what does it lack for parts of convbench, and what is the alternative?

Linux supports everything. The check asks Python itself, not only for the system's name: some builds for Linux lack
os.pidfd_open, too.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from convbench.errors import ConvbenchError

if TYPE_CHECKING:
    from ctypes import CDLL

_HOME = str(Path(__file__).parents[1])  # the location of this package, in case it is not installed
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_NAMES = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}
# By part: the features of Python that it needs, each of which some system lacks.
NEEDS = {
    "isolation": ("os.fork", "os.pidfd_open", "socket.send_fds", "resource.setrlimit"),
    "bench": ("resource.getrusage",),  # it detects disturbed samples if the kernel counts nothing better
    "convbench ran": ("ctypes.CDLL(None)",),  # to flush C's stdout: oneDNN's lines must not overtake ours
    "explain --interactive": ("termios.tcgetattr",),
}


def name() -> str:
    """The common name of this system. A function, because mypy assumes sys.platform of its own machine."""
    return _NAMES.get(sys.platform, sys.platform)


def lacks(part: str) -> str:
    """What is missing here for a part of convbench, or ""."""
    missing = next((one for one in NEEDS[part] if not _has(one)), "")
    who = "this Python" if name() == "Linux" else name()
    return missing and f"{part} needs {missing}, which {who} lacks"


def require(part: str, instead: str = "") -> None:
    """Refuse what this system cannot do, and say what to do instead, such as `try --no-isolate`.

    Raises:
        ConvbenchError: the system lacks something for the part.
    """
    if why := lacks(part):
        raise ConvbenchError(f"{why}; {' or '.join(filter(None, (instead, elsewhere())))}")


def elsewhere() -> str:
    """Where to run what this system lacks."""
    return {"Windows": "run convbench in WSL", "Linux": "use another build of Python"}.get(name(), "use Linux")


def libc() -> "CDLL | None":
    """The C library of this process; None on Windows, where there may be several."""
    import ctypes

    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


def die_with(parent: int) -> None:
    """End this process with that one, which started it, however that one ends; on Linux alone."""
    if (c := libc()) is None or not hasattr(c, "prctl"):
        return
    c.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before this was set
        os._exit(0)


def fresh_python(code: str, *arguments: object) -> list[str]:
    """The command that runs code of this package in a new interpreter; its arguments are sys.argv[2:] there."""
    import json

    # -P: not even json is taken from the working directory.
    run = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); {code}"
    return [sys.executable, "-P", "-c", run, json.dumps(search_path()), *map(str, arguments)]


def search_path() -> list[str]:
    """Where a process that is started here finds this package, and all that is found here."""
    return [*sys.path, _HOME]


def ending(code: int) -> str:
    """How a process ended that we did not end: `exited with code 1`, `died of SIGSEGV`.

    Args:
        code: what it exited with, or minus the signal.
    """
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return "was killed from outside (SIGKILL), usually for lack of memory,"
    return f"died of {name}"


def output_of(*command: str) -> str:
    """The stripped output of a program; "" if it is missing, fails or takes too long."""
    import subprocess

    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603  # fixed programs, no shell
    except (OSError, subprocess.SubprocessError):
        return ""


def _has(function: str) -> bool:
    if function == "ctypes.CDLL(None)":
        return libc() is not None
    module, _, attribute = function.partition(".")
    try:
        return hasattr(import_module(module), attribute)
    except ImportError:
        return False
