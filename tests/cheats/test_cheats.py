"""Kernels that do less than their work while they are timed: none of them is, and the honest twin of each is.

Each file in `kernels` is a plug-in with a cheat, and with a twin that has the same machinery and uses it honestly.
"""

from pathlib import Path

import pytest

from convbench import Case, Failed, Skipped, Timed, Wrong, discover
from convbench.bench.entrant import Entrant
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import bench
from convbench.discovery import load_plugin
from tests.conftest import make_case

KERNELS = sorted((Path(__file__).parent / "kernels").glob("*.py"))
LARGE, SMALL = "n2c16h28w28k16r3s3_pd1", "n2c4h9w8k6r3s3_pd1"  # judged by a sample, and as a whole
BUDGET = TimeBudget(seconds=0.2, least=12, most=400)


def raced(path: Path, case: Case) -> dict[str, object]:
    (torch_itself,), _ = discover(names=["torch"])
    results = bench([case], [torch_itself, *load_plugin(str(path))], budget=BUDGET, rule=VerdictRule(least=200))
    return {result.backend: result.outcome for result in results}


def test_there_are_a_dozen() -> None:
    assert len(KERNELS) >= 12


@pytest.mark.long
@pytest.mark.parametrize("shape", [LARGE, SMALL])
@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_no_cheat_is_timed_and_its_honest_twin_is(path: Path, shape: str) -> None:
    found = raced(path, make_case(shape))
    assert isinstance(found["torch"], Timed), found["torch"]
    assert isinstance(found["twin"], Timed), found["twin"]
    cheat = found["cheat"]
    assert isinstance(cheat, Wrong), cheat
    assert (cheat.check.evidence or "").startswith("correct before timing; while it was timed (")


CASES = [
    make_case("n1c4h9w8k6r3s3_pd1"),
    make_case("n1c3h33w33k8r7s7_st2_pd3"),
    make_case("n1c24h28w28k24r3s3_st2_pd1_g24"),
    make_case("n2c64h14w14k16r1s1"),
    make_case("n1c8h12w12k8r3s3_pd2_dl2", layout="nhwc"),
    make_case("n1c8h12w12k8r3s3_pd1_g4", layout="strided"),
    make_case("n1c8h12w12k8r3s3_pd1", dtype="bf16"),
    make_case("n1c8h12w12k8r3s3_pd1", dtype="fp64"),
    make_case("n1c8h12w12k8r3s3_pd1", epilogue="bias_relu"),
    make_case("n2c8h13w12k8r3s3_st2_pd1", pass_="dgrad"),
    make_case("n2c8h12w12k8r3s3_pd1", pass_="wgrad"),
    make_case("n0c4h9w8k6r3s3_pd1"),
]


@pytest.fixture
def every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each timed block is judged."""
    monkeypatch.setattr(Entrant, "_due", lambda *_: True)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.problem.name} {' '.join(case.key.axes[1:])}")
def test_no_backend_of_ours_is_accused(case: Case, every_block: None) -> None:
    backends, _ = discover()
    unhurried = [one for one in backends if one.name != "naive-loops" or case.spec.macs < 50_000]
    results = list(bench([case], unhurried, budget=TimeBudget(seconds=0.0, least=6), rule=VerdictRule()))
    assert [one for one in results if isinstance(one.outcome, Wrong | Failed)] == []
    assert all(isinstance(one.outcome, Timed | Skipped) for one in results)
    assert sum(isinstance(one.outcome, Timed) for one in results) >= 2
