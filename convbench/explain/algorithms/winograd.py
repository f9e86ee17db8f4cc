"""How does Winograd's algorithm compute a convolution? Tile by tile, with fewer products and more sums.

Every number is exact: the tile that is shown goes through the matrices as fractions, all tiles
together as integers in float64 with the denominators taken out.
"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from math import lcm, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.explain.algorithms.cook_toom import Transforms, cook_toom, points
from convbench.explain.algorithms.trace import Again, Algorithm, AlgorithmStage, Fact, Matrix, Second, Trace
from convbench.explain.algorithms.work import Counts, Fractions, Work, WorkTally, mark, too_many
from convbench.explain.geometry import channels, pad
from convbench.explain.steps import Cell
from convbench.explain.walk import MAX_PATCHES
from convbench.spec import ConvSpec, Pair, pair_text

# Integers in float64 are exact up to here.
EXACT = 2**53
LARGEST_X, LARGEST_W = 97, 9  # of `walk.small_integers`
LARGEST_TILE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """F(m, r) down and across: m x m outputs from a tile of (m + r - 1) x (m + r - 1) pixels."""

    m: Pair
    size: Pair
    count: Pair
    down: Transforms
    across: Transforms


def tiling(spec: ConvSpec, tile: Pair | None) -> Tiling:
    """By itself tiles of four pixels, or two outputs where a kernel is longer; a kernel of one tap needs no tile."""
    m = tile or (_usual(spec.r), _usual(spec.s))
    return Tiling(
        m=m,
        size=(m[0] + spec.r - 1, m[1] + spec.s - 1),
        count=(-(-spec.p // m[0]), -(-spec.q // m[1])),
        down=cook_toom(m[0], spec.r),
        across=cook_toom(m[1], spec.s),
    )


def _usual(taps: int) -> int:
    return 1 if taps == 1 else max(2, 5 - taps)


def why_not(tile: Pair | None, spec: ConvSpec) -> str | None:
    if spec.stride != (1, 1):
        return (
            f"the outputs of a tile must be adjacent, so it needs stride 1; a stride of {pair_text(spec.stride)} "
            f"would split the rows and columns of x and of w into {prod(spec.stride)} convolutions with stride 1, "
            f"which have to be summed"
        )
    if spec.dilation != (1, 1):
        return (
            f"the weights must read adjacent pixels, so it needs dilation 1; a dilation of {pair_text(spec.dilation)} "
            f"would split the rows and columns of x into {prod(spec.dilation)} convolutions with dilation 1"
        )
    m = tile or (_usual(spec.r), _usual(spec.s))
    size = (m[0] + spec.r - 1, m[1] + spec.s - 1)
    if max(size) > LARGEST_TILE:
        return (
            f"tiles of {size[0]}×{size[1]} need {max(size) - 1} points besides infinity, and the numbers in the "
            f"matrices grow too fast; the limit is {LARGEST_TILE}×{LARGEST_TILE}"
        )
    tiles = tiling(spec, tile)
    if spec.c_per_group * LARGEST_X * LARGEST_W * _growth(tiles.down) * _growth(tiles.across) >= EXACT:
        return (
            f"F({_name(spec, tile)}) of {spec.c_per_group} channels has numbers above 2^53, which are no longer exact"
        )
    area = size[0] * size[1]
    each = spec.n * tiles.count[0] * tiles.count[1] * area
    numbers = each * (spec.c + spec.k) + spec.k * spec.c_per_group * area
    return too_many(numbers, "the transformed tiles", MAX_PATCHES)


def _name(spec: ConvSpec, tile: Pair | None) -> str:
    m = tile or (_usual(spec.r), _usual(spec.s))
    return f"{m[0]}×{m[1]}, {spec.r}×{spec.s}"


def form(tile: Pair | None, algorithm: Algorithm, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
    tiles = tiling(spec, tile)
    y, counts = _whole(x, w, spec, tiles)
    (m_h, m_w), (size_h, size_w) = tiles.m, tiles.size
    at_h, a = divmod(cell.p, m_h)
    at_w, b = divmod(cell.q, m_w)
    first = cell.k // spec.k_per_group * spec.c_per_group
    rows = [at_h * m_h - spec.padding[0] + i for i in range(size_h)]
    columns = [at_w * m_w - spec.padding[1] + i for i in range(size_w)]
    data, kernel, product = [], [], []
    down, across = tiles.down, tiles.across
    tile_0: Fractions = ()
    for c in range(spec.c_per_group):
        d = tuple(tuple(_pixel(x, spec, cell.n, first + c, row, column) for column in columns) for row in rows)
        g = tuple(tuple(Fraction(value) for value in row) for row in w[cell.k, c].tolist())
        tile_0 = tile_0 or d
        data.append(_two_sided(down.bt, d, across.bt))
        kernel.append(_two_sided(down.g, g, across.g))
        product.append(_each(data[-1], kernel[-1]))
    summed = product[0]
    for other in product[1:]:
        summed = tuple(
            tuple(one + two for one, two in zip(*pair, strict=True)) for pair in zip(summed, other, strict=True)
        )
    result = _two_sided(down.at, summed, across.at)
    counting = torch.tensor([[bool(i and j) for j in across.at[b]] for i in down.at[a]])  # (size_h, size_w)
    many = spec.c_per_group > 1
    channel = f"[{first}]" if spec.c > 1 else ""
    beyond = tiles.count[0] * m_h * tiles.count[1] * m_w - spec.p * spec.q
    row_names, column_names = tuple(f"h={row}" for row in rows), tuple(str(column) for column in columns)
    stages = [
        AlgorithmStage(
            title="THE MATRICES",
            formula=f"exact, from the points {_point_names(max(tiles.size))}",
            matrices=tuple(_transform_matrices(tiles, a, b)),
            facts=(
                Fact(
                    "Each of the {} coefficients of A^T[(G g)·(B^T d)] is 1 where it should be, else 0.",
                    (sum(_coefficients(one) for one in _distinct(tiles)),),
                ),
            ),
        ),
        AlgorithmStage(
            title="TRANSFORM",
            formula="U = G g G^T, once per weight; V = B^T d B, per tile",
            matrices=(
                Matrix(
                    f"d{channel}",
                    tile_0,
                    mark((size_h, size_w), slice(a, a + spec.r), slice(b, b + spec.s)),
                    role="patch",
                    rows=row_names,
                    columns=column_names,
                ),
                Matrix(f"U{channel}", kernel[0], counting, role="kernel"),
                Matrix(f"V{channel}", data[0], counting, role="patch"),
            ),
        ),
        AlgorithmStage(
            title="MULTIPLY",
            formula="U · V, elementwise" + (f", summed over {spec.c_per_group} channels" if many else ""),
            matrices=(
                *((Matrix(f"U·V{channel}", product[0], counting),) if many else ()),
                Matrix("Σ U·V" if many else "U·V", summed, counting),
            ),
            facts=(
                Fact(
                    f"A tile gives {{}} output{_s(m_h * m_w)} of a channel with {{}} product{_s(size_h * size_w)}; "
                    "the loops need {}.",
                    (m_h * m_w, size_h * size_w, m_h * m_w * spec.r * spec.s),
                ),
            ),
        ),
        AlgorithmStage(
            title="TRANSFORM BACK",
            formula="Y = A^T (U · V) A" if not many else "Y = A^T (Σ U · V) A",
            matrices=(
                Matrix(
                    "Y",
                    result,
                    mark((m_h, m_w), a, b),
                    role="output",
                    rows=tuple(f"$p={at_h * m_h + i}" for i in range(m_h)),
                    columns=tuple(str(at_w * m_w + i) for i in range(m_w)),
                ),
            ),
            facts=(
                Fact(
                    f"{{}} tile{_s(prod(tiles.count), 's cover', ' covers')} the output ({{}} down, {{}} across), with "
                    f"{{}} output{_s(beyond)} beyond it.",
                    (prod(tiles.count), *tiles.count, beyond),
                ),
            ),
        ),
    ]
    return algorithm.trace(spec, cell, stages, y, counts)


def again(tile: Pair | None, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Again:
    """The transforms as Kronecker products on flattened tiles; the work by doing one tile with counted steps."""
    tiles = tiling(spec, tile)
    (m_h, m_w), (size_h, size_w), (tiles_h, tiles_w) = tiles.m, tiles.size, tiles.count
    own = channels(spec, cell)
    below, right = tiles_h * m_h - spec.p, tiles_w * m_w - spec.q
    padded = F.pad(pad(x, spec), (0, right, 0, below))[cell.n, own]
    at_h, at_w = cell.p // m_h, cell.q // m_w
    a, b = cell.p - at_h * m_h, cell.q - at_w * m_w
    d = padded[:, at_h * m_h : at_h * m_h + size_h, at_w * m_w : at_w * m_w + size_w]
    to_u = _kronecker(tiles.down.g, tiles.across.g)
    to_v = _kronecker(tiles.down.bt, tiles.across.bt)
    to_y = _kronecker(tiles.down.at, tiles.across.at)
    u = [_apply(to_u, w[cell.k, c]) for c in range(spec.c_per_group)]
    v = [_apply(to_v, one) for one in d]
    products = [[one * other for one, other in zip(*pair, strict=True)] for pair in zip(u, v, strict=True)]
    summed = [sum(column, Fraction(0)) for column in zip(*products, strict=True)]
    shape = (size_h, size_w)
    counting = torch.tensor([value != 0 for value in to_y[a * m_w + b]]).reshape(shape)
    channel = f"[{int(own[0])}]" if spec.c > 1 else ""
    many = spec.c_per_group > 1
    nested, products_of = "nested Kronecker products", "the products of the flattened tiles"
    # What an output of the tile reads, from the definition: no matrix of the transform has a say.
    # F(m, r) leaves the m outputs of valid cross-correlation, so Y is one of those of d.
    direct = F.conv2d(d[None], w[cell.k][None])[0, 0]
    patch = mark(shape)
    for i in range(spec.r):
        for j in range(spec.s):
            patch[a + i, b + j] = True
    return Again(
        matrices=(
            *_transforms_again(tiles, a, b),
            Second(f"d{channel}", "a slice of padded x", d[0], patch),
            Second(f"U{channel}", nested, _in_rows(u[0], shape), counting),
            Second(f"V{channel}", nested, _in_rows(v[0], shape), counting),
            *((Second(f"U·V{channel}", products_of, _in_rows(products[0], shape), counting),) if many else ()),
            Second("Σ U·V" if many else "U·V", products_of, _in_rows(summed, shape), counting),
            Second("Y", "F.conv2d of the tile", direct, mark((m_h, m_w), a, b)),
        ),
        values=(
            (_right_coefficients(tiles),),
            (direct.numel(), d[0].numel(), direct.numel() * w[cell.k, 0].numel()),
            (len(range(0, spec.p, m_h)) * tiles_w, tiles_h, tiles_w, below * tiles_w * m_w + spec.p * right),
        ),
        counts=_counts_again(spec, tiles),
    )


def _s(count: int, several: str = "s", one: str = "") -> str:
    """The ending of a noun of which there are so many."""
    return one if count == 1 else several


def _pixel(x: Tensor, spec: ConvSpec, n: int, channel: int, row: int, column: int) -> Fraction:
    inside = 0 <= row < spec.h and 0 <= column < spec.w
    return Fraction(x[n, channel, row, column].item() if inside else 0)


def _two_sided(left: Fractions, numbers: Fractions, right: Fractions) -> Fractions:
    """left · numbers · right^T."""
    half = [[_dot(row, column) for column in zip(*numbers, strict=True)] for row in left]
    return tuple(tuple(_dot(row, other) for other in right) for row in half)


def _dot(one: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(one, other, strict=True) if a and b), Fraction(0))


def _each(one: Fractions, other: Fractions) -> Fractions:
    return tuple(tuple(a * b for a, b in zip(*pair, strict=True)) for pair in zip(one, other, strict=True))


def _distinct(tiles: Tiling) -> list[Transforms]:
    return [tiles.down] if tiles.down == tiles.across else [tiles.down, tiles.across]


def _coefficients(transforms: Transforms) -> int:
    return len(transforms.at) * len(transforms.g[0]) * len(transforms.bt)


def _transform_matrices(tiles: Tiling, a: int, b: int) -> list[Matrix]:
    """A^T with the row of the followed output, G and B^T; twice where rows and columns differ."""
    matrices = []
    same = len(_distinct(tiles)) == 1
    for transforms, row, side in ((tiles.down, a, ""), (tiles.across, b, " across"))[: 1 if same else 2]:
        place = "" if same or side else " down"
        for name, numbers in (("A^T", transforms.at), ("G", transforms.g), ("B^T", transforms.bt)):
            followed = mark((len(numbers), len(numbers[0])), *((row,) if name == "A^T" else ()))
            matrices.append(Matrix(f"{name}{place}{side}", numbers, followed, role="output"))
    return matrices


def _transforms_again(tiles: Tiling, a: int, b: int) -> list[Second]:
    """By interpolation instead of products of roots.

    G and A^T hold the values of the monomials; B^T is the inverse of the values of all monomials
    up to m + r - 2, transposed, found by elimination.
    """
    seconds = []
    same = len(_distinct(tiles)) == 1
    for m, size, row, side in ((tiles.m[0], tiles.size[0], a, 0), (tiles.m[1], tiles.size[1], b, 1))[
        : 1 if same else 2
    ]:
        place = "" if same else (" down", " across")[side]
        values = _vandermonde(size)
        at, g, bt = _first_columns(values, m), _first_columns(values, size - m + 1), _inverse(values)
        at, bt = tuple(zip(*at, strict=True)), tuple(zip(*bt, strict=True))
        against = "values of monomials at the points"
        seconds += [
            Second(f"A^T{place}", against, at, mark((m, size), row)),
            Second(f"G{place}", against, g, mark((size, len(g[0])))),
            Second(f"B^T{place}", "the inverse of those, by elimination", bt, mark((size, size))),
        ]
    return seconds


def _first_columns(values: Fractions, count: int) -> Fractions:
    """The values of the monomials below z^count; at infinity the highest of them counts alone."""
    *finite, _ = values
    last = tuple(Fraction(int(power == count - 1)) for power in range(count))
    return (*(row[:count] for row in finite), last)


def _vandermonde(size: int) -> Fractions:
    found: list[Fraction] = []
    numerator = 0
    while len(found) < size - 1:  # 0, then ±1, ±2, ±1/2, ±3, ±1/3, ...
        new = (
            [Fraction(0)]
            if not numerator
            else [
                sign * value
                for value in dict.fromkeys((Fraction(numerator), 1 / Fraction(numerator)))
                for sign in (1, -1)
            ]
        )
        found += new
        numerator += 1
    rows = [tuple(point**power for power in range(size)) for point in found[: size - 1]]
    return (*rows, tuple(Fraction(int(power == size - 1)) for power in range(size)))


def _inverse(values: Fractions) -> Fractions:
    """By Gauss and Jordan."""
    size = len(values)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(size))] for i, row in enumerate(values)]
    for i in range(size):
        pivot = next(j for j in range(i, size) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(size):
            if j != i and rows[j][i]:
                rows[j] = [value - rows[j][i] * one for value, one in zip(rows[j], rows[i], strict=True)]
    return tuple(tuple(row[size:]) for row in rows)


def _right_coefficients(tiles: Tiling) -> int:
    """How many coefficients there are if all of them are right."""
    return sum(len(one.at) * len(one.g[0]) * len(one.g) if one.is_convolution() else 0 for one in _distinct(tiles))


def _kronecker(left: Fractions, right: Fractions) -> Fractions:
    return tuple(tuple(one * other for one in row for other in column) for row in left for column in right)


def _apply(matrix: Fractions, numbers: Tensor) -> list[Fraction]:
    flat = [Fraction(value) for value in numbers.flatten().tolist()]
    return [_dot(row, flat) for row in matrix]


def _in_rows(numbers: Sequence[Fraction], shape: Pair) -> Fractions:
    return tuple(tuple(numbers[i * shape[1] : (i + 1) * shape[1]]) for i in range(shape[0]))


# All tiles together.


def _whole(x: Tensor, w: Tensor, spec: ConvSpec, tiles: Tiling) -> tuple[Tensor, Counts]:
    """y (N, K, P, Q) and what it took; the denominators are taken out of the matrices and put back at the end."""
    (m_h, m_w), (size_h, size_w), (tiles_h, tiles_w) = tiles.m, tiles.size, tiles.count
    x, x_scale = _without_denominator(x, "x")
    w, w_scale = _without_denominator(w, "w")
    largest = spec.c_per_group * _growth(tiles.down) * _growth(tiles.across) * _largest(x) * _largest(w)
    if largest >= EXACT:
        raise ConvbenchError(
            f"F({m_h}×{m_w}, {spec.r}×{spec.s}) of these numbers may reach {largest}, above 2^53, where float64 is no "
            f"longer exact; try smaller numbers or a smaller tile"
        )
    (at_h, g_h, bt_h, scale_h), (at_w, g_w, bt_w, scale_w) = (
        _in_whole_numbers(tiles.down),
        _in_whole_numbers(tiles.across),
    )
    below, right = tiles_h * m_h - spec.p, tiles_w * m_w - spec.q
    padded = F.pad(pad(x, spec), (0, right, 0, below))
    cut = padded.unfold(2, size_h, m_h).unfold(3, size_w, m_w)[:, :, :tiles_h, :tiles_w]
    data, of_data = bt_h @ cut @ bt_w.T, _transform_work(tiles.down.bt, tiles.across.bt)
    kernel, of_kernel = g_h @ w @ g_w.T, _transform_work(tiles.down.g, tiles.across.g)
    # One matrix product for each of the frequencies: (G, a, b, K/G, C/G) @ (G, a, b, C/G, N * tiles).
    core = WorkTally()
    left = kernel.reshape(spec.groups, spec.k_per_group, spec.c_per_group, size_h, size_w).permute(0, 3, 4, 1, 2)
    right_side = data.reshape(spec.n, spec.groups, spec.c_per_group, tiles_h * tiles_w, size_h, size_w)
    right_side = right_side.permute(1, 4, 5, 2, 0, 3).flatten(4)
    product = core.matmul(left, right_side)
    product = product.reshape(spec.groups, size_h, size_w, spec.k_per_group, spec.n, tiles_h, tiles_w)
    product = product.permute(4, 0, 3, 5, 6, 1, 2).flatten(1, 2)  # (N, K, tiles_h, tiles_w, a, b)
    y, of_y = at_h @ product @ at_w.T, _transform_work(tiles.down.at, tiles.across.at)
    y = y / (scale_h * scale_w * x_scale * w_scale)
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, tiles_h * m_h, tiles_w * m_w)
    tiles_of_x, tiles_of_y, kernels = (cut.shape[:4].numel(), product.shape[:4].numel(), w.shape[:2].numel())
    stored = data.numel() + kernel.numel() + product.numel()
    counts = Counts(
        core=core.work,
        transform=Work(
            multiplications=of_data.multiplications * tiles_of_x + of_y.multiplications * tiles_of_y,
            additions=of_data.additions * tiles_of_x + of_y.additions * tiles_of_y,
        ),
        weights=Work(multiplications=of_kernel.multiplications * kernels, additions=of_kernel.additions * kernels),
        stored=stored,
        held=stored,
    )
    return y[..., : spec.p, : spec.q], counts


def _without_denominator(numbers: Tensor, name: str) -> tuple[Tensor, int]:
    """Integers in float64, and the power of two by which they are too large."""
    for power in range(24):
        scaled = numbers * 2**power
        if torch.equal(scaled, scaled.round()):
            return scaled, 2**power
    raise ConvbenchError(f"{name} has fractions finer than 2^-23: Winograd is only exact here for coarser ones")


def _largest(numbers: Tensor) -> int:
    return int(numbers.abs().max()) if numbers.numel() else 0


def _row_scales(transforms: Transforms) -> list[tuple[int, int]]:
    """For each of the t products, what makes its rows of G and of B^T whole."""
    return [
        (lcm(*(one.denominator for one in g)), lcm(*(one.denominator for one in bt)))
        for g, bt in zip(transforms.g, transforms.bt, strict=True)
    ]


def _whole_at(transforms: Transforms) -> tuple[list[list[Fraction]], int]:
    """A^T that undoes those scales, times the number that makes it whole, and that number."""
    scales = [g * bt for g, bt in _row_scales(transforms)]
    rows = [[value / scale for value, scale in zip(row, scales, strict=True)] for row in transforms.at]
    whole = lcm(*(value.denominator for row in rows for value in row))
    return [[value * whole for value in row] for row in rows], whole


def _in_whole_numbers(transforms: Transforms) -> tuple[Tensor, Tensor, Tensor, int]:
    """A^T, G and B^T as integers, and by how much what they give is too large."""
    scales = _row_scales(transforms)
    at, whole = _whole_at(transforms)
    g = [[value * scale for value in row] for row, (scale, _) in zip(transforms.g, scales, strict=True)]
    bt = [[value * scale for value in row] for row, (_, scale) in zip(transforms.bt, scales, strict=True)]
    tensors = [torch.tensor([[int(value) for value in row] for row in rows]).double() for rows in (at, g, bt)]
    return tensors[0], tensors[1], tensors[2], whole


def _growth(transforms: Transforms) -> int:
    """How much larger than x times w any number on the way can be, in one dimension."""
    at, _ = _whole_at(transforms)
    sums = [
        (scale_g * sum(map(abs, g)), scale_bt * sum(map(abs, bt)))
        for g, bt, (scale_g, scale_bt) in zip(transforms.g, transforms.bt, _row_scales(transforms), strict=True)
    ]
    # The half-transformed tiles and the products are no larger than this either: A^T has integers.
    products = [g * bt for g, bt in sums]
    outputs = [sum(abs(value) * one for value, one in zip(row, products, strict=True)) for row in at]
    return int(max(*products, *outputs))


def _transform_work(left: Fractions, right: Fractions) -> Work:
    """Of left · tile · right^T, first the columns, then the rows; products with 0, 1 and -1 are none."""
    columns, rows = len(right[0]), len(left)
    return Work(
        multiplications=_products(left) * columns + _products(right) * rows,
        additions=_sums(left) * columns + _sums(right) * rows,
    )


def _products(matrix: Fractions) -> int:
    return sum(abs(value) not in (0, 1) for row in matrix for value in row)


def _sums(matrix: Fractions) -> int:
    return sum(max(0, sum(value != 0 for value in row) - 1) for row in matrix)


class _Counted:
    """A number that counts what is done with it."""

    def __init__(self, work: dict[str, int]) -> None:
        self.work = work

    def times(self, factor: Fraction) -> "_Counted":
        self.work["multiplications"] += abs(factor) != 1
        return self

    def plus(self, _: "_Counted") -> "_Counted":
        self.work["additions"] += 1
        return self


def _counted_work(left: Fractions, right: Fractions) -> Work:
    """The same work, counted on one tile of numbers that count."""
    work = {"multiplications": 0, "additions": 0}
    tile = [[_Counted(work) for _ in right[0]] for _ in left[0]]

    def combine(row: Sequence[Fraction], numbers: Sequence[_Counted | None]) -> _Counted | None:
        total: _Counted | None = None
        for factor, number in zip(row, numbers, strict=True):
            if factor and number:
                part = number.times(factor)
                total = part if total is None else total.plus(part)
        return total

    half = [[combine(row, column) for column in zip(*tile, strict=True)] for row in left]
    for row in half:
        for other in right:
            combine(other, row)
    return Work(**work)


def _counts_again(spec: ConvSpec, tiles: Tiling) -> Counts:
    count, area = tiles.count[0] * tiles.count[1], tiles.size[0] * tiles.size[1]
    of_x = _counted_work(tiles.down.bt, tiles.across.bt)
    of_y = _counted_work(tiles.down.at, tiles.across.at)
    of_w = _counted_work(tiles.down.g, tiles.across.g)
    images, outputs, kernels = spec.n * spec.c * count, spec.n * spec.k * count, spec.k * spec.c_per_group
    stored = (images + outputs + kernels) * area
    return Counts(
        core=Work(multiplications=outputs * area * spec.c_per_group, additions=outputs * area * (spec.c_per_group - 1)),
        transform=Work(
            multiplications=images * of_x.multiplications + outputs * of_y.multiplications,
            additions=images * of_x.additions + outputs * of_y.additions,
        ),
        weights=Work(multiplications=kernels * of_w.multiplications, additions=kernels * of_w.additions),
        stored=stored,
        held=stored,
    )


def _point_names(size: int) -> str:
    return ", ".join([*(str(point) for point in islice(points(), size - 1)), "∞"])


def winograd(tile: Pair | None = None) -> Algorithm:
    """F(m, r) of these tiles of outputs, or of the usual ones."""
    return Algorithm(
        name="winograd" if tile is None else f"winograd-{tile[0]}x{tile[1]}",
        title=lambda spec: f"Winograd F({_name(spec, tile)})",
        idea=(
            "Small fixed matrices transform a tile d of x and the kernel g, so that fewer products are left; "
            "another one turns them into a tile Y of outputs."
        ),
        source="Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks, section 4",
        why_not=partial(why_not, tile),
        form=partial(form, tile),
        again=partial(again, tile),
    )
