"""What does a terminal show while a command has no output yet?

One line on stderr, `loading PyTorch … 1.2 s`, erased before the first byte of anything else. Only a terminal gets it.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from threading import Event, RLock, Thread, current_thread
from types import ModuleType
from typing import Any, Self, TextIO

LOADING = {"torch": "loading PyTorch", "torchvision": "loading torchvision", "timm": "loading timm"} | {
    name: f"loading {name}" for name in ("transformers", "onnx")
}
PATIENCE_S = 0.5  # what takes no longer needs no line
TICK_S = 0.2
ERASE = "\r\x1b[2K"


class Waiting:
    """The line: there after half a second, or at once where PyTorch is imported; gone with any output.

    A thread writes the seconds. It ends with the first write to stdout or stderr, or a flush of them, and with `hold`.
    So it does not run while something is timed: a command that times says something before it, or holds.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._since = time.monotonic()
        self._lock = RLock()  # Ctrl-C may come while this thread has it, and writes
        self._over = Event()
        self._thread: Thread | None = None
        self._streams: list[TextIO] = []  # whose write and flush are watched
        self._shown = self._held = self._on = False

    def __enter__(self) -> Self:
        if _can_be_erased(sys.stderr):
            self._on = True
            sys.meta_path.insert(0, self)
            self._begin(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):
            sys.meta_path.remove(self)
        self._on = False
        self._end()

    def say(self, words: str) -> None:
        """Go on with other words and from 0 s; after output, and after `hold`, there is a line again."""
        self._words, self._since = words, time.monotonic()
        if self._on:
            self._held = False
            self._begin(PATIENCE_S)

    def hold(self) -> None:
        """Leave the line as it is: nothing is written while something is timed, and no thread runs."""
        self._held = True
        self._stop()
        if self._streams:
            self._draw()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find; the line says so when it is run, for many only ask whether it is there."""
        if name not in LOADING:
            return None
        others = (one for one in list(sys.meta_path) if one is not self)
        spec = next(filter(None, (one.find_spec(name, path, target) for one in others)), None)
        loader: Any = None if spec is None else spec.loader
        with suppress(AttributeError):  # None, and a loader that takes no attribute, are left alone
            loader.exec_module = self._announced(name, loader)
        return spec

    def _announced(self, name: str, loader: Any) -> Callable[[ModuleType], None]:
        def run(module: ModuleType) -> None:
            del loader.exec_module  # its class's own is back
            before, self._words = self._words, LOADING[name]
            self._begin(0)
            try:
                loader.exec_module(module)
            finally:
                self._words = before
                if self._shown:
                    self._draw()

        return run

    def _begin(self, patience_s: float) -> None:
        with self._lock:
            if not self._streams and not self._watch():
                return
            if self._thread is None and not self._held:
                self._over = Event()
                self._thread = Thread(target=self._tick, args=(self._over, patience_s), daemon=True)
                self._thread.start()
        if not patience_s:
            self._draw()

    def _tick(self, over: Event, patience_s: float) -> None:
        over.wait(patience_s)
        while not over.is_set():
            self._draw()
            over.wait(TICK_S)

    def _draw(self) -> None:
        seconds = "" if self._held else f" {time.monotonic() - self._since:.1f} s"
        with self._lock, suppress(OSError):
            if self._over.is_set() and not self._held:
                return
            text = f"{self._words} …{seconds}"[: os.get_terminal_size(2).columns - 3]
            dim, plain = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[2m", "\x1b[m")
            self._shown = True
            # Two spaces: what a library of C writes cannot be seen coming, and is to be read behind it.
            os.write(2, f"{ERASE}{dim}{text}{plain}  ".encode(sys.stderr.encoding, errors="replace"))

    def _watch(self) -> bool:
        """Give way to whatever is written; False where a stream cannot be watched."""
        for stream in (sys.stdout, sys.stderr):
            try:
                for name in ("write", "flush"):
                    setattr(stream, name, self._giving_way(getattr(stream, name)))
            except AttributeError:
                self._unwatch()
                return False
            self._streams.append(stream)
        return True

    def _giving_way(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def give_way(*words: Any) -> Any:
            self._end()
            return call(*words)

        return give_way

    def _unwatch(self) -> None:
        for stream in self._streams:
            for name in ("write", "flush"):
                with suppress(AttributeError):
                    delattr(stream, name)
        self._streams = []

    def _stop(self) -> None:
        with self._lock:
            self._over.set()
            thread, self._thread = self._thread, None
        if thread is not None and thread is not current_thread():
            thread.join(timeout=1)  # Ctrl-C may have come while this thread had the lock that the other waits for

    def _end(self) -> None:
        self._unwatch()
        self._stop()
        self._held = True  # something may be timed from now on: another line would be without seconds
        if self._shown:
            self._shown = False
            with suppress(OSError):
                os.write(2, ERASE.encode())


def _can_be_erased(stream: TextIO | None) -> bool:
    """Whether it is a terminal whose lines can be erased, and what is written to it goes where `os.write` does."""
    try:
        return stream is not None and os.isatty(2) and stream.fileno() == 2 and os.environ.get("TERM") != "dumb"
    except (OSError, ValueError):
        return False
