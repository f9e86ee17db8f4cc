"""Does `convbench optimize` race a model, say what to use, and end with the code that says how it went?"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import convbench as cb
from convbench.cli.model import of_whole_model
from convbench.optimize.host import Here, TimedTurn
from convbench.tuned import TunedPlan
from tests.cli.conftest import run

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return {"y": self.conv(x)}

class Drawing(Net):
    def forward(self, x):
        return torch.rand(3)
"""
WORDS = ("optimize", "net.py:Net", "--input", "1x3x8x8", "--only", "channels-last", "--no-isolate", "--budget", "0.2")


@pytest.fixture(autouse=True)
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A model, and how long its candidates take: seconds by name."""
    import sys

    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "net.py").write_text(NET)
    times: dict[str, Any] = {"eager": 2e-3, "channels-last": 1e-3, "dirt": ""}
    count = iter(range(10**9))

    def turn(self: Here, calls: int) -> TimedTurn:
        return TimedTurn(seconds=times[self._name] * (1 + 1e-4 * (next(count) % 5)), dirt=times["dirt"], turn_s=0.0)

    monkeypatch.setattr(Here, "turn", turn)
    monkeypatch.setattr(Here, "call_s", lambda self: times[self._name])
    return times


def test_a_race_prints_its_rows_and_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *WORDS)
    assert code == 0
    head, *rows = [line.split("\t") for line in out.splitlines()]
    assert [row[head.index("candidate")] for row in rows] == ["eager", "channels-last"]
    assert {row[head.index("winner")] for row in rows} == {"channels-last"}
    assert "Use channels-last: 2.00x as fast as eager" in err
    [line] = of_whole_model("net.py:Net", ["1x3x8x8"], 0)
    assert line.startswith("Whole model: convbench optimize net.py:Net --input 1x3x8x8 races")  # --only is not kept


def test_what_a_whole_race_brought_is_told_by_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from convbench.optimize import candidates

    few = {name: candidates.CANDIDATES[name] for name in ("eager", "channels-last")}
    monkeypatch.setattr(candidates, "CANDIDATES", few)
    words = [word for word in WORDS if word not in ("--only", "channels-last")]
    assert run(capsys, *words)[0] == 0
    [line] = of_whole_model("net.py:Net", None, 1)
    assert line.startswith("Whole model, as raced on this machine: channels-last is 2.00x as fast as eager")
    assert line.endswith(" (convbench optimize net.py:Net --threads 1 races it again).")
    assert of_whole_model("net.onnx", None, 0) == []


def test_a_busy_machine_is_exit_3_and_writes_no_plan(capsys: pytest.CaptureFixture[str], net: dict[str, Any]) -> None:
    net["dirt"] = "foreign load"
    code, _, err = run(capsys, *WORDS, "-o", "plan.json")
    assert code == 3
    assert "The machine is too busy to tell" in err
    assert not Path("plan.json").exists()
    assert err.endswith("plan.json was not written: no candidate won\n")


def test_a_plan_is_written_shown_and_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *WORDS, "-o", "plan.json", "--threads", "1")
    assert code == 0
    line = "fast = convbench.optimize(model, x, plan='plan.json', threads=1)"
    assert err.endswith(f"wrote plan.json; use it: {line}\n")
    named: dict[str, Any] = {"convbench": cb, "x": torch.ones(1, 3, 8, 8)}
    exec(f"from net import Net\nmodel = Net().eval()\n{line}", named)
    assert named["fast"].winner == "channels-last"
    (entry,) = TunedPlan.read("plan.json").models
    assert entry["winner"] == "channels-last"
    code, out, _ = run(capsys, *WORDS, "-o", "plan.json")
    assert code == 0
    assert out.startswith("plan.json has net.py:Net: channels-last is 2.00x as fast as eager")
    assert out.endswith("Race it again with --retune.\n")
    code, _, err = run(capsys, *WORDS, "-o", "plan.json", "--json")
    assert code == 2
    assert "plan.json has net.py:Net already, without the rows for --csv or --json; add --retune" in err
    code, _, err = run(capsys, *WORDS, "-o", "plan.json", "--accuracy", "strict")
    assert code == 2
    assert "the plan plan.json does not hold here: accuracy standard, here strict" in err
    assert run(capsys, *WORDS, "-o", "plan.json", "--accuracy", "strict", "--retune")[0] == 0
    assert TunedPlan.read("plan.json").accuracy == "strict"
    Path("plan.json").write_text('{"schema": 1, "mach')
    code, _, err = run(capsys, *WORDS, "-o", "plan.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "the plan plan.json is damaged" in err


def test_json_is_one_object_and_csv_a_row_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *WORDS, "--json", "--csv", "rows.csv")
    assert code == 0
    whole = json.loads(out)
    assert whole["winner"] == "channels-last"
    assert whole["candidates"][1]["code"]
    assert len(Path("rows.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimize", "net.py:Nothing"], "net.py has no Nothing; "),
        (["optimize", "net.onnx"], "net.onnx is read, not run, by convbench; give the PyTorch model"),
        (
            ["optimize", "net.py:Net", "--only", ""],
            "--only (only=) names no candidate; choose from eager, channels-last",
        ),
        (["optimize", "net.py:Net", "--budget", "0"], "--budget 0: give 0.01 or more"),
        (
            ["optimize", "net.py:Net", "-o", "net.py", "--retune"],
            "net.py is no plan of convbench, and is left as it is",
        ),
        (["optimize", "net.py:Net", "--only", "tvm"], "unknown candidate 'tvm': choose from"),
        (["optimize", "net.py:Net", "--accuracy", "exact"], "unknown --accuracy 'exact': choose from standard, strict"),
        (["optimize", "net.py:Net", "--layers", "some"], "unknown --layers 'some'"),
        (["optimize", "net.py:Net", "--json", "--csv", "-"], "both would go to stdout"),
        (["optimize", "net.py:Net", "-o", "no/such/plan.json"], "--plan: there is no folder no/such"),
        (
            ["optimize", "net.py:Net", "--input", "1x3x8x8:fp16"],
            "its input is fp16, and only fp32 is supported; use model.float()",
        ),
        (["optimize", "net.py:Net", "--input", "1x5x8x8"], "net.py:Net does not run on 1x5x8x8: RuntimeError"),
        (["optimize", "net.py:Drawing", "--input", "1x3x8x8"], "gives another output when called again"),
    ],
)
def test_what_cannot_be_raced_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    code, out, err = run(capsys, *words)
    *_, last = err.splitlines()
    assert (code, out) == (2, "")
    assert said in last
