"""User-facing errors, one line each."""

import os
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from sysconfig import get_paths
from traceback import walk_tb

MOST_NAMES = 20
MOST_CHARACTERS = 1000  # of a message from third-party code; a screen has no room for more
# Folders of packages, and those into which torch.compile writes.
INSTALLED = re.compile(r"[/\\](site-packages|dist-packages|torchinductor_[^/\\]*)[/\\]")


class ConvbenchError(Exception):
    """One line that says what was given, what is allowed and what to try.

    The command line prints it to stderr and exits with 2; there is no traceback.

    Example:
        >>> import convbench as cb
        >>> try:
        ...     cb.ConvSpec(n=1, c=3, h=4, w=4, k=1, r=1, s=1, groups=2)
        ... except cb.ConvbenchError as error:
        ...     print(error)
        groups=2 in n1c3h4w4k1r1s1_g2: it must divide both c=3 and k=1
    """


class PipeClosed(ConvbenchError):  # noqa: N818  # it says what happened
    """The reader of stdout has closed it, as in `--csv - | head`: not an error to report."""


class NothingSelected(ConvbenchError):  # noqa: N818  # it says what happened
    """No case or no backend is left to run.

    Attributes:
        wrong: whether something was wrong anyway, in the test vectors themselves.
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
    """The words in lower case; raise if one is not in `allowed`."""
    chosen = [word.lower() for word in given]
    for word in chosen:
        if word not in allowed:
            raise unknown(what, word, allowed)
    return chosen


def fraction(what: str, text: str) -> float:
    """`5%` or `0.05` as 0.05; `what` begins the error, and has the text as it was given.

    Raises:
        ConvbenchError: it is not a number, not above 0, or 1 and more without a percent sign.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(%?)\s*", text, re.ASCII)
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if match is None or value <= 0 or value > 10 or (value >= 1 and not match[2]):
        raise ConvbenchError(f"{what}: give a fraction such as 0.05, or a percentage such as 5%")
    return value


def percent(value: float) -> str:
    """0.05 as `5 %`."""
    return f"{100 * value:.3g} %" if value < 1 else f"{100 * value:.0f} %"


def cause(error: Exception) -> str:
    """Why a file cannot be read, in the system's words without the error number."""
    return str(getattr(error, "strerror", None) or error)


def plural(count: int, noun: str, several: str = "") -> str:
    """`1 image`, `3 images`, `2 axes`."""
    return f"{count:,} {noun if count == 1 else several or f'{noun}s'}"


def printable(text: str) -> str:
    """White space as single spaces; control characters (escapes, bells, reversed text) by their code."""
    words = " ".join(text.split())
    if words.isprintable():
        return words
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """Text from third-party code as one printable line of at most `most` characters, with a note if it is cut."""
    line = printable(text[: most + 1])
    return line if max(len(text), len(line)) <= most else f"{line[:most]}... ({len(text):,} characters)"


def first_line(error: BaseException) -> str:
    """The first line of a third-party exception's message; computing it is third-party code too."""
    try:
        text = str(error)
    except BaseException as other:  # whatever it raises
        return f"(its message raised {type(other).__name__})"
    return one_line(text.strip().partition("\n")[0])


def in_words(error: BaseException, *, kind: str = "") -> str:
    """What third-party code raised: `ValueError: x is not finite (my_conv.py:12)`; `kind` replaces its type."""
    words = ": ".join(filter(None, (kind or type(error).__name__, first_line(error))))
    return f"{words} ({where})" if (where := place(error)) else words


def place(error: BaseException) -> str:
    """The last line of the user's own files in a traceback, such as `my_conv.py:12`, or "".

    Users cannot fix installed packages, convbench's own files or compiler output, so these are skipped.
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
