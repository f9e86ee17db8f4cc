"""Which operating system is this, what does it lack for a part of convbench, and what can be tried instead?

Linux does everything. Python itself is asked, not only for the system's name: some builds of Python for Linux lack
os.pidfd_open, too.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from convbench.errors import ConvbenchError

if TYPE_CHECKING:
    from ctypes import CDLL

_NAMES = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}
# By part: what of Python it cannot do without, each of which some system lacks.
NEEDS = {
    "isolation": ("os.fork", "os.pidfd_open", "socket.send_fds", "resource.setrlimit"),
    "bench": ("resource.getrusage",),  # it tells that a sample was disturbed, where the kernel counts nothing better
    "convbench ran": ("ctypes.CDLL(None)",),  # to flush C's stdout: oneDNN's lines must not overtake ours
    "explain --interactive": ("termios.tcgetattr",),
}


def name() -> str:
    """Of this system, as people call it. A function: mypy takes sys.platform for that of its own machine."""
    return _NAMES.get(sys.platform, sys.platform)


def lacks(part: str) -> str:
    """What is missing here for a part of convbench, in words; "" where nothing is."""
    missing = next((one for one in NEEDS[part] if not _has(one)), "")
    who = "this Python" if name() == "Linux" else name()
    return missing and f"{part} needs {missing}, which {who} lacks"


def require(part: str, instead: str = "") -> None:
    """Refuse what this system cannot do, and say what to do instead, as `try --no-isolate`.

    Raises:
        ConvbenchError: it lacks something for the part.
    """
    if why := lacks(part):
        raise ConvbenchError(f"{why}; {' or '.join(filter(None, (instead, elsewhere())))}")


def elsewhere() -> str:
    """Where what this system lacks can be had."""
    return {"Windows": "run convbench in WSL", "Linux": "use another build of Python"}.get(name(), "use Linux")


def libc() -> "CDLL | None":
    """The C library that this process runs on; None on Windows, whose programs may hold several."""
    import ctypes

    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None


def output_of(*command: str) -> str:
    """What a program printed, without the white space around it; "" where it is missing, fails or takes too long."""
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
