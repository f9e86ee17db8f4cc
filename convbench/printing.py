"""Where does third-party code print? On stderr: stdout holds the result, which another program may read."""

import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from typing import TypeVar

from convbench.system import libc

Item = TypeVar("Item")


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """What is printed meanwhile goes to stderr: by Python, by C, by a child, by a write to file 1."""
    if isinstance(sys.stdout, TextIOWrapper):  # past its own flush, from which Waiting takes that it is written to
        TextIOWrapper.flush(sys.stdout)
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if (c := libc()) is not None:
            c.fflush(None)  # C keeps what it prints where stdout is no terminal
        os.dup2(own, 1)
        os.close(own)


def each_prints_to_stderr(source: Iterable[Item]) -> Iterator[Item]:
    """The same items; what is printed while one is made goes to stderr."""
    items = iter(source)
    end = object()
    try:
        while True:
            with prints_to_stderr():
                item = next(items, end)
            if item is end:
                return
            yield item  # type: ignore[misc]  # it is an Item if it is not the end
    finally:
        if isinstance(items, Generator):
            items.close()
