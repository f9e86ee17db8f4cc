"""Which numbers does a convolution pass through, from x and w to y?

The walk of the im2col method: one cell by loops, the output size, F.unfold, the flattened
kernel, torch.einsum, the reshape. Everything is float64; `prove` compares it.
"""

from dataclasses import replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.explain.proof import prove
from convbench.explain.steps import (
    Axis,
    Cell,
    Multiplied,
    OneCell,
    Reshaped,
    Term,
    Unfolded,
    Variant,
    Walk,
)
from convbench.spec import ITEM_NBYTES, ConvSpec, Pair

# A walk takes seconds up to here; float64 patches of this many numbers take 256 MiB.
MAX_MACS = 4_000_000_000
MAX_PATCHES = 2**25


def walk(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Walk:
    """Every step for x (N, C, H, W) and w (K, C/G, R, S) in float64, then the proof."""
    one_cell = compute_cell(x, w, spec, cell)
    axes = measure_axes(spec)
    variants = vary(spec)
    unfolded = unfold(x, spec, cell)
    multiplied = multiply(unfolded, w, spec, cell)
    reshaped = reshape(unfolded, multiplied, spec, cell, one_cell, axes)
    return Walk(
        spec=spec,
        cell=cell,
        x=x,
        w=w,
        one_cell=one_cell,
        axes=axes,
        variants=variants,
        unfolded=unfolded,
        multiplied=multiplied,
        reshaped=reshaped,
        proof=prove(x, w, spec, cell, one_cell, axes, variants, unfolded, multiplied, reshaped),
    )


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
    return Cell(n=image, k=k, p=p, q=q, group=k // spec.k_per_group)


def _interesting(spec: ConvSpec, axis: int) -> int:
    positions, padding = (spec.p, spec.q)[axis], spec.padding[axis]
    if not padding:
        return positions // 2 if axis == 0 else positions - 1
    # The first position whose last tap reaches the image; all before it see only padding.
    return min(positions - 1, max(0, -(-(padding - spec.kernel_extent[axis] + 1) // spec.stride[axis])))


def affordable(spec: ConvSpec) -> ConvSpec:
    """The problem itself where a walk takes seconds, else one image of it: images do not mix.

    Raises:
        ConvbenchError: even one image is too much.
    """
    if _fits(spec):
        return spec
    image = replace(spec, n=1)
    if _fits(image):
        return image
    raise ConvbenchError(
        f"{image} has {image.macs:,} multiply-adds and {count_patches(image):,} patch numbers: too many to prove "
        f"every output in seconds (limits {MAX_MACS:,} and {MAX_PATCHES:,}); try a smaller h and w"
    )


def _fits(spec: ConvSpec) -> bool:
    return spec.macs <= MAX_MACS and count_patches(spec) <= MAX_PATCHES


def count_patches(spec: ConvSpec) -> int:
    """Numbers in the patch matrix, N*C*R*S*P*Q."""
    return spec.patch_matrix_nbytes("fp32") // ITEM_NBYTES["fp32"]


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


def compute_cell(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> OneCell:
    """The cell by the definition, with plain Python numbers."""
    rows = tuple(cell.p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0] for r in range(spec.r))
    columns = tuple(cell.q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1] for s in range(spec.s))
    first_channel = cell.group * spec.c_per_group
    image = x[cell.n, first_channel : first_channel + spec.c_per_group].tolist()
    kernel = w[cell.k].tolist()
    terms, channel_sums, flipped = [], [], 0.0
    for c in range(spec.c_per_group):
        channel_sum = 0.0
        for r, row in enumerate(rows):
            for s, column in enumerate(columns):
                padding = not (0 <= row < spec.h and 0 <= column < spec.w)
                value = 0.0 if padding else image[c][row][column]
                product = value * kernel[c][r][s]
                channel_sum += product
                flipped += value * kernel[c][spec.r - 1 - r][spec.s - 1 - s]
                terms.append(
                    Term(
                        c=c,
                        r=r,
                        s=s,
                        channel=first_channel + c,
                        row=row,
                        column=column,
                        x=value,
                        w=kernel[c][r][s],
                        product=product,
                        padding=padding,
                    )
                )
        channel_sums.append(channel_sum)
    return OneCell(
        terms=tuple(terms),
        channel_sums=tuple(channel_sums),
        total=sum(channel_sums),
        rows=rows,
        columns=columns,
        flipped=flipped,
    )


def measure_axes(spec: ConvSpec) -> tuple[Axis, Axis]:
    """The output-size formula with its values, for the rows and for the columns."""
    rows, columns = (
        _measure_axis(letters, size, spec.padding[axis], spec.dilation[axis], taps, spec.stride[axis])
        for axis, (letters, size, taps) in enumerate(
            ((("P", "H", "R"), spec.h, spec.r), (("Q", "W", "S"), spec.w, spec.s))
        )
    )
    return rows, columns


def _measure_axis(
    letters: tuple[str, str, str], size: int, padding: int, dilation: int, taps: int, stride: int
) -> Axis:
    room = size + 2 * padding - dilation * (taps - 1) - 1
    positions = room // stride + 1
    readers = [0] * size
    for position in range(positions):
        for tap in range(taps):
            line = position * stride - padding + tap * dilation
            if 0 <= line < size:
                readers[line] += 1
    return Axis(
        letters=letters,
        size=size,
        padding=padding,
        dilation=dilation,
        taps=taps,
        stride=stride,
        room=room,
        rest=room % stride,
        positions=positions,
        readers=tuple(readers),
    )


def vary(spec: ConvSpec) -> tuple[Variant, ...]:
    """The problem with another stride, dilation or padding, where it still has an output."""
    variants = []
    for name, usual, other in (("stride", 1, 2), ("dilation", 1, 2), ("padding", 0, 1)):
        value = other if getattr(spec, name) == (usual, usual) else usual
        try:
            changed = replace(spec, **{name: (value, value)})  # type: ignore[arg-type]  # only pairs are named
        except ConvbenchError:
            continue  # the dilated kernel has outgrown the input
        variants.append(Variant(change=f"{name} {value}", spec=changed))
    return tuple(variants)


def unfold(x: Tensor, spec: ConvSpec, cell: Cell) -> Unfolded:
    """F.unfold, its rows named, and its padding marked."""
    patches = F.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    first_channel, taps = cell.group * spec.c_per_group, spec.c_per_group * spec.r * spec.s
    first_row = cell.group * taps
    return Unfolded(
        patches=patches,
        own=patches[cell.n, first_row : first_row + taps],
        first_row=first_row,
        taps=tuple(
            (first_channel + c, r, s) for c in range(spec.c_per_group) for r in range(spec.r) for s in range(spec.s)
        ),
        padding=_padding_mask(spec),
        column=cell.p * spec.q + cell.q,
        x_nbytes=prod(spec.x_shape) * ITEM_NBYTES["fp32"],
        patches_nbytes=spec.patch_matrix_nbytes("fp32"),
        growth=count_patches(spec) / prod(spec.x_shape),
    )


def _padding_mask(spec: ConvSpec) -> Tensor:
    """(C/G*R*S, P*Q) bool: where a tap falls outside the image, by the index formula."""
    rows, columns = tap_places(spec)
    outside_h, outside_w = (rows < 0) | (rows >= spec.h), (columns < 0) | (columns >= spec.w)
    mask = outside_h[:, None, :, None] | outside_w[None, :, None, :]  # (R, S, P, Q)
    return mask.expand(spec.c_per_group, *mask.shape).reshape(-1, spec.p * spec.q)


def tap_places(spec: ConvSpec) -> tuple[Tensor, Tensor]:
    """Rows (R, P) and columns (S, Q) of x that each tap reads at each position; outside is padding."""
    rows = torch.arange(spec.p) * spec.stride[0] - spec.padding[0] + torch.arange(spec.r)[:, None] * spec.dilation[0]
    columns = torch.arange(spec.q) * spec.stride[1] - spec.padding[1] + torch.arange(spec.s)[:, None] * spec.dilation[1]
    return rows, columns


def multiply(unfolded: Unfolded, w: Tensor, spec: ConvSpec, cell: Cell) -> Multiplied:
    """The flattened kernel times the patches, in each group by itself."""
    # b image, g group, o output channel, p tap (c, r, s), l position (p, q): the note's letters.
    if spec.groups == 1:
        formula, w_flat, patches = "bpl,op->bol", w.reshape(spec.k, -1), unfolded.patches
    else:
        formula = "bgpl,gop->bgol"
        w_flat = w.reshape(spec.groups, spec.k_per_group, -1)
        patches = unfolded.patches.unflatten(1, (spec.groups, -1))
    y_flat = torch.einsum(formula, patches, w_flat)
    taps, outputs = spec.c_per_group * spec.r * spec.s, prod(spec.y_shape)
    return Multiplied(
        formula=formula,
        w_flat=w_flat,
        w_row=w_flat.reshape(spec.k, -1)[cell.k],
        y_flat=y_flat,
        y_row=y_flat.reshape(spec.n, spec.k, -1)[cell.n, cell.k],
        gemm=spec.gemm,
        macs=spec.macs,
        multiplications=outputs * taps,
        additions=outputs * (taps - 1),
        on_padding=int(unfolded.padding.sum()) * spec.n * spec.k,
    )


def reshape(
    unfolded: Unfolded,
    multiplied: Multiplied,
    spec: ConvSpec,
    cell: Cell,
    one_cell: OneCell,
    axes: tuple[Axis, Axis],
) -> Reshaped:
    """y from y_flat; and F.fold of the patches, which is often taken for this step."""
    y = multiplied.y_flat.reshape(spec.y_shape)
    rows, columns = axes
    readers = {
        (term.channel, term.row, term.column): rows.readers[term.row] * columns.readers[term.column]
        for term in one_cell.terms
        if not term.padding
    }
    seen = max(readers, key=lambda place: readers[place], default=None)
    return Reshaped(
        y=y,
        is_view=y.data_ptr() == multiplied.y_flat.data_ptr(),
        folded=F.fold(
            unfolded.patches[cell.n],
            (spec.h, spec.w),
            (spec.r, spec.s),
            spec.dilation,
            spec.padding,
            spec.stride,
        ),
        seen=seen,
        readers=0 if seen is None else readers[seen],
    )
