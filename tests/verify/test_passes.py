"""The gradients and the epilogues are judged as strictly as fprop: what is planted is found and named."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor

from convbench import Backend, Case, ConvSpec, Problem, Timed, Verified, Wrong, backend, discover
from convbench.backends import _aten
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import bench
from convbench.verify.bounds import direct_bound
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.oracle import conv2d_float64, dgrad_float64
from convbench.verify.transforms import (
    WINOGRAD_POINTS,
    dgrad_as_fprop,
    fft_bound,
    transform_bound,
    transform_possible,
    winograd_bound,
)
from convbench.verify.trial import examine
from tests.conftest import make_case
from tests.strategies import specs
from tests.verify.test_bounds import winograd_float32

SHAPE = "n2c4h10w11k6r3s3_st3_pd1"  # the stride leaves a row and a column over


def conv(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, w, bias, spec.stride, spec.padding, spec.dilation, spec.groups)


def examined(case: Case, **functions: Callable[..., Any]) -> Verified | Wrong:
    outcome = examine(backend(family="direct", source="a test", **functions)(conv), prepare_exam(case))  # type: ignore[arg-type]
    assert isinstance(outcome, Verified | Wrong), outcome
    return outcome


def evidence(outcome: Verified | Wrong) -> str:
    assert isinstance(outcome, Wrong), outcome
    return outcome.check.evidence or ""


def ignores_the_rest_of_the_stride(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    dx = _aten.dgrad(dy, w, spec)
    rest = (spec.h + 2 * spec.padding[0] - spec.kernel_extent[0]) % spec.stride[0]
    dx[:, :, spec.h - rest :] = 0
    return dx


def forgets_the_last_image(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    return _aten.wgrad(dy[:-1].contiguous(), x[:-1].contiguous(), replace(spec, n=spec.n - 1))


def forgets_the_first_tap(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    dw = _aten.wgrad(dy, x, spec)
    dw[..., 0, 0] = 0
    return dw


def changes_dy(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    return _aten.wgrad(dy.neg_(), x, spec).neg_()


def shifted(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return _aten.dgrad(dy, w, spec).roll(1, 3)


def dgrad_in_bf16(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return _aten.dgrad(dy.bfloat16().float(), w, spec)


@pytest.mark.parametrize(
    ("shape", "axes", "functions", "words"),
    [
        (SHAPE, {"pass_": "dgrad"}, {"dgrad": shifted}, "outputs wrong"),
        (SHAPE, {"pass_": "dgrad"}, {"dgrad": dgrad_in_bf16}, "outputs wrong"),
        (SHAPE, {"pass_": "wgrad"}, {"wgrad": forgets_the_last_image}, "216 of 216 outputs wrong, all of them; "),
        (SHAPE, {"pass_": "wgrad"}, {"wgrad": forgets_the_first_tap},
         "24 of 216 outputs wrong, in the first kernel row (r=0), the first kernel column (s=0); worst dw["),
        (SHAPE, {"pass_": "wgrad"}, {"wgrad": changes_dy}, "it changed its input dy"),
        (SHAPE, {"pass_": "wgrad"}, {"wgrad": lambda dy, x, spec: _aten.wgrad(dy, x, spec).flatten(1)},
         "returned shape (6, 36), expected (6, 4, 3, 3)"),
        (SHAPE, {"epilogue": "bias_relu"},
         {"fused": lambda x, w, spec, bias, relu: conv(x, w, spec).relu() + bias.reshape(1, -1, 1, 1)}, "worst y["),
        (SHAPE, {"epilogue": "bias"}, {"fused": lambda x, w, spec, bias, relu: conv(x, w, spec)}, "outputs wrong"),
        (SHAPE, {"epilogue": "bias"}, {"fused": lambda x, w, spec, bias, relu: conv(x, w, spec, bias.mul_(1.5))},
         "it changed its input bias"),
        (SHAPE, {"epilogue": "bias"}, {"fused": lambda x, w, spec, bias, relu: conv(x, w, spec, bias).relu()}, "y["),
    ],
)  # fmt: skip
def test_a_planted_bug_is_found_and_its_place_is_named(
    shape: str, axes: dict[str, str], functions: dict[str, Callable[..., Any]], words: str
) -> None:
    assert words in evidence(examined(make_case(shape, **axes), **functions))


def test_a_dgrad_that_ignores_what_the_stride_leaves_over_is_found_there() -> None:
    """Padding at the end lets the last windows read those rows."""
    whole, rest = (make_case(f"n2c4h{h}w8k6r4s3_st3x1_pd2x1", pass_="dgrad") for h in (9, 10))
    assert isinstance(examined(whole, dgrad=ignores_the_rest_of_the_stride), Verified)
    assert "in the last input row (h=9); worst dx[" in evidence(examined(rest, dgrad=ignores_the_rest_of_the_stride))


def test_a_pixel_that_no_output_reads_has_a_gradient_of_exactly_zero() -> None:
    case = make_case("n1c3h11w11k4r2s2_st4", pass_="dgrad")
    exam = prepare_exam(case)
    unread = exam.truth.terms.expand_as(exam.error) == 0
    assert unread.any()
    assert not exam.error[unread].any()

    def dusty(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        dx = _aten.dgrad(dy, w, spec)
        dx[0, 0, 2, 2] += 1e-38
        return dx

    assert isinstance(examined(case, dgrad=_aten.dgrad), Verified)
    assert "1 of 363 outputs wrong, in input row h=2, input column w=2, the first input channel (c=0)" in evidence(
        examined(case, dgrad=dusty)
    )


def test_an_empty_batch_has_a_weight_gradient_of_zeros() -> None:
    case = make_case("n0c3h8w8k4r3s3_pd1", pass_="wgrad")

    def full(value: float) -> Callable[..., Tensor]:
        return lambda dy, x, spec: torch.full(spec.w_shape, value)

    assert isinstance(examined(case, wgrad=full(0.0)), Verified)
    assert "108 of 108" in evidence(examined(case, wgrad=full(1e-30)))


def test_after_a_relu_nothing_is_negative_and_what_is_far_below_is_exactly_zero() -> None:
    case = make_case(SHAPE, epilogue="bias_relu")

    def leaking(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
        y = conv(x, w, spec, bias)
        return torch.where(y > 0, y, 1e-9 * y)

    assert isinstance(examined(case), Verified)
    assert "expected 0" in evidence(examined(case, fused=leaking))


def test_an_output_that_was_not_written_is_found_behind_a_relu_that_turns_nan_into_zero() -> None:
    case = make_case(SHAPE, epilogue="bias_relu")
    exam = prepare_exam(case)
    row, column = (int(i) for i in (exam.truth.y[0, 0] < 0).nonzero()[0])  # zero is the right answer there

    def hiding(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
        y = torch.empty(spec.y_shape)
        whole = conv(x, w, spec, bias)
        unwritten = y[0, 0, row, column].clone()
        y.copy_(whole)
        if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            y[0, 0, row, column] = unwritten
        return y.nan_to_num(nan=0.0, posinf=float("inf")).clamp(min=0)

    assert "wrong on memory that holds infinity: 1 of" in evidence(examined(case, fused=hiding))


def test_a_stored_sum_widens_the_bound_only_where_it_is_declared() -> None:
    case = make_case("n5c4h9w8k6r3s3_pd1", dtype="fp16", pass_="wgrad")

    def image_by_image(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
        one = replace(spec, n=1)
        dw = dy.new_zeros(spec.w_shape)
        for image in range(spec.n):
            wide = _aten.wgrad(dy[image : image + 1].float(), x[image : image + 1].float(), one)
            dw = (dw.float() + wide).half()
        return dw

    assert isinstance(examined(case, wgrad=image_by_image), Wrong)
    assert isinstance(examined(case, wgrad=image_by_image, roundings=lambda case: case.spec.n), Verified)
    assert isinstance(examined(case, wgrad=forgets_the_last_image, roundings=lambda case: case.spec.n), Wrong)


def test_a_separate_epilogue_is_one_more_rounding_of_a_16_bit_case_alone() -> None:
    own = backend(family="direct", source="", fused=lambda x, w, spec, bias, relu: None)(conv)
    plain = backend(family="direct", source="")(conv)
    for dtype, epilogue, expected in (("bf16", "bias", 1), ("fp32", "bias", 0), ("bf16", "none", 0)):
        case = make_case(SHAPE, dtype=dtype, epilogue=epilogue)
        assert (plain.count_roundings(case), own.count_roundings(case)) == (expected, 0)


@given(specs(least_batch=1))
def test_a_dgrad_with_stride_1_is_a_fprop(spec: ConvSpec) -> None:
    spec = ConvSpec(
        **{name: getattr(spec, name) for name in "nckrs"},
        h=spec.h + spec.r, w=spec.w + spec.s, padding=spec.padding, groups=spec.groups,
    )  # fmt: skip
    case = Case(problem=Problem(suite="test", name=str(spec), spec=spec), pass_="dgrad")
    dy, w = (torch.randint(-9, 10, shape).double() for shape in (spec.y_shape, spec.w_shape))
    fprop, x, turned = dgrad_as_fprop(case, dy, w)
    assert fprop.pass_ == "fprop"
    assert torch.equal(conv2d_float64(x, turned, fprop.spec), dgrad_float64(dy, w, spec))


@pytest.mark.parametrize("shape", ["n2c8h13w14k32r3s3_pd1", "n1c4h9w7k16r3s3", "n1c8h12w12k8r3s3_pd3"])
def test_a_winograd_dgrad_keeps_the_bound_of_the_fprop_that_it_is(shape: str) -> None:
    case = make_case(shape, pass_="dgrad")
    exam = prepare_exam(case)
    dy, w = exam.operands.values()
    fprop, x, turned = dgrad_as_fprop(case, dy, w)
    error = (winograd_float32(x, turned, fprop.spec, WINOGRAD_POINTS[1]).double() - exam.truth.y).abs()
    bound = winograd_bound(fprop, x, turned, WINOGRAD_POINTS[1])
    assert bound.shape == exam.truth.y.shape
    assert 1e-4 < (error / bound).max().item() < 0.2
    assert bool((transform_bound(case, dy, w) >= bound).all())
    on_gpu = replace(case, device="cuda")  # where a vendor may run an FFT as well
    assert bool((transform_bound(on_gpu, dy, w) >= fft_bound(on_gpu, dy, w)).all())


@pytest.mark.parametrize("shape", ["n6c3h13w14k4r5s5_pd2", "n3c8h9w7k4r3s3_g4"])
def test_an_fft_wgrad_keeps_its_bound(shape: str) -> None:
    case = make_case(shape, pass_="wgrad")
    exam, spec = prepare_exam(case), case.spec
    dy, x = exam.operands.values()
    size = (spec.h + 2 * spec.padding[0], spec.w + 2 * spec.padding[1])
    padded = F.pad(x, (spec.padding[1],) * 2 + (spec.padding[0],) * 2)
    images = torch.fft.rfft2(padded).reshape(spec.n, spec.groups, 1, spec.c_per_group, size[0], -1)
    gradients = torch.fft.rfft2(dy, s=size).conj().reshape(spec.n, spec.groups, spec.k_per_group, 1, size[0], -1)
    dw = torch.fft.irfft2((images * gradients).sum(dim=0), s=size)[..., : spec.r, : spec.s].reshape(spec.w_shape)
    bound = fft_bound(case, dy, x)
    assert 1e-5 < ((dw.double() - exam.truth.y).abs() / bound).max().item() < 0.2
    assert torch.equal(transform_bound(case, dy, x, family="fft"), bound)
    on_gpu = replace(case, device="cuda")
    assert torch.equal(transform_bound(on_gpu, dy, x), fft_bound(on_gpu, dy, x))  # and no Winograd's


def test_a_transform_of_a_gradient_is_thought_of_as_for_fprop() -> None:
    for kind in ("dgrad", "wgrad"):
        assert transform_possible(make_case("n1c8h9w9k8r3s3_pd1", device="cuda", pass_=kind), "vendor")
        assert not transform_possible(make_case("n1c8h9w9k8r3s3_st2_pd1", device="cuda", pass_=kind), "vendor")


def test_the_bound_of_a_gradient_counts_its_own_terms() -> None:
    for kind in ("dgrad", "wgrad"):
        exam: Exam = prepare_exam(make_case("n3c4h9w8k6r3s3_pd1", pass_=kind))
        most = {"dgrad": 6 * 9, "wgrad": 3 * 9 * 8}[kind]
        relative = direct_bound(exam.case, exam.truth) / exam.truth.magnitude
        assert relative.max().item() == pytest.approx((most + 2) * 2.0**-24, rel=1e-3)


def timed(case: Case, **functions: Callable[..., Any]) -> Any:
    fn: Backend = backend(family="direct", source="a test", **functions)(conv)  # type: ignore[arg-type]
    budget = TimeBudget(seconds=0.02, least=3, most=5)
    (torch_itself,), _ = discover(names=["torch"])
    baseline, own = bench([case], [torch_itself, fn], budget=budget, rule=VerdictRule())
    assert isinstance(baseline.outcome, Timed)
    return own.outcome


@pytest.mark.parametrize("case", [make_case(SHAPE, pass_="dgrad"), make_case(SHAPE, pass_="wgrad")])
def test_a_gradient_is_timed_and_an_answer_kept_for_a_pointer_is_found(case: Case) -> None:
    right = {"dgrad": _aten.dgrad, "wgrad": _aten.wgrad}[case.pass_]
    kept: dict[int, Tensor] = {}

    def cached(dy: Tensor, other: Tensor, spec: ConvSpec) -> Tensor:
        return kept.setdefault(other.data_ptr(), right(dy, other, spec))

    assert isinstance(timed(case, **{case.pass_: right}), Timed)
    outcome = timed(case, **{case.pass_: cached})
    assert isinstance(outcome, Wrong)
    assert (outcome.check.evidence or "").startswith("correct before timing; while it was timed (")


def test_a_bias_that_was_remembered_is_found() -> None:
    kept: list[Tensor] = []

    def remembering(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
        kept.append(bias.clone())
        return conv(x, w, spec, kept[0])

    assert isinstance(timed(make_case(SHAPE, epilogue="bias"), fused=remembering), Wrong)


def test_the_default_epilogue_uses_what_was_prepared_and_gradients_do_not() -> None:
    seen: list[str] = []

    def pack(w: Tensor, spec: ConvSpec) -> tuple[Tensor]:
        seen.append("packed")
        return (w,)

    def packed_conv(x: Tensor, packed: tuple[Tensor], spec: ConvSpec) -> Tensor:
        return conv(x, packed[0], spec)

    own = backend(family="direct", source="", prepare=pack, dgrad=_aten.dgrad)(packed_conv)
    assert isinstance(examine(own, prepare_exam(make_case(SHAPE, epilogue="bias_relu"))), Verified)
    sets = len(seen)  # once for each set of operands, an image alone and three other problems among them
    assert sets == 6
    assert isinstance(examine(own, prepare_exam(make_case(SHAPE, pass_="dgrad"))), Verified)
    assert len(seen) == sets


@pytest.mark.program
def test_onednn_really_runs_in_both_gradients() -> None:
    """Its own log, which it writes to stdout: torch's profile shows aten::convolution_backward whatever runs inside."""
    (onednn,), _ = discover(names=["onednn"])
    if onednn.why_not(make_case(SHAPE)) is not None:
        pytest.skip("this torch has no oneDNN")
    code = (
        "import torch\nfrom convbench import discover\nfrom tests.conftest import make_case\n"
        "from convbench.verify.exam import prepare_exam\n(one,), _ = discover(names=['onednn'])\n"
        "for kind in ('dgrad', 'wgrad'):\n"
        f"    case = make_case('{SHAPE}', pass_=kind)\n    assert one.why_not(case) is None\n"
        "    operands = list(prepare_exam(case).operands.values())\n"
        "    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):\n"
        "        one.bind(case, operands)()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "convolution" in done.stdout
    assert "backward_data" in done.stdout
    assert "backward_weights" in done.stdout


@pytest.mark.gpu
def test_cudnn_says_which_gradients_it_runs() -> None:
    (cudnn,), _ = discover(names=["cudnn"])
    for kind in ("dgrad", "wgrad"):
        case = make_case("n2c8h12w12k16r3s3_pd1", device="cuda", pass_=kind)
        assert cudnn.why_not(case) is None
        assert isinstance(examine(cudnn, prepare_exam(case)), Verified)
