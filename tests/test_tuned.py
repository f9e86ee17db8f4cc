"""The plan file: read back as it was written, refused where it does not hold, never lost."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convbench.errors import ConvbenchError
from convbench.tuned import TunedPlan, require_plan, versions

ENTRY = {"name": "resnet18", "winner": "onnxruntime", "ratio": 1.5}


@pytest.fixture
def plan() -> TunedPlan:
    return TunedPlan.here(threads=2, accuracy="standard", packages=["numpy"]).with_model(ENTRY, same=["name"])


def test_a_plan_is_read_as_it_was_written(plan: TunedPlan, tmp_path: Path) -> None:
    whole = plan.with_shape({"spec": "n1c1h4w4k1r2s2", "backend": "torch"}, same=["spec"])
    whole.save(tmp_path / "plan.json")
    assert TunedPlan.load(tmp_path / "plan.json", threads=2, accuracy="standard") == whole
    assert json.loads((tmp_path / "plan.json").read_text())["schema"] == 1


def test_an_entry_replaces_the_one_of_the_same_name_only(plan: TunedPlan) -> None:
    other = {"name": "vgg16", "winner": "ncnn"}
    twice = plan.with_model(other, same=["name"]).with_model(ENTRY | {"ratio": 2.0}, same=["name"])
    assert [(one["name"], one.get("ratio")) for one in twice.models] == [("vgg16", None), ("resnet18", 2.0)]


def test_versions_leave_out_what_is_not_installed() -> None:
    assert set(versions(["numpy", "no-such-package"])) == {"convbench", "torch", "numpy"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"machine": {"cpu": "an abacus"}}, "cpu an abacus, here "),
        ({"versions": {"torch": "1.0"}}, "torch 1.0, here "),
        ({"versions": {"no-such-package": "1.0"}}, "no-such-package 1.0, here unknown"),
        ({"threads": 3}, "threads 3, here 2"),
        ({"accuracy": "strict"}, "accuracy strict, here standard"),
    ],
)
def test_a_plan_of_elsewhere_is_refused_with_the_reason(
    plan: TunedPlan, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    whole: dict[str, Any] = {
        name: {**getattr(plan, name), **one} if isinstance(one, dict) else one for name, one in change.items()
    }
    replace(plan, **whole).save(tmp_path / "plan.json")
    with pytest.raises(ConvbenchError, match=r"does not hold here: .*--retune") as caught:
        TunedPlan.load(tmp_path / "plan.json", threads=2, accuracy="standard")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "nonsense",
        "[" * 100_000,
        '{"schema": 1}',
        '{"schema": true}',
        '{"schema": 2}',
        '{"schema": 1, "machine": {}, "versions": {}, "threads": 2, "accuracy": "strict", "models": [], "shapes": []}',
        "\udcff",
    ],
)
def test_a_damaged_plan_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConvbenchError, match=r"plan\.json") as caught:
        TunedPlan.read(tmp_path / "plan.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["import torch\n", '{"name": "a package"}', "[1, 2]", "a,b\n1,2\n"])
def test_a_file_that_was_never_a_plan_is_called_that(tmp_path: Path, text: str) -> None:
    (tmp_path / "other").write_text(text)
    with pytest.raises(ConvbenchError, match="other is no plan of convbench, and is left as it is"):
        require_plan(tmp_path / "other")


def test_no_truncation_and_no_missing_field_of_a_plan_is_read_as_another_one(plan: TunedPlan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text().rstrip()
    data = json.loads(text)
    broken = [text[:end] for end in range(0, len(text), 7)]
    broken += [json.dumps({key: one for key, one in data.items() if key != name}) for name in data]
    broken += [json.dumps(data | {name: None}) for name in data]
    broken += [text.replace("1.5", "NaN")]
    for one in broken:
        (tmp_path / "plan.json").write_text(one)
        with pytest.raises(ConvbenchError):
            TunedPlan.read(tmp_path / "plan.json")


def test_a_full_disk_leaves_the_old_plan(plan: TunedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan.save(tmp_path / "plan.json")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("convbench.files.os.fsync", full)
    with pytest.raises(ConvbenchError, match="No space left"):
        replace(plan, threads=1).save(tmp_path / "plan.json")
    assert TunedPlan.read(tmp_path / "plan.json") == plan
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]


@pytest.mark.program
def test_a_kill_while_plans_are_written_leaves_a_whole_one(plan: TunedPlan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.json")
    code = (
        "from dataclasses import replace\nfrom convbench.tuned import TunedPlan\n"
        "plan = TunedPlan.read('plan.json')\nprint(flush=True)\n"
        "while True:\n    replace(plan, models=plan.models * 5000).save('plan.json')\n    plan.save('plan.json')\n"
    )
    for moment in range(5):
        with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.02 + 0.013 * moment)
            process.send_signal(signal.SIGKILL)
        assert {*TunedPlan.read(tmp_path / "plan.json").models[0]} == {*ENTRY}
