"""Where are the parts of a sweep that an engine runs, and how far are they?"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from convbench.errors import ConvbenchError, cause
from convbench.exit_codes import NOTHING, RIGHT, WRONG
from convbench.files import put

RESULTS = (RIGHT, WRONG, NOTHING)  # exit codes after which a shard is done
MOST_FRUITLESS = 3  # submissions of a shard in a row that add no row to its file


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the parts and their logs are, and what the engine knows them by."""

    path: Path

    def part(self, shard: int) -> Path:
        return self.path / f"part-{shard}.csv"

    def log(self, shard: int) -> Path:
        return self.path / f"log-{shard}.txt"

    @property
    def script(self) -> Path:
        """What was submitted."""
        return self.path / "job.sh"

    @property
    def noted(self) -> list[str]:
        """What the engine calls the jobs that were submitted, in order."""
        file = self.path / "jobs.txt"
        return file.read_text().split() if file.exists() else []

    def note(self, job: str) -> None:
        with (self.path / "jobs.txt").open("a") as file:
            file.write(f"{job}\n")

    def rows(self, shard: int) -> int:
        """The rows in a part so far."""
        try:
            return max(0, self.part(shard).read_bytes().count(b"\n") - 1)
        except OSError:  # not there yet
            return 0

    def done(self, shards: int) -> set[int]:
        """The shards whose task came to its end; the directory is read anew, as it may be on a network."""
        found = (re.fullmatch(r"part-(\d+)\.done", name) for name in os.listdir(self.path))
        return {int(one[1]) for one in found if one} & {*range(1, shards + 1)}

    def code(self, shard: int) -> int:
        """The exit code of a shard that is done."""
        return int((self.path / f"part-{shard}.done").read_text())

    def finish(self, shard: int, code: int) -> None:
        """A shard is done; its part is complete."""
        put(str(self.path / f"part-{shard}.done"), f"{code}\n".encode(), overwrite=True)

    def begin(self, script: str) -> None:
        """Create the folder, if it is not there, with what is submitted; the same script is kept.

        Raises:
            ConvbenchError: it cannot be written, or another one is there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.script.exists():
                if self.script.read_text() != script:
                    raise ConvbenchError(f"{self.script} is of another command; name another --folder")
                return
            put(str(self.script), script.encode(), overwrite=False)
        except OSError as error:
            raise ConvbenchError(f"cannot write {self.script}: {cause(error)}; name another --folder") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where the shards are: done, running, waiting in the engine, or given up; and rows in the files so far."""

    done: int
    running: int
    waiting: int
    lost: tuple[int, ...]
    rows: int
