"""Probes that take turns, readings that only rise, a cache that survives whatever is done to it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from convbench.ceilings import cpu, gather
from convbench.ceilings.cache import VERSION, Cache, CeilingLedger, CeilingReading
from convbench.ceilings.gather import Prober
from convbench.ceilings.measure import Probe, highest, in_blocks, make
from convbench.ceilings.roofline import Kind
from convbench.ceilings.simd import STREAMS, fma_loops, stream_loop, streamed, together, unit
from convbench.device.host import cpu_caches, cpus_allowed
from convbench.jit.llvm import vector_bits
from convbench.machine import fingerprint

FACTS = {"device": "cpu", "cpu": "a test"}
FP32 = ("cpu", "fp32", "ieee")


class FakeClock:
    """A clock that only probes move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def probe(self, name: str, work: float, *seconds: float) -> Probe:
        """A probe whose blocks take these seconds in turn, the last one for ever."""
        left = list(seconds)

        def run() -> float:
            self.order.append(name)
            taken = left.pop(0) if len(left) > 1 else left[0]
            self.now += taken
            return taken

        return Probe(name=name, work=work, run=run)


def reading(rate: float) -> CeilingReading:
    return CeilingReading(rate=rate, time="2026-11-22T12:00:00+00:00")


def ledger(**rates: float) -> CeilingLedger:
    return CeilingLedger(readings={"calls": {name: reading(rate) for name, rate in rates.items()}})


# The loop over the probes


def test_the_best_block_counts_and_the_first_of_a_burst_warms_up() -> None:
    clock = FakeClock()
    slow_once = clock.probe("a", 10.0, 0.001, 0.02, 0.01, 0.02)  # the very first would be the best, and is not counted
    steady = clock.probe("b", 10.0, 0.01)
    best = highest([slow_once, steady], 0.0, burst_s=0.025, clock=clock)
    assert best == {"a": pytest.approx(1000), "b": pytest.approx(1000)}
    assert clock.order == ["a"] * 3 + ["b"] * 3


def test_probes_take_turns_until_the_time_is_over_and_rounds_are_whole() -> None:
    clock = FakeClock()
    highest([clock.probe(name, 1.0, 0.1) for name in "abc"], 1.3, burst_s=0.01, clock=clock)
    assert clock.order == list("aabbcc") * 3
    assert highest([], 1.0, clock=clock) == {}


def test_a_probe_that_does_not_run_is_named_with_its_reason() -> None:
    def no_library() -> Probe:
        raise ImportError("no such library\nand more")

    def breaks() -> float:
        raise RuntimeError("no bf16 here")

    clock = FakeClock()
    probes, missing = make(
        [
            ("absent", no_library),
            ("breaking", lambda: Probe(name="breaking", work=1, run=breaks)),
            ("fine", lambda: clock.probe("fine", 1, 1.0)),
        ]
    )
    assert [probe.name for probe in probes] == ["fine"]
    assert missing == {"absent": "ImportError: no such library", "breaking": "RuntimeError: no bf16 here"}


@pytest.mark.parametrize("call_s", [1e-6, 1e-4, 5e-3])
def test_a_block_holds_as_many_calls_as_fill_it(call_s: float) -> None:
    probe = in_blocks("it", 7.0, lambda: None, lambda count: count * call_s, block_s=2e-3)
    assert max(call_s, 0.9e-3) <= probe.run() <= max(call_s, 4e-3)
    assert probe.work / probe.run() == pytest.approx(7.0 / call_s)


# The cache


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new" / "folder")
    found = CeilingLedger(readings={"bytes L1": {"copy": reading(1.5e9)}}, missing={"bytes L1": {"numpy": "not there"}})
    kept, saved = cache.add(FACTS, found)
    assert saved
    assert kept == found == cache.load(FACTS)
    assert cache.load(FACTS | {"cpu": "another"}) == CeilingLedger()


