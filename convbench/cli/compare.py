"""convbench compare: what became slower or wrong from one run to another?"""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli import options
from convbench.cli.outputs import Remarks, check_apart, check_outputs, export, tell
from convbench.errors import ConvbenchError, plural
from convbench.exit_codes import NOTHING, RIGHT, WRONG

if TYPE_CHECKING:
    from convbench.compare import Changes

EXAMPLE = "\b\nExample:\n  convbench compare before.csv after.csv --fail-if-slower 5%"
EXIT = {"ok": RIGHT, "regression": WRONG, "undecided": NOTHING, "nothing": NOTHING}
UNDECIDED = {"pass": RIGHT, "fail": WRONG}
MARGIN = 0.015


@options.unfold
def compare(
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="BEFORE",
            help="CSV file of convbench bench or verify, or the name of a kept run (bench --keep NAME). Default: the "
            "last two kept runs.",
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="AFTER",
            help="The same run later, or with other versions. Default, if BEFORE is a name: the newest kept run.",
        ),
    ] = None,
    fail_if_slower: Annotated[
        str | None,
        typer.Option(metavar="FRACTION", help="Allowed slowdown per row, as 5% or 0.05. Default: --margin."),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(
            metavar="FRACTION",
            help="Times that differ by less count as equal, as 1.5% or 0.015. Default: 1.5%, or --fail-if-slower if "
            "that is less.",
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(metavar="FRACTION", help="Joint confidence of all intervals.")] = 0.99,
    undecided: Annotated[
        str | None,
        typer.Option(
            metavar="pass|fail", help="Exit 0 or 1 if gates are undecided and none is a regression. Default: exit 3."
        ),
    ] = None,
    relative: Annotated[
        bool, typer.Option("--relative", help="Compare ratios to torch: cancels drift, hides a change in torch.")
    ] = False,
    across: Annotated[bool, typer.Option("--across", help="Compare different machines anyway.")] = False,
    rerun: Annotated[
        bool,
        typer.Option("--rerun", help="First run the cases of BEFORE.csv, into AFTER.csv; implies --relative."),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="With --rerun: seconds of timing per backend and case. Default: 3."
        ),
    ] = None,
    *,
    ci: options.ForCi,
    overwrite: options.Overwrite = False,
) -> None:
    """Compare two result files: what got slower, or broke?

    Rows match by suite, name, problem, device, threads, dtype, layout, precision, accuracy, pass, epilogue and backend.
    Each row has a change (faster, slower, same, undecided) and a gate (ok, regression, undecided); only the gates set
    the exit code. A gate is a regression if the whole interval is beyond --fail-if-slower, or if the row is now wrong
    or failed and was not before. It is undecided if the interval contains that limit, if the machine rather
    than the code may have become slower, or if too few samples were clean.
    Exit 0: every gate is ok; 1: a regression; 2: different machines, or bad input; 3: no regression, but an undecided
    gate (see --undecided), or there is nothing to compare.
    """
    from convbench.ci.of_changes import ChangesFindings
    from convbench.compare import Gate, by_kind, compare_pairs
    from convbench.show.console import result_console
    from convbench.store import read_pairs

    if not 0.5 <= confidence < 1:
        raise ConvbenchError(f"--confidence {confidence}: give a fraction from 0.5 to below 1; try --confidence 0.99")
    if undecided not in (None, *UNDECIDED):
        raise ConvbenchError(f"--undecided {undecided}: give pass or fail, or leave it out for exit 3")
    check_outputs(ci.files, overwrite=overwrite)
    before, after, remark = _files(before, after, rerun=rerun)
    if rerun:
        check_apart({**ci.files, "BEFORE": before, "AFTER": after})  # it is written, and BEFORE is read again
    elif budget is not None:
        raise ConvbenchError("--budget can only be used with --rerun; bench has its own")
    allowance = None if fail_if_slower is None else options.fraction("--fail-if-slower", fail_if_slower)
    same = min(MARGIN, allowance or MARGIN) if margin is None else options.fraction("--margin", margin)
    if allowance is not None and allowance < same:
        raise ConvbenchError(
            f"--fail-if-slower {fail_if_slower} is below --margin {margin}, within which times count as equal; "
            f"give a smaller margin"
        )
    if rerun:
        after = _rerun(before, after, budget=3.0 if budget is None else budget, overwrite=overwrite)
        relative = across = True
    elif after is None:
        raise ConvbenchError(f"compare needs two files; add AFTER.csv, or --rerun to run the cases of {before} here")
    gate = Gate(
        confidence=confidence, margin=same, allowance=allowance or same, relative=relative, undecided=undecided or ""
    )
    with Remarks() as held:
        if remark:
            held(remark)
        old, new = (read_pairs(file, tell=held) for file in (before, after))
        kinds = by_kind(old, new)
        shared = [kind for kind, (mine, yours) in kinds.items() if mine and yours]
        if len(kinds) > 1 and any(ci.files.values()):
            raise ConvbenchError(
                f"{before} and {after} are from several kinds of machine ({'; '.join(kinds)}); reports for CI are of "
                f"one: give files of one"
            )
        gate = replace(gate, confidence=1 - (1 - confidence) / len(shared or kinds))
        every = {
            kind: compare_pairs(*kinds[kind], gate=gate, across=across, before=before, after=after)
            for kind in (shared if len(kinds) > 1 else kinds)
        }
    for kind, (mine, yours) in kinds.items():
        if kind not in every:
            tell(f"{kind} is only in {before if mine else after} ({plural(len(mine or yours), 'row')}): not compared")
    if len(kinds) == 1:
        export(ci, ChangesFindings(changes=every[""], pairs=new), overwrite=overwrite)
    for number, (kind, changes) in enumerate(every.items()):
        _show(changes, kind, whole=result_console().is_terminal and not ci.takes_stdout, head=number == 0, ci=ci)
    states = {changes.state for changes in every.values()} or {"nothing"}
    state = next(one for one in ("regression", "undecided", "ok", "nothing") if one in states)
    raise typer.Exit(UNDECIDED.get(gate.undecided, EXIT[state]) if state == "undecided" else EXIT[state])


