"""The definition as nested loops in Python: one multiply-add at a time, interpreted."""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.spec import ConvSpec


def dgrad(dy: Float[Tensor, "n k p q"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n c h w"]:
    gradient, kernel = dy.tolist(), w.tolist()
    (rows_of, _), (columns_of, _) = meetings(spec, 0), meetings(spec, 1)
    dx = [[[[0.0] * spec.w for _ in range(spec.h)] for _ in range(spec.c)] for _ in range(spec.n)]
    for n, k, p, q in product(*map(range, spec.y_shape)):
        first_channel, number = k // spec.k_per_group * spec.c_per_group, gradient[n][k][p][q]
        for c in range(spec.c_per_group):
            for r, row in rows_of[p]:
                pixels, taps = dx[n][first_channel + c][row], kernel[k][c][r]
                for s, column in columns_of[q]:
                    pixels[column] += number * taps[s]
    return torch.tensor(dx, dtype=dy.dtype, device=dy.device).reshape(spec.x_shape)


def wgrad(dy: Float[Tensor, "n k p q"], x: Float[Tensor, "n c h w"], spec: ConvSpec) -> Float[Tensor, "k cg r s"]:
    gradient, image = dy.tolist(), x.tolist()
    (_, rows_of), (_, columns_of) = meetings(spec, 0), meetings(spec, 1)
    dw = []
    for k, c, r, s in product(*map(range, spec.w_shape)):
        channel = k // spec.k_per_group * spec.c_per_group + c
        total = 0.0
        for n in range(spec.n):
            for p, row in rows_of[r]:
                numbers, pixels = gradient[n][k][p], image[n][channel][row]
                for q, column in columns_of[s]:
                    total += numbers[q] * pixels[column]
        dw.append(total)
    return torch.tensor(dw, dtype=dy.dtype, device=dy.device).reshape(spec.w_shape)


def meetings(spec: ConvSpec, axis: int) -> tuple[list[list[tuple[int, int]]], list[list[tuple[int, int]]]]:
    """Along h (axis 0) or w (1): for each output its taps, and for each tap its outputs, with the pixel it is read at.

    A tap on the padding is in neither: checking that at each multiply-add would take longer than these lists.
    """
    outputs, taps, pixels = ((spec.p, spec.r, spec.h), (spec.q, spec.s, spec.w))[axis]
    of_output: list[list[tuple[int, int]]] = [[] for _ in range(outputs)]
    of_tap: list[list[tuple[int, int]]] = [[] for _ in range(taps)]
    for output, tap in product(range(outputs), range(taps)):
        pixel = output * spec.stride[axis] - spec.padding[axis] + tap * spec.dilation[axis]
        if 0 <= pixel < pixels:
            of_output[output].append((tap, pixel))
            of_tap[tap].append((output, pixel))
    return of_output, of_tap


@backend(
    devices={"cpu"},
    family="direct",
    source="the definition of cross-correlation; Goodfellow et al. 2016, Deep Learning, section 9.1",
    dgrad=dgrad,
    wgrad=wgrad,
    # 8 to 15 million a second in CPython 3.11 on a Zen 3 core, fewer on a slow one, so less than half a second a call:
    #   convbench bench --backend naive-loops --shape n1c16h32w32k16r3s3_pd1 --force
    max_macs=2_000_000,
    macs_per_s=5e6,
    actual_flops=lambda spec: 2 * spec.inner_macs,  # taps on padding are stepped over
    any_padding=True,
)
def naive_loops(x: Float[Tensor, "n c h w"], w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    image, kernel = x.tolist(), w.tolist()  # indexing a tensor would cost a microsecond a number
    (rows_of, _), (columns_of, _) = meetings(spec, 0), meetings(spec, 1)
    channels = range(spec.c_per_group)
    y = []
    for n in range(spec.n):
        for k in range(spec.k):
            first_channel = k // spec.k_per_group * spec.c_per_group
            for rows in rows_of:
                for columns in columns_of:
                    total = 0.0
                    for c in channels:
                        for r, row in rows:
                            pixels, taps = image[n][first_channel + c][row], kernel[k][c][r]
                            for s, column in columns:
                                total += pixels[column] * taps[s]
                    y.append(total)
    return torch.tensor(y, dtype=x.dtype, device=x.device).reshape(spec.y_shape)
