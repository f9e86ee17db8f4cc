"""Is the output exact where it can be? Integers so small that no sum of them is ever rounded.

Every direct algorithm gives the same bits then, in any order and with any accumulator that holds them,
so one wrong bit is a proof. The size of the numbers is fitted to the accumulator and not to
the output (as oneDNN's benchdnn does), so a narrower accumulator has to round. The numbers lie
between NaN, so reads beyond them are detected.
"""

from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from convbench.call.memory import Zone, zoned
from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.outcome import Check
from convbench.verify.diagnosis import diagnose
from convbench.verify.exam import Exam, name_operands, wrong
from convbench.verify.oracle import answer, by_loops, longest_sum
from convbench.verify.transforms import STRASSEN_LEVELS, Points, transform_possible
from convbench.verify.verdict import check

# The largest sum of absolute values: what float32 and float64 hold with a bit to spare, and the dtype at all.
LARGEST_SUM = {
    name: min(2 ** (DTYPE[one.sums].digits - 1), int(torch.finfo(TORCH_DTYPE[name]).max)) for name, one in DTYPE.items()
}
# For Winograd and FFT, whose transforms round: there an error stays far below one half.
LARGEST_TRANSFORMED_SUM = 2**10
SPOT_CHECKS = 4


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Operands of integers, no weight among them zero, between NaN.

    Attributes:
        family: of the tested backends: an algorithm that rounds integers in between gets small ones.
    """

    case: Case
    family: str = "direct"

    @property
    def small(self) -> bool:
        """Whether an answer need not be exact: transforms round."""
        return self.family in ("winograd", "fft")

    @property
    def limit(self) -> int:
        """The largest sum of absolute values."""
        largest: int = LARGEST_SUM[self.case.dtype]
        if self.family == "strassen":  # so many times as large are the sums of its blocks (`strassen_bound`)
            exact: int = 2 ** (DTYPE[DTYPE[self.case.dtype].sums].digits - 1) // 6**STRASSEN_LEVELS
            return min(largest, exact)
        return min(largest, LARGEST_TRANSFORMED_SUM) if self.small else largest

    @cached_property
    def zones(self) -> dict[str, Zone]:
        """The operands with their surroundings."""
        case, count, limit = self.case, longest_sum(self.case), self.limit
        most = max(1, min(2 ** DTYPE[case.dtype].factor_digits, isqrt(limit // count)))
        generator = torch.Generator().manual_seed(case.seed * 1_000_003 + 2)
        zones = {}
        for name, shape in case.operands.items():
            sign = 1 - 2 * torch.randint(0, 2, shape, generator=generator)
            numbers = sign * torch.randint(1, most + 1, shape, generator=generator)
            if count > limit and name == next(iter(case.operands)) and not self.small:
                numbers *= torch.rand(shape, generator=generator) < limit / count
            zones[name] = zoned(lay_out(numbers.to(case.target.torch_name, TORCH_DTYPE[case.dtype]), case.layout))
        return zones

    @cached_property
    def exam(self) -> Exam:
        """The same operands as an exam: nothing is computed before it is asked for."""
        operands = name_operands(self.case, [zone.tensor for zone in self.zones.values()])
        return Exam(case=self.case, operands=operands, exact=True)

    @cached_property
    def y(self) -> Tensor:
        """The exact output, float64.

        Raises:
            AssertionError: the oracle and integer loops differ, so nothing can be judged.
        """
        y, operands = answer(self.case, *self.exam.operands.values()), list(self.exam.operands.values())
        generator = torch.Generator().manual_seed(self.case.seed)
        for _ in range(SPOT_CHECKS if y.numel() else 0):
            place = [int(torch.randint(0, size, (), generator=generator)) for size in y.shape]
            got, exact = float(y[tuple(place)]), by_loops(self.case, operands, place)
            if got != exact:
                raise AssertionError(f"the oracle has {got:.17g} at {place}, but integer loops give {exact}")
        return y.clamp(min=0) if self.case.relu else y

    def adopt(self, other: "Lattice") -> None:
        """Reuse what another lattice computed for the same numbers in another layout."""
        self.__dict__.update({name: other.__dict__[name] for name in ("y", "expected") if name in other.__dict__})

    @cached_property
    def expected(self) -> Tensor:
        """The exact output in the case's dtype: integers below 2^24 are rounded once."""
        return self.y.to(TORCH_DTYPE[self.case.dtype])

    def check(self, out: Any, family: str, roundings: int = 0, points: Points = ()) -> Check:
        """Judge the output on these operands: exact, but where it is rounded on the way."""
        if (misfit := self.exam.misfit(out)) is not None:
            return misfit
        strayed = [name for name, zone in self.zones.items() if not zone.whole]
        if strayed:
            return wrong(f"it wrote beyond its input {' and '.join(strayed)}", "memory")
        right = Check(worst_of_bound=0.0, relative_l2=0.0)
        if torch.equal(out, self.expected):
            return right
        if roundings or (family != "strassen" and transform_possible(self.case, family, points)):
            if self.small and not DTYPE[self.case.dtype].narrow:
                wild = ~((out.double() - self.y).abs() < 0.5)
            else:  # how often it rounds is known, not where
                found = check(self.exam, out, family, roundings, points)
                return right if found.passed else found.fails("lattice", f"on whole numbers, {found.evidence}")
        else:
            wild = out != self.expected
        if not wild.any():
            return right
        apart = (out.double() - self.y).abs().nan_to_num(nan=torch.inf)
        return wrong(f"on whole numbers, {diagnose(out, self.y, wild, apart, self.case.out_name, '')}", "lattice")
