"""The fork server and its workers, which may crash, hang or eat memory without affecting the parent."""

import ctypes
import importlib
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NoReturn

import torch

from convbench.backend import Backend
from convbench.call.memory import poisoned
from convbench.call.watch import BackendStage, Watch
from convbench.case import Case
from convbench.discovery import discover, load_here, sources
from convbench.errors import ConvbenchError, in_words
from convbench.machine import descendants
from convbench.outcome import Failed, Result, Skipped, Wrong
from convbench.system import die_with
from convbench.workers.jobs import (
    BEGUN,
    DYING_S,
    LOAD,
    MODULE_NBYTES,
    MOST_PROCESSES,
    START,
    STATUS,
    Board,
    Card,
    Enough,
    Fall,
    Inquiry,
    Job,
    NotLoaded,
    Surroundings,
    fall_of,
)
from convbench.workers.world import World

MOST_THREADS = 4 * MOST_PROCESSES + 64 * (os.cpu_count() or 1)  # of a user's, beyond what he has already

PR_SET_CHILD_SUBREAPER = 36


def serve(control_fd: int, board_fd: int) -> NoReturn:
    """Import what the parent names, fork workers on request; kill them on request, and when the parent is gone."""
    import resource

    warnings.simplefilter("ignore", DeprecationWarning)  # about forking with numpy's threads, which supports that
    control, board = socket.socket(fileno=control_fd), Board(board_fd)
    os.close(board_fd)
    control.set_inheritable(False)
    warm_up()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of a dead worker become ours, and are killed
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # gigabytes a crash, and the time to write them
    with suppress(OSError):  # the parent is gone
        control.sendall(STATUS.pack(os.getpid(), BEGUN))
        while True:
            order, descriptors, _, _ = socket.recv_fds(control, 1, 2)
            if order == START:
                server, pid = os.getpid(), os.fork()
                if pid == 0:
                    control.close()
                    _be_a_worker(descriptors, board, server)
                for one in descriptors:
                    os.close(one)
                status = _watch_over(pid, control)
                control.sendall(STATUS.pack(pid, status))
            elif order == LOAD:
                importlib.import_module(control.recv(MODULE_NBYTES, socket.MSG_WAITALL).decode().rstrip())
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
    """Wait until the worker has ended or was killed, with everything it started; returns its wait status."""
    handle = os.pidfd_open(pid)
    with suppress(OSError):
        control.sendall(STATUS.pack(pid, BEGUN))
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
            for kill_by in (signal.SIGSTOP, signal.SIGKILL):  # a stopped process starts no others meanwhile
                for one in below:
                    with suppress(ProcessLookupError):
                        os.kill(one, kill_by)
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
            time.sleep(0.001)
    return status


def _be_a_worker(descriptors: Sequence[int], board: Board, server: int) -> NoReturn:
    """Do a job and leave without any exit handler, which could hang in a driver."""
    descriptor, errors = descriptors
    os.setsid()
    die_with(server)  # otherwise a killed server would leave us running
    os.set_inheritable(descriptor, False)
    for stream in (1, 2):  # whatever a backend prints stays out of the CSV
        os.dup2(errors, stream)
    os.close(errors)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if the kernel must kill a process, then not the sweep
    _bound_threads()
    connection = Connection(descriptor)
    try:
        _go_to(connection.recv())
        errand = connection.recv()
        if isinstance(errand, Job):
            _do(errand, connection, board)
        else:
            _look(errand, connection, board)
    except BaseException as error:  # KeyboardInterrupt too: whatever it is, it is a row
        with suppress(Exception):
            connection.send(fall_of(board, f"raised {in_words(error)}"))
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _go_to(place: Surroundings) -> None:
    if place.folder:
        os.chdir(place.folder)
    sys.path[:] = place.path
    os.environ.clear()
    os.environ.update(place.environment)


def _do(job: Job, connection: Connection, board: Board) -> None:
    board.clear(job.names)
    if torch.get_num_threads() != job.threads:
        torch.set_num_threads(job.threads)
    world = World()
    backends = _load(job)
    world.keep_environment()
    felled: Sequence[str] = job.felled
    watch = Watch(memory_nbytes=job.memory_nbytes, faults=set(job.faults), spared=job.spared)
    for case in _cases(job, connection):
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
        if not case.target.on_host and (watch.worn or any(isinstance(one.outcome, Failed | Wrong) for one in results)):
            connection.send(Enough())
            return


def _cases(job: Job, connection: Connection) -> Iterator[Case]:
    yield from job.cases
    while job.more and (case := connection.recv()) is not None:
        yield case


class Turn:
    """Records whose turn it is; before each turn the process state is restored."""

    def __init__(self, board: Board, world: World) -> None:
        self._board = board
        self._world = world
        self._backend = ""
        self._accused: dict[str, str] = {}
        world.restore()  # changes made by an import are not blamed on any backend

    def tell(self, backend: str, stage: BackendStage) -> None:
        """As `Watch.tell`."""
        self._clear_up()
        self._backend = backend
        self._board.tell(backend, stage)

    def judge(self, result: Result) -> Result:
        """The result, or a failure if the backend replaced functions that judge it."""
        self._clear_up()
        replaced = self._accused.get(result.backend)
        if replaced is None or isinstance(result.outcome, Skipped):
            return result
        return replace(result, outcome=Failed(f"it replaced {replaced}, so no verdict on it is valid"))

    def _clear_up(self) -> None:
        if replaced := self._world.restore():
            self._accused.setdefault(self._backend, ", ".join(replaced[:5]))


def _bound_threads() -> None:
    """A limit on processes and threads of this user, which a fork bomb hits before the next poll.

    It does not bind root, so the parent counts as well.
    """
    import resource

    if os.geteuid() == 0:
        return
    count = 0
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            count += len(os.listdir(path / "task")) if path.stat().st_uid == os.getuid() else 0
    with suppress(ValueError, OSError):  # it is lower already
        resource.setrlimit(resource.RLIMIT_NPROC, (count + MOST_THREADS, count + MOST_THREADS))


def _load(job: Job) -> list[Backend]:
    gone = {one.name for one in job.unavailable}
    loaded, unavailable = discover(job.plugins, [name for name in job.names if name not in gone])
    known = {one.name: one for one in loaded}
    known |= {one.name: one.as_backend() for one in (*unavailable, *job.unavailable)}
    return [known[name] for name in job.names]


def _look(inquiry: Inquiry, connection: Connection, board: Board) -> None:
    """Import third-party code and report its backends, or why it cannot be imported."""
    board.clear(inquiry.names)
    board.tell(inquiry.names[0], BackendStage.IMPORTED)
    points = [one for one in sources() if inquiry.point == one.name and not one.shadowed]
    try:
        loaded, unavailable = load_here(points, [inquiry.plugin] if inquiry.plugin else [])
    except ConvbenchError as error:
        connection.send([NotLoaded(str(error), broken=False)])
    else:
        connection.send([*map(_card_of, loaded), *(NotLoaded(one.reason, one.broken) for one in unavailable)])


def _card_of(one: Backend) -> Card:
    return Card(
        name=one.name,
        doc=one.doc,
        family=one.family,
        source=one.source,
        devices=tuple(one.devices),
        dtypes=tuple(one.dtypes),
        passes=one.passes,
        fused=one.fused is not None,
        max_macs=one.max_macs,
        macs_per_s=one.macs_per_s,
        ignored=one.ignored,
    )
