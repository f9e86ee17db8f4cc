"""How does a sweep outlive its backends? Each case runs in a process of its own that may crash, hang or eat memory.

A fork server (this module, run in a fresh interpreter) imports torch once and forks a worker
from that whenever it is asked: some hundredths of a second instead of a torch import. It has
neither a thread pool nor a CUDA context, so each worker starts its own. The worker is a session
of its own, runs the ordinary sweep on one case, and sends the results back. Before each thing it
does for a backend it writes that backend's number into shared memory, which outlives it: so
whoever crashed, hung or grew too large is known, gets its row, and the case is run again
without it.

multiprocessing's own fork server would not do: it hands each child the pipe that keeps it
alive, so that a hung worker survives a killed parent for ever; it runs the user's main module
again; and it lends its children stdout, which belongs to the CSV.

Everything below is killed at the latest when the parent's end of one socket closes, which the
kernel does for us whatever the parent dies of.
"""

import ctypes
import io
import json
import mmap
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn, Self
from uuid import uuid4

import torch

from convbench.backend import Backend, discover
from convbench.bench import sweep as _preload  # noqa: F401  # so that a worker finds it imported
from convbench.bench.world import World
from convbench.case import Case
from convbench.errors import MOST_CHARACTERS, ConvbenchError, first_line, one_line
from convbench.machine import descendants, free_nbytes, own_nbytes
from convbench.outcome import Failed, Outcome, Result, Skipped, Wrong
from convbench.verify.memory import poisoned
from convbench.verify.trial import Stage, Watch, fault_traits

# One look at a few small files of /proc ten times a second: about a tenth of a millisecond each, so
# at most a thousandth of one core is taken from what is being timed.
POLL_S = 0.1
STARTUP_S = 300.0  # torch was seen to take 12 s on a small machine; a network disk is worse
DYING_S = 10.0  # a process that SIGKILL does not end by then hangs in a driver
RESERVE = 0.1  # share of the free memory that the parent, the caches and the rest keep
MOST_PROCESSES = 512  # below a worker; compilers take one for each core
MOST_THREADS = 4 * MOST_PROCESSES + 64 * (os.cpu_count() or 1)  # of a user's, beyond what he has already
MOST_ANSWER_NBYTES = 2**28  # the results of a case are some kilobytes
ANSWER_S = 10  # for the rest of an answer that has begun
MARK = "CONVBENCH_WORKERS"  # in the environment of all that is below a fork server

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

STAGES = list(Stage)  # the first one stands in memory that is still zero

Sweep = Callable[..., Iterator[Result]]

