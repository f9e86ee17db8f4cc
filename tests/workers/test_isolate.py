"""Sweeps in processes that die: who is blamed, who gets a second chance, and what is left behind."""

import json
import mmap
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch

from convbench import Failed, Result, Skipped, Timed, Verified, discover
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import bench
from convbench.call.watch import BackendStage, Watch
from convbench.machine import children, held_nbytes
from convbench.store import CsvFile
from convbench.verify.lineup import too_large
from convbench.verify.sweep import verify
from convbench.workers import probe, server
from convbench.workers.isolate import Limits, default_timeout_s, isolated
from convbench.workers.jobs import Board, Fall, Job
from tests.conftest import make_case

pytestmark = [pytest.mark.program, pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")]

BENCH = partial(bench, budget=TimeBudget(seconds=0.02, least=3, most=20), rule=VerdictRule())
PLUGIN = '''
"""One deed for each number of output channels."""
import json, os, signal, sys
import torch
import torch.nn.functional as F
from convbench import backend
from convbench.bench import sweep

if "dies_when_imported" in __file__ and "pytest" not in sys.modules:  # in a worker, not in the parent
    os.abort()

first = {}

def right(x, w, spec):
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

@backend(family="direct", source="a test")
def facts(x, w, spec):
    if spec.k == 1:
        raise ValueError(json.dumps([
            torch.get_num_threads(), os.getcwd(), os.environ.get("OF_THE_PARENT"), os.getpgid(0) == os.getpid(),
            os.path.sameopenfile(1, 2), torch.cuda.is_initialized(), open("/proc/self/oom_score_adj").read().strip(),
        ]))
    return right(x, w, spec)

@backend(family="direct", source="a test")
def loses_the_device(x, w, spec):
    if spec.k == 2:
        sweep.alive = lambda device: False
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return right(x, w, spec)

@backend(family="direct", source="a test")
def kills_the_server(x, w, spec):
    if spec.k == 3:
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
    return right(x, w, spec)

@backend(family="direct", source="a test")
def dies_on_fresh_data(x, w, spec):
    if spec.k == 4 and first.setdefault(spec, x.flatten()[0].item()) != x.flatten()[0].item():
        os._exit(5)
    return right(x, w, spec)

@backend(family="direct", source="a test", refuse=lambda case: os.abort() if case.spec.k == 4 else None)
def dies_when_asked(x, w, spec):
    return right(x, w, spec)

@backend(family="direct", source="a test")
def interrupts(x, w, spec):
    if spec.k == 4:
        raise KeyboardInterrupt
    return right(x, w, spec)
'''
NAMES = (
    "torch facts loses-the-device kills-the-server dies-on-fresh-data dies-when-asked interrupts unfold-matmul"
).split()
CASES = [make_case(f"n1c2h6w5k{k}r3s3_pd1", seed=7) for k in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "deeds.py"
    path.write_text(PLUGIN)
    return str(path)


@pytest.fixture(scope="module")
def swept(plugin: str) -> dict[tuple[int, str], Result]:
    backends, _ = discover([plugin], NAMES)
    os.environ["OF_THE_PARENT"] = "heard"
    try:
        results = list(isolated(BENCH, CASES, backends, plugins=[plugin], limits=Limits(timeout_s=60)))
    finally:
        del os.environ["OF_THE_PARENT"]
    assert [(result.case, result.backend) for result in results] == [(case, name) for case in CASES for name in NAMES]
    return {(result.case.spec.k, result.backend): result for result in results}


def others_are_timed(swept: dict[tuple[int, str], Result], k: int, *bad: str) -> None:
    for name in NAMES:
        assert isinstance(swept[k, name].outcome, Failed if name in bad else Timed), swept[k, name]


def test_a_worker_has_the_parents_settings_and_a_session_stdout_and_cuda_of_its_own(
    swept: dict[tuple[int, str], Result],
) -> None:
    outcome = swept[1, "facts"].outcome
    assert isinstance(outcome, Failed)
    told = json.loads(outcome.message.removeprefix("ValueError: ").rpartition(" (")[0])
    assert told == [torch.get_num_threads(), str(Path.cwd()), "heard", True, True, False, "1000"]
    others_are_timed(swept, 1, "facts")


def test_after_a_lost_device_the_others_run_in_a_new_process(swept: dict[tuple[int, str], Result]) -> None:
    outcome = swept[2, "loses-the-device"].outcome
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("RuntimeError: CUDA error: an illegal memory access was encountered (")
    others_are_timed(swept, 2, "loses-the-device")


def test_a_backend_that_kills_the_fork_server_ends_nothing(swept: dict[tuple[int, str], Result]) -> None:
    assert swept[3, "kills-the-server"].outcome == Failed("took the fork server down while being verified")
    others_are_timed(swept, 3, "kills-the-server")


def test_the_reason_says_at_what_it_died(swept: dict[tuple[int, str], Result]) -> None:
    assert swept[4, "dies-on-fresh-data"].outcome == Failed(
        "exited with code 5 while being timed"
    )  # on the numbers of another set
    assert swept[4, "dies-when-asked"].outcome == Failed("died of SIGABRT while being asked what it supports")
    outcome = swept[4, "interrupts"].outcome
    assert isinstance(outcome, Failed)
    assert re.fullmatch(r"raised KeyboardInterrupt \(deeds.py:\d+\) while being verified", outcome.message)
    others_are_timed(swept, 4, "dies-on-fresh-data", "dies-when-asked", "interrupts")


def test_a_worker_sees_the_same_numbers_as_this_process(swept: dict[tuple[int, str], Result]) -> None:
    backends, _ = discover([], ["torch", "unfold-matmul"])
    for here in bench([CASES[0]], backends, budget=TimeBudget(seconds=0.02, least=3, most=20), rule=VerdictRule()):
        there = swept[1, here.backend].outcome
        assert isinstance(here.outcome, Timed)
        assert isinstance(there, Timed)
        assert there.check == here.outcome.check
        assert there.bill.ran == here.outcome.bill.ran


def test_a_plugin_that_dies_when_it_is_imported_is_the_row_of_all_and_the_sweep_goes_on(
    plugin: str, tmp_path: Path
) -> None:
    path = tmp_path / "dies_when_imported.py"
    path.write_text(PLUGIN)
    backends, _ = discover([str(path)], ["torch", "facts"])
    results = list(isolated(BENCH, CASES[:2], backends, plugins=[str(path)]))
    reason = "not run: the worker process died of SIGABRT while loading the backends"
    assert [result.outcome for result in results] == [Failed(reason)] * 4


def test_verify_shares_a_worker_between_cases_while_it_lives(plugin: str) -> None:
    names = ["torch", "interrupts", "dies-when-asked"]
    backends, _ = discover([plugin], names)
    cases = [make_case(f"n1c2h6w5k{k}r3s3", dtype=dtype) for k in (1, 4, 5) for dtype in ("fp32", "fp16")]
    results = list(isolated(verify, cases, backends, plugins=[plugin], cases_each=lambda _: 4))
    assert [(result.case, result.backend) for result in results] == [(case, name) for case in cases for name in names]
    for result in results:
        bad = result.case.spec.k == 4 and result.backend != "torch"
        assert isinstance(result.outcome, Failed if bad else Verified), result


def test_a_crash_on_another_problem_costs_no_case_and_happens_once(tmp_path: Path) -> None:
    path, deaths = tmp_path / "one_height.py", tmp_path / "deaths"
    path.write_text(
        "import os\nimport torch.nn.functional as F\nfrom convbench import backend\n\n"
        "@backend(family='direct', source='a test')\ndef one_height(x, w, spec):\n"
        f"    if spec.h != 8:\n        open({str(deaths)!r}, 'a').write('x')\n        os.abort()\n"
        "    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)\n"
    )
    backends, _ = discover([str(path)], ["one-height"])
    cases = [make_case(shape) for shape in ("n1c2h8w5k2r3s3_pd1", "n1c2h8w5k2r3s3", "n1c2h8w5k2r3s3_pd1x0_g2")]
    results = list(isolated(verify, cases, backends, plugins=[str(path)], cases_each=lambda _: 4))
    assert all(isinstance(result.outcome, Verified) for result in results), results
    assert deaths.read_text() == "x"


def test_nothing_to_do_starts_nothing() -> None:
    backends, _ = discover([], ["torch"])
    server.stop_the_spare()
    before = children(os.getpid())
    assert list(isolated(BENCH, [], backends)) == []
    assert children(os.getpid()) == before


def test_an_idle_server_that_was_killed_is_replaced_and_who_stops_early_leaves_no_process_behind() -> None:
    backends, _ = discover([], ["torch"])
    server.stop_the_spare()
    before = children(os.getpid())
    results = isolated(BENCH, CASES, backends)
    assert isinstance(results, Generator)
    next(results)
    (first,) = set(children(os.getpid())) - set(before)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert isinstance(next(results).outcome, Timed)
    assert first not in children(os.getpid())
    assert len(children(os.getpid())) == len(before) + 1
    results.close()
    assert children(os.getpid()) == before


def test_the_fork_server_asks_for_no_cuda_device_and_starts_no_thread_pool() -> None:
    """Neither would live on in a worker: CUDA refuses to work there, and a pool's threads are not forked."""
    code = """
import os, torch
from convbench.workers.worker import warm_up
asked, threads = [], len(os.listdir("/proc/self/task"))
for module, name in ((torch.cuda, "is_available"), (torch.cuda, "device_count"), (torch.cuda, "_lazy_init"),
                     (torch._C, "_cuda_getDeviceCount")):
    def ask(*words, name=name, real=getattr(module, name)):
        asked.append(name)
        return real(*words)
    setattr(module, name, ask)
warm_up()
print(asked, len(os.listdir("/proc/self/task")) - threads)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] 0\n"


def test_the_board_says_who_was_doing_what() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(mmap.PAGESIZE)
        writer, reader = Board(file.fileno()), Board(file.fileno())
    for board in (reader, writer):
        board.clear(["a", "b"])
    assert reader.read() == (0, None, BackendStage.LOADING)
    writer.tell("b", BackendStage.TIMED)
    assert reader.read() == (1, "b", "while being timed")
    writer.tell("b", BackendStage.TIMED)  # a sign of life
    assert reader.read()[0] == 2
    writer.tell("", BackendStage.TRUTH)
    assert reader.read() == (3, None, "while computing the truth")
    writer.close()
    reader.close()


def test_the_timeout_grows_with_the_case_and_with_the_slowest_backend() -> None:
    backends, _ = discover([], ["torch", "naive-loops"])
    small, large = make_case("n1c1h4w4k1r2s2"), make_case("n64c256h28w28k512r3s3_pd1")
    assert 120 < default_timeout_s(small, backends) < 121
    assert default_timeout_s(large, backends[:1]) == 120 + large.spec.macs / 1e8
    assert default_timeout_s(large, backends) > 15 * large.spec.macs / 5e6


def test_no_word_of_others_makes_a_timeout_longer_than_ten_minutes_more() -> None:
    (own,), _ = discover([], ["torch"])
    slow = replace(own, name="slow", origin="plug-in x", max_macs=10**9, macs_per_s=1e-9)
    case = make_case("n1c1h4w4k1r2s2")
    assert 719 < default_timeout_s(case, [own, slow]) < 721


def test_a_hang_on_a_gpu_costs_half_a_minute_unless_somebody_starts_slowly() -> None:
    backends, _ = discover([], ["torch"])
    compiles = replace(backends[0], name="compiles", slow_start=True)
    small, large = (make_case(text, device="cuda") for text in ("n1c1h4w4k1r2s2", "n64c256h28w28k512r3s3_pd1"))
    assert 30 < default_timeout_s(small, backends) < 31
    assert 120 < default_timeout_s(small, [*backends, compiles]) < 121
    assert default_timeout_s(large, backends) < 60


def test_a_memory_limit_is_foreseen_before_anything_is_allocated() -> None:
    (one,), _ = discover([], ["torch"])
    case = make_case("n8c64h64w64k64r3s3_pd1")
    held = held_nbytes(os.getpid())
    assert held > 10**7
    assert too_large(case, one, limit_nbytes=held + 2**33) is None
    assert "GiB are free on cpu" in (too_large(case, one, limit_nbytes=held + 2**20) or "")
    (result,) = bench(
        [case],
        [one],
        budget=TimeBudget(),
        rule=VerdictRule(),
        watch=Watch(memory_nbytes=held),
    )
    assert isinstance(result.outcome, Skipped)


def test_the_memory_of_children_counts() -> None:
    before = held_nbytes(os.getpid())
    code = "hoard = b'x' * 2**27; print(len(hoard), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"134217728\n"
        assert held_nbytes(os.getpid()) > before + 2**27 - 2**24
        child.communicate(b"\n")


class Obstinate:
    """A fork server whose worker falls again and again, by its own word because of somebody who is not there."""

    jobs = 0

    @classmethod
    def take(cls) -> "Obstinate":
        return cls()

    def __enter__(self) -> "Obstinate":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def work(self, job: Job, **_: object) -> Iterator[Fall]:
        self.jobs += 1
        assert self.jobs < 5, "it goes on for ever"
        yield Fall("nobody", Failed("died"))


def test_a_fall_of_nobody_in_particular_ends_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.workers.isolate.Server", Obstinate)
    backends, _ = discover(names=["torch", "unfold-matmul"])
    results = list(isolated(BENCH, [make_case("n1c1h4w4k1r2s2")], backends))
    assert [result.outcome for result in results] == [Failed("died"), Failed("died")]


def test_an_answer_that_would_do_something_when_it_is_read_is_refused(tmp_path: Path) -> None:
    """A backend can write to the worker's socket: CsvFile(path, True) would empty a file."""
    victim = tmp_path / "notes.txt"
    victim.write_text("mine")

    class Harm:
        def __reduce__(self) -> tuple[type[CsvFile], tuple[str, bool]]:
            return CsvFile, (str(victim), True)

    ours, theirs = Pipe()
    theirs.send_bytes(pickle.dumps([Harm()]))
    with pytest.raises(pickle.UnpicklingError, match="CsvFile is not part of a result"):
        server._read(ours, Result)
    assert victim.read_text() == "mine"


def test_one_fork_server_serves_the_look_at_a_plug_in_and_every_sweep(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def servers() -> set[int]:
        return set(children(os.getpid())) - before

    server.stop_the_spare()
    before = set(children(os.getpid()))
    found, _ = probe.load_others((), [plugin])()
    one = servers()
    assert len(one) == 1
    backends = [one for one in found if one.name == "interrupts"]
    for _ in range(2):
        assert len(list(isolated(verify, CASES[:1], backends, plugins=[plugin]))) == len(backends)
        assert servers() == one
    sweep = isolated(verify, CASES[:2], backends, plugins=[plugin])
    next(sweep)
    assert isinstance(sweep, Generator)
    sweep.close()
    assert servers() == set(), "its worker may have been at work"
    for name in ("one", "another"):  # libraries read the environment when they are imported
        monkeypatch.setenv("OF_A_LIBRARY", name)
        list(isolated(verify, CASES[:1], backends, plugins=[plugin]))
        assert len(servers()) == 1
        assert servers() != one
        one = servers()
    server.stop_the_spare()
    assert servers() == set()


def test_a_worker_runs_where_its_parent_is_now_and_not_where_the_server_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tells.py"
    path.write_text(
        "import os, sys\nimport torch.nn.functional as F\nfrom convbench import backend\n\n"
        "@backend(family='direct', source='a test')\ndef tells_its_place(x, w, spec):\n"
        "    print('place', os.getcwd(), os.environ['CONVBENCH_TEST'], sys.path[0], flush=True)\n"
        "    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)\n"
    )
    backends, _ = discover([str(path)], ["tells-its-place"])
    server.stop_the_spare()
    before, seen = set(children(os.getpid())), set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("CONVBENCH_TEST", name)
        monkeypatch.syspath_prepend(folder)
        list(isolated(verify, CASES[:1], backends, plugins=[str(path)]))
        told = capfd.readouterr()
        assert f"place {folder} {name} {folder}\n" in told.err
        assert told.out == ""
        seen |= set(children(os.getpid())) - before
    assert len(seen) == 1
    server.stop_the_spare()


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_a_command_with_a_plug_in_starts_one_fork_server(plugin: str, tmp_path: Path, command: str) -> None:
    code = """
import sys
from convbench.workers.server import Server
started, launch = [], Server._launch
Server._launch = lambda server: (started.append(1), launch(server))
from convbench.__main__ import main
try:
    main()
finally:
    print("started", len(started), file=sys.stderr)
"""
    words = [command, "--plugin", plugin, "--backend", "torch,interrupts", "--shape", "n1c2h6w5k1r3s3_pd1"]
    words += ["--dtype", "fp32", "--layout", "nchw", "--csv", "-"]
    words += ["--budget", "0.02", "--no-ceilings"] if command == "bench" else []
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, check=False, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("started 1\n")
