"""Objects on disk: whole or not at all, from whoever wrote them."""

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from convbench import ConvSpec, discover
from convbench.jit import cache
from convbench.jit import compile as compiling
from convbench.jit.compile import _compiled, compiled
from convbench.jit.emit import Fields, Module
from convbench.jit.target import host
from convbench.jit.team import KernelStep, run

FIELDS = Fields.of("to number")


def double(module: Module) -> None:
    """to[piece] = 2 * to[piece], eight floats a piece."""
    f, block, piece, _ = module.task("double")
    to = FIELDS.on(f, block).address("to") + piece * f.lanes
    value = f.load(to)
    f.store(value + value, to)


def doubled() -> list[float]:
    """What the kernel makes of ones, compiled or loaded anew."""
    import torch

    _compiled.cache_clear()
    x = torch.ones(4 * host().lanes)
    code = compiled(double, host(), ("double",))
    run([KernelStep(4, code.addresses["double"], FIELDS.block({"to": x.data_ptr(), "number": 0}))], 1)
    return sorted(set(x.tolist()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    run([], 1)  # the team's own code goes elsewhere
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path))
    yield tmp_path
    _compiled.cache_clear()


def test_a_kernel_is_written_once_and_then_loaded_without_its_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doubled() == [2.0]
    (file,) = (folder / "kernels").iterdir()

    def parsed(*_: object) -> None:
        raise AssertionError("it was compiled again")

    monkeypatch.setattr(compiling, "parsed", parsed)
    assert doubled() == [2.0]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(AssertionError, match="compiled again"):
        doubled()


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:100], lambda data: data[:-9] + b"\0" * 9])
def test_a_damaged_object_is_compiled_anew_and_replaced(folder: Path, damage: "type[bytes]") -> None:
    assert doubled() == [2.0]
    (file,) = (folder / "kernels").iterdir()
    sound = file.read_bytes()
    file.write_bytes(damage(sound))
    assert doubled() == [2.0]
    assert file.read_bytes() == sound


def test_a_folder_that_cannot_be_written_keeps_nothing_and_stops_nothing(folder: Path) -> None:
    (folder / "kernels").write_text("a file where the folder should be")
    assert doubled() == [2.0]
    assert [one.name for one in folder.iterdir()] == ["kernels"]


def test_writers_at_once_leave_one_whole_object(tmp_path: Path) -> None:
    code = os.urandom(100_000)
    writers = [threading.Thread(target=cache.keep, args=(tmp_path, "key", code)) for _ in range(8)]
    for one in writers:
        one.start()
    seen = {cache.load(tmp_path, "key") for _ in range(50)}
    for one in writers:
        one.join()
    assert seen <= {None, code}
    assert cache.load(tmp_path, "key") == code
    assert len(list((tmp_path / "kernels").iterdir())) == 1


@pytest.mark.program
def test_two_processes_that_compile_at_once_are_both_right(tmp_path: Path) -> None:
    program = "from tests.jit.test_cache import doubled; assert doubled() == [2.0]"
    words, environment = [sys.executable, "-c", program], {**os.environ, "CONVBENCH_CACHE": str(tmp_path)}
    running = [subprocess.Popen(words, env=environment) for _ in range(2)]
    assert [one.wait(timeout=60) for one in running] == [0, 0]
    objects = list((tmp_path / "kernels").iterdir())
    assert len(objects) == 2  # the kernel, and the team's own
    assert {one.suffix for one in objects} == {".o"}


def test_the_key_names_all_that_decides_the_code(folder: Path) -> None:
    """Another target, another parameter, another kernel: another file."""
    from dataclasses import replace

    _compiled.cache_clear()
    for target in (host(), replace(host(), lanes=4)):
        compiled(double, target, ("double",))
    assert len(list((folder / "kernels").iterdir())) == 2


def test_code_that_a_plan_calls_outlives_the_cache() -> None:
    (winograd,), _ = discover(names=["winograd"])
    spec = ConvSpec.parse("n1c3h9w9k5r3s3_pd1")
    x, w = torch.randn(spec.x_shape), torch.randn(spec.w_shape)
    assert winograd.prepare is not None
    packed = winograd.prepare(w, spec)
    y = winograd.fn(x, packed, spec)
    _compiled.cache_clear()
    gc.collect()
    assert torch.equal(winograd.fn(x, packed, spec), y)
