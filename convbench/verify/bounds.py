"""How far may a right answer lie from the truth? A bound for each element, from its own numbers.

An output is right when RN(y - e) <= out <= RN(y + e), where RN rounds to the output's dtype
and e bounds the error of any order of summation. A violation proves a defect; there is no
tolerance to tune.
"""

from dataclasses import replace
from math import inf, log2
from typing import TypeVar

import torch
from torch import Tensor

from convbench.case import Case
from convbench.verify.oracle import Truth

Number = TypeVar("Number", Tensor, float)

# A vendor's Winograd or FFT is another algorithm with a bound of its own; a loose one, so the output
# must also be as close as this as a whole. fp32 and fp16 as oneDNN's benchdnn accepts its own
# Winograd; bf16 has three bits less than fp16.
TRANSFORM_RELATIVE_L2 = {"fp32": 2e-5, "fp16": 7e-3, "bf16": 5.6e-2}
# What the transformed tiles of a 16-bit case are stored in.
_STORED = {"fp16": 2.0**-11, "bf16": 2.0**-8}

# F(4x4, 3x3) with the points 0, +-1, +-2, infinity: Lavin and Gray 2016, section 4.1.
_BT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
_G = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
_AT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float64,
)


def gamma(k: Number, u: float) -> Number:
    """k*u / (1 - k*u): the relative error of k roundings, infinite from k*u = 1 on. Higham 2002, ASNA, lemma 3.1."""
    if isinstance(k, Tensor):
        return torch.where(k * u < 1, k * u / (1 - k * u), torch.inf)
    return k * u / (1 - k * u) if k * u < 1 else inf


def accumulator_roundoff(case: Case) -> float:
    """Unit roundoff of the sums that a case promises."""
    if case.dtype == "fp64":
        return 2.0**-53
    tensor_core = case.device == "cuda" and (case.dtype != "fp32" or case.precision == "tf32")
    # Tensor cores add in fp32 and truncate (Fasi et al. 2021), which doubles the roundoff.
    return 2.0**-23 if tensor_core else 2.0**-24


def direct_bound(case: Case, truth: Truth) -> Tensor:
    """e, of the truth's shape, for a sum of products in any order, with or without FMA.

    gamma_{n+2}(u) * M + (n+2) * tiny: Higham 2002, ASNA, section 3.1, with the smallest normal
    number for what an accumulator that flushes subnormals may lose. A sum of nothing is exactly 0.
    """
    steps, u = truth.terms + 2, accumulator_roundoff(case)
    error = gamma(steps, u) * truth.magnitude
    if case.dtype == "fp64":
        error = 2 * error + steps * torch.finfo(torch.float64).tiny  # the oracle errs as much
        return torch.where(truth.terms > 0, error, 0.0)
    if case.precision == "tf32":
        t = 2.0**-10  # tensor cores truncate fp32 inputs to 10 bits
        error = error + (2 * t + t * t) * (truth.magnitude + error)
    return torch.where(truth.terms > 0, error + steps * torch.finfo(torch.float32).tiny, 0.0)


def storing_bound(dtype: torch.dtype, magnitude: Tensor, error: Tensor, times: int) -> Tensor:
    """What is added to e when partial sums are rounded to `dtype` up to `times` times on their way.

    Each product then passes so many more roundings: (1 + gamma_n(u)) * (1 + gamma_times(v)) - 1,
    times M, with v the unit roundoff of `dtype`; half a subnormal each for what underflows.
    """
    kind = torch.finfo(dtype)
    return gamma(float(times), kind.eps / 2) * (magnitude + error) + times * kind.tiny * kind.eps / 2


def winograd_bound(case: Case, x: Tensor, w: Tensor) -> Tensor:
    """e (N, K, P, Q) of Winograd F(4x4, 3x3): gamma_{C/G + 34} * M_W.

    M_W is the same algorithm on absolute values, which is what its own roundings scale with.
    """
    spec = case.spec
    tiles_h, tiles_w = -(-spec.p // 4), -(-spec.q // 4)
    pad_h, pad_w = spec.padding
    padded = torch.zeros((spec.n, spec.c, 4 * tiles_h + 2, 4 * tiles_w + 2), dtype=torch.float64, device=x.device)
    padded[..., pad_h : pad_h + spec.h, pad_w : pad_w + spec.w] = x.double().abs()
    tiles = padded.unfold(2, 6, 4).unfold(3, 6, 4)  # (N, C, tiles_h, tiles_w, 6, 6)
    bt, g, at = (matrix.abs().to(x.device) for matrix in (_BT, _G, _AT))
    data = (bt @ tiles @ bt.T).reshape(spec.n, spec.groups, spec.c_per_group, tiles_h, tiles_w, 6, 6)
    kernel = (g @ w.double().abs() @ g.T).reshape(spec.groups, spec.k_per_group, spec.c_per_group, 6, 6)
    product = torch.einsum("gkcab,ngchwab->ngkhwab", kernel, data)
    y = (at @ product @ at.T).flatten(1, 2)  # (N, K, tiles_h, tiles_w, 4, 4)
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, 4 * tiles_h, 4 * tiles_w)
    return gamma(spec.c_per_group + 34.0, _transform_roundoff(case)) * y[..., : spec.p, : spec.q]


