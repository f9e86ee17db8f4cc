"""Where is machine code kept between processes, and when may it be used again?

One file for each kernel in convbench's cache folder, named after all that decides its code. A file is its checksum and
the object; one that is damaged counts as none. A folder that cannot be written is no error: the code is then only kept
in memory.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from convbench.files import read_bytes

MOST_NBYTES = 1 << 24  # a kernel has some kilobytes
_MARK = b"convbench object 1\n"


def path_of(folder: Path | None, key: str) -> Path | None:
    """The file of a key."""
    return None if folder is None else folder / "kernels" / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.o"


def load(folder: Path | None, key: str) -> bytes | None:
    """The object of a key; None if there is none, or not in one piece."""
    path = path_of(folder, key)
    if path is None:
        return None
    try:
        data = read_bytes(path, MOST_NBYTES)
    except OSError:
        return None
    start = len(_MARK) + 32
    sound = data.startswith(_MARK) and hashlib.sha256(data[start:]).digest() == data[len(_MARK) : start]
    return data[start:] if sound else None


def keep(folder: Path | None, key: str, code: bytes) -> bool:
    """Write an object by a rename, so that a reader sees all of it or nothing; whether it could be written."""
    path = path_of(folder, key)
    if path is None:
        return False
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MARK + hashlib.sha256(code).digest() + code)
            os.replace(name, path)  # two processes write the same bytes: either may be last
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return True
    return False
