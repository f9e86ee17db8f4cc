"""How far may Winograd, an FFT or Strassen's product be from the truth? Each has its own bound."""

from dataclasses import replace
from math import frexp, log2, prod

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.spec import ConvSpec
from convbench.verify.bounds import accumulator_roundoff, gamma
from convbench.verify.oracle import longest_sum

# Winograd, an FFT and Strassen's product are other algorithms with bounds of their own; loose ones, so the output
# must also be as close as this as a whole.
TRANSFORM_RELATIVE_L2 = {name: one.transform_relative_l2 for name, one in DTYPE.items()}

Points = tuple[float, ...]

# Where libraries evaluate the polynomials of Winograd F(m, r), besides infinity; there are m + r - 2 of them.
# Lavin and Gray 2016 take them for F(2, 3), F(4, 3) and F(6, 3), as Barabasz et al. 2020 do for 5x5 kernels and
# tiles between; ncnn's F(4, 3) has points that are closer together.
WINOGRAD_POINTS: tuple[Points, ...] = (
    (0.0, 1.0, -1.0),
    (0.0, 1.0, -1.0, 2.0, -2.0),
    (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5),
    (0.0, 1.0),
    (0.0, 1.0, -1.0, 2.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.5),
)
_LAVIN = WINOGRAD_POINTS[1]
HUGE = 400  # exponents of float64 from which products of several numbers overflow
STRASSEN_LEVELS = 3  # more than the two of Huang et al. 2016; each further one pays for larger matrices alone


