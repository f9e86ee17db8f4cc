"""Which numbers does a convolution pass through, from x and w to y?

The walk of the im2col method: one cell by loops, the output size, F.unfold, the flattened
kernel, torch.einsum, the reshape. Everything is float64; `prove` compares it.
"""

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.explain.proof import prove, prove_move
from convbench.explain.steps import Cell, Term, UnprovedError, Walk, flatten_kernel, inside, measure_axes, name_formula
from convbench.ran.by_torch import fold, unfold
from convbench.spec import ITEM_NBYTES, ConvSpec, Pair

# A walk takes seconds up to here, and the two or three GiB of a dozen float64 tensors.
MAX_MACS = 4_000_000_000
MAX_PATCHES = 2**25
MAX_OPERANDS = 2**24
MAX_TERMS = 2**15


def walk(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Walk:
    """Every step for x (N, C, H, W) and w (K, C/G, R, S) in float64, then the proof."""
    patches = unfold(x, spec)
    unproved = Walk(
        spec=spec,
        cell=cell,
        x=x,
        w=w,
        terms=list_terms(x, w, spec, cell),
        patches=patches,
        padding=mark_padding(spec),
        y_flat=multiply(patches, w, spec),
        folded=fold(patches[cell.n], spec),
    )
    return replace(unproved, proof=prove(unproved))


def move(walk: Walk, cell: Cell) -> Walk:
    """The same walk at another cell; only what follows from the cell is computed and proved again.

    Raises:
        UnprovedError: a comparison fails.
    """
    spec, folded = walk.spec, walk.folded
    if cell.n != walk.cell.n:
        folded = fold(walk.patches[cell.n], spec)
    moved = replace(walk, cell=cell, terms=list_terms(walk.x, walk.w, spec, cell), folded=folded)
    proved = replace(moved, proof=prove_move(moved))
    if not proved.holds:
        raise UnprovedError(proved.failures)
    return proved


def choose_cell(spec: ConvSpec, *, at: Pair | None = None, image: int = 0, filter_index: int | None = None) -> Cell:
    """The cell asked for, or one worth seeing.

    By itself it is a cell whose patch hangs over the border if there is padding, else one off
    the diagonal; and a filter of the second group if there are groups.

    Raises:
        ConvbenchError: there is no such output.
    """
    if spec.n == 0:
        raise ConvbenchError(f"n=0 in {spec}: an empty batch has no output to explain; try {replace(spec, n=1)}")
    p, q = at if at is not None else (_interesting(spec, 0), _interesting(spec, 1))
    k = filter_index if filter_index is not None else spec.k_per_group % spec.k
    for option, given, name, size in (
        ("--at", p, "p", spec.p),
        ("--at", q, "q", spec.q),
        ("--filter", k, "k", spec.k),
        ("--image", image, "n", spec.n),
    ):
        if not 0 <= given < size:
            raise ConvbenchError(
                f"{option}: {name}={given} is outside the output of {spec}, which is {spec.y_shape} as (n, k, p, q); "
                f"{name} goes from 0 to {size - 1}"
            )
    return Cell(n=image, k=k, p=p, q=q)


def _interesting(spec: ConvSpec, axis: int) -> int:
    positions, padding = (spec.p, spec.q)[axis], spec.padding[axis]
    if not padding:
        return positions // 2 if axis == 0 and not spec.end[axis] else positions - 1
    # The first position whose last tap reaches the image; all before it see only padding.
    return min(positions - 1, max(0, -(-(padding - spec.kernel_extent[axis] + 1) // spec.stride[axis])))


def affordable(spec: ConvSpec) -> ConvSpec:
    """The problem itself where a walk takes seconds, else one image of it: images do not mix.

    Raises:
        ConvbenchError: even one image is too much.
    """
    for one in (spec, replace(spec, n=1)):
        too_much = [
            f"{one} has {given:,} {name}, and the limit is {limit:,} (a few seconds); try a smaller {smaller}"
            for name, given, limit, smaller in (
                ("multiply-adds", one.macs, MAX_MACS, "h and w"),
                ("patch numbers", count_patches(one), MAX_PATCHES, "h and w"),
                ("numbers in padded x, w and y", count_operands(one), MAX_OPERANDS, "c, h, w, k or padding"),
                ("terms in one output", one.taps, MAX_TERMS, "c, r or s"),
            )
            if given > limit
        ]
        if not too_much:
            return one
    raise ConvbenchError(too_much[0])


def count_patches(spec: ConvSpec) -> int:
    """Numbers in the patch matrix, N*C*R*S*P*Q."""
    return spec.patch_matrix_nbytes("fp32") // ITEM_NBYTES["fp32"]


def count_operands(spec: ConvSpec) -> int:
    """Numbers in x with its padding, in w and in y."""
    padded = spec.n * spec.c * prod(spec.padded)
    return padded + prod(spec.w_shape) + prod(spec.y_shape)


def small_integers(spec: ConvSpec, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x (N, C, H, W) and w (K, C/G, R, S) that are easy to follow and exact to sum, in float64.

    With seed 0, x counts 1, 2, 3, ... to 97 and again, and a w of at most nine numbers counts
    too; else x is drawn from 1..97 and w from -3..3 without zero.
    """
    generator = torch.Generator().manual_seed(seed)
    # 97 is prime: no image is so wide that its rows repeat at once.
    x = torch.arange(prod(spec.x_shape)) % 97 + 1
    w = torch.arange(prod(spec.w_shape)) + 1
    if seed:
        x = torch.randint(1, 98, x.shape, generator=generator)
    if seed or w.numel() > 9:
        w = torch.tensor([-3, -2, -1, 1, 2, 3])[torch.randint(6, w.shape, generator=generator)]
    return x.reshape(spec.x_shape).double(), w.reshape(spec.w_shape).double()


def list_terms(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> tuple[Term, ...]:
    """The products of the cell by the definition, as plain Python numbers in the order (c, r, s)."""
    first_channel = cell.k // spec.k_per_group * spec.c_per_group
    image, kernel = x[cell.n], w[cell.k].tolist()
    terms = []
    for c in range(spec.c_per_group):
        for r in range(spec.r):
            row = cell.p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0]
            for s in range(spec.s):
                column = cell.q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1]
                padding = not (0 <= row < spec.h and 0 <= column < spec.w)
                terms.append(
                    Term(
                        c=c,
                        r=r,
                        s=s,
                        channel=first_channel + c,
                        row=row,
                        column=column,
                        x=0.0 if padding else image[first_channel + c, row, column].item(),
                        w=kernel[c][r][s],
                        padding=padding,
                    )
                )
    return tuple(terms)


def mark_padding(spec: ConvSpec) -> Tensor:
    """(C/G*R*S, P*Q) bool: where a tap falls outside the image, by the index formula."""
    outside_h, outside_w = (~inside(axis) for axis in measure_axes(spec))
    mask = outside_h[:, None, :, None] | outside_w[None, :, None, :]  # (R, S, P, Q)
    return mask.expand(spec.c_per_group, *mask.shape).reshape(-1, spec.p * spec.q)


def multiply(patches: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The flattened kernel times the patches, in each group by itself."""
    if spec.groups > 1:
        patches = patches.unflatten(1, (spec.groups, -1))
    return torch.einsum(name_formula(spec), patches, flatten_kernel(w, spec))
