"""Where does a candidate run? In a process of its own, with its own thread pool, which may crash or hang.

So each runs as it does alone: only one computes at a time, its turn ends when its threads sleep, and the next begins
when its own are awake. A model that no other process can load runs here, with all its candidates.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from convbench.bench.clock import seconds_a_call
from convbench.bench.crews import settle
from convbench.bench.noise import Meter
from convbench.device import find_device
from convbench.device.host import cpu_ns, wait_for
from convbench.errors import ConvbenchError, in_words, one_line, printable
from convbench.models.inputs import Inputs
from convbench.optimize.subject import ModelCall, Structure, tensors_of
from convbench.optimize.ways import Facts, Made, Order, make
from convbench.system import ending, fresh_python, lacks

START_S = 300.0  # to import torch and load the model: torch was seen to take 12 s on a small machine
MAKE_S = 600.0  # to export and compile
STEP_S = 120.0  # for the answers to all inputs, and for a turn
CALLS = 50  # calls that a step may last beyond that
MOST_NBYTES = 2**26  # of an answer; tensors go through files
NAME_NBYTES = 64  # of a request to the loader
DYING_S = 0.2
_LOAD = "from convbench.optimize.worker import load; load(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTurn:
    """One timed block: seconds per call, what disturbed it or "", the seconds of the whole turn, the share lost."""

    seconds: float
    dirt: str
    turn_s: float
    lost: float = inf


class CandidateLost(Exception):  # noqa: N818  # it says what happened
    """A candidate cannot go on: it raised, crashed or hung, in words."""


class Host(Protocol):
    """A candidate and where it runs. Each method raises CandidateLost."""

    def make(self) -> Facts: ...
    def answers(self) -> list[list[Tensor]]: ...
    def call_s(self) -> float: ...
    def turn(self, count: int) -> TimedTurn: ...
    def close(self) -> None: ...


class Here:
    """A candidate in this process."""

    def __init__(self, name: str, order: Order, trials: Sequence[Inputs]) -> None:
        self._name, self._order, self._trials = name, order, trials
        self.made: Made | None = None
        self._meter: Meter | None = None

    def make(self) -> Facts:
        with _words_of_faults():
            self.made = make(self._name, self._order)
            return self.made

    def answers(self) -> list[list[Tensor]]:
        with _words_of_faults(), torch.no_grad():
            return [[one.detach().clone() for one in tensors_of(each.call(self._call))] for each in self._trials]

    def call_s(self) -> float:
        with _words_of_faults(), torch.no_grad():
            found = seconds_a_call(self._once, find_device("cpu"))
            wait_for(cpu_ns())
            return found

    def turn(self, count: int) -> TimedTurn:
        begin = time.perf_counter()
        if self._meter is None:
            self._meter = Meter()
        with _words_of_faults(), torch.no_grad():
            settle(self._once)
            self._meter.refresh()
            before = self._meter.read()
            seconds, _ = find_device("cpu").time_calls([self._once] * count)
            after = self._meter.read()
            dirt, lost = self._meter.dirt(before, after, seconds), self._meter.lost(before, after, seconds)
            wait_for(cpu_ns())  # its threads spin for a while after a call; the next candidate's need their cores
        return TimedTurn(seconds=seconds / count, dirt=dirt, turn_s=time.perf_counter() - begin, lost=lost)

    def close(self) -> None:
        self.made = None
        if self._meter is not None:
            self._meter.close()
            self._meter = None

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        assert self.made is not None
        return self.made.call(*args, **kwargs)

    def _once(self) -> Any:
        return self._order.subject.inputs.call(self._call)


@contextmanager
def _words_of_faults() -> Iterator[None]:
    """Whatever third-party code raises, as one line."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except ConvbenchError as error:
        raise CandidateLost(str(error)) from None
    except BaseException as error:  # sys.exit() in a model as well
        raise CandidateLost(in_words(error)) from None


def can_be_sent(subject: ModelCall, structure: Structure, trials: Sequence[Inputs], folder: Path) -> str:
    """Write what a worker loads; returns why no other process can load it, or ""."""
    if why := lacks("isolation"):
        return why
    model = subject.model
    try:
        if subject.rebuilt:
            torch.save(model.state_dict(), folder / "state.pt")
        else:
            if own := next((one for one in model.modules() if type(one).__module__ == "__main__"), None):
                return f"its class {type(own).__name__} is in the program itself; move it to a module of its own"
            torch.save(model, folder / "model.pt")
        given = {"inputs": subject.inputs, "structure": structure, "trials": list(trials)}
        torch.save(given, folder / "given.pt")
    except Exception as error:  # lambdas, open files, whatever pickle refuses
        return f"it cannot be pickled: {in_words(error)}"
    return ""


def received(folder: Path, name: str, rebuilt: str) -> tuple[ModelCall, Structure, list[Inputs]]:
    """What `can_be_sent` wrote, in the worker.

    Raises:
        Exception: it cannot be loaded here.
    """
    given = torch.load(folder / "given.pt", weights_only=False)
    if rebuilt:
        from convbench.models.load import find_model

        model: nn.Module = find_model(rebuilt).build("cpu")
        model.load_state_dict(torch.load(folder / "state.pt"))
    else:
        model = torch.load(folder / "model.pt", weights_only=False)
    subject = ModelCall(name=name, model=model, inputs=given["inputs"], rebuilt=rebuilt)
    return subject, given["structure"], given["trials"]