_HOME = str(Path(__file__).parents[2])  # where this package lies, should it not be installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may use.

    Its memory is looked at and not limited by RLIMIT_AS, which counts addresses: CUDA reserves
    hundreds of gigabytes of those when it starts, whatever it will use.

    Attributes:
        timeout_s: seconds for one step of one backend (its verification, one block of timed calls);
            None for `default_timeout_s`.
        memory_nbytes: memory of the worker and its children; None for what is free when it starts, less a reserve.
    """

    timeout_s: float | None = None
    memory_nbytes: int | None = None


def default_timeout_s(case: Case, backends: Sequence[Backend]) -> float:
    """Two minutes, a second for each 1e8 multiply-adds, and 20 calls of the slowest one that says how slow it is.

    A clock that starts anew at each step blames nobody for the time of the others, so it depends
    neither on the budget nor on the number of backends. Two minutes are for compilers and
    autotuners; the oracle and slow kernels do 1e8 multiply-adds a second in float64 on any CPU.
    """
    macs = case.spec.macs
    slowest = max((macs / one.macs_per_s for one in backends if one.max_macs is not None), default=0.0)
    return 120.0 + macs / 1e8 + 20 * slowest


def isolated(
    sweep: Sweep,
    cases: Sequence[Case],
    backends: Sequence[Backend],
    *,
    plugins: Sequence[str] = (),
    limits: Limits | None = None,
    cases_each: int = 1,
) -> Iterator[Result]:
    """What `sweep(cases, backends, watch=...)` yields, each case in a process that may die.

    Args:
        sweep: `bench` or `verify`, its options bound by functools.partial; it must be picklable.
        backends: they are loaded again in the worker, by name, from the same plug-ins.
        cases_each: cases that one worker does, if it lives.

    Raises:
        ConvbenchError: no worker process can be had.
    """
    limits = limits or Limits()
    names = [backend.name for backend in backends]
    families = {backend.name: backend.family for backend in backends}
    felled: dict[str, Outcome] = {}  # of the case that is being done
    faults: set[tuple[str, str]] = set()
    done = 0
    with Server() as server:
        while done < len(cases):
            job = Job(
                sweep=sweep,
                cases=tuple(cases[done : done + cases_each]),
                names=tuple(names),
                felled=tuple(felled),
                plugins=tuple(plugins),
                threads=torch.get_num_threads(),
                timeouts_s=tuple(
                    limits.timeout_s or default_timeout_s(case, backends) for case in cases[done : done + cases_each]
                ),
                memory_nbytes=limits.memory_nbytes or _free_nbytes(),
                faults=frozenset(faults),
            )
            for answer in server.work(job):
                case = cases[done]
                if isinstance(answer, Fall):
                    if answer.backend is not None:
                        felled[answer.backend] = answer.outcome
                        if len(felled) < len(names):
                            continue  # the job ends here; once more, without this one
                    found: dict[str, Result] = {}
                else:
                    found = {result.backend: result for result in answer if result.case == case}
                    for one in found.values():
                        if isinstance(one.outcome, Wrong):
                            faults |= fault_traits(one.backend, case)
                for name in names:
                    outcome = felled.get(name)
                    if outcome is None and isinstance(answer, Fall):
                        outcome = answer.outcome
                    if outcome is None:
                        outcome = found[name].outcome if name in found else Failed("not run: its worker sent no row")
                    yield Result(case=case, backend=name, family=families[name], outcome=_in_one_line(outcome))
                felled.clear()
                done += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is to do; `felled` are the backends that the first of its cases is run without.

    `faults` are the traits of the wrong answers that earlier workers have met.
    """

    sweep: Sweep
    cases: tuple[Case, ...]
    names: tuple[str, ...]
    felled: tuple[str, ...]
    plugins: tuple[str, ...]
    threads: int
    timeouts_s: tuple[float, ...]
    memory_nbytes: int | None
    faults: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Fall:
    """A worker did not finish a case: because of this backend, or of nobody in particular."""

    backend: str | None
    outcome: Outcome


def _in_one_line(outcome: Outcome) -> Outcome:
    """The words in it are foreign: neither a terminal nor a file is to see a megabyte of them, or an escape."""
    most = 2 * MOST_CHARACTERS  # what was cut already has a few words more now
    match outcome:
        case Failed(message):
            return Failed(one_line(message, most))
        case Skipped(reason):
            return Skipped(one_line(reason, most))
        case Wrong(check):
            return Wrong(replace(check, evidence=one_line(check.evidence or "", most)))
    return outcome


def _free_nbytes() -> int | None:
    free = free_nbytes("cpu")
    return None if free is None else int(free * (1 - RESERVE))


class Board:
    """Who is doing what, in memory that the worker shares with its parent.

    Writing it is one copy of eight bytes, outside of what is timed, and it needs no system call
    that a dying process could leave half done.
    """

    _FORMAT = struct.Struct("=IHBx")  # steps so far, the backend's number from 1, the stage
    NOBODY = 0

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)
        self._numbers: dict[str, int] = {}
        self._steps = 0

    def clear(self, names: Sequence[str]) -> None:
        """Start with nobody doing anything."""
        self._numbers = {name: number for number, name in enumerate(names, start=1)}
        self._steps = 0
        self._FORMAT.pack_into(self._memory, 0, 0, self.NOBODY, 0)

    def tell(self, backend: str, stage: Stage) -> None:
        """Write down that this backend (or nobody, with an empty name) comes to this stage."""
        self._steps = (self._steps + 1) % 2**32
        self._FORMAT.pack_into(
            self._memory, 0, self._steps, self._numbers.get(backend, self.NOBODY), STAGES.index(stage)
        )

    def read(self) -> tuple[int, str | None, str]:
        """Steps so far, the backend, the stage."""
        steps, number, stage = self._FORMAT.unpack_from(self._memory, 0)
        names = list(self._numbers)
        return steps, names[number - 1] if 0 < number <= len(names) else None, STAGES[stage % len(STAGES)]

    def close(self) -> None:
        self._memory.close()


# ----------------------------------------------------------------------------- the parent's side

_START, _KILL = b"s", b"k"
_STATUS = struct.Struct("=qq")  # pid, wait status
_BEGUN = -1  # in the place of a wait status

