"""What the user can mend, in one line."""

import os
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from sysconfig import get_paths
from traceback import walk_tb

MOST_NAMES = 16
MOST_CHARACTERS = 1000  # of what foreign code says; a screen holds no more
# Folders of packages, and those into which torch.compile writes.
INSTALLED = re.compile(r"[/\\](site-packages|dist-packages|torchinductor_[^/\\]*)[/\\]")


class ConvbenchError(Exception):
    """One line that says what was given, what is allowed and what to try.

    The command line prints it to stderr and exits with 2; there is no traceback.
    """


class PipeClosed(ConvbenchError):  # noqa: N818  # it says what happened
    """Whoever read stdout has read enough: no error to tell of, as in `--csv - | head`."""


class NothingSelected(ConvbenchError):  # noqa: N818  # it says what happened
    """No case or no backend is left to be run.

    Attributes:
        wrong: whether something was found wrong all the same, in the test vectors themselves.
    """

    def __init__(self, message: str, *, wrong: bool = False) -> None:
        super().__init__(message)
        self.wrong = wrong


def unknown(what: str, given: str, allowed: Iterable[str], more: str = "") -> ConvbenchError:
    """The error for a name that is not in a list of names; `more` is what else may be given, or where the list is."""
    names = sorted(allowed)
    near = get_close_matches(given, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    choice = ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} names, {names[0]} to {names[-1]}"
    return ConvbenchError(f"unknown {what} {given!r}: choose from {choice}{more}{hint}")


def check_words(what: str, given: Iterable[str], allowed: Sequence[str]) -> list[str]:
    """The words in small letters; raise where one is not among `allowed`."""
    chosen = [word.lower() for word in given]
    for word in chosen:
        if word not in allowed:
            raise unknown(what, word, allowed)
    return chosen


def cause(error: Exception) -> str:
    """Why a file cannot be read, in the system's words and without their number."""
    return str(getattr(error, "strerror", None) or error)


def printable(text: str) -> str:
    """White space as single spaces; what would steer a terminal (escapes, bells, turned text) by its code."""
    words = " ".join(text.split())
    if words.isprintable():
        return words
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """What foreign code says, as one printable line of at most `most` characters and a word on what is cut."""
    line = printable(text[: most + 1])
    return line if max(len(text), len(line)) <= most else f"{line[:most]}... ({len(text):,} characters)"


def first_line(error: BaseException) -> str:
    """What a foreign exception says, the first line of it; saying it is foreign code too."""
    try:
        text = str(error)
    except BaseException as other:  # whatever it raises
        return f"(asked for its words it raised {type(other).__name__})"
    return one_line(text.strip().partition("\n")[0])


def in_words(error: BaseException, *, kind: str = "") -> str:
    """What foreign code raised: `ValueError: x is not finite (my_conv.py:12)`; `kind` stands for its type."""
    words = ": ".join(filter(None, (kind or type(error).__name__, first_line(error))))
    return f"{words} ({where})" if (where := place(error)) else words


def place(error: BaseException) -> str:
    """The last line of a file of the user's own on an exception's way, as `my_conv.py:12`; "" where there is none.

    What is installed, convbench's own files and what a compiler wrote are nobody's to mend.
    """
    found = ""
    folders = [get_paths()["stdlib"], get_paths()["platstdlib"], str(Path(__file__).parent)]
    not_theirs = ("<", *(folder + os.sep for folder in folders))
    traceback = BaseException.__dict__["__traceback__"].__get__(error)  # its own attribute of that name may be anything
    for frame, line in walk_tb(traceback):
        file = str.__str__(frame.f_code.co_filename)
        if not file.startswith(not_theirs) and not INSTALLED.search(file):
            found = f"{one_line(Path(file).name, 100)}:{line}"
    return found
