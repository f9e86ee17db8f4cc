"""The parent's side of the fork server: it sends jobs, monitors the workers, and ends them."""

import atexit
import io
import mmap
import os
import pickle
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, is_dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

from convbench.environment import quieten_profiler
from convbench.errors import ConvbenchError, first_line
from convbench.machine import descendants, own_nbytes
from convbench.outcome import Result
from convbench.system import ending, fresh_python, require, search_path
from convbench.workers.jobs import (
    DYING_S,
    KILL,
    LOAD,
    MODULE_NBYTES,
    MOST_PROCESSES,
    START,
    STATUS,
    Board,
    Card,
    Enough,
    Errand,
    Fall,
    Further,
    Heard,
    Inquiry,
    Job,
    NotLoaded,
    Surroundings,
    Sweep,
    fall_of,
)

# Polls a few small files of /proc ten times a second, a tenth of a millisecond for a worker with few threads:
# a thousandth of one core is taken from what is being timed.
POLL_S = 0.1
STARTUP_S = 300.0  # torch was seen to take 12 s on a small machine; a network disk is worse
MOST_ANSWER_NBYTES = 2**28  # the results of a case are some kilobytes
ANSWER_S = 10  # for the rest of an answer that has begun
MARK = "CONVBENCH_WORKERS"  # in the environment of all that is below a fork server
_READ_LATE = ("CONVBENCH_", "PYTEST_CURRENT_TEST")

Answer = TypeVar("Answer")
Kinds = type[Answer] | tuple[type[Answer], ...]

LOOKS = "convbench.discovery"  # what a process needs that looks into the third-party code

_SERVE = "from convbench.workers.worker import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"

_spare: "list[Server]" = []  # one at most: started for what a process asked of it first, and kept until that ends