def _show(changes: "Changes", kind: str, *, whole: bool, head: bool, ci: options.ForCi) -> None:
    """One comparison, of a kind of machine if there are several."""
    from convbench.show.changes import (
        COLUMNS,
        apart_lines,
        changes_rows,
        changes_table,
        headline,
        note_lines,
        remarks,
    )
    from convbench.show.console import print_tabbed, result_console, side_console

    out, err = result_console(), side_console()
    named = [kind] if kind else []
    words = out if whole else err
    if kind:
        words.print(f"{kind}:", style="bold", markup=False)
    if whole:
        out.print(changes_table(changes, width=out.width))
    elif not ci.takes_stdout:
        if head:
            print_tabbed(out, [*(["kind"] if kind else []), *COLUMNS])
        for row in changes_rows(changes):
            print_tabbed(out, [*named, *row])
    for line in apart_lines(changes):
        words.print(line, style="bold red" if line.startswith(("WRONG", "FAILED")) else "dim", markup=False)
    for line in note_lines(changes):
        words.print(line, style="dim", markup=False)
    for line in remarks(changes):
        words.print(line, style="bold yellow" if line.startswith("WARNING") else "dim", markup=False)
    words.print(headline(changes), style="bold", markup=False)


def _files(before: str | None, after: str | None, *, rerun: bool) -> tuple[str, str | None, str]:
    """The files that are meant, and what to say of them: a kept run may be named, one that is not is the newest."""
    from convbench.kept import find_run, last_two, newest_after

    if before is None:
        if rerun:
            raise ConvbenchError("--rerun needs BEFORE, a file or a kept run whose cases it times again")
        old, new = last_two()
        remark = f"comparing the last two kept runs: {old.name} ({old.time}), then {new.name} ({new.time})"
        return str(old.path), str(new.path), remark
    kept = find_run(before)
    if kept is None or after is not None or rerun:
        later = find_run(after) if after is not None and not rerun else None  # --rerun writes it
        return (before if kept is None else str(kept.path)), (after if later is None else str(later.path)), ""
    new = newest_after(kept)
    return str(kept.path), str(new.path), f"comparing with the newest kept run: {new.name} ({new.time})"


def _rerun(before: str, after: str | None, *, budget: float, overwrite: bool) -> str:
    """The file with the cases of another one, as they run here."""
    import shlex
    import sys

    from convbench.bench.doctor import warning
    from convbench.cli.bench import default_path
    from convbench.cli.sweep import watched
    from convbench.rerun import rerun
    from convbench.show.console import side_console

    check_outputs({"AFTER.csv": after}, overwrite=overwrite)
    if after == "-":
        raise ConvbenchError("AFTER.csv: - is stdout, where the comparison goes; name a file")
    place = after or default_path("rerun")
    command = "convbench " + shlex.join(sys.argv[1:])
    with Remarks() as remarks:
        session = rerun(before, csv=place, overwrite=overwrite, budget_s=budget, command=command, tell=remarks)
    typer.echo(warning(), err=True)
    for _ in watched(session, side_console(), lambda: None):
        pass  # in the file
    tell(f"wrote {place}")
    return place
