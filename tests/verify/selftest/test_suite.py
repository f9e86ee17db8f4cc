"""The self-test on the default suite: bugs that show where they say, causes judged by what is true, no false alarms."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.case import Case
from convbench.spec import ConvSpec
from convbench.suites import load_suite
from convbench.verify.exam import prepare_exam
from convbench.verify.selftest.kernels import Kernel, as_backend, convolve, correct
from convbench.verify.selftest.mutants import BUGS, behaviour, epilogues, gradients, places, precision, structure
from convbench.verify.selftest.passes import dgrad, fused, wgrad
from convbench.verify.selftest.right import RIGHT, UNUSUAL
from convbench.verify.selftest.suite import (
    CATALOGUE,
    KINDS,
    LEAST_RIGHT_RUNS,
    MOST_EXPLAINED,
    Fault,
    Tally,
    Tried,
    judge_cause,
    try_kernels,
    try_with,
)
from tests.cli.conftest import Cli, table
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too
from tests.conftest import make_case

SMALL = "n2c6h9w8k4r3s3_pd1"
MODULES = (structure, precision, behaviour, places, gradients, epilogues)
NAMED = {kernel.name: kernel for kernel in CATALOGUE}

# Where each bug of a place, a gradient or an epilogue shows: the smallest case that meets its condition.
SHOWS: dict[str, Case] = {
    "patch-in-eights": make_case("n1c2h9w9k2r9s9_st9"),
    "kernel-beyond-8": make_case("n1c2h9w9k2r9s3"),
    "one-column-copied-wide": make_case("n1c2h5w1k2r3s3_pd1"),
    "odd-width-of-16-channels": make_case("n1c16h4w5k2r3s3_pd1"),
    "pointwise-stride-ignored": make_case("n1c2h5w5k2r1s1_st2"),
    "last-tile-lacks-a-term": make_case("n1c2h9w9k33r1s1"),
    "channels-beyond-64": make_case("n1c65h3w3k2r1s1"),
    "output-channels-beyond-64": make_case("n1c2h3w3k65r1s1"),
    "outputs-beyond-256": make_case("n1c1h17w17k1r1s1"),
    "image-beyond-65536": make_case("n1c2h182w182k1r1s1"),
    "images-beyond-8": make_case("n9c1h2w2k1r1s1"),
    "downsampling-starts-inside": make_case("n1c2h7w7k2r3s3_st2_pd1"),
    "stem-lacks-its-last-row": make_case("n1c2h9w9k2r7s7_st2_pd3"),
    "depthwise-stride-transposed": make_case("n1c4h7w7k4r3s3_st2_g4"),
    "depthwise-in-threes": make_case("n1c4h7w7k4r5s5_g4"),
    "uneven-dilation-of-32": make_case("n1c2h9w9k32r3s3_dl1x2"),
    "grouped-blocks-of-8": make_case("n1c24h3w3k2r1s1_g2"),
    "grouped-sum-beyond-256": make_case("n1c58h4w4k2r3s3_g2"),
    "narrower-than-its-kernel": make_case("n1c2h4w2k2r3s3_pd1"),
    "columns-in-sixteens": make_case("n1c2h3w14k2r1s1"),
    "padding-ends-swapped": make_case("n1c2h5w5k2r3s3_pd0x2x1x0"),
    "winograd-last-tile": make_case("n1c2h6w6k2r3s3_pd1"),
    "channels-last-weight-assumed": make_case("n1c3h5w5k2r3s3", layout="nhwc"),
    "weight-read-as-krsc": make_case("n1c3h5w5k2r3s3"),
    "output-written-channels-last": make_case("n1c3h5w5k2r3s3"),
    "offset-ignored": make_case("n1c3h5w5k2r3s3", layout="strided"),
    "relu-for-large-kernels": make_case("n1c3h7w7k2r5s5"),
    "images-of-strided-batch": make_case("n2c3h7w7k2r3s3_st2"),
    "depthwise-multiplier-halved": make_case("n1c3h5w5k6r3s3_g3"),
    "partial-sums-in-bf16": make_case("n1c33h3w3k2r1s1"),
    "dgrad-padded-pointwise": make_case("n1c2h4w4k2r1s1_pd1", pass_="dgrad"),
    "dgrad-not-turned": make_case(SMALL, pass_="dgrad"),
    "dgrad-channel-tail": make_case("n1c2h4w4k6r3s3", pass_="dgrad"),
    "dgrad-rest-of-the-stride": make_case("n1c2h7w7k2r3s3_st2_pd1", pass_="dgrad"),
    "dgrad-rest-of-the-rows-for-columns": make_case("n1c2h7w8k2r3s3_st2_pd1", pass_="dgrad"),
    "wgrad-depthwise-transposed": make_case("n1c4h7w7k4r3s3_st2_g4", pass_="wgrad"),
    "wgrad-saturates": make_case("n4c4h9w9k4r3s3_pd1_g4", pass_="wgrad"),
    "wgrad-forgets-an-image": make_case(SMALL, pass_="wgrad"),
    "wgrad-last-row-left-out": make_case(SMALL, pass_="wgrad"),
    "wgrad-images-added-in-bf16": make_case(SMALL, pass_="wgrad"),
    "epilogue-in-16-bits": make_case(SMALL, epilogue="bias"),
    "bias-missing": make_case(SMALL, epilogue="bias"),
    "bias-twice": make_case(SMALL, epilogue="bias"),
    "bias-of-the-next-channel": make_case(SMALL, epilogue="bias"),
    "bias-in-eights": make_case(SMALL, epilogue="bias"),
    "bias-in-overlapping-eights": make_case("n1c2h4w4k11r3s3", epilogue="bias"),
    "relu-missing": make_case(SMALL, epilogue="bias_relu"),
    "relu-before-bias": make_case(SMALL, epilogue="bias_relu"),
    "relu-of-six": make_case("n2c16h9w8k4r3s3_pd1", epilogue="bias_relu"),
    "relu-always": make_case(SMALL, epilogue="bias"),
}
# What shows in another way than in the numbers of a plain call.
BY_BEHAVIOUR = {
    "rows-beyond-32-unwritten",
    "dgrad-gaps-unwritten",
    "wgrad-changes-dy",
    "bias-is-the-accumulator",
    "values-beyond-fp16",
}


def distance(kernel: Kernel, case: Case) -> float:
    """The largest error of a plain call, as a share of the largest output; NaN is infinitely far."""
    exam = prepare_exam(case)
    out = as_backend(kernel).bind(case, list(exam.operands.values()))().double()
    y = exam.truth.y.clamp(min=0) if case.relu else exam.truth.y
    return float((out - y).abs().nan_to_num(nan=torch.inf).max() / y.abs().max())


def test_every_bug_is_in_its_list_with_words_of_its_own_and_says_what_is_true_of_it() -> None:
    defined = [value for module in MODULES for value in vars(module).values() if isinstance(value, Kernel)]
    assert {bug.name for bug in defined} == {bug.name for bug in BUGS}
    assert len({one.name for one in CATALOGUE}) == len(CATALOGUE) == len({one.words for one in CATALOGUE})
    assert {one.kind for one in CATALOGUE} == set(KINDS)
    assert len(BUGS) >= 105
    assert len(RIGHT) >= 25
    for bug in BUGS:
        assert bug.causes, bug.name
        assert all(re.compile(pattern) for pattern in bug.causes)
        assert judge_cause(bug, "") == "none"
        assert judge_cause(bug, "the moon is full") == "false"
    beyond = {bug.name for bug in (*places.PLACES, *gradients.GRADIENTS, *epilogues.EPILOGUES)}
    assert beyond == {*SHOWS, *BY_BEHAVIOUR}


@pytest.mark.parametrize("name", SHOWS)
def test_a_bug_of_a_place_is_wrong_there_and_nowhere_else(name: str) -> None:
    bug, case = NAMED[name], SHOWS[name]
    assert distance(bug, case) > 1e-4
    if bug.kind == "place" and name not in ("weight-read-as-krsc", "output-written-channels-last"):
        plain = make_case("n1c4h7w8k4r3s3_pd1" if bug.family == "direct" else "n1c4h8w8k4r3s3_pd1")
        assert distance(bug, plain) < 1e-5
    elif bug.kind != "place":
        assert distance(bug, make_case("n1c4h7w8k4r3s3_pd1")) < 1e-6  # its fprop is right


@pytest.mark.parametrize("kernel", UNUSUAL, ids=lambda one: one.name)
@pytest.mark.parametrize("dtype", ["fp32", "fp64", "bf16"])
def test_an_unusual_kernel_is_right(kernel: Kernel, dtype: str) -> None:
    allowed = {"fp32": 3e-5, "fp64": 1e-13, "bf16": 1e-2}[dtype]
    for shape in (SMALL, "n2c6h11w9k4r3s2_st2x1_pd1x0_dl1x2_g2", "n1c3h9w8k2r5s5_pd2", "n1c4h6w5k2r2s2_g2"):
        case = make_case(shape, dtype=dtype)
        if kernel.fits(case):
            assert distance(kernel, case) < allowed, shape


def test_the_right_gradients_and_epilogues_are_those_of_torch() -> None:
    for shape in (SMALL, "n2c4h10w11k6r3s2_st3x2_pd1x0_dl1x2_g2", "n1c2h4w4k2r1s1_pd1"):
        spec = ConvSpec.parse(shape)
        x, w = torch.randn(spec.x_shape, dtype=torch.float64), torch.randn(spec.w_shape, dtype=torch.float64)
        dy, bias = torch.randn(spec.y_shape, dtype=torch.float64), torch.randn(spec.k, dtype=torch.float64)
        given = [one.requires_grad_() for one in (x, w)]
        with torch.enable_grad():
            y = F.conv2d(x, w, bias, spec.stride, spec.padding, spec.dilation, spec.groups)
            y.backward(dy)
        dx, dw = (one.grad for one in given)
        x, w = (one.detach() for one in given)
        assert dx is not None
        assert dw is not None
        assert torch.allclose(dgrad(dy, w, spec), dx)
        assert torch.allclose(wgrad(dy, x, spec), dw)
        assert torch.allclose(fused(x, w, spec, bias, False), y.detach())
        assert torch.allclose(fused(x, w, spec, bias, True), y.detach().relu())


def test_a_cause_is_judged_by_what_is_true_of_the_bug() -> None:
    bug = NAMED["pointwise-stride-ignored"]
    assert judge_cause(bug, "the stride (2) is ignored") == "true"
    assert judge_cause(bug, "the stride (2) is ignored (seen on n1c1h3w3k1r1s1_st2)") == "true"
    assert judge_cause(bug, "it rounds its sums to bf16") == "false"
    assert judge_cause(bug, "y[0,0,0,0] is 0") == judge_cause(bug, "all outputs are NaN") == "none"  # only seen
    zeros = NAMED["last-row-zero"]
    assert judge_cause(zeros, "18 outputs in the last output row (p=8) are 0 (seen on n1c1h9w9k1r1s1)") == "true"
    assert judge_cause(zeros, "18 outputs in the last output row (p=8) are 0.5") == "false"


def test_bugs_are_found_and_explained_once_a_problem_and_misses_count() -> None:
    cases = [make_case(shape, seed=seed) for seed in (0, 1) for shape in (SMALL, "n1c2h5w5k2r1s1_st2")]
    group = [NAMED[name] for name in ("tap-missing", "pointwise-stride-ignored", "patch-in-eights", "minus-of-minus")]
    *_, tried = try_kernels([(case, group) for case in cases])
    tap, stride, patch, right = tried
    assert (tap.runs, tap.wrong, len(tap.faults)) == (4, 4, 2)
    assert tap.named["true"] == 2
    assert (stride.runs, stride.wrong) == (4, 2)
    assert [(fault.cause, fault.named) for fault in stride.faults] == [("the stride (2) is ignored", "true")]
    assert patch.missed
    assert (right.runs, right.alarms, right.missed) == (4, 0, False)
    assert Tally.of(tried) == Tally(kinds=3, found=2, true=3, none=0, false=0, runs=4, alarms=0)


def test_a_bug_is_left_alone_when_enough_of_its_faults_are_explained() -> None:
    cases = [make_case(f"n1c1h4w{4 + more}k1r2s2") for more in range(MOST_EXPLAINED + 2)]
    bug = replace(NAMED["tap-missing"], causes=("no such words",))
    *_, (one,) = try_kernels([(case, [bug]) for case in cases])
    assert one.runs == one.wrong == len(one.faults) == MOST_EXPLAINED
    assert one.named["false"] == MOST_EXPLAINED


def test_a_right_kernel_that_is_rejected_or_raises_is_a_false_alarm() -> None:
    def raises(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        raise RuntimeError("out of luck")

    def doubles(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return 2 * convolve(x, w, spec)

    for fn, words in ((raises, "out of luck"), (doubles, "outputs wrong")):
        *_, (one,) = try_kernels([(make_case(SMALL), [correct()(fn)])])
        assert one.alarms == 1
        assert words in one.faults[0].evidence


def test_the_published_rates_are_met_or_not() -> None:
    def tally(*, kinds: int = 100, found: int = 97, true: int = 80, none: int = 20, **more: int) -> Tally:
        rest = {"false": 0, "runs": LEAST_RIGHT_RUNS, "alarms": 0, **more}
        return Tally(kinds=kinds, found=found, true=true, none=none, **rest)

    assert tally().met(by_choice=False)
    assert not tally(found=96).met(by_choice=False)
    assert not tally(true=79, none=21).met(by_choice=False)
    assert not tally(false=1).met(by_choice=False)
    assert not tally(alarms=1).met(by_choice=False)
    assert not tally(runs=LEAST_RIGHT_RUNS - 1).met(by_choice=False)
    assert tally(runs=1).met(by_choice=True)
    case = make_case(SMALL)
    fault = Fault(case=case, probe="", evidence="", cause="", named="none")
    bugs = [Tried(kernel="tap-missing", kind="structure", runs=1, wrong=1, faults=(fault,))]
    assert Tally.of(bugs) == Tally(kinds=1, found=1, true=0, none=1, false=0, runs=0, alarms=0)


NARROW = ("--suite", "quick", "--match", ":note$", "--dtype", "fp32", "--layout", "nchw")


def test_the_command_tries_the_catalogue_on_a_suite_and_writes_a_row_a_kernel(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    done = cli("selftest", *NARROW, "--backend", "tap-missing,bias-missing,kahan", "--csv", path)
    assert done.code == 0, done.err
    rows = {row["kind"]: row for row in table(done.out)}
    assert set(rows) == {"correct", "structure", "epilogue"}
    assert (rows["correct"]["runs"], rows["correct"]["alarms"]) == ("1", "0")
    assert (
        "OK: 2 of 2 kinds of bugs found (100 %); of 2 faults 2 diagnosed (100 %), 0 not diagnosed, 0 wrongly; "
        in done.err
    )
    assert "0 false alarms in 1 correct runs" in done.err
    frame = pd.read_csv(path)
    assert set(frame.kernel) == {"kahan", "tap-missing", "bias-missing"}
    assert set(frame.cause.dropna()) == {"tap (1,1) is missing", "the bias is not added"}


def test_a_miss_is_exit_1_with_its_command_and_so_is_a_false_cause(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    done = cli("selftest", *NARROW, "--backend", "patch-in-eights")
    assert done.code == 1
    assert done.err.startswith("MISSED patch-in-eights: A kernel as large as its stride")
    assert "  convbench selftest --backend patch-in-eights" in done.err.splitlines()
    assert "NOT MET: 0 of 1 kinds of bugs found (0 %)" in done.err
    monkeypatch.setattr("convbench.verify.selftest.suite.judge_cause", lambda *_: "false")
    done = cli("selftest", *NARROW, "--backend", "tap-missing")
    assert done.code == 1
    assert done.err.startswith("WRONG DIAGNOSIS tap-missing on note (fp32 nchw): The loop over the kernel")
    assert "  tap (1,1) is missing" in done.err.splitlines()
    assert "--match '^quick:note$' --dtype fp32 --layout nchw --pass fprop --seed 0" in done.err


def test_a_kernel_that_takes_no_case_is_exit_3(cli: Cli) -> None:
    done = cli("selftest", *NARROW, "--backend", "winograd-f6-3x3")
    assert done.code == 3
    assert "NOTHING TRIED" in done.err


@pytest.mark.program
def test_processes_side_by_side_try_what_one_does() -> None:
    group = [NAMED[name] for name in ("tap-missing", "kahan", "with-gradients")]
    plan = [(make_case(shape), group) for shape in (SMALL, "n1c2h5w5k2r1s1_st2")]
    *_, alone = try_kernels(plan)
    *_, together = try_with(2, plan)
    assert sorted(together, key=lambda one: one.kernel) == sorted(alone, key=lambda one: one.kernel)


def test_a_winograd_whose_transforms_underflow_is_right() -> None:
    problem = next(one for one in load_suite("awkward") if one.name == "subnormal_weights_fp32")
    case = Case(problem=problem, layout="chunk")
    *_, (one,) = try_kernels([(case, [NAMED["winograd-f4-3x3"]])])
    assert (one.runs, one.alarms) == (1, 0)


@pytest.mark.parametrize("name", ["kahan", "numpy-fft", "numpy-tensordot"])
def test_a_right_kernel_warns_of_nothing_where_an_input_is_infinite(name: str) -> None:
    case = make_case(SMALL)
    x, w = prepare_exam(case).operands.values()
    x[0, 0, 0, 0], w[0, 0, 0, 0] = torch.inf, 0
    assert as_backend(NAMED[name]).bind(case, [x, w])().isnan().any()  # a warning would be an error
