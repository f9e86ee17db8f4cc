"""What does the name of a CUDA kernel reveal about how it convolves?

Names are not an interface: whatever is read from one is an inference, and some reveal nothing.
The words are those of cuDNN's and CUTLASS's kernels: https://github.com/NVIDIA/cutlass/blob/main/media/docs and the
enumerators of cudnnConvolutionFwdAlgo_t.
"""

import re
from dataclasses import dataclass

MOST_NAME = 76

# The first match decides: a Winograd kernel is often called a gemm, too.
ALGORITHMS = (
    ("winograd", "Winograd"),
    ("fft", "FFT"),
    ("dgrad2d|dgrad_|wgrad", "a gradient's kernel"),
    ("depthwise|dwconv|conv_depthwise|dw_conv", "depthwise, direct"),
    ("implicit_convolve|implicit_gemm|fprop|implicit_precomp|conv2d_c1_k1|nhwckrsc|convolve_sgemm", "implicit GEMM"),
    ("im2col|vol2col", "im2col"),
    ("cudnn.*(?:conv|scudnn)|scudnn|conv2d_grouped_direct|direct", "direct"),
    ("gemm|xmma|cutlass|nvjet", "GEMM"),
)
MOVES = (
    ("nchwtonhwc|nhwctonchw|nchw2nhwc|nhwc2nchw|transpose|tensortransform|permute", "layout change"),
    ("memset|fillfunctor|zero", "zeroing"),
    ("memcpy|copy_kernel|direct_copy|copy", "copy"),
)
ARITHMETIC = (
    ("tf32|_s1688|16816_s", "TF32"),
    ("bf16|bfloat16", "bf16"),
    ("f16|half|_h\\d{3,}|hmma|s16816|s884|h884|h1688", "fp16"),
    ("f64|double|dgemm|_d884", "fp64"),
    ("f32f32_f32f32|sgemm|scudnn|simt_s|ffma|float", "fp32"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuKernel:
    """A kernel that ran on the device.

    Attributes:
        role: convolution, or what it moves or fills.
        algorithm: how it convolves, where the name says so.
        arithmetic: in which numbers it multiplies, where the name says so.
    """

    name: str
    role: str
    algorithm: str = ""
    arithmetic: str = ""

    @property
    def short(self) -> str:
        """The name without its template arguments and its parameters, cut where it is too long to read."""
        plain = re.sub(r"^void\s+", "", self.name)
        plain = re.sub(r"<.*", "", plain) if "<" in plain else plain.partition("(")[0]
        return plain if len(plain) <= MOST_NAME else f"{plain[: MOST_NAME - 1]}…"


def read_kernel(name: str) -> GpuKernel:
    """What the name tells."""
    low = name.lower()

    def first(words: tuple[tuple[str, str], ...]) -> str:
        return next((answer for pattern, answer in words if re.search(pattern, low)), "")

    algorithm = first(ALGORITHMS)
    moved = first(MOVES)
    if moved and (not algorithm or (algorithm in ("direct", "im2col", "GEMM") and "conv" not in low)):
        return GpuKernel(name=name, role=moved)
    return GpuKernel(
        name=name,
        role="convolution" if algorithm else "other",
        algorithm=algorithm,
        arithmetic=first(ARITHMETIC) if algorithm else "",
    )
