"""How far is an output from float64, and how far may it be? In relative L2, by an accuracy class."""

from collections.abc import Sequence
from math import inf, isfinite

from torch import Tensor

OF_EAGER = 2.0  # times torch eager's own error that an output may have
STANDARD = 5e-6  # relative L2 that `standard` allows in any case
ROUNDING = 2.0**-24  # relative error of a correctly rounded fp32 number: no output of fp32 can promise less


def allowed(accuracy: str, eager: float) -> float:
    """The relative L2 that an output may have where torch eager has `eager`."""
    own = max(OF_EAGER * eager, ROUNDING)
    return own if accuracy == "strict" else max(own, STANDARD)


def relative_error(ours: Tensor, truth: Tensor) -> float:
    """||ours - truth|| / ||truth||; infinity where either is not finite."""
    exact = truth.detach().double()
    wrong = float((ours.detach().double() - exact).norm())
    if wrong == 0:
        return 0.0
    whole = float(exact.norm())
    error = wrong / whole if whole > 0 else inf
    return error if isfinite(error) else inf


def distance(out: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """The largest relative L2 error of the tensors of an output."""
    return max((relative_error(one, exact) for one, exact in zip(out, truth, strict=True)), default=0.0)
