"""What a case is foretold to take: memory as it is judged before a run, and time that is not exceeded."""

from pathlib import Path

import pytest

from convbench.backend import Backend
from convbench.discovery import discover
from convbench.session import Bench, Verify
from convbench.verify.cost import (
    CALLS_TO_BENCH,
    CALLS_TO_VERIFY,
    VERDICTS_TO_BENCH,
    VERDICTS_TO_VERIFY,
    bench_s,
    call_s,
    exam_s,
    needed_nbytes,
    verify_s,
)
from convbench.verify.lineup import too_large
from tests.conftest import make_case


def backend(name: str) -> Backend:
    return discover(names=[name])[0][0]


def test_the_patch_matrix_counts_for_backends_that_make_one() -> None:
    case = make_case("n2c64h56w56k64r3s3_pd1")
    more = needed_nbytes(case, "im2col") - needed_nbytes(case, "vendor")
    assert more == case.spec.patch_matrix_nbytes("fp32")


def test_a_case_is_too_large_from_what_it_needs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    case, torch_itself = make_case("n2c64h56w56k64r3s3_pd1"), backend("torch")
    needed = needed_nbytes(case, torch_itself.family)
    monkeypatch.setattr("convbench.verify.lineup.free_nbytes", lambda _: needed)
    assert too_large(case, torch_itself) is None
    monkeypatch.setattr("convbench.verify.lineup.free_nbytes", lambda _: needed - 1)
    assert "are free on cpu" in (too_large(case, torch_itself) or "")


def test_loops_are_as_slow_as_they_say() -> None:
    case = make_case("n1c16h32w32k16r3s3_pd1")
    loops = backend("naive-loops")
    assert call_s(case, loops) == pytest.approx(case.spec.macs / loops.macs_per_s)
    assert verify_s(case, [loops]) > 3 * call_s(case, loops)


def test_a_budget_bounds_the_rounds_unless_the_calls_are_longer() -> None:
    case, loops = make_case("n1c16h32w32k16r3s3_pd1"), backend("naive-loops")
    call = call_s(case, loops)
    short, long = (bench_s(case, [loops], budget_s=budget, least_rounds=3) for budget in (0, 100 * call))
    assert long - short == pytest.approx((100 + 1 - 3) * call)


def test_nothing_takes_no_time() -> None:
    case = make_case("n1c16h32w32k16r3s3_pd1")
    assert verify_s(case, []) == bench_s(case, [], budget_s=4, least_rounds=3) == 0


def test_more_work_is_never_foretold_to_take_less() -> None:
    small, large = make_case("n1c16h32w32k16r3s3_pd1"), make_case("n8c16h32w32k16r3s3_pd1")
    torch_itself = backend("torch")
    assert exam_s(small) < exam_s(large)
    assert verify_s(small, [torch_itself]) < verify_s(large, [torch_itself])
    assert needed_nbytes(small, "vendor") < needed_nbytes(large, "vendor")


def test_a_gpu_is_quicker_and_a_process_that_takes_sixteen_cases_is_shared_among_them() -> None:
    here, there = (make_case("n8c64h56w56k64r3s3_pd1", device=device) for device in ("cpu", "cuda"))
    torch_itself = backend("torch")
    assert 20 * exam_s(there) < exam_s(here)
    assert 50 * call_s(there, torch_itself) < call_s(here, torch_itself)
    work: Bench | Verify
    for work, share in ((Bench(budget_s=1.0), 16), (Verify(), 50)):
        own_s = work.at_most_s(there, [torch_itself]) - 6.0 / share
        assert 0 < own_s < work.at_most_s(here, [torch_itself])


def test_the_documents_say_how_often_a_backend_is_called() -> None:
    words = {3: "three", 4: "four", 5: "five", 18: "eighteen"}
    root = Path(__file__).parents[2]
    page = " ".join((root / "docs" / "selection.md").read_text().split())
    assert f"{words[CALLS_TO_BENCH]} calls and {words[VERDICTS_TO_BENCH]} verdicts per backend" in page
    assert f"the oracle, {words[CALLS_TO_VERIFY]} calls and {words[VERDICTS_TO_VERIFY]} verdicts." in page
    help_text = (root / "convbench" / "cli" / "verify.py").read_text()
    assert f"{words[CALLS_TO_VERIFY]} calls and {words[VERDICTS_TO_VERIFY]} checks per backend" in help_text
