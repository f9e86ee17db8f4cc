"""The bounds hold for every order of summation, and no wider than they must."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from convbench import ConvSpec
from convbench.verify.bounds import (
    _AT,
    _BT,
    _G,
    accumulator_roundoff,
    direct_bound,
    fft_bound,
    gamma,
    interval,
    share_of_bound,
    transform_possible,
    winograd_bound,
)
from convbench.verify.check import prepare_exam
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


def winograd_float32(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """F(4x4, 3x3) in float32, for 3x3 kernels with stride 1."""
    tiles_h, tiles_w = -(-spec.p // 4), -(-spec.q // 4)
    right, bottom = 4 * tiles_w + 2 - spec.w - spec.padding[1], 4 * tiles_h + 2 - spec.h - spec.padding[0]
    padded = torch.nn.functional.pad(x, (spec.padding[1], right, spec.padding[0], bottom))
    bt, g, at = _BT.float(), _G.float(), _AT.float()
    data = bt @ padded.unfold(2, 6, 4).unfold(3, 6, 4) @ bt.T
    product = torch.einsum("kcab,nchwab->nkhwab", g @ w @ g.T, data)
    y = (at @ product @ at.T).permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, 4 * tiles_h, 4 * tiles_w)
    return y[..., : spec.p, : spec.q]


@pytest.mark.parametrize("shape", ["n2c64h13w14k8r3s3_pd1", "n1c16h9w7k4r3s3", "n1c8h12w12k8r3s3_pd2x0"])
def test_winograd_keeps_its_own_bound(shape: str) -> None:
    case = make_case(shape)
    exam = prepare_exam(case)
    y = winograd_float32(exam.x, exam.w, case.spec)
    bound = winograd_bound(case, exam.x, exam.w)
    assert bound.shape == exam.truth.y.shape
    share = ((y.double() - exam.truth.y).abs() / bound).max().item()
    assert 1e-4 < share < 0.2  # the bound's transforms are the right ones: it is not loose beyond sense


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
