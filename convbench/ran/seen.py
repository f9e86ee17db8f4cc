"""What was seen of one call of F.conv2d, before any conclusions?"""

from dataclasses import dataclass
from math import prod
from typing import Self

from convbench.backend import name_surplus
from convbench.ran.chrome_trace import CallTrace
from convbench.ran.kernels import GpuKernel, read_kernel
from convbench.ran.rules import DispatchRule, Setting, apply_rule
from convbench.ran.verbose import Primitive
from convbench.spec import ITEM_NBYTES, ConvSpec

# Operators that only one of torch's backends calls, and the backend's name in ATen.
BACKEND_OF = {
    "aten::mkldnn_convolution": "Mkldnn",
    "aten::_slow_conv2d_forward": "Slow2d",
    "aten::thnn_conv2d": "Slow2d",
    "aten::slow_conv_dilated2d": "SlowDilated2d",
    "aten::_nnpack_spatial_convolution": "NnpackSpatial",
    "aten::cudnn_convolution": "Cudnn",
    "aten::_conv_depthwise2d": "CudaDepthwise2d",
    "aten::miopen_convolution": "Miopen",
    "aten::miopen_depthwise_convolution": "MiopenDepthwise",
}
LIBRARY = {"Mkldnn": "oneDNN", "NnpackSpatial": "NNPACK", "Cudnn": "cuDNN", "Miopen": "MIOpen"}
# Those that lower the convolution to a matrix product over a patch matrix of their own.
LOWERING = ("Slow2d", "SlowDilated2d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What was seen of one call.

    Attributes:
        spec: what ran.
        asked: the problem itself if its padding differs on opposite sides; x was padded first.
        setting: what torch's rule reads besides the problem; None if nothing was seen.
        selected: torch's own answer, as Slow2d; None if it gave none, and `selected_why` says why.
        trace: the profile of the call; None if there is none, and `trace_why` says why.
        cuda_peak_nbytes: by how much the call raised torch.cuda.max_memory_allocated; None on the CPU.
        primitives: what oneDNN logged, in its order.
        logged: whether oneDNN's log was read.
        trouble: why the call was not seen.
    """

    spec: ConvSpec
    dtype: str
    layout: str
    precision: str
    device: str
    asked: ConvSpec | None = None
    setting: Setting | None = None
    selected: str | None = None
    selected_why: str = ""
    trace: CallTrace | None = None
    trace_why: str = ""
    cuda_peak_nbytes: int | None = None
    primitives: tuple[Primitive, ...] = ()
    logged: bool = True
    trouble: str = ""

    @classmethod
    def blank(
        cls, spec: ConvSpec, *, dtype: str = "fp32", layout: str = "nchw", precision: str = "ieee", device: str = "cpu"
    ) -> Self:
        """A call of which nothing was seen yet, as torch can be asked: it pads opposite sides alike."""
        asked = spec if any(spec.surplus) else None
        return cls(spec=spec.evened, asked=asked, dtype=dtype, layout=layout, precision=precision, device=device)

    @property
    def beforehand(self) -> str:
        """What was done to x before the call, in words; empty if nothing was."""
        if self.asked is None:
            return ""
        by, nbytes = name_surplus(self.asked), prod(self.spec.x_shape) * ITEM_NBYTES[self.dtype]
        return (
            f"torch pads opposite sides equally, so x of {self.asked} is padded first with {by}; "
            f"that copy, {nbytes:,} B, and the kernel that makes it are not in any figure here"
        )

    @property
    def operators(self) -> tuple[str, ...]:
        """Those of the profile that only one backend calls."""
        return tuple(one for one in (self.trace.operators if self.trace else ()) if one in BACKEND_OF)

    @property
    def backend(self) -> str | None:
        """torch's name for what ran: from the profile if possible, else from torch's own report."""
        return BACKEND_OF[self.operators[0]] if self.operators else self.selected

    @property
    def name(self) -> str:
        """The common name of the backend, with oneDNN's primitive: `Slow2d`, `oneDNN jit:avx512_core`."""
        if self.backend is None:
            return "unknown"
        name = LIBRARY.get(self.backend, self.backend)
        return f"{name} {self.primitive.implementation}" if self.primitive else name

    @property
    def predicted(self) -> DispatchRule | None:
        """What the rule as convbench knows it says."""
        if self.setting is None:
            return None
        return apply_rule(self.spec, dtype=self.dtype, layout=self.layout, device=self.device, setting=self.setting)

    @property
    def rule(self) -> DispatchRule | None:
        """The rule, if it predicts what ran; otherwise, or if it is unknown what ran, None."""
        predicted = self.predicted
        return predicted if predicted is not None and predicted.backend == self.backend else None

    @property
    def primitive(self) -> Primitive | None:
        """oneDNN's convolution."""
        return next((one for one in self.primitives if one.kind == "convolution"), None)

    @property
    def unread(self) -> bool:
        """Whether oneDNN ran, and its log was not read."""
        return self.backend == "Mkldnn" and not self.logged

    @property
    def reorders(self) -> tuple[Primitive, ...]:
        """oneDNN's changes of layout."""
        return tuple(one for one in self.primitives if one.kind == "reorder")

    @property
    def kernels(self) -> tuple[GpuKernel, ...]:
        return tuple(read_kernel(name) for name in (self.trace.kernels if self.trace else ()))

    @property
    def y_nbytes(self) -> int:
        return prod(self.spec.y_shape) * ITEM_NBYTES[self.dtype]

    @property
    def patches_nbytes(self) -> int:
        """What the patch matrix takes, N x C*R*S x P*Q."""
        return self.spec.patch_matrix_nbytes(self.dtype)
