"""The truth of a case in float64, and what else an error bound needs.

One product for each tap, over shifted views of the padded image: no code is shared with any
backend, neither `F.unfold` nor `F.conv2d`, nor any gradient of torch. The gradients are the
same sums, read from the other side: dgrad adds each product to the pixel it was read from,
wgrad adds it to its tap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import mul

import torch
from torch import Tensor

from convbench.case import Case
from convbench.spec import ConvSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The truth of the output of a pass, element by element.

    Attributes:
        y: float64, the result before a relu: y (N, K, P, Q), dx (N, C, H, W) or dw (K, C/G, R, S).
        magnitude: float64, of the same shape: the sum of the absolute values of its terms.
        terms: (P, Q), (H, W) or (R, S) float64, n: products that lie inside the image, and the bias.
    """

    y: Tensor
    magnitude: Tensor
    terms: Tensor


def truth(case: Case, first: Tensor, second: Tensor, bias: Tensor | None = None) -> Truth:
    """The oracle's answer for a case's operands, in their order, on their device."""
    y = answer(case, first, second, bias)
    operands = [one for one in (first, second, bias) if one is not None]
    # Where nothing is negative, and nothing NaN, both are the same sum.
    signed = not all(bool((one.double() >= 0).all()) for one in operands)
    magnitude = answer(case, *(one.abs() for one in operands)) if signed else y
    terms = count_terms(case.spec, case.pass_).to(first.device) + (bias is not None)
    return Truth(y=y, magnitude=magnitude, terms=terms)


def answer(case: Case, first: Tensor, second: Tensor, bias: Tensor | None = None) -> Tensor:
    """y, dx or dw in float64, before a relu; exact where all sums of integers stay below 2^53."""
    y = {"fprop": conv2d_float64, "dgrad": dgrad_float64, "wgrad": wgrad_float64}[case.pass_](first, second, case.spec)
    return y if bias is None else y + bias.double().reshape(1, -1, 1, 1)


def conv2d_float64(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """y (N, K, P, Q): the sum over taps (r, s) of w[:, :, r, s] times a shifted view of x."""
    padded, kernel = _pad(x.double(), spec), _by_group(w, spec)
    y = torch.zeros((spec.n, spec.groups, spec.k_per_group, spec.p * spec.q), dtype=torch.float64, device=x.device)
    for r, s, rows, columns in _taps(spec):
        shifted = padded[..., rows, columns].flatten(3)  # (N, G, C/G, P*Q)
        if spec.c_per_group == 1:  # a product of 1-wide matrices is slow, and no sum is needed
            y += kernel[..., r, s] * shifted
        else:
            y += kernel[..., r, s] @ shifted
    return y.reshape(spec.y_shape)


def dgrad_float64(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """dx (N, C, H, W): for each tap, w[:, :, r, s] transposed times dy, added to where x was read."""
    dy, kernel = dy.double().reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q), _by_group(w, spec)
    padded = _pad(torch.zeros(spec.x_shape, dtype=torch.float64, device=dy.device), spec)
    for r, s, rows, columns in _taps(spec):
        tap = kernel[..., r, s].mT  # (G, C/G, K/G)
        part = tap * dy if spec.k_per_group == 1 else tap @ dy
        padded[..., rows, columns] += part.reshape(*part.shape[:3], spec.p, spec.q)
    (pad_h, pad_w), (h, w_) = spec.padding, (spec.h, spec.w)
    return padded[..., pad_h : pad_h + h, pad_w : pad_w + w_].reshape(spec.x_shape)


def wgrad_float64(dy: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    """dw (K, C/G, R, S): for each tap, dy times the shifted view of x transposed, summed over the images."""
    dy = dy.double().reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q)
    padded = _pad(x.double(), spec)
    dw = torch.zeros(
        (spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s), dtype=torch.float64, device=dy.device
    )
    for r, s, rows, columns in _taps(spec):
        dw[..., r, s] = (dy @ padded[..., rows, columns].flatten(3).mT).sum(dim=0)
    return dw.reshape(spec.w_shape)


def _pad(x: Tensor, spec: ConvSpec) -> Tensor:
    """x (N, G, C/G, top + H + bottom, left + W + right), zeros around it."""
    pad_h, pad_w = spec.padding
    padded = x.new_zeros((spec.n, spec.groups, spec.c_per_group, *spec.padded))
    padded[..., pad_h : pad_h + spec.h, pad_w : pad_w + spec.w] = x.reshape(
        spec.n, spec.groups, spec.c_per_group, spec.h, spec.w
    )
    return padded


def _by_group(w: Tensor, spec: ConvSpec) -> Tensor:
    return w.double().reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s)


