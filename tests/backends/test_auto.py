"""auto: it chooses by the plan, else by the cost table, and is judged as the backend that it chose."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convbench import Case, ConvbenchError, ConvSpec, Verified, Wrong, backend, discover
from convbench.backend import TRANSFORMS, Backend
from convbench.backends import _plan
from convbench.backends._cost_table import HOPELESS, _tables, features, hopeless, predicted, ranked
from convbench.backends._plan import VARIABLE, planned_key, remarks, usual_path
from convbench.backends.auto import LESSONS, auto, candidate, candidates, choose
from convbench.case import DTYPES, LAYOUTS, PASSES, cases
from convbench.suites import load_suite
from convbench.tuned import TunedPlan
from convbench.verify.exam import prepare_exam
from convbench.verify.sweep import verify
from convbench.verify.trial import examine
from tests.conftest import make_case

DENSE = make_case("n1c64h28w28k64r3s3_pd1")
POINTWISE = make_case("n1c64h14w14k64r1s1")


def chosen(case: Case) -> str:
    return auto.for_case(case).chosen


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Write a plan with these backends for DENSE, and name it as --plan does."""

    def write(*backends: str | dict[str, str], case: Case = DENSE, **changes: Any) -> Path:
        named = [
            one if isinstance(one, dict) else {"backend": one, "version": _plan.installed(one)} for one in backends
        ]
        plan = TunedPlan.here(threads=1, accuracy=case.accuracy)
        plan = plan.with_shape({"case": planned_key(case).cells, "backends": named}, same=["case"])
        path = tmp_path / "plan.json"
        replace(plan, **changes).save(path)
        monkeypatch.setenv(VARIABLE, str(path))
        return path

    return write


def test_it_is_the_chosen_backend_in_everything_but_the_name() -> None:
    own = auto.for_case(DENSE)
    winograd = candidate("winograd")
    assert winograd is not None
    assert own == replace(winograd, name="auto", chosen="winograd")
    assert own.for_case(DENSE) is own
    assert winograd.for_case(DENSE) is winograd


def test_its_answer_is_held_against_the_bound_of_what_ran() -> None:
    """Winograd's error is no direct sum's, and a wrong one is found."""
    (result,) = verify([DENSE], [auto])
    assert isinstance(result.outcome, Verified)
    assert (result.backend, result.chosen, result.family) == ("auto", "winograd", "winograd")

    def choose_half(_: Case) -> Backend:
        return half

    @backend(family="direct", source="a test")
    def half(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, w, None, spec.stride, spec.padding) / 2

    outcome = examine(replace(auto, choose=choose_half), prepare_exam(make_case("n1c2h4w4k2r2s2")))
    assert isinstance(outcome, Wrong)


def test_without_a_plan_the_cost_table_chooses() -> None:
    assert chosen(DENSE) == "winograd"
    assert chosen(make_case("n1c256h56w56k256r3s3_pd1")) == "winograd"
    assert chosen(make_case("n1c64h32w32k64r31s31_pd15_g64")) in ("depthwise", "grouped")
    assert chosen(make_case("n1c128h56w56k128r3s3_pd1_g32")) == "grouped"
    assert chosen(make_case("n1c64h28w28k64r3s3_pd1", dtype="bf16")) == "torch"
    assert chosen(make_case("n1c64h28w28k64r3s3_pd1", pass_="wgrad")) == "torch"


def test_the_strict_class_has_no_transform() -> None:
    problems = [*load_suite("vgg16"), *load_suite("resnet50")]
    families = {auto.for_case(case).family for case in cases(problems, accuracies=["strict"])}
    assert families
    assert families.isdisjoint(TRANSFORMS)
    assert auto.for_case(replace(DENSE, accuracy="strict")).family not in TRANSFORMS
    winograd = candidate("winograd")
    assert winograd is not None
    assert "--accuracy strict" in str(winograd.why_not(replace(DENSE, accuracy="strict")))


def test_a_strict_output_is_held_against_the_direct_bound_whatever_its_family() -> None:
    winograd = candidate("winograd")
    assert winograd is not None
    case = make_case("n1c64h16w16k64r3s3_pd1")
    assert isinstance(examine(winograd, prepare_exam(case)), Verified)
    assert isinstance(examine(winograd, prepare_exam(replace(case, accuracy="strict"))), Wrong)


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_torch_does_it_does(layout: str, pass_: str) -> None:
    (baseline,) = discover(names=["torch"])[0]
    shapes = ("n1c4h9w9k4r3s3_pd1", "n2c6h9w9k4r1s1_st2", "n1c4h9w9k8r3s2_pd0x1x0x1_g4", "n0c2h4w4k2r2s2")
    for number, dtype in enumerate(DTYPES):
        case = make_case(shapes[number % len(shapes)], dtype=dtype, layout=layout, pass_=pass_)
        if baseline.why_not(case) is None:
            assert auto.why_not(case) is None
            assert auto.for_case(case).why_not(case) is None


def test_it_never_chooses_a_lesson_or_itself() -> None:
    assert set(LESSONS).isdisjoint(candidates())
    assert auto.name not in candidates()
    assert candidate("auto") is None


def test_a_case_that_nobody_does_is_refused_in_words() -> None:
    case = make_case("n1c4h8w8k4r3s3", precision="tf32")
    assert choose(case) is None
    assert "TF32" in str(auto.why_not(case))
    assert auto.for_case(case) is auto


def test_called_directly_it_computes_the_same_and_prepares_each_time() -> None:
    torch.manual_seed(0)
    x, w, bias = torch.randn(2, 3, 6, 7), torch.randn(4, 3, 2, 3), torch.randn(4)
    spec = ConvSpec.parse("n2c3h6w7k4r2s3_pd0x1x0x1")
    expected = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (0, 1, 0, 1)), w)
    assert auto.fused is not None
    assert torch.allclose(auto.fn(x, w, spec), expected, atol=1e-5)
    assert torch.allclose(auto.fused(x, w, spec, bias, True), (expected + bias.reshape(1, -1, 1, 1)).relu(), atol=1e-5)


