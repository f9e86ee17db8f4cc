"""How does SLURM run the shards of a sweep?

As one array job, a task for each shard. SLURM schedules, places, requeues and ends what hangs; here only: write the
script, look which shards are done, and submit those again that nobody runs any more. A shard is done when its task says
so in a file, never by an exit code that SLURM reports: a node may die after its work, and `srun` has been seen to exit
with 0 behind a dead one.
"""

import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from convbench.errors import ConvbenchError, cause
from convbench.fleet import MOST_FRUITLESS, RESULTS, Folder, State
from convbench.rows import ranges

POLL_S = 2.0
GRACE_S = 10.0  # from the end of a task until its file must be visible here
MOST_SILENT = 30  # questions in a row that SLURM may leave unanswered
_ASK_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of SLURM: options of sbatch, None for its defaults.

    Attributes:
        minutes: of a task; what hangs ends then, and is continued.
        exclusive: whole nodes, so that nothing else disturbs the times.
    """

    shards: int
    minutes: int
    partition: str | None = None
    gres: str | None = None
    constraint: str | None = None
    account: str | None = None
    cpus: int | None = None
    exclusive: bool = False


def script(command: Sequence[str], wanted: Wanted, folder: Folder) -> str:
    """The array job as a script for sbatch, to be read and kept.

    Args:
        command: of convbench, from its name on: bench or verify with their options.
    """
    place = shlex.quote(str(folder.path))
    options = {
        "job-name": "convbench",
        "array": f"1-{wanted.shards}",
        "time": str(wanted.minutes),
        "partition": wanted.partition,
        "gres": wanted.gres,
        "constraint": wanted.constraint,
        "account": wanted.account,
        "cpus-per-task": None if wanted.cpus is None else str(wanted.cpus),
        "output": f"{folder.path}/log-%a.txt",
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in options.items() if value is not None]
    lines += ["#SBATCH --exclusive"] if wanted.exclusive else []
    shard = f'"$SLURM_ARRAY_TASK_ID/{wanted.shards}"'
    return f"""#!/bin/bash
{chr(10).join(lines)}
#SBATCH --requeue
#SBATCH --open-mode=append