def _taps(spec: ConvSpec) -> Iterator[tuple[int, int, slice, slice]]:
    """Each tap (r, s) with the rows and columns of the padded image that it reads, P and Q of them."""
    (stride_h, stride_w), (dilation_h, dilation_w) = spec.stride, spec.dilation
    height, width = (spec.p - 1) * stride_h + 1, (spec.q - 1) * stride_w + 1
    for r in range(spec.r):
        top = r * dilation_h
        rows = slice(top, top + height, stride_h)
        for s in range(spec.s):
            left = s * dilation_w
            yield r, s, rows, slice(left, left + width, stride_w)


def count_terms(spec: ConvSpec, pass_: str = "fprop") -> Tensor:
    """(P, Q), (H, W) or (R, S) float64: how many products an output of the pass sums.

    For fprop the taps that fall inside the image, times C/G; for dgrad the outputs that read a
    pixel, times K/G; for wgrad the outputs whose tap falls inside the image, times N.
    """

    def count(out: int, size: int, taps: int, stride: int, padding: int, dilation: int) -> Tensor:
        position = torch.arange(out)[:, None] * stride - padding + torch.arange(taps) * dilation  # (out, taps)
        inside = (position >= 0) & (position < size)
        match pass_:
            case "dgrad":
                return torch.bincount(position[inside], minlength=size).double()
            case "wgrad":
                return inside.sum(dim=0).double()
        return inside.sum(dim=1).double()

    rows = count(spec.p, spec.h, spec.r, spec.stride[0], spec.padding[0], spec.dilation[0])
    columns = count(spec.q, spec.w, spec.s, spec.stride[1], spec.padding[1], spec.dilation[1])
    summed = {"fprop": spec.c_per_group, "dgrad": spec.k_per_group, "wgrad": spec.n}[pass_]
    return rows[:, None] * columns * summed


def longest_sum(case: Case) -> int:
    """The most terms that an output of the case's pass may sum."""
    spec = case.spec
    longest = {
        "fprop": spec.taps,
        "dgrad": spec.k_per_group * spec.r * spec.s,
        "wgrad": max(spec.n, 1) * spec.p * spec.q,
    }[case.pass_]
    return longest + (case.epilogue != "none")


def by_loops(case: Case, operands: Sequence[Tensor], place: Sequence[int]) -> int:
    """One output of integers, exactly, by the index formula of the pass: no float, no product of matrices."""
    spec = case.spec
    first, second = (operand.double().to("cpu", torch.int64) for operand in operands[:2])
    one, two, row, column = place
    total = 0
    match case.pass_:
        case "fprop":
            group = two // spec.k_per_group * spec.c_per_group
            for r, h in _read(spec, 0, row):
                for s, w in _read(spec, 1, column):
                    total += int((first[one, group : group + spec.c_per_group, h, w] * second[two, :, r, s]).sum())
            if len(operands) > 2:
                total += int(operands[2][two])
        case "dgrad":
            group, inner = divmod(two, spec.c_per_group)
            ks = slice(group * spec.k_per_group, (group + 1) * spec.k_per_group)
            for p in range(spec.p):
                for r, h in _read(spec, 0, p):
                    for q in range(spec.q) if h == row else ():
                        for s, w in _read(spec, 1, q):
                            if w == column:
                                total += int((first[one, ks, p, q] * second[ks, inner, r, s]).sum())
        case "wgrad":
            channel = one // spec.k_per_group * spec.c_per_group + two
            rows = [(p, h) for p in range(spec.p) for r, h in _read(spec, 0, p) if r == row]
            columns = [(q, w) for q in range(spec.q) for s, w in _read(spec, 1, q) if s == column]
            for p, h in rows:
                for q, w in columns:
                    total += sum(map(mul, first[:, one, p, q].tolist(), second[:, channel, h, w].tolist()))
    return total


def _read(spec: ConvSpec, axis: int, place: int) -> Iterator[tuple[int, int]]:
    """The taps of the output row (axis 0) or column (1) that are on the image, each with what it reads."""
    for tap in range((spec.r, spec.s)[axis]):
        source = place * spec.stride[axis] - spec.padding[axis] + tap * spec.dilation[axis]
        if 0 <= source < (spec.h, spec.w)[axis]:
            yield tap, source
