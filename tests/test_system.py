"""On macOS and Windows whatever can run runs, the rest is refused in one line: with stand-ins for what they lack."""

import ctypes
import importlib
import importlib.util
import io
import os
import pkgutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import convbench
from convbench import ConvbenchError, discover, system
from convbench.bench import doctor
from convbench.bench.heap import heap_kept
from convbench.bench.noise import Meter
from convbench.device import find_device
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.ran.watch import what_ran
from convbench.show.interactive import WalkSession
from convbench.show.keyboard import run
from convbench.spec import ConvSpec
from convbench.store import CsvFile
from convbench.verify.sweep import verify
from convbench.workers.isolate import isolated
from convbench.workers.server import Server
from tests.cli.conftest import LAST_TAP, Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too
from tests.conftest import make_case

# What Python has on Linux, and not there: its documentation says so ("Availability") of each function. os.WNOHANG and
# signal.SIGKILL stay: Python's own subprocess needs them here.
LINUX_ONLY = {os: "pidfd_open sched_getaffinity sched_setaffinity", signal: "SIGRTMIN"}
UNIX_ONLY = {
    os: "fork fchmod getuid geteuid getppid killpg pread setsid setpgid sysconf uname O_CLOEXEC O_NONBLOCK",
    socket: "send_fds recv_fds AF_UNIX",
    signal: "setitimer getitimer ITIMER_REAL SIGSTOP SIGCONT SIGHUP SIGWINCH",
}
UNIX_MODULES = "fcntl grp pwd resource termios tty".split()
FILES_OF_LINUX = ("/proc", "/sys")
SHAPE = "n1c2h5w5k2r3s3_pd1"


class _NoHandle(ctypes.CDLL):
    def __init__(self, name: str | None, *words: object, **options: object) -> None:
        if name is None:
            raise TypeError("LoadLibrary() argument 1 must be str, not None")
        super().__init__(name, *words, **options)  # type: ignore[arg-type]  # whatever the caller gave


def hidden(function: Callable[..., Any]) -> Callable[..., Any]:
    """As the function, where there is no /proc and no /sys."""

    def without(path: object = ".", *words: object, **options: object) -> Any:
        if isinstance(path, str | Path) and str(path).startswith(FILES_OF_LINUX):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return function(path, *words, **options)

    return without


# Not these: backends need packages that may be missing, and triton exists for Linux alone. Whoever loads them provides
# for that.
MODULES = [
    one.name
    for one in pkgutil.walk_packages(convbench.__path__, "convbench.")
    if not one.name.startswith(("convbench.backends.", "convbench.__main__", "convbench.ceilings.triton_fma"))
]


@pytest.fixture(scope="module")
def packages() -> None:
    """The packages that we use, for this very system."""
    for name in MODULES:
        importlib.import_module(name)


