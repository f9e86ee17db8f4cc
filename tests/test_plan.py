"""A plan holds the fastest backend of each case, on the machine where that was found."""

import json
from pathlib import Path
from typing import Any

import pytest

from convbench import Case, ConvbenchError, Failed, Result, Timed, Wrong
from convbench.machine import fingerprint
from convbench.outcome import Bill, Check, Outcome, PairedRatio, Verified
from convbench.plan import BackendPlan, PlannedBackend
from convbench.store import read_results
from tests.conftest import make_case

CHECK = Check(worst_of_bound=0.1, relative_l2=1e-7)
HERE = {"device": "cpu", "cpu": "CPU, 2 cores", "torch": "2.15.0", "threads": "2"}
CASE, OTHER = make_case("n1c1h4w4k1r2s2"), make_case("n1c1h4w4k1r2s2", dtype="bf16")


def timed(verdict: str = "", ratio: float = 1.0) -> Timed:
    compared = PairedRatio(ratio=ratio, low=ratio, high=ratio, verdict=verdict) if verdict else None
    return Timed(check=CHECK, samples_s=(1e-3,), bill=Bill(prepare_s=None, first_call_s=1.0), comparison=compared)


def plan_of(*rows: tuple[Case, str, Outcome], **settings: int) -> BackendPlan:
    results = [Result(case=case, backend=name, family="", outcome=outcome) for case, name, outcome in rows]
    return BackendPlan.of(results, machine=HERE, settings=settings)


def test_the_fastest_of_those_that_are_faster_is_chosen_with_its_settings() -> None:
    plan = plan_of(
        (CASE, "torch", timed()),
        (CASE, "quick", timed("faster", 1.2)),
        (CASE, "quicker", timed("faster", 1.5)),
        (CASE, "quickest perhaps", timed("undecided", 9.0)),
        threads=2,
    )
    assert plan.choose(CASE) == PlannedBackend(backend="quicker", settings={"threads": 2})
    assert plan.choose(OTHER) is None


@pytest.mark.parametrize(
    "outcome",
    [
        timed("tie", 1.01),
        timed("undecided", 3.0),
        timed("slower", 0.5),
        timed(),
        Wrong(CHECK),
        Failed("no"),
        Verified(CHECK),
    ],
)
def test_where_nobody_is_surely_faster_torch_is_chosen(outcome: Outcome) -> None:
    chosen = plan_of((CASE, "torch", timed()), (CASE, "mine", outcome)).choose(CASE)
    assert chosen is not None
    assert chosen.backend == "torch"


def test_a_plan_is_for_one_number_of_threads() -> None:
    results = [Result(case=CASE, backend="torch", family="", outcome=timed(), threads=threads) for threads in (2, 1, 2)]
    with pytest.raises(
        ConvbenchError, match="these results had 1 and 2 threads, and a plan needs a single thread count"
    ):
        BackendPlan.of(results, machine=HERE)
    assert BackendPlan.of(results[::2], machine=HERE).choose(CASE) == PlannedBackend(backend="torch")


def test_a_case_that_torch_was_not_timed_on_has_no_choice() -> None:
    assert plan_of((CASE, "torch", Failed("no")), (CASE, "mine", timed())).choices == {}


def test_one_that_won_a_case_only_once_is_not_chosen_for_it() -> None:
    rows = [(CASE, "torch", timed()), (CASE, "mine", timed("faster", 1.5))] * 2
    assert plan_of(*rows).choose(CASE) == PlannedBackend(backend="mine")
    assert plan_of(*rows, (CASE, "mine", timed("tie"))).choose(CASE) == PlannedBackend(backend="torch")
    assert plan_of(*rows, (CASE, "mine", Wrong(CHECK))).choose(CASE) == PlannedBackend(backend="torch")


