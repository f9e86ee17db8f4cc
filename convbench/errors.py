"""What the user can mend, in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class ConvbenchError(Exception):
    """One line that says what was given, what is allowed and what to try.

    The command line prints it to stderr and exits with 2; there is no traceback.
    """


def unknown(what: str, given: str, allowed: Iterable[str]) -> ConvbenchError:
    """The error for a name that is not in a list of names."""
    names = sorted(allowed)
    near = get_close_matches(given, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConvbenchError(f"unknown {what} {given!r}: choose from {', '.join(names)}{hint}")
