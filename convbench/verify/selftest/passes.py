"""What are right gradients and a right fused epilogue, for kernels that bring them and for bugs to be planted in?"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import by_group, convolve, patches, wide


def dgrad(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dx (N, C, H, W), right: each output's weights times dy, added where it read."""
    if spec.n == 0:
        return dy.new_zeros(spec.x_shape)
    given = wide(dy).reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q)
    columns = (by_group(w, spec).mT @ given).flatten(1, 2)
    kernel = (spec.r, spec.s)
    return F.fold(columns, (spec.h, spec.w), kernel, spec.dilation, spec.padding, spec.stride).to(dy.dtype)


def wgrad(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """dw (K, C/G, R, S), right: what each tap read times dy, summed over outputs and images."""
    given = wide(dy).reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q)
    return (given @ patches(x, spec).mT).sum(0).reshape(spec.w_shape).to(dy.dtype)


def fused(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """y + bias[k], and the larger of that and 0, right: rounded once."""
    y = convolve(wide(x), wide(w), spec) + wide(bias).reshape(1, -1, 1, 1)
    return (y.relu() if relu else y).to(x.dtype)


RIGHT_PASSES: Mapping[str, Callable[..., Tensor]] = {"dgrad": dgrad, "wgrad": wgrad, "fused": fused}
