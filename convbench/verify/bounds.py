"""How far may a right answer be from the truth? A bound for each element, from its own numbers.

An output is right if RN(y - e) <= out <= RN(y + e), where RN rounds to the output's dtype
and e bounds the error of any order of summation. A violation proves a defect; there is no
tolerance to tune. On random data a second, tighter e holds as well.
"""

from math import inf
from typing import TypeVar

import torch
from torch import Tensor

from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.verify.oracle import Truth

Number = TypeVar("Number", Tensor, float)


def gamma(k: Number, u: float) -> Number:
    """k*u / (1 - k*u): the relative error of k roundings, infinite from k*u = 1 on. Higham 2002, ASNA, lemma 3.1."""
    if isinstance(k, Tensor):
        return torch.where(k * u < 1, k * u / (1 - k * u), torch.inf)
    return k * u / (1 - k * u) if k * u < 1 else inf


def accumulator_roundoff(case: Case) -> float:
    """Unit roundoff of the sums of a case."""
    if DTYPE[case.dtype].sums == "fp64":
        return 2.0**-53
    tensor_core = case.target.tensor_cores and (DTYPE[case.dtype].narrow or case.precision == "tf32")
    # Tensor cores add in fp32 and truncate (Fasi et al. 2021), which doubles the roundoff.
    return 2.0**-23 if tensor_core else 2.0**-24


def direct_bound(case: Case, truth: Truth) -> Tensor:
    """e, of the truth's shape, for a sum of products in any order, with or without FMA.

    gamma_{n+2}(u) * M + (n+2) * tiny: Higham 2002, ASNA, section 3.1, with the smallest normal
    number for what an accumulator that flushes subnormals may lose. A sum of nothing is exactly 0.
    """
    steps, u = truth.terms + 2, accumulator_roundoff(case)
    error = gamma(steps, u) * truth.magnitude
    if DTYPE[case.dtype].sums == "fp64":
        error = 2 * error + steps * torch.finfo(torch.float64).tiny  # the oracle errs as much
        return torch.where(truth.terms > 0, error, 0.0)
    if case.precision == "tf32":
        t = 2.0**-10  # tensor cores truncate fp32 inputs to 10 bits
        error = error + (2 * t + t * t) * (truth.magnitude + error)
    return torch.where(truth.terms > 0, error + steps * torch.finfo(torch.float32).tiny, 0.0)


def sharp_bound(case: Case, truth: Truth, hard: Tensor) -> Tensor:
    """e, of the truth's shape, for operands drawn from N(0, 1) alone: min(n + 2, 16) * u * M, and not above `hard`.

    The roundings of a sum of zero-mean terms cancel, so its error grows no faster than M does
    (Higham and Mary 2020); the worst of 2,514 runs took 5 of the 16. A tensor core truncates, and
    its error has a mean: 16 + 2 * sqrt(n / 8) of them, from a simulation. TF32 operands are drawn on
    their own grid, so their products are exact.
    """
    u = accumulator_roundoff(case)
    truncated = u == 2.0**-23
    steps = 16 + 2 * (truth.terms / 8).sqrt() if truncated else (truth.terms + 2).clamp(max=16)
    error = steps * u * truth.magnitude + (truth.terms + 2) * torch.finfo(torch.float32).tiny
    return torch.minimum(torch.where(truth.terms > 0, error, 0.0), hard)


def storing_bound(dtype: torch.dtype, truth: Truth, error: Tensor, times: int) -> Tensor:
    """What is added to e if partial sums are rounded to `dtype` up to `times` times on the way.

    Each product then passes so many more roundings: (1 + gamma_n(u)) * (1 + gamma_times(v)) - 1,
    times M, with v the unit roundoff of `dtype`. What underflows loses half a subnormal in every number that is stored:
    of n terms these are at most n where each is stored once, and with the sums of them less than 2n.
    """
    kind, most = torch.finfo(dtype), truth.magnitude + error
    relative = torch.where(most == 0, 0.0, gamma(float(times), kind.eps / 2) * most)  # gamma may be infinite
    return relative + min(times, 2) * truth.terms * kind.tiny * kind.eps / 2


def interval(y: Tensor, error: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """RN(y - e) and RN(y + e) in `dtype`.

    torch rounds float64 to a 16-bit type through float32; a step outwards of one float32 undoes
    the double rounding, so the interval never comes out too narrow.
    """
    low, high = y - error, y + error
    if dtype not in (torch.float64, torch.float32):
        kind = torch.finfo(torch.float32)
        low, high = (
            low - (low.abs() * kind.eps + kind.smallest_normal),
            high + (high.abs() * kind.eps + kind.smallest_normal),
        )
    return low.to(dtype), high.to(dtype)


def share_of_bound(out: Tensor, y: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """|out - y| as a share of what the interval allows on that side: at most 1 is right.

    NaN, and infinity where the interval is finite, are infinitely wrong.
    """
    out, low, high = out.double(), low.double(), high.double()
    inside, error = (low <= out) & (out <= high), (out - y).abs()
    # The interval of a 16-bit type may be entirely on one side of y, so outside it the wider side counts.
    side = torch.where(out >= y, high - y, y - low)
    widest = torch.maximum(high - y, y - low)
    return torch.where(
        inside,
        (error / side).nan_to_num(nan=0.0).clamp(0.0, 1.0),  # 0/0, and inf/inf where the interval overflows
        (error / widest).nan_to_num(nan=inf, posinf=inf).clamp(min=1.0 + 2.0**-52),
    )
