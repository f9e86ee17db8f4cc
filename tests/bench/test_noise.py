"""What disturbs a block is seen, and what a machine could be better at is said."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest

from convbench.bench import doctor, noise
from convbench.bench.noise import Gpu, GpuState, Meter, NoiseReading, nvml_lacks
from convbench.device import find_device

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
CALM = NoiseReading(waited_s={"1": 1.0, "2": 3.0}, switches=10, steal_s=2.0)


def burn(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@contextmanager
def busy_process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def one_core() -> Iterator[None]:
    """Everybody on the same core, so that they disturb each other for certain."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@linux
def test_a_block_beside_another_process_on_the_same_core_is_dirty(one_core: None) -> None:
    with Meter() as meter:
        with busy_process():
            time.sleep(0.1)
            before = meter.read()
            burn(0.3)
            after = meter.read()
        assert max(now - before.waited_s.get(task, 0.0) for task, now in after.waited_s.items()) > 0.05
        assert meter.dirt(before, after, 0.3) in ("foreign load", "steal")
        assert 0.15 < meter.lost(before, after, 0.3) < inf
        found = meter.noise()
    assert found.foreign is not None
    assert found.foreign > 0.05
    assert found.switches is not None
    assert found.switches > 0


@linux
def test_a_thread_that_ends_is_forgotten_and_a_new_one_is_found() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    with Meter() as meter:
        thread.start()
        meter.refresh()
        with_thread = len(meter._tasks)
        stop.set()
        thread.join()
        time.sleep(0.05)
        meter.read()
        assert len(meter._tasks) == with_thread - 1
    assert meter._tasks == {}


def test_what_is_too_little_to_matter_is_clean() -> None:
    with Meter() as meter:
        assert meter.dirt(CALM, CALM, 1e-3) == ""
        late = replace(CALM, waited_s={"1": 1.0 + 6e-6, "2": 3.0 + 6e-6})  # each a little, as all do that are woken
        assert meter.dirt(CALM, late, 1e-3) == ""
        assert meter.lost(CALM, late, 1e-3) == pytest.approx(0.012)  # at most: each may have held up the others
        waited = replace(CALM, waited_s={"1": 1.0, "2": 3.0 + 2e-5})
        assert meter.dirt(CALM, waited, 1e-3) == "foreign load"
        stolen = replace(CALM, steal_s=CALM.steal_s + 0.01)
        assert meter.dirt(CALM, stolen, 1e-3) == "steal"
        assert meter.lost(stolen, CALM, 1.0) == 0  # a counter that fell
        assert meter.dirt(CALM, stolen, 2.0) == ""


def test_without_thread_counts_an_involuntary_switch_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "_open", lambda path: None)
    with Meter() as meter:
        thrown = replace(CALM, switches=CALM.switches + 1)
        assert meter.dirt(CALM, thrown, 1e-3) == "preempted"
        assert meter.dirt(CALM, CALM, 1e-3) == ""
        assert (meter.noise().steal, meter.noise().foreign) == (None, None)


class Nvml:
    """The part of NVML that is asked, with answers of our own."""

    NVMLError = RuntimeError
    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, reasons: int, *pids: int) -> None:
        self.reasons, self.pids = reasons, pids

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int:  # noqa: N802
        return self.reasons

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int:  # noqa: N802
        return 1980

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:  # noqa: N802
        return 350_000

    def nvmlDeviceGetTemperature(self, handle: object, kind: int) -> int:  # noqa: N802
        return 61


@pytest.mark.parametrize(
    ("reasons", "words"),
    [(0x0, ""), (0x4, ""), (0x20, "thermal limit"), (0x60, "thermal limit"), (0x88, "hardware slowdown; power brake")],
)
def test_a_gpu_slowed_by_heat_is_told_and_one_at_its_power_cap_is_not(reasons: int, words: str) -> None:
    state = Gpu(Nvml(reasons), None).state()
    assert state == GpuState(clock_hz=1.98e9, power_w=350.0, temperature_c=61.0, throttle=words, others=0)


