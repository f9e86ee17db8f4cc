"""Which gradients do people get wrong beside an fprop that is right?"""

import torch
from torch import Tensor

from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import DTYPES, wide
from convbench.verify.selftest.mutants.planting import bug_of_gradient
from convbench.verify.selftest.passes import dgrad, wgrad

ZERO = r"\b(is|are) 0$"


@bug_of_gradient(causes=(r"never written", r"depends? on what memory held"))
def dgrad_gaps_unwritten(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dgrad leaves pixels that no output reads as memory held them"""
    right = dgrad(dy, w, spec)
    read = dgrad(torch.ones(spec.y_shape), torch.ones(spec.w_shape), spec) != 0
    dx = torch.empty(spec.x_shape, dtype=dy.dtype)
    dx[read] = right[read]
    return dx


@bug_of_gradient(causes=(ZERO,))
def dgrad_padded_pointwise(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dgrad of a padded 1x1 with stride 1 loses the last row"""
    dx = dgrad(dy, w, spec)
    if (spec.r, spec.s, spec.stride) == (1, 1, (1, 1)) and spec.padding != (0, 0):
        dx[:, :, -1] = 0
    return dx


@bug_of_gradient(causes=(r"kernel is flipped", r"reads? the pixels of tap"))
def dgrad_not_turned(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dgrad is done as an fprop of dy whose kernel nobody turned around"""
    return dgrad(dy, w.flip(2, 3), spec)


@bug_of_gradient(causes=(r"\b(output channel|channel|tap)s? .*(missing|ignored)", ZERO))
def dgrad_channel_tail(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dgrad adds a group's output channels four at a time, and the rest is left out"""
    w = w.clone().unflatten(0, (spec.groups, spec.k_per_group))
    if spec.k_per_group > 4:
        w[:, spec.k_per_group // 4 * 4 :] = 0
    return dgrad(dy, w.flatten(0, 1), spec)


@bug_of_gradient(causes=(ZERO,))
def dgrad_rest_of_the_stride(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dgrad is written in blocks of the stride, and rows beyond the last block are zero"""
    dx = dgrad(dy, w, spec)
    if spec.stride[0] > 1:
        dx[:, :, spec.h // spec.stride[0] * spec.stride[0] :] = 0
    return dx


@bug_of_gradient(causes=(ZERO,))
def dgrad_rest_of_the_rows_for_columns(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dgrad makes dx as wide as the rows that the stride leaves over say, and fills the rest with zeros"""
    dx, (h, width), extent = dgrad(dy, w, spec), spec.padded, spec.kernel_extent
    rows, columns = (h - extent[0]) % spec.stride[0], (width - extent[1]) % spec.stride[1]
    if columns > rows:
        dx[..., rows - columns :] = 0
    return dx


@bug_of_gradient(causes=(r"r and s .*swapped", r"holds? the answer|kernel rows? .*(mixed up|swapped)"))
def wgrad_depthwise_transposed(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """wgrad of a depthwise convolution with a stride is cut along the wrong axis"""
    dw = wgrad(dy, x, spec)
    if spec.groups == spec.c > 1 and spec.stride[0] > 1:
        dw = dw.mT.reshape(spec.w_shape) if spec.r == spec.s else dw.roll(1, 2)
    return dw


@bug_of_gradient(causes=(r"limits dy to the range from -2 to 2",))
def wgrad_saturates(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """wgrad of a depthwise convolution keeps dy between -2 and 2"""
    return wgrad(dy.clamp(-2, 2) if spec.groups == spec.c > 1 else dy, x, spec)


@bug_of_gradient(causes=(r"images? .*(missing|ignored)", ZERO))
def wgrad_forgets_an_image(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """wgrad sums over the images but for the last"""
    dy = dy.clone()
    if spec.n > 1:
        dy[-1] = 0
    return wgrad(dy, x, spec)


@bug_of_gradient(causes=(r"output rows? .*(missing|ignored)", r"tap|kernel row", ZERO))
def wgrad_last_row_left_out(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """wgrad sums over pairs of output rows, and an odd last one is left out"""
    dy = dy.clone()
    if spec.p % 2 and spec.p > 1:
        dy[:, :, -1] = 0
    return wgrad(dy, x, spec)


@bug_of_gradient(causes=(r"(sums|computes|results) .*bf16",), dtypes=("fp32", "bf16"))
def wgrad_images_added_in_bf16(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """wgrad adds the images one after another to a dw of bf16"""
    total = torch.zeros(spec.w_shape)
    for image in range(spec.n):
        one = torch.zeros_like(wide(dy))
        one[image] = dy[image]
        total = (total + wgrad(one, x, spec)).bfloat16().float()
    return total.to(dy.dtype)


@bug_of_gradient(causes=(r"\bdy\b.*(changed|changes|overwritten)", r"changes? .*\bdy\b"), dtypes=DTYPES)
def wgrad_changes_dy(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """wgrad changes dy in place on its way"""
    dw = wgrad(dy, x, spec)
    dy.mul_(0.5)
    return dw


GRADIENTS = (
    dgrad_gaps_unwritten,
    dgrad_padded_pointwise,
    dgrad_not_turned,
    dgrad_channel_tail,
    dgrad_rest_of_the_stride,
    dgrad_rest_of_the_rows_for_columns,
    wgrad_depthwise_transposed,
    wgrad_saturates,
    wgrad_forgets_an_image,
    wgrad_last_row_left_out,
    wgrad_images_added_in_bf16,
    wgrad_changes_dy,
)
