"""Does a sweep keep its promises while its backends misbehave and it is killed again and again?

`python -m tests.chaos --kills 50` runs an isolated sweep with backends that crash, hang, exit and eat
memory, kills it with SIGKILL at random moments, goes on with --resume, and checks: the CSV can
be read at any moment, no finished row is lost or done again, every case and backend stands in
it exactly once with the right outcome, and no process is left behind.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

TIMEOUT_S, MEMORY_GIB = 8, 1.0
# What each backend does when it is its turn, and how its row must say so.
MISCHIEF = {
    "segfault": ("ctypes.string_at(0)", r"died of SIGSEGV while being verified"),
    "abort-late": ("if seen.append(1) or len(seen) > 9: os.abort()", r"died of SIGABRT while being timed"),
    "sleeps": ("time.sleep(1e6)", rf"hung: no answer within {TIMEOUT_S} s while being verified; killed"),
    # A loop in C that lets no Python run, in a process that heeds no polite signal.
    "spins": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); collections.deque(itertools.repeat(0), maxlen=0)",
        rf"hung: no answer within {TIMEOUT_S} s while being verified; killed",
    ),
    "hoards": (
        "while seen.append(bytearray(b'x') * 2**27) is None: time.sleep(0.05)",
        rf"used more than {MEMORY_GIB} GiB while being verified; killed",
    ),
    "leaves": ("os._exit(0)", r"exited with code 0 while being verified"),
    "has-children": (
        "subprocess.Popen(['sleep', '1000'], start_new_session=True); os._exit(7)",
        r"exited with code 7 while being verified",
    ),
    "quits": ("sys.exit(0)", r"SystemExit: 0 \([\w-]+\.py:\d+\)"),
    "raises": ("raise ValueError('not today')", r"ValueError: not today \([\w-]+\.py:\d+\)"),
}
GOOD = ("torch", "unfold-matmul", "chatty")
EVERY = 3  # each misbehaves in every third case, so that all meet all kinds of neighbours

PLUGIN = """
import collections, ctypes, itertools, os, signal, subprocess, sys, time
import torch.nn.functional as F
from convbench import backend

seen = []

def right(x, w, spec):
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

@backend(family="direct", source="chaos")
def chatty(x, w, spec):
    os.write(1, b"noise on stdout\\n")
    return right(x, w, spec)
"""
FUNCTION = """
@backend(family="direct", source="chaos")
def {name}(x, w, spec):
    if spec.k % {every} == {turn}:
        {deed}
    return right(x, w, spec)
