"""How far may Winograd or an FFT lie from the truth? Bounds of their own, for they round other numbers."""

from dataclasses import replace
from math import log2, prod

import torch
from torch import Tensor

from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.spec import ConvSpec
from convbench.verify.bounds import accumulator_roundoff, gamma

# A vendor's Winograd or FFT is another algorithm with a bound of its own; a loose one, so the output
# must also be as close as this as a whole.
TRANSFORM_RELATIVE_L2 = {
    name: one.transform_relative_l2 for name, one in DTYPE.items() if one.transform_relative_l2 is not None
}

# Where libraries evaluate the polynomials of Winograd F(m, 3), besides infinity; there are m + 1 of them.
# F(2), F(4) and F(6) of Lavin and Gray 2016, and the F(4) of ncnn, whose points lie closer together.
WINOGRAD_POINTS = (
    (0.0, 1.0, -1.0),
    (0.0, 1.0, -1.0, 2.0, -2.0),
    (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5),
)
_LAVIN = WINOGRAD_POINTS[1]


def winograd_matrices(points: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """B^T (t, t), G (t, 3) and A^T (m, t) of F(m, 3), t = m + 2: Toom and Cook's, Blahut 2010, section 5.2.

    How rows of G are scaled against those of B^T differs between libraries, and cancels in a bound.
    """
    roots = torch.tensor(points, dtype=torch.float64)
    size = len(points) + 1
    bt = torch.zeros(size, size, dtype=torch.float64)
    for i in range(size):  # row i: the product of (z - a) over the other points, infinity being none
        row = torch.ones(1, dtype=torch.float64)
        for root in torch.cat([roots[:i], roots[i + 1 :]]):
            row = torch.cat([row.new_zeros(1), row]) - root * torch.cat([row, row.new_zeros(1)])
        bt[i, : len(row)] = row
    powers = roots[:, None] ** torch.arange(size)  # 0**0 is 1
    infinity = torch.zeros(1, size, dtype=torch.float64)
    infinity[0, -1] = 1
    scale = (bt[:-1] * powers).sum(dim=1, keepdim=True)  # each product, at its own point
    g = torch.cat([powers[:, :3] / scale, infinity[:, -3:]])
    return bt, g, torch.cat([powers[:, : size - 2], infinity[:, 2:]]).T


def winograd_bound(
    case: Case, x: Tensor, w: Tensor, points: tuple[float, ...] = _LAVIN, places: Tensor | None = None
) -> Tensor:
    """e (N, K, P, Q) of Winograd F(m x m, 3x3) at these points: gamma_{C/G + 4t + 10} * M_W, with t = m + 2.

    M_W is the same algorithm on absolute values, which is what its own roundings scale with. On
    the way of a term lie C/G - 1 additions, a product, and two passes of each transform: as many
    roundings as a row has entries, and one of the entry itself. No row of B^T or A^T has more
    than t - 1 entries and none of G more than 3: C/G + 2t + 2 * 4 + 2t, and two to spare.
    With `places` (S, 4) it is the (S) of those outputs alone.
    """
    tile = len(points) + 1
    steps = case.spec.c_per_group + 4.0 * tile + 10
    return gamma(steps, _transform_roundoff(case)) * _winograd_sum(case.spec, x, w, points, 1, places)


def winograd_sharp_bound(
    case: Case, x: Tensor, w: Tensor, points: tuple[float, ...] = _LAVIN, places: Tensor | None = None
) -> Tensor:
    """e (N, K, P, Q) for operands from N(0, 1): 64 * u * Q_W.

    Q_W is the root of the algorithm with all its numbers squared: how far roundings of random
    sign carry. The worst of 400 runs took 32 of the 64.
    """
    return 64 * _transform_roundoff(case) * _winograd_sum(case.spec, x, w, points, 2, places).sqrt()


def _winograd_sum(
    spec: ConvSpec, x: Tensor, w: Tensor, points: tuple[float, ...], power: int, places: Tensor | None
) -> Tensor:
    """(N, K, P, Q) float64: F(m x m, 3x3) of the absolute values of all its numbers, to a power.

    Of the outputs at `places` (S, 4) alone it is (S), from their own tiles.
    """
    bt, g, at = (matrix.abs().pow(power).to(x.device) for matrix in winograd_matrices(points))
    t, m = len(bt), len(at)
    if places is not None:
        n, k, p, q = places.unbind(dim=1)
        rows, columns = (
            (one // m * m - padding)[:, None] + torch.arange(t, device=x.device)
            for one, padding in zip((p, q), spec.padding, strict=True)
        )
        channels = (k // spec.k_per_group * spec.c_per_group)[:, None] + torch.arange(spec.c_per_group, device=x.device)
        inside = ((rows >= 0) & (rows < spec.h))[:, :, None] & ((columns >= 0) & (columns < spec.w))[:, None]
        read = x[
            n[:, None, None, None],
            channels[:, :, None, None],
            rows.clamp(0, spec.h - 1)[:, None, :, None],
            columns.clamp(0, spec.w - 1)[:, None, None, :],
        ]
        tile = torch.where(inside[:, None], read.double(), 0.0).abs().pow(power)  # (S, C/G, t, t)
        product = ((g @ w[k].double().abs().pow(power) @ g.T) * (bt @ tile @ bt.T)).sum(dim=1)
        return (at[p % m][:, None] @ product @ at[q % m][:, :, None]).flatten()
    tiles_h, tiles_w = -(-spec.p // m), -(-spec.q // m)
    pad_h, pad_w = spec.padding
    padded = torch.zeros((spec.n, spec.c, m * tiles_h + 2, m * tiles_w + 2), dtype=torch.float64, device=x.device)
    padded[..., pad_h : pad_h + spec.h, pad_w : pad_w + spec.w] = x.double().abs().pow(power)
    tiles = padded.unfold(2, t, m).unfold(3, t, m)  # (N, C, tiles_h, tiles_w, t, t)
    data = (bt @ tiles @ bt.T).reshape(spec.n, spec.groups, spec.c_per_group, tiles_h, tiles_w, t, t)
    kernel = g @ w.double().abs().pow(power) @ g.T
    kernel = kernel.reshape(spec.groups, spec.k_per_group, spec.c_per_group, t, t)
    product = torch.einsum("gkcab,ngchwab->ngkhwab", kernel, data)
    y = (at @ product @ at.T).flatten(1, 2)  # (N, K, tiles_h, tiles_w, m, m)
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, m * tiles_h, m * tiles_w)
    return y[..., : spec.p, : spec.q]


def fft_bound(case: Case, x: Tensor, w: Tensor) -> Tensor:
    """e (N, K, 1, 1) of a convolution by FFT: after Higham 2002, ASNA, chapter 24.

    (3 * eta * log2(T) + C/G + 4) * u * sum over c of norm(x_c) * norm(w_c), with T points in a
    transform and eta = 1 + 4 * (1 + sqrt(2)) for the weights of the transform.
    """
    spec = case.spec
    steps = 3 * (1 + 4 * (1 + 2**0.5)) * max(1.0, log2(_points(spec))) + spec.c_per_group + 4
    images = _norms(x, spec.n, spec.groups, 1, spec.c_per_group)
    kernels = _norms(w, spec.groups, spec.k_per_group, spec.c_per_group)
    norms: Tensor = (images * kernels).sum(dim=3)  # (N, G, K/G)
    return steps * _transform_roundoff(case) * norms.reshape(spec.n, spec.k, 1, 1)


def fft_sharp_bound(case: Case, x: Tensor, w: Tensor) -> Tensor:
    """e (N, K, 1, 1) for operands from N(0, 1): 64 * u * sqrt(log2(T) * sum over c of norm(x_c)^2 * norm(w_c)^2 / T).

    The worst of 400 runs took 9 of the 64.
    """
    spec, points = case.spec, _points(case.spec)
    squares = _norms(x, spec.n, spec.groups, 1, spec.c_per_group) * _norms(
        w, spec.groups, spec.k_per_group, spec.c_per_group
    )
    spread = (max(1.0, log2(points)) * squares.pow(2).sum(dim=3) / points).sqrt()
    return 64 * _transform_roundoff(case) * spread.reshape(spec.n, spec.k, 1, 1)


def _points(spec: ConvSpec) -> int:
    """Of a transform of the padded image."""
    return prod(spec.padded)


def _norms(planes: Tensor, *shape: int) -> Tensor:
    """The norm of each plane of four axes, in another shape."""
    norms: Tensor = planes.double().flatten(2).norm(dim=2)
    return norms.reshape(shape)


def _transform_roundoff(case: Case) -> float:
    """Of the transformed tiles: those of a narrow case are stored in its dtype."""
    kind = DTYPE[case.dtype]
    return 2.0**-kind.digits if kind.narrow else accumulator_roundoff(case)


def transform_bound(
    case: Case, first: Tensor, second: Tensor, *_: Tensor, sharp: bool = False, places: Tensor | None = None
) -> Tensor:
    """e, broadcast to the output, of whichever transform a vendor may have run for the case's operands.

    dgrad with stride 1 is fprop of dy with the kernel turned around, so it has fprop's bounds.
    For wgrad there is an FFT's alone: a Winograd of it has other matrices, which no vendor publishes.
    `sharp` is the tight bound for operands from N(0, 1), where there is one. With `places` (S, 4) it
    is the (S) of those outputs alone.
    """
    if case.pass_ == "wgrad":
        return _at(fft_wgrad_bound(case, first, second), places)
    if case.pass_ == "dgrad":
        case, first, second = dgrad_as_fprop(case, first, second)
    of_winograd = winograd_sharp_bound if sharp else winograd_bound
    if case.target.on_host:
        bounds = [of_winograd(case, first, second, points, places) for points in WINOGRAD_POINTS]
        return torch.stack(bounds).amax(dim=0)
    error = _at((fft_sharp_bound if sharp else fft_bound)(case, first, second), places)
    if (case.spec.r, case.spec.s) == (3, 3):
        error = torch.maximum(error, of_winograd(case, first, second, places=places))
    return error


def _at(error: Tensor, places: Tensor | None) -> Tensor:
    """Of the outputs at `places`, where a whole plane has one bound."""
    return error if places is None else error[places[:, 0], places[:, 1], 0, 0]


def dgrad_as_fprop(case: Case, dy: Tensor, w: Tensor) -> tuple[Case, Tensor, Tensor]:
    """The fprop that a dgrad with stride 1 and dilation 1 is, with its x and w.

    dx = conv(dy, w'), with w'[g*C/G + c, k, r, s] = w[g*K/G + k, c, R-1-r, S-1-s] and the padding
    R-1-padding on each side; where that is negative, the rows of dy that no pixel was read for are cut off.
    """
    spec = case.spec
    reach = (spec.r - 1, spec.r - 1, spec.s - 1, spec.s - 1)
    sides = [most - side for most, side in zip(reach, spec.sides, strict=True)]
    top, bottom, left, right = (max(0, -side) for side in sides)
    dy = dy[..., top : spec.p - bottom, left : spec.q - right]
    turned = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s).transpose(1, 2).flip(3, 4)
    mirrored = replace(
        spec,
        c=spec.k,
        h=dy.shape[2],
        w=dy.shape[3],
        k=spec.c,
        padding=(max(0, sides[0]), max(0, sides[2])),
        padding_end=(max(0, sides[1]), max(0, sides[3])),
    )
    fprop = replace(case, problem=replace(case.problem, spec=mirrored), pass_="fprop")
    return fprop, dy, turned.reshape(mirrored.w_shape)


def fft_wgrad_bound(case: Case, dy: Tensor, x: Tensor) -> Tensor:
    """e (K, C/G, 1, 1) of a wgrad by FFT: `fft_bound` with images for channels.

    Each dw[k, c] correlates x[n, c] with dy[n, k] and sums over the N images, as fprop correlates
    with w[k, c] and sums over the channels.
    """
    spec = case.spec
    steps = 3 * (1 + 4 * (1 + 2**0.5)) * max(1.0, log2(_points(spec))) + spec.n + 4
    images = _norms(x, spec.n, spec.groups, 1, spec.c_per_group)
    gradients = _norms(dy, spec.n, spec.groups, spec.k_per_group, 1)
    norms: Tensor = (images * gradients).sum(dim=0)  # (G, K/G, C/G)
    return steps * _transform_roundoff(case) * norms.reshape(spec.k, spec.c_per_group, 1, 1)


def transform_possible(case: Case, family: str) -> bool:
    """Whether a backend may have run Winograd or an FFT on its own account.

    On a GPU any vendor may. On a CPU nobody does unless it says so, and then it is Winograd.
    """
    spec = case.spec
    if case.dtype not in TRANSFORM_RELATIVE_L2 or (spec.stride, spec.dilation) != ((1, 1), (1, 1)):
        return False
    if case.target.on_host:
        return family == "winograd" and (spec.r, spec.s) == (3, 3) and case.pass_ != "wgrad"
    return family in ("vendor", "winograd", "fft") and min(spec.r, spec.s) > 1
