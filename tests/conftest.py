"""What every test shares: one thread, unhurried examples, and a cheap way to make cases."""

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import settings

from convbench import discovery
from convbench.case import DTYPES, Case, Problem
from convbench.ceilings.cache import Cache, CeilingLedger, CeilingReading
from convbench.device.cpu import Cpu
from convbench.device.host import cpu_caches
from convbench.machine import fingerprint
from convbench.spec import ConvSpec


def keep_fake_ceilings(folder: Path, threads: int, *, rate: float = 1e15) -> None:
    """Put a cache file there that knows every ceiling of this CPU."""
    known = CeilingReading(rate=rate, time="2026-01-01T00:00:00+00:00")
    groups = [f"flops {dtype} ieee" for dtype in DTYPES]
    groups += [f"bytes {name}" for name, _ in cpu_caches(threads)] + ["bytes memory", "calls"]
    ledger = CeilingLedger(readings={group: {"a fake": known} for group in groups})
    Cache(folder).add(fingerprint("cpu", threads), ledger)


# These machines are shared: a slow example is no failure.
settings.register_profile("convbench", deadline=None, max_examples=50)
settings.load_profile("convbench")
os.environ.setdefault("CONVBENCH_MACHINE", "test")
os.environ["CONVBENCH_CACHE"] = tempfile.mkdtemp(prefix="convbench-cache-")
atexit.register(shutil.rmtree, os.environ["CONVBENCH_CACHE"], ignore_errors=True)
# Kernels are named after all that decides their code, so what one process has compiled serves the next.
_KERNELS = Path(tempfile.gettempdir()) / f"convbench-kernels-of-tests-{os.getuid()}"
_KERNELS.mkdir(mode=0o700, exist_ok=True)
(Path(os.environ["CONVBENCH_CACHE"]) / "kernels").symlink_to(_KERNELS, target_is_directory=True)
# Nobody's own readings are touched, and no test waits for a probe: these ceilings are out of reach.
for threads in {1, 2, torch.get_num_threads()}:
    keep_fake_ceilings(Path(os.environ["CONVBENCH_CACHE"]), threads)
torch.set_num_threads(1)  # on a loaded machine a second thread waits for its turn, by milliseconds


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """What a test sets with --threads ends with it."""
    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def small_caches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test is about what empties the caches, so megabytes are written for that, and not hundreds."""
    if request.module.__name__ not in ("tests.device.test_device", "tests.bench.test_regimes"):
        monkeypatch.setattr(Cpu, "cold_nbytes", lambda _self, _free: 2**22)


@pytest.fixture(autouse=True)
def keep_modules() -> Iterator[None]:
    """A file that one test has loaded is no module of the next, whose file may have the same name."""
    before, path = set(discovery._files), sys.path.copy()
    yield
    sys.path[:] = path
    for name in discovery._files - before:
        discovery._files.discard(name)
        sys.modules.pop(name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-frames", action="store_true", help="write the golden texts anew; then look at them")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-frames"):
        os.environ["CONVBENCH_REFRESH_GOLDEN"] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What cannot run, or was not asked for, is left out and not skipped: a skip is no pass."""
    left_out = set() if torch.cuda.is_available() else {"gpu"}
    left_out |= {
        name
        for name in ("browser", "compiles", "long", "notebook", "program", "ray", "slurm", "standin")
        if name not in config.option.markexpr
    }
    out = [item for item in items if any(item.get_closest_marker(name) for name in left_out) or lacks_package(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def lacks_package(item: pytest.Item) -> bool:
    """Whether it needs one that is not installed."""
    return any(find_spec(package) is None for mark in item.iter_markers("needs") for package in mark.args)


def make_case(shape: str, **axes: object) -> Case:
    spec = ConvSpec.parse(shape)
    return Case(problem=Problem(suite="test", name=shape, spec=spec), **axes)  # type: ignore[arg-type]


def load_script(name: str) -> ModuleType:
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
