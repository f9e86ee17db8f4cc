"""tune: which backend a race chooses, what it writes down, and what it continues."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch import Tensor
from torch.nn.functional import conv2d

import convbench.bench.race as race_room
from convbench import Case, ConvbenchError, ConvSpec, Result, Skipped, Timed, Wrong, backend
from convbench.backends._plan import VARIABLE
from convbench.bench.race import leader, race
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.discovery import discover
from convbench.outcome import Bill, Check, Noise, Outcome, PairedRatio
from convbench.selection import Selection, silent
from convbench.show.tune import print_choices
from convbench.tune import PlanFile, TunedCase, plan_path
from convbench.tuned import TunedPlan
from tests.cli.conftest import Cli, cli, table  # noqa: F401  # a fixture
from tests.conftest import make_case

CASE = make_case("n1c64h28w28k64r3s3_pd1")  # the cost table chooses winograd
FAMILY = {"winograd": "winograd", "direct": "direct"}


def timed(ratio: float | None = None, verdict: str = "slower", *, l2: float = 1e-7, noisy: bool = False) -> Timed:
    return Timed(
        check=Check(worst_of_bound=0.1, relative_l2=l2),
        samples_s=(1e-3,),
        bill=Bill(first_call_s=1.0, prepare_s=None, peak_nbytes=None, ran=""),
        comparison=None if ratio is None else PairedRatio(ratio=ratio, low=ratio, high=ratio, verdict=verdict),
        noise=Noise(noisy=noisy),
    )


def choice(case: Case = CASE, **outcomes: Outcome) -> TunedCase:
    return TunedCase.of(
        [
            Result(case=case, backend=name.replace("_", "-"), family=FAMILY.get(name, "vendor"), outcome=one)
            for name, one in outcomes.items()
        ]
    )


def test_the_choice_of_the_cost_table_stands_without_a_verdict_against_it() -> None:
    found = choice(torch=timed(0.5), winograd=timed(), direct=timed(1.3, "undecided"), onnxruntime=timed(1.01, "tie"))
    assert (found.chosen, found.leader) == ("winograd", "winograd")
    assert [one.backend for one in found.ranking] == ["winograd", "direct", "onnxruntime", "torch"]
    assert found.over_torch == 2.0


def test_the_fastest_of_those_that_are_certainly_faster_takes_its_place() -> None:
    found = choice(torch=timed(0.5), winograd=timed(), direct=timed(1.2, "faster"), onnxruntime=timed(1.4, "faster"))
    assert [one.backend for one in found.ranking] == ["onnxruntime", "direct", "winograd", "torch"]
    assert found.over_torch == pytest.approx(2.8)


def test_disturbed_samples_decide_nothing_and_are_told() -> None:
    found = choice(torch=timed(0.5, noisy=True), winograd=timed(noisy=True), direct=timed(9.0, "undecided", noisy=True))
    assert found.chosen == "winograd"
    assert found.noisy
    assert found.entry()["noisy"] is True


def test_what_is_wrong_is_no_candidate_and_the_next_of_the_table_leads() -> None:
    wrong = Wrong(Check(worst_of_bound=3.0, relative_l2=1.0, evidence="all of them"))
    found = choice(torch=timed(0.5, "slower"), winograd=wrong, direct=timed())
    assert found.chosen == "direct"
    assert [one.backend for one in found.faults] == ["winograd"]


def test_a_transform_of_large_error_is_not_standard() -> None:
    found = choice(torch=timed(0.5), winograd=timed(l2=3e-6), direct=timed(0.8))
    assert "winograd" not in [one.backend for one in found.ranking]
    assert choice(torch=timed(0.5), winograd=timed(l2=1.9e-6)).chosen == "winograd"
    assert choice(torch=timed(), direct=timed(1.2, "faster", l2=3e-6)).chosen == "direct"  # its bound is the narrow one


def test_without_a_right_backend_nothing_is_chosen() -> None:
    found = choice(torch=Skipped("no"), winograd=Skipped("no"))
    assert (found.chosen, found.over_torch, found.ranking) == ("", None, ())


def test_a_race_verifies_times_cold_and_compares_with_the_tables_choice() -> None:
    case = make_case("n1c8h12w12k8r3s3_pd1")
    backends = discover(names=["torch", "winograd", "direct", "depthwise"])[0]
    results = {one.backend: one for one in race([case], backends, budget=TimeBudget(seconds=0.02), rule=VerdictRule())}
    assert isinstance(results["depthwise"].outcome, Skipped)
    first = leader(case, ["torch", "winograd", "direct"])
    for name in ("torch", "winograd", "direct"):
        outcome = results[name].outcome
        if isinstance(outcome, Skipped):
            assert "times slower than the best" in outcome.reason
            continue
        assert isinstance(outcome, Timed)
        assert outcome.cache == "cold"
        assert (outcome.comparison is None) == (name == first)


def test_a_wrong_backend_falls_before_the_race() -> None:
    @backend(family="direct", source="a test")
    def half(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return conv2d(x, w, None, spec.stride, spec.padding) / 2

    case = make_case("n1c8h12w12k8r3s3_pd1")
    rivals = [*discover(names=["torch"])[0], half]
    found = {one.backend: one for one in race([case], rivals, budget=TimeBudget(seconds=0.0), rule=VerdictRule())}
    assert isinstance(found["half"].outcome, Wrong)
    assert TunedCase.of(list(found.values())).chosen == "torch"


def results_of(cases: list[Case]) -> list[list[Result]]:
    return [
        [
            Result(case=case, backend="torch", family="vendor", outcome=timed(0.5)),
            Result(case=case, backend="winograd", family="winograd", outcome=timed()),
        ]
        for case in cases
    ]


@pytest.fixture
def selection() -> Selection:
    cases = [make_case("n1c64h28w28k64r3s3_pd1"), make_case("n1c64h14w14k64r3s3_pd1")]
    return Selection(cases=cases, backends=discover(names=["torch", "winograd"])[0])


def opened(path: Path, selection: Selection, *, retune: bool = False, tell: Callable[[str], None] = silent) -> PlanFile:
    return PlanFile.open(path, selection, threads=1, accuracy="standard", retune=retune, tell=tell)


def test_each_case_is_in_the_file_before_the_next_begins(tmp_path: Path, selection: Selection) -> None:
    path = tmp_path / "folder" / "plan.json"
    file = opened(path, selection)
    first, second = results_of(list(selection.cases))
    file.take(first)
    again = opened(path, selection)  # as after a kill
    assert again.selection is not None
    assert [str(case.spec) for case in again.selection.cases] == ["n1c64h14w14k64r3s3_pd1"]
    again.take(second)
    assert opened(path, selection).selection is None
    whole = opened(path, selection, retune=True)
    assert whole.selection is not None
    assert len(whole.selection.cases) == 2
    assert len(TunedPlan.read(path).shapes) == 2


def test_a_disturbed_case_is_raced_again(tmp_path: Path, selection: Selection) -> None:
    path = tmp_path / "plan.json"
    case = selection.cases[0]
    opened(path, selection).take([Result(case=case, backend="torch", family="vendor", outcome=timed(noisy=True))])
    left = opened(path, selection).selection
    assert left is not None
    assert len(left.cases) == 2


def test_a_plan_that_does_not_hold_is_replaced_only_if_asked(tmp_path: Path, selection: Selection) -> None:
    path, notes = tmp_path / "plan.json", list[str]()
    TunedPlan.here(threads=2, accuracy="standard").save(path)
    with pytest.raises(ConvbenchError, match="threads 2, here 1; --retune"):
        opened(path, selection)
    file = opened(path, selection, retune=True, tell=notes.append)
    assert file.plan.threads == 1
    assert notes[0].startswith("replaced: the plan")


def test_models_in_the_same_file_are_kept(tmp_path: Path, selection: Selection) -> None:
    path = tmp_path / "plan.json"
    plan = TunedPlan.here(threads=1, accuracy="standard", packages=["llvmlite"])
    plan.with_model({"name": "resnet18"}, same=["name"]).save(path)
    opened(path, selection).take(results_of(list(selection.cases))[0])
    assert [one["name"] for one in TunedPlan.read(path).models] == ["resnet18"]


def test_there_must_be_a_place_for_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConvbenchError, match="cannot write the plan"):
        plan_path(str(tmp_path), 1, "standard")
    monkeypatch.setattr("convbench.backends._plan.cache_folder", lambda: None)
    with pytest.raises(ConvbenchError, match="name a file with -o"):
        plan_path(None, 1, "standard")


def test_the_table_on_a_terminal_marks_what_was_disturbed(tmp_path: Path, selection: Selection) -> None:
    file = opened(tmp_path / "plan.json", selection)
    first, second = results_of(list(selection.cases))
    file.take([*first, Result(case=first[0].case, backend="direct", family="direct", outcome=timed(1.5, "faster"))])
    file.take([replace(one, outcome=timed(1.0 if one.backend == "torch" else None, noisy=True)) for one in second])
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, color_system=None)
    print_choices(console, console, file)
    lines = text.getvalue().splitlines()
    assert any(re.search(r"n1c64h28w28k64r3s3_pd1 .*direct +3.00x +1.50x +1.0e-07", line) for line in lines)
    assert any(re.search(r"n1c64h14w14k64r3s3_pd1 .* ~", line) for line in lines)
    assert "2 problems tuned:" in text.getvalue()
    assert "1 problem had too few undisturbed rounds" in text.getvalue()


def fake_race(cases: list[Case], backends: Any, **_: Any) -> Any:  # as quick as a test must be
    for case in cases:
        found = {one.backend: one for one in results_of([case])[0]}
        for one in backends:
            missing = Result(case=case, backend=one.name, family=one.family, outcome=Skipped("it is not raced here"))
            yield found.get(one.name, missing)


@pytest.fixture
def tune(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:  # noqa: F811  # the fixture
    monkeypatch.setattr(race_room, "race", fake_race)
    monkeypatch.setenv(VARIABLE, "")  # as it was, once --plan has set it
    return cli


def test_the_command_writes_the_plan_that_bench_reads(tune: Cli, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    words = ("tune", "--shape", "n1c64h28w28k64r3s3_pd1", "--backend", "torch,winograd", "--threads", 1, "-o", path)
    done = tune(*words)
    assert done.code == 0
    (row,) = table(done.out)
    assert (row["chosen"], row["over_torch"], row["noisy"]) == ("winograd", "2", "0")
    assert "machine now:" in done.err
    assert f"plan saved to {path}" in done.err
    again = tune(*words)
    assert (again.code, again.out) == (0, "")
    assert "are kept; --retune races them again" in again.err
    data = json.loads(path.read_text())
    data["shapes"][0]["backends"].reverse()
    path.write_text(json.dumps(data))
    bench = ("verify", "--shape", "n1c64h28w28k64r3s3_pd1", "--dtype", "fp32", "--layout", "nchw", "--pass", "fprop")
    done = tune(*bench, "--epilogue", "none", "--backend", "auto", "--threads", 1, "--plan", path)
    assert [(row["chosen"], row["outcome"]) for row in table(done.out)] == [("torch", "verified")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--accuracy", "loose"), "loose"),
        (("--backend", "naive-loops"), "auto never chooses it"),
        (("--backend", "auto"), "auto never chooses it"),
        (("--suite", "nosuch"), "nosuch"),
    ],
)
def test_bad_words_are_refused_in_one_line(tune: Cli, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = tune("tune", *words, "-o", tmp_path / "plan.json")
    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "plan.json").exists()


def test_a_plan_of_elsewhere_ends_bench_in_one_line(tune: Cli, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    TunedPlan.here(threads=7, accuracy="standard").save(path)
    done = tune("verify", "--fuzz", 1, "--backend", "auto", "--threads", 1, "--plan", path)
    assert done.code == 2
    assert "threads 7, here 1" in done.err
