"""convbench explain --open: show a written page in the browser."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from convbench.cli.outputs import tell

Open = Annotated[bool, typer.Option("--open", help="Open the file of --html in the browser.")]


def open_page(file: str) -> None:
    """In the browser of this machine; where there is none, say so in a line."""
    import webbrowser

    url = Path(file).resolve().as_uri()
    if not (_has_screen() and webbrowser.open(url)):
        tell(f"there is no browser here; open {url} on a machine that has one")


def _has_screen() -> bool:
    """Without one, webbrowser would start a browser of text, which runs no scripts and takes the terminal."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in names)
