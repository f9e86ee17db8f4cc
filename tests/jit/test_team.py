"""The threads of a kernel: each piece once, steps in order, whoever calls and however many there are."""

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from convbench.jit import team
from convbench.jit.compile import _compiled, compiled
from convbench.jit.emit import Fields, Module
from convbench.jit.target import host
from convbench.jit.team import KernelStep, PreparedRun, run

PIECES = 257
FIELDS = Fields.of("from to last")


def reversed_sum(module: Module) -> None:
    """to[piece] += from[last - piece], a vector each: the next step reads what another thread has written."""
    f, block, piece, _ = module.task("reversed_sum")
    args = FIELDS.on(f, block)
    source = args.address("from") + (args.number("last") - piece) * f.lanes
    to = args.address("to") + piece * f.lanes
    f.store(f.load(to) + f.load(source), to)


def fibonacci(threads: int, turns: int = 20) -> list[float]:
    """Two buffers that are added to each other by turns: any piece lost, doubled or early is seen in the sums."""
    buffers = [torch.ones(PIECES * host().lanes), torch.ones(PIECES * host().lanes)]
    task = compiled(reversed_sum, host(), ("reversed_sum",)).addresses["reversed_sum"]
    steps = []
    for turn in range(turns):
        addresses = {"from": buffers[turn % 2].data_ptr(), "to": buffers[1 - turn % 2].data_ptr(), "last": PIECES - 1}
        steps.append(KernelStep(PIECES, task, FIELDS.block(addresses)))
    run(steps, threads)
    return sorted({*buffers[0].tolist(), *buffers[1].tolist()})


RIGHT = [10946.0, 17711.0]


@pytest.mark.parametrize("threads", [1, 2, 4, 7])
def test_every_piece_runs_once_and_no_step_begins_early(threads: int) -> None:
    assert all(fibonacci(threads) == RIGHT for _ in range(5))


def test_threads_of_python_do_it_where_torch_has_no_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team._team(), "openmp", None)
    assert fibonacci(3) == RIGHT


def test_a_system_without_futex_yields(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    monkeypatch.setattr(team._team(), "futex_number", 0)
    monkeypatch.setattr(team._team(), "futex", ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value)
    assert fibonacci(4) == RIGHT


def test_a_prepared_run_is_called_again_and_reads_its_blocks_anew() -> None:
    ones, sums = torch.ones(PIECES * host().lanes), torch.zeros(PIECES * host().lanes)
    task = compiled(reversed_sum, host(), ("reversed_sum",)).addresses["reversed_sum"]
    block = FIELDS.block({"from": ones.data_ptr(), "to": sums.data_ptr(), "last": PIECES - 1})
    prepared = PreparedRun([KernelStep(PIECES, task, block)], 3)
    for _ in range(4):
        prepared()
    assert set(sums.tolist()) == {4.0}
    other = torch.zeros_like(sums)
    block[1] = other.data_ptr()
    prepared()
    assert (set(sums.tolist()), set(other.tolist())) == ({4.0}, {1.0})


@pytest.mark.parametrize("threads", [1, 2])
def test_stamps_are_the_seconds_of_each_step(threads: int) -> None:
    size = host().lanes
    buffers = [torch.ones(PIECES * size), torch.ones(PIECES * size)]
    task = compiled(reversed_sum, host(), ("reversed_sum",)).addresses["reversed_sum"]
    words = {"from": buffers[0].data_ptr(), "to": buffers[1].data_ptr(), "last": PIECES - 1}
    few, many = KernelStep(1, task, FIELDS.block(words)), KernelStep(PIECES, task, FIELDS.block(words))
    prepared = PreparedRun([few, many, few], threads)
    stamps = [prepared.stamps() for _ in range(9)]
    assert all(len(one) == 3 and min(one) >= 0 for one in stamps)
    assert min(one[1] for one in stamps) > min(one[0] for one in stamps)
    before = buffers[1].clone()
    prepared()
    assert not torch.equal(before, buffers[1])


@pytest.mark.parametrize("openmp", [True, False], ids=["OpenMP", "threads of Python"])
def test_two_callers_at_once_do_not_meet(openmp: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not openmp:
        monkeypatch.setattr(team._team(), "openmp", None)
    ready = threading.Barrier(2)
    _compiled.cache_clear()  # both compile, and neither may free what the other runs

    def caller() -> bool:
        ready.wait()
        return all(fibonacci(2) == RIGHT for _ in range(10))

    with ThreadPoolExecutor(2) as pool:
        assert all(one.result(timeout=60) for one in [pool.submit(caller) for _ in range(2)])


@pytest.mark.program
def test_a_fork_of_a_process_that_used_the_kernels_is_refused_in_one_line() -> None:
    program = """
        import os, torch
        from convbench import discover, ConvSpec, ConvbenchError
        torch.set_num_threads(2)
        [direct], _ = discover(names=["direct"])
        spec = ConvSpec.parse("n2c4h9w9k4r3s3")
        x, w = torch.randn(spec.x_shape), torch.randn(spec.w_shape)
        y = direct.fn(x, direct.prepare(w, spec), spec)
        child = os.fork()
        if not child:
            try:
                direct.fn(x, direct.prepare(w, spec), spec)
            except ConvbenchError as error:
                print(error, flush=True)
            torch.set_num_threads(1)
            alone = direct.fn(x, direct.prepare(w, spec), spec)
            os._exit(0 if torch.equal(alone, y) else 1)
        assert os.waitpid(child, 0)[1] == 0
    """
    words = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "spawn or forkserver" in done.stdout


@pytest.mark.program
def test_the_whole_team_on_one_core_and_two_teams_on_two_cores_end() -> None:
    program = """
        import os, sys
        if sys.argv[1] == "one core":
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from tests.jit.test_team import RIGHT, fibonacci
        assert all(fibonacci(2) == RIGHT for _ in range(200))
    """
    for places in (["one core"], ["any", "any"]):
        running = [
            subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), place], cwd=os.getcwd())
            for place in places
        ]
        assert [one.wait(timeout=60) for one in running] == [0] * len(places)