_SERVE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from convbench.bench.isolate import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass(slots=True)
class Server:
    """The fork server as its parent sees it; started when first needed, and again if it was killed."""

    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _control: socket.socket | None = field(default=None, init=False)
    _board: Board | None = field(default=None, init=False)
    _mark: str = field(default_factory=lambda: f"{os.getpid()}-{uuid4()}", init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def work(self, job: Job) -> Iterator[list[Result] | Fall]:
        """The results of each case in order; a Fall is the last thing of a job."""
        control, board = self._ready()
        board.clear(job.names)
        ours, theirs = socket.socketpair()
        # Half an answer must not hold us up: a backend can write to any descriptor of its process.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_S, 0))
        connection = Connection(ours.detach())
        answered = 0
        try:
            with theirs:
                socket.send_fds(control, [_START], [theirs.fileno()])
            self._status(STARTUP_S)
            with suppress(OSError):  # killed as soon as it was born; what follows finds its status
                connection.send(job)
            for answer in self._follow(job, connection, board):
                answered += 1
                yield answer
        except (_ServerGone, _Silence, OSError) as error:
            fall = _fall(board, str(error) or "did not begin")
            self.stop()
            _end_all_with(self._mark)
            if answered < len(job.cases):  # else it has done all that it had to
                yield fall
        finally:
            connection.close()

    def _follow(self, job: Job, connection: Connection, board: Board) -> Iterator[list[Result] | Fall]:
        assert self._control is not None
        assert self._process is not None
        server = self._process.pid
        done, step, since, why = 0, -1, time.monotonic(), ""
        while True:
            timeout_s = job.timeouts_s[min(done, len(job.cases) - 1)]
            readable = wait([connection, self._control], POLL_S)
            if connection in readable and done < len(job.cases):
                answer: list[Result] | Fall | str | None
                try:
                    answer = _read(connection)
                except BlockingIOError:
                    answer = "sent half an answer"
                except (EOFError, OSError):  # it is dead; a reset means that it had not read its job
                    answer = None
                except Exception as error:  # whatever a backend may have smuggled into its words
                    answer = f"sent what cannot be read ({type(error).__name__}: {first_line(error)})"
                since = time.monotonic()
                if isinstance(answer, list):
                    done += 1
                    yield answer
                    continue
                if isinstance(answer, Fall):
                    self._kill()
                    yield answer
                    return
                if isinstance(answer, str):
                    why = answer
            if _is_stopped(server):
                os.kill(server, signal.SIGCONT)
                why = why or "stopped the fork server"
            if self._control in readable or done == len(job.cases) or (connection in readable and not why):
                # It is done or dead; its status comes as soon as everything that it left behind is killed.
                with suppress(_Silence):
                    _, status = self._status(DYING_S)
                    break
                why = why or "ended, yet did not exit"
            now, steps = time.monotonic(), board.read()[0]
            if steps != step:
                step, since = steps, now
            below = descendants(server, MOST_PROCESSES + 1)  # who left the worker's own family counts too
            held = sum(map(own_nbytes, below)) if job.memory_nbytes is not None else 0
            if len(below) > MOST_PROCESSES:
                why = f"started more than {MOST_PROCESSES} processes"
            elif job.memory_nbytes is not None and held > job.memory_nbytes:
                why = f"used more than {job.memory_nbytes / 2**30:.1f} GiB"
            elif now - since > timeout_s:
                why = f"hung: no answer within {timeout_s:g} s"
            if why:
                status = self._kill()
                break
        if done < len(job.cases):
            killed = "; killed" if why else ""
            yield _fall(board, why or _death(status), killed)

    def _kill(self) -> int:
        """Have the worker and all it started killed; its wait status."""
        assert self._control is not None
        try:
            self._control.sendall(_KILL)
            return self._status(DYING_S)[1]
        except (OSError, _Silence):  # it hangs in a driver, where no signal reaches it: leave it behind
            raise _ServerGone("could not be killed") from None

    def _status(self, timeout_s: float) -> tuple[int, int]:
        assert self._control is not None
        self._control.settimeout(timeout_s)
        try:
            data = self._control.recv(_STATUS.size, socket.MSG_WAITALL)
        except TimeoutError:
            raise _Silence from None
        except OSError:
            data = b""
        if len(data) < _STATUS.size:
            raise _ServerGone("took the fork server down")
        pid, status = _STATUS.unpack(data)
        return int(pid), int(status)

    def _ready(self) -> tuple[socket.socket, Board]:
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # somebody killed it while it had nothing to do
        if self._control is not None and self._board is not None:
            return self._control, self._board
        self._control, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as shared, theirs:
            shared.truncate(mmap.PAGESIZE)
            self._board = Board(shared.fileno())
            descriptors = (theirs.fileno(), shared.fileno())
            # Its stdout is our stderr: whatever a backend prints stays out of the CSV. A session of its own
            # keeps Ctrl-C at a terminal for us alone.
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                # -P: not even json is taken from the working directory.
                [sys.executable, "-P", "-c", _SERVE, json.dumps([*sys.path, _HOME]), *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=descriptors,
                env=os.environ | {MARK: self._mark},
                start_new_session=True,
            )
        try:
            self._status(STARTUP_S)
        except (_Silence, _ServerGone):
            self.stop()
            raise ConvbenchError("the fork server of --isolate did not start; try --no-isolate") from None
        return self._control, self._board

    def stop(self) -> None:
        """End the server and whatever runs below it."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            try:
                self._process.wait(DYING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._board is not None:
            self._board.close()
        self._process = self._control = self._board = None


class _ServerGone(Exception):  # noqa: N818  # it says what happened
    """There is no server any more that could say how the worker died."""


class _Silence(Exception):  # noqa: N818  # it says what happened
    """The server has nothing to report."""


class _Rows(pickle.Unpickler):
    """Results, and nothing that runs when it is read: a backend may have written what we read."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name) if module.startswith("convbench.") and "." not in name else None
        if not (isinstance(found, type) and is_dataclass(found)):
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a result")
        return found


def _read(connection: "Connection") -> list[Result] | Fall:
    """The next answer of a worker.

    Raises:
        EOFError, OSError: there is none, or half of one.
        Exception: it is none.
    """
    answer = _Rows(io.BytesIO(connection.recv_bytes(MOST_ANSWER_NBYTES))).load()
    if isinstance(answer, Fall):
        return answer
    if isinstance(answer, list) and all(isinstance(one, Result) for one in answer):
        return answer
    raise TypeError(f"a {type(answer).__name__} for results")


def _is_stopped(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1] == ["T"]
    return False


def _end_all_with(mark: str) -> None:
    """Kill what a fork server left behind that was killed itself: all below it had its environment."""
    line, deadline = f"{MARK}={mark}".encode(), time.monotonic() + DYING_S / 2
    left = True
    while left and time.monotonic() < deadline:
        left = False
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # somebody else's, or it has just ended
                if line in path.read_bytes().split(b"\0"):
                    left = True
                    os.kill(int(path.parent.name), signal.SIGKILL)


def _fall(board: Board, what: str, after: str = "") -> Fall:
    _, backend, stage = board.read()
    if backend is None:
        return Fall(None, Failed(f"not run: the worker process {what} {stage}{after}"))
    return Fall(backend, Failed(f"{what} {stage}{after}"))


def _death(status: int) -> str:
    """How a process ended, in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":  # and nobody here sent it
        return "was killed from outside (SIGKILL), for want of memory most often,"
    return f"died of {name}"


# ----------------------------------------------------------------------------- the server's side


def serve(control_fd: int, board_fd: int) -> NoReturn:
    """Fork a worker whenever the parent asks; kill it when told to, and when the parent is gone."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside numpy's threads, which provides for that
    control, board = socket.socket(fileno=control_fd), Board(board_fd)
    os.close(board_fd)
    control.set_inheritable(False)
    warm_up()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # whom a dead worker leaves behind becomes ours, and is killed
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # gigabytes a crash, and the time to write them
    with suppress(OSError):  # the parent is gone
        control.sendall(_STATUS.pack(os.getpid(), _BEGUN))
        while True:
            order, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if order == _START:
                server, pid = os.getpid(), os.fork()
                if pid == 0:
                    control.close()
                    _be_a_worker(descriptors[0], board, server)
                os.close(descriptors[0])
                status = _watch_over(pid, control)
                control.sendall(_STATUS.pack(pid, status))
            elif not order:
                break
            # else: told to kill a worker that ended just now
    os._exit(0)


def warm_up() -> None:
    """Import what the first verification would.

    Nothing here starts a thread or asks for CUDA: neither would live on in a worker.
    """
    with poisoned((1,), torch.zeros(1)):
        torch.empty(1)


def _watch_over(pid: int, control: socket.socket) -> int:
    """Wait until the worker has ended, of itself or by our hand; nothing that it started is left. Its wait status."""
    handle = os.pidfd_open(pid)
    with suppress(OSError):
        control.sendall(_STATUS.pack(pid, _BEGUN))
    wait([handle, control])  # its end, an order to kill it, or the end of the parent
    os.close(handle)
    for kill in (os.killpg, os.kill):  # it may not have made its group yet
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    deadline = time.monotonic() + DYING_S / 2
    with suppress(ChildProcessError):  # none is left
        while time.monotonic() < deadline:
            below = descendants(os.getpid())  # in groups of their own
            for kill_by in (signal.SIGSTOP, signal.SIGKILL):  # who is stopped starts nobody while the others die
                for one in below:
                    with suppress(ProcessLookupError):
                        os.kill(one, kill_by)
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
            time.sleep(0.001)
    return status


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


# ----------------------------------------------------------------------------- the worker's side


def _be_a_worker(descriptor: int, board: Board, server: int) -> NoReturn:
    """Do a job and leave without any exit handler, which could hang in a driver."""
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the server be killed, nobody else would end us
    if os.getppid() != server:
        os._exit(0)
    os.set_inheritable(descriptor, False)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if the kernel must kill somebody, then not the sweep
    _bound_threads()
    connection = Connection(descriptor)
    try:
        _do(connection.recv(), connection, board)
    except BaseException as error:  # KeyboardInterrupt too: whatever it is, it is a row
        with suppress(Exception):
            connection.send(_fall(board, f"raised {type(error).__name__}: {first_line(error)}".strip(": ")))
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _do(job: Job, connection: Connection, board: Board) -> None:
    board.clear(job.names)
    if torch.get_num_threads() != job.threads:
        torch.set_num_threads(job.threads)
    world = World()
    backends = _load(job.plugins, job.names)
    world.keep_environment()
    felled: Sequence[str] = job.felled
    watch = Watch(memory_nbytes=job.memory_nbytes, faults=set(job.faults))
    for case in job.cases:
        turn = Turn(board, world)
        watch = replace(watch, tell=turn.tell)
        run = [backend for backend in backends if backend.name not in felled]
        results = [turn.judge(result) for result in list(job.sweep([case], run, watch=watch))]
        if case.device in watch.lost:  # the others have not had their turn, and cannot have it in this process
            culprit = watch.lost[case.device].backend
            (outcome,) = (result.outcome for result in results if result.backend == culprit)
            connection.send(Fall(culprit, outcome))
            return
        connection.send(results)
        felled = ()


class Turn:
    """Whose turn it is, on the board; before each one the world is as it was."""

    def __init__(self, board: Board, world: World) -> None:
        self._board = board
        self._world = world
        self._backend = ""
        self._accused: dict[str, str] = {}
        world.restore()  # of what an import did nobody in particular is accused

    def tell(self, backend: str, stage: Stage) -> None:
        """As `Watch.tell`."""
        self._clear_up()
        self._backend = backend
        self._board.tell(backend, stage)

    def judge(self, result: Result) -> Result:
        """The result, or a failure where the backend replaced what judges it."""
        self._clear_up()
        replaced = self._accused.get(result.backend)
        if replaced is None or isinstance(result.outcome, Skipped):
            return result
        return replace(result, outcome=Failed(f"it replaced {replaced}, so that no verdict on it stands"))

    def _clear_up(self) -> None:
        if replaced := self._world.restore():
            self._accused.setdefault(self._backend, ", ".join(replaced[:5]))


def _bound_threads() -> None:
    """A limit on processes and threads of this user, which a fork bomb meets before the next look at it.

    It does not bind root, so the parent counts as well.
    """
    if os.geteuid() == 0:
        return
    count = 0
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            count += len(os.listdir(path / "task")) if path.stat().st_uid == os.getuid() else 0
    with suppress(ValueError, OSError):  # it is lower already
        resource.setrlimit(resource.RLIMIT_NPROC, (count + MOST_THREADS, count + MOST_THREADS))


def _load(plugins: Sequence[str], names: Sequence[str]) -> list[Backend]:
    loaded, unavailable = discover(plugins, names)
    known = {one.name: one for one in [*loaded, *(one.as_backend() for one in unavailable)]}
    return [known[name] for name in names]
