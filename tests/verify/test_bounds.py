"""The bounds hold for every order of summation, and no wider than they must."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from convbench import ConvSpec
from convbench.discovery import discover
from convbench.outcome import Verified
from convbench.verify.bounds import (
    accumulator_roundoff,
    direct_bound,
    gamma,
    interval,
    share_of_bound,
    sharp_bound,
    storing_bound,
)
from convbench.verify.exam import prepare_exam
from convbench.verify.oracle import Truth
from convbench.verify.transforms import (
    WINOGRAD_POINTS,
    fft_bound,
    transform_bound,
    transform_possible,
    winograd_bound,
    winograd_matrices,
)
from convbench.verify.trial import examine
from convbench.verify.verdict import check
from tests.conftest import make_case


def test_gamma_is_highams() -> None:
    assert gamma(10.0, 2.0**-24) == pytest.approx(10 * 2.0**-24, rel=1e-6)


@pytest.mark.parametrize(
    ("axes", "roundoff"),
    [
        ({"dtype": "fp32"}, 2.0**-24),
        ({"dtype": "bf16"}, 2.0**-24),
        ({"dtype": "fp64"}, 2.0**-53),
        ({"dtype": "fp32", "device": "cuda"}, 2.0**-24),
        ({"dtype": "bf16", "device": "cuda"}, 2.0**-23),
        ({"dtype": "fp32", "device": "cuda", "precision": "tf32"}, 2.0**-23),
    ],
)
def test_tensor_cores_truncate_their_sums(axes: dict[str, str], roundoff: float) -> None:
    assert accumulator_roundoff(make_case("n1c1h4w4k1r2s2", **axes)) == roundoff


@pytest.mark.parametrize("seed", range(5))
def test_a_sum_in_the_worst_order_stays_inside(seed: int) -> None:
    """A sequential sum in float32, largest terms first, errs far more than any library does."""
    case = make_case("n1c512h1w1k1r1s1", seed=seed)
    exam = prepare_exam(case)
    products = (exam.x.flatten() * exam.w.flatten()).tolist()
    total = torch.zeros(())
    for product in sorted(products, key=abs, reverse=True):
        total = total + torch.tensor(product)
    low, high = interval(exam.truth.y, exam.error, torch.float32)
    assert share_of_bound(total.reshape(1, 1, 1, 1), exam.truth.y, low, high).item() <= 1


@given(st.floats(-1e30, 1e30), st.floats(0, 1e20), st.sampled_from([torch.bfloat16, torch.float16, torch.float32]))
def test_the_interval_holds_every_rounding_of_what_it_encloses(y: float, e: float, dtype: torch.dtype) -> None:
    middle = torch.tensor([y], dtype=torch.float64)
    low, high = interval(middle, torch.tensor([e], dtype=torch.float64), dtype)
    for value in (y - e, y, y + e):
        rounded = torch.tensor([value], dtype=torch.float64).to(dtype).double()
        assert low <= rounded <= high


def test_the_share_is_one_at_the_edge_and_more_beyond() -> None:
    y, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    low, high = interval(y, one, torch.float32)
    assert share_of_bound(torch.tensor([1.0]), y, low, high).item() == 1
    assert share_of_bound(torch.tensor([0.5]), y, low, high).item() == 0.5
    assert share_of_bound(torch.tensor([1.0000001]), y, low, high).item() > 1
    for hopeless in (float("nan"), float("inf"), -float("inf")):
        assert share_of_bound(torch.tensor([hopeless]), y, low, high).item() == float("inf")


def test_an_overflow_that_the_format_forces_is_right() -> None:
    y = torch.tensor([7e4], dtype=torch.float64)
    low, high = interval(y, torch.tensor([1e2], dtype=torch.float64), torch.float16)
    assert share_of_bound(torch.tensor([float("inf")], dtype=torch.float16), y, low, high).item() <= 1
    assert share_of_bound(torch.tensor([6e4], dtype=torch.float16), y, low, high).item() > 1


# F(4x4, 3x3) as Lavin and Gray 2016 print it in section 4.1.
PRINTED_BT = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0]]
PRINTED_BT += [[0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
PRINTED_G = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # in twenty-fourths
PRINTED_AT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def test_the_matrices_are_the_printed_ones_but_for_the_scale_of_a_row() -> None:
    bt, g, at = winograd_matrices(WINOGRAD_POINTS[1])
    assert at.tolist() == PRINTED_AT
    # Infinity stands last in both; the sign of a row may move from B to G.
    scale = torch.tensor(PRINTED_BT).double().abs().amax(1) / bt.abs().amax(1)
    assert torch.equal((scale[:, None] * bt).abs(), torch.tensor(PRINTED_BT).double().abs())
    printed_g = torch.tensor(PRINTED_G).double() / 24
    assert torch.allclose((g / scale[:, None]).abs(), printed_g.abs(), rtol=1e-15, atol=0)


@pytest.mark.parametrize("taps", [2, 3, 5])
@pytest.mark.parametrize("points", WINOGRAD_POINTS, ids=len)
def test_the_matrices_convolve(points: tuple[float, ...], taps: int) -> None:
    if len(points) < taps:
        return
    bt, g, at = winograd_matrices(points, taps)
    x, w = torch.randn(len(bt), dtype=torch.float64), torch.randn(taps, dtype=torch.float64)
    expected = torch.nn.functional.conv1d(x[None, None], w[None, None]).flatten()
    assert torch.allclose(at @ ((g @ w) * (bt @ x)), expected, atol=1e-12)
    # What the proof counts on: no row of B^T or A^T is full.
    assert max(int(row.count_nonzero()) for matrix in (bt, at) for row in matrix) <= len(bt) - 1


def winograd_float32(x: Tensor, w: Tensor, spec: ConvSpec, points: tuple[float, ...]) -> Tensor:
    """F(m x m, 3x3) in float32, for 3x3 kernels with stride 1."""
    bt, g, at = (matrix.float() for matrix in winograd_matrices(points))
    t, m = len(bt), len(at)
    tiles_h, tiles_w = -(-spec.p // m), -(-spec.q // m)
    right, bottom = m * tiles_w + 2 - spec.w - spec.padding[1], m * tiles_h + 2 - spec.h - spec.padding[0]
    padded = torch.nn.functional.pad(x, (spec.padding[1], right, spec.padding[0], bottom))
    data = bt @ padded.unfold(2, t, m).unfold(3, t, m) @ bt.T
    product = torch.einsum("kcab,nchwab->nkhwab", g @ w @ g.T, data)
    y = (at @ product @ at.T).permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, m * tiles_h, m * tiles_w)
    return y[..., : spec.p, : spec.q]


@pytest.mark.parametrize("points", [one for one in WINOGRAD_POINTS if len(one) > 2], ids=len)
@pytest.mark.parametrize("shape", ["n2c64h13w14k8r3s3_pd1", "n1c16h9w7k4r3s3", "n1c8h12w12k8r3s3_pd2x0"])
def test_winograd_keeps_its_own_bound(shape: str, points: tuple[float, ...]) -> None:
    case = make_case(shape)
    exam = prepare_exam(case)
    y = winograd_float32(exam.x, exam.w, case.spec, points)
    bound = winograd_bound(case, exam.x, exam.w, points)
    assert bound.shape == exam.truth.y.shape
    share = ((y.double() - exam.truth.y).abs() / bound).max().item()
    assert 1e-4 < share < 0.2  # the bound's transforms are the right ones: it is not loose beyond sense
    assert torch.all(bound <= transform_bound(case, exam.x, exam.w))


def test_winograd_on_a_cpu_is_judged_by_its_own_bound_and_only_where_it_says_so() -> None:
    """With a single channel the direct bound is too narrow for F(6x6, 3x3)."""
    case = make_case("n1c1h20w20k1r3s3_pd1")
    exam = prepare_exam(case)
    y = winograd_float32(exam.x, exam.w, case.spec, WINOGRAD_POINTS[3])
    assert check(exam, y, "winograd").passed
    assert not check(exam, y, "vendor").passed
    y[0, 0, 5, 5] += 1e-2
    assert not check(exam, y, "winograd").passed


@pytest.mark.parametrize("shape", ["n2c6h13w14k8r5s5_pd2", "n1c16h9w7k4r3s3_g4"])
def test_an_fft_keeps_its_bound(shape: str) -> None:
    case = make_case(shape)
    exam, spec = prepare_exam(case), case.spec
    size = (spec.h + 2 * spec.padding[0], spec.w + 2 * spec.padding[1])
    padded = torch.nn.functional.pad(exam.x, (spec.padding[1],) * 2 + (spec.padding[0],) * 2)
    images = torch.fft.rfft2(padded).reshape(spec.n, spec.groups, 1, spec.c_per_group, size[0], -1)
    kernels = (
        torch.fft.rfft2(exam.w, s=size).conj().reshape(spec.groups, spec.k_per_group, spec.c_per_group, size[0], -1)
    )
    y = torch.fft.irfft2((images * kernels).sum(dim=3), s=size).reshape(spec.n, spec.k, *size)[..., : spec.p, : spec.q]
    share = ((y.double() - exam.truth.y).abs() / fft_bound(case, exam.x, exam.w)).max().item()
    assert 1e-5 < share < 0.2


def test_a_transform_is_thought_of_only_where_a_vendor_could_run_it() -> None:
    on_gpu = make_case("n1c8h9w9k8r3s3_pd1", device="cuda")
    assert transform_possible(on_gpu, "vendor")
    assert not transform_possible(on_gpu, "im2col")
    assert not transform_possible(make_case("n1c8h9w9k8r3s3_pd1"), "vendor")
    assert transform_possible(make_case("n1c8h9w9k8r3s3_pd1"), "winograd")
    assert transform_possible(make_case("n1c8h9w9k8r3s2_pd1"), "winograd")
    assert transform_possible(make_case("n1c8h9w9k8r1s3"), "winograd")
    assert not transform_possible(make_case("n1c8h9w9k8r1s1"), "winograd")
    assert not transform_possible(make_case("n1c8h9w9k8r3s3_pd1"), "winograd", (0.0, 1.0))
    assert transform_possible(make_case("n1c8h9w9k8r3s3_st2_dl3"), "fft")
    assert not transform_possible(make_case("n1c8h9w9k8r3s3_pd1_dl2"), "winograd")
    assert not transform_possible(make_case("n1c8h9w9k8r3s3_st2", device="cuda"), "vendor")
    assert not transform_possible(make_case("n1c8h9w9k8r1s1", device="cuda"), "vendor")
    assert not transform_possible(make_case("n1c8h9w9k8r3s3_pd1", device="cuda", dtype="fp64"), "vendor")


def test_a_sum_too_long_for_its_arithmetic_has_no_bound() -> None:
    assert gamma(2048.0, 2.0**-11) == float("inf")
    assert gamma(torch.tensor([1.0, 4096.0]), 2.0**-11).tolist() == pytest.approx([2.0**-11, float("inf")], rel=1e-3)


def test_an_error_beyond_an_interval_on_the_other_side_is_still_measured() -> None:
    y = torch.tensor([-0.7314], dtype=torch.float64)
    low, high = interval(y, torch.tensor([1e-7], dtype=torch.float64), torch.bfloat16)
    assert share_of_bound(torch.tensor([-100.0], dtype=torch.bfloat16), y, low, high).item() > 1000


def test_the_bound_grows_with_the_terms_and_tf32_adds_its_inputs() -> None:
    exam = prepare_exam(make_case("n1c3h6w6k2r3s3_pd1"))
    corner, middle = direct_bound(exam.case, exam.truth) / exam.truth.magnitude, (0, 0, 3, 3)
    assert corner[0, 0, 0, 0] < corner[middle]
    tf32 = direct_bound(make_case("n1c3h6w6k2r3s3_pd1", precision="tf32", device="cuda"), exam.truth)
    assert bool((tf32 > 2.0**-10 * exam.truth.magnitude).all())


def test_the_bounds_are_the_ones_of_the_books_to_the_last_digit() -> None:
    """From their formulas, for 14 products in every output."""
    shape = "n1c14h3w3k2r1s1"
    truth = prepare_exam(make_case(shape)).truth
    magnitude, steps, tiny = truth.magnitude, 16, 2.0**-126

    def near(bound: Tensor, want: Tensor) -> bool:
        return torch.allclose(bound, want, rtol=1e-14, atol=0)

    def gammas(u: float) -> float:
        return steps * u / (1 - steps * u)

    fp32, fp64 = make_case(shape), make_case(shape, dtype="fp64")
    tf32 = make_case(shape, precision="tf32", device="cuda")
    summed = gammas(2.0**-23) * magnitude
    t = 2.0**-10
    hard = {
        fp32: gammas(2.0**-24) * magnitude + steps * tiny,
        fp64: 2 * gammas(2.0**-53) * magnitude + steps * 2.0**-1022,  # the oracle errs as much as the kernel
        tf32: summed + (2 * t + t * t) * (magnitude + summed) + steps * tiny,
    }
    for case, want in hard.items():
        assert near(direct_bound(case, truth), want), case.precision
    truncating = make_case(shape, dtype="fp16", device="cuda")
    wide = torch.full_like(magnitude, 1.0)
    assert near(sharp_bound(fp32, truth, wide), 16 * 2.0**-24 * magnitude + steps * tiny)
    assert near(sharp_bound(truncating, truth, wide), (16 + 2 * (14 / 8) ** 0.5) * 2.0**-23 * magnitude + steps * tiny)
    assert torch.equal(sharp_bound(fp32, truth, 1e-30 * wide), 1e-30 * wide)
    longer = prepare_exam(make_case("n1c900h3w3k2r1s1")).truth
    assert near(sharp_bound(fp32, longer, wide), 16 * 2.0**-24 * longer.magnitude + 902 * tiny)


def truth_of(magnitude: float, terms: float) -> Truth:
    one = torch.ones(1, dtype=torch.float64)
    return Truth(y=0 * one, magnitude=magnitude * one, terms=terms * one)


def test_every_partial_sum_that_is_stored_may_lose_half_a_subnormal() -> None:
    nothing = torch.zeros(1, dtype=torch.float64)
    assert storing_bound(torch.float16, truth_of(0, 9), nothing, 1).item() == 9 * 2.0**-25
    assert storing_bound(torch.float16, truth_of(0, 9), nothing, 3).item() == 2 * 9 * 2.0**-25
    one = storing_bound(torch.float16, truth_of(1, 9), nothing + 0.5, 3).item()
    assert one == pytest.approx(1.5 * 3 * 2.0**-11 / (1 - 3 * 2.0**-11) + 2 * 9 * 2.0**-25, rel=1e-14)


def test_an_output_that_sums_nothing_is_0_however_often_the_others_are_stored() -> None:
    """256 roundings to bf16 leave nothing certain of a sum; 0 times infinity would be NaN, and no number within it."""
    nothing = torch.zeros(1, dtype=torch.float64)
    assert storing_bound(torch.bfloat16, truth_of(0, 0), nothing, 289).item() == 0
    assert storing_bound(torch.bfloat16, truth_of(1, 1), nothing, 289).item() == float("inf")
    case = make_case("n1c2h11w4k16r17s17_st17_pd8_g2", dtype="bf16", layout="unaligned", pass_="dgrad")
    ((found,), _) = discover(names=["torch"])
    assert isinstance(examine(found, prepare_exam(case)), Verified)


@pytest.mark.parametrize("name", ["unfold-matmul", "unfold-einsum"])
def test_columns_of_subnormals_are_each_rounded(name: str) -> None:
    ((found,), _) = discover(names=[name])
    plain = make_case("n1c5h8w9k6r3s3_pd1", dtype="fp16", pass_="dgrad")
    case = replace(plain, problem=replace(plain.problem, operands="subnormal_result"))
    assert isinstance(examine(found, prepare_exam(case)), Verified)


@pytest.mark.parametrize(("y", "right"), [(1 + 2**-11 + 2**-40, 1 + 2**-10), (1 + 3 * 2**-11 - 2**-40, 1 + 2**-10)])
def test_rounding_twice_never_shuts_the_right_number_out(y: float, right: float) -> None:
    """Next to a tie of fp16: through float32 it becomes the tie, and falls to the wrong side."""
    exact, nothing = torch.tensor([y], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert exact.to(torch.float32).to(torch.float16).item() != right
    low, high = interval(exact, nothing, torch.float16)
    assert low.item() <= right <= high.item()