# A task runs one shard. If SLURM starts it again, it continues its file.
part={place}/part-$SLURM_ARRAY_TASK_ID
echo "shard $SLURM_ARRAY_TASK_ID, start ${{SLURM_RESTART_COUNT:-0}}, on $SLURMD_NODENAME, $(date -u +%FT%TZ)"
{shlex.join(command)} --shard {shard} --csv "$part.csv" --resume
code=$?
echo "exit $code, $(date -u +%FT%TZ)"
# {", ".join(map(str, RESULTS[:-1]))} and {RESULTS[-1]} are results; anything else is tried again.
case $code in {" | ".join(map(str, RESULTS))}) echo $code > "$part.tmp" && mv "$part.tmp" "$part.done" ;; esac
exit $code
"""


@dataclass(slots=True, kw_only=True)
class SlurmRun:
    """The shards of a sweep in SLURM, from the submission to the last one.

    Attributes:
        tell: receives a line when something is submitted again, or SLURM does not answer.
    """

    folder: Folder
    wanted: Wanted
    tell: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _fruitless: dict[int, int] = field(default_factory=dict, init=False)
    _rows_before: dict[int, int] = field(default_factory=dict, init=False)
    _gone_s: dict[int, float] = field(default_factory=dict, init=False)
    _silent: int = field(default=0, init=False)

    def start(self) -> None:
        """Submit all shards; nothing if this folder has jobs already: `follow` submits what they leave undone."""
        if self.folder.noted:
            self.tell(f"{self.folder.path} has job {', '.join(self.folder.noted)} already: it is followed")
        else:
            self._submit(range(1, self.wanted.shards + 1))

    def follow(self) -> Iterator[State]:
        """The state every two seconds, until each shard is done or given up; undone ones are submitted again.

        Raises:
            ConvbenchError: SLURM does not answer, or refuses a job.
        """
        while True:
            queued = self._queue()
            done = self.folder.done(self.wanted.shards)
            if queued is not None:
                self._again(self._undone(done, queued))
            own = queued or {}
            left = {*range(1, self.wanted.shards + 1)} - done
            lost = tuple(sorted(one for one in left if self._given_up(one, own)))
            yield State(
                done=len(done),
                running=sum(own.get(one) == "RUNNING" for one in left),
                waiting=sum(one in own and own[one] != "RUNNING" for one in left),
                lost=lost,
                rows=sum(self.folder.rows(one) for one in range(1, self.wanted.shards + 1)),
            )
            if len(lost) == len(left):
                return
            self.sleep(POLL_S)

    def cancel(self) -> None:
        """Take the jobs out of SLURM; what they wrote stays."""
        if self.folder.noted:
            _ask("scancel", *self.folder.noted)

    def _given_up(self, shard: int, queued: dict[int, str]) -> bool:
        return shard not in queued and self._fruitless.get(shard, 0) >= MOST_FRUITLESS and self._is_gone(shard)

    def _is_gone(self, shard: int) -> bool:
        return self.clock() - self._gone_s.get(shard, self.clock()) >= GRACE_S

    def _undone(self, done: set[int], queued: dict[int, str]) -> list[int]:
        """Shards that nobody runs, for long enough that their file would be visible."""
        found = []
        for shard in range(1, self.wanted.shards + 1):
            if shard in done or shard in queued:
                self._gone_s.pop(shard, None)
                continue
            self._gone_s.setdefault(shard, self.clock())
            if self._is_gone(shard) and self._fruitless.get(shard, 0) < MOST_FRUITLESS:
                found.append(shard)
        return found

    def _again(self, shards: Sequence[int]) -> None:
        if shards:
            self.tell(
                f"shard{'' if len(shards) == 1 else 's'} {ranges(shards, ',')} ended unfinished "
                f"(see {self.folder.log(shards[0])}) and {'is' if len(shards) == 1 else 'are'} submitted again"
            )
            self._submit(shards)
            for shard in shards:
                self._gone_s.pop(shard, None)

    def _submit(self, shards: Iterable[int]) -> None:
        shards = list(shards)
        told = _ask("sbatch", "--parsable", f"--array={ranges(shards, ',')}", str(self.folder.script))
        job = told.strip().partition(";")[0]
        if not job.isdecimal():
            raise ConvbenchError(f"sbatch answered {told.strip()[:200]!r} instead of a job's number")
        self.folder.note(job)
        for shard in shards:
            rows = self.folder.rows(shard)
            self._fruitless[shard] = 0 if rows > self._rows_before.get(shard, -1) else self._fruitless.get(shard, 0) + 1
            self._rows_before[shard] = rows

    def _queue(self) -> dict[int, str] | None:
        """The state of each shard that SLURM knows; None if it does not answer for a while."""
        try:
            text = _ask("squeue", "--noheader", "--array", "--format=%F %K %T", "--name=convbench")
        except ConvbenchError as error:
            self._silent += 1
            if self._silent == 1:
                self.tell(f"{error}; asking again")
            if self._silent >= MOST_SILENT:
                raise
            return None
        self._silent = 0
        own, jobs = dict[int, str](), {*self.folder.noted}
        for line in text.splitlines():
            job, shard, state = (*line.split(), "", "", "")[:3]
            if job in jobs and shard.isdecimal() and own.get(int(shard)) != "RUNNING":
                own[int(shard)] = state
        return own


def require() -> None:
    """Raise if SLURM's commands are not here."""
    if missing := [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]:
        raise ConvbenchError(
            f"--slurm: {missing[0]} is not on PATH; run this where jobs are submitted, or print the script with --print"
        )


def _ask(*words: str) -> str:
    """What a command of SLURM prints.

    Raises:
        ConvbenchError: it fails, or does not answer.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_ASK_S, check=False)  # noqa: S603  # SLURM's own, by name
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConvbenchError(f"{words[0]}: {cause(error)}") from None
    if done.returncode:
        raise ConvbenchError(f"{words[0]}: {(done.stderr or done.stdout).strip() or f'exit {done.returncode}'}")
    return done.stdout
