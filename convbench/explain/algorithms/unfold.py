"""How does im2col compute a convolution? x becomes a matrix of patches, and a matrix product does the rest.

By einsum as in the walk, or by torch.matmul with the positions of all images side by side: one product for a group.
"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from convbench.explain.algorithms.trace import Again, Algorithm, AlgorithmStage, Fact, Matrix, Second, Trace
from convbench.explain.algorithms.work import Counts, Work, WorkTally, mark, too_many
from convbench.explain.geometry import channels, windows
from convbench.explain.letters import TAP
from convbench.explain.steps import Cell, name_formula
from convbench.explain.walk import MAX_PATCHES, multiply
from convbench.ran.by_torch import unfold
from convbench.spec import ConvSpec

Multiply = Callable[[WorkTally, Tensor, Tensor, ConvSpec], Tensor]


def why_not(spec: ConvSpec) -> str | None:
    return too_many(spec.patch_matrix_nbytes("fp32") // 4, "the patch matrix", MAX_PATCHES)


def by_einsum(tally: WorkTally, patches: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = multiply(patches, w, spec)
    tally.multiplications += y.numel() * spec.taps
    tally.additions += y.numel() * (spec.taps - 1)
    return y.reshape(spec.y_shape)


def by_matmul(tally: WorkTally, patches: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    side_by_side = patches.unflatten(1, (spec.groups, -1)).permute(1, 2, 0, 3).flatten(2)  # (G, taps, N*P*Q)
    y = tally.matmul(w.reshape(spec.groups, spec.k_per_group, -1), side_by_side)  # (G, K/G, N*P*Q)
    return y.reshape(spec.k, spec.n, spec.p, spec.q).transpose(0, 1)


def form_with(join: Multiply, formula: Callable[[ConvSpec], str]) -> Callable[..., Trace]:
    def form(algorithm: Algorithm, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
        tally = WorkTally()
        patches = unfold(x, spec)
        y = join(tally, patches, w, spec)
        group = cell.k // spec.k_per_group
        own = patches[cell.n, group * spec.taps : (group + 1) * spec.taps]
        at = cell.p * spec.q + cell.q
        names = tuple(
            f"({group * spec.c_per_group + c},{r},{s})"
            for c in range(spec.c_per_group)
            for r in range(spec.r)
            for s in range(spec.s)
        )
        kernel, row = w[cell.k].reshape(1, -1), y[cell.n, cell.k].reshape(1, -1)
        stages = [
            AlgorithmStage(
                title="UNFOLD",
                formula=f"row {TAP}, column l = $p·$Q + $q",
                matrices=(Matrix(TAP, own, mark(own.shape, slice(None), at), role="patch", rows=names),),
                facts=(
                    Fact(
                        "x has {} numbers, its patches {}, of which {} are zeros of the padding.",
                        (x.numel(), patches.numel(), _count_padding(x, spec)),
                    ),
                ),
            ),
            AlgorithmStage(
                title="MULTIPLY",
                formula=formula(spec),
                matrices=(
                    Matrix("w_flat", kernel, mark(kernel.shape, slice(None)), role="kernel", rows=(f"$k={cell.k}",)),
                    Matrix("y", row, mark(row.shape, 0, at), role="output", rows=(f"$k={cell.k}",)),
                ),
            ),
        ]
        counts = Counts(core=tally.work, stored=patches.numel(), held=patches.numel())
        return algorithm.trace(spec, cell, stages, y, counts)

    return form


def _count_padding(x: Tensor, spec: ConvSpec) -> int:
    ones = unfold(torch.ones_like(x[:1, :1]), spec)
    return spec.n * spec.c * int((ones == 0).sum())


def again(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Again:
    views = windows(x, spec)
    own = views[cell.n, channels(spec, cell)]  # (C/G, P, Q, R, S)
    own = own.permute(0, 3, 4, 1, 2).reshape(spec.taps, spec.p * spec.q)
    here = mark((spec.p, spec.q), cell.p, cell.q).reshape(1, -1)
    kernel = w[cell.k].reshape(1, -1)
    outside = windows(torch.zeros_like(x), spec, 1.0)
    patches = spec.n * spec.c * spec.r * spec.s * spec.p * spec.q
    outputs = prod(spec.y_shape)
    return Again(
        matrices=(
            Second(TAP, "windows of padded x", own, here.expand(own.shape)),
            Second(
                "w_flat",
                "w, number by number",
                torch.tensor([[w[cell.k, c, r, s].item() for c, r, s in _taps(spec)]], dtype=torch.float64),
                torch.ones_like(kernel, dtype=torch.bool),
            ),
            Second("y", "the kernel times the windows", (own * kernel.reshape(-1, 1)).sum(0, keepdim=True), here),
        ),
        values=((spec.n * spec.c * spec.h * spec.w, patches, int(outside.sum())),),
        counts=Counts(
            core=Work(multiplications=spec.macs, additions=spec.macs - outputs), stored=patches, held=patches
        ),
    )


def _taps(spec: ConvSpec) -> list[tuple[int, int, int]]:
    return [(c, r, s) for c in range(spec.c_per_group) for r in range(spec.r) for s in range(spec.s)]


UNFOLD_EINSUM = Algorithm(
    name="unfold-einsum",
    title=lambda _: "unfold + einsum",
    idea="Every patch of x becomes a column of a matrix, and einsum multiplies the flattened kernel with each column.",
    source="Chellapilla, Puri, Simard 2006, High Performance Convolutional Neural Networks, section 3",
    why_not=why_not,
    form=form_with(by_einsum, lambda spec: f"einsum('{name_formula(spec)}', patches, w_flat)"),
    again=again,
)
UNFOLD_MATMUL = Algorithm(
    name="unfold-matmul",
    title=lambda _: "unfold + matmul",
    idea="The same patch matrix, those of all images next to each other (the backend takes one image after the other), "
    "and one matrix product for each group.",
    source="Chellapilla, Puri, Simard 2006, High Performance Convolutional Neural Networks, section 3",
    why_not=why_not,
    form=form_with(
        by_matmul,
        lambda spec: (
            f"w_flat {spec.gemm[0]}×{spec.gemm[2]} @ patches {spec.gemm[2]}×{spec.gemm[1]}"
            + (f", for each of {spec.groups} groups" if spec.groups > 1 else "")
        ),
    ),
    again=again,
)
