"""How does Ray run the shards of a sweep?

As one task for each shard. Ray schedules and places them, each in a process of its own, and starts them again after a
crash or the loss of a node. An actor, the keeper, owns them. It is detached: it outlives the program that submits,
which may end and come back. A task sends its rows to the keeper while it runs, and the program fetches them from
there, so the nodes need no common disk.
"""

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

from convbench.errors import ConvbenchError, cause, one_line
from convbench.files import put
from convbench.fleet import MOST_FRUITLESS, RESULTS, Folder, State

NAMESPACE = "convbench"
POLL_S = 2.0
SEND_S = 1.0  # how often a task looks for new rows
AGAIN_S = 10.0  # until a task that ended unfinished is submitted again
MOST_RETRIES = 3  # of Ray, after a crash or a lost node
ASK_S, MOST_SILENT = 60.0, 10
MOST_STARTS = 10  # of a keeper, one after the other
LAST_LINES = 20
# The node that the cluster hangs on anyway has this resource.
_HEAD = "node:__internal_head__"


@dataclass(frozen=True, slots=True, kw_only=True)
class RayWanted:
    """What is asked of Ray for each shard, in Ray's terms; None for its defaults.

    Attributes:
        minutes: of a task; what hangs ends then, and is continued.
        cpus: Ray also gives a task this number as its threads (OMP_NUM_THREADS).
    """

    shards: int
    minutes: int
    cpus: int | None = None
    gpus: float = 0.0
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The options of a task that say where it may run."""
        return {
            "num_cpus": 1 if self.cpus is None else self.cpus,
            "num_gpus": self.gpus,
            "resources": dict(self.resources),
            "label_selector": dict(self.labels),
        }

    def fits(self, node: Mapping[str, Any]) -> bool:
        """Whether a node, as in `ray.nodes()`, has what is wanted when it is idle."""
        options = self.options
        needs = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **options["resources"]}
        return (
            bool(node["Alive"])
            and all(node["Resources"].get(name, 0) >= number for name, number in needs.items())
            and all(node["Labels"].get(name) == value for name, value in options["label_selector"].items())
        )

    def __str__(self) -> str:
        plain = {name: value for name, value in self.options.items() if value}
        return ", ".join(f"{name}={value!r}" for name, value in plain.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class RayJob:
    """What all tasks share.

    Attributes:
        command: of convbench, after its name: bench or verify with their options.
        folder: where it was given; a task runs there too, if its node has that folder.
    """

    command: tuple[str, ...]
    folder: str
    wanted: RayWanted

    @property
    def text(self) -> str:
        """The job for a person to read."""
        words = shlex.join(["convbench", *self.command])
        return f"{words}\nas {self.wanted.shards} tasks of Ray, {self.wanted.minutes} minutes each: {self.wanted}\n"


@dataclass(slots=True)
class ShardPart:
    """A shard as the keeper knows it.

    Attributes:
        text: the rows so far, a CSV file.
        version: how often `text` or `words` changed.
        turn: which attempt may send rows, counted from 1. An earlier one may still run on a node that was believed to
            be dead; what it sends is refused.
        code: the exit code of the command that ended with a result.
        words: what the last attempt said.
    """

    text: str = ""
    version: int = 0
    turn: int = 0
    running: bool = False
    lost: bool = False
    code: int | None = None
    words: str = ""

    @property
    def rows(self) -> int:
        return max(0, self.text.count("\n") - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the keeper reports: the state of all shards, and the rows and last words that the caller lacks."""

    codes: Mapping[int, int]
    running: int
    waiting: int
    lost: tuple[int, ...]
    versions: Mapping[int, int]
    texts: Mapping[int, str]
    words: Mapping[int, str]
    notes: tuple[str, ...]


