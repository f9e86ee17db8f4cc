"""Who runs the pieces of a kernel, and how do threads wait for each other?

A kernel is `task(args, piece, thread)`. Counters and barriers live here alone: only `run` has any. Every thread takes
the next piece of its share of a step by an atomic counter, then those that others have left; after the last piece it
waits for the others, and the next step begins. `PreparedRun` keeps what a call needs for the calls after it.
The threads are those of the OpenMP that torch has loaded, so there is one pool and not two; where torch has none, they
are threads of Python, which hold no lock during a call.

A thread that waits spins for some 20 microseconds and then sleeps: Linux was seen to put both threads of a team on one
core, where a spinning one keeps the other from the work that it waits for.
"""

import ctypes
import os
import platform
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from convbench.errors import ConvbenchError
from convbench.jit.compile import compiled
from convbench.jit.emit import Bit, Index, Int, Module, Pointer
from convbench.jit.target import host


@dataclass(frozen=True, slots=True)
class KernelStep:
    """Pieces of one kernel, which may run in any order and at once.

    Attributes:
        task: the kernel's address.
        block: its arguments, 64-bit words; they must not change while it runs.
    """

    pieces: int
    task: int
    block: "array[int]"


# The words of a call. What one thread writes while others read it has a cache line of its own, whatever the alignment.
# From `_NUMBERS` to the end of the counters all are zeros at the start: for each step as many counters as threads.
_STEPS, _SIZE, _ASK, _FUTEX, _FUTEX_NUMBER, _TABLE, _STAMPS, _NOW, _CLOCK = range(9)
_NUMBERS, _ARRIVALS, _TURN, _SLEEPERS, _COUNTERS, _LINE = 16, 32, 48, 64, 80, 16
_PIECES, _TASK, _BLOCK, _WORDS = range(4)  # of a step in the table

_WAIT, _WAKE = 128, 129  # of Linux's futex, between threads of one process
_SPINS = 600  # with a pause in each, about 20 microseconds
_FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98}  # of the system call, in Linux


