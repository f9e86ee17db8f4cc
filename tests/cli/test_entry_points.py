"""Installed backends are code of others: what one does to its process, or says of itself, is its own row's affair."""

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from convbench.errors import ConvbenchError
from convbench.store import read_rows
from convbench.workers import probe
from convbench.workers.jobs import Card, Fall, Inquiry, NotLoaded
from convbench.workers.server import Server
from tests.chaos import Chaos
from tests.cli.conftest import Cli, Done, table
from tests.test_backend import install

pytestmark = [pytest.mark.program, pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")]

IMPORT_S = 5
SHAPE = ("--shape", "n1c3h9w8k3r3s3_pd1")
WORK = {
    "verify": (*SHAPE, "--dtype", "fp32", "--layout", "nchw", "--pass", "fprop"),
    "bench": (*SHAPE, "--budget", "0.02", "--min-rounds", "3", "--no-ceilings"),
}
DONE = {"verify": "verified", "bench": "timed"}
# What it does when it is imported, and how its row says so.
DEEDS = {
    "leaves": ("import ctypes; ctypes.CDLL(None)._exit(0)", "exited with code 0 while being imported"),
    "quits": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "died of SIGSEGV while being imported"),
    "hangs": ("import time; time.sleep(1e6)", f"hung: no answer within {IMPORT_S} s while being imported; killed"),
    "interrupts": ("raise KeyboardInterrupt", "raised KeyboardInterrupt (interrupts_module.py:1) while being imported"),
}
BACKEND = '''
"""A test."""
import ctypes
import torch
import torch.nn.functional as F
from convbench import backend

def right(x, w, spec):
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

@backend(family="{family}", source="a test"{more})
def {name}(x, w, spec):
    {deed}
'''
EXCUSES = ", defects=lambda case, probe: 'known', roundings=lambda case: 10**6, actual_flops=lambda spec: 1"


def write(name: str, deed: str, more: str = "", family: str = "direct") -> str:
    return BACKEND.format(name=name, deed=deed, more=more, family=family)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python and its children find packages in."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(probe, "IMPORT_S", IMPORT_S)
    return folder


def outcomes(done: Done) -> dict[str, tuple[str, str]]:
    return {row["backend"]: (row["outcome"], row["reason"]) for row in table(done.out)}


@pytest.mark.parametrize("command", list(WORK))
def test_what_ends_its_process_at_its_import_is_a_failed_row_and_the_others_run(
    cli: Cli, packages: Path, command: str
) -> None:
    for name, (code, _) in DEEDS.items():
        install(packages, name, code)
    done = cli(command, *WORK[command], "--backend", ",".join(("torch", *DEEDS, "unfold-matmul")))
    assert done.code == 1, done.err
    found = outcomes(done)
    assert {name: found[name] for name in DEEDS} == {
        name: ("failed", f"unavailable: {reason}") for name, (_, reason) in DEEDS.items()
    }
    assert found["torch"][0] == found["unfold-matmul"][0] == DONE[command]
    for name, (_, reason) in DEEDS.items():
        assert f"convbench: the backend {name} from {name} 1.2 is unavailable: {reason}\n" in done.err
    assert not [name for name in sys.modules if name.endswith("s_module")]


def test_one_that_leaves_with_0_alone_is_no_success_and_is_listed(cli: Cli, packages: Path) -> None:
    install(packages, "leaves", DEEDS["leaves"][0])
    for command, words in WORK.items():
        assert cli(command, *words, "--backend", "leaves").code == 1
    done = cli("list", "backends")
    assert done.code == 0
    assert {row["backend"]: row["available"] for row in table(done.out)}["leaves"] == "yes"


def test_one_that_nobody_named_ends_nothing_either(cli: Cli, packages: Path) -> None:
    install(packages, "crashes", DEEDS["crashes"][0])
    done = cli("verify", *WORK["verify"])
    found = outcomes(done)
    assert found.pop("crashes")[0] == "failed"
    assert {outcome for outcome, _ in found.values()} <= {"verified", "skipped"}
    assert found["torch"][0] == "verified"
    assert done.code == 1


