"""Which unusual ways of computing a convolution are right all the same? The verifier may reject none of them.

Transforms and libraries that are no sum in float32 of products: an FFT, Winograd of other tiles and kernels, numpy,
minus zero, sums whose order changes from call to call, gradients and a fused epilogue.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convbench.case import Case
from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import CORRECT, DTYPES, Function, Kernel, by_group, correct, patches, wide
from convbench.verify.selftest.kernels import convolve as formula
from convbench.verify.selftest.passes import RIGHT_PASSES

ALL = (*DTYPES, "fp64")
OVERFLOWING = "large_and_small"  # a transform that overflows where the convolution does not is wrong


def winograd_fits(size: int) -> Callable[[Case], bool]:
    """Whether a case is one for F(m, size) in both directions."""

    def fits(case: Case) -> bool:
        spec = case.spec
        small = (spec.r, spec.s, spec.stride, spec.dilation) == (size, size, (1, 1), (1, 1)) and spec.n > 0
        return small and case.problem.operands != OVERFLOWING

    return fits


def cook_toom(out: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """B^T, G and A^T of F(out, size) with the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity: exact in float64.

    A row of B^T is the polynomial that is zero at the other points; one of G the powers of its own over its value.
    """
    points = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)[: out + size - 2]
    bt, g = np.zeros((len(points) + 1,) * 2), np.zeros((len(points) + 1, size))
    for place, point in enumerate(points):
        others = [one for one in points if one != point]
        bt[place, : len(points)] = np.poly(others)[::-1]
        g[place] = [point**power / float(np.prod([point - one for one in others])) for power in range(size)]
    bt[-1], g[-1, -1] = np.poly(points)[::-1], 1.0
    at = np.array([[*(point**power for point in points), float(power == out - 1)] for power in range(out)])
    return bt, g, at


def winograd(x: Tensor, w: Tensor, spec: ConvSpec, out: int) -> Tensor:
    """F(out x out, R x R), in the dtype of the sums throughout."""
    kind = wide(x).dtype
    bt, g, at = (torch.from_numpy(matrix).to(kind) for matrix in cook_toom(out, spec.r))
    tile = len(bt)
    tiles_h, tiles_w = -(-spec.p // out), -(-spec.q // out)
    (top, left), more = spec.padding, spec.r - 1
    padded = F.pad(wide(x), (left, out * tiles_w + more - spec.w - left, top, out * tiles_h + more - spec.h - top))
    data = (bt @ padded.unfold(2, tile, out).unfold(3, tile, out) @ bt.T).unflatten(1, (spec.groups, spec.c_per_group))
    kernel = (g @ wide(w) @ g.T).unflatten(0, (spec.groups, spec.k_per_group))
    y = (at @ torch.einsum("gkcab,ngchwab->ngkhwab", kernel, data) @ at.T).flatten(1, 2)
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, out * tiles_h, out * tiles_w)
    return y[..., : spec.p, : spec.q].to(x.dtype)


def _of_tile(out: int, size: int) -> Kernel:
    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return winograd(x, w, spec, out)

    return Kernel(
        name=f"winograd-f{out}-{size}x{size}",
        words=f"Winograd F({out}x{out}, {size}x{size}), by the points 0, 1, -1, 2, -2, 1/2, -1/2",
        make=lambda: fn,
        dtypes=ALL,
        family="winograd",
        fits=winograd_fits(size),
    )


def _windows(x: Tensor, spec: ConvSpec) -> NDArray[np.floating[Any]]:
    """(N, C, P, Q, R, S): a view of the padded image, by numpy."""
    (top, left), extent = spec.padding, spec.kernel_extent
    padded = np.pad(wide(x).numpy(), ((0, 0), (0, 0), (top, top), (left, left)))
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    (down, right), (below, beside) = spec.stride, spec.dilation
    return view[:, :, ::down, ::right, ::below, ::beside]


@correct(family="direct", dtypes=ALL)
def numpy_tensordot(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Windows as a view, and numpy.tensordot a group"""
    view, kernel, c, k = _windows(x, spec), wide(w).numpy(), spec.c_per_group, spec.k_per_group
    parts = [
        np.tensordot(view[:, g * c : (g + 1) * c], kernel[g * k : (g + 1) * k], axes=((1, 4, 5), (1, 2, 3)))
        for g in range(spec.groups)
    ]
    y = np.concatenate(parts, axis=-1).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(y)).to(x.dtype)


