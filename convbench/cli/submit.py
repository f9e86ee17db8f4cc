"""convbench submit: the shards of a sweep, run by SLURM or Ray."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from convbench.cli.outputs import tell
from convbench.device import find_device
from convbench.errors import ConvbenchError
from convbench.exit_codes import INTERRUPTED, NOTHING, RIGHT, WRONG

if TYPE_CHECKING:
    from convbench.fleet import Folder, State

EXAMPLE = """\b
Examples:
  convbench submit --slurm --shards 64 -- bench --suite resnet50
  convbench submit --slurm --gres gpu:h100:1 -- bench --device cuda
  convbench submit --slurm --print -- verify --suite awkward > job.sh
  convbench submit --ray auto --num-gpus 1 -- bench --device cuda"""
OWN = {"csv": "--csv", "shard": "--shard", "resume": "--resume", "overwrite": "--overwrite", "dry_run": "--dry-run"}
FOLDERS = Path("convbench-results")
# Options that only one engine knows.
OF_SLURM = ("partition", "gres", "constraint", "account", "exclusive")
OF_RAY = ("num_gpus", "resources", "labels")


class EngineRun(Protocol):
    """The shards of a sweep in an engine."""

    def start(self) -> None:
        """Submit them, or find them there."""

    def follow(self) -> "Iterator[State]":
        """The state, again and again, until each is done or given up."""

    def cancel(self) -> None:
        """Take them out of the engine."""


def submit(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="bench or verify with their options, after a --.")
    ],
    slurm: Annotated[bool, typer.Option("--slurm", help="Run the shards as an array job of SLURM.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Run the shards as tasks of this Ray cluster: auto, HOST:6379, ray://HOST:10001.",
        ),
    ] = None,
    shards: Annotated[
        int, typer.Option("--shards", metavar="N", min=1, max=10_000, help="Number of parts; use many more than nodes.")
    ] = 16,
    time: Annotated[
        int,
        typer.Option(
            "--time",
            metavar="MINUTES",
            min=1,
            help="Limit of a part; one that reaches it is resubmitted and continues.",
        ),
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
        int | None,
        typer.Option("--cpus", metavar="N", min=1, help="CPUs of a part. Default: as SLURM is set up; Ray: 1."),
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Whole nodes, so that other jobs do not disturb the times.")
    ] = False,
    num_gpus: Annotated[
        float | None, typer.Option("--num-gpus", metavar="N", min=0, help="Ray: GPUs of a part.")
    ] = None,
    resources: Annotated[
        str | None, typer.Option("--resources", metavar="NAME=N,...", help="Ray: custom resources of a part.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="KEY=VALUE,...", help="Ray: labels that a node must have.")
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="For parts and logs; continues what is there. With SLURM, it must be on a file system that all nodes "
            "share.",
        ),
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print the job, and submit nothing.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the jobs on Ctrl-C, instead of leaving them.")
    ] = False,
) -> None:
    """Run a bench or verify on a cluster, and merge its parts.

    The engine runs one task for each shard, and restarts it after a node failure. Parts that hang, or ended
    unfinished, are submitted again, unless they made no progress three times in a row. If this command is interrupted,
    give the same one with its --folder to follow the jobs again.

    Exit codes as for bench and verify; 3 also if cases are missing.
    """
    from convbench.fleet import Folder

    if slurm == (ray is not None):
        raise ConvbenchError(
            "submit needs one engine: --slurm or --ray ADDRESS; others run --shard themselves (docs/fleet.md)"
        )
    given: dict[str, Any] = {
        "partition": partition, "gres": gres, "constraint": constraint, "account": account, "exclusive": exclusive,
        "num_gpus": num_gpus, "resources": resources, "labels": labels,
    }  # fmt: skip
    params = check_command(command)
    stem = f"submit-{datetime.now().astimezone():%Y%m%dT%H%M%S}"
    place = Folder((FOLDERS / stem if folder is None else Path(folder)).absolute())
    common = {"shards": shards, "minutes": time, "cpus": cpus}
    text: str
    run: EngineRun
    if ray is not None:
        text, run = _of_ray(ray, command, place, common, given)
    else:
        text, run = _of_slurm(command, place, common, given)
    if print_only:
        typer.echo(text, nl=False)
        return
    if ray is not None and disturbed(command[0], params):
        tell("Ray's agents run on every node and disturb timings on CPUs: prefer SLURM or --shard (docs/fleet.md)")
    if slurm:
        from convbench.slurm import require

        require()
    place.begin(text)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a KeyboardInterrupt again, which __main__ had replaced
    try:
        run.start()
        tell(f"{shards} shards of job {', '.join(place.noted)}; parts and logs: {place.path}")
        lost = _watch(run, shards)
    except KeyboardInterrupt:
        if cancel:
            run.cancel()
        stop = f"scancel {' '.join(place.noted)}" if slurm else "this command with --cancel, and Ctrl-C again,"
        rest = "cancelled" if cancel else f"still there; {stop} cancels them"
        jobs = f"the jobs are {rest}" if place.noted else "nothing was submitted yet"
        tell(f"interrupted; {jobs}; --folder {place.path} continues")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(_merged(place, shards, lost))


def _of_slurm(
    command: list[str], place: "Folder", common: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[str, EngineRun]:
    """The job as a text, and its run by SLURM."""
    from convbench.slurm import SlurmRun, Wanted, script

    _refuse(OF_RAY, given, "--ray")
    wanted = Wanted(**common, **{name: given[name] for name in OF_SLURM})
    text = script([sys.executable, "-m", "convbench", *command], wanted, place)
    return text, SlurmRun(folder=place, wanted=wanted, tell=tell)


def _of_ray(
    address: str, command: list[str], place: "Folder", common: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[str, EngineRun]:
    """The job as a text, and its run by Ray."""
    from convbench.ray import RayJob, RayRun, RayWanted

    _refuse(OF_SLURM, given, "--slurm")
    amounts = {name: _amount(name, value) for name, value in pairs("--resources", given["resources"]).items()}
    wanted = RayWanted(
        **common, gpus=given["num_gpus"] or 0.0, resources=amounts, labels=pairs("--labels", given["labels"])
    )
    job = RayJob(command=tuple(command), folder=os.getcwd(), wanted=wanted)
    return job.text, RayRun(address=address, folder=place, job=job, tell=tell)


def _refuse(names: tuple[str, ...], given: Mapping[str, Any], engine: str) -> None:
    if odd := [name for name in names if given[name]]:
        raise ConvbenchError(f"--{odd[0].replace('_', '-')} can only be used with {engine}; leave it out")


def pairs(option: str, text: str | None) -> dict[str, str]:
    """`a=1,b=2` by name.

    Raises:
        ConvbenchError: the text is not of that form.
    """
    found = {}
    for word in (text or "").split(",") if text else ():
        name, equals, value = word.strip().partition("=")
        if not (name and equals and value):
            raise ConvbenchError(f"{option} {text}: give NAME=VALUE, several with commas, such as {option} h100=1")
        found[name] = value
    return found


def _amount(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise ConvbenchError(f"--resources {name}={value}: give a number above 0, such as {name}=1")
    return number


def disturbed(work: str, params: Mapping[str, Any]) -> bool:
    """Whether a command times something on the host's cores."""
    names = ",".join(params["device"] or ["cpu"]).lower().split(",")  # the GPUs may be on the nodes alone
    return work == "bench" and any(find_device(name).on_host for name in names)


def check_command(command: list[str]) -> dict[str, Any]:
    """The options of a command; raise before anything is submitted if it is none, or names what each part gets."""
    from convbench.cli.planned import parsed

    try:
        params = parsed(command[0], command[1:])
    except ValueError:
        raise ConvbenchError(f"{command[0]!r} cannot be submitted; give bench or verify after --") from None
    if odd := [option for name, option in OWN.items() if params.get(name)]:
        raise ConvbenchError(f"{odd[0]}: each part gets its own; leave it out")
    return params


def _watch(run: EngineRun, shards: int) -> tuple[int, ...]:
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
    if not parts:
        tell("there are no rows to merge")
        return NOTHING
    merged = merge(parts, tell=tell)
    write(str(place.path / "all.csv"), "".join(merged.text), overwrite=True)
    tell_merged(merged, len(parts))
    codes = {place.code(one) for one in place.done(shards)}
    if WRONG in codes:
        return WRONG
    return NOTHING if merged.missing or lost or codes <= {NOTHING} else RIGHT