def test_a_missing_dependency_is_skipped_and_alone_exit_3(cli: Cli, packages: Path) -> None:
    install(packages, "absent", "import nothing_of_this_name")
    done = cli("verify", *WORK["verify"], "--backend", "absent")
    assert done.code == 3
    assert outcomes(done) == {"absent": ("skipped", "unavailable: No module named 'nothing_of_this_name'")}


@pytest.mark.parametrize("command", list(WORK))
def test_one_that_crashes_when_it_is_called_loses_only_its_row(cli: Cli, packages: Path, command: str) -> None:
    install(packages, "falls", write("falls", "ctypes.string_at(0)"))
    install(packages, "stands", write("stands", "return right(x, w, spec)"))
    done = cli(command, *WORK[command], "--backend", "torch,falls,stands")
    assert outcomes(done) == {
        "torch": (DONE[command], ""),
        "falls": ("failed", "died of SIGSEGV while being verified"),
        "stands": (DONE[command], ""),
    }
    assert done.code == 1
    assert "convbench: the backend stands is stands_module:stands of stands 1.2\n" in done.err
    assert "stands_module" not in sys.modules


def test_without_isolation_it_runs_in_this_process_after_another_one_has_looked(cli: Cli, packages: Path) -> None:
    install(packages, "crashes", DEEDS["crashes"][0])
    install(packages, "stands", write("stands", "return right(x, w, spec)"))
    done = cli("verify", *WORK["verify"], "--backend", "crashes,stands", "--no-isolate")
    assert outcomes(done) == {
        "crashes": ("failed", "unavailable: died of SIGSEGV while being imported"),
        "stands": ("verified", ""),
    }
    assert "stands_module" in sys.modules
    del sys.modules["stands_module"]


def test_a_name_of_ours_is_ours_for_an_installed_one_and_refused_for_a_plug_in(cli: Cli, packages: Path) -> None:
    install(packages, "unfold_matmul", f"open({str(packages / 'imported')!r}, 'w')")
    for command, words in WORK.items():
        done = cli(command, *words, "--backend", "torch,unfold-matmul")
        assert done.code == 0
        assert outcomes(done)["unfold-matmul"] == (DONE[command], "")
        line = (
            "unfold_matmul_module:unfold_matmul of unfold_matmul 1.2 is left out: convbench has its own backend "
            "unfold-matmul"
        )
        assert done.err.count(line) == 1
    rows = [row for row in table(cli("list", "backends").out) if row["backend"] == "unfold-matmul"]
    assert [row["available"] for row in rows] == ["yes", "convbench has a backend of that name"]
    assert not (packages / "imported").exists()
    plugin = packages / "twin.py"
    plugin.write_text(write("unfold_matmul", "return right(x, w, spec)"))
    done = cli("verify", *WORK["verify"], "--plugin", plugin)
    assert done.code == 2
    assert f"two backends are named 'unfold-matmul': one from convbench, one from plug-in {plugin}" in done.err


@pytest.mark.parametrize(
    ("command", "name"), [("verify", "leaves"), ("bench", "crashes"), ("list backends", "hangs"), ("run", "quits")]
)
def test_a_plug_in_whose_import_ends_its_process_is_exit_2_in_one_line(
    cli: Cli, packages: Path, command: str, name: str
) -> None:
    plugin = packages / f"{name}.py"
    plugin.write_text(DEEDS[name][0])
    done = cli(*command.split(), *WORK.get(command, ()), "--plugin", plugin)
    assert (done.code, done.out) == (2, "")
    assert f"plug-in {plugin} could not be loaded: {DEEDS[name][1]}" in done.err
    assert "; --plugin takes a FILE.py" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", list(WORK))
