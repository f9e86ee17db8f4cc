"""How is a convolution one matrix? A doubly blocked Toeplitz matrix T, mostly zeros, with y = T · vec(x)."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from math import prod

import torch
from torch import Tensor

from convbench.explain.algorithms.trace import Again, Algorithm, AlgorithmStage, Fact, Matrix, Second, Trace
from convbench.explain.algorithms.work import Counts, Work, mark, too_many
from convbench.explain.geometry import channels, window, windows
from convbench.explain.steps import Cell, inside, measure_axes, place_taps
from convbench.ran.by_torch import convolve
from convbench.spec import ConvSpec
from convbench.verify.oracle import count_terms

MAX_NUMBERS = 2**22


def why_not(spec: ConvSpec) -> str | None:
    return too_many(prod(spec.y_shape[1:]) * prod(spec.x_shape[1:]), "the matrix", MAX_NUMBERS)


def fill(w: Tensor, spec: ConvSpec) -> tuple[Tensor, Tensor]:
    """(K*P*Q, C*H*W): the matrix, and where a weight was written."""
    shape = (spec.groups, spec.k_per_group, spec.p, spec.q, spec.groups, spec.c_per_group, spec.h, spec.w)
    matrix, written = torch.zeros(shape, dtype=torch.float64), mark(shape)
    kernels = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s)
    axes = measure_axes(spec)
    lines, on_image = [place_taps(axis) for axis in axes], [inside(axis) for axis in axes]
    for r in range(spec.r):
        for s in range(spec.s):
            p, q = (one[tap].nonzero().flatten() for one, tap in zip(on_image, (r, s), strict=True))
            rows, columns = lines[0][r, p][:, None], lines[1][s, q]
            for g in range(spec.groups):
                matrix[g, :, p[:, None], q, g, :, rows, columns] = kernels[g, ..., r, s]
                written[g, :, p[:, None], q, g, :, rows, columns] = True
    flat = (prod(spec.y_shape[1:]), prod(spec.x_shape[1:]))
    return matrix.reshape(flat), written.reshape(flat)


def form(algorithm: Algorithm, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
    matrix, written = fill(w, spec)
    vectors = x.flatten(1)
    y = (vectors @ matrix.T).reshape(spec.y_shape)
    positions = spec.p * spec.q
    at = cell.p * spec.q + cell.q
    own = slice(cell.k * positions, (cell.k + 1) * positions)
    nonzeros, rows = int(written.sum()), int(written.any(dim=1).sum())
    followed = mark((positions, matrix.shape[1]))
    followed[at] = written[cell.k * positions + at]
    vector, result = vectors[cell.n][None], y[cell.n, cell.k].reshape(1, -1)
    stages = [
        AlgorithmStage(
            title="ONE MATRIX",
            formula="row ($k·$P + $p)·$Q + $q of T, column ($c·H + h)·W + w",
            matrices=(
                Matrix(
                    f"T, $k={cell.k}",
                    matrix[own],
                    followed,
                    role="kernel",
                    rows=tuple(f"{p},{q}" for p in range(spec.p) for q in range(spec.q)),
                    aside=~written[own],
                ),
            ),
            facts=(
                Fact(
                    "{} of the {} numbers of T are weights; the others are zeros, and products with them are skipped.",
                    (nonzeros, matrix.numel()),
                ),
            ),
        ),
        AlgorithmStage(
            title="ONE PRODUCT",
            formula="y = T · vec(x)",
            matrices=(
                Matrix("vec(x)", vector, followed[at][None], role="patch", rows=(f"$n={cell.n}",)),
                Matrix("y", result, mark(result.shape, 0, at), role="output", rows=(f"$k={cell.k}",)),
            ),
        ),
    ]
    work = Work(multiplications=spec.n * nonzeros, additions=spec.n * (nonzeros - rows))
    counts = Counts(core=work, stored=matrix.numel(), held=matrix.numel())
    return algorithm.trace(spec, cell, stages, y, counts)


def again(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Again:
    """Column by column: what F.conv2d makes of an image that is 1 in one place and 0 elsewhere."""
    pixels = prod(spec.x_shape[1:])
    impulses = torch.eye(pixels, dtype=torch.float64).reshape(pixels, *spec.x_shape[1:])
    own = convolve(impulses, w, spec)[:, cell.k].flatten(1).T
    reached = convolve(impulses, torch.ones_like(w), spec).flatten(1).T != 0  # no two taps of an output meet
    reached_own = reached.reshape(spec.k, spec.p * spec.q, pixels)[cell.k]
    seen = mark((spec.c, *spec.padded))
    seen[channels(spec, cell)[:, None, None], *_open(spec, cell)] = True
    (pad_h, pad_w), here = spec.padding, mark((spec.p, spec.q), cell.p, cell.q).reshape(1, -1)
    seen = seen[:, pad_h : pad_h + spec.h, pad_w : pad_w + spec.w].reshape(1, -1)
    terms = count_terms(spec)
    nonzeros, some = spec.k * int(terms.sum()), spec.k * int((terms > 0).sum())
    conv = (windows(x, spec)[cell.n, channels(spec, cell)] * w[cell.k][:, None, None]).sum(dim=(0, 3, 4))
    size = prod(spec.y_shape[1:]) * pixels
    return Again(
        matrices=(
            Second(f"T, $k={cell.k}", "F.conv2d of unit impulses", own, here.T & seen, aside=~reached_own),
            Second(
                "vec(x)",
                "the rows of x, laid end to end",
                torch.cat([row for plane in x[cell.n] for row in plane])[None],
                seen,
            ),
            Second("y", "windows of padded x", conv.reshape(1, -1), here),
        ),
        values=((int(reached.sum()), reached.numel()),),
        counts=Counts(
            core=Work(multiplications=spec.n * nonzeros, additions=spec.n * (nonzeros - some)),
            stored=size,
            held=size,
        ),
    )


def _open(spec: ConvSpec, cell: Cell) -> tuple[Tensor, Tensor]:
    """The cell's window as index tensors, (R, 1) and (S,)."""
    rows, columns = window(spec, cell.p, cell.q)
    return (
        torch.arange(rows.start, rows.stop, rows.step)[:, None],
        torch.arange(columns.start, columns.stop, columns.step),
    )


TOEPLITZ = Algorithm(
    name="toeplitz",
    title=lambda spec: f"Toeplitz {prod(spec.y_shape[1:])}×{prod(spec.x_shape[1:])}",
    idea="One large matrix times the flattened x: a row has the kernel's weights where its output reads x, else zeros.",
    source="Dumoulin and Visin 2016, A guide to convolution arithmetic for deep learning, section 4.1",
    why_not=why_not,
    form=form,
    again=again,
)
