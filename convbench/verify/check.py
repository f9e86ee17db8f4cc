"""Is this output right? The verdict on one tensor."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.bounds import (
    TRANSFORM_RELATIVE_L2,
    direct_bound,
    interval,
    share_of_bound,
    storing_bound,
    transform_bound,
    transform_possible,
)
from convbench.verify.diagnosis import diagnose
from convbench.verify.operands import TORCH_DTYPE, make_operands
from convbench.verify.oracle import Truth, truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One set of operands with its truth, shared by every backend of a case."""

    case: Case
    operands: dict[str, Tensor]
    truth: Truth
    error: Tensor

    @property
    def x(self) -> Tensor:
        return self.operands["x"]

    @property
    def w(self) -> Tensor:
        return self.operands["w"]

    @property
    def first(self) -> Tensor:
        """What changes from call to call: x, or dy for a gradient."""
        return next(iter(self.operands.values()))

    def check(self, out: Any, family: str, roundings: int = 0) -> Check:
        """Judge the output of the case's pass as a backend returned it.

        `roundings` is how often it says that it stores partial sums in the case's 16 bits.
        """
        case, expected = self.case, self.case.out_shape
        if not isinstance(out, Tensor):
            return wrong(f"returned {type(out).__name__}, not a tensor")
        if tuple(out.shape) != expected:
            return wrong(f"returned shape {tuple(out.shape)}, expected {expected}")
        if out.dtype != TORCH_DTYPE[case.dtype] or out.device != self.first.device:
            return wrong(f"returned {out.dtype} on {out.device}, expected {case.dtype} on {self.first.device}")
        if out.numel() == 0:
            return Check(worst_of_bound=0.0, relative_l2=0.0)
        if not all(bool(one.isfinite().all()) for one in self.operands.values()):
            from convbench.verify.nonfinite import check_nonfinite

            return check_nonfinite(self, out, family, roundings)
        y = self.truth.y.clamp(min=0) if case.relu else self.truth.y
        share = self._share(out, y, self.error, roundings)
        size = y.norm()
        relative_l2 = float((out.double() - y).norm() / size) if size else 0.0
        if share.max() > 1 and transform_possible(case, family) and relative_l2 <= TRANSFORM_RELATIVE_L2[case.dtype]:
            wide = transform_bound(case, *self.operands.values())
            error = torch.maximum(self.error, wide) if case.epilogue == "none" else self.error + wide
            share = self._share(out, y, error, roundings)
        outside = share > 1
        evidence = diagnose(out, y, outside, share, case.out_name) if outside.any() else None
        return Check(worst_of_bound=float(share.max()), relative_l2=relative_l2, evidence=evidence)

    def _share(self, out: Tensor, y: Tensor, error: Tensor, roundings: int) -> Tensor:
        """The share of the bound that each output takes; y is after the relu, which is monotone, as rounding is."""
        if roundings:
            error = error + storing_bound(out.dtype, self.truth.magnitude, error, roundings)
        low, high = interval(self.truth.y, error, out.dtype)
        if self.case.relu:
            low, high = low.clamp(min=0), high.clamp(min=0)
        return share_of_bound(out, y, low, high)


def prepare_exam(case: Case, *, salt: int = 0) -> Exam:
    """Draw the operands of a case and compute their truth."""
    return make_exam(case, *make_operands(case, salt=salt))


def make_exam(case: Case, *operands: Tensor) -> Exam:
    """An exam on given operands in the case's dtype and order: x (N, C, H, W) and w (K, C/G, R, S) for fprop."""
    answer = truth(case, *operands)
    named = dict(zip(case.operands, operands, strict=True))
    return Exam(case=case, operands=named, truth=answer, error=direct_bound(case, answer))


def wrong(evidence: str) -> Check:
    """A verdict that needs no numbers."""
    return Check(worst_of_bound=float("inf"), relative_l2=float("inf"), evidence=evidence)