NOBODY = 2**22 + 1  # above the largest process id of Linux, as ids outside a container may be


@pytest.mark.parametrize(
    ("pids", "using", "others"),
    [
        ((), True, []),
        ((os.getpid(),), True, []),
        ((os.getpid(), os.getppid(), NOBODY), True, [NOBODY]),
        ((NOBODY,), True, []),  # it must be this process, seen from outside
        ((NOBODY, NOBODY + 1), True, [NOBODY + 1]),
        ((NOBODY,), False, [NOBODY]),
        ((1,), False, [1] if os.getppid() != 1 else []),
    ],
)
def test_who_else_computes_on_a_gpu(pids: tuple[int, ...], using: bool, others: list[int]) -> None:
    assert Gpu(Nvml(0, *pids), None).others(using=using) == others


def test_a_gpu_that_others_use_makes_the_row_contended_and_no_sample_dirty(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(0, os.getpid())
    monkeypatch.setattr(Gpu, "open", classmethod(lambda cls, device: Gpu(nvml, None)))
    with Meter(find_device("cuda")) as meter:
        assert meter.noise().contended == 0
        meter._ask_again = 0.0
        nvml.pids = (os.getpid(), NOBODY)  # for a moment
        meter.refresh()
        meter._ask_again, nvml.pids = 0.0, (os.getpid(),)
        meter.refresh()
        assert meter.dirt(CALM, CALM, 1e-3) == ""
        found = meter.noise()
    assert found.contended == 1
    assert found.doubt == "on a GPU in use by other processes"


def test_what_nvml_does_not_know_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(handle: object) -> list[SimpleNamespace]:
        raise Nvml.NVMLError("Insufficient Permissions")

    nvml = Nvml(0)
    monkeypatch.setattr(nvml, "nvmlDeviceGetComputeRunningProcesses", refuses)
    monkeypatch.setattr(Gpu, "open", classmethod(lambda cls, device: Gpu(nvml, None)))
    with Meter(find_device("cuda")) as meter:
        assert meter.noise().contended is None
    with Meter() as meter:
        assert meter.noise().contended is None


def test_samples_of_a_slowed_gpu_are_dirty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gpu, "open", classmethod(lambda cls, device: Gpu(Nvml(0x20), None)))
    with Meter(find_device("cuda")) as meter:
        meter.refresh()
        assert meter.dirt(CALM, CALM, 1e-3) == "thermal limit"
        assert (meter.noise().throttle, meter.noise().power_w) == ("thermal limit", 350.0)


def test_a_gpu_is_asked_every_fifty_milliseconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    now = [100.0]
    nvml = Nvml(0)

    def power(handle: object) -> int:
        looks.append(now[0])
        return 350_000

    monkeypatch.setattr(nvml, "nvmlDeviceGetPowerUsage", power)
    monkeypatch.setattr(Gpu, "open", classmethod(lambda cls, device: Gpu(nvml, None)))
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    with Meter(find_device("cuda")) as meter:
        for _ in range(100):
            now[0] += 0.004
            meter.refresh()
    assert len(looks) == 8
    assert min(later - earlier for earlier, later in pairwise(looks)) >= 0.05


def test_why_nvml_says_nothing_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=lambda: None))
    assert nvml_lacks() == ""

    def fails() -> None:
        raise RuntimeError("Driver Not Loaded")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=fails))
    assert nvml_lacks() == "NVML does not work (Driver Not Loaded)"
    monkeypatch.setattr("torch.version.hip", "6.4")
    assert nvml_lacks() == "NVML does not support GPUs with ROCm 6.4"


