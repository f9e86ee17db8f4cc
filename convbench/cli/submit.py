"""convbench submit: the shards of a sweep, run by SLURM."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convbench.cli.outputs import tell
from convbench.errors import ConvbenchError
from convbench.exit_codes import INTERRUPTED, NOTHING, RIGHT, WRONG

if TYPE_CHECKING:
    from convbench.slurm import Folder, SlurmRun, State

EXAMPLE = """\b
Examples:
  convbench submit --slurm --shards 64 -- bench --suite resnet50
  convbench submit --slurm --gres gpu:h100:1 -- bench --device cuda
  convbench submit --slurm --print -- verify --suite awkward > job.sh"""
OWN = {"csv": "--csv", "shard": "--shard", "resume": "--resume", "overwrite": "--overwrite", "dry_run": "--dry-run"}
FOLDERS = Path("convbench-results")


def submit(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="bench or verify with their options, after a --.")
    ],
    slurm: Annotated[bool, typer.Option("--slurm", help="Run the shards as an array job of SLURM.")] = False,
    shards: Annotated[
        int, typer.Option("--shards", metavar="N", min=1, max=10_000, help="Parts of the sweep; many more than nodes.")
    ] = 16,
    time: Annotated[
        int, typer.Option("--time", metavar="MINUTES", min=1, help="Limit of a part; one that is cut is continued.")
    ] = 60,
    partition: Annotated[str | None, typer.Option("--partition", metavar="NAME", help="As for sbatch.")] = None,
    gres: Annotated[
        str | None, typer.Option("--gres", metavar="LIST", help="As for sbatch, such as gpu:h100:1.")
    ] = None,
    constraint: Annotated[
        str | None, typer.Option("--constraint", metavar="LIST", help="As for sbatch, such as zen5.")
    ] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="NAME", help="As for sbatch.")] = None,
    cpus: Annotated[
        int | None, typer.Option("--cpus", metavar="N", min=1, help="CPUs of a part. Default: as SLURM is set up.")
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Whole nodes, so that other jobs do not disturb the times.")
    ] = False,
    folder: Annotated[
        str | None,
        typer.Option("--folder", metavar="DIR", help="For parts and logs, seen by all nodes; continues what is there."),
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the script, and submit nothing.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the jobs on Ctrl-C, instead of leaving them.")
    ] = False,
) -> None:
    """Run a bench or verify on a cluster, and merge its parts.

    SLURM runs one task for each shard, restarts it after a node failure, and ends what hangs. Parts that ended undone
    are submitted again, unless they made no progress three times in a row. If this command is interrupted, give the
    same one with its --folder to follow the jobs again.

    Exit codes as for bench and verify; 3 also if cases are missing.
    """
    from convbench.slurm import Folder, SlurmRun, Wanted, require, script, write_script

    if not slurm:
        raise ConvbenchError("submit needs an engine: --slurm; others run --shard themselves (docs/fleet.md)")
    check_command(command)
    stem = f"submit-{datetime.now().astimezone():%Y%m%dT%H%M%S}"
    place = Folder((FOLDERS / stem if folder is None else Path(folder)).absolute())
    wanted = Wanted(
        shards=shards, minutes=time, partition=partition, gres=gres, constraint=constraint, account=account, cpus=cpus,
        exclusive=exclusive,
    )  # fmt: skip
    text = script([sys.executable, "-m", "convbench", *command], wanted, place)
    if print_only:
        typer.echo(text, nl=False)
        return
    require()
    write_script(text, place)
    run = SlurmRun(folder=place, wanted=wanted, tell=tell)
    try:
        run.start()
        tell(f"{shards} shards of job {', '.join(place.jobs)}; parts and logs: {place.path}")
        lost = _watch(run, shards)
    except KeyboardInterrupt:
        if cancel:
            run.cancel()
        rest = "cancelled" if cancel else f"still there; scancel {' '.join(place.jobs)} cancels them"
        tell(f"interrupted; the jobs are {rest}; --folder {place.path} follows them again")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(_merged(place, shards, lost))


def check_command(command: list[str]) -> None:
    """Raise before anything is submitted if it is no command, or names what each part gets by itself."""
    from convbench.cli.planned import parsed

    try:
        params = parsed(command[0], command[1:])
    except ValueError:
        raise ConvbenchError(f"{command[0]!r} cannot be submitted; give bench or verify after --") from None
    if odd := [option for name, option in OWN.items() if params.get(name)]:
        raise ConvbenchError(f"{odd[0]}: each part gets its own; leave it out")


def _watch(run: "SlurmRun", shards: int) -> tuple[int, ...]:
    """The shards that were given up, after a bar that follows the others."""
    from convbench.show.console import side_console
    from convbench.show.progress import bar

    state: State | None = None
    with bar(side_console(), shown=True) as progress:
        task = progress.add_task("submitted", total=shards)
        for state in run.follow():
            words = f"{state.running} running, {state.waiting} waiting, {state.rows:,} rows"
            progress.update(task, completed=state.done, description=words, refresh=True)
    return state.lost if state is not None else ()


def _merged(place: "Folder", shards: int, lost: tuple[int, ...]) -> int:
    """Merge the parts that are there; the exit code."""
    from convbench.cli.merge import tell_merged
    from convbench.cli.outputs import write
    from convbench.merge import merge
    from convbench.rows import ranges

    if lost:
        tell(f"shards {ranges(lost, ', ')} did not end; their last words are in {place.log(lost[0])}")
    parts = [str(place.part(one)) for one in range(1, shards + 1) if place.part(one).exists()]
    merged = merge(parts, tell=tell)
    write(str(place.path / "all.csv"), "".join(merged.text), overwrite=True)
    tell_merged(merged, len(parts))
    codes: set[str] = {(place.path / f"part-{one}.done").read_text().strip() for one in place.done(shards)}
    if str(WRONG) in codes:
        return WRONG
    return NOTHING if merged.missing or lost or codes <= {str(NOTHING)} else RIGHT
