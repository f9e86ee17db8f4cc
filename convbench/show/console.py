"""Where does text go, and how wide and colourful may it be?

stdout is the result, stderr the rest. rich honours NO_COLOR, FORCE_COLOR and COLUMNS.
"""

from rich.console import Console


def result_console() -> Console:
    """The console of the result. Where stdout is no terminal, nothing is wrapped or cut."""
    return Console(highlight=False, soft_wrap=not Console().is_terminal)


def side_console() -> Console:
    """The console of progress and remarks, on stderr."""
    return Console(stderr=True, highlight=False)
