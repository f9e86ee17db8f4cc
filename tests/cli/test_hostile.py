"""Plug-ins that mean harm: each costs its own row, and never the sweep, the file, the terminal or a process."""

import os
import random
import re
import resource
import sys
from pathlib import Path

import pytest

from convbench.store import read_rows
from convbench.workers import server, worker
from tests.chaos import Chaos
from tests.cli.conftest import Cli

pytestmark = [pytest.mark.program, pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")]

SHAPE = "n1c3h9w8k3r3s3_pd1"
TIMEOUT_S = 8
KILLED = "while being verified; killed"
PLUGIN = '''
"""Harm."""
import atexit, ctypes, gc, mmap, os, pickle, signal, struct, subprocess, sys, threading, time
import torch
import torch.nn.functional as F
from convbench import backend

CSV, MADE = {csv!r}, {made!r}

def right(x, w, spec):
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

def facts():
    return [
        os.getcwd(), dict(os.environ), torch.get_default_dtype(), torch.get_num_threads(), torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(), gc.isenabled(), sys.gettrace(), sys.getrecursionlimit(),
        signal.getsignal(signal.SIGTERM), signal.getitimer(signal.ITIMER_REAL)[0], sys.float_info.min * half > 0,
    ]

half = 0.5
AT_FIRST = facts()

class Odd(BaseException):
    pass

class Mute(Exception):
    def __str__(self):
        raise Odd

class Runs:
    def __reduce__(self):
        return os.mkdir, (MADE,)

class Liar(torch.Tensor):
    """Zeros that answer with the truth when they are asked for float64, and are equal to everything."""
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.double:
            return cls.truth
        if function in (torch.Tensor.__eq__, torch.equal):
            return True
        return super().__torch_function__(function, types, args, kwargs or {{}})

class Lazy(torch.Tensor):
    """Nothing but a recipe."""
    @staticmethod
    def __new__(cls, recipe, shape):
        self = torch.Tensor._make_wrapper_subclass(cls, shape)
        self.recipe = recipe
        return self
    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return function(*(one.recipe() if isinstance(one, Lazy) else one for one in args), **(kwargs or {{}}))

def send(data):
    """Into whatever descriptor takes it: one of them leads to the sweep."""
    for number in range(3, 64):
        try:
            if os.readlink(f"/proc/self/fd/{{number}}").startswith("socket:"):
                os.write(number, data)
        except OSError:
            pass

def sleep_apart(count):
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            time.sleep(1000 if count % 2 else 0)
            os._exit(0)
'''
FUNCTION = """
@backend(family="direct", source="a test")
def {name}(x, w, spec):
    {deed}
    return right(x, w, spec)
"""
PLACE = r"\([\w-]+\.py:\d+\)"
# What it does, how it comes out, and the whole reason as a regular expression.
DEEDS = {
    "loops": ("while True: pass", "failed", rf"hung: no answer within {TIMEOUT_S} s {KILLED}"),
    "claims": ("torch.empty(25 * 2**30).fill_(1)", "failed", rf"(RuntimeError: .*|used more than 1.0 GiB {KILLED})"),
    "touches": (
        """memory = mmap.mmap(-1, 6 * 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for place in range(0, 6 * 2**30, mmap.PAGESIZE):
        memory[place] = 1
        if place % 2**26 == 0:
            time.sleep(0.02)""",
        "failed",
        rf"used more than 1.0 GiB {KILLED}",
    ),
    "leaves": ("os._exit(0)", "failed", "exited with code 0 while being verified"),
    "crashes": ("ctypes.string_at(0)", "failed", "died of SIGSEGV while being verified"),
    "interrupts": ("raise KeyboardInterrupt", "failed", rf"raised KeyboardInterrupt {PLACE} while being verified"),
    "quits": ("sys.exit(0)", "failed", rf"SystemExit: 0 {PLACE}"),
    "closes": ("raise GeneratorExit", "failed", rf"raised GeneratorExit {PLACE} while being verified"),
    "odd": ("raise Odd('odd')", "failed", rf"raised Odd: odd {PLACE} while being verified"),
    "mute": ("raise Mute", "failed", rf"Mute: \(its message raised Odd\) {PLACE}"),
    "babbles": (
        r"raise ValueError('=\x1b[2J\x07\x00' + 'x' * 2**20 + '\nsecond line')",
        "failed",
        r"ValueError: =\\x1b\[2J\\x07\\x00x{900,1000}\.\.\. \(1,048,583 characters\) " + PLACE,
    ),
    "recurses": ("(lambda f: f(f))(lambda f: f(f))", "failed", "RecursionError: .*"),
    "sends-half": ("send(struct.pack('!i', 1000)); time.sleep(60)", "failed", rf"sent an incomplete answer {KILLED}"),
    "sends-code": (
        "data = pickle.dumps([Runs()]); send(struct.pack('!i', len(data)) + data); time.sleep(60)",
        "failed",
        rf"sent an unreadable answer \(UnpicklingError: posix.mkdir is not part of a result\) {KILLED}",
    ),
    "stops-the-server": (
        "os.kill(os.getppid(), signal.SIGSTOP); time.sleep(60)",
        "failed",
        rf"stopped the fork server {KILLED}",
    ),
    "ends-the-server": (
        "sleep_apart(1); os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)",
        "failed",
        "took the fork server down while being verified",
    ),
    "writes-inputs": ("x.zero_()", "wrong", "it changed its input x"),
    "replaces-double": (
        "y = right(x, w, spec); torch.Tensor.double = lambda self: y.to(torch.float64)",
        "failed",
        r"it replaced torch.Tensor.double, so no verdict on it is valid",
    ),
    "replaces-the-clock": (
        "time.perf_counter = lambda: 0.0",
        "failed",
        r"it replaced time.perf_counter, so no verdict on it is valid",
    ),
    "changes-the-world": (
        """os.chdir('/'); os.environ.clear(); torch.set_default_dtype(torch.float64); torch.set_num_threads(3)
    torch.set_default_device('meta'); torch._C._set_deterministic_algorithms(True); gc.disable()
    sys.settrace(lambda *_: None)
    sys.setrecursionlimit(10**6); signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.setitimer(signal.ITIMER_REAL, 1)
    torch.set_flush_denormal(True); atexit.register(os.mkdir, MADE)""",
        "verified",
        "",
    ),
    "finds-the-world": ("assert facts() == AT_FIRST, facts()", "verified", ""),
    "lies": (
        """Liar.truth = right(x, w, spec).to(torch.float64)
    return torch.zeros_like(Liar.truth, dtype=x.dtype).as_subclass(Liar)""",
        "wrong",
        r"\d+ of \d+ .*",
    ),
    "puts-off": (
        "return Lazy(lambda: right(x, w, spec), (1, 3, 9, 8))",
        "failed",
        "TypeError: returned a Lazy, a tensor without its own memory",
    ),
    "returns-its-input": ("return x", "wrong", r"\d+ of \d+ .*"),
    "changes-it-later": (
        """y = right(x, w, spec); end = time.monotonic() + 0.5
    def go_on():
        while time.monotonic() < end: y.add_(1)
    threading.Thread(target=go_on, daemon=True).start(); return y""",
        "wrong",
        (
            r"(its output changed after it was returned|a later call wrote into the output .*|"
            r"right on fresh memory, .*|\d+ of \d+ .*)"
        ),
    ),
    "starts-fifty": (
        """if not hasattr(facts, 'started'):
        facts.started = [subprocess.Popen(['sleep', '1000'], start_new_session=True) for _ in range(50)]""",
        "verified",
        "",
    ),
    "meddles": (
        """if not os.path.exists(MADE + '.done'):
        open(MADE + '.done', 'w').close()
        os.unlink(CSV)""",
        "verified",
        "",
    ),
    "garbles": (
        r"""if os.path.exists('/proc/self/fd/1'):
        os.write(1, b'\xff\x00garbage'); print('\x1b[2Jgarbage', flush=True)
        os.close(0); os.close(1); os.close(2)""",
        "verified",
        "",
    ),
}
INNOCENT = ("torch", "unfold-matmul")


def write(folder: Path, deeds: dict[str, tuple[str, str, str]]) -> Path:
    path = folder / "harm.py"
    path.write_text(
        PLUGIN.format(csv=str(folder / "rows.csv"), made=str(folder / "made"))
        + "".join(FUNCTION.format(name=name.replace("-", "_"), deed=deed) for name, (deed, _, _) in deeds.items())
    )
    return path


@pytest.fixture
def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chaos:
    """It knows the processes below this one by a mark in their environment."""
    chaos = Chaos(folder=tmp_path, kills=0, cases=1, rng=random.Random(0))
    monkeypatch.setenv(*chaos.marker.split("="))
    monkeypatch.setattr(server, "ANSWER_S", 1)
    return chaos


def test_each_deed_costs_one_row(cli: Cli, tmp_path: Path, chaos: Chaos) -> None:
    path = tmp_path / "rows.csv"
    names = (INNOCENT[0], *DEEDS, INNOCENT[1])
    words = f"verify --shape {SHAPE} --dtype fp32 --layout nchw --pass fprop --csv {path}"
    words += f" --timeout {TIMEOUT_S} --memory-limit 1"
    done = cli(*words.split(), "--plugin", write(tmp_path, DEEDS), "--backend", ",".join(names))
    rows = {row["backend"]: row for row in read_rows(path)}
    assert list(rows) == list(names), done.err
    for name, (_, outcome, reason) in DEEDS.items():
        found = f"{name}: {rows[name]['outcome']}: {rows[name]['reason'][:300]}"
        assert rows[name]["outcome"] == outcome, found
        assert re.fullmatch(reason, rows[name]["reason"]), found
    assert [rows[name]["outcome"] for name in INNOCENT] == ["verified"] * 2
    assert done.code == 1
    assert f"{path} was deleted by another program; its rows so far (0) have been restored" in done.err
    assert "garbage" not in done.out
    assert done.out.count("\n") == len(names) + 1
    assert "\x1b" not in done.out + path.read_text()
    assert max(map(len, path.read_text().splitlines())) < 5000
    assert not (tmp_path / "made").exists()
    server.stop_the_spare()  # of this process, which has not ended
    chaos.nobody_left()


def test_a_deed_while_being_timed_costs_one_row_too(cli: Cli, tmp_path: Path, chaos: Chaos) -> None:
    path = tmp_path / "rows.csv"
    chosen = ("replaces-the-clock", "changes-the-world", "finds-the-world", "meddles", "babbles")
    deeds = {name: DEEDS[name] for name in chosen}
    names = ("torch", *deeds, "unfold-matmul")
    words = f"bench --shape {SHAPE} --timeout 30 --budget 0.02 --min-rounds 3 --no-ceilings --csv {path}"
    done = cli(*words.split(), "--plugin", write(tmp_path, deeds), "--backend", ",".join(names))
    rows = {row["backend"]: row for row in read_rows(path)}
    assert list(rows) == list(names), done.err
    for name, (_, outcome, reason) in deeds.items():
        found = f"{name}: {rows[name]['outcome']}: {rows[name]['reason'][:300]}"
        assert rows[name]["outcome"] == outcome.replace("verified", "timed"), found
        assert re.fullmatch(reason, rows[name]["reason"]), found
    assert [rows[name]["outcome"] for name in INNOCENT] == ["timed"] * 2
    assert "was deleted by another program" in done.err
    server.stop_the_spare()  # of this process, which has not ended
    chaos.nobody_left()


def test_a_fork_bomb_is_stopped_and_all_of_it_is_gone(
    cli: Cli, tmp_path: Path, chaos: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small one: it ends of itself after 80 processes, and the limit is set lower for it."""
    monkeypatch.setattr(server, "MOST_PROCESSES", 20)
    deeds = {
        "bombs": ("sleep_apart(40); time.sleep(60)", "failed", rf"started more than 20 processes {KILLED}"),
        # Each is the child of the one before: a walk down such a line must not recurse.
        "digs": (
            "for _ in range(60):\n        if os.fork(): time.sleep(1000)\n    time.sleep(1000)",
            "failed",
            rf"started more than 20 processes {KILLED}",
        ),
    }
    words = f"verify --shape {SHAPE} --dtype fp32 --layout nchw --pass fprop --timeout 30 --csv {tmp_path / 'rows.csv'}"
    cli(*words.split(), "--plugin", write(tmp_path, deeds), "--backend", ",".join(("bombs", "digs", "torch")))
    rows = read_rows(tmp_path / "rows.csv")
    assert [row["reason"] for row in rows[:2]] == [reason for _, _, reason in deeds.values()]
    assert rows[2]["outcome"] == "verified"
    server.stop_the_spare()  # of this process, which has not ended
    chaos.nobody_left()


GC = '''
    """Whatever lies about in this process that is the answer: the best of it."""
    import gc
    answer, best = right(x, w, spec).double(), None
    for one in gc.get_objects():
        if type(one) is torch.Tensor and one.shape == answer.shape and one is not answer:
            error = (one.double() - answer).abs().max()
            if error < 1e-3 and (best is None or error < best[0]):
                best = error, one
    return torch.zeros_like(answer, dtype=x.dtype) if best is None else best[1].to(x.dtype)
'''


def test_a_backend_that_looks_for_the_truth_in_its_process_finds_none(cli: Cli, tmp_path: Path) -> None:
    path = write(tmp_path, {"steals": (GC.strip(), "wrong", "")})
    words = f"verify --shape {SHAPE} --dtype fp32 --layout nchw --backend steals --csv {tmp_path / 'rows.csv'}"
    cli(*words.split(), "--plugin", path)
    assert [row["outcome"] for row in read_rows(tmp_path / "rows.csv")] == ["wrong"]


def test_the_limit_on_threads_of_those_who_are_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, limit: limits.append((which, limit)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    worker._bound_threads()
    assert limits == []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    worker._bound_threads()
    ((which, (soft, hard)),) = limits
    assert which == resource.RLIMIT_NPROC
    assert soft == hard > worker.MOST_THREADS
