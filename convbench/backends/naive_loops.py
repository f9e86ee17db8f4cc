"""The definition as nested loops in Python: one multiply-add at a time, interpreted."""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.spec import ConvSpec


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    gradient, kernel = dy.tolist(), w.tolist()
    (down, across), (top, left), (reach_r, reach_s) = spec.stride, spec.padding, spec.dilation
    height, width, columns = spec.h, spec.w, spec.s
    dx = [[[[0.0] * spec.w for _ in range(spec.h)] for _ in range(spec.c)] for _ in range(spec.n)]
    for n, k, p, q in product(*map(range, spec.y_shape)):
        first_channel, number = k // spec.k_per_group * spec.c_per_group, gradient[n][k][p][q]
        for c, r in product(range(spec.c_per_group), range(spec.r)):
            row = p * down - top + r * reach_r
            if 0 <= row < height:
                pixels, taps = dx[n][first_channel + c][row], kernel[k][c][r]
                for s in range(columns):
                    column = q * across - left + s * reach_s
                    if 0 <= column < width:
                        pixels[column] += number * taps[s]
    return torch.tensor(dx, dtype=dy.dtype, device=dy.device).reshape(spec.x_shape)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    gradient, image = dy.tolist(), x.tolist()
    (down, across), (top, left), (reach_r, reach_s) = spec.stride, spec.padding, spec.dilation
    height, width, columns = spec.h, spec.w, spec.q
    dw = []
    for k, c, r, s in product(*map(range, spec.w_shape)):
        channel = k // spec.k_per_group * spec.c_per_group + c
        total = 0.0
        for n, p in product(range(spec.n), range(spec.p)):
            row = p * down - top + r * reach_r
            if 0 <= row < height:
                numbers, pixels = gradient[n][k][p], image[n][channel][row]
                for q in range(columns):
                    column = q * across - left + s * reach_s
                    if 0 <= column < width:
                        total += numbers[q] * pixels[column]
        dw.append(total)
    return torch.tensor(dw, dtype=dy.dtype, device=dy.device).reshape(spec.w_shape)


@backend(
    devices={"cpu"},
    family="direct",
    source="the definition of cross-correlation; Goodfellow et al. 2016, Deep Learning, section 9.1",
    dgrad=dgrad,
    wgrad=wgrad,
    # More than 3 million a second in CPython 3.11 on a 2.6 GHz Zen 4 core, so less than a second a call:
    #   convbench bench --backend naive-loops --shape n1c16h32w32k16r3s3_pd1 --force
    max_macs=2_000_000,
    macs_per_s=3e6,
    actual_flops=lambda spec: 2 * spec.inner_macs,  # taps on padding are stepped over
    any_padding=True,
)
def naive_loops(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    image, kernel = x.tolist(), w.tolist()  # indexing a tensor would cost a microsecond a number
    (down, across), (top, left), (reach_r, reach_s) = spec.stride, spec.padding, spec.dilation
    height, width, channels, rows, columns = spec.h, spec.w, spec.c_per_group, spec.r, spec.s
    y = []
    for n in range(spec.n):
        for k in range(spec.k):
            first_channel = k // spec.k_per_group * spec.c_per_group
            for p in range(spec.p):
                for q in range(spec.q):
                    total = 0.0
                    for c in range(channels):
                        for r in range(rows):
                            row = p * down - top + r * reach_r
                            if 0 <= row < height:
                                pixels, taps = image[n][first_channel + c][row], kernel[k][c][r]
                                for s in range(columns):
                                    column = q * across - left + s * reach_s
                                    if 0 <= column < width:
                                        total += pixels[column] * taps[s]
                    y.append(total)
    return torch.tensor(y, dtype=x.dtype, device=x.device).reshape(spec.y_shape)