def run_kernel(module: Module) -> None:
    """`run(call)`: what each thread of a team executes.

    Of each step a thread has a contiguous share of the pieces; it does those first and then what is left of the
    others'. Neighbouring pieces use the same weights or rows, and a thread finds in its cache what it wrote itself.
    """
    run = module.function("run", "call", entry=True)
    (call,) = run.pointers("call")

    def word(place: int) -> Pointer:
        return call + 2 * place

    def add_one(pointer: Pointer, order: str = "monotonic") -> Int:
        """The number before."""
        return Int(run, run.value(f"atomicrmw add ptr {pointer}, i64 1 {order}"))

    def read(place: int, order: str) -> Int:
        return Int(run, run.value(f"load atomic i64, ptr {word(place)} {order}, align 8"))

    def pause() -> None:
        name, hint = ("llvm.x86.sse2.pause", []) if module.on_x86 else ("llvm.aarch64.hint", [("i32", 1)])
        run.append(run.intrinsic("void", name, hint))

    def count_team() -> None:
        """OpenMP may give fewer threads than it is asked for; all of them store the same number."""
        size = run.value(f"call i32 {run.address(call, _ASK)}()")
        wide = run.value(f"sext i32 {size} to i64")
        run.append(f"store i64 {wide}, ptr {word(_SIZE)}, align 8")

    run.when(run.number(call, _ASK).is_not(0), count_team)
    thread, steps, size = add_one(word(_NUMBERS)), run.number(call, _STEPS), run.number(call, _SIZE)
    futex, number = run.address(call, _FUTEX), run.number(call, _FUTEX_NUMBER)
    table, stamps = run.address(call, _TABLE), run.number(call, _STAMPS)
    has_futex = number.is_not(0)

    def call_futex(operation: int, value: Int | int) -> None:
        arguments = f"i64 {number}, ptr {word(_TURN)}, i64 {operation}, i64 {value}, ptr null"
        run.value(f"call i64 (i64, ...) {futex}({arguments})")

    def stamp(place: Index) -> None:
        """The time, two words: seconds and nanoseconds."""

        def write() -> None:
            to, clock = run.address(call, _STAMPS) + place * 4, run.number(call, _CLOCK)
            kind = run.value(f"trunc i64 {clock} to i32")
            run.value(f"call i32 {run.address(call, _NOW)}(i32 {kind}, ptr {to})")

        run.when(stamps.is_not(0), write)

    def do(step: Int) -> None:
        at, counters = table + step * (2 * _WORDS), word(_COUNTERS) + step * size * (2 * _LINE)
        pieces, task, block = run.number(at, _PIECES), run.address(at, _TASK), run.address(at, _BLOCK)

        def share(turn: Int) -> None:
            owner = (thread + turn) % size
            first, last = owner * pieces // size, (owner + 1) * pieces // size
            taken: list[Int] = []

            def no_piece_left(_: Int) -> Bit:
                taken.append(add_one(counters + owner * (2 * _LINE)) + first)
                return last.below(taken[0] + 1)

            run.until(no_piece_left, lambda: run.append(f"call void {task}(ptr {block}, i64 {taken[0]}, i64 {thread})"))

        run.loop(0, size, share)
        run.when((step + 1).below(steps), lambda: meet(step))

    def meet(step: Int) -> None:
        """Wait until all threads have finished the step; the last one to come lets the others go."""
        arrived = add_one(word(_ARRIVALS), "acq_rel") + 1

        def gone_on() -> Bit:
            return step.below(read(_TURN, "acquire"))

        def let_go() -> None:
            stamp(step + 1)
            run.append(f"store atomic i64 {step + 1}, ptr {word(_TURN)} seq_cst, align 8")
            asleep = read(_SLEEPERS, "seq_cst").above(0)
            run.when(has_futex & asleep, lambda: call_futex(_WAKE, 2**31 - 1))

        def sleep() -> None:
            """Linux lets nobody sleep whose turn is no longer this one: who is not counted in time does not sleep."""
            add_one(word(_SLEEPERS), "seq_cst")
            run.when(has_futex, lambda: call_futex(_WAIT, step), lambda: run.value(f"call i32 {futex}()"))
            run.value(f"atomicrmw sub ptr {word(_SLEEPERS)}, i64 1 seq_cst")

        def stay() -> None:
            run.until(lambda turns: gone_on() | turns.above(_SPINS), pause)
            run.until(lambda _: gone_on(), sleep)

        run.when(arrived.below(size * (step + 1)), stay, let_go)

    stamp(0)
    run.loop(0, steps, do)
    last = add_one(word(_ARRIVALS), "acq_rel") + 1
    run.when(last.below(size * steps), lambda: None, lambda: stamp(steps))


_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Team:
    """The threads of this process."""

    def __init__(self) -> None:
        self.code = compiled(run_kernel, host(), ("run",))
        self.pid = os.getpid()
        self.openmp = _openmp()
        self.alone = threading.Lock()  # Python's threads serve one call at a time, for its barriers need all of them
        libc = ctypes.CDLL(None)
        self.futex_number = _FUTEX_NUMBERS.get(platform.machine(), 0) if platform.system() == "Linux" else 0
        wait = libc.syscall if self.futex_number else libc.sched_yield
        self.futex = ctypes.cast(wait, ctypes.c_void_p).value or 0
        self.now = ctypes.cast(libc.clock_gettime, ctypes.c_void_p).value or 0
        self.function = _RUN(self.code.addresses["run"])

    def start(self, address: int, threads: int) -> None:
        function = self.code.addresses["run"]
        if threads == 1:
            self.function(address)
        elif os.getpid() != self.pid:
            raise ConvbenchError(
                f"the compiled kernels were used in process {self.pid} and then in its fork {os.getpid()}, where the "
                f"threads of OpenMP are gone; start processes by spawn or forkserver, or set 1 thread"
            )
        elif self.openmp is not None:
            self.openmp.parallel(function, address, threads, 0)
        else:
            with self.alone:
                others = [threading.Thread(target=self.function, args=(address,)) for _ in range(threads - 1)]
                for one in others:
                    one.start()
                self.function(address)
                for one in others:
                    one.join()


