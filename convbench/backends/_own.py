"""What the backends that convbench compiles itself have in common: from a plan to the functions of a backend."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from convbench.jit.target import host
from convbench.kernels.plan import KernelPlan, convolve, mirrored
from convbench.spec import ConvSpec

host()  # on a CPU without the vectors that the kernels need there are no such backends


@dataclass(frozen=True)
class Own:
    """A backend's functions.

    Attributes:
        plan: `plan(spec)(part, threads)`, of the whole problem or some of its images: the packed weight serves all.
    """

    plan: Callable[[ConvSpec], Callable[[ConvSpec, int], KernelPlan]]

    def pack(self, w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Tensor:
        """The weight in blocks of filters, in the order of its use."""
        return self.plan(spec)(spec, 1).pack(w)

    def fprop(self, x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
        return convolve(self.plan(spec), x, packed, spec)

    def fused(
        self, x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec, bias: Float[Tensor, " k"], relu: bool
    ) -> Float[Tensor, "n k p q"]:
        return convolve(self.plan(spec), x, packed, spec, bias, relu)

    def dgrad(
        self, dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec
    ) -> Float[Tensor, "n c h w"]:
        """The same kernel with the weight turned around; `cannot_mirror` refuses what that does not do."""
        w, back = mirrored(w, spec)
        return self.fprop(dy, self.pack(w, back), back)
