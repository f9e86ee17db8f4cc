"""Each kind of device in its file, and what the rest of convbench may ask of it."""

import mmap
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from convbench.backends.cudnn import cudnn
from convbench.case import Case, Problem
from convbench.device import KINDS, Device, find_device
from convbench.device.cpu import Cpu
from convbench.device.cuda import GRAPH_CALLS, Cuda
from convbench.errors import ConvbenchError
from convbench.machine import Machine
from convbench.outcome import Result, Skipped
from convbench.rows import Context, to_row
from convbench.spec import ConvSpec
from tests.device.gpus import Gpus, gpus

__all__ = ["gpus"]  # a fixture

SPEC = ConvSpec.parse("n1c1h4w4k1r2s2")


@pytest.mark.parametrize(
    ("word", "name", "number"), [("cpu", "cpu", 0), ("cuda", "cuda", 0), ("cuda:0", "cuda", 0), ("cuda:1", "cuda:1", 1)]
)
def test_a_device_is_found_by_its_name_and_has_one_name(word: str, name: str, number: int) -> None:
    device = find_device(word)
    assert (device.name, device.number) == (name, number)
    assert device.torch_name == ("cpu" if name == "cpu" else f"cuda:{number}")
    assert device == find_device(name)


@pytest.mark.parametrize("word", ["gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:1:2", "cuda:²", ""])
def test_what_is_no_device_is_told_with_what_is(word: str) -> None:
    with pytest.raises(ConvbenchError, match="cpu, cuda"):
        find_device(word)


def test_asking_for_a_device_imports_no_torch() -> None:
    code = (
        "import sys\nfrom convbench.device import find_device\n"
        "assert find_device('cuda:1').on_host is False and find_device('cpu').macs_per_s\n"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_kind_says_all_that_is_asked_of_it(kind: type[Device]) -> None:
    device = kind()
    assert device.name == kind.kind
    assert device.block_s > 0
    assert device.cold_rounds > 0
    assert device.allocation_nbytes > 0
    assert {type(getattr(device, name)) for name in ("on_host", "tensor_cores", "numbered")} == {bool}


def test_the_clock_of_the_cpu_times_all_calls_of_a_block() -> None:
    asked: list[int] = []
    assert Cpu().time_block(lambda: asked.append(1), 7) > 0
    assert len(asked) == 7


def test_a_clock_that_stands_still_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 1.0)
    with pytest.raises(RuntimeError, match="the clock did not run"):
        Cpu().time_block(lambda: None, 3)


def test_emptying_the_caches_may_not_take_the_memory() -> None:
    nbytes = Cpu().cold_nbytes(2**40)
    assert nbytes >= 2**24
    with pytest.raises(MemoryError):
        Cpu().cold_nbytes(8 * nbytes - 1)
    assert Cpu().cold_nbytes(8 * nbytes) == nbytes


def test_everything_that_is_asked_of_the_second_gpu_is_asked_of_the_second_gpu(gpus: Gpus) -> None:
    second = find_device("cuda:1")
    assert second.free_nbytes() == 110
    with second.selected():
        second.synchronize()
        # The host was quick, so the events count: 2 ms for the block.
        assert second.time_block(lambda: None, 4) == pytest.approx(2e-3)
        seconds, out = second.time_calls([lambda: 7], first=lambda: None)
        assert seconds == pytest.approx(2e-3)
        assert out == 7
        peak = second.watch_peak()
        peak()
    assert {name for name, _ in gpus.asked} >= {"synchronize", "mem_get_info", "record", "reset_peak_memory_stats"}
    assert {number for _, number in gpus.asked} == {1}
    assert second.facts()["gpu"] == "GPU 1"
    assert second.properties().number == 1
    assert second.cold_nbytes(None) == 2**28


def test_a_gpu_whose_work_escapes_the_events_is_timed_until_it_is_idle(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 5.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    assert Cuda().time_block(lambda: None, 4) == 5.0


def test_a_call_that_cannot_be_captured_has_no_graph_time(gpus: Gpus) -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("operation not permitted when stream is capturing")

    class Stream:
        def __init__(self, *_: Any) -> None: ...
        def wait_stream(self, _: Any) -> None: ...

    captured: list[Any] = []

    @contextmanager
    def within(_graph: Any, stream: Any = None) -> Iterator[None]:
        captured.append(stream)
        yield

    for name, value in {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": within,
        "graph": within,
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
    }.items():
        setattr(gpus, name, value)
    assert Cuda().graph_time(call, lambda: None) is None
    assert gpus.asked[-1][0] == "set_stream"  # torch is left as it was
    calls.clear()
    assert Cuda().graph_time(lambda: calls.append(1), lambda: None) == pytest.approx(2e-3 / GRAPH_CALLS)
    assert len(calls) == 3 + GRAPH_CALLS
    assert isinstance(captured[-1], Stream)  # torch's own is of whichever GPU captured first


def test_a_case_knows_its_device_by_one_name() -> None:
    problem = Problem(suite="shape", name=str(SPEC), spec=SPEC)
    assert Case(problem=problem, device="cuda:0") == Case(problem=problem, device="cuda")
    assert Case(problem=problem, device="cuda:1") != Case(problem=problem, device="cuda")
    for odd in ("cudda", "cpu:1", 3):
        with pytest.raises(ConvbenchError, match="device"):
            Case(problem=problem, device=odd)  # type: ignore[arg-type]


def test_a_row_says_which_device_it_was_and_backends_of_the_kind_take_it() -> None:
    case = Case(problem=Problem(suite="shape", name=str(SPEC), spec=SPEC), device="cuda:1")
    words = dict.fromkeys(Machine.__dataclass_fields__, "")
    context = Context(machine=Machine(**words), threads=1, command="convbench")
    row = to_row(Result(case=case, backend="cudnn", family="vendor", outcome=Skipped("")), context)
    assert row["device"] == "cuda:1"
    assert case.target.kind in cudnn.devices
    assert "--device cuda:1" in case.flags()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_cpu_tells_what_a_call_adds_to_the_resident_memory_whoever_allocates_it() -> None:
    nbytes = 64 * 2**20
    peak = Cpu().watch_peak()
    # Not by torch, whose own profiler does not see it; nor from a heap that is resident already.
    held = mmap.mmap(-1, nbytes)
    for start in range(0, nbytes, 4096):
        held[start] = 1
    held.close()
    grown = peak()
    assert grown is not None
    assert 0.95 * nbytes < grown < 1.2 * nbytes
    nothing = Cpu().watch_peak()()
    assert nothing is not None
    assert nothing < 0.1 * nbytes  # what was freed does not count again
