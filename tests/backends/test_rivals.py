"""The rival libraries: what they claim to need, what they refuse, and what they must not do to each other."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from convbench import Backend, Verified, discover
from convbench.call.bind import bind, conditions
from convbench.case import LAYOUTS, Case
from convbench.discovery import BackendSource, sources
from convbench.suites import load_suite
from convbench.verify.exam import prepare_exam
from convbench.verify.sweep import verify
from tests.conftest import make_case

ROOT = Path(__file__).parents[2]
RIVALS = ("onnxruntime", "openvino", "jax", "ncnn", "torch-compile", "onednn-prepacked")
CARDS = {source.name: source for source in sources()}
INSTALLED = discover(names=[name for name in RIVALS if not CARDS[name].missing])[0]
NAMES = [backend.name for backend in INSTALLED]

every_rival = pytest.mark.parametrize("card", [CARDS[name] for name in RIVALS], ids=RIVALS)
every_installed = pytest.mark.parametrize(
    "backend",
    [pytest.param(one, marks=pytest.mark.compiles if one.on_request else ()) for one in INSTALLED],
    ids=NAMES,
)


def one(name: str) -> Backend:
    (found,) = (backend for backend in INSTALLED if backend.name == name)
    return found


@every_rival
def test_an_extra_installs_what_the_file_imports(card: BackendSource) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {line.partition(">")[0] for line in extras.get(card.name, ())}
    assert set(card.missing) <= packages
    assert not packages or f"{card.name}" in extras["rivals"][0]
    assert card.devices[0] == "cpu"


def test_what_is_not_installed_is_no_row_unless_it_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import system is told that there is no ncnn, as on a machine without it."""
    monkeypatch.setitem(sys.modules, "ncnn", None)
    monkeypatch.delitem(sys.modules, "convbench.backends.ncnn", raising=False)
    loaded, unavailable = discover()
    assert "ncnn" not in [backend.name for backend in loaded]
    assert unavailable == []
    _, (missing,) = discover(names=["torch", "ncnn"])
    assert missing.name == "ncnn"
    reason = missing.as_backend().why_not(make_case("n1c1h4w4k1r2s2"))
    assert reason is not None
    assert reason.startswith("unavailable: ")
    assert "ncnn" in reason


def test_what_compiles_for_seconds_runs_only_when_it_is_named() -> None:
    assert "torch-compile" not in [backend.name for backend in discover()[0]]
    assert [backend.name for backend in discover(names=["torch-compile"])[0]] == ["torch-compile"]


@every_installed
def test_an_output_is_the_callers_own(backend: Backend) -> None:
    """The next call does not write into it, and it outlives what made it."""
    exam = prepare_exam(make_case("n2c16h9w7k16r3s3_pd1"))
    if backend.why_not(exam.case):
        pytest.fail(f"{backend.name} should run this: {backend.why_not(exam.case)}")
    with conditions(exam.case):
        call, _ = bind(backend, exam.case, exam.operands)
        first = call()
        kept = first.clone()
        exam.x.neg_()
        second = call()
        assert torch.equal(first, kept)
        assert torch.allclose(second, -kept, atol=1e-4)
        del call
        others = [torch.full_like(first, float("nan")) for _ in range(20)]
    assert torch.equal(first, kept)
    assert len(others) == 20


if "onnxruntime" in NAMES:

    def test_onnxruntime_does_refuse_what_its_reason_says() -> None:
        rival, case = one("onnxruntime"), make_case("n0c3h8w8k4r3s3")
        assert rival.why_not(case) == "ONNX Runtime cannot bind empty memory, so it does not support an empty batch"
        with pytest.raises(RuntimeError, match="iobinding"), conditions(case):
            bind(rival, case, prepare_exam(case).operands)[0]()


@pytest.fixture
def another_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    yield
    torch.set_num_threads(before)


if "jax" in NAMES:

    def test_jax_refuses_another_number_of_threads_than_it_began_with(request: pytest.FixtureRequest) -> None:
        rival, case = one("jax"), make_case("n1c1h4w4k1r2s2")
        assert rival.why_not(case) is None
        before = dict(os.environ)
        request.getfixturevalue("another_thread")
        reason = rival.why_not(case)
        assert reason is not None
        assert "creates its threads once per process" in reason
        assert "--isolate" in reason
        assert dict(os.environ) == before


@pytest.mark.compiles
@pytest.mark.parametrize("layout", LAYOUTS)
def test_torch_compile_is_right_on_every_awkward_shape_and_falls_back_on_none(layout: str) -> None:
    """Forty problems in one process: five times as many as dynamo would compile for one function."""
    from torch._dynamo.utils import counters

    rival = one("torch-compile")
    before = counters["stats"]["unique_graphs"]
    cases = [Case(problem=problem, layout=layout) for problem in load_suite("awkward")[:40]]
    results = list(verify(cases, [rival]))
    assert [result.outcome for result in results if not isinstance(result.outcome, Verified)] == []
    assert counters["stats"]["unique_graphs"] - before >= len(cases)


@pytest.mark.compiles
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp64"])
def test_torch_compile_is_right_in_every_dtype(dtype: str) -> None:
    cases = [Case(problem=problem, dtype=dtype) for problem in load_suite("awkward")[:6]]
    for result in verify(cases, [one("torch-compile")]):
        assert isinstance(result.outcome, Verified), result.outcome


@pytest.mark.program
def test_torch_compile_says_when_there_is_no_compiler(tmp_path: Path) -> None:
    """In a process whose PATH is empty; the compiler is looked for once a process."""
    words = ["verify", "--backend", "torch-compile", "--shape", "n1c1h4w4k1r2s2", "--dtype", "fp32", "--layout", "nchw"]
    environment = {name: value for name, value in os.environ.items() if name not in ("CXX", "CC")}
    done = subprocess.run(
        [sys.executable, "-m", "convbench", *words],
        env={**environment, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "needs a C++ compiler" in done.stdout + done.stderr