@dataclass(slots=True)
class Server:
    """The parent's side of the fork server; started when first needed, and again if it was killed.

    It is reused through `take`, because its import of torch takes seconds.
    """

    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _control: socket.socket | None = field(default=None, init=False)
    _board: Board | None = field(default=None, init=False)
    _serves: bool = field(default=False, init=False)
    _mark: str = field(default_factory=lambda: f"{os.getpid()}-{uuid4()}", init=False)
    _started_in: object = field(default=None, init=False)

    @classmethod
    def take(cls) -> Self:
        """The existing one, if a new one would be started in the same way; or a new one."""
        with suppress(IndexError):
            left = _spare.pop()
            if isinstance(left, cls) and left._started_in == _inherited():  # noqa: SLF001  # of its own class
                return left
            left.stop()
        return cls()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._process is not None and not _spare:
            _spare.append(self)
        else:  # a worker may be at work still
            self.stop()

    def work(
        self, job: Job, further: Further | None = None, heard: Heard | None = None
    ) -> Iterator[list[Result] | Fall]:
        """The results of each case in order, of the first ones where a worker had enough; a Fall is the last.

        The cases of `further` follow those of the job; each is taken when the result before it has been used. `heard`
        is called ten times a second while a backend is busy.
        """
        return self._send(replace(job, more=further is not None), _module_of(job.sweep), Result, further, heard)

    def ask(self, inquiry: Inquiry) -> list[Card | NotLoaded] | Fall:
        """The backends in the third-party code, or what happened to the process that loaded it."""
        answers: Iterator[list[Card | NotLoaded] | Fall] = self._send(inquiry, LOOKS, (Card, NotLoaded))
        (answer,) = answers
        return answer

    def _send(
        self,
        errand: Errand,
        preload: str,
        kinds: Kinds[Answer],
        further: Further | None = None,
        heard: Heard | None = None,
    ) -> Iterator[list[Answer] | Fall]:
        control, board = self._ready(preload)
        board.clear(errand.names)
        ours, theirs = socket.socketpair()
        # An incomplete answer must not block us: a backend can write to any descriptor of its process.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", ANSWER_S, 0))
        connection = Connection(ours.detach())
        answered, timeouts_s = 0, list(errand.timeouts_s)
        try:
            with theirs:
                socket.send_fds(control, [START], [theirs.fileno(), 2])
            self._status(STARTUP_S)
            with suppress(OSError):  # killed immediately; the code below finds its status
                connection.send(_place(self._mark))
                connection.send(errand)
            for answer in self._follow(errand, timeouts_s, connection, board, kinds, further, heard):
                answered += 1
                yield answer
        except (_ServerGone, _Silence, OSError) as error:
            fall = fall_of(board, str(error) or "did not start")
            self.stop()
            _end_all_with(self._mark)
            if answered < len(timeouts_s):  # otherwise it has done everything
                yield fall
        finally:
            connection.close()

    def _follow(
        self,
        errand: Errand,
        timeouts_s: list[float],
        connection: Connection,
        board: Board,
        kinds: Kinds[Answer],
        further: Further | None,
        heard: Heard | None,
    ) -> Iterator[list[Answer] | Fall]:
        """The answers; `timeouts_s`, one for each that is expected, grows with the further cases."""
        assert self._control is not None
        assert self._process is not None
        server = self._process.pid
        done, step, since, why = 0, -1, time.monotonic(), ""
        begun = since
        while True:
            all_of_them = len(timeouts_s)
            timeout_s = timeouts_s[min(done, all_of_them - 1)]
            readable = wait([connection, self._control], POLL_S)
            if connection in readable and done < all_of_them:
                answer: list[Answer] | Fall | Enough | str | None
                try:
                    answer = _read(connection, kinds)
                except BlockingIOError:
                    answer = "sent an incomplete answer"
                except (EOFError, OSError):  # it is dead; a reset means that it had not read its job
                    answer = None
                except Exception as error:  # whatever a backend may have put into its answer
                    answer = f"sent an unreadable answer ({type(error).__name__}: {first_line(error)})"
                since = time.monotonic()
                if isinstance(answer, list):
                    done += 1
                    yield answer
                    if further is not None and done == all_of_them:
                        case, more_s = next(further, (None, None))
                        timeouts_s += [] if more_s is None else [more_s]
                        with suppress(OSError):  # it has died meanwhile; its status comes
                            connection.send(case)
                        since = time.monotonic()  # it has waited for us until now
                    begun = time.monotonic()
                    continue
                if isinstance(answer, Fall) or (isinstance(answer, Enough) and done):
                    self._kill()
                    if isinstance(answer, Fall):
                        yield answer
                    return
                if isinstance(answer, Enough):  # then another would begin where it did, without end
                    answer = "reached its limit before it started"
                if isinstance(answer, str):
                    why = answer
            if _is_stopped(server):
                os.kill(server, signal.SIGCONT)
                why = why or "stopped the fork server"
            if self._control in readable or done == all_of_them or (connection in readable and not why):
                # It is done or dead; its status comes as soon as everything that it left behind is killed.
                with suppress(_Silence):
                    _, status = self._status(DYING_S)
                    break
                why = why or "ended but did not exit"
            now, (steps, busy, stage) = time.monotonic(), board.read()
            if heard is not None and busy is not None:
                heard(busy, stage, now - begun)
            if steps != step:
                step, since = steps, now
            below = descendants(server, MOST_PROCESSES + 1)  # who left the worker's own family counts too
            held = sum(map(own_nbytes, below)) if errand.memory_nbytes is not None else 0
            if len(below) > MOST_PROCESSES:
                why = f"started more than {MOST_PROCESSES} processes"
            elif errand.memory_nbytes is not None and held > errand.memory_nbytes:
                why = f"used more than {errand.memory_nbytes / 2**30:.1f} GiB"
            elif now - since > timeout_s:
                why = f"hung: no answer within {timeout_s:g} s"
            if why:
                status = self._kill()
                break
        if done < all_of_them:
            killed = "; killed" if why else ""
            yield fall_of(board, why or ending(os.waitstatus_to_exitcode(status)), killed)

    def _kill(self) -> int:
        """Kill the worker and everything it started; returns its wait status."""
        assert self._control is not None
        try:
            self._control.sendall(KILL)
            return self._status(DYING_S)[1]
        except (OSError, _Silence):  # it hangs in a driver, where no signal reaches it: leave it behind
            raise _ServerGone("could not be killed") from None

    def _status(self, timeout_s: float) -> tuple[int, int]:
        assert self._control is not None
        self._control.settimeout(timeout_s)
        try:
            data = self._control.recv(STATUS.size, socket.MSG_WAITALL)
        except TimeoutError:
            raise _Silence from None
        except OSError:
            data = b""
        if len(data) < STATUS.size:
            raise _ServerGone("took the fork server down")
        pid, status = STATUS.unpack(data)
        return int(pid), int(status)

    def _ready(self, preload: str) -> tuple[socket.socket, Board]:
        """Start it if it does not run, and wait until it serves."""
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # it was killed while idle
        self.start(preload)
        assert self._control is not None
        assert self._board is not None
        if not self._serves:
            try:
                self._status(STARTUP_S)
            except (_Silence, _ServerGone):
                self.stop()
                raise ConvbenchError("the fork server of --isolate did not start; try --no-isolate") from None
            self._serves = True
        return self._control, self._board

    def start(self, preload: str) -> None:
        """Start it without waiting: it imports this module, and torch, once for all its workers."""
        require("isolation", "try --no-isolate")
        if self._process is None:
            self._launch()
        assert self._control is not None
        with suppress(OSError):  # it is gone; who waits for it finds that
            self._control.sendall(LOAD + preload.encode().ljust(MODULE_NBYTES))

    def _launch(self) -> None:
        quieten_profiler()  # now, or the environment would differ from then on
        self._started_in = _inherited()
        self._control, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as shared, theirs:
            shared.truncate(mmap.PAGESIZE)
            self._board = Board(shared.fileno())
            descriptors = (theirs.fileno(), shared.fileno())
            # Whatever it prints stays out of the CSV. A session of its own keeps Ctrl-C at a terminal for us alone.
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                fresh_python(_SERVE, *descriptors),
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=descriptors,
                env=os.environ | {MARK: self._mark},
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the server and all its descendants."""
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
        self._serves = False


def surroundings() -> object:
    """What a worker takes over from the process that asks, but for the name of the test that pytest runs."""
    place, errors = _place(""), os.fstat(2)  # where it prints
    place.environment.pop("PYTEST_CURRENT_TEST", None)
    return _inherited(), place, errors.st_dev, errors.st_ino


def _place(mark: str) -> Surroundings:
    folder = ""  # it was removed: a worker stays where its server was started, which is there as well
    with suppress(OSError):
        folder = str(Path.cwd())
    return Surroundings(folder=folder, path=tuple(search_path()), environment={**os.environ, MARK: mark})


def _inherited() -> object:
    """What a fork server keeps from its start: the variables, because libraries read them when they are imported.

    Ours are read when they are used, so a worker takes those of its own time.
    """
    if not _place("").folder:
        return object()  # like no other
    return os.getpid(), {name: value for name, value in os.environ.items() if not name.startswith(_READ_LATE)}


def stop_the_spare() -> None:
    """End the reusable server."""
    while _spare:
        _spare.pop().stop()


atexit.register(stop_the_spare)


def _module_of(sweep: Sweep) -> str:
    """The module of the function that a sweep with bound options calls."""
    return str(getattr(sweep, "func", sweep).__module__)


class _ServerGone(Exception):  # noqa: N818  # it says what happened
    """The server that could report how the worker died is gone."""


class _Silence(Exception):  # noqa: N818  # it says what happened
    """The server has nothing to report."""


_PARTS = ("convbench.spec", "convbench.case", "convbench.outcome", "convbench.workers.jobs")


class _Rows(pickle.Unpickler):
    """Unpickles results only, nothing that runs code: a backend may have written what we read."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _PARTS and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a result")


def _read(connection: "Connection", kinds: Kinds[Answer]) -> list[Answer] | Fall | Enough:
    """The next answer of a worker.

    Raises:
        EOFError, OSError: there is none, or an incomplete one.
        Exception: it is invalid.
    """
    answer = _Rows(io.BytesIO(connection.recv_bytes(MOST_ANSWER_NBYTES))).load()
    if isinstance(answer, Fall | Enough):
        return answer
    if isinstance(answer, list) and all(isinstance(one, kinds) for one in answer):
        return answer
    raise TypeError(f"a {type(answer).__name__} instead of what was asked for")


def _is_stopped(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1] == ["T"]
    return False


def _end_all_with(mark: str) -> None:
    """Kill the descendants of a killed fork server: all of them have its environment."""
    line, deadline = f"{MARK}={mark}".encode(), time.monotonic() + DYING_S / 2
    left = True
    while left and time.monotonic() < deadline:
        left = False
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # another user's, or it has just ended
                if line in path.read_bytes().split(b"\0"):
                    left = True
                    os.kill(int(path.parent.name), signal.SIGKILL)