class Loader:
    """A process that has torch and the model loaded, and becomes a candidate's own process as often as it is asked.

    It has no thread but its first, so that each has a thread pool of its own, and they share the memory of the weights.
    """

    def __init__(self, order: Order) -> None:
        self._control, theirs = socket.socketpair()
        subject = order.subject
        job = {
            "subject": subject.name,
            "rebuilt": subject.rebuilt,
            "folder": str(order.folder),
            "threads": order.threads,
            "accuracy": order.accuracy,
            "choices": order.choices,
            "tune_s": order.tune_s,
        }
        (order.folder / "job.json").write_text(json.dumps(job))
        with theirs, (order.folder / "loader.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                fresh_python(_LOAD, theirs.fileno(), os.getpid(), order.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us alone
            )
        self.connection = Connection(os.dup(self._control.fileno()))

    def ready(self) -> None:
        """Wait until it has loaded the model.

        Raises:
            CandidateLost: it cannot.
        """
        answer = self._receive(START_S)
        if answer is None or "lost" in answer:
            raise CandidateLost(one_line(str(answer["lost"])) if answer else "its process ended while loading it")

    def fork(self, name: str) -> tuple[int, Connection]:
        """A candidate's process, and the connection to it.

        Raises:
            CandidateLost: the loader is gone.
        """
        own, theirs = socket.socketpair()
        connection = Connection(own.detach())
        with theirs:
            try:
                socket.send_fds(self._control, [name.encode().ljust(NAME_NBYTES)], [theirs.fileno()])
            except OSError:
                raise CandidateLost("not run: the process that loads the model is gone") from None
        answer = self._receive(STEP_S)
        if answer is None:
            raise CandidateLost("not run: the process that loads the model is gone")
        return int(answer["pid"]), connection

    def status(self, pid: int) -> int | None:
        """How a candidate's process ended, as an exit code; None if it has not, or nothing is known."""
        with suppress(OSError):
            self._control.sendall(f"wait {pid}".encode().ljust(NAME_NBYTES))
            if (answer := self._receive(STEP_S)) is not None:
                return None if answer["code"] is None else int(answer["code"])
        return None

    def close(self) -> None:
        """End it."""
        self.connection.close()
        self._control.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _receive(self, timeout_s: float) -> Any:
        """Its next answer; None if there is none."""
        with suppress(EOFError, OSError, ValueError):
            if self.connection.poll(timeout_s):
                return json.loads(self.connection.recv_bytes(MOST_NBYTES))
        return None


class Elsewhere:
    """A candidate in a process of its own."""

    def __init__(self, name: str, order: Order, loader: Loader) -> None:
        self._name, self._order, self._loader = name, order, loader
        self._busy_s, self._ended = 0.0, False
        self._pid, self._connection = loader.fork(name)

    def make(self) -> Facts:
        answer = self._ask("make", MAKE_S + self._order.tune_s, "being built")
        return Facts(**(answer | {"layers": tuple(answer["layers"])}))

    def answers(self) -> list[list[Tensor]]:
        self._ask("answers", STEP_S + CALLS * self._busy_s, "computing")
        found: list[list[Tensor]] = torch.load(self._order.folder / f"{self._name}.pt", weights_only=True)
        return found

    def call_s(self) -> float:
        self._busy_s = float(self._ask("call_s", STEP_S, "being timed"))
        return self._busy_s

    def turn(self, count: int) -> TimedTurn:
        return TimedTurn(**self._ask(["turn", count], STEP_S + CALLS * self._busy_s, "being timed"))

    def close(self) -> None:
        """End it and all that it started."""
        with suppress(OSError):
            self._connection.close()
        self._end()

    def _end(self) -> int | None:
        """Kill what is left of it, and say how it ended."""
        if self._ended:
            return None
        self._ended = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        return self._loader.status(self._pid)

    def _ask(self, what: Any, timeout_s: float, doing: str) -> Any:
        with suppress(OSError):  # it is dead, and below its status is found
            self._send(what)
        return self._receive(timeout_s, doing)

    def _send(self, what: Any) -> None:
        with suppress(OSError):
            self._connection.send_bytes(json.dumps(what).encode())

    def _receive(self, timeout_s: float, doing: str) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                    self.close()
                    raise CandidateLost(f"hung: no answer within {timeout_s:.0f} s while {doing}; killed")
                answer = json.loads(self._connection.recv_bytes(MOST_NBYTES))
            except (EOFError, OSError, ValueError):
                raise CandidateLost(self._death(doing)) from None
            if "say" in answer:
                self._order.tell(printable(str(answer["say"])))
            elif "lost" in answer:
                raise CandidateLost(one_line(str(answer["lost"])))
            else:
                return answer["done"]

    def _death(self, doing: str) -> str:
        time.sleep(DYING_S)  # it may be about to end by itself, and then says how
        code = self._end()
        return f"{ending(-signal.SIGKILL if code is None else code)} while {doing}"