def test_a_choice_holds_for_equal_problems_and_for_any_random_numbers() -> None:
    plan = plan_of((make_case("n1c1h4w4k1r2s2", seed=3), "torch", timed()))
    assert plan.choose(make_case("N1c1h4w4k1r2s2_st1", seed=7)) == PlannedBackend(backend="torch")


def test_a_plan_is_read_back_on_its_machine(tmp_path: Path) -> None:
    path, here = tmp_path / "plan.json", fingerprint("cpu", 1)
    results = read_results(Path(__file__).parent / "results" / "quick-cpu-zen4.csv")
    plan = BackendPlan.of(results, machine=here, settings={"threads": 1})
    assert {one.backend for one in plan.choices.values()} > {"torch"}
    plan.save(path)
    assert BackendPlan.load(path, machine=here) == plan
    plan_of((CASE, "torch", timed())).save(path)
    assert len(BackendPlan.load(path, machine=HERE).choices) == 1


def test_a_plan_of_another_machine_names_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan_of((CASE, "torch", timed())).save(path)
    here = {name: fact for name, fact in HERE.items() if name != "threads"} | {"torch": "2.16.0", "gpu": "H200"}
    with pytest.raises(ConvbenchError) as refusal:
        BackendPlan.load(path, machine=here)
    words = (
        "from another machine: torch 2.15.0, here 2.16.0; threads 2, here unknown; gpu unknown, here H200; run bench "
        "again"
    )
    assert words in str(refusal.value)


def damaged(data: dict[str, Any], place: str) -> object:
    """The data of a plan with one thing wrong."""
    (entry,) = data["choices"]
    match place:
        case "no object":
            return [data]
        case "no case":
            del entry["case"]
        case "no backend":
            del entry["backend"]
        case "a setting":
            entry["settings"] = 3
        case "twice":
            data["choices"].append(entry)
        case "no machine":
            data["machine"] = {}
        case "no facts":
            data["machine"] = {"cpu": 3}
        case "no list":
            data["choices"] = 7
        case "version":
            data["version"] = 99
        case _:
            name, _, value = place.partition("=")
            entry["case"][name] = json.loads(value)
    return data


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("no object", "damaged: something is missing"),
        ("no case", "damaged: something is missing"),
        ("no backend", "damaged: something is missing"),
        ("a setting", "damaged: something is missing"),
        ("twice", "damaged: it has two choices for one case"),
        ("no machine", "damaged: it does not describe its machine"),
        ("no facts", "damaged: it does not describe its machine"),
        ("no list", "damaged: something is missing"),
        ("version", "has version 99, but this convbench reads 1"),
        ('dtype="fp23"', "damaged: unknown dtype 'fp23'"),
        ('spec="n1"', "damaged: 'n1' is not a valid shape"),
        ('spec="N1c1h4w4k1r2s2"', "is not a case of a plan"),
        ("spec=3", "damaged: something is missing"),
        ("seed=1.0", "damaged: seed=1.0: a seed is an integer"),
        ("seed=4", "is not a case of a plan"),
        ("more=1", "is not a case of a plan"),
    ],
)
def test_a_damaged_plan_is_refused_in_one_line(tmp_path: Path, place: str, words: str) -> None:
    path = tmp_path / "plan.json"
    plan_of((CASE, "torch", timed())).save(path)
    path.write_text(json.dumps(damaged(json.loads(path.read_text()), place)))
    with pytest.raises(ConvbenchError) as refusal:
        BackendPlan.load(path, machine=HERE)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "bench again" in str(refusal.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 100_000, "\N{NULL}"])
def test_what_is_no_json_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ConvbenchError, match=r"the plan .* is damaged: .*; run bench again"):
        BackendPlan.load(path, machine=HERE)


def test_a_place_that_cannot_be_read_or_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConvbenchError, match="cannot read the plan"):
        BackendPlan.load(tmp_path / "none.json", machine=HERE)
    with pytest.raises(ConvbenchError, match="cannot write the plan"):
        plan_of().save(tmp_path / "none" / "plan.json")
