"""How does an implicit GEMM compute a convolution? The patch matrix is only an index map; tiles of it are read from x.

i numbers the outputs (n,p,q), j the filters of a group, k the taps (c,r,s). GPU libraries work so:
each tile is gathered, used and forgotten.
"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import torch
from torch import Tensor

from convbench.explain.algorithms.trace import Again, Algorithm, AlgorithmStage, Fact, Matrix, Second, Trace
from convbench.explain.algorithms.work import Counts, Work, WorkTally, mark
from convbench.explain.geometry import channels, pad, window, windows
from convbench.explain.steps import Cell
from convbench.spec import ConvSpec

# Tiles of 4 are small enough to be looked at; larger problems take larger ones.
SMALLEST_TILE = 4
MAX_TILES = 1024


def tile_of(spec: ConvSpec) -> int:
    """Rows and columns of a tile: a power of two."""
    m, n, k = spec.n * spec.p * spec.q, spec.k_per_group, spec.taps
    tile = SMALLEST_TILE
    while spec.groups * -(-m // tile) * -(-n // tile) * -(-k // tile) > MAX_TILES:
        tile *= 2
    return tile


def output_of(i: Tensor, spec: ConvSpec) -> Tensor:
    """(…, 3): n, p, q of each i."""
    return torch.stack((i // (spec.p * spec.q), i // spec.q % spec.p, i % spec.q), dim=-1)


def row_of(outputs: Tensor, spec: ConvSpec) -> Tensor:
    """i of each (n, p, q)."""
    n, p, q = outputs.unbind(-1)
    return (n * spec.p + p) * spec.q + q


def tap_of(k: Tensor, spec: ConvSpec) -> Tensor:
    """(…, 3): c, r, s of each k."""
    return torch.stack((k // (spec.r * spec.s), k // spec.s % spec.r, k % spec.s), dim=-1)


def column_of(taps: Tensor, spec: ConvSpec) -> Tensor:
    """k of each (c, r, s)."""
    c, r, s = taps.unbind(-1)
    return (c * spec.r + r) * spec.s + s


def addresses(i: Tensor, k: Tensor, group: int, spec: ConvSpec) -> Tensor:
    """(i, k): where in x, counted in numbers from its start, the patch matrix reads; -1 is padding."""
    n, p, q = (one[:, None] for one in output_of(i, spec).unbind(-1))
    c, r, s = tap_of(k, spec).unbind(-1)
    h = p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0]
    w = q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1]
    inside = (h >= 0) & (h < spec.h) & (w >= 0) & (w < spec.w)
    channel = group * spec.c_per_group + c
    return torch.where(inside, ((n * spec.c + channel) * spec.h + h) * spec.w + w, -1)


def read(x: Tensor, places: Tensor) -> Tensor:
    """x at its addresses, and 0 on padding."""
    return torch.where(places < 0, 0.0, x.flatten()[places.clamp(min=0)])


def form(algorithm: Algorithm, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
    tile, tally = tile_of(spec), WorkTally()
    rows, filters, taps = (torch.arange(size) for size in (spec.n * spec.p * spec.q, spec.k_per_group, spec.taps))
    kernels = w.reshape(spec.groups, spec.k_per_group, spec.taps).mT.contiguous()  # (G, taps, K/G)
    y = torch.empty((spec.groups, len(rows), len(filters)), dtype=torch.float64)
    most = 0
    for group in range(spec.groups):
        for i in rows.split(tile):
            for j in filters.split(tile):
                sums = torch.empty(0)
                for k in taps.split(tile):
                    a, b = read(x, addresses(i, k, group, spec)), kernels[group][k[0] : k[-1] + 1, j[0] : j[-1] + 1]
                    product = tally.matmul(a, b)
                    if k[0] == 0:
                        sums = product
                    else:
                        sums += product
                        tally.additions += sums.numel()
                    most = max(most, a.numel() + b.numel() + sums.numel())
                y[group, i[0] : i[-1] + 1, j[0] : j[-1] + 1] = sums
    whole = y.reshape(spec.groups, spec.n, spec.p, spec.q, spec.k_per_group).permute(1, 0, 4, 2, 3)
    group, filter_ = divmod(cell.k, spec.k_per_group)
    i_cell = int(row_of(torch.tensor([cell.n, cell.p, cell.q]), spec))
    i, j = rows.split(tile)[i_cell // tile], filters.split(tile)[filter_ // tile]
    places = addresses(torch.tensor([i_cell]), taps, group, spec)[0]
    first = int((places >= 0).int().argmax())  # the first tap on the image, if there is one
    k = taps.split(tile)[first // tile]
    i_at, j_at = i_cell % tile, filter_ % tile
    gathered = addresses(i, k, group, spec)
    row_names, tap_names = tuple(f"i={one}" for one in i.tolist()), tuple(f"k={one}" for one in k.tolist())
    filter_names = tuple(f"j={one}" for one in j.tolist())
    stages = [
        AlgorithmStage(
            title="THE INDEX MAP",
            formula="$n = i÷($P·$Q), $p = i÷$Q mod $P, $q = i mod $Q; $c = k÷($R·$S), $r = k÷$S mod $R, $s = k mod $S",
            matrices=(
                Matrix(
                    "output",
                    output_of(i, spec),
                    mark((len(i), 3), i_at),
                    role="output",
                    rows=row_names,
                    columns=("$n", "$p", "$q"),
                ),
                Matrix(
                    "weight",
                    tap_of(k, spec),
                    mark((len(k), 3), slice(None)),
                    role="kernel",
                    rows=tap_names,
                    columns=("$c", "$r", "$s"),
                ),
            ),
            facts=(
                Fact("i numbers the outputs, k the weights of one filter, j the filters.", ()),
                Fact(
                    "Back: i = ($n·$P + $p)·$Q + $q and k = ($c·$R + $r)·$S + $s; {} of {} i and {} of {} k come back.",
                    (
                        int((row_of(output_of(rows, spec), spec) == rows).sum()),
                        len(rows),
                        int((column_of(tap_of(taps, spec), spec) == taps).sum()),
                        len(taps),
                    ),
                ),
            ),
        ),
        AlgorithmStage(
            title="GATHER ONE TILE",
            formula="address = (($n·$C + $c)·H + h)·W + w, −1 on padding",
            matrices=(
                Matrix(
                    "address", gathered, mark(gathered.shape, i_at), role="patch", rows=row_names, columns=tap_names
                ),
                Matrix(
                    "tile of x",
                    read(x, gathered),
                    mark(gathered.shape, i_at),
                    role="patch",
                    rows=row_names,
                    columns=tap_names,
                ),
                Matrix(
                    "of w",
                    kernels[group][k][:, j],
                    mark((len(k), len(j)), slice(None), j_at),
                    role="kernel",
                    rows=tap_names,
                    columns=filter_names,
                ),
            ),
        ),
        AlgorithmStage(
            title="SUM THE TILE",
            formula=f"sums {len(i)}×{len(j)} ← sums + tile of x · tile of w, over all k",
            matrices=(
                Matrix(
                    "y",
                    y[group, i][:, j],
                    mark((len(i), len(j)), i_at, j_at),
                    role="output",
                    rows=row_names,
                    columns=filter_names,
                ),
            ),
            facts=(
                Fact(
                    "{} tiles of x, at most {}×{}, were gathered and discarded; no patch matrix was built.",
                    (_tiles(spec, tile), tile, tile),
                ),
            ),
        ),
    ]
    # The tiles live in registers and shared memory: nothing besides x, w and y is moved.
    return algorithm.trace(spec, cell, stages, whole.reshape(spec.y_shape), Counts(core=tally.work, held=most))


def _tiles(spec: ConvSpec, tile: int) -> int:
    m, n, k = spec.n * spec.p * spec.q, spec.k_per_group, spec.taps
    return spec.groups * -(-m // tile) * -(-n // tile) * -(-k // tile)


def again(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Again:
    """By enumeration: every output and every tap listed in order, cut into tiles by slices."""
    tile = tile_of(spec)
    outputs = torch.cartesian_prod(*(torch.arange(size) for size in (spec.n, spec.p, spec.q))).reshape(-1, 3)
    taps = torch.cartesian_prod(*(torch.arange(size) for size in (spec.c_per_group, spec.r, spec.s))).reshape(-1, 3)
    here = (outputs == torch.tensor([cell.n, cell.p, cell.q])).all(dim=1)
    i_cell = int(here.nonzero()[0, 0])
    own = channels(spec, cell)
    filters = torch.arange(spec.k).reshape(spec.groups, -1)
    j_cell = int((filters == cell.k).nonzero()[0, 1])
    group = int((filters == cell.k).nonzero()[0, 0])
    i = slice(i_cell - i_cell % tile, i_cell - i_cell % tile + tile)
    j = slice(j_cell - j_cell % tile, j_cell - j_cell % tile + tile)
    numbered = torch.arange(x.numel(), dtype=torch.float64).reshape(spec.x_shape)
    places = torch.stack(
        [pad(numbered, spec, -1.0)[n, own][:, *window(spec, p, q)].flatten() for n, p, q in outputs[i].tolist()]
    )  # (i, taps)
    values = torch.stack([pad(x, spec)[n, own][:, *window(spec, p, q)].flatten() for n, p, q in outputs[i].tolist()])
    on_image = places[i_cell % tile] >= 0
    first = int(on_image.nonzero()[0, 0]) if on_image.any() else 0
    k = slice(first - first % tile, first - first % tile + tile)
    kernel = w[filters[group][j]].flatten(1).T  # (taps, j)
    row, column = here[i][:, None], mark((kernel.shape[1],), j_cell % tile)[None]
    shown_places, shown_values, shown_kernel = places[:, k].long(), values[:, k], kernel[k]
    rows_x_w = values @ kernel
    views = windows(x[:1, :1], spec)
    m, n, depth = spec.n * views.shape[2] * views.shape[3], w.shape[0] // spec.groups, w[0].numel()
    tiles = spec.groups * len(range(0, m, tile)) * len(range(0, n, tile)) * len(range(0, depth, tile))
    side = [min(tile, size) for size in (m, n, depth)]
    return Again(
        matrices=(
            Second("output", "all outputs, listed", outputs[i], row.expand(-1, 3)),
            Second("weight", "all weights of a filter, listed", taps[k], torch.ones_like(taps[k], dtype=torch.bool)),
            Second("address", "slices of numbered x", shown_places, row.expand(shown_places.shape)),
            Second("tile of x", "slices of padded x", shown_values, row.expand(shown_values.shape)),
            Second("of w", "slices of w", shown_kernel, column.expand(shown_kernel.shape)),
            Second("y", "the tile in one product", rows_x_w, row & column),
        ),
        values=((len(outputs), m, len(taps), depth), (tiles, tile, tile)),
        counts=Counts(
            core=Work(multiplications=spec.macs, additions=spec.macs - m * w.shape[0]),
            held=side[0] * side[2] + side[2] * side[1] + side[0] * side[1],
        ),
    )


IMPLICIT_GEMM = Algorithm(
    name="implicit-gemm",
    title=lambda _: "implicit GEMM",
    idea="The same matrix product (GEMM), but small tiles of the patch matrix are read from x by index, never stored.",
    source="Chetlur et al. 2014, cuDNN: Efficient Primitives for Deep Learning, section 3",
    why_not=lambda _: None,
    form=form,
    again=again,
)
