"""How far may a right answer lie from the truth? A bound for each element, from its own numbers.

An output is right when RN(y - e) <= out <= RN(y + e), where RN rounds to the output's dtype
and e bounds the error of any order of summation. A violation proves a defect; there is no
tolerance to tune.
"""

from typing import TypeVar

import torch
from torch import Tensor

from convbench.case import Case
from convbench.verify.oracle import Truth

Number = TypeVar("Number", Tensor, float)

# A vendor's Winograd is another algorithm with a bound of its own; a loose one, so it must also
# be as close as this as a whole (oneDNN's benchdnn accepts its own Winograd by the same figure).
WINOGRAD_RELATIVE_L2 = {"fp32": 2e-5, "fp16": 7e-3}

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
    """k*u / (1 - k*u): the relative error of k roundings. Higham 2002, ASNA, lemma 3.1."""
    return k * u / (1 - k * u)


def accumulator_roundoff(case: Case) -> float:
    """Unit roundoff of the sums that a case promises."""
    if case.dtype == "fp64":
        return 2.0**-53
    tensor_core = case.device == "cuda" and (case.dtype != "fp32" or case.precision == "tf32")
    # Tensor cores add in fp32 and truncate (Fasi et al. 2021), which doubles the roundoff.
    return 2.0**-23 if tensor_core else 2.0**-24


def direct_bound(case: Case, truth: Truth) -> Tensor:
    """e (N, K, P, Q) for a sum of products in any order, with or without FMA.

    gamma_{n+2}(u) * M + (n+2) * tiny: Higham 2002, ASNA, section 3.1, with the smallest normal
    number for what an accumulator that flushes subnormals may lose.
    """
    steps, u = truth.terms + 2, accumulator_roundoff(case)
    error = gamma(steps, u) * truth.magnitude
    if case.dtype == "fp64":
        return 2 * error + steps * torch.finfo(torch.float64).tiny  # the oracle errs as much
    if case.precision == "tf32":
        t = 2.0**-10  # tensor cores truncate fp32 inputs to 10 bits
        error = error + (2 * t + t * t) * truth.magnitude
    return error + steps * torch.finfo(torch.float32).tiny


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
    # In half precision the transformed tiles are stored in half precision too.
    u = 2.0**-11 if case.dtype == "fp16" else accumulator_roundoff(case)
    return gamma(spec.c_per_group + 34, u) * y[..., : spec.p, : spec.q]


def winograd_possible(case: Case, family: str) -> bool:
    """Whether a backend may have run Winograd on its own account."""
    spec = case.spec
    return (
        family in ("vendor", "winograd")
        and case.device == "cuda"
        and case.dtype in WINOGRAD_RELATIVE_L2
        and (spec.r, spec.s, spec.stride, spec.dilation) == (3, 3, (1, 1), (1, 1))
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
    share = error / torch.where(out >= y, high - y, y - low)
    inside = (low <= out) & (out <= high)
    return torch.where(
        inside,
        share.nan_to_num(nan=0.0).clamp(max=1.0),  # 0/0, and inf/inf where the interval overflows
        share.nan_to_num(nan=torch.inf, posinf=torch.inf).clamp(min=1.0 + 2.0**-52),
    )
