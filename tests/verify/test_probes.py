"""Each probe finds what no other can, and leaves right kernels of every kind alone."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from convbench import Backend, ConvSpec, Failed, Skipped, Verified, Wrong, backend
from convbench.call.memory import GUARD, Zone, poisoned, zoned
from convbench.case import LAYOUTS, Case, Problem
from convbench.verify.exam import prepare_exam
from convbench.verify.fingerprint import name_sums, tf32_nearest, tf32_truncated
from convbench.verify.lattice import LARGEST_SUM, Lattice
from convbench.verify.locality import Locality, choose_place, reach
from convbench.verify.oracle import answer, by_loops, longest_sum, truth
from convbench.verify.sweep import verify
from convbench.verify.transforms import WINOGRAD_POINTS
from convbench.verify.trial import examine
from convbench.verify.verdict import _check_sharply
from tests.conftest import make_case
from tests.verify.test_bounds import winograd_float32

CASE = make_case("n2c20h9w10k6r3s3_pd1")
Conv = Callable[[Tensor, Tensor, ConvSpec], Tensor]


def conv(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def made(fn: Conv, family: str = "direct", **more: Any) -> Backend:
    return replace(backend(family=family, source="a test", **more)(fn), name="made")


def check_of(fn: Conv, case: Case = CASE, family: str = "direct", **more: Any) -> Any:
    outcome = examine(made(fn, family, **more), prepare_exam(case))
    assert isinstance(outcome, Verified | Wrong), outcome
    return outcome.check


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (tf32_nearest, "TF32 inputs: "),
        (tf32_truncated, "truncated TF32 inputs: "),
    ],
)
def test_tf32_for_ieee_is_wrong_by_name_even_where_the_wide_bound_lets_it_pass(
    inputs: Callable[[Tensor], Tensor], words: str
) -> None:
    case = make_case("n1c4096h3w3k4r3s3_pd1")
    check = check_of(lambda x, w, spec: conv(inputs(x), inputs(w), spec), case)
    assert check.probe == "sharp"
    assert check.evidence.startswith(words)
    assert "times what random numbers allow" in check.evidence


def test_an_fp32_kernel_on_bf16_inputs_is_named() -> None:
    check = check_of(lambda x, w, spec: conv(x.bfloat16().float(), w.bfloat16().float(), spec))
    assert (check.passed, check.probe) == (False, "numeric")


def sequential(x: Tensor, w: Tensor, spec: ConvSpec, kind: torch.dtype) -> Tensor:
    """Every partial sum rounded to a dtype."""
    patches = F.unfold(x.float(), (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)  # (N, C*R*S, P*Q)
    total = torch.zeros(spec.n, spec.k, spec.p * spec.q)
    for term, row in enumerate(w.float().flatten(1).T):
        total = (total + row[:, None] * patches[:, term, None]).to(kind).float()
    return total.reshape(spec.y_shape).to(x.dtype)


@pytest.mark.parametrize(("dtype", "kind"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_sums_kept_in_16_bits_are_found_and_named(dtype: str, kind: torch.dtype) -> None:
    case = make_case("n1c32h8w8k4r3s3_pd1", dtype=dtype)
    check = check_of(lambda x, w, spec: sequential(x, w, spec, kind), case)
    assert check.probe in ("numeric", "sharp")
    exam = prepare_exam(case)
    found = _check_sharply(
        exam, sequential(exam.x, exam.w, case.spec, kind), exam.truth.y, "direct", 0, (), check.fails("", "")
    )
    assert found.arithmetic == f"sums kept in {dtype}"


def test_a_narrow_accumulator_rounds_on_whole_numbers() -> None:
    case = make_case("n1c32h8w8k4r3s3_pd1", dtype="bf16")
    lattice = Lattice(case=case)
    x, w = lattice.exam.operands.values()
    out = sequential(x, w, case.spec, torch.bfloat16)
    check = lattice.check(out, "direct")
    assert check.probe == "lattice"
    assert check.evidence is not None
    assert check.evidence.startswith("on whole numbers, ")


def test_one_scalar_tap_in_a_long_sum_is_one_wrong_whole_number() -> None:
    case = make_case("n1c2048h3w3k2r3s3_pd1")

    def without(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        w = w.clone()
        w[0, 7, 1, 1] *= 1 - 2**-10
        return conv(x, w, spec)

    check = check_of(without, case)
    assert check.probe == "lattice"  # neither of the bounds sees a part in 20 million


@pytest.mark.parametrize("kind", ["fprop", "dgrad", "wgrad"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16", "fp64"])
def test_no_sum_of_the_lattice_is_ever_rounded(kind: str, dtype: str) -> None:
    for shape in ("n2c6h9w8k4r3s3_st2_pd1_g2", "n1c2048h2w2k2r2s2_pd1", "n3c1h5w4k2r2s3_pd1x0_dl2x1"):
        case = make_case(shape, dtype=dtype, pass_=kind)
        lattice = Lattice(case=case)
        operands = list(lattice.exam.operands.values())
        magnitude = answer(case, *(operand.abs() for operand in operands))
        assert magnitude.max() <= LARGEST_SUM[dtype]
        assert all(bool((operand != 0).all()) for operand in operands)
        assert all(torch.equal(operand.double(), operand.double().round()) for operand in operands)
        assert longest_sum(case) >= prepare_exam(case).truth.terms.max()


@pytest.mark.parametrize("kind", ["fprop", "dgrad", "wgrad"])
def test_the_oracle_equals_integer_loops_everywhere(kind: str) -> None:
    for shape in ("n2c4h6w5k4r3s2_st2x1_pd1x0_g2", "n1c2h7w7k3r2s2_dl2_pd2"):
        case = make_case(shape, pass_=kind)
        operands = list(Lattice(case=case).exam.operands.values())
        y = answer(case, *operands)
        for place in torch.cartesian_prod(*(torch.arange(size) for size in y.shape)).tolist():
            assert y[tuple(place)].item() == by_loops(case, operands, place)


def test_an_oracle_that_disagrees_with_the_loops_judges_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.verify.lattice.by_loops", lambda *_: 1 << 60)
    outcome = examine(made(conv), prepare_exam(CASE))
    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("the oracle: AssertionError: the oracle has ")


def test_a_sum_longer_than_the_accumulator_is_thinned_out() -> None:
    case = make_case("n1c1h400w300k1r1s1", dtype="fp16", pass_="wgrad")
    lattice = Lattice(case=case)
    magnitude = answer(case, *(operand.abs() for operand in lattice.exam.operands.values()))
    # As many as fit are kept by chance: within four deviations of the limit, which fp16 holds as a result.
    assert abs(magnitude.max() - LARGEST_SUM["fp16"]) < 4 * LARGEST_SUM["fp16"] ** 0.5
    assert longest_sum(case) > 1.5 * LARGEST_SUM["fp16"]


def test_reading_beside_the_input_is_found() -> None:
    def beyond(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = conv(x, w, spec)
        if x.storage_offset() >= GUARD:  # elsewhere it would be memory that is not there
            after = x.as_strided((1,), (1,), x.storage_offset() + x.numel())
            y[-1, -1, -1, -1] += after.item() * 0
        return y

    check = check_of(beyond)
    assert check.probe == "lattice"
    assert "1 of 1,080 outputs wrong" in check.evidence
    assert "got nan" in check.evidence


def test_writing_beside_the_input_or_the_output_is_found() -> None:
    def beside_input(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        if w.storage_offset() >= GUARD:
            w.as_strided((1,), (1,), w.storage_offset() - 1).fill_(0)
        return conv(x, w, spec)

    def beside_output(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = torch.empty(spec.y_shape)
        if y.storage_offset() >= GUARD:
            y.as_strided((1,), (1,), y.storage_offset() + y.numel()).fill_(0)
        return y.copy_(conv(x, w, spec))

    assert check_of(beside_input).evidence == "it wrote beyond its input w"
    assert check_of(beside_output).evidence == "it wrote beyond the memory that it had allocated"


def test_a_tensor_may_be_resized_into_what_surrounds_it() -> None:
    def resizing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        scratch = torch.empty(3)
        scratch.resize_(64).zero_()
        return conv(x, w, spec)

    assert check_of(resizing).passed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_zone_keeps_numbers_strides_and_alignment(layout: str) -> None:
    for tensor in prepare_exam(make_case("n2c3h5w4k6r3s3", layout=layout)).operands.values():
        zone = zoned(tensor)
        assert torch.equal(zone.tensor, tensor)
        assert zone.tensor.stride() == tensor.stride()
        assert zone.tensor.data_ptr() % 64 == tensor.data_ptr() % 64
        assert zone.whole
        zone.tensor.as_strided((1,), (1,), GUARD - 1).fill_(1)
        assert not zone.whole


def test_memory_asked_for_in_python_lies_in_a_zone() -> None:
    with poisoned((1,), torch.zeros(1)) as zones:
        kept = torch.empty(2, 3, memory_format=torch.contiguous_format)
        torch.empty(0)
        torch.empty(5, device="meta")
    assert len(zones) == 1
    assert isinstance(zones[0], Zone)
    assert kept.isnan().all()


def test_an_answer_kept_by_address_is_wrong_for_other_operands() -> None:
    kept: list[Tensor] = []

    def lazy(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        kept.append(conv(x, w, spec))
        return kept[0].clone()

    assert check_of(lazy).probe == "lattice"


def test_an_answer_kept_for_a_buffer_is_wrong_for_other_numbers_in_it() -> None:
    kept: dict[tuple[int, int], Tensor] = {}

    def lazy(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        key = (x.data_ptr(), w.data_ptr())
        if key not in kept:
            kept[key] = conv(x, w, spec)
        return kept[key].clone()

    check = check_of(lazy)
    assert check.probe == "locality"
    assert "does not reach" in check.evidence


def test_two_calls_that_differ_in_a_bit_are_wrong_unless_that_is_declared() -> None:
    def wavering() -> Conv:
        calls = iter(range(10**6))

        def waver(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
            y = conv(x, w, spec)
            if next(calls) % 2:
                y[0, 0, 0, 0] = torch.nextafter(y[0, 0, 0, 0], torch.tensor(9.0))
            return y

        return waver

    check = check_of(wavering())
    assert check.probe == "repeat"
    assert check.evidence.startswith("two equal calls differ in 1 output, in ")
    assert "both are right" in check.evidence
    declared = check_of(wavering(), nondeterministic=lambda case: True)
    assert declared.passed
    assert declared.arithmetic == "ieee fp32, equal calls differ in their last bits"


@pytest.mark.parametrize(("steps", "right"), [(2, True), (200, False)])
def test_calls_that_are_said_to_differ_may_differ_as_orders_of_summation_do(steps: int, right: bool) -> None:
    """In fp64, whose bound of a long sum is wide enough for both."""
    case, calls = make_case("n1c64h9w9k4r3s3_pd1", dtype="fp64"), iter(range(10**6))

    def waver(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = conv(x, w, spec)
        return y + next(calls) % 2 * steps * 2.0**-53 * conv(x.abs(), w.abs(), spec)

    check = check_of(waver, case, nondeterministic=lambda case: True)
    assert check.passed == right, check
    if not right:
        assert check.probe == "repeat"
        assert check.evidence.startswith("two equal calls differ by more than two orders of summation can in ")


def test_whether_calls_may_differ_is_asked_before_there_is_a_truth() -> None:
    exam = prepare_exam(CASE)
    seen: list[bool] = []

    def says(case: Case) -> bool:
        seen.append("truth" in vars(exam))
        return True

    calls = iter(range(10**6))
    outcome = examine(made(lambda x, w, spec: conv(x, w, spec) + next(calls) % 2 * 1e-7, nondeterministic=says), exam)
    assert isinstance(outcome, Verified), outcome
    assert seen == [False]


@pytest.mark.parametrize("kind", ["fprop", "dgrad", "wgrad"])
@pytest.mark.parametrize("shape", ["n2c6h9w8k4r3s3_st2_pd1_g2", "n1c3h8w9k2r2s3_dl2x1_pd0x2", "n3c2h4w4k2r1s1_st3"])
def test_the_reach_of_a_nan_is_that_of_the_sum(shape: str, kind: str) -> None:
    """By the oracle itself: a number that is changed moves every output that depends on it."""
    for seed in range(5):
        case = make_case(shape, pass_=kind, seed=seed)
        place = choose_place(case)
        assert place is not None
        operands = list(prepare_exam(case).operands.values())
        before = answer(case, *operands)
        operands[0][place] += 1
        must, may = reach(case, place)
        assert torch.equal(answer(case, *operands) != before, must)
        assert bool((must <= may).all())
        if kind != "wgrad":
            assert torch.equal(must, may)


def test_a_nan_that_is_swallowed_or_spread_is_told() -> None:
    swallowed = check_of(lambda x, w, spec: conv(x.nan_to_num(), w, spec))
    assert swallowed.probe == "locality"
    assert "does not reach 54 outputs" in swallowed.evidence or "does not reach 36 outputs" in swallowed.evidence

    def spread(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = conv(x, w, spec)
        return y + 0 * y.roll(1, -1)  # a neighbour, times zero

    leaked = check_of(spread)
    assert leaked.probe == "locality"
    assert "that do not depend on it" in leaked.evidence


def test_a_relu_may_take_a_nan_for_zero_and_nothing_else_may() -> None:
    def swallowing(x: Tensor, w: Tensor, bias: Tensor, spec: ConvSpec) -> Tensor:
        y = F.conv2d(x, w, bias, spec.stride, spec.padding, spec.dilation, spec.groups)
        return torch.where(y > 0, y, 0.0)

    relu = make_case("n2c20h9w10k6r3s3_pd1", epilogue="bias_relu")
    probe = Locality(exam=prepare_exam(relu))
    plain = swallowing(*probe.exam.operands.values(), relu.spec)  # type: ignore[call-arg, arg-type]  # x, w and bias
    with probe.pierced():
        out = swallowing(*probe.exam.operands.values(), relu.spec)  # type: ignore[call-arg, arg-type]  # the same
    assert not out.isnan().any()
    found = probe.check(out, plain, "direct")
    assert (found.passed, found.arithmetic) == (True, "relu makes 0 of NaN")
    must, _ = reach(relu, probe.place or (0, 0, 0, 0))
    last = int(must.nonzero()[-1, -1])
    out[..., last] = torch.where(must[..., last], torch.nan, out[..., last])  # the tail of a loop keeps it
    found = probe.check(out, plain, "direct")
    kept, whole = int(must[..., last].sum()), int(must.sum())
    assert (found.passed, found.arithmetic) == (True, f"relu makes 0 of NaN in {whole - kept} of {whole} outputs")
    without = Locality(exam=prepare_exam(CASE))
    plain = conv(without.exam.x, without.exam.w, CASE.spec)
    assert "does not reach" in (without.check(plain, plain, "direct").evidence or "")


def test_tf32_rounds_ties_to_even_or_cuts() -> None:
    unit = 2.0**-10
    given = torch.tensor([1 + unit / 2, 1 + 3 * unit / 2, -1 - 3 * unit / 2, 1 + 0.51 * unit, 1 + 0.99 * unit])
    assert tf32_nearest(given).tolist() == [1.0, 1 + 2 * unit, -1 - 2 * unit, 1 + unit, 1 + unit]
    assert tf32_truncated(given).tolist() == [1.0, 1 + unit, -1 - unit, 1.0, 1.0]


@pytest.mark.parametrize(
    ("error", "words"),
    [(1e-5, "sums kept in less than fp32"), (3e-3, "sums kept in less than fp32"), (2e-2, ""), (0.1, "")],
)
def test_an_error_is_named_after_sums_no_further_than_they_err(error: float, words: str) -> None:
    y, ones = torch.ones(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    out = (y + error).float()
    assert name_sums(out, y, ones, 2 * ones) == words  # four roundings to bf16: 4 * 2^-8 = 0.0156


def test_a_place_is_chosen_that_some_output_reads() -> None:
    assert choose_place(make_case("n0c1h4w4k1r2s2")) is None
    only_padding = make_case("n1c1h1w1k1r1s1_st3_pd1")
    assert choose_place(only_padding) is None
    for seed in range(20):
        case = make_case("n1c1h7w7k1r1s1_st3", seed=seed)
        place = choose_place(case)
        assert place is not None
        assert place[2] % 3 == place[3] % 3 == 0


@pytest.mark.parametrize(("points", "name"), list(zip(WINOGRAD_POINTS, (2, 4, 4, 6), strict=False)))
def test_winograd_passes_as_such_and_is_named(points: tuple[float, ...], name: int) -> None:
    case = make_case("n1c8h26w25k4r3s3_pd1")
    check = check_of(lambda x, w, spec: winograd_float32(x, w, spec, points), case, "winograd")
    assert check.passed, check.evidence
    assert check.arithmetic in (f"Winograd F({name}x{name}, 3x3)", "ieee fp32")
    direct = check_of(lambda x, w, spec: winograd_float32(x, w, spec, points), case)
    assert not direct.passed


def test_winograd_with_a_bug_is_wrong_on_whole_numbers() -> None:
    case = make_case("n1c8h26w25k4r3s3_pd1")

    def bugged(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = winograd_float32(x, w, spec, WINOGRAD_POINTS[1])
        y[0, 0, 25, 24] = (y[0, 0, 25, 24] - w[0, 0, 1, 1] * x[0, 0, 25, 24]).item()
        return y

    assert not check_of(bugged, case, "winograd").passed


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_the_arithmetic_of_a_right_kernel_is_named(dtype: str) -> None:
    check = check_of(conv, make_case("n1c16h9w9k4r3s3_pd1", dtype=dtype))
    if check.passed:  # oneDNN's bf16 has a defect of its own
        assert check.arithmetic == ("ieee fp32" if dtype == "fp32" else "fp32 sums")
        assert 0 <= check.omega < 16


def test_a_known_defect_is_told_and_fails_nobody() -> None:
    def swallowing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return conv(x.nan_to_num(), w, spec)

    known = made(swallowing, defects=lambda case, probe: "it swallows NaN" if probe == "locality" else None)
    outcome = examine(known, prepare_exam(CASE))
    assert isinstance(outcome, Verified)
    assert outcome.check.defect == "it swallows NaN"
    other = made(swallowing, defects=lambda case, probe: "slow" if probe == "numeric" else None)
    assert isinstance(examine(other, prepare_exam(CASE)), Wrong)


def test_what_raises_in_a_probe_says_in_which() -> None:
    def finite(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        if x.isnan().any():
            raise ValueError("x is not finite")
        return conv(x, w, spec)

    outcome = examine(made(finite), prepare_exam(CASE))
    assert isinstance(outcome, Failed)
    assert re.fullmatch(r"ValueError: x is not finite \(test_probes.py:\d+\) \(with a NaN in x\)", outcome.message)


def test_foreign_code_runs_before_the_truth_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def watched(*operands: Any) -> Any:
        order.append("truth")
        return truth(*operands)

    def foreign(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        order.append("foreign")
        return conv(x, w, spec)

    own = replace(made(conv), name="own", origin="convbench.backends.own")
    monkeypatch.setattr("convbench.verify.exam.truth", watched)
    results = list(verify([CASE], [own, made(foreign)]))
    assert [type(result.outcome) for result in results] == [Verified, Verified]
    assert "truth" in order
    assert order == sorted(order)  # "foreign" comes before "truth"


def test_autograd_through_a_backend_is_compared_with_finite_differences() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
            ctx.save_for_backward(x, w)
            ctx.spec = spec
            return conv(x, w, spec)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            x, w = ctx.saved_tensors
            dx = conv2d_input(x.shape, w, gradients[0], padding=ctx.spec.padding)
            dw = conv2d_weight(x, w.shape, gradients[0], padding=ctx.spec.padding)
            return dx, 2 * dw, None

    def doubled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y: Tensor = Doubled.apply(x, w, spec)
        return y

    case = make_case("n1c2h5w5k3r3s3_pd1", dtype="fp64")
    check = check_of(doubled, case, autograd=True)
    assert check.probe == "gradient"
    assert "wrong gradient: Jacobian" in check.evidence
    assert "with respect to w" in check.evidence
    assert check_of(conv, case, autograd=True).passed
    cut = check_of(lambda x, w, spec: conv(x, w, spec).detach(), case, autograd=True)
    assert "autograd does not work through it" in cut.evidence
    assert check_of(doubled, make_case("n1c2h5w5k3r3s3_pd1"), autograd=True).passed  # float32 has no such differences
    assert check_of(doubled, case).passed  # it promises nothing


class Atomics(torch.autograd.Function):
    """Gradients as atomics make them: the last bits of dw are others at every call."""

    by = 1e-15

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.spec = spec
        return conv(x, w, spec)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (dy,) = gradients
        x, w = ctx.saved_tensors
        spec = ctx.spec
        dx = conv2d_input(x.shape, w, dy, spec.stride, spec.padding, spec.dilation, spec.groups)
        dw = conv2d_weight(x, w.shape, dy, spec.stride, spec.padding, spec.dilation, spec.groups)
        return dx, dw * (1 + Atomics.by * torch.randn_like(dw)), None


@pytest.mark.parametrize(
    ("by", "declared", "right"),
    [(1e-15, True, True), (1e-15, False, False), (1e-6, True, False), (0.0, False, True)],
)
def test_gradients_may_differ_in_their_last_bits_where_that_is_declared(
    monkeypatch: pytest.MonkeyPatch, by: float, declared: bool, right: bool
) -> None:
    monkeypatch.setattr(Atomics, "by", by)

    def adds(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y: Tensor = Atomics.apply(x, w, spec)
        return y

    more: Any = {"nondeterministic": lambda case: case.pass_ != "fprop"} if declared else {}
    found = check_of(adds, make_case("n1c4h6w6k4r3s3_pd1", dtype="fp64"), autograd=True, **more)
    assert found.passed is right, found
    assert right or "autograd gives a wrong gradient" in found.evidence


def keeps_its_workspace() -> Conv:
    """The padded image is made in memory that is kept, whose border is zero only when it is new."""
    room = [torch.zeros(0)]

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        (top, left), shape = spec.padding, (spec.n, spec.c, *spec.padded)
        if (need := prod(shape)) > room[0].numel():
            room[0] = torch.zeros(need)
        image = room[0][:need].view(shape)
        image[:, :, top : top + spec.h, left : left + spec.w] = x
        return F.conv2d(image, w, None, spec.stride, 0, spec.dilation, spec.groups)

    return fn


def test_what_an_earlier_call_of_another_problem_left_behind_is_found() -> None:
    found = check_of(keeps_its_workspace())
    assert found.probe == "state"
    called = "n2c21h12w13k7r3s3 and n2c20h11w10k6r3s3_pd0x1 and n2c20h11w12k6r3s3"
    assert found.evidence.startswith(f"right at first, wrong after a call of {called}: ")
    bare = make_case("n2c20h9w10k6r3s3")  # without padding each place is written again
    assert check_of(keeps_its_workspace(), bare).passed


def test_a_kernel_that_was_written_for_one_size_is_asked_for_that_one_and_accused_of_nothing() -> None:
    called: list[ConvSpec] = []

    def one_size(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        called.append(spec)
        if spec.c != 20:
            raise ValueError("20 channels")
        return conv(x[:, :, :9, :10], w, CASE.spec)  # whatever the size of the image

    assert check_of(one_size).passed
    larger, filled = {"n2c21h12w13k7r3s3", "n2c20h12w13k6r3s3"}, {"n2c20h11w10k6r3s3_pd0x1", "n2c20h11w12k6r3s3"}
    assert {str(one) for one in called if one.n == 2} == {str(CASE.spec)} | larger | filled


def test_in_a_sweep_each_backend_is_asked_for_other_problems_once_with_padding_and_once_without() -> None:
    shapes = ["n1c2h6w5k4r3s3_pd1", "n1c2h6w5k4r3s3", "n1c2h7w5k4r3s3_pd1", "n1c2h7w5k4r3s3"]
    called: list[str] = []

    def counted(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        called.append(str(spec))
        return conv(x, w, spec)

    cases = [make_case(shape) for shape in shapes]
    assert all(isinstance(one.outcome, Verified) for one in verify(cases, [made(counted)]))
    filled = ["n1c2h8w5k4r3s3_pd0x1", "n1c2h8w7k4r3s3"]
    assert sorted(set(called) - set(shapes)) == [*filled, "n1c3h7w6k5r3s3", "n1c3h9w8k5r3s3"]


def test_an_output_that_a_later_call_overwrites_is_found() -> None:
    kept: dict[tuple[int, ...], Tensor] = {}

    def into_its_workspace(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return kept.setdefault(spec.y_shape, x.new_empty(spec.y_shape)).copy_(conv(x, w, spec))

    found = check_of(into_its_workspace)
    words = "a later call wrote into the output that an earlier one had returned"
    assert (found.probe, found.evidence) == ("memory", words)
    assert check_of(lambda x, w, spec: into_its_workspace(x, w, spec).clone()).passed


def test_a_transform_may_leave_the_range_of_its_sums_but_not_that_of_fp16() -> None:
    points = WINOGRAD_POINTS[1]

    def winograd(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return winograd_float32(x.float(), w.float(), spec, points).to(x.dtype)

    def scaled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:  # between B^T and G, as libraries do
        return winograd_float32(x.float() * 2**12, w.float() * 2**-12, spec, points).to(x.dtype)

    def stored_in_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return winograd_float32((x.float() * 16).half().float() / 16, w.float(), spec, points).to(x.dtype)

    spec = ConvSpec.parse("n1c3h8w9k5r3s3_pd1")
    for dtype, recipe, fn, family, outcome in (
        ("fp32", "huge", scaled, "winograd", Skipped),
        ("fp32", "huge", scaled, "direct", Wrong),
        ("fp32", "huge", conv, "winograd", Verified),
        ("fp16", "large_and_small", stored_in_fp16, "winograd", Wrong),
        ("fp16", "large_and_small", winograd, "winograd", Verified),
    ):
        case = Case(problem=Problem(suite="test", name="large", spec=spec, operands=recipe), dtype=dtype)
        found = examine(made(fn, family), prepare_exam(case))
        assert isinstance(found, outcome), (dtype, recipe, family, found)
        if isinstance(found, Skipped):
            assert found.reason.startswith("numbers this large may overflow in a transform of family winograd")


@pytest.mark.parametrize(("dtype", "recipe"), [("fp32", "zero_image"), ("fp16", "zero_image"), ("fp32", "zero_second")])
def test_a_scale_of_nothing_is_found_on_zeros_alone(dtype: str, recipe: str) -> None:
    def scaled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        sizes = x.float().abs().amax((1, 2, 3), keepdim=True)
        size = w.float().abs().max()
        return (conv(x.float() / sizes, w.float() / size, spec) * sizes * size).to(x.dtype)

    spec = CASE.spec
    zeros = Case(problem=Problem(suite="test", name="zeros", spec=spec, operands=recipe), dtype=dtype)
    found = check_of(scaled, zeros)
    assert "nan" in found.evidence
    assert check_of(conv, zeros).passed