def test_a_higher_reading_raises_the_ceiling_and_a_lower_one_does_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.add(FACTS, ledger(a=10, b=20))
    cache.add(FACTS, ledger(a=30, b=5))
    assert cache.load(FACTS) == ledger(a=30, b=20)
    assert cache.load(FACTS).best("calls") == ("a", reading(30))
    cache.add(FACTS, CeilingLedger(readings={"bytes L1": {"copy": reading(1)}}), anew=True)
    assert cache.load(FACTS).best("calls") == ("a", reading(30))  # another group stays
    cache.add(FACTS, ledger(b=1), anew=True)
    assert cache.load(FACTS).readings["calls"] == ledger(b=1).readings["calls"]


def test_a_probe_that_ran_before_is_not_missing_for_failing_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.add(FACTS, ledger(a=1))
    kept, _ = cache.add(FACTS, CeilingLedger(missing={"calls": {"a": "out of memory", "b": "no such library"}}))
    assert kept.missing == {"calls": {"b": "no such library"}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: "",
        lambda data: "{",
        lambda data: "[]",
        lambda data: "null",
        lambda data: json.dumps(data | {"version": VERSION - 1}),
        lambda data: json.dumps(data | {"fingerprint": {"device": "cpu", "cpu": "of a hash that collides"}}),
        lambda data: json.dumps(data | {"readings": {"calls": 3}}),
        lambda data: json.dumps(data | {"readings": {"calls": {"a": {"rate": -1, "time": ""}}}}),
        lambda data: json.dumps(data | {"readings": {"calls": {"a": {"rate": float("nan"), "time": ""}}}}),
        lambda data: json.dumps(data | {"readings": {"calls": {"a": {"rate": "fast", "time": ""}}}}),
        lambda data: json.dumps({key: data[key] for key in ("version", "fingerprint")}),
    ],
)
def test_a_damaged_or_older_file_counts_as_none_and_is_replaced(
    tmp_path: Path, damage: Callable[[dict[str, object]], str]
) -> None:
    cache = Cache(tmp_path)
    cache.add(FACTS, ledger(a=10))
    path = cache.path(FACTS)
    assert path is not None
    path.write_text(damage(json.loads(path.read_text())))
    assert cache.load(FACTS) == CeilingLedger()
    assert cache.add(FACTS, ledger(a=1))[1]
    assert cache.load(FACTS) == ledger(a=1)


def test_bytes_that_are_no_text_count_as_none(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    path = cache.path(FACTS)
    assert path is not None
    path.write_bytes(b"\xff\xfe\x00")
    assert cache.load(FACTS) == CeilingLedger()


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "below", None):
        kept, saved = Cache(folder).add(FACTS, ledger(a=1))
        assert not saved
        assert kept == ledger(a=1)


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("CONVBENCH_CACHE")
    assert Cache.of_user().folder == Path("/home/somebody/.cache/convbench")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert Cache.of_user().folder == Path("/cache/convbench")
    monkeypatch.setenv("CONVBENCH_CACHE", "/own")
    assert Cache.of_user().folder == Path("/own")


