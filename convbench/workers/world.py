"""Which state must a backend leave unchanged, so the next one in its process runs in the same state?

Changes are undone before the next turn. A backend that replaces methods of
torch.Tensor or the clock is caught: no verdict on it is valid. This is not a sandbox. Code in the same
process can reach whatever Python can; docs/isolation.md says what it can still do.
"""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

_HALF = 0.5  # a name, so the compiler does not multiply


def _threads(count: int) -> None:
    torch.set_num_threads(count)


def _determinism(setting: tuple[bool, bool]) -> None:
    if inductor := sys.modules.get("torch._inductor.config"):  # torch's own function would import it, for seconds
        inductor.deterministic = setting[0]  # type: ignore[attr-defined]
    torch._C._set_deterministic_algorithms(setting[0], warn_only=setting[1])  # noqa: SLF001  # it has no public name


def _go_to(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _folder() -> str | None:
    with suppress(OSError):  # it was removed
        return str(Path.cwd())
    return None


def _environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def _handlers() -> dict[int, Any]:
    return {one: signal.getsignal(one) for one in signal.valid_signals()}


def _handle(handlers: dict[int, Any]) -> None:
    for one, handler in handlers.items():
        if handler is not None and signal.getsignal(one) is not handler:  # None was not set from Python
            signal.signal(one, handler)


def _no_alarm(_: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)


def _flushing() -> bool:
    """Whether subnormal numbers are treated as zero on this thread: torch can set that, but not report it."""
    return sys.float_info.min * _HALF == 0


# What, how it is read, how it is set. What `conditions` of a case sets for its own time is not here.
_STATE: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any]], ...] = (
    ("torch's threads", torch.get_num_threads, _threads),
    ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    ("torch's default device", torch.get_default_device, lambda _: torch.set_default_device(None)),
    (
        "torch's determinism",
        lambda: (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()),
        _determinism,
    ),
    ("cuDNN's switch", torch._C._get_cudnn_enabled, torch._C._set_cudnn_enabled),  # noqa: SLF001  # the others warn
    ("oneDNN's switch", torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),  # noqa: SLF001  # it has no public name
    ("subnormal numbers", _flushing, torch.set_flush_denormal),
    ("the working directory", _folder, _go_to),
    ("the signal handlers", _handlers, _handle),
    ("the alarm", lambda: signal.getitimer(signal.ITIMER_REAL)[0], _no_alarm),
    ("the tracer", sys.gettrace, sys.settrace),
    ("the profiler", sys.getprofile, sys.setprofile),
    ("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    ("the thread switch interval", sys.getswitchinterval, sys.setswitchinterval),
    ("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
)


class World:
    """The settings of this process at the time of creation."""

    def __init__(self) -> None:
        self._state = [(what, read, put, read()) for what, read, put in _STATE]
        self._code = [
            (name, place, dict(vars(place))) for name, place in (("torch.Tensor", torch.Tensor), ("time", time))
        ]
        self.keep_environment()

    def keep_environment(self) -> None:
        """Accept the current environment as the original one: a plug-in may set its own when it is imported."""
        self._environment = dict(os.environ)

    def restore(self) -> list[str]:
        """Restore what was changed; returns the names of the replaced functions."""
        replaced = [one for name, place, before in self._code for one in _undo(name, place, before)]
        for _, read, put, before in self._state:
            if read() != before:
                with suppress(OSError):  # the working directory is gone
                    put(before)
        if dict(os.environ) != self._environment:
            _environment(self._environment)
        return replaced


def _undo(name: str, place: Any, before: dict[str, Any]) -> list[str]:
    now: MappingProxyType[str, Any] | dict[str, Any] = vars(place)
    if now == before:
        return []
    replaced = []
    for attribute in {*now, *before}:
        if attribute in before:
            if now.get(attribute) is not before[attribute]:
                setattr(place, attribute, before[attribute])
                replaced.append(f"{name}.{attribute}")
        elif isinstance(place, type) and any(attribute in vars(base) for base in place.__mro__[1:]):
            delattr(place, attribute)  # it hid the inherited one; a new name is harmless
            replaced.append(f"{name}.{attribute}")
    return sorted(replaced)