@correct(family="direct", dtypes=ALL)
def numpy_einsum(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Windows as a view, and numpy.einsum into memory of numpy's"""
    view = _windows(x, spec)
    view = view.reshape(spec.n, spec.groups, spec.c_per_group, *view.shape[2:])
    kernel = wide(w).numpy().reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s)
    y = np.empty((spec.n, spec.groups, spec.k_per_group, spec.p, spec.q), dtype=view.dtype)
    np.einsum("ngcpqrs,gkcrs->ngkpq", view, kernel, out=y)
    return torch.from_numpy(y.reshape(spec.y_shape)).to(x.dtype)


@correct(family="fft", dtypes=ALL, fits=lambda case: case.problem.operands != OVERFLOWING)
def numpy_fft(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """A real FFT of the padded image by numpy, the products summed over the channels, and the inverse"""
    (top, left), (below, beside) = spec.padding, spec.dilation
    data = np.pad(wide(x).numpy(), ((0, 0), (0, 0), (top, top), (left, left)))
    size = (data.shape[2], data.shape[3])
    kernel = np.zeros((spec.k, spec.c_per_group, *spec.kernel_extent), dtype=data.dtype)
    kernel[:, :, ::below, ::beside] = wide(w).numpy()
    half = size[1] // 2 + 1
    images = np.fft.rfft2(data, size).reshape(spec.n, spec.groups, spec.c_per_group, size[0], half)
    kernels = np.fft.rfft2(kernel, size).reshape(spec.groups, spec.k_per_group, spec.c_per_group, size[0], half)
    product = np.einsum("ngchw,gkchw->ngkhw", images, kernels.conj()).reshape(spec.n, spec.k, size[0], half)
    y = np.fft.irfft2(product, size)[:, :, :: spec.stride[0], :: spec.stride[1]][:, :, : spec.p, : spec.q]
    return torch.from_numpy(np.ascontiguousarray(y)).to(x.dtype)


@correct(family="direct", dtypes=ALL)
def minus_of_minus(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Minus the convolution of minus x, whose zeros are minus zero"""
    return -formula(-x, w, spec)


@correct(family="direct", dtypes=ALL)
def channels_in_blocks_of_8(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Channels packed in blocks of eight with zeros behind the last, one block after another"""
    pad = -spec.c_per_group % 8
    area = spec.r * spec.s
    data = F.pad(patches(x, spec).unflatten(2, (-1, area)), (0, 0, 0, 0, 0, pad))
    kernel = F.pad(by_group(w, spec).unflatten(2, (-1, area)), (0, 0, 0, pad))
    total = torch.zeros(1, dtype=data.dtype)
    for first in range(0, data.shape[2], 8):
        total = total + kernel[:, :, first : first + 8].flatten(2) @ data[:, :, first : first + 8].flatten(2, 3)
    return total.reshape(spec.y_shape).to(x.dtype)


def _in_any_order() -> Function:
    generator = torch.Generator().manual_seed(0)

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        order = torch.randperm(spec.taps, generator=generator)
        parts = zip(by_group(w, spec)[..., order].chunk(8, 2), patches(x, spec)[:, :, order].chunk(8, 2), strict=True)
        total = torch.zeros(1, dtype=wide(x).dtype)
        for kernel, read in parts:
            total = total + kernel @ read
        return total.reshape(spec.y_shape).to(x.dtype)

    return fn


in_any_order = Kernel(
    name="in-any-order",
    words="Eight parts in an order that changes from call to call, as it says of itself",
    make=_in_any_order,
    dtypes=ALL,
    family="implicit_gemm",
    brings={"nondeterministic": lambda _: True},
)

with_gradients = Kernel(
    name="with-gradients",
    words="The index formula with gradients and a fused epilogue of its own",
    make=lambda: formula,
    dtypes=ALL,
    brings=RIGHT_PASSES,
)

UNUSUAL = (
    numpy_tensordot,
    numpy_einsum,
    numpy_fft,
    minus_of_minus,
    channels_in_blocks_of_8,
    in_any_order,
    with_gradients,
    *(_of_tile(out, size) for out, size in ((2, 3), (4, 3), (6, 3), (2, 5), (4, 5), (3, 2))),
)
RIGHT = (*CORRECT, *UNUSUAL)
