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
from convbench.verify.recipes import drawn_from_normal
from convbench.verify.transforms import TRANSFORM_RELATIVE_L2, transform_bound, transform_possible

# What an exam computes when it is first asked for it; it depends on the numbers and not on where they lie.
CACHED = ("truth", "error", "within", "sharply_within")


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

    @cached_property
    def finite(self) -> bool:
        """Whether no operand holds NaN or infinity."""
        return all(bool(one.isfinite().all()) for one in self.operands.values())

    def forget(self) -> None:
        """Let go of the truth; who asks for it again has it computed again."""
        for name in CACHED:
            self.__dict__.pop(name, None)

    def adopt(self, other: "Exam") -> None:
        """Take over what another exam has computed: of the same numbers, laid out in another way."""
        self.__dict__.update({name: other.__dict__[name] for name in CACHED if name in other.__dict__})

    @cached_property
    def within(self) -> tuple[Tensor, Tensor]:
        """Between which numbers of the case's dtype each output lies."""
        return self._interval(self.error, 0)

    @cached_property
    def sharply_within(self) -> tuple[Tensor, Tensor]:
        """Between which it lies on random operands."""
        return self._interval(sharp_bound(self.case, self.truth, self.error), 0)

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
        if not self.finite:
            from convbench.verify.nonfinite import check_nonfinite

            return check_nonfinite(self, out, family, roundings)
        y = self.truth.y.clamp(min=0) if case.relu else self.truth.y
        share = share_of_bound(out, y, *self._within(roundings))
        error, size = (out.double() - y).abs(), y.norm()
        relative_l2 = float(error.norm() / size) if size else 0.0
        if share.max() > 1 and transform_possible(case, family) and relative_l2 <= TRANSFORM_RELATIVE_L2[case.dtype]:
            allowed = self._allow(transform_bound(case, *self.operands.values()), self.error)
            share = share_of_bound(out, y, *self._interval(allowed, roundings))
        u, kind = accumulator_roundoff(case), torch.finfo(out.dtype)
        rounding = kind.eps / 2 * y.abs().clamp(min=kind.tiny)  # of the result
        omega = ((error - rounding).clamp(min=0) / (u * self.truth.magnitude)).nan_to_num(nan=0.0).max()
        found = Check(worst_of_bound=float(share.max()), relative_l2=relative_l2, omega=float(omega))
        if (outside := share > 1).any():
            return found.fails("numeric", diagnose(out, y, outside, share, case.out_name))
        return self._check_sharply(out, y, family, roundings, found) if self.drawn else found

    def _check_sharply(self, out: Tensor, y: Tensor, family: str, roundings: int, found: Check) -> Check:
        """Whether an output within the bound is as near as random operands make it."""
        case = self.case
        if case.dtype == "fp64":
            return found
        within = self._within(roundings, sharp=True)
        if _inside(out, *within):
            return replace(found, arithmetic="ieee fp32" if case.dtype == "fp32" else "fp32 sums")
        error = sharp_bound(case, self.truth, self.error)
        if transform_possible(case, family):
            wide = self._allow(transform_bound(case, *self.operands.values(), sharp=True), error)
            if _inside(out, *self._interval(wide, roundings)):
                return found
        really = self._really(out, error)
        if case.precision == "tf32" and really.endswith("TF32 inputs"):
            return replace(found, arithmetic=really)
        share = share_of_bound(out, y, *within)
        place = diagnose(out, y, share > 1, share, case.out_name, "what random numbers allow")
        return found.fails("sharp", f"{really or 'less exact than its sums should be'}: {place}", really)

    def _really(self, out: Tensor, error: Tensor) -> str:
        """What was done with less care than the case asks for, in words; "" where it does not show."""
        for words, y in other_inputs(self):
            if _inside(out, *self._interval(error, 0, y)):
                return words
        if self.case.relu:
            return ""
        return name_sums(out, self.truth.y, self.truth.magnitude, self.truth.terms)

    def _within(self, roundings: int, *, sharp: bool = False) -> tuple[Tensor, Tensor]:
        if not roundings:
            return self.sharply_within if sharp else self.within
        return self._interval(sharp_bound(self.case, self.truth, self.error) if sharp else self.error, roundings)

    def _interval(self, error: Tensor, roundings: int, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The interval of each output; a relu is monotone, as rounding is."""
        dtype = TORCH_DTYPE[self.case.dtype]
        if roundings:
            error = error + storing_bound(dtype, self.truth.magnitude, error, roundings)
        low, high = interval(self.truth.y if y is None else y, error, dtype)
        return (low.clamp(min=0), high.clamp(min=0)) if self.case.relu else (low, high)

    def _allow(self, transform: Tensor, direct: Tensor) -> Tensor:
        """What a transform may err: its own bound, and with an epilogue the rounding of that."""
        return torch.maximum(direct, transform) if self.case.epilogue == "none" else direct + transform


def _inside(out: Tensor, low: Tensor, high: Tensor) -> bool:
    return bool(((low <= out) & (out <= high)).all())


def prepare_exam(case: Case, *, salt: int = 0) -> Exam:
    """The exam of a case on operands drawn from N(0, 1), or what its problem says of them."""
    return make_exam(case, *make_operands(case, salt=salt), drawn=drawn_from_normal(case))


def make_exam(case: Case, *operands: Tensor, drawn: bool = False) -> Exam:
    """An exam on given operands in the case's dtype and order: x (N, C, H, W) and w (K, C/G, R, S) for fprop."""
    return Exam(case=case, operands=name_operands(case, operands), drawn=drawn)


def name_operands(case: Case, operands: Sequence[Tensor]) -> dict[str, Tensor]:
    """Operands by name, in the order of the pass."""
    return dict(zip(case.operands, operands, strict=True))


def wrong(evidence: str, probe: str = "numeric") -> Check:
    """A verdict that needs no numbers."""
    return Check(worst_of_bound=float("inf"), relative_l2=float("inf"), evidence=evidence, probe=probe)
