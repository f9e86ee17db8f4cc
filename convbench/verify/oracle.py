"""The truth of a case in float64, and what an error bound needs beside it.

One product for each tap, over shifted views of the padded input: no code is shared with any
backend, neither `F.unfold` nor `F.conv2d`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from convbench.spec import ConvSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known of a convolution, element by element.

    Attributes:
        y: (N, K, P, Q) float64, the result.
        magnitude: (N, K, P, Q) float64, M = conv(|x|, |w|).
        terms: (P, Q) float64, n: products that lie inside the image.
    """

    y: Tensor
    magnitude: Tensor
    terms: Tensor


def truth(x: Tensor, w: Tensor, spec: ConvSpec) -> Truth:
    """The oracle's answer for x (N, C, H, W) and w (K, C/G, R, S), on x's device."""
    return Truth(
        y=conv2d_float64(x, w, spec),
        magnitude=conv2d_float64(x.abs(), w.abs(), spec),
        terms=count_terms(spec).to(x.device),
    )


def conv2d_float64(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """y (N, K, P, Q): the sum over taps (r, s) of w[:, :, r, s] times a shifted view of x."""
    x, w = x.double(), w.double()
    (pad_h, pad_w), (stride_h, stride_w) = spec.padding, spec.stride
    padded = torch.zeros(
        (spec.n, spec.groups, spec.c_per_group, spec.h + 2 * pad_h, spec.w + 2 * pad_w),
        dtype=torch.float64,
        device=x.device,
    )
    padded[..., pad_h : pad_h + spec.h, pad_w : pad_w + spec.w] = x.reshape(
        spec.n, spec.groups, spec.c_per_group, spec.h, spec.w
    )
    taps = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s)
    y = torch.zeros((spec.n, spec.groups, spec.k_per_group, spec.p * spec.q), dtype=torch.float64, device=x.device)
    for r in range(spec.r):
        top = r * spec.dilation[0]
        rows = slice(top, top + (spec.p - 1) * stride_h + 1, stride_h)
        for s in range(spec.s):
            left = s * spec.dilation[1]
            columns = slice(left, left + (spec.q - 1) * stride_w + 1, stride_w)
            shifted = padded[..., rows, columns].flatten(3)  # (N, G, C/G, P*Q)
            if spec.c_per_group == 1:  # a product of 1-wide matrices is slow, and no sum is needed
                y += taps[..., r, s] * shifted
            else:
                y += taps[..., r, s] @ shifted
    return y.reshape(spec.y_shape)


def count_terms(spec: ConvSpec) -> Tensor:
    """(P, Q) float64: the taps that fall inside the image, times C/G."""

    def inside(out: int, size: int, taps: int, stride: int, padding: int, dilation: int) -> Tensor:
        position = torch.arange(out)[:, None] * stride - padding + torch.arange(taps) * dilation
        return ((position >= 0) & (position < size)).sum(dim=1).double()

    rows = inside(spec.p, spec.h, spec.r, spec.stride[0], spec.padding[0], spec.dilation[0])
    columns = inside(spec.q, spec.w, spec.s, spec.stride[1], spec.padding[1], spec.dilation[1])
    return rows[:, None] * columns * spec.c_per_group