def fft_bound(case: Case, x: Tensor, w: Tensor) -> Tensor:
    """e (N, K, 1, 1) of a convolution by FFT: after Higham 2002, ASNA, chapter 24.

    (3 * eta * log2(T) + C/G + 4) * u * sum over c of norm(x_c) * norm(w_c), with T points in a
    transform and eta = 1 + 4 * (1 + sqrt(2)) for the weights of the transform.
    """
    spec = case.spec
    points = (spec.h + 2 * spec.padding[0]) * (spec.w + 2 * spec.padding[1])
    steps = 3 * (1 + 4 * (1 + 2**0.5)) * max(1.0, log2(points)) + spec.c_per_group + 4
    images = x.double().flatten(2).norm(dim=2).reshape(spec.n, spec.groups, 1, spec.c_per_group)
    kernels = w.double().flatten(2).norm(dim=2).reshape(spec.groups, spec.k_per_group, spec.c_per_group)
    norms: Tensor = (images * kernels).sum(dim=3)  # (N, G, K/G)
    return steps * _transform_roundoff(case) * norms.reshape(spec.n, spec.k, 1, 1)


def _transform_roundoff(case: Case) -> float:
    return _STORED.get(case.dtype) or accumulator_roundoff(case)


def transform_bound(case: Case, first: Tensor, second: Tensor, *_: Tensor) -> Tensor:
    """e, broadcast to the output, of whichever transform a vendor may have run for the case's operands.

    dgrad with stride 1 is fprop of dy with the kernel turned around, so it has fprop's bounds.
    For wgrad there is an FFT's alone: a Winograd of it has other matrices, which no vendor publishes.
    """
    if case.pass_ == "wgrad":
        return fft_wgrad_bound(case, first, second)
    if case.pass_ == "dgrad":
        case, first, second = dgrad_as_fprop(case, first, second)
    error = fft_bound(case, first, second)
    if (case.spec.r, case.spec.s) == (3, 3):
        error = torch.maximum(error, winograd_bound(case, first, second))
    return error


def dgrad_as_fprop(case: Case, dy: Tensor, w: Tensor) -> tuple[Case, Tensor, Tensor]:
    """The fprop that a dgrad with stride 1 and dilation 1 is, with its x and w.

    dx = conv(dy, w'), with w'[g*C/G + c, k, r, s] = w[g*K/G + k, c, R-1-r, S-1-s] and the padding
    R-1-padding; where that is negative, the rows of dy that no pixel was read for are cut off.
    """
    spec = case.spec
    padding = (spec.r - 1 - spec.padding[0], spec.s - 1 - spec.padding[1])
    top, left = max(0, -padding[0]), max(0, -padding[1])
    dy = dy[..., top : spec.p - top, left : spec.q - left]
    turned = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s).transpose(1, 2).flip(3, 4)
    mirrored = replace(
        spec,
        c=spec.k,
        h=dy.shape[2],
        w=dy.shape[3],
        k=spec.c,
        padding=(max(0, padding[0]), max(0, padding[1])),
    )
    fprop = replace(case, problem=replace(case.problem, spec=mirrored), pass_="fprop")
    return fprop, dy, turned.reshape(mirrored.w_shape)


def fft_wgrad_bound(case: Case, dy: Tensor, x: Tensor) -> Tensor:
    """e (K, C/G, 1, 1) of a wgrad by FFT: `fft_bound` with images for channels.

    Each dw[k, c] correlates x[n, c] with dy[n, k] and sums over the N images, as fprop correlates
    with w[k, c] and sums over the channels.
    """
    spec = case.spec
    points = (spec.h + 2 * spec.padding[0]) * (spec.w + 2 * spec.padding[1])
    steps = 3 * (1 + 4 * (1 + 2**0.5)) * max(1.0, log2(points)) + spec.n + 4
    images = x.double().flatten(2).norm(dim=2).reshape(spec.n, spec.groups, 1, spec.c_per_group)
    gradients = dy.double().flatten(2).norm(dim=2).reshape(spec.n, spec.groups, spec.k_per_group, 1)
    norms: Tensor = (images * gradients).sum(dim=0)  # (G, K/G, C/G)
    return steps * _transform_roundoff(case) * norms.reshape(spec.k, spec.c_per_group, 1, 1)


def transform_possible(case: Case, family: str) -> bool:
    """Whether a backend may have run Winograd or an FFT on its own account."""
    spec = case.spec
    return (
        family in ("vendor", "winograd", "fft")
        and case.device == "cuda"
        and case.dtype in TRANSFORM_RELATIVE_L2
        and (spec.stride, spec.dilation) == ((1, 1), (1, 1))
        and min(spec.r, spec.s) > 1
    )


def interval(y: Tensor, error: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """RN(y - e) and RN(y + e) as float64, rounded through `dtype`.

    torch rounds float64 to a 16-bit type through float32; the step outwards there undoes the
    double rounding, so the interval never comes out too narrow.
    """
    low, high = y - error, y + error
    if dtype == torch.float64:
        return low, high
    low, high = low.float(), high.float()
    if dtype != torch.float32:
        low = torch.nextafter(low, torch.full_like(low, -torch.inf))
        high = torch.nextafter(high, torch.full_like(high, torch.inf))
    return low.to(dtype).double(), high.to(dtype).double()


def share_of_bound(out: Tensor, y: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """|out - y| as a share of what the interval allows on that side: at most 1 is right.

    NaN, and infinity where the interval is finite, are infinitely wrong.
    """
    out = out.double()
    error = (out - y).abs()
    inside = (low <= out) & (out <= high)
    # The interval of a 16-bit type may lie on one side of y altogether, so outside it the wider side counts.
    side = torch.where(out >= y, high - y, y - low)
    widest = torch.maximum(high - y, y - low)
    return torch.where(
        inside,
        (error / side).nan_to_num(nan=0.0).clamp(0.0, 1.0),  # 0/0, and inf/inf where the interval overflows
        (error / widest).nan_to_num(nan=inf, posinf=inf).clamp(min=1.0 + 2.0**-52),
    )