def test_the_doctor_names_who_uses_the_cpu_and_what_to_do() -> None:
    with busy_process() as rival:
        findings = {one.what: one for one in doctor.examine(find_device("cpu"), threads=10_000, seconds=0.4)}
        assert doctor._process_ticks()[rival.pid][0] > 0
    load = findings["other load"]
    assert load.ok is False or os.cpu_count() > 16  # type: ignore[operator]
    assert "% of a core" in load.found
    assert findings["threads"].ok is False
    assert findings["threads"].advice.startswith("--threads ")
    assert all(bool(one.advice) == (one.ok is False) for one in findings.values())


def waiting(looks: list[str], most_s: float = 600.0) -> list[str]:
    """What is told while a machine is looked at that gives these looks, each in a second."""
    told, left, now = list[str](), iter(looks), [0.0]

    def look(_device: object, _threads: int, seconds: float) -> str:
        now[0] += seconds
        return next(left)

    doctor.wait_until_quiet(find_device("cpu"), 2, told.append, most_s=most_s, look=look, clock=lambda: now[0])
    assert list(left) == []
    return told


def test_a_quiet_machine_is_not_waited_for_and_nothing_is_told() -> None:
    assert waiting([""] * 3) == []


def test_a_busy_machine_is_waited_for_until_it_stays_quiet() -> None:
    assert waiting([*["34 % other load"] * 40, "", "", "2 % steal", "", "", ""]) == [
        "waiting up to 600 s for a quiet machine: 34 % other load",
        "still waiting after 31 s: 34 % other load",
        "quiet after 46 s",
    ]


def test_who_waits_in_vain_goes_on_and_says_so() -> None:
    assert waiting(["CPUs moved by the hypervisor"] * 5, most_s=5.0) == [
        "waiting up to 5 s for a quiet machine: CPUs moved by the hypervisor",
        "not quiet after 5 s (CPUs moved by the hypervisor); starting anyway, expect more undecided rows",
    ]


def test_what_disturbs_is_told_by_what_sets_samples_aside() -> None:
    with busy_process():
        found = noise.disturbance_now(find_device("cpu"), 1, 0.4)
    assert "% other load" in found or os.cpu_count() > 16  # type: ignore[operator]


def test_governor_and_turbo_are_read_where_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SYSTEM", tmp_path)
    assert (doctor._governor().ok, doctor._turbo().ok) == (None, None)
    (tmp_path / "cpu0/cpufreq").mkdir(parents=True)
    (tmp_path / "cpu0/cpufreq/scaling_governor").write_text("powersave\n")
    (tmp_path / "cpufreq").mkdir()
    (tmp_path / "cpufreq/boost").write_text("1\n")
    assert (doctor._governor().ok, doctor._turbo().ok) == (False, False)
    (tmp_path / "cpu0/cpufreq/scaling_governor").write_text("performance\n")
    (tmp_path / "cpufreq/boost").write_text("0\n")
    assert (doctor._governor().ok, doctor._turbo().ok) == (True, True)


def test_only_the_cpus_that_we_may_use_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    lines = [f"cpu{n} {10 * n} 0 0 100 0 0 0 {n} 0 0" for n in range(4)]
    stat.write_text("\n".join(["cpu  60 0 0 400 0 0 0 6 0 0", *lines, "intr 1 2 3", "cpu9 7 7 7 7 7 7 7 7"]))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 3})
    with Meter() as meter:
        assert meter._stat is not None
        os.close(meter._stat)
        meter._stat = os.open(stat, os.O_RDONLY)
        assert meter._cpu_ticks() == (10 + 100 + 1 + 30 + 100 + 3, 4, 200)


def test_steal_is_a_share_of_the_time_of_all_our_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = (NoiseReading(waited_s={}, switches=0, steal_s=steal_s) for steal_s in (0.0, 0.02))
    with Meter() as meter:
        for cpus, words in ((1, "steal"), (4, "")):
            monkeypatch.setattr(meter, "_cpus", {b"%d" % n for n in range(cpus)})
            assert meter.dirt(before, after, seconds=1.0) == words
