"""A folder for the files of the exports, which are as large as the model, and which nothing may leave behind."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# It waits until its stdin ends, as it does however the process that has the other end is ended. What that one started
# ends with it, and may have written a file meanwhile: hence three times.
_REMOVE = """
import shutil, sys, time
sys.stdin.read()
for wait_s in (0, 0.2, 2):
    time.sleep(wait_s)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields a new folder; a process of its own removes it, even if this one is killed."""
    with (
        tempfile.TemporaryDirectory(prefix="convbench-optimize-", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(  # noqa: S603  # our own code
            [sys.executable, "-I", "-S", "-c", _REMOVE, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        ) as remover,
    ):
        try:
            yield Path(folder)
        finally:
            remover.kill()  # here it is removed at once
