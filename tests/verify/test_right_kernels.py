"""Right kernels of every kind are verified, and the same kernels with a fault planted are not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench import ConvSpec
from convbench.backend import Backend, adopt, backend
from convbench.backends import _aten
from convbench.case import Case
from convbench.errors import ConvbenchError
from convbench.outcome import Failed, Skipped, Verified, Wrong
from convbench.suites import find_problem
from convbench.verify.exam import prepare_exam
from convbench.verify.fingerprint import tf32_nearest
from convbench.verify.selftest.kernels import as_backend
from convbench.verify.selftest.right import RIGHT
from convbench.verify.transforms import winograd_matrices
from convbench.verify.trial import SIGNS, examine
from convbench.verify.verdict import check
from tests.conftest import make_case

Conv = Callable[[Tensor, Tensor, ConvSpec], Tensor]
FAR_POINTS = (0.0, 1.0, -1.0, 3.0, -3.0)  # no library has them, and they err more
WIDE_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0)


def foreign(fn: Conv, family: str = "direct", **more: Any) -> Backend:
    """As a plug-in's function is let in."""

    def kernel(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return fn(x, w, spec)

    return adopt(backend(family=family, source="a test", **more)(kernel), "plugin.py")


def outcome(
    fn: Conv, shape: str, family: str = "direct", dtype: str = "fp32", seed: int = 0, **more: Any
) -> Verified | Wrong | Failed | Skipped:
    return examine(foreign(fn, family, **more), prepare_exam(make_case(shape, dtype=dtype, seed=seed)))


def sums(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def columns(x: Tensor, w: Tensor, spec: ConvSpec) -> tuple[Tensor, Tensor]:
    """The patches (N, G, taps, P*Q) and the kernels (G, K/G, taps), as they are summed."""
    patches = F.unfold(x.to(sums(x)).contiguous(), (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    kernels = w.to(sums(x)).reshape(spec.groups, spec.k_per_group, spec.taps)
    return patches.reshape(spec.n, spec.groups, spec.taps, -1), kernels


def matmul(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    patches, kernels = columns(x, w, spec)
    return (kernels @ patches).reshape(spec.y_shape).to(x.dtype)


def fft(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """All outputs of stride 1 by numpy's rfft2, of which some are kept."""
    (pad_h, pad_w), (step_h, step_w), (apart_h, apart_w) = spec.padding, spec.stride, spec.dilation
    image = np.pad(x.numpy(), ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
    kernel = np.zeros((*w.shape[:2], *spec.kernel_extent), image.dtype)
    kernel[:, :, ::apart_h, ::apart_w] = w.numpy()
    size = image.shape[2:]
    a = np.fft.rfft2(image, size).reshape(spec.n, spec.groups, spec.c_per_group, size[0], -1)
    b = np.fft.rfft2(kernel, size).conj().reshape(spec.groups, spec.k_per_group, spec.c_per_group, size[0], -1)
    y = np.fft.irfft2(np.einsum("ngchw,gkchw->ngkhw", a, b).reshape(spec.n, spec.k, size[0], -1), size)
    return torch.from_numpy(y[:, :, ::step_h, ::step_w][:, :, : spec.p, : spec.q].astype(image.dtype))


def winograd(points: tuple[float, ...]) -> Conv:
    """F(m x m', R x S) at these points; one group."""

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        sides = [winograd_matrices(points if taps > 1 else (), taps) for taps in (spec.r, spec.s)]
        (bt_h, g_h, at_h), (bt_w, g_w, at_w) = (tuple(one.to(sums(x)) for one in side) for side in sides)
        m_h, m_w, (top, left) = len(at_h), len(at_w), spec.padding
        down, across = -(-spec.p // m_h), -(-spec.q // m_w)
        right = across * m_w + spec.s - 1 - spec.w - left
        padded = F.pad(x.to(sums(x)), (left, right, top, down * m_h + spec.r - 1 - spec.h - top))
        data = bt_h @ padded.unfold(2, len(bt_h), m_h).unfold(3, len(bt_w), m_w) @ bt_w.T
        kernel = g_h @ w.to(sums(x)) @ g_w.T
        y = at_h @ torch.einsum("kcab,nchwab->nkhwab", kernel, data) @ at_w.T
        y = y.permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, m_h * down, m_w * across)
        return y[..., : spec.p, : spec.q].to(x.dtype)

    return fn


def product(a: Tensor, b: Tensor, levels: int) -> Tensor:
    """Strassen 1969, odd sizes padded with zeros."""
    if levels == 0:
        return a @ b
    rows, inner, across = a.shape[-2], a.shape[-1], b.shape[-1]
    a, b = F.pad(a, (0, inner % 2, 0, rows % 2)), F.pad(b, (0, across % 2, 0, inner % 2))
    (a11, a12), (a21, a22) = (half.chunk(2, -1) for half in a.chunk(2, -2))
    (b11, b12), (b21, b22) = (half.chunk(2, -1) for half in b.chunk(2, -2))

    def times(one: Tensor, other: Tensor) -> Tensor:
        return product(one, other, levels - 1)

    m1, m2, m3 = times(a11 + a22, b11 + b22), times(a21 + a22, b11), times(a11, b12 - b22)
    m4, m5 = times(a22, b21 - b11), times(a11 + a12, b22)
    m6, m7 = times(a21 - a11, b11 + b12), times(a12 - a22, b21 + b22)
    top, bottom = torch.cat([m1 + m4 - m5 + m7, m3 + m5], -1), torch.cat([m2 + m4, m1 - m2 + m3 + m6], -1)
    return torch.cat([top, bottom], -2)[..., :rows, :across]


def strassen(levels: int) -> Conv:
    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        patches, kernels = columns(x, w, spec)
        return product(kernels.expand(spec.n, -1, -1, -1), patches, levels).reshape(spec.y_shape).to(x.dtype)

    return fn


NUMPY = ["fp32", "fp64"]
ALL = ["fp32", "fp64", "fp16", "bf16"]
F23, F43 = (0.0, 1.0, -1.0), (0.0, 1.0, -1.0, 2.0, -2.0)
F63 = (*F43, 0.5, -0.5)
SQUARE, LONG, SINGLE = "n2c16h13w14k4r3s3_pd1", "n1c150h7w7k2r3s3_pd1", "n1c1h30w30k2r3s3_pd1"


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("shape", [SQUARE, LONG, "n2c6h13w11k4r5s2_st2x1_pd3x0_dl1x2_g2", "n1c2h6w5k2r1s1_st2_pd1"])
def test_an_fft_on_a_cpu_is_right(shape: str, dtype: str) -> None:
    assert isinstance(outcome(fft, shape, "fft", dtype), Verified)


@pytest.mark.parametrize("dtype", ["fp32", "fp64", "bf16"])
@pytest.mark.parametrize(
    ("points", "shape"),
    [
        (F23, SQUARE), (F43, LONG), (F63, SQUARE), (F63, SINGLE),
        (F43, "n2c8h14w11k3r5s5_pd2"), (F63, "n1c40h24w9k2r5s5"),
        ((0.0, 1.0), "n1c9h9w9k2r2s2"), (F23, "n1c1h20w20k2r2s2_pd1"), (F63, "n2c7h13w12k3r2s2"),
        (F63, "n1c5h9w16k2r1s3_pd0x1"), (F63, "n1c5h16w13k2r3s5_pd1x2"),
    ],
)  # fmt: skip
def test_a_winograd_of_usual_points_is_right(points: tuple[float, ...], shape: str, dtype: str) -> None:
    assert isinstance(outcome(winograd(points), shape, "winograd", dtype), Verified)


@pytest.mark.parametrize("dtype", NUMPY)
def test_a_winograd_is_judged_by_the_points_that_it_states(dtype: str) -> None:
    far, near = winograd(FAR_POINTS), winograd(F63)
    assert isinstance(outcome(far, SINGLE, "winograd", dtype, points=FAR_POINTS), Verified)
    assert isinstance(outcome(near, SINGLE, "winograd", dtype, points=F63), Verified)
    if dtype == "fp32":
        assert isinstance(outcome(near, SINGLE, "winograd", dtype, points=F23), Wrong)


@pytest.mark.parametrize("dtype", NUMPY)
def test_a_tile_that_errs_as_much_as_a_fault_is_refused_in_words(dtype: str) -> None:
    kernel = winograd(WIDE_POINTS)
    refused = outcome(kernel, SQUARE, "winograd", dtype, points=WIDE_POINTS)
    assert isinstance(refused, Skipped)
    assert "use a smaller tile" in refused.reason
    for fault in (tap_missing, bf16_sums):
        assert isinstance(outcome(fault(kernel), SQUARE, "winograd", dtype, points=WIDE_POINTS), Wrong)


@pytest.mark.parametrize("points", [(0, 1e-3), (0, 1, 1), (0, 9), (1,), tuple(range(10)), (0, float("nan"))])
def test_points_that_would_widen_the_bound_beyond_use_are_refused(points: tuple[float, ...]) -> None:
    with pytest.raises(ConvbenchError, match="points"):
        backend(family="winograd", source="a test", points=points)
    with pytest.raises(ConvbenchError, match="winograd"):
        backend(family="direct", source="a test", points=(0, 1))


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize(("levels", "shape"), [(1, LONG), (2, "n1c8h9w10k4r3s3_pd1"), (3, "n2c6h9w11k4r5s2_st2x1_g2")])
def test_strassens_product_is_right(levels: int, shape: str, dtype: str) -> None:
    assert isinstance(outcome(strassen(levels), shape, "strassen", dtype), Verified)


def tap_missing(fn: Conv) -> Conv:
    def faulty(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        w = w.clone()
        w[-1, -1, -1, -1] = 0
        return fn(x, w, spec)

    return faulty


def tf32(fn: Conv) -> Conv:
    def cut(one: Tensor) -> Tensor:
        return tf32_nearest(one.float()).to(one.dtype)

    return lambda x, w, spec: fn(cut(x), cut(w), spec)


def bf16_sums(fn: Conv) -> Conv:
    """The channels in four parts, each stored in bf16."""

    def faulty(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = torch.zeros(spec.y_shape, dtype=torch.bfloat16)
        for part in range(4):
            kept = torch.arange(spec.c_per_group) % 4 == part
            y += fn(x, w * kept[:, None, None], spec).bfloat16()
        return y.to(x.dtype)

    return faulty


@pytest.mark.parametrize("fault", [tap_missing, tf32, bf16_sums])
@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize(("fn", "family"), [(fft, "fft"), (winograd(F63), "winograd"), (strassen(1), "strassen")])
def test_a_fault_within_such_an_algorithm_is_found(
    fn: Conv, family: str, dtype: str, fault: Callable[[Conv], Conv]
) -> None:
    assert isinstance(outcome(fault(fn), "n1c60h7w7k2r3s3_pd1", family, dtype), Wrong)


@pytest.mark.parametrize("dtype", NUMPY)
def test_no_probe_hands_a_plugin_tensors_that_require_gradients(dtype: str) -> None:
    def into_numpy(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        patches, kernels = columns(torch.from_numpy(x.numpy()), torch.from_numpy(w.numpy()), spec)
        y = torch.empty(spec.n, *kernels.shape[:2], patches.shape[-1], dtype=x.dtype)
        return torch.matmul(kernels, patches, out=y).reshape(spec.y_shape)

    assert isinstance(outcome(into_numpy, "n1c4h6w6k4r3s3_pd1", dtype=dtype), Verified)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_two_calls_that_differ_in_the_sign_of_a_zero_or_nan_are_equal_and_told(value: float) -> None:
    calls = iter(range(10**6))
    found = torch.tensor(value)

    def wavering(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = matmul(x, w, spec)
        same = y.isnan() if value != value else y == 0
        return torch.where(same, -found if next(calls) % 2 else found, y)

    case = make_case("n1c2h3w3k2r3s3_pd4")  # the outer outputs read padding alone
    exam = prepare_exam(case)
    if value != value:
        exam.x[0, 0, 0, 0] = value
    verdict = examine(foreign(wavering), exam)
    assert isinstance(verdict, Verified)
    assert SIGNS in verdict.check.arithmetic


def test_bf16_convolutions_of_torch_in_a_plugin_are_shown_as_the_defect_of_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = F.conv2d

    def leaking(x: Tensor, w: Tensor, *more: Any) -> Tensor:
        y = honest(x.float(), w.float(), *more).to(x.dtype)
        return y + x.sum() * 0  # NaN reaches everything

    monkeypatch.setattr(F, "conv2d", leaking)
    monkeypatch.setattr(_aten, "library", lambda case: "Mkldnn")  # wherever this test runs

    def torchs(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

    def own(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return torchs(x, w, spec).nan_to_num(nan=float("inf"))

    shape = "n1c1h6w7k2r3s3_pd1"
    found = outcome(torchs, shape, "vendor", "bf16")
    assert isinstance(found, Verified)
    assert "oneDNN spreads a NaN" in found.check.defect
    assert isinstance(outcome(own, shape, "vendor", "bf16"), Wrong)
    assert isinstance(outcome(torchs, shape, "vendor", "fp32"), Wrong)  # no defect of torch is known there


@pytest.mark.program  # the compiler takes seconds to be imported
def test_a_compiled_plugin_is_right_and_no_probe_is_compiled_with_it() -> None:
    graphs: list[str] = []

    def count(module: Any, _: Any) -> Any:
        graphs.append(module.code)
        return module.forward

    def compute(x: Tensor, w: Tensor, padding: tuple[int, int]) -> Tensor:
        y = F.conv2d(x, w, padding=padding)
        return torch.empty_like(y).copy_(y)

    compiled = torch.compile(compute, backend=count)
    assert isinstance(outcome(lambda x, w, spec: compiled(x, w, spec.padding), SQUARE), Verified)
    assert graphs
    assert not [graph for graph in graphs if "new_full" in graph or "conv2d" not in graph]


@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
def test_sums_near_the_largest_number_are_judged_and_not_accused(dtype: str) -> None:
    """Squares of such numbers overflow, and with them a norm or a bound that is made of them."""
    exam = prepare_exam(Case(problem=find_problem("edge:38_huge"), dtype=dtype))
    right = [kernel for kernel in RIGHT if kernel.takes(exam.case)]
    assert {"numpy-fft", "winograd-f6-3x3"} <= {kernel.name for kernel in right}
    for kernel in right:
        found = examine(as_backend(kernel), exam)
        assert isinstance(found, Verified), (kernel.name, found)
        assert found.check.relative_l2 < 1e-5
    out = exam.truth.y.to(exam.x.dtype, copy=True)
    out[0, 2, 4, 0] *= 1 + (1e-2 if dtype == "fp32" else 1e-9)
    assert not check(exam, out, "winograd").passed
