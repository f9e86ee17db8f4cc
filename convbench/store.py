"""How does a results file grow without losing anything, and how is it read again?"""

import csv
import io
import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from itertools import takewhile
from pathlib import Path
from typing import Self

from convbench.anonymous import ANONYMOUS
from convbench.case import ROW_KEY_COLUMNS
from convbench.errors import ConvbenchError, PipeClosed, cause, one_line, plural, printable
from convbench.files import read_bytes
from convbench.machine import Machine
from convbench.outcome import Result
from convbench.rows import Cell, Row, cell_text, csv_line, from_row, text_row, unguard
from convbench.schema import COLUMNS, OLDEST, SCHEMA
from convbench.table_file import decimal_points, delimiter_of, table_text

# On Windows a line break would be written as two bytes without O_BINARY.
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
MOST_NBYTES = 2**30  # of a results file; a long sweep makes some hundred megabytes

_HEADER = csv_line(dict(zip(COLUMNS, COLUMNS, strict=True)))


@dataclass(slots=True)
class CsvFile:
    """A CSV file that grows case by case; what is in it survives whatever happens next.

    The rows of a case are one write to a file opened for appending, then fsync: a kill leaves
    complete cases, except during that write. `plan` continues such a file, whatever the order of its cases. Its rows
    are kept in memory too, and restored if another program deletes, replaces or changes the file meanwhile.

    Attributes:
        plan: the rows of the whole run, case by case, as far as they are known in advance.
            With it an existing file is continued, after an incomplete case is cut off.
        across: whether rows of other processors and versions are continued.
        tell: receives a line about what another program did to the file.
        finished: the rows of the complete cases in the file.
        done: which cases of the plan these are, counted from 0, in the order of the file.

    Raises:
        ConvbenchError: the file exists, cannot be created, or can no longer be written; or it has rows
            that are not of the plan.
    """

    path: str
    overwrite: bool = False
    plan: Sequence[Sequence[Row]] | None = None
    tell: Callable[[str], None] = lambda _: None
    across: bool = False
    finished: list[dict[str, str]] = field(init=False, default_factory=list)
    done: list[int] = field(init=False, default_factory=list)
    _descriptor: int = field(init=False)
    _place: str = field(init=False)  # whatever becomes of the working directory
    _target: str = field(init=False)  # where that leads, if it is a link
    _kept: list[bytes] = field(init=False, default_factory=list)
    _kept_nbytes: int = field(init=False, default=0)
    _sound: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        self._place, self._target = os.path.abspath(self.path), os.path.realpath(self.path)
        if self.path == "-":
            sys.stdout.flush()
            self._descriptor = sys.stdout.fileno()
            self._write(_HEADER)
        else:
            old = self.overwrite or self.plan is not None
            flags = _APPEND | (0 if old else os.O_EXCL)
            try:
                self._descriptor = os.open(self.path, flags, 0o644)
                if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                    if not _lock(self._descriptor):
                        os.close(self._descriptor)
                        raise ConvbenchError(
                            f"{self.path} is being written by another convbench; wait, or name another file"
                        )
                    if self.overwrite:
                        os.ftruncate(self._descriptor, 0)
            except FileExistsError:
                raise ConvbenchError(
                    f"{self.path} exists; name another file, replace it with --overwrite, or continue it with --resume"
                ) from None
            except OSError as error:
                raise ConvbenchError(f"cannot write {self.path}: {error.strerror}; try another --csv") from None
            try:
                if self.plan is None or not self._go_on(self.plan):
                    self._write(_HEADER)
            except ConvbenchError:
                os.close(self._descriptor)
                raise

    def append(self, *rows: Mapping[str, Cell]) -> None:
        """Write rows all at once."""
        self.mend()
        self._write("".join(map(csv_line, rows)))

    def mend(self, *, thorough: bool = False) -> None:
        """Restore the rows if another program deleted, replaced or changed the file; `thorough` compares every byte.

        Raises:
            ConvbenchError: they cannot be written anywhere.
        """
        if not self._regular or not self._sound or (harm := self._harm(thorough)) is None:
            return
        try:
            place = self._put_back()
        except OSError as error:
            self._sound = False
            raise ConvbenchError(
                f"{self.path} was {harm} by another program, and cannot be rewritten: {error.strerror}"
            ) from None
        rows = b"".join(self._kept).count(b"\n") - 1
        self.tell(f"{self.path} was {harm} by another program; its rows so far ({rows}) have been restored in {place}")

    @property
    def _regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._descriptor).st_mode) and self.path != "-"

    def _harm(self, thorough: bool) -> str | None:
        own, nbytes = os.fstat(self._descriptor), self._kept_nbytes
        try:
            there = os.stat(self._place)
        except OSError:
            return "renamed" if own.st_nlink else "deleted"
        if not os.path.samestat(own, there):
            return "replaced"
        if there.st_size != nbytes:
            return "cut short" if there.st_size < nbytes else "written to"
        return "changed" if thorough and read_bytes(self._place, nbytes) != b"".join(self._kept) else None

    def _put_back(self) -> str:
        """A new file in place of the old one, or next to it if that fails; a reader never sees half of it."""
        if os.path.realpath(self._place) != self._target:
            self._target = self._place  # a link that leads elsewhere now is replaced, not followed
        os.makedirs(os.path.dirname(self._target), exist_ok=True)
        fresh = f"{self._target}.{os.getpid()}.csv"
        descriptor = os.open(fresh, _APPEND | os.O_EXCL, 0o644)
        try:
            _lock(descriptor)  # before anything can find it
            os.chmod(fresh, stat.S_IMODE(os.fstat(self._descriptor).st_mode))
            _write_all(descriptor, b"".join(self._kept))
            os.fsync(descriptor)
        except OSError:
            os.close(descriptor)
            os.unlink(fresh)
            raise
        try:
            os.replace(fresh, self._target)
        except OSError:  # there is a directory
            self._place = self._target = fresh
        os.close(self._descriptor)
        self._descriptor = descriptor
        return self._target

    def _go_on(self, plan: Sequence[Sequence[Row]]) -> bool:
        """Keep the complete cases, cut off the rest; False if there is not even a header."""
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise ConvbenchError(f"--resume {self.path}: it is not a regular file; give one with --csv FILE")
        try:
            data = read_bytes(self.path, MOST_NBYTES)
        except OSError as error:
            raise ConvbenchError(f"--resume {self.path}: {error.strerror}") from None
        if _HEADER.encode().startswith(data) and data[-1:] != b"\n":
            os.ftruncate(self._descriptor, 0)
            return False
        try:
            whole = whole_cases(data, plan, across=self.across)
        except ConvbenchError as error:
            raise ConvbenchError(f"--resume {self.path}: {error}; the file is unchanged") from None
        self.finished, self.done = whole.rows, whole.done
        self._kept, self._kept_nbytes = [whole.data], len(whole.data)
        if data.startswith(whole.data):
            os.ftruncate(self._descriptor, self._kept_nbytes)
        else:  # rows are missing in the middle
            try:
                self._put_back()
            except OSError as error:
                raise ConvbenchError(f"--resume {self.path}: {error.strerror}; the file is unchanged") from None
        return True

    def _write(self, text: str) -> None:
        data = text.encode()
        regular = self._regular
        size = os.fstat(self._descriptor).st_size
        self._sound = False  # Ctrl-C may come in between: nothing is to be mended then
        try:
            _write_all(self._descriptor, data)
            if regular:
                os.fsync(self._descriptor)
                self._kept.append(data)
                self._kept_nbytes += len(data)
            self._sound = True
        except BrokenPipeError:  # `--csv - | head` has read enough
            raise PipeClosed("stdout was closed") from None
        except OSError as error:
            if regular:
                with suppress(OSError):  # the disk is going: --resume cuts a torn row off
                    os.ftruncate(self._descriptor, size)  # half a row would make the whole file unreadable
            raise ConvbenchError(
                f"cannot write {self.path}: {error.strerror}; the rows before this one are kept"
            ) from None

    def close(self) -> None:
        if self.path == "-":
            return
        try:
            self.mend(thorough=True)
        finally:
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lock(descriptor: int) -> bool:
    """Whether we have exclusive access to the file; the lock ends with the process, however it dies."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


_CASE = tuple(column for column in ROW_KEY_COLUMNS if column != "backend")
# What must be the same to continue a run, besides the case; the other columns are its results. The host's name may
# differ: an engine may give the work to another machine of the same kind.
_PLANNED = ("backend", "count", "family", "schema")
_OF_MACHINE = tuple(one.name for one in fields(Machine) if one.name != "machine")
# Options that change nothing in a finished row, with the number of words that follow each.
_FREE_OPTIONS = {
    "--resume": 0,
    "--overwrite": 0,
    "--wait-until-quiet": 0,
    "--across": 0,
    "--shard": 1,
    "--csv": 1,
    "--keep": 1,
    "--timeout": 1,
    "--memory-limit": 1,
    "--json": 0,
    "--junit": 1,
    "--markdown": 1,
    "--bmf": 1,
    "--github-benchmark": 1,
    "--percentiles": 0,
}


@dataclass(frozen=True, slots=True)
class WholeCases:
    """The rows of the complete cases, which cases of the plan they are, and the file with nothing else in it."""

    rows: list[dict[str, str]]
    done: list[int]
    data: bytes


def whole_cases(data: bytes, plan: Sequence[Sequence[Row]], *, across: bool = False) -> WholeCases:
    """The part of a CSV file that need not be run again: its complete cases, in any order.

    Args:
        data: the file. No cell contains a line break, so a line is a row.
        plan: as `CsvFile.plan`.
        across: whether rows of other processors and versions count.

    Raises:
        ConvbenchError: a row is of another run.
    """
    lines = data.split(b"\n")[:-1]  # what follows the last line break is torn
    try:
        rows = _cells((line.decode(errors="replace") for line in lines), len(data))
    except ValueError as error:
        raise ConvbenchError(f"it is damaged ({error})") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ConvbenchError("it has different columns than this version of convbench")
    complete = takewhile(lambda cells: len(cells) == len(COLUMNS), rows[1:])  # an editor may have ended a torn line
    found = [dict(zip(COLUMNS, cells, strict=True)) for cells in complete]
    places: dict[tuple[str, ...], list[int]] = {}
    for place, case in enumerate(plan):
        places.setdefault(_case_of(text_row(case[0])), []).append(place)
    same = _PLANNED if across else (*_PLANNED, *_OF_MACHINE)
    whole, done, number = [0], [], 0  # numbers of lines, of which the first is the header
    while number < len(found):
        own = _case_of(found[number])
        if not (left := places.get(own)):
            raise ConvbenchError(f"row {number + 2} {_stranger(found[number], own in places, plan)}")
        case = plan[left[0]]
        rows_of_it = list(takewhile(lambda row: _case_of(row) == own, found[number : number + len(case)]))  # noqa: B023  # used at once
        for place, (row, planned) in enumerate(zip(rows_of_it, case, strict=False), start=number + 2):
            named = {row["machine"], cell_text(planned.get("machine"))}
            for column in (*same, *(["machine"] if ANONYMOUS in named else ())):
                if (here := row[column]) != (there := cell_text(planned.get(column))):
                    hint = "; --across continues it anyway" if column in _OF_MACHINE else ""
                    raise ConvbenchError(f"row {place} has {column} {here!r}, this run has {there!r}{hint}")
            here, there = _essence(row["command"]), _essence(cell_text(planned.get("command")))
            if here != there:
                raise ConvbenchError(f"row {place} was made {_difference(here, there)}")
        if len(rows_of_it) == len(case):
            done.append(left.pop(0))
            whole += range(number + 1, number + 1 + len(case))
        number += len(rows_of_it)
    kept = [{column: unguard(cell) for column, cell in found[line - 1].items()} for line in whole[1:]]
    return WholeCases(kept, done, b"".join(lines[line] + b"\n" for line in whole))


def _case_of(row: Mapping[str, str]) -> tuple[str, ...]:
    """What tells the rows of a case from those of others."""
    return tuple(row[column] for column in _CASE)


def _stranger(row: Mapping[str, str], known: bool, plan: Sequence[Sequence[Row]]) -> str:
    """How a row differs from all cases of a run: by a single column where it does, for a message."""
    if known:
        return "repeats a case; convbench merge keeps each case once"
    own = _case_of(row)
    for case in plan:
        other = _case_of(text_row(case[0]))
        odd = [one for one in zip(_CASE, own, other, strict=True) if one[1] != one[2]]
        if len(odd) == 1:
            column, here, there = odd[0]
            return f"has {column} {here!r}, this run has {there!r}"
    return f"is of {row['name']} ({row['spec']}, {row['device']}, {row['dtype']}), which is not in this run"


def _essence(command: str) -> str:
    """A command without options that do not affect its rows."""
    try:
        words, kept = iter(shlex.split(command)), []
    except ValueError:  # no command of ours
        return command
    for word in words:
        name, has_value, _ = word.partition("=")
        if name not in _FREE_OPTIONS:
            kept.append(word)
        elif not has_value:
            for _ in range(_FREE_OPTIONS[name]):
                next(words, None)
    return shlex.join(kept)


def _difference(here: str, there: str) -> str:
    """How the command of a row differs from that of this run, by the words that differ."""
    mine, yours = here.split(), there.split()
    same = [one == other for one, other in zip(mine, yours, strict=False)]
    first = same.index(False) if False in same else len(same)
    if first and mine[first - 1].startswith("--"):  # an option of this value
        first -= 1
    old, new = (" ".join(words[first : first + 2]) for words in (mine, yours))
    if not old:
        return f"without {new!r}, which this run has"
    return f"with {old!r}, but this run has {new!r}" if new else f"with {old!r}, which this run does not have"


def first_time(path: str | Path) -> str:
    """When the first row of a file of ours was written, in UTC; "" if it has none, or cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            lines = [file.readline(MOST_NBYTES), file.readline(MOST_NBYTES)]
        header, *rows = _cells(lines, MOST_NBYTES)
    except (OSError, ValueError):
        return ""
    return dict(zip(header, rows[0], strict=False)).get("time", "") if rows and rows[0] else ""