def test_what_others_declare_excuses_nothing(cli: Cli, packages: Path, tmp_path: Path, command: str) -> None:
    coarse = "return (right(x, w, spec).double() * (1 + 2.0**-12)).to(x.dtype)"
    zeros = "return torch.zeros(spec.y_shape, dtype=x.dtype)"
    honest = "return right(x, w, spec)"
    install(packages, "zeros", write("zeros", zeros, EXCUSES))
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        write("coarse", coarse, EXCUSES)
        + write("honest", honest, EXCUSES, "winograd")
        + write("also_zeros", zeros, EXCUSES)
    )
    names = "torch,zeros,also-zeros,coarse,honest"
    path = tmp_path / "rows.csv"
    done = cli(command, *WORK[command], "--backend", names, "--plugin", plugin, "--csv", path)
    assert done.code == 1
    rows = {row["backend"]: row for row in read_rows(path)}
    assert {name: row["outcome"] for name, row in rows.items()} == dict.fromkeys(
        ("zeros", "also-zeros", "coarse"), "wrong"
    ) | {"torch": DONE[command], "honest": DONE[command]}
    assert {row["defect"] for row in rows.values()} == {""}
    assert (rows["honest"]["family"], rows["honest"]["actual_flops"]) == ("winograd", "")
    for name in names.split(",")[1:]:
        assert done.err.count(f"convbench: {name} declares roundings, actual_flops, defects: ignored") == 1


def test_partial_sums_in_16_bits_are_wrong_whatever_is_declared(cli: Cli, packages: Path) -> None:
    deed = """y = torch.zeros(spec.y_shape, dtype=x.dtype)
    for c in range(spec.c):
        y += F.conv2d(x[:, c:c + 1], w[:, c:c + 1], None, spec.stride, spec.padding)
    return y"""
    install(packages, "stores", write("stores", deed, ", roundings=lambda case: case.spec.c"))
    words = ("--shape", "n1c64h9w8k3r3s3_pd1", "--dtype", "bf16", "--layout", "nchw", "--backend", "stores")
    done = cli("verify", *words)
    assert (done.code, outcomes(done)["stores"][0]) == (1, "wrong")


CARD = Card(
    name="a",
    doc="",
    family="direct",
    source="",
    devices=("cpu",),
    dtypes=("fp32",),
    passes=("fprop",),
    fused=False,
    max_macs=None,
    macs_per_s=1.0,
    ignored=(),
)


@pytest.mark.parametrize(
    "forged",
    [
        {"family": "magic"},
        {"name": "\x1b[2J"},
        {"name": 3},
        {"devices": ("tpu",)},
        {"dtypes": None},
        {"macs_per_s": 0.0},
        {"macs_per_s": "fast"},
    ],
    ids=str,
)
def test_what_the_process_says_is_taken_for_what_it_can_be(
    monkeypatch: pytest.MonkeyPatch, forged: dict[str, object]
) -> None:
    """A plug-in may send what it likes in the place of ours."""
    answers: dict[str, list[Card | NotLoaded] | Fall] = {}
    monkeypatch.setattr(Server, "start", lambda self, preload: None)
    monkeypatch.setattr(Server, "ask", lambda self, inquiry: answers[inquiry.plugin])
    answers["x"] = [CARD]
    ((one,), gone) = probe.load_others((), ["x"])()
    assert (one.name, one.built_in, one.is_here, gone) == ("a", False, False, [])
    answers["x"] = [replace(CARD, **forged)]  # type: ignore[arg-type]  # that is the forgery
    with pytest.raises(
        ConvbenchError, match=r"plug-in x could not be loaded: its declarations are invalid: "
    ) as raised:
        probe.load_others((), ["x"])()
    assert str(raised.value).isprintable()


def test_a_process_that_was_asked_leaves_none_behind(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chaos = Chaos(folder=tmp_path, kills=0, cases=1, rng=random.Random(0))
    monkeypatch.setenv(*chaos.marker.split("="))
    install(packages, "starts", "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)")
    server = Server()
    found = server.ask(Inquiry(names=("starts",), timeouts_s=(60.0,), point="starts"))
    server.stop()
    assert found == [NotLoaded("AttributeError: module 'starts_module' has no attribute 'starts'", broken=False)]
    chaos.nobody_left()
