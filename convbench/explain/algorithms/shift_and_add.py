"""How does shift-and-add (kn2row) compute a convolution? As R·S convolutions of size 1×1, shifted and added up."""

# ruff: noqa: RUF001, RUF002  # the minus and times signs are meant: this is mathematics as text

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.explain.algorithms.trace import Again, Algorithm, AlgorithmStage, Fact, Matrix, Second, Trace
from convbench.explain.algorithms.work import Counts, Work, WorkTally, mark, too_many
from convbench.explain.geometry import patch
from convbench.explain.steps import Cell, inside, measure_axes, place_taps
from convbench.explain.walk import MAX_PATCHES
from convbench.spec import ConvSpec
from convbench.verify.oracle import count_terms


def why_not(spec: ConvSpec) -> str | None:
    return too_many(spec.n * spec.k * spec.h * spec.w, "each 1×1 product", MAX_PATCHES)


def form(algorithm: Algorithm, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
    tally = WorkTally()
    pixels = x.reshape(spec.n, spec.groups, spec.c_per_group, spec.h * spec.w)
    kernels = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s)
    axes = measure_axes(spec)
    lines, on_image = [place_taps(axis) for axis in axes], [inside(axis) for axis in axes]
    y = torch.zeros(spec.y_shape, dtype=torch.float64)
    begun = mark((spec.p, spec.q))  # outputs that have had their first product
    used = stored = 0
    matrices, sums = [], []
    for r in range(spec.r):
        for s in range(spec.s):
            product = tally.matmul(kernels[..., r, s], pixels).reshape(spec.n, spec.k, spec.h, spec.w)
            stored += product.numel()
            p, q = (one[tap].nonzero().flatten() for one, tap in zip(on_image, (r, s), strict=True))
            rows, columns = lines[0][r, p], lines[1][s, q]
            y[:, :, p[:, None], q] += product[:, :, rows[:, None], columns]
            tally.additions += spec.n * spec.k * int(begun[p[:, None], q].sum())
            begun[p[:, None], q] = True
            used += len(p) * len(q)
            place = (int(lines[0][r, cell.p]), int(lines[1][s, cell.q]))
            hit = bool(on_image[0][r, cell.p] and on_image[1][s, cell.q])
            matrices.append(
                Matrix(
                    f"w[{r},{s}]·x",
                    product[cell.n, cell.k].clone(),
                    mark((spec.h, spec.w), *(place if hit else ())),
                    role="patch",
                )
            )
            sums.append(y[cell.n, cell.k, cell.p, cell.q].item())
    total = torch.tensor([sums], dtype=torch.float64)
    stages = [
        AlgorithmStage(
            title="ONE 1×1 PRODUCT FOR EACH PLACE OF THE KERNEL",
            formula="w[:,:,$r,$s] ($K, $C) @ x ($C, H·W), $R·$S times" + (", in each group" if spec.groups > 1 else ""),
            matrices=tuple(matrices),
            facts=(
                Fact(
                    "Of the {} numbers in the products of one filter, {} are added to y; the rest is discarded.",
                    (spec.r * spec.s * spec.h * spec.w, used),
                ),
            ),
        ),
        AlgorithmStage(
            title="SHIFT AND ADD",
            formula="y[$p,$q] ← y[$p,$q] + product($r,$s)[$p·stride − padding + $r·dilation, …]",
            matrices=(
                Matrix(
                    "after",
                    total,
                    mark(total.shape, 0, -1),
                    role="output",
                    rows=(f"y[{cell.p},{cell.q}]",),
                    columns=tuple(f"w[{r},{s}]" for r in range(spec.r) for s in range(spec.s)),
                ),
            ),
        ),
    ]
    counts = Counts(core=tally.work, stored=stored, held=spec.n * spec.k * spec.h * spec.w)
    return algorithm.trace(spec, cell, stages, y, counts)


def again(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Again:
    # Which pixel each tap of the cell reads: numbered from 1, so 0 is padding.
    numbered = torch.arange(1, spec.h * spec.w + 1, dtype=torch.float64).reshape(1, 1, spec.h, spec.w)
    alone = Cell(n=0, k=0, p=cell.p, q=cell.q)
    one_channel = ConvSpec(
        n=1,
        c=1,
        h=spec.h,
        w=spec.w,
        k=1,
        r=spec.r,
        s=spec.s,
        stride=spec.stride,
        padding=spec.padding,
        padding_end=spec.padding_end,
        dilation=spec.dilation,
    )
    reads = patch(numbered, one_channel, alone)[0]  # (R, S)
    matrices = [
        Second(
            f"w[{r},{s}]·x",
            "F.conv2d with a 1×1 kernel",
            F.conv2d(x[cell.n], w[:, :, r : r + 1, s : s + 1], groups=spec.groups)[cell.k],
            numbered[0, 0] == reads[r, s],
        )
        for r in range(spec.r)
        for s in range(spec.s)
    ]
    by_tap = (patch(x, spec, cell) * w[cell.k]).sum(0).flatten().cumsum(0)[None]
    matrices.append(
        Second(
            "after",
            "sums over the patch",
            by_tap,
            mark(by_tap.shape, slice(None), slice(by_tap.shape[1] - 1, None)),
        )
    )
    terms = count_terms(spec) / spec.c_per_group
    pixels, taps = spec.h * spec.w, spec.r * spec.s
    each = spec.n * spec.k * pixels
    added = int(terms.sum()) - int((terms > 0).sum())
    return Again(
        matrices=tuple(matrices),
        values=((taps * pixels, int(terms.sum())),),
        counts=Counts(
            core=Work(
                multiplications=each * taps * spec.c_per_group,
                additions=each * taps * (spec.c_per_group - 1) + spec.n * spec.k * added,
            ),
            stored=each * taps,
            held=each,
        ),
    )


SHIFT_AND_ADD = Algorithm(
    name="shift-and-add",
    title=lambda _: "shift-and-add (kn2row)",
    idea="One weight w[$r,$s] at a time is multiplied with all of x; the product is shifted and added to y.",
    source="Vasudevan, Anderson, Gregg 2017, Parallel Multi Channel Convolution using General Matrix Multiplication",
    why_not=why_not,
    form=form,
    again=again,
)