def winograd_matrices(points: Points, taps: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """B^T (t, t), G (t, r) and A^T (m, t) of F(m, r), t = m + r - 1: Toom and Cook's, Blahut 2010, section 5.2.

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
    g = torch.cat([powers[:, :taps] / scale, infinity[:, -taps:]])
    return bt, g, torch.cat([powers[:, : size - taps + 1], infinity[:, taps - 1 :]]).T


def winograd_tiles(case: Case, stated: Points = ()) -> list[tuple[Points, Points]]:
    """The points, for rows and for columns, with which the case may be computed by Winograd; none where it cannot be.

    Those that a backend states, or else the usual ones: of one tile or of as many outputs in both directions.
    An axis with a single tap is left as it is.
    """
    spec = case.spec
    if (spec.stride, spec.dilation) != ((1, 1), (1, 1)) or case.pass_ == "wgrad" or spec.r == spec.s == 1:
        return []

    def choices(taps: int) -> list[Points]:
        if taps == 1:
            return [()]
        return [points for points in ((stated,) if stated else WINOGRAD_POINTS) if len(points) >= taps]

    return [
        (rows, columns)
        for rows in choices(spec.r)
        for columns in choices(spec.s)
        if 1 in (spec.r, spec.s) or rows == columns or (len(rows) - spec.r == len(columns) - spec.s and not stated)
    ]


def winograd_bound(
    case: Case, x: Tensor, w: Tensor, rows: Points = _LAVIN, columns: Points | None = None, places: Tensor | None = None
) -> Tensor:
    """e (N, K, P, Q) of Winograd F(m x m', R x S) at these points: gamma_{C/G + 2t + 2t' + R + S + 4} * M_W.

    M_W is the same algorithm on absolute values, which is what its own roundings scale with. On
    the way of a term lie C/G - 1 additions, a product, and two passes of each transform: as many
    roundings as a row has entries, and one of the entry itself. With t = m + R - 1 and t' = m' + S - 1 no row
    of B^T or A^T has more than t - 1 (t' - 1) entries and none of G more than R (S): C/G + 2t + 2t' + R + 1 + S + 1,
    and two to spare. `columns` are those of `rows` by default.
    With `places` (S, 4) it is the (S) of those outputs alone.
    """
    columns = rows if columns is None else columns
    tiles = len(rows) + len(columns) + 2
    steps = case.spec.c_per_group + 2.0 * tiles + case.spec.r + case.spec.s + 4
    x, w, flushed = _above_underflow(case, x, w, (rows, columns), steps)
    whole = _winograd_sum(case.spec, x, w, (rows, columns), 1, places)
    return gamma(steps, _transform_roundoff(case)) * whole + flushed


def _above_underflow(
    case: Case, x: Tensor, w: Tensor, tile: tuple[Points, Points], steps: float
) -> tuple[Tensor, Tensor, float]:
    """Operands so large that their transforms are normal numbers, whose roundings are relative; and what products lose.

    Below the smallest normal number t a rounding errs by u * t, which is what it errs at t. Zeros are exact.
    """
    kind, spec = torch.finfo(TORCH_DTYPE[DTYPE[case.dtype].sums]), case.spec
    matrices = [winograd_matrices(points, taps) for points, taps in zip(tile, (spec.r, spec.s), strict=True)]

    def raised(operand: Tensor, place: int) -> Tensor:
        least = prod(float(one[place].abs()[one[place] != 0].min()) for one in matrices)
        return torch.where(operand == 0, 0.0, operand.double().abs().clamp(min=kind.tiny / least))

    largest = prod(float(at.abs().sum(dim=1).max()) for _, _, at in matrices)
    return raised(x, 0), raised(w, 1), steps * kind.eps / 2 * kind.tiny * largest


def winograd_sharp_bound(
    case: Case, x: Tensor, w: Tensor, rows: Points = _LAVIN, columns: Points | None = None, places: Tensor | None = None
) -> Tensor:
    """e (N, K, P, Q) for operands from N(0, 1): 64 * u * Q_W.

    Q_W is the root of the algorithm with all its numbers squared: how far roundings of random
    sign carry. The worst of 400 runs took 32 of the 64.
    """
    tile = rows, rows if columns is None else columns
    return 64 * _transform_roundoff(case) * _winograd_sum(case.spec, x, w, tile, 2, places).sqrt()


def _winograd_sum(
    spec: ConvSpec, x: Tensor, w: Tensor, tile: tuple[Points, Points], power: int, places: Tensor | None
) -> Tensor:
    """(N, K, P, Q) float64: F(m x m', R x S) of the absolute values of all its numbers, to a power.

    Of the outputs at `places` (S, 4) alone it is (S), from their own tiles.
    """
    (bt_h, g_h, at_h), (bt_w, g_w, at_w) = (
        [matrix.abs().pow(power).to(x.device) for matrix in winograd_matrices(points, taps)]
        for points, taps in zip(tile, (spec.r, spec.s), strict=True)
    )
    (t_h, m_h), (t_w, m_w) = (len(bt_h), len(at_h)), (len(bt_w), len(at_w))
    if places is not None:
        n, k, p, q = places.unbind(dim=1)
        rows, columns = (
            (one // m * m - padding)[:, None] + torch.arange(t, device=x.device)
            for one, padding, m, t in zip((p, q), spec.padding, (m_h, m_w), (t_h, t_w), strict=True)
        )
        channels = (k // spec.k_per_group * spec.c_per_group)[:, None] + torch.arange(spec.c_per_group, device=x.device)
        inside = ((rows >= 0) & (rows < spec.h))[:, :, None] & ((columns >= 0) & (columns < spec.w))[:, None]
        read = x[
            n[:, None, None, None],
            channels[:, :, None, None],
            rows.clamp(0, spec.h - 1)[:, None, :, None],
            columns.clamp(0, spec.w - 1)[:, None, None, :],
        ]
        data = torch.where(inside[:, None], read.double(), 0.0).abs().pow(power)  # (S, C/G, t, t')
        product = ((g_h @ w[k].double().abs().pow(power) @ g_w.T) * (bt_h @ data @ bt_w.T)).sum(dim=1)
        return (at_h[p % m_h][:, None] @ product @ at_w[q % m_w][:, :, None]).flatten()
    tiles_h, tiles_w = -(-spec.p // m_h), -(-spec.q // m_w)
    (pad_h, pad_w), extent = spec.padding, (m_h * tiles_h + spec.r - 1, m_w * tiles_w + spec.s - 1)
    room = [max(least, pad + size) for least, pad, size in zip(extent, spec.padding, (spec.h, spec.w), strict=True)]
    padded = torch.zeros((spec.n, spec.c, *room), dtype=torch.float64, device=x.device)
    padded[..., pad_h : pad_h + spec.h, pad_w : pad_w + spec.w] = x.double().abs().pow(power)
    # (N, C, tiles_h, tiles_w, t, t')
    tiles = padded[..., : extent[0], : extent[1]].unfold(2, t_h, m_h).unfold(3, t_w, m_w)
    data = (bt_h @ tiles @ bt_w.T).reshape(spec.n, spec.groups, spec.c_per_group, tiles_h, tiles_w, t_h, t_w)
    kernel = g_h @ w.double().abs().pow(power) @ g_w.T
    kernel = kernel.reshape(spec.groups, spec.k_per_group, spec.c_per_group, t_h, t_w)
    product = torch.einsum("gkcab,ngchwab->ngkhwab", kernel, data)
    y = (at_h @ product @ at_w.T).flatten(1, 2)  # (N, K, tiles_h, tiles_w, m, m')
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, m_h * tiles_h, m_w * tiles_w)
    return y[..., : spec.p, : spec.q]


def fft_bound(case: Case, first: Tensor, second: Tensor) -> Tensor:
    """e of a pass by FFT, one for each plane of the output: (N, K, 1, 1), (N, C, 1, 1) or (K, C/G, 1, 1).

    u * (eta * log2(T) * sum of (2 * |a| * |b| + |a| * |b|_1) + (terms + 4) * sum of |a| * |b|), over the pairs of
    planes (a, b) that an output plane sums, with |.| the 2-norm and |.|_1 the sum of absolute values.
    A transform of T points errs by eta * log2(T) * u of the norm of its result, eta = 1 + 4 * (1 + sqrt(2)) for its
    weights (Higham 2002, ASNA, theorem 24.2, to first order). With both spectra so far off, no output moves by more
    than twice that times |a| * |b| (Cauchy and Schwarz; Parseval); the transform back errs by it once more, times the
    norm of the result, which is at most |a| * |b|_1 (Young). The rest is a complex product and the sum of the spectra.
    b is the kernel, for wgrad dy.
    """
    (squares, lengths), terms = _plane_pairs(case, first, second)
    steps = _FFT_ETA * log2(_most_points(case.spec))
    return _fft_roundoff(case) * ((2 * steps + terms + 4) * squares.sqrt().sum(dim=0) + steps * lengths.sum(dim=0))


def fft_sharp_bound(case: Case, first: Tensor, second: Tensor) -> Tensor:
    """e for operands from N(0, 1), shaped as `fft_bound`: 64 * u * sqrt(log2(T) * sum of |a|^2 * |b|^2 / T).

    The worst of 400 runs took 9 of the 64.
    """
    (squares, _), _ = _plane_pairs(case, first, second)
    spread = (log2(_most_points(case.spec)) * squares.sum(dim=0) / prod(case.spec.padded)).sqrt()
    return 64 * _fft_roundoff(case) * spread


_FFT_ETA = 1 + 4 * (1 + 2**0.5)


def _most_points(spec: ConvSpec) -> float:
    """Of the largest transform in use: the padded image and the kernel beyond it, up to the next powers of two."""
    sizes = (size + reach for size, reach in zip(spec.padded, spec.kernel_extent, strict=True))
    return float(prod(2 ** (size - 1).bit_length() for size in sizes))


def _plane_pairs(case: Case, first: Tensor, second: Tensor) -> tuple[tuple[Tensor, Tensor], int]:
    """|a|^2 |b|^2 and |a| |b|_1, (terms, ..., 1, 1), of the pairs (a, b) that a plane of the output sums; terms."""
    spec = case.spec

    def norms(planes: Tensor, order: int, *shape: int) -> Tensor:
        found: Tensor = planes.double().flatten(2).norm(p=order, dim=2)
        return found.reshape(shape)

    groups, filters, channels = spec.groups, spec.k_per_group, spec.c_per_group

    def pairs(order: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """|a|, the norm of b, and the shape of the output; what is summed comes first."""
        match case.pass_:
            case "fprop":  # of x with w, over the channels
                a = norms(first, 2, spec.n, groups, 1, channels).movedim(3, 0)
                b = norms(second, order, groups, filters, channels).movedim(2, 0).unsqueeze(1)
                return a, b, (spec.n, spec.k)
            case "dgrad":  # of dy with w, over the filters
                a = norms(first, 2, spec.n, groups, filters, 1).movedim(2, 0)
                b = norms(second, order, groups, filters, channels).movedim(1, 0).unsqueeze(1)
                return a, b, (spec.n, spec.c)
        a = norms(second, 2, spec.n, groups, 1, channels)  # of x with dy, over the images
        return a, norms(first, order, spec.n, groups, filters, 1), (spec.k, channels)

    a, b, shape = pairs(2)
    _, absolute, _ = pairs(1)
    squares, lengths = (product.reshape(product.shape[0], *shape, 1, 1) for product in ((a * b).square(), a * absolute))
    return (squares, lengths), squares.shape[0]


def _fft_roundoff(case: Case) -> float:
    """On a CPU spectra are kept as the sums are; what a GPU's library keeps them in is not known."""
    return accumulator_roundoff(case) if case.target.on_host else _transform_roundoff(case)


def strassen_bound(case: Case, first: Tensor, second: Tensor) -> Tensor:
    """e (1, 1, 1, 1) of im2col with up to STRASSEN_LEVELS levels of Strassen's product of matrices.

    (12^L * (n0^2 + 5 * n0) - 5 * 2^L * n0) * u * max|a| * max|b|, with n0 = ceil(n / 2^L) for sums of n terms: Higham
    2002, ASNA, theorem 23.2 with 12^L for (n/n0)^(log2 12), to first order; of the sizes of the matrices the one
    that is summed over has a part in its proof alone. It is a bound for norms: a small output next to large ones may
    lose all its digits, and no method with fewer products can do better (Miller 1975).
    """
    parts = -(-longest_sum(case) // 2**STRASSEN_LEVELS)
    steps = 12**STRASSEN_LEVELS * (parts**2 + 5.0 * parts) - 5 * 2**STRASSEN_LEVELS * parts
    return _of_all(steps * accumulator_roundoff(case) * _largest(first) * _largest(second), first)


def strassen_sharp_bound(case: Case, first: Tensor, second: Tensor) -> Tensor:
    """e (1, 1, 1, 1) for operands from N(0, 1): 64 * u * sqrt(12^L * n0) * rms(a) * rms(b).

    An output is made of at most 12^L * n0 products (12 for 2 at each level), and roundings of random sign add up
    as their root. The worst of 360 runs with one to three levels took 18 of the 64.
    """
    spread = (12.0**STRASSEN_LEVELS * -(-longest_sum(case) // 2**STRASSEN_LEVELS)) ** 0.5
    rms = [float(one.double().square().mean().sqrt()) for one in (first, second)]
    return _of_all(64 * spread * accumulator_roundoff(case) * rms[0] * rms[1], first)


def _largest(operand: Tensor) -> float:
    return float(operand.double().abs().amax()) if operand.numel() else 0.0


def _of_all(error: float, like: Tensor) -> Tensor:
    return torch.full((1, 1, 1, 1), error, dtype=torch.float64, device=like.device)


def _transform_roundoff(case: Case) -> float:
    """Of the transformed tiles: those of a narrow case are stored in its dtype."""
    kind = DTYPE[case.dtype]
    return 2.0**-kind.digits if kind.narrow else accumulator_roundoff(case)


def transform_bound(
    case: Case,
    first: Tensor,
    second: Tensor,
    *_: Tensor,
    family: str = "vendor",
    points: Points = (),
    sharp: bool = False,
    places: Tensor | None = None,
) -> Tensor:
    """e, broadcast to the output, of the algorithm that a backend of this family may run for the case's operands.

    A vendor on a GPU may run an FFT or Winograd F(4x4, 3x3). Of Winograd it is the widest of the tiles at the points
    that are stated, or at the usual ones; a dgrad with stride 1 is fprop of dy with the kernel turned around, so it
    has fprop's bounds. A Winograd of wgrad has other matrices, which no vendor publishes: there is none.
    `sharp` is the tight bound for operands from N(0, 1). With `places` (S, 4) it is the (S) of those outputs alone.
    """
    sizes = [frexp(_largest(one))[1] for one in (first, second)]
    if max(sizes) > HUGE:  # e is as many times larger, and would be NaN on its way
        first, second = (
            torch.ldexp(one.double(), torch.tensor(-size)) for one, size in zip((first, second), sizes, strict=True)
        )
        e = transform_bound(case, first, second, family=family, points=points, sharp=sharp, places=places)
        return torch.ldexp(e, torch.tensor(sum(sizes)))
    if family == "strassen":
        return _at((strassen_sharp_bound if sharp else strassen_bound)(case, first, second), case, places)
    bounds = []
    if family == "fft" or (family == "vendor" and not case.target.on_host):
        bounds.append(_at((fft_sharp_bound if sharp else fft_bound)(case, first, second), case, places))
    if family != "fft":
        bounds += _winograd_bounds(case, first, second, family, points, sharp, places)
    return torch.stack(torch.broadcast_tensors(*bounds)).amax(dim=0)


def transform_overflows(case: Case, first: Tensor, second: Tensor, *_: Tensor, family: str, points: Points) -> bool:
    """Whether a right transform of these operands may leave the range of the case's sums though no output does.

    By norms: a row of B^T, G and A^T takes as many times the largest number as its absolute values add up to, and a
    spectrum is at most the sum of its plane. A vendor that overflows by a transform of its own choice is wrong.
    """
    if family not in ("winograd", "fft"):
        return False
    largest, terms = torch.finfo(TORCH_DTYPE[DTYPE[case.dtype].sums]).max, longest_sum(case)
    a, b = _largest(first), _largest(second)
    if family == "fft":
        planes = [float(one.double().abs().sum((2, 3)).amax()) if one.numel() else 0.0 for one in (first, second)]
        return max(*planes, planes[0] * planes[1] * terms) > largest
    for tile in winograd_tiles(case, points):
        matrices = [winograd_matrices(one, taps) for one, taps in zip(tile, (case.spec.r, case.spec.s), strict=True)]
        data, kernel, back = (prod(float(one[i].abs().sum(dim=1).max()) for one in matrices) for i in range(3))
        if max(data * a, kernel * b, back * data * a * kernel * b * terms) > largest:
            return True
    return False


def _winograd_bounds(
    case: Case, first: Tensor, second: Tensor, family: str, points: Points, sharp: bool, places: Tensor | None
) -> list[Tensor]:
    """Of each tile that may be meant: for a vendor on a GPU that of 3x3 kernels alone."""
    tiles = winograd_tiles(case, points)
    if family == "vendor" and not case.target.on_host:
        tiles = [(_LAVIN, _LAVIN)] if tiles and (case.spec.r, case.spec.s) == (3, 3) else []
    if case.pass_ == "dgrad" and tiles:
        case, first, second = dgrad_as_fprop(case, first, second)
    bound = winograd_sharp_bound if sharp else winograd_bound
    return [bound(case, first, second, rows, columns, places) for rows, columns in tiles]


def _at(error: Tensor, case: Case, places: Tensor | None) -> Tensor:
    """Of the outputs at `places`, where a whole plane has one bound."""
    return error if places is None else error.expand(case.out_shape)[tuple(places.unbind(dim=1))]


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


def transform_possible(case: Case, family: str, points: Points = ()) -> bool:
    """Whether a backend may have run another algorithm than the direct sum, with a bound of its own.

    An FFT does any problem, and so does Strassen's product of matrices; Winograd what it has tiles for. On a GPU any
    vendor may run one by itself if the steps are 1; on a CPU none does unless it says so. In a strict case none may.
    """
    spec = case.spec
    if case.accuracy == "strict":
        return False
    if family in ("fft", "strassen"):
        return True
    if family == "winograd":
        return bool(winograd_tiles(case, points))
    unit_steps = (spec.stride, spec.dilation) == ((1, 1), (1, 1)) and min(spec.r, spec.s) > 1
    return family == "vendor" and not case.target.on_host and unit_steps and case.dtype != "fp64"