class PreparedRun:
    """Steps for so many threads that are run again and again; one caller at a time.

    The blocks of the steps are held, not copied: what is written into them counts from the next call on.
    """

    def __init__(self, steps: Sequence[KernelStep], threads: int) -> None:
        self.steps, self.threads = list(steps), threads
        self._team = team = _team()
        counters = _LINE * len(steps) * threads
        call = self._call = array("q", bytes(8 * (_COUNTERS + counters + _WORDS * len(steps))))
        self._address = call.buffer_info()[0]
        self._zeros = self._address + 8 * _NUMBERS, 8 * (_COUNTERS - _NUMBERS + counters)
        table = _COUNTERS + counters
        call[_STEPS], call[_SIZE], call[_TABLE] = len(steps), threads, self._address + 8 * table
        call[_FUTEX], call[_FUTEX_NUMBER] = team.futex, team.futex_number
        call[_ASK] = team.openmp.count if team.openmp is not None and threads > 1 else 0
        call[_NOW] = team.now
        for place, step in enumerate(steps):
            words = (step.pieces, step.task, step.block.buffer_info()[0])
            call[table + _WORDS * place : table + _WORDS * (place + 1)] = array("q", words)

    def __call__(self) -> None:
        """All pieces of the steps, one step after the other.

        Raises:
            ConvbenchError: this process is a fork of one that has used the kernels.
        """
        start, size = self._zeros
        ctypes.memset(start, 0, size)
        self._team.start(self._address, self.threads)

    def stamps(self) -> list[float]:
        """One call, and the seconds of each step.

        On one thread they are CPU time, in which nobody else's work is counted; on several they are wall time.
        """
        stamps = array("q", bytes(16 * (len(self.steps) + 1)))
        self._call[_CLOCK] = time.CLOCK_THREAD_CPUTIME_ID if self.threads == 1 else time.CLOCK_MONOTONIC
        self._call[_STAMPS] = stamps.buffer_info()[0]
        try:
            self()
        finally:
            self._call[_STAMPS] = 0
        times = [second + nano / 1e9 for second, nano in zip(stamps[::2], stamps[1::2], strict=True)]
        return [after - before for before, after in pairwise(times)]


def run(steps: Sequence[KernelStep], threads: int) -> None:
    """All pieces of the steps, one step after the other, by so many threads.

    Raises:
        ConvbenchError: this process is a fork of one that has used the kernels.
    """
    PreparedRun(steps, threads)()


_FIRST_CALL = threading.Lock()  # of two threads that call at once, one makes the team


def _team() -> _Team:
    with _FIRST_CALL:
        return _made()


@cache
def _made() -> _Team:
    return _Team()


@dataclass(frozen=True, slots=True)
class _OpenMP:
    """GOMP_parallel(function, data, threads, flags), and the address of omp_get_num_threads."""

    parallel: Callable[..., None]
    count: int


def _openmp() -> _OpenMP | None:
    """The OpenMP that torch uses; None if it uses none."""
    import torch

    for path in sorted((Path(torch.__file__).parent / "lib").glob("lib*omp*")):
        library = ctypes.CDLL(str(path))  # the one that is loaded, not another
        if hasattr(library, "GOMP_parallel"):
            kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            count = ctypes.cast(library.omp_get_num_threads, ctypes.c_void_p).value
            return _OpenMP(kind(("GOMP_parallel", library)), count or 0)
    return None
