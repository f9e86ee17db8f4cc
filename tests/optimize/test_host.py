"""Does a candidate's own process keep a crash, a hang and an exit to that candidate, and leave nothing behind?"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convbench import system
from convbench.machine import descendants
from convbench.optimize import host as hosts
from convbench.optimize.candidates import choose_candidates
from convbench.optimize.host import Here
from convbench.optimize.race import Race, race
from convbench.optimize.subject import ModelCall, as_inputs
from tests.optimize import nets
from tests.optimize.test_subject import subject

pytestmark = pytest.mark.program


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(descendants(os.getpid()))
    yield
    assert list(tmp_path.glob("convbench-optimize-*")) == []
    assert set(descendants(os.getpid())) <= before


def run(given: ModelCall, only: str, **more: Any) -> Race:
    settings: dict[str, Any] = {"threads": 1, "accuracy": "standard", "budget_s": 0.0} | more
    return race(given, choose_candidates([only]), **settings)


def test_each_candidate_has_a_process_with_its_own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Here, "make")  # in this process nothing is made
    found = run(subject(nets.Net().eval()), "channels-last")
    assert [one.outcome for one in found.rows] == ["raced", "raced"]
    assert found.remarks == ()
    assert all(one.error is not None and one.error < 1e-6 for one in found.rows)


@pytest.mark.parametrize(
    ("how", "words"),
    [("crash", "died of SIGSEGV while being built"), ("exit", "exited with code 0 while being built")],
)
def test_a_crash_costs_that_candidate_only(how: str, words: str) -> None:
    found = run(subject(nets.Dying(how).eval()), "channels-last")
    assert [(one.outcome, one.note) for one in found.rows] == [("raced", ""), ("failed", words)]


def test_a_hang_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "MAKE_S", 4.0)
    found = run(subject(nets.Dying("hang").eval()), "channels-last")
    assert found.rows[1].note == "hung: no answer within 4 s while being built; killed"


def test_a_model_that_cannot_be_sent_is_raced_here_and_says_so() -> None:
    class Local(nets.Net):
        """Only this function has it."""

    told: list[str] = []
    found = run(subject(Local().eval()), "channels-last", tell=told.append)
    assert [one.outcome for one in found.rows] == ["raced", "raced"]
    assert found.remarks[0].startswith("all candidates ran in this process, because no other can load the model")
    assert told == list(found.remarks)


def test_a_system_without_isolation_is_not_blamed_on_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(system.NEEDS, "isolation", ("os.no_such_function",))
    found = run(subject(nets.Net().eval()), "channels-last")
    words = "all candidates ran in this process, because isolation needs os.no_such_function, which"
    assert found.remarks[0].startswith(words)


def test_a_model_by_name_is_built_again_with_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 4, 3))\n"
    )
    model = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    given = ModelCall(name="net", model=model, inputs=as_inputs(nets.image()), rebuilt=f"{tmp_path / 'net.py'}:make")
    found = run(given, "channels-last")
    assert [one.outcome for one in found.rows] == ["raced", "raced"]
    assert found.remarks == ()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_race_leaves_no_process_and_no_file(how: signal.Signals) -> None:
    code = (
        "import sys\nfrom tests.optimize import nets\nfrom tests.optimize.test_host import run\n"
        "from tests.optimize.test_subject import subject\n"
        "run(subject(nets.Dying('hang').eval()), 'channels-last', say=lambda words: print(words, flush=True))\n"
    )
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=root,
        env=os.environ | {"TMPDIR": tempfile.gettempdir()},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("starting"):
                break
        deadline = time.monotonic() + 60
        while len(below := descendants(process.pid)) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)  # what removes the folder, the loader and two candidates
        assert len(list(Path(tempfile.gettempdir()).glob("convbench-optimize-*/*"))) > 0
        process.send_signal(how)
    assert len(below) >= 4
    deadline = time.monotonic() + 10
    while (left := [one for one in below if Path(f"/proc/{one}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []  # nor a folder: see nothing_is_left


RIVALS = [
    pytest.param("onnxruntime", marks=[pytest.mark.needs("onnxruntime"), pytest.mark.needs("onnxscript")]),
    pytest.param("openvino", marks=[pytest.mark.needs("openvino"), pytest.mark.needs("onnxscript")]),
    pytest.param("ncnn", marks=[pytest.mark.needs("ncnn"), pytest.mark.needs("pnnx")]),
    pytest.param("torch-compile", marks=[pytest.mark.compiles]),
    pytest.param("convbench", marks=[pytest.mark.needs("llvmlite")]),
]


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_is_right_or_says_why_not(name: str) -> None:
    """The same numbers as the model on each, whatever shape its output has; a trace of a branch is not one of them."""
    expected = {"Net": "raced", "Tied": "raced", "Branching": "raced", "Two": "raced"}
    if name == "ncnn":
        expected |= {"Branching": "failed", "Two": "failed", "Tied": "failed"}
    elif name in ("onnxruntime", "openvino"):
        expected |= {"Branching": "failed"}
    kinds: dict[str, tuple[nn.Module, Any]] = {
        "Net": (nets.Net(), nets.image(2)),
        "Tied": (nets.Tied(), torch.randn(2, 6)),
        "Branching": (nets.Branching(), nets.image()),
        "Two": (nets.Two(), (nets.image(), torch.tensor(2.0))),
    }
    if name == "convbench":
        expected = {"Net": "raced"}
    for kind, outcome in expected.items():
        model, x = kinds[kind]
        row = run(subject(model.eval(), x), name).row(name)
        assert (kind, row.outcome) == (kind, outcome), row.note
        assert row.note or (row.error is not None and row.error < 5e-6)


@pytest.mark.parametrize("name", RIVALS)
def test_ten_thousand_calls_keep_the_memory_and_two_threads_get_right_answers(name: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    net, x = nets.Net().eval(), nets.image()
    given = subject(net)
    from convbench.optimize.proof import prove
    from convbench.optimize.subject import output_of
    from convbench.optimize.use import _proved
    from convbench.optimize.ways import Order

    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        order = Order(
            subject=given, structure=output_of(given), threads=1, accuracy="standard", folder=Path(folder), tune_s=1.0
        )
        call = _proved(name, order, prove(given, "standard")).call
        others = [nets.image() * scale for scale in (1, 2, 3, 4)]
        truths = [net(one) for one in others]
        with ThreadPoolExecutor(2) as pool:
            for _ in range(50):
                for out, truth in zip(pool.map(call, others), truths, strict=True):
                    torch.testing.assert_close(out, truth, rtol=1e-4, atol=1e-5)
        for _ in range(1000):
            call(x)
        before = resident_nbytes()
        for _ in range(10_000):
            call(x)
        assert resident_nbytes() - before < 8 * 2**20


def resident_nbytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
