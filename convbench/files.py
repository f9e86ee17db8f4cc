"""How is a file read and written safely? Reading is limited in size, and writing loses nothing."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def read_bytes(path: str | Path, most_nbytes: int) -> bytes:
    """The contents of a file.

    Reading a pipe without a writer would never return, and /dev/zero never end.

    Raises:
        OSError: it does not exist, is not a regular file, or has more than `most_nbytes`.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        _refuse(os.fstat(file.fileno()), path, most_nbytes)
        data = file.read(most_nbytes + 1)
    if len(data) > most_nbytes:  # it has grown, or it is in /proc, which reports no sizes
        raise _too_large(len(data), path, most_nbytes)
    return data


def put(path: str | Path, data: bytes, *, overwrite: bool) -> None:
    """Write a file atomically: a reader never sees half of it, and the old content is kept until it is complete.

    Args:
        path: a link is followed to replace an existing file, never to create one.
        data: its new content.
        overwrite: whether to replace an existing file; devices and pipes are written to.

    Raises:
        FileExistsError: it exists, or has appeared meanwhile.
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
            os.link(fresh, place)  # fails if another process was faster
    finally:
        with suppress(FileNotFoundError):
            os.unlink(fresh)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # otherwise opening a pipe waits for a writer


def check(path: str | Path, most_nbytes: int | None = None) -> None:
    """The checks of `read_bytes`, for a file that a library opens.

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


def cache_folder() -> Path | None:
    """CONVBENCH_CACHE, or convbench/ in XDG_CACHE_HOME or ~/.cache; None for a user without a home."""
    if own := os.environ.get("CONVBENCH_CACHE"):
        return Path(own)
    if there := os.environ.get("XDG_CACHE_HOME"):
        return Path(there) / "convbench"
    try:
        return Path.home() / ".cache" / "convbench"
    except RuntimeError:
        return None