@pytest.fixture(params=["darwin", "win32"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, packages: None) -> str:
    """Another system's Python, as far as it is missing something."""
    platform = str(request.param)
    missing = [LINUX_ONLY] + ([UNIX_ONLY] if platform == "win32" else [])
    for module, names in [pair for each in missing for pair in each.items()]:
        for name in names.split():
            monkeypatch.delattr(module, name)
    if platform == "win32":
        monkeypatch.setattr(ctypes, "CDLL", _NoHandle)
        for name in UNIX_MODULES:
            monkeypatch.setitem(sys.modules, name, None)
    for module, names in ((os, "open stat listdir scandir"), (io, "open")):
        for name in names.split():
            monkeypatch.setattr(module, name, hidden(getattr(module, name)))
    monkeypatch.setattr(sys, "platform", platform)
    return platform


@pytest.fixture
def windows(elsewhere: str) -> bool:
    return elsewhere == "win32"


def test_every_module_can_be_imported(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "convbench"]:
        monkeypatch.delitem(sys.modules, name)  # and comes back, the same
    before = set(sys.modules)
    try:
        assert importlib.import_module("convbench") is not convbench
        for name in MODULES:
            importlib.import_module(name)
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def test_a_convolution_is_explained_run_and_verified(elsewhere: str, cli: Cli, tmp_path: Path) -> None:
    done = cli("explain")
    assert (done.code, "144" in done.out) == (0, True)
    assert cli("why", "floor").code == 0
    assert cli("run", "--filters", "edges", "--save", tmp_path / "features.png").code == 0
    rows = tmp_path / "rows.csv"
    done = cli("verify", "--shape", SHAPE, "--dtype", "fp32", "--layout", "nchw", "--backend", "torch", "--csv", rows)
    assert done.code == 0, done.err
    assert cli("list", "backends").code == cli("list", "devices").code == cli("report", rows).code == 0


def test_a_plug_in_is_verified_in_this_process(elsewhere: str, cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(LAST_TAP)
    done = cli(*"verify --shape n1c1h4w4k1r2s2 --dtype fp32 --layout nchw --backend last-tap --plugin".split(), plugin)
    assert done.code == 1
    assert "WRONG last-tap" in done.out + done.err


def test_bench_times_on_macos_and_is_refused_on_windows(windows: bool, cli: Cli, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    words = ("bench", "--shape", SHAPE, "--backend", "torch", "--budget", "0.02", "--no-ceilings", "--csv", rows)
    assert cli(*words, "--dry-run").code == 0
    done = cli(*words)
    if windows:
        assert done.code == 2
        assert done.err == "convbench: bench needs resource.getrusage, which Windows lacks; run convbench in WSL\n"
        assert not rows.exists()
    else:
        assert done.code == 0, done.err
        assert "timed" in rows.read_text()


@pytest.mark.parametrize("words", ["tune --shape n1c1h4w4k1r2s2 -o plan.json", "compare BEFORE --rerun"])
def test_what_else_times_by_the_rounds_of_bench_is_refused_on_windows(
    windows: bool, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if not windows:
        assert system.lacks("bench") == ""
        return
    given = words.replace("BEFORE", str(Path(__file__).parent / "results" / "quick-cpu-zen4.csv")).split()
    done = cli(*given)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("convbench: bench needs resource.getrusage, which Windows lacks; run")
    assert "tune, model --race, compare --rerun, ran and explain --interactive" in " ".join(
        cli("doctor", "-h").out.split()
    )


def test_what_torch_ran_is_refused_where_its_log_would_come_too_late(windows: bool, cli: Cli) -> None:
    if not windows:
        assert system.lacks("convbench ran") == ""
        return
    done = cli("ran")
    assert done.code == 2
    assert done.err.startswith("convbench: convbench ran needs ctypes.CDLL(None), which Windows lacks; run")
    (ran,) = what_ran([ConvSpec.parse("n1c1h4w4k1r2s2")])
    assert ran.backend is None
    assert "Windows lacks" in ran.trouble


def test_keys_are_refused_where_there_is_no_termios(windows: bool) -> None:
    why = "explain --interactive needs termios.tcgetattr, which Windows lacks"
    assert system.lacks("explain --interactive") == (why if windows else "")
    if windows:
        spec = ConvSpec.parse("n1c1h4w4k1r2s2")
        session = WalkSession(walk=walk(*small_integers(spec), spec, choose_cell(spec)), step="operands")
        with pytest.raises(ConvbenchError, match="try --at P,Q and --step STEP or run convbench in WSL"):
            run(session)


@pytest.mark.parametrize("words", [["--isolate"], ["--timeout", "10"], ["--memory-limit", "1"]])
def test_isolation_on_the_command_line_is_one_line(elsewhere: str, cli: Cli, words: list[str]) -> None:
    done = cli("verify", "--shape", SHAPE, "--backend", "torch", *words)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert ("WSL" in done.err) == (elsewhere == "win32")
    assert ("--no-isolate" in done.err) or words[0] in done.err


def test_isolation_is_refused_with_what_is_missing_and_what_to_try(windows: bool) -> None:
    backends, _ = discover([], ["torch"])
    with pytest.raises(ConvbenchError) as refused:
        list(isolated(verify, [make_case(SHAPE)], backends))
    assert str(refused.value) == (
        "isolation needs os.fork, which Windows lacks; try --no-isolate or run convbench in WSL"
        if windows
        else "isolation needs os.pidfd_open, which macOS lacks; try --no-isolate or use Linux"
    )


def test_a_server_that_is_running_refuses_as_a_new_one_does(elsewhere: str) -> None:
    server = Server()
    server._process = cast("Any", object())  # of an earlier run
    with pytest.raises(ConvbenchError, match=r"^isolation needs "):
        server.start("convbench.discovery")


def test_a_python_for_linux_that_was_built_without_something_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delattr(os, "pidfd_open")
    with pytest.raises(ConvbenchError, match=r"os\.pidfd_open, which this Python lacks; use another build of Python"):
        system.require("isolation")


def test_the_doctor_says_what_does_not_run_here(windows: bool) -> None:
    findings = {one.what: one for one in doctor.examine(find_device("cpu"), 1, seconds=0.01)}
    found = findings["system"]
    assert (found.word, findings["other load"].word) == ("info", "unknown")
    assert found.found.startswith("Windows: isolation needs" if windows else "macOS: isolation needs")
    assert ("; bench needs" in found.found) == windows
    assert found.advice == ("run convbench in WSL" if windows else "use Linux")


def test_heap_and_meter_do_without_what_is_missing(windows: bool) -> None:
    with heap_kept(), Meter() as meter:
        before = meter.read()
        assert meter.dirt(before, meter.read(), 10.0) in ("", "preempted")
        assert (before.waited_s, before.steal_s) == ({}, 0)
        assert meter.noise().foreign is None
    assert (system.libc() is None) == windows


def test_a_file_of_rows_that_was_deleted_is_put_back(elsewhere: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    told: list[str] = []
    with CsvFile(str(path), tell=told.append) as file:
        before = path.read_bytes()
        path.unlink()
        file.append()
    assert path.read_bytes() == before
    assert len(told) == 1


def test_rows_on_windows_end_as_they_do_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without O_BINARY its C library writes every line break as two bytes, and --resume counts bytes."""
    flags: list[int] = []
    binary = 0x8000  # of Windows' fcntl.h; a flag that Linux ignores
    open_file = os.open

    def noted(path: str, flag: int, *mode: int) -> int:
        flags.append(flag)
        return open_file(path, flag, *mode)

    monkeypatch.setattr(os, "O_BINARY", binary, raising=False)
    monkeypatch.setattr(os, "open", noted)
    spec = importlib.util.find_spec("convbench.store")
    assert spec is not None
    assert spec.loader is not None
    store = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, store)
    spec.loader.exec_module(store)
    with store.CsvFile(str(tmp_path / "rows.csv")):
        pass
    (flag,) = [flag for flag in flags if flag & os.O_APPEND]
    assert flag & binary
