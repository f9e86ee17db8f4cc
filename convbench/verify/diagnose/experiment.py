"""How is a backend asked a question of our own? One call on operands of our choice, and their truth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convbench.backend import Backend
from convbench.call.bind import bind, synchronize
from convbench.call.memory import Guard
from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import Case
from convbench.verify.bounds import direct_bound, interval, share_of_bound, storing_bound
from convbench.verify.diagnose.budget import Budget
from convbench.verify.exam import Exam, make_exam
from convbench.verify.oracle import Truth
from convbench.verify.transforms import TRANSFORM_RELATIVE_L2, transform_possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What is wrong.

    Attributes:
        kind: stays the same when the case shrinks.
        words: one sentence with the numbers of this case.
    """

    kind: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A backend on a case, open to questions.

    Attributes:
        budget: what pays for them; None for as many as there are.
    """

    backend: Backend
    case: Case
    budget: Budget | None = None

    def pay(self, *, calls: int = 1) -> None:
        """Pay for some calls of the backend, or for none and a truth of our own.

        Raises:
            Spent: the budget does not hold it.
        """
        if self.budget is not None:
            self.budget.pay(self.case.spec, calls=calls)

    def exam(self, *operands: Tensor) -> Exam:
        """Operands of our own in the case's dtype and layout, with their truth."""
        dtype = TORCH_DTYPE[self.case.dtype]
        return make_exam(self.case, *(lay_out(one.to(dtype), self.case.layout) for one in operands))

    def run(self, exam: Exam) -> Tensor:
        """A copy of what the backend returns; the operands end as they began.

        Raises:
            Spent: the budget does not hold it.
            ValueError: it is no tensor of the case's shape, dtype and device.
        """
        self.pay()
        guard = Guard(**exam.operands)
        try:
            out = bind(self.backend, exam.case, exam.operands)[0]()
            synchronize(self.case.device)
        finally:
            guard.restore()
        fits = isinstance(out, Tensor) and tuple(out.shape) == self.case.out_shape
        if not fits or out.dtype != TORCH_DTYPE[self.case.dtype] or out.device != exam.first.device:
            raise ValueError("the output is not one of the case")
        copy: Tensor = out.clone()
        return copy

    def shares(self, out: Tensor, truth: Truth, *, relu: bool | None = None) -> Tensor:
        """The share that each output takes of its bound around any truth, y before the relu: above 1 is wrong."""
        case, y = self.case, truth.y
        low, high = self.allowed(out.dtype, truth)
        if case.relu if relu is None else relu:
            y, low, high = y.clamp(min=0), low.clamp(min=0), high.clamp(min=0)
        share = share_of_bound(out, y, low, high)
        if share.max() > 1 and transform_possible(case, self.backend.family):
            distance, size = float((out.double() - y).norm()), float(y.norm())
            if distance <= TRANSFORM_RELATIVE_L2[case.dtype] * size:
                return share.clamp(max=1.0)
        return share

    def allowed(self, dtype: torch.dtype, truth: Truth) -> tuple[Tensor, Tensor]:
        """The least and the most that each output may be by the bound of the direct sum."""
        error = direct_bound(self.case, truth)
        if roundings := self.backend.count_roundings(self.case):
            error = error + storing_bound(dtype, truth.magnitude, error, roundings)
        return interval(truth.y, error, dtype)

    def draw(self, shape: tuple[int, ...], low: int, high: int, *, seed: int = 0) -> Tensor:
        """Whole numbers from low to high as float64."""
        generator = torch.Generator().manual_seed(self.case.seed * 1_000_003 + seed)
        return torch.randint(low, high + 1, shape, generator=generator).double().to(self.case.target.torch_name)
