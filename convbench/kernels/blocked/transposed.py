"""Transposed convolution on blocks: a dense convolution for each remainder of y's pixels by the stride.

    y[s * p + a] = sum over taps r with (a + padding - r) = s * d of x[p + d] * w[r]

so the outputs of a remainder see some of the taps, in reverse, with stride 1. Kernels and what they are compiled for
are those of `convolution`.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked.convolution import Direct, direct_candidates
from convbench.kernels.blocked.geometry import Blocked, Sides
from convbench.kernels.blocked.plan import Accuracy, Activation, BlockedPlan, Places, distinct
from convbench.kernels.blocked.problems import Convolution, Pair
from convbench.kernels.plan import align


@dataclass(frozen=True, slots=True)
class TransposedConvolution:
    """y = activation(conv_transpose(x, w) + bias); w is (C, K, R, S) as in torch, one group, dilation 1.

    The stride is at most the kernel, so that each output has a product. y's size tells the padding at the other ends.
    """

    x: Blocked
    y: Blocked
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    activation: Activation = "none"

    @property
    def halo(self) -> Sides:
        """What is read of x beyond its edges."""
        ends: list[int] = []
        x, y = self.x, self.y
        for side, (out, size) in enumerate(((y.h, x.h), (y.w, x.w))):
            before = after = 0
            for a in range(min(self.stride[side], out)):
                first, count = self.taps(side, a)
                last_output = (out - a - 1) // self.stride[side]
                before = max(before, -first)
                after = max(after, last_output + first + count - 1 - (size - 1))
            ends += [before, after]
        top, bottom, left, right = ends
        return top, bottom, left, right

    def taps(self, side: int, remainder: int) -> Pair:
        """Along a side, the first offset in x that outputs of a remainder see, and how many."""
        step, before = self.stride[side], self.padding[side]
        offsets = [
            (remainder + before - r) // step
            for r in range(self.kernel[side])
            if (remainder + before - r) % step == 0
        ]  # fmt: skip
        return min(offsets), len(offsets)

    def chosen(self, side: int, remainder: int) -> list[int]:
        """Those taps, by the offset that they see."""
        step, before = self.stride[side], self.padding[side]
        return [r for r in reversed(range(self.kernel[side])) if (remainder + before - r) % step == 0]


@dataclass(frozen=True)
class Transposed:
    """The plan of a problem.

    Attributes:
        parts: a plan for each remainder.
    """

    problem: TransposedConvolution
    parts: tuple[Direct, ...]

    @property
    def name(self) -> str:
        return f"transposed, {self.parts[0].name}"

    @property
    def scratch(self) -> int:
        return 0

    @cached_property
    def sizes(self) -> list[int]:
        """Floats of the weights of each part."""
        return [align(part.weights_size, 16) for part in self.parts]

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """The weights of each part, one after the other."""
        found = []
        for part, size in zip(self.parts, self.sizes, strict=True):
            rows, columns = (self.problem.chosen(side, part.offset[side]) for side in (0, 1))
            packed = part.pack(w.transpose(0, 1)[:, :, rows][:, :, :, columns], bias)
            found.append(torch.nn.functional.pad(packed, (0, size - packed.numel())))
        return torch.cat(found)

    def steps(self, places: Places) -> list[KernelStep]:
        steps, at = list[KernelStep](), places.weights
        for part, size in zip(self.parts, self.sizes, strict=True):
            steps += part.steps(Places(places.x, places.y, at))
            at += 4 * size
        return steps


def candidates(
    problem: TransposedConvolution, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[BlockedPlan]:
    """As those of a direct convolution, the same choice for all remainders.

    Raises:
        ValueError: the stride is larger than the kernel.
    """
    del accuracy
    if any(step > taps for step, taps in zip(problem.stride, problem.kernel, strict=True)):
        raise ValueError(f"a stride of {problem.stride} needs a kernel as large, not {problem.kernel}")
    y = problem.y
    choices: list[list[Direct]] = []
    for a in range(min(problem.stride[0], y.h)):
        for b in range(min(problem.stride[1], y.w)):
            (top, r), (left, s) = problem.taps(0, a), problem.taps(1, b)
            part = Convolution(problem.x, y, (r, s), padding=(-top, -left), activation=problem.activation)
            choices.append(direct_candidates(part, target, threads, spread=problem.stride, offset=(a, b)))
    count = min(map(len, choices))
    plans = [Transposed(problem, tuple(one[number] for one in choices)) for number in range(count)]
    return distinct(plans)