class RowKeeper:
    """Keeps the rows of all shards, and has each of them run until it is done or makes no progress.

    Args:
        texts, codes: what is there from before, by shard.
        launch: start a task for a shard; awaited, it gives the exit code of the command. None means by Ray.
    """

    def __init__(
        self,
        job: RayJob,
        texts: Mapping[int, str],
        codes: Mapping[int, int],
        launch: Callable[[int], Awaitable[int | None]] | None = None,
        again_s: float = AGAIN_S,
    ) -> None:
        self._parts = {
            shard: ShardPart(text=texts.get(shard, ""), code=codes.get(shard))
            for shard in range(1, job.wanted.shards + 1)
        }
        self._launch = launch or _launcher(job)
        self._again_s = again_s
        self._notes: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Submit what is undone; the second time nothing happens."""
        if not self._tasks:
            left = [shard for shard, part in self._parts.items() if part.code is None]
            self._tasks = [asyncio.create_task(self._carry(shard)) for shard in left]

    async def take(self, shard: int) -> tuple[str, int]:
        """An attempt begins: the rows so far, and its turn."""
        part = self._parts[shard]
        part.turn, part.running = part.turn + 1, True
        return part.text, part.turn

    async def add(self, shard: int, turn: int, text: str) -> bool:
        """The rows of an attempt, old ones included; False if another one has begun since."""
        part = self._parts[shard]
        if turn != part.turn:
            return False
        part.text, part.version = text, part.version + 1
        return True

    async def end(self, shard: int, turn: int, code: int, words: str) -> None:
        """The command of an attempt ended."""
        part = self._parts[shard]
        if turn == part.turn:
            part.words, part.version, part.running = words, part.version + 1, False
            part.code = code if code in RESULTS else None

    async def look(self, versions: Mapping[int, int], notes: int) -> Report:
        """The state, the texts of other versions than these, and the notes after the first so many."""
        parts = self._parts
        fresh = [shard for shard, part in parts.items() if part.version and part.version != versions.get(shard)]
        left = [part for part in parts.values() if part.code is None and not part.lost]
        running = sum(part.running for part in left)
        return Report(
            codes={shard: part.code for shard, part in parts.items() if part.code is not None},
            running=running,
            waiting=len(left) - running,
            lost=tuple(shard for shard, part in parts.items() if part.lost),
            versions={shard: parts[shard].version for shard in fresh},
            texts={shard: parts[shard].text for shard in fresh},
            words={shard: parts[shard].words for shard in fresh if parts[shard].words},
            notes=tuple(self._notes[notes:]),
        )

    async def _carry(self, shard: int) -> None:
        part, fruitless = self._parts[shard], 0
        while fruitless < MOST_FRUITLESS:
            before = part.rows
            try:
                code = await self._launch(shard)
                why = f"exit {code}"
            except Exception as error:  # of Ray, after all its retries: a crash, a lost node, a full disk
                why = one_line(cause(error), 200)
            part.running = False
            if part.code is not None:
                return
            fruitless = 0 if part.rows > before else fruitless + 1
            if fruitless < MOST_FRUITLESS:
                self._notes.append(f"shard {shard} ended unfinished ({why}) and is submitted again")
                await asyncio.sleep(self._again_s)
        part.lost, part.words, part.version = True, part.words or why, part.version + 1


def _launcher(job: RayJob) -> Callable[[int], Awaitable[int | None]]:
    """Tasks of Ray, owned by the actor that calls this."""
    import ray

    keeper = ray.get_runtime_context().current_actor
    remote: Any = ray.remote(max_calls=1, max_retries=MOST_RETRIES, retry_exceptions=[OSError])(run_shard)

    def launch(shard: int) -> Awaitable[int | None]:
        found: Awaitable[int | None] = remote.options(name=f"convbench-{shard}", **job.wanted.options).remote(
            keeper, job, shard
        )
        return found

    return launch


def run_shard(keeper: Any, job: RayJob, shard: int) -> int | None:
    """Continue a shard with the rows that there are, and send them while they are made; None for an obsolete attempt.

    Raises:
        OSError: the node's disk is full, or the command cannot be started there; Ray tries again.
    """
    import ray

    return _run_shard(lambda name, *words: ray.get(getattr(keeper, name).remote(*words)), job, shard)


def _run_shard(ask: Callable[..., Any], job: RayJob, shard: int) -> int | None:
    text, turn = ask("take", shard)
    folder = Path(mkdtemp(prefix="convbench-"))
    try:
        part, log = folder / "part.csv", folder / "log.txt"
        if text:
            part.write_text(text, encoding="utf-8", newline="")
        own = ["--shard", f"{shard}/{job.wanted.shards}", "--csv", str(part), "--resume"]
        words = [sys.executable, "-m", __name__, str(folder), *job.command, *own]
        end, code = time.monotonic() + 60 * job.wanted.minutes, None
        with (
            log.open("wb") as told,
            # It lives as long as this end of its stdin is open: a killed worker of Ray leaves nothing running.
            subprocess.Popen(  # noqa: S603  # of our own
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=told,
                cwd=job.folder if Path(job.folder).is_dir() else None,
            ) as child,
        ):
            while code is None:
                try:
                    code = child.wait(SEND_S)
                except subprocess.TimeoutExpired:
                    if time.monotonic() > end:
                        child.kill()
                fresh = _whole_lines(part)
                if fresh not in ("", text):
                    if not ask("add", shard, turn, fresh):
                        child.kill()
                        return None
                    text = fresh
        with log.open(encoding="utf-8", errors="replace") as lines:
            ask("end", shard, turn, code, "".join(deque(lines, maxlen=LAST_LINES)))
        return code
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _whole_lines(part: Path) -> str:
    try:
        text = part.read_bytes().decode("utf-8", errors="replace")
    except OSError:  # not there yet
        return ""
    return text[: text.rfind("\n") + 1]


@dataclass(slots=True, kw_only=True)
class RayRun:
    """The shards of a sweep in Ray, from the submission to the last one.

    Attributes:
        address: of the cluster, as `ray.init` takes it.
        tell: receives a line when something is submitted again, or Ray does not answer.
    """

    address: str
    folder: Folder
    job: RayJob
    tell: Callable[[str], None] = lambda _: None
    sleep: Callable[[float], None] = time.sleep
    _keeper: Any = field(default=None, init=False)
    _versions: dict[int, int] = field(default_factory=dict, init=False)
    _notes: int = field(default=0, init=False)

    def start(self) -> None:
        """Connect, and submit the undone shards, unless a keeper of this folder is still there.

        Raises:
            ConvbenchError: there is no such cluster.
        """
        _connect(self.address)
        import ray

        if not any(self.job.wanted.fits(node) for node in ray.nodes()):
            self.tell(f"no node of {self.address} has {self.job.wanted} now; the shards wait for one")
        if self.folder.noted:
            self.tell(f"{self.folder.path} has actor {self.folder.noted[-1]}: it is followed, or started again")
        else:
            self.folder.note(f"convbench-{uuid4().hex[:12]}")
        self._find_keeper()

    def follow(self) -> Iterator[State]:
        """The state every two seconds, until each shard is done or given up; then nothing of it is left in Ray.

        Raises:
            ConvbenchError: Ray does not answer.
        """
        import ray
        from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError

        silent, shards = 0, self.job.wanted.shards
        while True:
            try:
                report: Report = ray.get(self._keeper.look.remote(self._versions, self._notes), timeout=ASK_S)
            except ActorDiedError:  # with its node; the rows that it had are here, up to the last two seconds
                self.tell("the actor that owns the tasks died, perhaps with its node; starting another")
                self._find_keeper()
                continue
            except (ActorUnavailableError, GetTimeoutError) as error:
                silent += 1
                if silent >= MOST_SILENT:
                    raise self._error(error) from None
                if silent == 1:
                    self.tell(f"{self._error(error)}; asking again")
                self.sleep(POLL_S)
                continue
            silent = 0
            self._save(report)
            yield State(
                done=len(report.codes),
                running=report.running,
                waiting=report.waiting,
                lost=report.lost,
                rows=sum(self.folder.rows(shard) for shard in range(1, shards + 1)),
            )
            if len(report.codes) + len(report.lost) == shards:
                self.cancel()
                return
            self.sleep(POLL_S)

    def cancel(self) -> None:
        """End the keeper, and with it all tasks that it owns; what they sent is kept."""
        import ray

        if self._keeper is not None:
            ray.kill(self._keeper)

    def _find_keeper(self) -> None:
        """The keeper that has this folder's name, or a new one that knows what is in the folder."""
        import ray
        from ray.exceptions import RayActorError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        done = self.folder.done(self.job.wanted.shards)
        every = range(1, self.job.wanted.shards + 1)
        texts = {shard: _whole_lines(self.folder.part(shard)) for shard in every}
        head = next((node["NodeID"] for node in ray.nodes() if _HEAD in node["Resources"]), None)
        where = "DEFAULT" if head is None else NodeAffinitySchedulingStrategy(node_id=head, soft=True)
        keeper: Any = ray.remote(RowKeeper)
        for left in reversed(range(MOST_STARTS)):
            self._keeper = keeper.options(
                name=self.folder.noted[-1], namespace=NAMESPACE, lifetime="detached", get_if_exists=True,
                num_cpus=0, max_restarts=0, scheduling_strategy=where,
            ).remote(self.job, texts, {shard: self.folder.code(shard) for shard in done})  # fmt: skip
            self._versions, self._notes = {}, 0
            try:
                ray.get(self._keeper.begin.remote())
            except RayActorError as error:  # it died meanwhile, or Ray does not know yet that the last one did
                if not left:
                    raise self._error(error) from None
                self.sleep(POLL_S)
            else:
                return

    def _error(self, error: Exception) -> ConvbenchError:
        return ConvbenchError(f"--ray {self.address}: {one_line(cause(error), 200)}")

    def _save(self, report: Report) -> None:
        for shard, text in report.texts.items():
            if text:
                put(self.folder.part(shard), text.encode(), overwrite=True)
        for shard, words in report.words.items():
            put(self.folder.log(shard), words.encode(), overwrite=True)
        for shard in report.codes.keys() - self.folder.done(self.job.wanted.shards):
            self.folder.finish(shard, report.codes[shard])
        self._versions |= report.versions
        for note in report.notes:
            self.tell(note)
        self._notes += len(report.notes)


def _connect(address: str) -> None:
    try:
        import ray
    except ImportError:
        raise ConvbenchError("--ray needs the package ray; install convbench[ray]") from None
    # Ray warns of a future change to what a task without a GPU sees, whatever one asks for.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(
            address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False,
            ignore_reinit_error=True,
        )  # fmt: skip
    except Exception as error:  # whatever a client raises: no such host, another version of Ray or Python
        raise ConvbenchError(
            f"--ray {address}: {one_line(cause(error), 200)}; give auto on a node of the cluster, HOST:6379, or "
            f"ray://HOST:10001 from elsewhere"
        ) from None


def _run_tethered(folder: str, words: Sequence[str]) -> None:
    """Run convbench until it ends, or until the other end of stdin is closed; then clean up."""
    from convbench.__main__ import main

    def watch() -> None:
        while os.read(0, 1024):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    sys.argv[1:] = words
    main()


if __name__ == "__main__":
    _run_tethered(sys.argv[1], sys.argv[2:])
