"""Which runs has this folder kept, and which of them is meant?

A kept run is a results file in `.convbench/`, plain CSV: it can be read, copied, committed and deleted like any other.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from convbench.errors import ConvbenchError, plural, printable, unknown
from convbench.store import first_time

FOLDER = Path(".convbench")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_HOW = "keep one with convbench bench --keep NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A kept run: its name, its file, and when its first row was written."""

    name: str
    path: Path
    time: str


def kept_file(name: str) -> Path:
    """Where a run of this name is kept.

    Raises:
        ConvbenchError: it is no name for a file on every system.
    """
    if _NAME.fullmatch(name) is None:
        raise ConvbenchError(
            f"--keep {printable(name)[:100]!r}: a name has up to 100 letters, digits and _ . + -, and begins with none "
            f"of the last three"
        )
    return FOLDER / f"{name}.csv"


def make_folder() -> None:
    """Make the folder of kept runs.

    Raises:
        ConvbenchError: it cannot be made here.
    """
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        raise ConvbenchError(f"cannot create {FOLDER}/: {error.strerror}; name a file with --csv") from None


def kept_runs(tell: Callable[[str], None] = lambda _: None) -> list[Kept]:
    """The kept runs, the oldest first, by the time of their first row; `tell` receives what has no row."""
    found, empty = [], []
    for path in FOLDER.glob("*.csv"):
        if time := first_time(path):
            found.append((time, path.stat().st_mtime_ns, Kept(name=path.stem, path=path, time=time)))
        else:
            empty.append(path.name)
    if empty:
        tell(f"left out: {', '.join(sorted(empty))} in {FOLDER}/, without a row")
    return [one for *_, one in sorted(found, key=lambda three: (*three[:2], three[2].name))]


def find_run(word: str) -> Kept | None:
    """The kept run of this name; None if the word is a file, or cannot be a name."""
    path = Path(word)  # a folder of that name is none of a run; a pipe may be one
    if (path.exists() and not path.is_dir()) or word.endswith(".csv") or _NAME.fullmatch(word) is None:
        return None
    runs = {one.name: one for one in kept_runs()}
    if word in runs:
        return runs[word]
    if not runs:
        raise ConvbenchError(f"{word} is no file, and {FOLDER}/ has no kept run; {_HOW}")
    raise unknown("kept run", word, runs, f", or a file; {_HOW}")


def last_two() -> tuple[Kept, Kept]:
    """The newest two kept runs, the older one first.

    Raises:
        ConvbenchError: there are not two.
    """
    runs = kept_runs()
    if len(runs) < 2:
        raise ConvbenchError(
            f"compare needs two files, or two kept runs, and {FOLDER}/ has {plural(len(runs), 'run')}; give BEFORE "
            f"AFTER, or {_HOW}"
        )
    return runs[-2], runs[-1]


def newest_after(before: Kept) -> Kept:
    """The newest kept run, which must be newer than this one.

    Raises:
        ConvbenchError: this one is the newest.
    """
    newest = kept_runs()[-1]
    if newest.name == before.name:
        raise ConvbenchError(f"{before.name} is the newest kept run; name the run to compare it with, or {_HOW}")
    return newest
