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
    x: Tensor
    w: Tensor
    truth: Truth
    error: Tensor

    def check(self, out: Any, family: str) -> Check:
        """Judge y as a backend returned it."""
        spec = self.case.spec
        if not isinstance(out, Tensor):
            return wrong(f"returned {type(out).__name__}, not a tensor")
        if tuple(out.shape) != spec.y_shape:
            return wrong(f"returned shape {tuple(out.shape)}, expected {spec.y_shape}")
        if out.dtype != TORCH_DTYPE[self.case.dtype] or out.device != self.x.device:
            return wrong(f"returned {out.dtype} on {out.device}, expected {self.case.dtype} on {self.x.device}")
        if out.numel() == 0:
            return Check(worst_of_bound=0.0, relative_l2=0.0)
        y = self.truth.y
        share = share_of_bound(out, y, *interval(y, self.error, out.dtype))
        size = y.norm()
        relative_l2 = float((out.double() - y).norm() / size) if size else 0.0
        if (
            share.max() > 1
            and transform_possible(self.case, family)
            and relative_l2 <= TRANSFORM_RELATIVE_L2[self.case.dtype]
        ):
            error = torch.maximum(self.error, transform_bound(self.case, self.x, self.w))
            share = share_of_bound(out, y, *interval(y, error, out.dtype))
        outside = share > 1
        evidence = diagnose(out, y, outside, share, spec) if outside.any() else None
        return Check(worst_of_bound=float(share.max()), relative_l2=relative_l2, evidence=evidence)


def prepare_exam(case: Case, *, salt: int = 0) -> Exam:
    """Draw the operands of a case and compute their truth."""
    x, w = make_operands(case, salt=salt)
    return make_exam(case, x, w)


def make_exam(case: Case, x: Tensor, w: Tensor) -> Exam:
    """An exam on given operands: x (N, C, H, W) and w (K, C/G, R, S) in the case's dtype."""
    answer = truth(x, w, case.spec)
    return Exam(case=case, x=x, w=w, truth=answer, error=direct_bound(case, answer))


def wrong(evidence: str) -> Check:
    """A verdict that needs no numbers."""
    return Check(worst_of_bound=float("inf"), relative_l2=float("inf"), evidence=evidence)
