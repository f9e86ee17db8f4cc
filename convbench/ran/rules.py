"""Which library does torch's rule select for one call of F.conv2d, and because of which numbers?

The rule is that of ATen's Convolution.cpp (`use_mkldnn`, `use_nnpack`, `use_cudnn` and those beside them),
restated here. It is not public and may change, so its result is always compared with what torch chose.
"""

from dataclasses import dataclass

from convbench.device import find_device
from convbench.errors import plural
from convbench.spec import ConvSpec

# Convolution.cpp, use_mkldnn: at most so many elements of x, and torch's own loops are taken for faster.
MOST_ELEMENTS = 20_480
MOST_SMALL_SIDE = 3
# The same: so many images make up for a 1x1 kernel on one thread; and use_nnpack: NNPACK needs as many.
ENOUGH_IMAGES = 16
NNPACK_MOST_SIDE = 16
# Convolution.cpp, check_cudnn_depthwise_workload_with_filter.
DEPTHWISE_LEAST_CHANNELS, DEPTHWISE_LEAST_WIDTH = 32, 7
MOST_INDEX = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the rule reads besides the problem.

    Attributes:
        torch, library: versions, of torch and of the library below it (oneDNN or cuDNN).
        threads: CPU threads that torch uses.
        onednn: whether torch was built with oneDNN and it is switched on.
        onednn_bf16, onednn_fp16: whether oneDNN has that arithmetic on this CPU.
        nnpack: whether NNPACK is there.
        cudnn: whether torch was built with cuDNN, has a device for it, and it is switched on.
        machine: the CPU's instructions or the GPU's name.
    """

    torch: str = ""
    library: str = ""
    threads: int = 1
    onednn: bool = True
    onednn_bf16: bool = False
    onednn_fp16: bool = False
    nnpack: bool = False
    cudnn: bool = False
    machine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchRule:
    """What the rule selects, by torch's name, and why, with the problem's numbers."""

    backend: str
    why: str


def apply_rule(spec: ConvSpec, *, dtype: str, layout: str, device: str, setting: Setting) -> DispatchRule:
    """The choice for F.conv2d without gradients."""
    if spec.n == 0:
        return DispatchRule(backend="Empty", why="the batch is empty, so nothing is computed")
    return _on_cpu(spec, dtype, setting) if find_device(device).on_host else _on_cuda(spec, dtype, layout, setting)


def _on_cpu(spec: ConvSpec, dtype: str, setting: Setting) -> DispatchRule:
    taken, why = _onednn_takes(spec, dtype, setting)
    if taken:
        return DispatchRule(backend="Mkldnn", why=f"{why}, so torch uses oneDNN")
    why = f"{why}, so torch does not use oneDNN"
    if spec.dilation != (1, 1):
        return DispatchRule(
            backend="SlowDilated2d", why=f"{why}, and its own code for dilation {_pair(spec.dilation)} runs"
        )
    if (
        dtype == "fp32"
        and setting.nnpack
        and spec.n >= ENOUGH_IMAGES
        and spec.r <= NNPACK_MOST_SIDE
        and spec.s <= NNPACK_MOST_SIDE
        and spec.padding[0] < spec.r
        and spec.padding[1] < spec.s
    ):
        return DispatchRule(
            backend="NnpackSpatial",
            why=f"{why}; {spec.n} images are at least {ENOUGH_IMAGES} and the kernel is at most "
            f"{NNPACK_MOST_SIDE}x{NNPACK_MOST_SIDE} and wider than its padding, so torch uses NNPACK",
        )
    return DispatchRule(backend="Slow2d", why=why)


def _onednn_takes(spec: ConvSpec, dtype: str, setting: Setting) -> tuple[bool, str]:
    if not setting.onednn:
        return False, "oneDNN is off (or was not built in)"
    if dtype in ("bf16", "fp16"):
        if setting.onednn_bf16 if dtype == "bf16" else setting.onednn_fp16:
            return True, f"oneDNN supports {dtype} on this CPU, for any shape"
        return False, f"oneDNN does not support {dtype} on this CPU"
    if dtype != "fp32":
        return False, f"oneDNN has no {dtype} convolution"
    elements = spec.c * spec.h * spec.w
    images = plural(spec.n, "image")
    if (
        (spec.r, spec.s) == (1, 1)
        and spec.stride == spec.dilation == (1, 1)
        and spec.n < ENOUGH_IMAGES
        and setting.threads == 1
    ):
        return False, f"there is only 1 thread for a plain 1x1 kernel on {images} (fewer than {ENOUGH_IMAGES})"
    if spec.groups > 1:
        return True, f"there is more than 1 group ({spec.groups:,})"
    if min(spec.r, spec.s) > MOST_SMALL_SIDE:
        return True, f"both sides of the {spec.r}x{spec.s} kernel are larger than {MOST_SMALL_SIDE}"
    if spec.n > 1:
        return True, f"there is more than 1 image ({spec.n:,})"
    if elements > MOST_ELEMENTS:
        return True, f"the input has {elements:,} elements (more than {MOST_ELEMENTS:,})"
    return False, (
        f"there is only 1 image, of {plural(elements, 'element')} (at most {MOST_ELEMENTS:,}), and 1 group, and "
        f"{_small_side(spec)} at most {MOST_SMALL_SIDE}"
    )


def _small_side(spec: ConvSpec) -> str:
    """`both sides of the 2x2 kernel are`, `one side of the 2x5 kernel is`."""
    both = max(spec.r, spec.s) <= MOST_SMALL_SIDE
    return f"{'both sides' if both else 'one side'} of the {spec.r}x{spec.s} kernel {'are' if both else 'is'}"


def _on_cuda(spec: ConvSpec, dtype: str, layout: str, setting: Setting) -> DispatchRule:
    image, out = spec.c * spec.h * spec.w, spec.k * spec.p * spec.q
    cudnn = setting.cudnn and max(image, out) <= MOST_INDEX
    why_not = (
        "cuDNN is off or not available" if not setting.cudnn else f"one image has more than {MOST_INDEX:,} elements"
    )
    if spec.groups == spec.c > 1:
        each = f"each of {spec.c:,} channels is its own group (depthwise)"
        if not cudnn:
            return DispatchRule(
                backend="CudaDepthwise2d", why=f"{each} and {why_not}, so torch's own depthwise kernel runs"
            )
        if layout == "nhwc":
            return DispatchRule(backend="Cudnn", why=f"{each} and x is in channels_last, so torch uses cuDNN")
        fits, why = _cudnn_depthwise(spec, dtype)
        if fits:
            return DispatchRule(backend="Cudnn", why=f"{each}, {why}, so torch uses cuDNN")
        return DispatchRule(backend="CudaDepthwise2d", why=f"{each}, but {why}, so torch's own depthwise kernel runs")
    if cudnn:
        return DispatchRule(
            backend="Cudnn", why="cuDNN is on and the convolution is not depthwise, so torch uses cuDNN"
        )
    if spec.dilation != (1, 1):
        return DispatchRule(
            backend="SlowDilated2d", why=f"{why_not}, and the kernel is dilated by {_pair(spec.dilation)}"
        )
    return DispatchRule(backend="Slow2d", why=f"{why_not}, and the kernel is not dilated")


def _cudnn_depthwise(spec: ConvSpec, dtype: str) -> tuple[bool, str]:
    """Whether torch uses cuDNN for a depthwise problem that is not in channels_last, which it only does in 16 bits."""
    step = spec.stride[1]
    if dtype not in ("fp16", "bf16"):
        return False, f"torch only uses cuDNN for depthwise {dtype} in channels_last"
    if spec.dilation != (1, 1):
        return False, f"it is dilated by {_pair(spec.dilation)}"
    if spec.stride[0] != step and spec.h != 1:
        return False, f"its stride {_pair(spec.stride)} is not square"
    if spec.c < DEPTHWISE_LEAST_CHANNELS:
        return False, f"{spec.c} channels are fewer than {DEPTHWISE_LEAST_CHANNELS}"
    if spec.h == 1 and step == 1:
        return True, "one row high with stride 1"
    if spec.r != spec.s or spec.s not in (1, 3, 5):
        return False, f"its {spec.r}x{spec.s} kernel is not 1x1, 3x3 or 5x5"
    if spec.w < DEPTHWISE_LEAST_WIDTH:
        return False, f"{spec.w} columns are fewer than {DEPTHWISE_LEAST_WIDTH}"
    if step == 1:
        return True, f"in {dtype} with a {spec.r}x{spec.s} kernel and stride 1"
    if step == 2 and spec.s == 1:
        fits = spec.w <= 28 if spec.n == 1 else spec.n <= 16 and spec.c >= 128 and spec.w <= 7
    else:
        fits = step == 2 and (spec.n == 1 or spec.c >= 512 or (spec.c >= 256 and spec.w >= 28))
    return fits, f"in {dtype} with stride {step}, {spec.n:,} images, {spec.c:,} channels and {spec.w:,} columns"


def _pair(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"
