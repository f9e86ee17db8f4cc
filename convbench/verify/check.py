"""Is this output right? The verdict on one tensor, by the error of each of its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.bounds import (
    accumulator_roundoff,
    direct_bound,
    interval,
    share_of_bound,
    sharp_bound,
    storing_bound,
)
from convbench.verify.diagnosis import diagnose
from convbench.verify.fingerprint import name_sums, other_inputs
from convbench.verify.operands import TORCH_DTYPE, make_operands
from convbench.verify.oracle import Truth, truth
from convbench.verify.transforms import TRANSFORM_RELATIVE_L2, transform_bound, transform_possible


@dataclass(frozen=True, kw_only=True)
class Exam:
    """One set of operands with its truth, shared by every backend of a case.

    The truth is computed when it is first asked for, so that whatever runs before has it nowhere in
    its process.

    Attributes:
        operands: in the order of the pass, by name.
        drawn: from N(0, 1), on which the tight bound counts.
    """

    case: Case
    operands: dict[str, Tensor]
    drawn: bool = False

    @cached_property
    def truth(self) -> Truth:
        return truth(self.case, *self.operands.values())

    @cached_property
    def error(self) -> Tensor:
        """e, of the truth's shape, for any order of summation."""
        return direct_bound(self.case, self.truth)

    def forget(self) -> None:
        """Let go of the truth; who asks for it again has it computed again."""
        self.__dict__.pop("truth", None)
        self.__dict__.pop("error", None)

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

    def misfit(self, out: Any) -> Check | None:
        """Why this is no output of the case at all, or None."""
        case, expected = self.case, self.case.out_shape
        if not isinstance(out, Tensor):
            return wrong(f"returned {type(out).__name__}, not a tensor")
        if tuple(out.shape) != expected:
            return wrong(f"returned shape {tuple(out.shape)}, expected {expected}")
        if out.dtype != TORCH_DTYPE[case.dtype] or out.device != self.first.device:
            return wrong(f"returned {out.dtype} on {out.device}, expected {case.dtype} on {self.first.device}")
        return None

    def check(self, out: Any, family: str, roundings: int = 0) -> Check:
        """Judge the output of the case's pass as a backend returned it.

        `roundings` is how often it says that it stores partial sums in the case's 16 bits.
        """
        case = self.case
        if (misfit := self.misfit(out)) is not None:
            return misfit
        if out.numel() == 0:
            return Check(worst_of_bound=0.0, relative_l2=0.0)
        y = self.truth.y.clamp(min=0) if case.relu else self.truth.y
        share = self.share(out, y, self.error, roundings)
        size = y.norm()
        relative_l2 = float((out.double() - y).norm() / size) if size else 0.0
        transform = None
        if share.max() > 1 and transform_possible(case, family) and relative_l2 <= TRANSFORM_RELATIVE_L2[case.dtype]:
            transform = transform_bound(case, *self.operands.values())
            share = self.share(out, y, self._allow(transform), roundings)
        found = Check(worst_of_bound=float(share.max()), relative_l2=relative_l2, omega=self.omega(out, y))
        if (outside := share > 1).any():
            return found.fails("numeric", diagnose(out, y, outside, share, case.out_name))
        return self._check_sharply(out, y, family, roundings, found) if self.drawn else found

    def _check_sharply(self, out: Tensor, y: Tensor, family: str, roundings: int, found: Check) -> Check:
        """Whether an output within the bound is as near as random operands make it."""
        case = self.case
        if case.dtype == "fp64":
            return found
        error = sharp_bound(case, self.truth, self.error)
        if self._inside(out, error, roundings).all():
            return replace(found, arithmetic="ieee fp32" if case.dtype == "fp32" else "fp32 sums")
        if transform_possible(case, family):
            wide = self._allow(transform_bound(case, *self.operands.values(), sharp=True), error)
            if self._inside(out, wide, roundings).all():
                return found
        really = self._really(out, error)
        if case.precision == "tf32" and really.endswith("TF32 inputs"):
            return replace(found, arithmetic=really)
        share = self.share(out, y, error, roundings)
        place = diagnose(out, y, share > 1, share, case.out_name, "what random numbers allow")
        return found.fails("sharp", f"{really or 'less exact than its sums should be'}: {place}", really)

    def _really(self, out: Tensor, error: Tensor) -> str:
        """What was done with less care than the case asks for, in words; "" where it does not show."""
        for words, y in other_inputs(self):
            low, high = interval(y, error, out.dtype)
            if self.case.relu:
                low, high = low.clamp(min=0), high.clamp(min=0)
            if bool(((low <= out.double()) & (out.double() <= high)).all()):
                return words
        if self.case.relu:
            return ""
        return name_sums(out, self.truth.y, self.truth.magnitude, self.truth.terms)

    def omega(self, out: Tensor, y: Tensor) -> float:
        """The largest error beyond the rounding of the result, in units of u * M."""
        u, own = accumulator_roundoff(self.case), torch.finfo(out.dtype).eps / 2
        beyond = ((out.double() - y).abs() - own * y.abs()).clamp(min=0) / (u * self.truth.magnitude)
        return float(beyond.nan_to_num(nan=0.0, posinf=torch.inf).max())

    def share(self, out: Tensor, y: Tensor, error: Tensor, roundings: int) -> Tensor:
        """The share of the bound that each output takes; y is after the relu, which is monotone, as rounding is."""
        return share_of_bound(out, y, *self._interval(out, error, roundings))

    def _inside(self, out: Tensor, error: Tensor, roundings: int) -> Tensor:
        low, high = self._interval(out, error, roundings)
        out = out.double()
        return (low <= out) & (out <= high)

    def _interval(self, out: Tensor, error: Tensor, roundings: int) -> tuple[Tensor, Tensor]:
        if roundings:
            error = error + storing_bound(out.dtype, self.truth.magnitude, error, roundings)
        low, high = interval(self.truth.y, error, out.dtype)
        return (low.clamp(min=0), high.clamp(min=0)) if self.case.relu else (low, high)

    def _allow(self, transform: Tensor, direct: Tensor | None = None) -> Tensor:
        """What a transform may err: its own bound, and with an epilogue the rounding of that."""
        direct = self.error if direct is None else direct
        return torch.maximum(direct, transform) if self.case.epilogue == "none" else direct + transform


def prepare_exam(case: Case, *, salt: int = 0) -> Exam:
    """The exam of a case on operands drawn from N(0, 1)."""
    return make_exam(case, *make_operands(case, salt=salt), drawn=True)


def make_exam(case: Case, *operands: Tensor, drawn: bool = False) -> Exam:
    """An exam on given operands in the case's dtype and order: x (N, C, H, W) and w (K, C/G, R, S) for fprop."""
    return Exam(case=case, operands=name_operands(case, operands), drawn=drawn)


def name_operands(case: Case, operands: Sequence[Tensor]) -> dict[str, Tensor]:
    """Operands by name, in the order of the pass."""
    return dict(zip(case.operands, operands, strict=True))


def wrong(evidence: str, probe: str = "numeric") -> Check:
    """A verdict that needs no numbers."""
    return Check(worst_of_bound=float("inf"), relative_l2=float("inf"), evidence=evidence, probe=probe)
