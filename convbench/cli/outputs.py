"""Where results go beside the terminal, and with which code a command ends."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from convbench.errors import ConvbenchError

if TYPE_CHECKING:
    from convbench.explain.steps import Comparison

WRONG, NOTHING = 1, 3


def check_outputs(files: Mapping[str, str | None], *, overwrite: bool) -> None:
    """Raise before anything is computed where a file would be lost or two results would mix.

    Args:
        files: by option; None where it was not given, - for stdout.
    """
    named = {option: file for option, file in files.items() if file is not None}
    if len({"-" if file == "-" else str(Path(file).resolve()) for file in named.values()}) < len(named):
        raise ConvbenchError(
            f"{' and '.join(named)} both go to {next(iter(named.values()))}; give them different files"
        )
    for option, file in named.items():
        if file == "-":
            continue
        path = Path(file)
        if path.exists() and not overwrite:
            raise ConvbenchError(f"{option}: {file} exists; name another file, or replace it with --overwrite")
        if not path.parent.is_dir():
            raise ConvbenchError(f"{option}: there is no folder {path.parent}; make it, or name another file")


def write(file: str, text: str) -> None:
    """To a file, which is told on stderr, or to stdout for -."""
    if file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConvbenchError(f"cannot write {file}: {error.strerror}; name another file") from None
    tell(f"wrote {file}")


def tell(remark: str) -> None:
    """A line on stderr."""
    typer.echo(f"convbench: {remark}", err=True)


def refuse_unproved(proof: "Sequence[Comparison]", of: str = "") -> None:
    """Exit 1 and say what differs, if anything does: what is not proved is not printed."""
    wrong = [comparison for comparison in proof if not comparison.holds]
    for comparison in wrong:
        tell(f"{of and f'{of}: '}{comparison.name} fails: {comparison.evidence}")
    if wrong or not proof:
        raise typer.Exit(WRONG)