def read_rows(path: str | Path, *, tell: Callable[[str], None] = lambda _: None) -> list[dict[str, str]]:
    """The rows of a results file, every cell as text, without the guard against spreadsheets.

    The file may be compressed (gzip), of UTF-8 or UTF-16, with semicolons or tabs, and may be several files in one: a
    header in the middle is that of the rows after it.

    Args:
        tell: receives a line about headers in the middle.

    Raises:
        ConvbenchError: there is no such file, or it is not a results file.
    """
    return list(_numbered_rows(path, tell).values())


def _numbered_rows(path: str | Path, tell: Callable[[str], None]) -> dict[int, dict[str, str]]:
    """As `read_rows`, by the number of the row, blank ones not counted."""
    try:
        text = table_text(read_bytes(path, MOST_NBYTES), MOST_NBYTES)
        delimiter = delimiter_of(next(iter(text.splitlines()), ""))
        lines = io.StringIO(text, newline="")
        rows = [row for row in _cells(lines, len(text), strict=True, delimiter=delimiter) if "".join(row).strip()]
        if not rows:
            raise ValueError("it is empty")
    except (OSError, ValueError) as error:
        raise ConvbenchError(
            f"cannot read {path}: {cause(error)}; give a CSV file from convbench bench or verify"
        ) from None
    nothing = dict.fromkeys(COLUMNS, "")
    plain = "".join(text.splitlines()).isprintable()  # otherwise a cell could control the terminal that shows it
    clean = unguard if plain else lambda cell: printable(unguard(cell))
    header, again, found = _header(path, rows[0]), [], {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > 1 and row[:2] == header[:2]:
            header = _header(path, row)
            again.append(number)
            continue
        if len(row) != len(header):
            raise ConvbenchError(f"{path}, row {number} is damaged: it has {len(row)} cells for {len(header)} columns")
        # A spreadsheet may have added columns without a name.
        own = nothing | {column: clean(cell) for column, cell in zip(header, row, strict=True) if column}
        if delimiter != ",":
            own = {column: cell if column in _WORDS else decimal_points(cell) for column, cell in own.items()}
        _check_schema(path, number, own["schema"])
        found[number] = own
    if again:
        tell(f"{path} holds several files in one: row {', row '.join(map(str, again[:5]))} is a header again")
    return found


# Text that may hold a number with a comma of its own.
_WORDS = ("suite", "name", "reason", "cause", "command", "machine", "cpu", "gpu", "defect", "flag", "throttle")


def _header(path: str | Path, header: list[str]) -> list[str]:
    missing = [column for column in OLDEST if column not in header]
    if missing and set("nchwkrs") <= set(header):
        raise ConvbenchError(
            f"{path} is a suite, as convbench model --csv writes, and not results: give it to bench or verify as "
            f"--suite {path}, in Python as bench(on={str(path)!r})"
        )
    if missing:
        raise ConvbenchError(
            f"{path} lacks the columns {', '.join(missing[:5])}; is it from convbench bench or verify?"
        )
    twice = [column for column in COLUMNS if header.count(column) > 1]
    if twice:
        raise ConvbenchError(f"{path} has the column {twice[0]} twice; remove one of them")
    return header


def _check_schema(path: str | Path, number: int, schema: str) -> None:
    if schema and not (schema.isascii() and schema.isdecimal() and len(schema) < len(str(MOST_NBYTES))):
        raise ConvbenchError(f"{path}, row {number} is damaged: its schema is {one_line(schema, 40)!r}")
    if schema and int(schema) > SCHEMA:  # its rows may differ in an unknown column
        raise ConvbenchError(
            f"{path} has schema {schema}, but this convbench reads up to {SCHEMA}; use a newer convbench"
        )


def _cells(lines: Iterable[str], nbytes: int, *, strict: bool = False, delimiter: str = ",") -> list[list[str]]:
    """The cells of each line, of any length; `strict` refuses an unclosed quote.

    Raises:
        ValueError: it is not a CSV.
    """
    reader = csv.reader(lines, strict=strict, delimiter=delimiter)
    before = csv.field_size_limit(max(nbytes, 1))  # the samples of a long run are one long cell
    try:
        return list(reader)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    finally:
        csv.field_size_limit(before)


def read_results(path: str | Path) -> list[Result]:
    """The results in a CSV file, in order; numbers have the digits that were written.

    Raises:
        ConvbenchError: as `read_rows`, or a row is damaged.
    """
    return [result for _, result in read_pairs(path)]


def read_pairs(
    path: str | Path, *, tell: Callable[[str], None] = lambda _: None
) -> list[tuple[dict[str, str], Result]]:
    """Each row of a CSV file with its result: the row has the machine, too.

    Further attempts in a merged file are left out: what counts is the first. A wrong answer always counts.

    Args:
        tell: as `read_rows`.

    Raises:
        ConvbenchError: as `read_results`.
    """
    pairs, again = [], 0
    for number, row in _numbered_rows(path, tell).items():
        if row["attempt"] and row["outcome"] != "wrong":
            again += 1
            continue
        try:
            pairs.append((row, from_row(row)))
        except (ValueError, ConvbenchError) as error:
            raise ConvbenchError(f"{path}, row {number} is damaged: {error}") from None
    if again:
        tell(f"{path} has {plural(again, 'row')} of further attempts, which are left out")
    return pairs
