"""Who runs the pieces of a kernel, and how do threads wait for each other?

A kernel is `task(args, piece, thread)`. Counters and barriers live here alone: only `run` has any. Every thread takes
the next piece of a step by an atomic counter; after the last piece it waits for the others, and the next step begins.
The threads are those of the OpenMP that torch has loaded, so there is one pool and not two; where torch has none, they
are threads of Python, which hold no lock during a call.

A thread that waits spins for some 20 microseconds and then sleeps: Linux was seen to put both threads of a team on one
core, where a spinning one keeps the other from the work that it waits for.
"""

import ctypes
import os
import platform
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convbench.errors import ConvbenchError
from convbench.jit.compile import compiled
from convbench.jit.emit import Bit, Int, Module, Pointer
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
_NUMBERS, _ARRIVALS, _TURN = 0, 16, 32
_STEPS, _SIZE, _ASK, _FUTEX, _FUTEX_NUMBER = 48, 49, 50, 51, 52
_FIRST, _WORDS = 64, 32  # where the steps begin, and the words of each: its counter, and from the 16th on
_PIECES, _TASK, _BLOCK = 16, 17, 18

_WAIT, _WAKE = 128, 129  # of Linux's futex, between threads of one process
_SPINS = 600  # with a pause in each, about 20 microseconds
_FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98}  # of the system call, in Linux


def run_kernel(module: Module) -> None:
    """`run(call)`: what each thread of a team executes."""
    run = module.function("run", "call", entry=True)
    (call,) = run.pointers("call")

    def word(place: int) -> Pointer:
        return call + 2 * place

    def add_one(pointer: Pointer, order: str = "monotonic") -> Int:
        """The number before."""
        return Int(run, run.value(f"atomicrmw add ptr {pointer}, i64 1 {order}"))

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
    has_futex = number.is_not(0)

    def call_futex(operation: int, value: Int | int) -> None:
        arguments = f"i64 {number}, ptr {word(_TURN)}, i64 {operation}, i64 {value}, ptr null"
        run.value(f"call i64 (i64, ...) {futex}({arguments})")

    def do(step: Int) -> None:
        at = call + step * (2 * _WORDS) + 2 * _FIRST
        pieces, task, block = run.number(at, _PIECES), run.address(at, _TASK), run.address(at, _BLOCK)
        taken: list[Int] = []

        def no_piece_left(_: Int) -> Bit:
            taken.append(add_one(at))
            return pieces.below(taken[0] + 1)

        run.until(no_piece_left, lambda: run.append(f"call void {task}(ptr {block}, i64 {taken[0]}, i64 {thread})"))
        run.when((step + 1).below(steps), lambda: meet(step))

    def meet(step: Int) -> None:
        """Wait until all threads have finished the step; the last one to come lets the others go."""
        arrived = add_one(word(_ARRIVALS), "acq_rel") + 1

        def gone_on() -> Bit:
            turn = Int(run, run.value(f"load atomic i64, ptr {word(_TURN)} acquire, align 8"))
            return step.below(turn)

        def let_go() -> None:
            run.append(f"store atomic i64 {step + 1}, ptr {word(_TURN)} release, align 8")
            run.when(has_futex, lambda: call_futex(_WAKE, 2**31 - 1))

        def sleep() -> None:
            """Linux lets nobody sleep whose turn is no longer this one."""
            run.when(has_futex, lambda: call_futex(_WAIT, step), lambda: run.value(f"call i32 {futex}()"))

        def stay() -> None:
            run.until(lambda turns: gone_on() | turns.above(_SPINS), pause)
            run.until(lambda _: gone_on(), sleep)

        run.when(arrived.below(size * (step + 1)), stay, let_go)

    run.loop(0, steps, do)


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

    def run(self, steps: Sequence[KernelStep], threads: int) -> None:
        call = array("q", bytes(8 * (_FIRST + _WORDS * len(steps))))
        call[_STEPS], call[_SIZE] = len(steps), threads
        call[_FUTEX], call[_FUTEX_NUMBER] = self.futex, self.futex_number
        for place, step in enumerate(steps):
            first = _FIRST + _WORDS * place
            call[first + _PIECES], call[first + _TASK] = step.pieces, step.task
            call[first + _BLOCK] = step.block.buffer_info()[0]
        address, function = call.buffer_info()[0], self.code.addresses["run"]
        if threads == 1:
            _RUN(function)(address)
        elif os.getpid() != self.pid:
            raise ConvbenchError(
                f"the compiled kernels were used in process {self.pid} and then in its fork {os.getpid()}, where the "
                f"threads of OpenMP are gone; start processes by spawn or forkserver, or set 1 thread"
            )
        elif self.openmp is not None:
            call[_ASK] = self.openmp.count
            self.openmp.parallel(function, address, threads, 0)
        else:
            with self.alone:
                others = [threading.Thread(target=_RUN(function), args=(address,)) for _ in range(threads - 1)]
                for one in others:
                    one.start()
                _RUN(function)(address)
                for one in others:
                    one.join()


def run(steps: Sequence[KernelStep], threads: int) -> None:
    """All pieces of the steps, one step after the other, by so many threads.

    Raises:
        ConvbenchError: this process is a fork of one that has used the kernels.
    """
    _team().run(steps, threads)


_FIRST_CALL = threading.Lock()  # of two threads that call at once, one makes the team


def _team() -> _Team:
    with _FIRST_CALL:
        return _made()


@cache
def _made() -> _Team:
    return _Team()


_RUN = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


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
