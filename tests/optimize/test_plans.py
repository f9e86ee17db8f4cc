"""Does a plan file take the results of several races, and does `convbench model` know the last one?"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from convbench.errors import ConvbenchError
from convbench.optimize.plans import add, brought, entry_of, find, plan_of, remember, remembered
from convbench.optimize.race import CandidateRow, Race
from convbench.outcome import PairedRatio
from convbench.tuned import TunedPlan

FASTER = PairedRatio(ratio=1.875, low=1.75, high=2.0, verdict="faster")
RACE = Race(
    model="net",
    identity="0123",
    shapes="1x3x8x8",
    threads=1,
    accuracy="standard",
    eager_error=2e-7,
    inputs=4,
    rows=(
        CandidateRow(name="eager", outcome="raced", median_s=1.5e-2, samples=20, error=2e-7, export_s=0.0, build_s=0.1),
        CandidateRow(
            name="channels-last", outcome="wrong", note="error 1.0e-03 on its own input", error=1e-3, build_s=0.1
        ),
        CandidateRow(name="ncnn", outcome="missing", note="needs ncnn and pnnx: pip install ncnn pnnx"),
        CandidateRow(
            name="onnxruntime",
            outcome="raced",
            median_s=8e-3,
            samples=20,
            ratio=FASTER,
            error=3e-7,
            export_s=9.0,
            build_s=0.5,
        ),
    ),
    winner="onnxruntime",
)


def test_an_entry_has_what_uses_it_and_only_plain_json() -> None:
    entry = entry_of(RACE)
    assert (entry["winner"], entry["ratio"], entry["raced"]) == ("onnxruntime", 1.875, ["eager", "onnxruntime"])
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
    assert brought(entry).startswith("onnxruntime is 1.88x as fast as eager (1.75 to 2.00) on 1x3x8x8, measured 20")
    assert brought(entry_of(replace(RACE, winner="eager"))).startswith("nothing is certainly faster than eager on 1x3")


def test_without_a_winner_there_is_no_entry() -> None:
    with pytest.raises(ConvbenchError, match="the race of net has no winner"):
        entry_of(replace(RACE, winner=""))


def test_a_file_takes_several_models_and_the_newest_of_each(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    add(RACE, path)
    add(replace(RACE, model="other", identity="4567", winner="eager"), path)
    add(replace(RACE, winner="eager"), path)
    plan = TunedPlan.load(path, threads=1, accuracy="standard")
    assert [(one["name"], one["winner"]) for one in plan.models] == [("other", "eager"), ("net", "eager")]
    assert find(plan, "0123") == plan.models[1]
    assert find(plan, "89ab") is None


def test_shapes_of_the_same_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    shape = {"spec": "n1c1h4w4k1r2s2"}
    TunedPlan.here(threads=1, accuracy="standard").with_shape(shape, same=["spec"]).save(path)
    add(RACE, path)
    assert TunedPlan.read(path).shapes == (shape,)


@pytest.mark.parametrize("text", ["{", None])
def test_a_plan_that_does_not_hold_here_is_only_replaced_on_request(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "plan.json"
    replace(plan_of(RACE), machine={"cpu": "an abacus"}).save(path)
    if text is not None:
        path.write_text(text)
    before = path.read_text()
    with pytest.raises(ConvbenchError, match="--retune"):
        add(RACE, path)
    assert path.read_text() == before
    add(RACE, path, retune=True)
    assert len(TunedPlan.load(path, threads=1, accuracy="standard").models) == 1


@pytest.mark.parametrize("change", [{"winner": "tvm"}, {"choices": 3}, {"ratio": "fast"}])
def test_a_damaged_entry_is_refused(change: dict[str, object]) -> None:
    plan = plan_of(RACE).with_model({**entry_of(RACE), **change}, same=["identity"])
    with pytest.raises(ConvbenchError, match="entry of this model is damaged"):
        find(plan, "0123")


def test_the_last_race_of_a_name_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path / "cache"))
    assert remembered("net") == ""
    remember(replace(RACE, winner=""))
    assert remembered("net") == ""
    remember(RACE)
    assert remembered("net") == brought(entry_of(RACE))
    assert remembered("other") == ""
    for file in (tmp_path / "cache").iterdir():
        file.write_text("[]")
    assert remembered("net") == ""
