"""The operands of a case with their truth and its bounds, which every verdict on the case needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.bounds import direct_bound, interval, sharp_bound, storing_bound
from convbench.verify.diagnosis import diagnose
from convbench.verify.operands import make_operands
from convbench.verify.oracle import Truth, answer, truth
from convbench.verify.recipes import drawn_from_normal
from convbench.verify.transforms import Points, transform_bound

# What an exam computes on first use; it depends on the numbers and not on their location.
CACHED = ("truth", "error", "within", "sharply_within")


@dataclass(frozen=True, kw_only=True)
class Exam:
    """One set of operands with its truth, shared by every backend of a case.

    The truth is computed on first use, so code that runs before cannot find it in
    its process.

    Attributes:
        operands: in the order of the pass, by name.
        drawn: from N(0, 1), on which the tight bound counts.
        exact: integers so small that no direct sum of them is ever rounded.
    """

    case: Case
    operands: dict[str, Tensor]
    drawn: bool = False
    exact: bool = False

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
        return all(map(all_finite, self.operands.values()))

    def forget(self) -> None:
        """Discard the truth; it is computed again on the next use."""
        for name in CACHED:
            self.__dict__.pop(name, None)

    def adopt(self, other: "Exam") -> None:
        """Reuse what another exam computed for the same numbers in another layout."""
        self.__dict__.update({name: other.__dict__[name] for name in CACHED if name in other.__dict__})

    @cached_property
    def within(self) -> tuple[Tensor, Tensor]:
        """The interval of each output, in numbers of the case's dtype."""
        return self.interval(self.error, 0)

    @cached_property
    def sharply_within(self) -> tuple[Tensor, Tensor]:
        """The interval on random operands."""
        return self.interval(sharp_bound(self.case, self.truth, self.error), 0)

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

    def within_after(self, roundings: int, *, sharp: bool = False) -> tuple[Tensor, Tensor]:
        """The same where partial sums are stored in the case's 16 bits so often; `sharp` for random operands."""
        if not roundings:
            return self.sharply_within if sharp else self.within
        return self.interval(sharp_bound(self.case, self.truth, self.error) if sharp else self.error, roundings)

    def interval(self, error: Tensor, roundings: int, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The interval of each output; a relu is monotone, as rounding is."""
        dtype = TORCH_DTYPE[self.case.dtype]
        if roundings:
            error = error + storing_bound(dtype, self.truth, error, roundings)
        low, high = interval(self.truth.y if y is None else y, error, dtype)
        return (_relu(low), _relu(high)) if self.case.relu else (low, high)

    def transform(self, family: str, points: Points = (), *, sharp: bool = False) -> Tensor:
        """e of the algorithm that a backend of this family may have run; `sharp` for random operands."""
        return transform_bound(self.case, *self.operands.values(), family=family, points=points, sharp=sharp)

    def answer(self, operands: Sequence[Tensor]) -> Tensor:
        """The exact outputs of other operands of these shapes, float64 of the truth's shape, before a relu."""
        return answer(self.case, *operands)

    def place(self, out: Tensor, y: Tensor, outside: Tensor, share: Tensor, unit: str = "its bound") -> str:
        """How many outputs are wrong, where they are, and the worst of them, in one line."""
        return diagnose(out, y, outside, share, self.case.out_name, unit)

    def misfit(self, out: Any) -> Check | None:
        """Why this is not an output of the case, or None."""
        case, expected = self.case, self.case.out_shape
        if not isinstance(out, Tensor):
            return wrong(f"returned {type(out).__name__}, not a tensor")
        if tuple(out.shape) != expected:
            return wrong(f"returned shape {tuple(out.shape)}, expected {expected}")
        if out.dtype != TORCH_DTYPE[case.dtype] or out.device != self.first.device:
            return wrong(f"returned {out.dtype} on {out.device}, expected {case.dtype} on {self.first.device}")
        return None


def _relu(bound: Tensor) -> Tensor:
    return bound.double().clamp(min=0).to(bound.dtype)  # torch clamps no float8


def prepare_exam(case: Case, *, salt: int = 0) -> Exam:
    """The exam of a case on operands drawn from N(0, 1), or from its problem's recipe."""
    return make_exam(case, *make_operands(case, salt=salt), drawn=drawn_from_normal(case))


def make_exam(case: Case, *operands: Tensor, drawn: bool = False, exact: bool = False) -> Exam:
    """An exam on given operands in the case's dtype and order: x (N, C, H, W) and w (K, C/G, R, S) for fprop."""
    return Exam(case=case, operands=name_operands(case, operands), drawn=drawn, exact=exact)


def name_operands(case: Case, operands: Sequence[Tensor]) -> dict[str, Tensor]:
    """Operands by name, in the order of the pass."""
    return dict(zip(case.operands, operands, strict=True))


def wrong(evidence: str, probe: str = "numeric") -> Check:
    """A verdict that needs no numbers."""
    return Check(worst_of_bound=float("inf"), relative_l2=float("inf"), evidence=evidence, probe=probe)


def all_finite(tensor: Tensor) -> bool:
    """Whether no number of it is infinite or NaN; torch 2.11 cannot say that of 8-bit ones."""
    wide = tensor.float() if tensor.element_size() == 1 else tensor
    return bool(wide.isfinite().all())