def test_the_plan_chooses_before_the_cost_table(save: Save) -> None:
    save("direct", "torch")
    assert chosen(DENSE) == "direct"
    assert chosen(replace(DENSE, seed=3)) == "direct"  # the seed does not change how long it takes
    assert chosen(replace(DENSE, layout="nhwc")) != "direct"  # another case, by the table
    assert remarks([(1, "standard")]) == []


def test_a_backend_that_refuses_or_is_gone_is_followed_by_the_next(save: Save) -> None:
    gone = {"backend": "onnxruntime", "version": "0.0.1"}
    save(gone, "gemm-1x1", "direct", "torch")
    assert chosen(DENSE) == "direct"  # gemm-1x1 does no 3x3
    (words,) = remarks([(1, "standard")])
    assert "auto takes the next backend for 1 shape: onnxruntime 0.0.1 is planned, and" in words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threads": 2}, "threads 2, here 1"),
        ({"versions": {"convbench": "0.0", "torch": torch.__version__}}, "convbench 0.0, here"),
        ({"machine": {"cpu": "another"}}, "cpu another, here"),
        ({"accuracy": "strict"}, "accuracy strict, here standard"),
    ],
)
def test_a_plan_of_elsewhere_is_refused_with_the_reason(save: Save, changes: dict[str, Any], said: str) -> None:
    save("direct", **changes)
    assert chosen(DENSE) == "winograd"
    with pytest.raises(ConvbenchError, match=said):
        remarks([(1, "standard")])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 7}'])
def test_a_corrupt_plan_is_refused_in_one_line(save: Save, text: str) -> None:
    save("direct").write_text(text)
    _plan._read.cache_clear()
    assert chosen(DENSE) == "winograd"
    with pytest.raises(ConvbenchError, match=r"the plan .*plan\.json|plan\.json is no plan") as error:
        remarks([(1, "standard")])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("entry", [{}, {"case": 3, "backends": []}, {"case": {}, "backends": ["torch"]}])
def test_a_plan_with_a_damaged_shape_is_refused(save: Save, entry: dict[str, Any]) -> None:
    path = save("direct")
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"shapes": [entry]}))
    _plan._read.cache_clear()
    assert chosen(DENSE) == "winograd"
    with pytest.raises(ConvbenchError, match="a shape has no case or no backends"):
        remarks([(1, "standard")])


def test_a_named_plan_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.json"))
    with pytest.raises(ConvbenchError, match="cannot read the plan"):
        remarks([(1, "standard")])


def test_a_named_plan_may_hold_for_one_of_several_thread_counts(save: Save) -> None:
    save("direct")
    (words,) = remarks([(1, "standard"), (2, "standard")])
    assert words.startswith("auto takes its cost table: the plan")


def test_the_plan_in_the_cache_folder_is_read_and_one_that_does_not_hold_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path))
    path = usual_path(1, "standard")
    assert path is not None
    assert remarks([(1, "standard")]) == []
    entry = {"case": planned_key(POINTWISE).cells, "backends": [{"backend": "direct"}]}
    plan = TunedPlan.here(threads=1, accuracy="standard").with_shape(entry, same=["case"])
    plan.save(path)
    assert chosen(POINTWISE) == "direct"
    replace(plan, versions={"convbench": "0", "torch": "0"}).save(path)
    _plan._read.cache_clear()
    (words,) = remarks([(1, "standard")])
    assert words.startswith("auto takes its cost table: the plan")


def test_the_cost_table_knows_all_backends_that_come_with_convbench() -> None:
    fits = {name.split()[0] for table in _tables().values() for name in table.fits}
    assert fits == {"torch", "onednn-prepacked", "winograd", "direct", "gemm-1x1", "depthwise", "grouped"}
    width = len(features(DENSE.spec)) + 1
    for table in _tables().values():
        assert all(low <= high for low, high in zip(table.least, table.most, strict=True))
        assert {len(fit.coefficients) for fit in table.fits.values()} == {width * (width + 1) // 2}


@pytest.mark.parametrize("shape", ["n512c3h224w224k64r7s7_st2_pd3", "n1c8192h2w2k8192r3s3_pd1", "n1c1h1w1k1r1s1"])
def test_sizes_beyond_those_measured_give_sane_times(shape: str) -> None:
    case = make_case(shape)
    times = predicted(case, 1)
    assert min(times.values()) > 0
    assert min(times.values()) < 10 * (case.spec.macs / 20e9 + 20e-6)


def test_an_epilogue_counts_for_a_backend_that_does_not_fuse_it() -> None:
    plain, biased = (predicted(replace(DENSE, epilogue=one), 1) for one in ("none", "bias_relu"))
    assert biased["onednn-prepacked"] > biased["torch"] - plain["torch"] + plain["onednn-prepacked"]
    assert biased["winograd"] == plain["winograd"]


def test_what_is_hopeless_is_named_with_the_factor() -> None:
    wide = make_case("n1c64h32w32k64r31s31_pd15_g64")
    assert "depthwise" in ranked(wide)[:2]
    assert hopeless(wide, ["torch", "depthwise"]) == {}  # torch always races
    times = predicted(POINTWISE, 1)
    found = hopeless(POINTWISE, list(times))
    assert set(found) == {name for name in times if times[name] > HOPELESS * min(times.values())} - {"torch"} != set()
    for name, words in found.items():
        assert f"{times[name] / min(times.values()):.0f} times slower than the best" in words