"""


def plugin() -> str:
    """The source of the plug-in that holds all of them."""
    return PLUGIN + "".join(
        FUNCTION.format(name=name.replace("-", "_"), every=EVERY, turn=number % EVERY, deed=deed)
        for number, (name, (deed, _)) in enumerate(MISCHIEF.items())
    )


@dataclass(slots=True, kw_only=True)
class Chaos:
    """One file after the other is filled by a sweep that is killed until all kills are spent."""

    folder: Path
    kills: int
    cases: int
    rng: random.Random
    marker: str = field(default_factory=lambda: f"CONVBENCH_CHAOS={uuid.uuid4()}", init=False)
    killed: int = field(default=0, init=False)
    files: int = field(default=0, init=False)
    looks: int = field(default=0, init=False)
    resumed: int = field(default=0, init=False)

    def run(self) -> str:
        """Everything; the summary. Raises AssertionError at the first broken promise."""
        (self.folder / "mischief.py").write_text(plugin())
        start = time.monotonic()
        while self.files == 0 or self.killed < self.kills:
            self.files += 1
            self.fill(self.folder / f"rows{self.files}.csv")
        rows = self.files * self.cases * len(self.backends)
        return (
            f"chaos: {self.killed} kills, {self.resumed} of them after finished cases, {self.looks} looks at the CSV, "
            f"{rows} rows in {self.files} files all there once and right, no process left, "
            f"{time.monotonic() - start:.0f} s"
        )

    @property
    def backends(self) -> tuple[str, ...]:
        return (*GOOD, *MISCHIEF)

    @property
    def out(self) -> Path:
        return self.folder / "stdout.txt"

    @property
    def err(self) -> Path:
        return self.folder / "stderr.txt"

    def fill(self, path: Path) -> None:
        """One sweep, killed and gone on with until it is complete."""
        before = b""
        while True:
            process = self.start(path)
            if self.killed < self.kills:
                self.wait(process, path)
            ended = process.poll() is not None
            if self.killed < self.kills and not ended:
                os.kill(process.pid, signal.SIGKILL)
                self.killed += 1
                sys.stderr.write(f"kill {self.killed} of {self.kills}\n")
            process.wait(600)
            self.nobody_left()
            before = self.whole(path, before)
            if process.returncode != -signal.SIGKILL:
                assert process.returncode == 1, self.err.read_text()  # some failed, as they should
                assert b"noise" not in self.out.read_bytes()
                break
            self.resumed += before.count(b"\n") > 1
        self.right(path)
        assert self.start(path).wait(600) == 1, self.err.read_text()
        assert path.read_bytes() == before, "a complete file was changed"
        assert self.out.read_bytes().count(b"\n") == before.count(b"\n"), "the rows of a complete file are not shown"

    def start(self, path: Path) -> "subprocess.Popen[bytes]":
        shapes = ",".join(f"n1c2h6w5k{number}r3s3" for number in range(1, self.cases + 1))
        name, _, value = self.marker.partition("=")
        words = f"bench --shape {shapes} --backend {','.join(self.backends)} --plugin mischief.py --threads 1 "
        words += f"--budget 0.05 --min-rounds 3 --timeout {TIMEOUT_S} --memory-limit {MEMORY_GIB} --resume --csv {path}"
        with self.out.open("wb") as out, self.err.open("wb") as err:  # a pipe that nobody reads would hang the chatty
            return subprocess.Popen(
                [sys.executable, "-m", "convbench", *words.split()],
                cwd=self.folder,
                env=os.environ | {name: value},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def wait(self, process: "subprocess.Popen[bytes]", path: Path) -> None:
        """Until a random moment: at any time, while workers are at work, or soon after a case was finished."""
        size = path.stat().st_size if path.exists() else 0
        ready: Callable[[], bool] = self.rng.choice(
            [
                lambda: True,
                lambda: len(self.processes()) > 2,
                lambda: path.exists() and path.stat().st_size > size + 1000,
                lambda: path.exists() and path.stat().st_size > size + 1000,
            ]
        )
        self.until(lambda: ready() or process.poll() is not None, 300)
        moment = time.monotonic() + self.rng.uniform(0, 4)
        while time.monotonic() < moment and process.poll() is None:
            time.sleep(self.rng.uniform(0, 1))
            if path.exists() and path.stat().st_size:
                pd.read_csv(path)
                self.looks += 1

    def whole(self, path: Path, before: bytes) -> bytes:
        """What the file holds of whole cases; what it held before must still be there, untouched."""
        data = path.read_bytes() if path.exists() else b""
        assert data.startswith(before), "a finished row was changed or lost"
        if data:
            frame = pd.read_csv(path)
            self.looks += 1
            assert not frame.duplicated(["spec", "backend"]).any(), "a row was done twice"
        lines = data.splitlines(keepends=True)
        count = (len(lines) - 1) // len(self.backends) * len(self.backends)
        return b"".join(lines[: count + 1]) if count > 0 else b""

    def right(self, path: Path) -> None:
        """Every case and backend once, with the outcome that it must have."""
        frame = pd.read_csv(path)
        assert len(frame) == self.cases * len(self.backends)
        assert not frame.duplicated(["spec", "backend"]).any()
        turns = {name: number % EVERY for number, name in enumerate(MISCHIEF)}
        for row in frame.itertuples():
            where = f"{row.backend} on {row.spec}: {row.outcome} {row.reason}"
            if row.backend in MISCHIEF and int(str(row.k)) % EVERY == turns[str(row.backend)]:
                assert row.outcome == "failed", where
                assert re.fullmatch(MISCHIEF[str(row.backend)][1], str(row.reason)), where
            else:
                assert row.outcome == "timed", where

    def processes(self) -> list[str]:
        """The processes that carry our marker: the sweep, its server, a worker, what that left."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.marker.encode() in path.read_bytes().split(b"\0"):
                    found.append((path.parent / "cmdline").read_text().replace("\0", " ")[:80])
            except OSError:
                continue
        return found

    def nobody_left(self) -> None:
        """The parent is gone; so must be everything that it ever started, within seconds."""
        assert self.until(lambda: not self.processes(), 15), f"left behind: {Counter(self.processes())}"

    @staticmethod
    def until(true: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if true():
                return True
            time.sleep(0.05)
        return true()


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cases", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(folder=Path(folder), kills=given.kills, cases=given.cases, rng=random.Random(given.seed))
        sys.stdout.write(chaos.run() + "\n")


if __name__ == "__main__":
    main()