def test_two_processes_that_write_at_once_lose_no_reading(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from convbench.ceilings.cache import Cache, CeilingLedger, CeilingReading\n"
        "for number in range(60):\n"
        "    found = {f'{sys.argv[1]}{number}': CeilingReading(rate=1.0 + number, time='now')}\n"
        f"    Cache(Path({str(tmp_path)!r})).add({FACTS!r}, CeilingLedger(readings={{'calls': found}}))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "ab"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    probes = Cache(tmp_path).load(FACTS).readings["calls"]
    assert set(probes) == {f"{name}{number}" for name in "ab" for number in range(60)}
    assert not list(tmp_path.glob("*.tmp"))


# The prober: what is known, what is probed


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Probes that read a rate which the test sets, and no waiting."""
    rate = [100.0]

    def one(name: str) -> tuple[str, Callable[[], Probe]]:
        return name, lambda: Probe(name=name, work=rate[0], run=lambda: 1.0)

    monkeypatch.setattr(cpu, "compute_probes", lambda dtype, threads: [one("product")])
    monkeypatch.setattr(cpu, "memory_probes", lambda level, nbytes, threads: [one(f"copy {level}")])
    monkeypatch.setattr(cpu, "launch_probes", lambda: [one("call")])
    monkeypatch.setattr(gather, "highest", lambda probes, seconds: highest(probes, 0.0, burst_s=0.0))
    return rate


def prober(folder: Path | None) -> tuple[Prober, list[str]]:
    said: list[str] = []

    def say(kind: Kind, groups: Sequence[str], seconds: float) -> None:
        said.append(f"{' '.join(kind)}: {', '.join(groups)}")

    return Prober(threads=1, cache=Cache(folder), say=say, scale=0.0), said


def test_what_is_known_is_not_probed_again(probed: list[float], tmp_path: Path) -> None:
    first, said = prober(tmp_path)
    found = first.ceilings(FP32)
    assert found is not None
    assert (found.flops_per_s, found.flops_probe, found.launch_s) == (100, "product", 0.01)
    assert [level.name for level in found.levels] == [*(name for name, _ in cpu_caches(1)), "memory"]
    assert [level.nbytes for level in found.levels] == [*(nbytes for _, nbytes in cpu_caches(1)), None]
    assert len(said) == 1
    assert first.ceilings(("cpu", "fp64", "ieee")) is not None
    assert said[1] == "cpu fp64 ieee: flops fp64 ieee"  # memory and calls are the same for every dtype
    second, said = prober(tmp_path)
    assert second.ceilings(FP32) == found
    assert said == []


def test_probing_again_raises_and_refresh_forgets(probed: list[float], tmp_path: Path) -> None:
    one, said = prober(tmp_path)
    one.ceilings(FP32)
    probed[0] = 300.0
    raised = one.again(FP32, "compute")
    assert raised is not None
    assert (raised.flops_per_s, raised.levels[0].bytes_per_s) == (300, 100)
    probed[0] = 50.0
    assert one.again(FP32, "memory") == raised
    assert len(said) == 3
    after = one.ceilings(FP32, refresh=True)
    assert after is not None
    assert (after.flops_per_s, after.levels[-1].bytes_per_s, after.launch_s) == (50, 50, 0.02)
    one.ceilings(("cpu", "fp64", "ieee"), refresh=True)
    assert said[4:] == ["cpu fp64 ieee: flops fp64 ieee"]  # memory was probed anew just now


def test_without_a_cache_readings_hold_for_the_run(probed: list[float]) -> None:
    one, said = prober(None)
    one.ceilings(FP32)
    probed[0] = 50.0
    found = one.ceilings(FP32)
    assert found is not None
    assert (found.flops_per_s, len(said), one.saved) == (100, 1, False)
    again = one.ceilings(FP32, refresh=True)
    assert again is not None
    assert again.flops_per_s == 50


def test_no_probe_of_the_operations_means_no_ceilings(
    probed: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "compute_probes", lambda dtype, threads: [])
    assert prober(tmp_path)[0].ceilings(FP32) is None


def test_the_fingerprint_tells_threads_and_versions_apart() -> None:
    one = fingerprint("cpu", 1)
    assert one == fingerprint("cpu", 1)
    assert one != fingerprint("cpu", 2)
    assert one["torch"] == torch.__version__
    assert one["cpus_allowed"] == str(cpus_allowed())
    assert Cache(Path("/x")).path(one) != Cache(Path("/x")).path(fingerprint("cpu", 2))


def test_threads_reach_no_less_cache_than_one() -> None:
    for (level, one), (same, two) in zip(cpu_caches(1), cpu_caches(2), strict=True):
        assert level == same
        assert 1 << 12 <= one <= two <= 2 * one


def test_a_working_set_lives_in_its_level_and_not_in_a_nearer_one() -> None:
    assert cpu.level_nbytes(32 << 10, 0) == 16 << 10
    assert cpu.level_nbytes(1 << 20, 32 << 10) == 512 << 10
    assert cpu.level_nbytes(3 << 20, 2 << 20) == 9 << 18  # three quarters where half would fit into L2
    assert cpu.level_nbytes(None, 8 << 20) == 64 << 20
    assert cpu.level_nbytes(None, 1 << 30) == 2 << 30  # of a cache of a gigabyte no gigabyte is outside


def test_where_memory_is_short_main_memory_is_not_probed_in_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "free_nbytes", lambda device: 200 << 20)
    probes, missing = make(cpu.memory_probes("memory", 64 << 20, 1))
    assert probes == []
    assert all("64 MiB, and 200 MiB are free" in why for why in missing.values())
    assert missing


# The loops


@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
def test_a_loop_of_multiply_adds_computes_what_it_says(dtype: str) -> None:
    """From 0 the sums go to 1, 1.5, 1.75: each round is one x/2 + 1 on every lane."""
    number = {"fp32": torch.float32, "fp64": torch.float64}[dtype]
    loops = list(fma_loops(dtype))
    assert len(loops) == len(vector_bits())
    for one in loops:
        room = torch.zeros(1024, dtype=torch.float64)
        lanes = int(one.name.split()[-1].removesuffix("-bit")) // (8 * number.itemsize)
        one.loop(room.data_ptr(), room.data_ptr() + 4096, room.data_ptr(), 0, 3)
        assert room.view(number)[:lanes].tolist() == [1.75] * lanes
        assert one.flops % (2 * lanes) == 0
        assert one.flops >= 2 * lanes * 10  # independent sums hide the latency


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_reads_and_writes_all_of_its_bytes_and_no_more(name: str) -> None:
    numbers = 4 * unit() // 4
    to, one, two = (cpu._aligned(4 * unit() + 64).view(torch.float32) for _ in range(3))
    to.fill_(-1)
    one.copy_(torch.arange(len(one)))
    two.fill_(1000)
    stream_loop(name)(to.data_ptr(), one.data_ptr(), two.data_ptr(), 4 * unit(), 3)
    expected = {"read": None, "copy": one, "triad": one + two}[name.partition(" ")[0]]
    if expected is not None:
        assert torch.equal(to[:numbers], expected[:numbers])
        assert set(to[numbers:].tolist()) == {-1.0}
    assert streamed(name) == {"read": 1, "copy": 2, "triad": 3}[name.partition(" ")[0]]


def test_loops_run_side_by_side_and_the_whole_span_counts() -> None:
    spans: list[float] = []

    def sleep(seconds: float) -> Callable[[], None]:
        def call() -> None:
            time.sleep(seconds)
            spans.append(seconds)

        return call

    elapsed = together([sleep(0.2), sleep(0.1), sleep(0.2)])
    assert len(spans) == 3
    assert elapsed >= 0.2
    assert elapsed < 0.5  # one after the other


def test_a_short_probe_of_this_machine_makes_sense() -> None:
    """Relations that hold on every machine, between readings that are taken in turns."""
    fast = {name: build for name, build in cpu.compute_probes("fp32", 1) if "llvm" in name or "mm" in name}
    double = [(f"fp64 {name}", build) for name, build in cpu.compute_probes("fp64", 1) if "llvm" in name]
    probes, missing = make([*fast.items(), *double])
    assert missing == {}
    names = [*fast, *(name for name, _ in double)]
    probes = [Probe(name=name, work=one.work, run=one.run) for name, one in zip(names, probes, strict=True)]
    rates = highest(probes, 0.8)
    fma = max(rate for name, rate in rates.items() if name.startswith("llvm"))
    assert max(rate for name, rate in rates.items() if name.startswith("fp64")) <= fma * 1.05
    assert fma >= 0.9 * max(rate for name, rate in rates.items() if name.startswith("torch.mm"))
    assert 1e8 < fma < 1e13
    levels = {}
    for level, nbytes in (("L1", cpu_caches(1)[0][1]), ("memory", None)):
        recipes = cpu.memory_probes(level, cpu.level_nbytes(nbytes, 8 << 20), 1)
        probes, missing = make(recipe for recipe in recipes if "llvm" in recipe[0])
        assert missing == {}
        levels[level] = max(highest(probes, 0.3).values())
    assert levels["L1"] >= 0.8 * levels["memory"]
    probes, _ = make(cpu.launch_probes())
    assert 1e-8 < 1 / max(highest(probes, 0.0, burst_s=0.01).values()) < 1e-2


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_a_dtype_without_arithmetic_of_its_own_has_the_ceiling_of_fp32(dtype: str) -> None:
    names = [name for name, _ in cpu.compute_probes(dtype, 1)]
    assert [name for name in names if name.startswith("llvm") and name.endswith("in fp32")]
    probes, missing = make(recipe for recipe in cpu.compute_probes(dtype, 1) if "llvm" in recipe[0])
    assert probes
    assert missing == {}


def test_numpy_takes_no_part_where_it_would_use_more_threads_than_were_asked_for() -> None:
    least, most = ([name for name, _ in cpu.compute_probes("fp32", threads)] for threads in (0, cpus_allowed()))
    assert not [name for name in least if "numpy" in name]
    assert [name for name in most if "numpy" in name]


def test_the_multiply_adds_of_triton_compute_what_they_say() -> None:
    """In Triton's own interpreter, on the CPU."""
    pytest.importorskip("triton")
    from triton.runtime.interpreter import InterpretedFunction

    from convbench.ceilings.triton_fma import BLOCK, fma_loop

    # What the interpreter of Triton 3.6 cannot do beside numpy 2.5: a loop over a number of run time.
    assert {one.name for one in fma_loop.params if not one.is_constexpr} == {"numbers"}
    loop = InterpretedFunction(fma_loop.fn)
    x = torch.zeros(2 * BLOCK)
    loop[(2,)](x, 1, FMAS=3)
    assert x.tolist() == [1.75] * 2 * BLOCK
    loop[(1,)](x, 2)
    assert x.tolist() == [2.0] * BLOCK + [1.75] * BLOCK


def test_a_loop_lets_go_of_the_interpreter() -> None:
    """Or loops on several threads would run one after the other, and this thread could not count meanwhile."""
    one = next(fma_loops("fp32"))
    room = torch.zeros(1024, dtype=torch.float64)
    thread = threading.Thread(
        target=one.loop, args=(room.data_ptr(), room.data_ptr() + 4096, room.data_ptr(), 0, 3 * 10**7)
    )
    thread.start()
    counted = 0
    while thread.is_alive():
        counted += 1
    assert counted > 10


@pytest.mark.gpu
def test_the_ceilings_of_a_gpu_make_sense(tmp_path: Path) -> None:
    one = Prober(threads=1, cache=Cache(tmp_path), scale=0.3)
    found = {kind: one.ceilings(kind) for kind in (("cuda", dtype, "ieee") for dtype in ("fp32", "fp64", "fp16"))}
    for ceilings in found.values():
        assert ceilings is not None
        assert 1e11 < ceilings.flops_per_s < 1e16
        assert 1e10 < ceilings.levels[-1].bytes_per_s < 1e14
        assert 1e-7 < ceilings.launch_s < 1e-4
    tf32 = one.ceilings(("cuda", "fp32", "tf32"))
    fp32 = found["cuda", "fp32", "ieee"]
    assert tf32 is not None
    assert fp32 is not None
    assert tf32.flops_per_s >= 0.9 * fp32.flops_per_s
    assert one.ledger("cuda").missing.get("flops fp32 ieee", {}) == {}


def test_the_times_add_up_to_a_few_seconds() -> None:
    assert gather.COMPUTE_S + 4 * gather.MEMORY_S + gather.CALLS_S <= 6
