"""Where results go beside the terminal, and with which code a command ends."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TextIO

import typer

from convbench.errors import ConvbenchError, NothingSelected, plural, printable
from convbench.exit_codes import WRONG
from convbench.files import put

if TYPE_CHECKING:
    from convbench.ci.findings import Findings
    from convbench.cli.options import ForCi
    from convbench.explain.steps import Comparison


def check_outputs(files: Mapping[str, str | None], *, overwrite: bool, resumable: str = "") -> None:
    """Raise before anything is computed where a file would be lost or two results would mix.

    Args:
        files: by option; None where it was not given, - for stdout.
        resumable: the option whose file --resume continues.
    """
    named = check_apart(files)
    for option, file in named.items():
        if file == "-":
            continue
        path, folder = Path(file), Path(file).parent
        if path.is_dir():
            raise ConvbenchError(f"{option}: {file or '.'} is a folder; name a file")
        if os.path.lexists(path) and not overwrite and not (option == "--markdown" and is_step_summary(file)):
            choice = "replace it with --overwrite, or continue it with --resume"
            choice = choice if option == resumable else "or replace it with --overwrite"
            raise ConvbenchError(f"{option}: {file} exists; name another file, {choice}")
        if not folder.is_dir():
            raise ConvbenchError(f"{option}: there is no folder {folder}; make it, or name another file")
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise ConvbenchError(f"{option}: {file} cannot be written here; name another file")


def check_apart(files: Mapping[str, str | None]) -> dict[str, str]:
    """Those that were given; raise where two results would go to one file."""
    named = {option: file for option, file in files.items() if file is not None}
    together: dict[str, list[str]] = {}
    for option, file in named.items():
        together.setdefault(file if file == "-" else str(Path(file).resolve()), []).append(option)
    for place, options in together.items():
        if len(options) > 1:
            where = "stdout" if place == "-" else named[options[0]]
            every = "both" if len(options) == 2 else "all"
            raise ConvbenchError(f"{' and '.join(options)} {every} go to {where}; give them different files")
    return named


def is_step_summary(file: str) -> bool:
    """Whether GitHub Actions shows this file as the summary of a step; it makes it before, and others add to it."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    return bool(summary) and Path(file).absolute() == Path(str(summary)).absolute()


def write_markdown(file: str, text: str, *, overwrite: bool) -> None:
    """As `write`, but what GitHub Actions shows as the summary of a step is added to."""
    if not is_step_summary(file):
        write(file, text, overwrite=overwrite)
        return
    try:
        with Path(file).open("ab") as summary:
            summary.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ConvbenchError(f"cannot write {file}: {error.strerror}; name another file") from None
    tell(f"added to {file}, the summary of this step")


def write(file: str, content: str | bytes, *, overwrite: bool) -> None:
    """To a file, which is told on stderr, or to stdout for -; a text may hold a name that is no UTF-8."""
    if file == "-" and isinstance(content, str):
        sys.stdout.write(content)
        return
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    try:
        put(file, data, overwrite=overwrite)
    except FileExistsError:
        raise _appeared(file) from None
    except OSError as error:
        raise ConvbenchError(f"cannot write {file}: {error.strerror}; name another file") from None
    tell(f"wrote {file}")


def export(given: "ForCi", findings: "Findings", *, overwrite: bool) -> None:
    """Write what was asked for CI; what a tracker has no number for is counted on stderr."""
    if given.json:
        import json

        sys.stdout.write(json.dumps(findings.as_json(), indent=1, allow_nan=False) + "\n")
    if given.markdown is not None:
        write_markdown(given.markdown, findings.markdown(), overwrite=overwrite)
    if given.junit is not None:
        from convbench.ci.junit import junit

        write(given.junit, junit(findings.command, findings.tests()), overwrite=overwrite)
    if given.bmf is None and given.github_benchmark is None:
        return
    from convbench.ci.trackers import bmf, github_benchmark, without_number

    for file, text in ((given.bmf, bmf), (given.github_benchmark, github_benchmark)):
        if file is not None:
            write(file, text(findings.pairs), overwrite=overwrite)
    if count := without_number(findings.pairs):
        tell(f"{plural(count, 'row')} without a number for a tracker: skipped, wrong or failed")


def tell(remark: str) -> None:
    """A line on stderr as it is now: a progress bar puts itself there, and typer.echo would write into it."""
    sys.stderr.write(f"convbench: {printable(remark)}\n")
    sys.stderr.flush()


def is_shown() -> bool:
    """Is progress shown? On a terminal only."""
    return sys.stderr.isatty()


class Remarks:
    """Remarks that wait until the options are known to be valid, so that an error is the only line on stderr.

    They are written when the block ends, and later ones at once. Where nothing is selected they say why.
    """

    def __init__(self) -> None:
        self._held: list[str] | None = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        held, self._held = self._held or (), None
        if kind is None or issubclass(kind, NothingSelected):
            for remark in held:
                tell(remark)

    def __call__(self, remark: str) -> None:
        if self._held is None:
            tell(remark)
        else:
            self._held.append(remark)


def refuse_unproved(proofs: "Mapping[str, Sequence[Comparison]]") -> None:
    """Exit 1 and say what differs, if anything does: what is not proved is not printed.

    Args:
        proofs: by what is proved; "" where that is said by the comparisons.
    """
    faults = []
    for of, proof in proofs.items():
        what = f"{of}: " if of else ""
        faults += [f"{what}{one.name} fails: {one.evidence}" for one in proof if not one.holds]
        faults += [] if proof else [f"{what}nothing was proved"]
    for fault in faults:
        tell(fault)
    if faults:
        raise typer.Exit(WRONG)


@contextmanager
def csv_file(path: str | None, *, overwrite: bool) -> Iterator[TextIO | None]:
    """The file open for writing; - is stdout, None is none. Without `overwrite` it is made, and no link is followed."""
    if path is None or path == "-":
        yield None if path is None else sys.stdout
        return
    with _opened(path, "w" if overwrite else "x") as file:
        yield file


def _opened(path: str, mode: Literal["w", "x"]) -> TextIO:
    try:
        return open(path, mode, newline="", encoding="utf-8")
    except FileExistsError:
        raise _appeared(path) from None
    except OSError as error:
        raise ConvbenchError(f"cannot write {path}: {error.strerror}; name another file") from None


def _appeared(path: str) -> ConvbenchError:
    return ConvbenchError(f"{path} appeared during the run and was left as it is; name another file")
