"""How is a backend asked a question of our own? One call on operands of our choice, and their truth."""

from collections.abc import Callable
from dataclasses import dataclass, field

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

# Of the largest output: what a transform may err in 16 bits, where its bound is wider than the numbers themselves.
TRANSFORM_ERROR = 0.25
SALT = 77  # of the numbers that confirm a cause; those after it are for further ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What is wrong.

    Attributes:
        kind: stays the same when the case shrinks.
        words: one sentence with the numbers of this case.
        told_by: the experiment that has the answer.
    """

    kind: str
    words: str
    told_by: Callable[..., "Cause | None"] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A backend on a case, open to questions.

    Attributes:
        budget: what pays for them; None for as many as there are.
        salt: of the numbers that it is asked with.
    """

    backend: Backend
    case: Case
    budget: Budget | None = None
    salt: int = 0

    def pay(self, *, calls: int = 1) -> None:
        """Pay for some calls of the backend, or for none and a truth of our own.

        Raises:
            Spent: the budget does not hold it.
        """
        if self.budget is not None:
            self.budget.pay(self.case.spec, calls=calls)

    def exam(self, *operands: Tensor, exact: bool = False) -> Exam:
        """Operands of our own in the case's dtype and layout, with their truth; `exact` as an exam has it."""
        dtype = TORCH_DTYPE[self.case.dtype]
        return make_exam(self.case, *(lay_out(one.to(dtype), self.case.layout) for one in operands), exact=exact)

    def run(self, exam: Exam) -> Tensor:
        """A copy of what the backend returns; the operands end as they began. Raises what `call` does."""
        guard = Guard(**exam.operands)
        try:
            return self.call(exam)
        finally:
            guard.restore()

    def call(self, exam: Exam) -> Tensor:
        """The same, and the operands end as the backend leaves them.

        Raises:
            Spent: the budget does not hold it.
            ValueError: it is no tensor of the case's shape, dtype and device.
        """
        self.pay()
        out = bind(self.backend, exam.case, exam.operands)[0]()
        synchronize(self.case.device)
        fits = isinstance(out, Tensor) and tuple(out.shape) == self.case.out_shape
        if not fits or out.dtype != TORCH_DTYPE[self.case.dtype] or out.device != exam.first.device:
            raise ValueError("the output is not one of the case")
        copy: Tensor = out.clone()
        return copy

    def shares(self, out: Tensor, exam: Exam, truth: Truth | None = None, *, relu: bool | None = None) -> Tensor:
        """The share that each output takes of its family's bound: above 1 is wrong.

        Args:
            truth: another than the exam's own, y before the relu.
            relu: whether there is one; by default where the case has one.
        """
        case, truth = self.case, truth or exam.truth
        y, (low, high) = truth.y, self.allowed(out.dtype, exam, truth)
        if case.relu if relu is None else relu:
            y, low, high = y.clamp(min=0), low.clamp(min=0), high.clamp(min=0)
        share = share_of_bound(out, y, low, high)
        if self.transforms and share.max() <= 1:
            distance, size = float((out.double() - y).norm()), float(y.norm())
            if distance > TRANSFORM_RELATIVE_L2[case.dtype] * size:  # wrong as a whole, which only this bound shows
                direct = direct_bound(case, truth)
                return share_of_bound(out, y, *interval(truth.y, direct, out.dtype))
        return share

    def allowed(self, dtype: torch.dtype, exam: Exam, truth: Truth) -> tuple[Tensor, Tensor]:
        """The least and the most that each output may be by the bound of the backend's family."""
        roundings, transforms = self.backend.count_roundings(self.case), self.transforms
        if exam.exact and not roundings and not transforms:
            return interval(truth.y, torch.zeros_like(truth.y), dtype)
        error = direct_bound(self.case, truth)
        if transforms:
            largest, backend = TRANSFORM_ERROR * truth.y.abs().max(), self.backend
            transformed = exam.transform(backend.family, backend.points, sharp=exam.drawn)
            error = error + (transformed if exam.drawn else transformed.clamp(max=float(largest)))
        if roundings:
            error = error + storing_bound(dtype, truth, error, roundings)
        return interval(truth.y, error, dtype)

    @property
    def transforms(self) -> bool:
        """Whether it may run Winograd or an FFT here, so that an output mixes those of its tile."""
        return transform_possible(self.case, self.backend.family, self.backend.points)

    def draw(self, shape: tuple[int, ...], low: int, high: int, *, seed: int = 0) -> Tensor:
        """Whole numbers from low to high as float64."""
        return torch.randint(low, high + 1, shape, generator=self.generator(seed)).double().to(self._place)

    def ones(self) -> list[Tensor]:
        """Operands that are 1 throughout, and a bias of zeros, float64."""
        first, second, *bias = self.case.operands.values()
        kind, place = torch.float64, self._place
        return [
            *(torch.ones(shape, dtype=kind, device=place) for shape in (first, second)),
            *(torch.zeros(shape, dtype=kind, device=place) for shape in bias),
        ]

    def generator(self, seed: int) -> torch.Generator:
        """Of random numbers that are the same each time."""
        return torch.Generator().manual_seed(self.case.seed * 1_000_003 + 7_919 * self.salt + seed)

    @property
    def _place(self) -> str:
        return self.case.target.torch_name
