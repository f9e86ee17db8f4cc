"""May this file be read as a whole, and may it be written? No more than was foreseen, and nothing is lost."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def read_bytes(path: str | Path, most_nbytes: int) -> bytes:
    """What a file holds.

    A pipe that nobody writes to would never answer, and /dev/zero never end.

    Raises:
        OSError: there is none, it is not a regular file, or it holds more than `most_nbytes`.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        _refuse(os.fstat(file.fileno()), path, most_nbytes)
        data = file.read(most_nbytes + 1)
    if len(data) > most_nbytes:  # it has grown, or a file of /proc does not say how large it is
        raise _too_large(len(data), path, most_nbytes)
    return data


def put(path: str | Path, data: bytes, *, overwrite: bool) -> None:
    """Write a file as a whole: a reader meets no half of it, and what was there is lost to nothing but the whole.

    Args:
        path: a link is followed where its file is to be replaced, never where there was none.
        data: what it will hold.
        overwrite: whether a file that is there is replaced; a device or a pipe takes what is written.

    Raises:
        FileExistsError: it has appeared meanwhile, or was there.
        OSError: it cannot be written.
    """
    place = os.path.realpath(path) if overwrite else os.path.abspath(path)
    if overwrite and os.path.exists(place) and not os.path.isfile(place):
        with open(place, "wb") as file:
            file.write(data)
        return
    if not overwrite and os.path.lexists(place):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    folder, name = os.path.split(place)
    fresh = os.path.join(folder, f".{name[:100]}.{os.getpid()}.tmp")
    try:
        with open(fresh, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(fresh, place)
        else:
            os.link(fresh, place)  # fails where somebody was faster
    finally:
        with suppress(FileNotFoundError):
            os.unlink(fresh)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe waits for a writer otherwise


def check(path: str | Path, most_nbytes: int | None = None) -> None:
    """As `read_bytes`, for a file that a library opens: only looked at.

    Raises:
        OSError: as `read_bytes`.
    """
    _refuse(os.stat(path), path, most_nbytes)


def _refuse(found: os.stat_result, path: str | Path, most_nbytes: int | None) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a device")
        raise OSError(errno.EINVAL, f"It is {kind}, not a regular file", str(path))
    if most_nbytes is not None and found.st_size > most_nbytes:
        raise _too_large(found.st_size, path, most_nbytes)


def _too_large(nbytes: int, path: str | Path, most_nbytes: int) -> OSError:
    return OSError(errno.EFBIG, f"It has at least {nbytes:,} bytes, and the limit is {most_nbytes:,}", str(path))
