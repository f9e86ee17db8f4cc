"""Does `convbench model` take models as people have them, and say which layer is slow and what to do?"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run, table

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    def forward(self, x):
        return {"y": [self.body(self.stem(x).relu())]}

class Choosing(Net):
    def forward(self, x):
        return self.stem(x) if x.sum() < 1e9 else x

def half():
    return Net().half()
"""


@pytest.fixture(autouse=True)
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def test_a_class_of_a_file_is_read_without_being_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def watched(calls: Sequence[Any], *, threads: int, run: bool) -> Sequence[Any]:  # as `watch` is called
        asked.append(run)
        return calls

    monkeypatch.setattr("convbench.ran.of_model.watch", watched)
    code, out, err = run(capsys, "model", "net.py:half", "--input", "2x3x9x9", "--no-time")
    assert (code, asked) == (0, [False])
    rows = table(out)
    assert [(row["name"], row["dtype"], row["layout"], row["macs"]) for row in rows] == [
        ("stem", "fp16", "nchw", str(2 * 81 * 8 * 27)),
        ("body", "fp16", "nchw", str(2 * 81 * 8 * 9)),
    ]
    assert "the convolutions run 2 in fp16" in err
    assert "machine now" not in err


def test_what_cannot_be_followed_without_running_it_does_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "model", "net.py:Choosing", "--input", "1x3x9x9", "--no-time")
    assert (code, out) == (2, "")
    assert "cannot be followed without running it" in err
    assert "leave out --no-time" in err
    assert err.count("\n") == 1


@pytest.mark.program
def test_a_training_step_totals_its_three_passes(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model", "net.py:Net", "--input", "1x3x8x8", "--passes", "all", "--no-time"]
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0
    stem, body = 64 * 8 * 27, 64 * 8 * 9
    found = json.loads(out)
    assert found["macs_by_pass"] == {"fprop": stem + body, "dgrad": body, "wgrad": stem + body}
    assert [(row["dgrads"], row["wgrads"]) for row in found["rows"]] == [(0, 1), (1, 1)]
    _, _, err = run(capsys, *words)
    assert f"a training step: 41.5 kMAC ({2 * stem + 3 * body:,}): fprop 18.4 kMAC" in err


@pytest.mark.program
def test_the_slowest_layer_comes_first_and_the_advice_last(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.models.test_models import Quiet

    monkeypatch.setattr("convbench.models.costs.Meter", Quiet)
    code, out, err = run(capsys, "model", "net.py:Net", "--input", "1x3x64x64", "--csv", "net.csv")
    assert code == 0
    rows = table(out)
    times = [float(row["time_s"]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert sum(float(row["time_share"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert all(float(row["low_s"]) <= float(row["time_s"]) <= float(row["high_s"]) for row in rows)
    *_, advised, whole, suite = err.splitlines()
    assert advised.startswith("Next: convbench bench --suite net.csv --match ")
    assert whole.startswith("Whole model: convbench optimize net.py:Net --input 1x3x64x64 races ")
    assert suite == "convbench: 2 problems in net.csv: convbench bench --suite net.csv"
    words = ["model", "net.py:Net", "--input", "1x3x64x64", "--sort", "model", "--json"]
    code, out, _ = run(capsys, *words)
    found = json.loads(out)
    assert [row["name"] for row in found["rows"]] == ["stem", "body"]
    assert found["time_s"] == pytest.approx(sum(row["time_s"] for row in found["rows"]), rel=1e-4)
    assert found["advice"][-2].startswith(
        "Next: convbench model net.py:Net --input 1x3x64x64 --race times every backend"
    )


@pytest.mark.program
def test_a_race_times_the_layers_that_matter(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model", "net.py:Net", "--input", "1x3x16x16", "--race", "--budget", "0.01", "--json"]
    code, out, err = run(capsys, *words)
    assert code == 0
    raced = json.loads(out)["race"]
    assert {one["name"] for one in raced} <= {"stem", "body"}
    assert all(one["backends"]["torch"]["median_s"] > 0 for one in raced)
    assert f"race 1 of {len(raced)}: {raced[0]['name']}, " in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["net.py:Net", "--race", "--no-time"], "a race times the layers"),
        (["net.py:Net", "--passes", "both"], "choose from all, fprop"),
        (["net.py:Net", "--sort", "macs"], "choose from model, time"),
        (["none.py:Net"], "there is no such file"),
        (["none.pt"], "there is no such file"),
        (["net.py:Net", "--input", "x=1x3x8x8:fp7"], "choose from bf16, bool"),
        (["none.onnx", "--passes", "all"], "has no training step"),
        (["net.py:Net", "--input", "1x4x8x8", "--no-time"], "try the input size that the model is built for"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "model", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.program
def test_what_a_model_prints_is_not_in_its_csv(capsys: pytest.CaptureFixture[str], net: Path) -> None:
    net.write_text("print('an import')\n" + NET.replace("return {", "print('a call'); return {"))
    words = ("model", "net.py:Net", "--input", "1x3x8x8", "--no-time", "--csv", "-")
    code, out, err = run(capsys, *words)
    assert code == 0
    assert {"an import", "a call"} <= {*err.splitlines()}
    assert "a call" not in out
    assert "an import" not in out
    assert out.splitlines()[0].startswith("name,")
