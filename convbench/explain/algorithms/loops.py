"""How do nested loops compute a convolution? Each product by itself, those on padding stepped over."""

import torch
from torch import Tensor

from convbench.explain.algorithms.trace import Again, Algorithm, AlgorithmStage, Fact, Matrix, Second, Trace
from convbench.explain.algorithms.work import Counts, Work, mark
from convbench.explain.geometry import patch
from convbench.explain.steps import Cell
from convbench.spec import ConvSpec
from convbench.verify.oracle import count_terms

# Half a second of CPython.
MAX_MACS = 2_000_000


def why_not(spec: ConvSpec) -> str | None:
    if spec.macs > MAX_MACS:
        return f"{spec.macs:,} products one by one would take Python too long; the limit is {MAX_MACS:,}"
    return None


def form(algorithm: Algorithm, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
    image, kernel = x.tolist(), w.tolist()
    multiplications = additions = 0
    y, followed = [], []
    for n in range(spec.n):
        for k in range(spec.k):
            first_channel = k // spec.k_per_group * spec.c_per_group
            for p in range(spec.p):
                for q in range(spec.q):
                    total = None
                    follow = (n, k, p, q) == (cell.n, cell.k, cell.p, cell.q)
                    for c in range(spec.c_per_group):
                        for r in range(spec.r):
                            row = p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0]
                            if not 0 <= row < spec.h:
                                continue
                            for s in range(spec.s):
                                column = q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1]
                                if not 0 <= column < spec.w:
                                    continue
                                pixel, weight = image[n][first_channel + c][row][column], kernel[k][c][r][s]
                                product = pixel * weight
                                multiplications += 1
                                if total is None:
                                    total = product
                                else:
                                    total += product
                                    additions += 1
                                if follow:
                                    followed.append((f"{c},{r},{s}", pixel, weight, product, total))
                    y.append(total or 0.0)
    names = tuple(name for name, *_ in followed)
    rows = torch.tensor([numbers for _, *numbers in followed], dtype=torch.float64).reshape(-1, 4).T
    stage = AlgorithmStage(
        title="ONE PRODUCT AT A TIME",
        formula="sum ← sum + x[$n,$c,h,w] · w[$k,$c,$r,$s], for each ($c,$r,$s)",
        matrices=(
            Matrix(
                "$c,$r,$s",
                rows,
                _follow(rows),
                role=("patch", "kernel", "", "output"),
                rows=("x", "w", "x·w", "sum"),
                columns=names,
            ),
        ),
        facts=(
            Fact(
                "This cell has {} products inside the image; {} on padding are skipped.",
                (len(followed), spec.taps - len(followed)),
            ),
        ),
    )
    y_all = torch.tensor(y, dtype=torch.float64).reshape(spec.y_shape)
    work = Work(multiplications=multiplications, additions=additions)
    return algorithm.trace(spec, cell, [stage], y_all, Counts(core=work))


def again(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Again:
    values, inside = patch(x, spec, cell), patch(torch.ones_like(x), spec, cell).bool()
    weights = w[cell.k][inside]
    products = values[inside] * weights
    rows = torch.stack((values[inside], weights, products, products.cumsum(0)))
    terms = count_terms(spec)
    in_all = spec.n * spec.k * int(terms.sum())
    some = spec.n * spec.k * int((terms > 0).sum())  # outputs that have a product at all
    return Again(
        matrices=(Second("$c,$r,$s", "slices of padded x", rows, _follow(rows)),),
        values=((int(inside.sum()), int((~inside).sum())),),
        counts=Counts(core=Work(multiplications=in_all, additions=in_all - some)),
    )


def _follow(rows: Tensor) -> Tensor:
    """x and w of all terms, and the last sum."""
    marked = mark(rows.shape)
    marked[:2] = True
    marked[3, -1:] = True
    return marked


LOOPS = Algorithm(
    name="loops",
    title=lambda _: "nested loops",
    idea="From the definition: every output is a sum of products, and the loops take one product at a time.",
    source="the definition of cross-correlation; Goodfellow et al. 2016, Deep Learning, section 9.1",
    why_not=why_not,
    form=form,
    again=again,
)
