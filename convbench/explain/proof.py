"""Is every number of the walk right? Each is compared with a second computation, over whole tensors.

Where x and w are whole numbers, float64 sums are exact in any order and equal means equal. Of others two orders of a
sum may differ, by no more than `slack`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.backends.naive_loops import naive_loops
from convbench.call.bind import conditions
from convbench.case import Case, Problem
from convbench.explain.steps import Comparison, Term, Walk, is_whole
from convbench.ran.by_torch import convolve, fold, unfold
from convbench.spec import ConvSpec
from convbench.verify.exam import make_exam
from convbench.verify.verdict import check

Pairs = Iterator[tuple[Any, Any]]


def prove(walk: Walk) -> tuple[Comparison, ...]:
    """Every comparison, in the order of the steps."""
    spec, y = walk.spec, walk.y
    within = slack(walk)
    case = Case(problem=Problem(suite="shape", name=str(spec), spec=spec))
    exam = make_exam(case, walk.x.float(), walk.w.float())
    with conditions(case):
        conv2d = convolve(walk.x, walk.w, spec)
        single = convolve(exam.x, exam.w, spec)
    cell, flipped, matrix, fold = _prove_cell(walk, within)
    return (
        _check_loops(walk, case, within),
        cell,
        flipped,
        compare_all("sizes", "F.conv2d, Tensor.unfold", _sizes(walk, conv2d)),
        compare_all("unfold", "x by the index formula", _unfold(walk)),
        compare_all("padding", "F.unfold of ones", _padding(walk)),
        matrix,
        fold,
        compare_all("work", "counted products", _work(walk, exam.truth.terms)),
        compare("einsum", "F.conv2d in float64", y, conv2d, within=within),
        compare("oracle", "shifted views of x, summed", y, exam.truth.y, within=within),
        Comparison(
            name="float32",
            against="float64, within the bound of its rounding",
            compared=y.numel(),
            worst=float((single.double() - exam.truth.y).abs().max()),
            evidence=check(exam, single, "vendor").evidence,
        ),
    )


def prove_move(walk: Walk) -> tuple[Comparison, ...]:
    """The proof after a step to another cell of the same tensors.

    `walk.proof` is still that of the cell before: its checks of whole tensors are kept, and
    what follows from the cell is compared again.
    """
    within = slack(walk)
    term_by_term = _check_total(walk, within)
    anew = {comparison.name: comparison for comparison in _prove_cell(walk, within)}
    if not term_by_term.holds:
        anew[term_by_term.name] = term_by_term
    return tuple(anew.get(before.name, before) for before in walk.proof)


def slack(walk: Walk) -> float:
    """By how much two orders of any sum of the walk may differ in float64; 0 where its numbers are whole.

    Each errs by at most gamma(n) * sum |x w| (Higham 2002, chapter 3), with n the terms of the longest sum: those of an
    output, or the patches that a pixel lies in.
    """
    if is_whole(walk):
        return 0.0
    spec = walk.spec
    terms = max(spec.taps, spec.r * spec.s) + 2
    largest = float(walk.x.abs().max()) * max(1.0, float(walk.w.abs().max()))
    return 2 * terms * 2.0**-53 / (1 - terms * 2.0**-53) * terms * largest


def compare(name: str, against: str, got: Tensor, want: Tensor, *, within: float = 0.0) -> Comparison:
    """Whether two tensors of one shape hold the same numbers, but for `within`; NaN is equal to nothing."""
    if got.shape != want.shape:
        evidence = f"shape {tuple(got.shape)}, expected {tuple(want.shape)}"
        return Comparison(name=name, against=against, compared=0, worst=float("inf"), evidence=evidence)
    if torch.equal(got, want):
        return Comparison(name=name, against=against, compared=got.numel(), worst=0.0)
    apart = (got.double() - want.double()).abs()
    if within and bool((apart <= within).all()):
        return Comparison(name=name, against=against, compared=got.numel(), worst=float(apart.max()))
    differs = (got != want).nonzero()
    first = tuple(differs[0].tolist())
    return Comparison(
        name=name,
        against=against,
        compared=got.numel(),
        worst=float(apart.max()),
        evidence=(
            f"{len(differs):,} of {got.numel():,} numbers differ, first at [{','.join(map(str, first))}]: "
            f"{got[first].item():g}, expected {want[first].item():g}"
        ),
    )


def compare_all(name: str, against: str, pairs: Iterable[tuple[Any, Any]], *, within: float = 0.0) -> Comparison:
    """The first pair of tensors or plain numbers that differs, else all of them together."""
    compared, worst = 0, 0.0
    for got, want in pairs:
        left, right = (torch.as_tensor(one, dtype=torch.float64) for one in (got, want))
        found = compare(name, against, left, right, within=within)
        if not found.holds:
            return found
        compared, worst = compared + found.compared, max(worst, found.worst)
    return Comparison(name=name, against=against, compared=compared, worst=worst)


def _prove_cell(walk: Walk, within: float) -> tuple[Comparison, Comparison, Comparison, Comparison]:
    """What follows from the cell that is followed."""
    return (
        compare_all("cell", "slices of x and w", _cell(walk), within=within),
        compare_all("flipped", "F.conv2d with w.flip(2, 3)", _flipped(walk), within=within),
        compare_all("matrix", "slices", _matrix(walk), within=within),
        compare_all("fold", "x times the patches that read it", _fold(walk), within=within),
    )


def _check_total(walk: Walk, within: float) -> Comparison:
    cell = walk.cell
    pair = (walk.total, walk.y[cell.n, cell.k, cell.p, cell.q])
    return compare_all("loops", "the cell by its indices", [pair], within=within)


def _check_loops(walk: Walk, case: Case, within: float) -> Comparison:
    by_definition = _check_total(walk, within)
    if not by_definition.holds or naive_loops.why_not(case) is not None:
        return by_definition
    return compare(
        "loops", "every cell by its indices", naive_loops.fn(walk.x, walk.w, case.spec), walk.y, within=within
    )


def _pads(spec: ConvSpec) -> tuple[int, int, int, int]:
    top, bottom, left, right = spec.sides
    return (left, right, top, bottom)


def _group(walk: Walk) -> int:
    """The group of the cell's filter, looked up."""
    return int((torch.arange(walk.spec.k).reshape(walk.spec.groups, -1) == walk.cell.k).nonzero()[0, 0])


def _channels(walk: Walk) -> Tensor:
    """The channels of x that the cell reads."""
    return torch.arange(walk.spec.c).reshape(walk.spec.groups, -1)[_group(walk)]


def _patch(walk: Walk) -> tuple[slice, slice]:
    """The rows and the columns of padded x that the cell reads."""
    spec, cell = walk.spec, walk.cell
    (height, width), (dilation_h, dilation_w) = spec.kernel_extent, spec.dilation
    top, left = cell.p * spec.stride[0], cell.q * spec.stride[1]
    return slice(top, top + height, dilation_h), slice(left, left + width, dilation_w)


def _places(walk: Walk) -> tuple[Tensor, Tensor]:
    """Those rows and columns, counted in x."""
    spec = walk.spec
    rows, columns = (
        torch.arange(-before, size + after)[lines]
        for size, before, after, lines in zip(
            (spec.h, spec.w), spec.sides[::2], spec.sides[1::2], _patch(walk), strict=True
        )
    )
    return rows, columns


def _cell(walk: Walk) -> Pairs:
    spec, cell, channels = walk.spec, walk.cell, _channels(walk)
    rows, columns = _places(walk)
    image = walk.x[cell.n, channels]
    patch = F.pad(image, _pads(spec))[:, *_patch(walk)]  # (C/G, R, S)
    outside = F.pad(torch.zeros_like(image), _pads(spec), value=1.0)[:, *_patch(walk)]
    products = patch * walk.w[cell.k]
    yield walk.group, _group(walk)
    yield walk.rows, rows
    yield walk.columns, columns
    taps = torch.cartesian_prod(*(torch.arange(size) for size in products.shape))
    numbers = torch.stack((patch, walk.w[cell.k], outside, products), dim=3).flatten(0, 2)
    read = attrgetter(*(field.name for field in fields(Term)), "product")
    want = torch.cat((taps, torch.cartesian_prod(channels, rows, columns), numbers), dim=1)
    yield [read(term) for term in walk.terms], want
    yield walk.channel_sums, products.sum(dim=(1, 2))
    yield walk.total, products.sum()


def _flipped(walk: Walk) -> Pairs:
    spec, cell = walk.spec, walk.cell
    image, kernel = walk.x[cell.n, _channels(walk)], walk.w[cell.k]
    y = F.conv2d(F.pad(image, _pads(spec))[None], kernel.flip(1, 2)[None], None, spec.stride, 0, spec.dilation)
    yield walk.flipped, y[0, 0, cell.p, cell.q]


def _sizes(walk: Walk, conv2d: Tensor) -> Pairs:
    spec = walk.spec
    for i, axis in enumerate(walk.axes):
        before, after = spec.sides[2 * i : 2 * i + 2]
        given = [walk.x.shape[2 + i], before, after, spec.dilation[i], walk.w.shape[2 + i], spec.stride[i]]
        yield [axis.size, axis.padding, axis.padding_end, axis.dilation, axis.taps, axis.stride], given
        lines = torch.arange(axis.size + before + after)
        windows = lines.unfold(0, spec.kernel_extent[i], axis.stride)
        dense = lines.unfold(0, spec.kernel_extent[i], 1)
        yield [axis.positions] * 2, [len(windows), conv2d.shape[2 + i]]
        yield [axis.room, axis.rest], [len(dense) - 1, int(lines[-1] - windows[-1, -1])]
        reads = torch.bincount(windows[:, :: axis.dilation].flatten(), minlength=len(lines))
        reads = reads[axis.padding : axis.padding + axis.size]
        yield axis.readers, reads
        yield axis.unread, (reads == 0).nonzero().flatten()
    for variant in walk.variants:
        other = variant.spec
        padded = torch.zeros(()).expand([walk.x.shape[2 + i] + sum(other.sides[2 * i : 2 * i + 2]) for i in range(2)])
        extents = [other.dilation[i] * (walk.w.shape[2 + i] - 1) + 1 for i in range(2)]
        windows = padded.unfold(0, extents[0], other.stride[0]).unfold(1, extents[1], other.stride[1])
        yield [other.p, other.q], windows.shape[:2]


def _unfold(walk: Walk) -> Pairs:
    """Tap by tap, so no second patch matrix is held."""
    spec = walk.spec
    padded = F.pad(walk.x, _pads(spec))
    patches = walk.patches.reshape(spec.n, spec.c, spec.r, spec.s, spec.p, spec.q)
    for r in range(spec.r):
        rows = torch.arange(spec.p) * spec.stride[0] + r * spec.dilation[0]
        for s in range(spec.s):
            columns = torch.arange(spec.q) * spec.stride[1] + s * spec.dilation[1]
            yield patches[:, :, r, s], padded[:, :, rows[:, None], columns]


def _padding(walk: Walk) -> Pairs:
    spec = walk.spec
    ones = torch.ones((1, spec.c_per_group, spec.h, spec.w))
    yield ~walk.padding, unfold(ones, spec)[0]


def _matrix(walk: Walk) -> Pairs:
    spec, cell, group = walk.spec, walk.cell, _group(walk)
    yield walk.own, walk.patches[cell.n].unflatten(0, (spec.groups, -1))[group]
    rows = torch.arange(walk.patches.shape[1]).reshape(spec.groups, -1)[group]
    yield walk.first_row, rows[0]
    yield walk.taps, torch.cartesian_prod(_channels(walk), torch.arange(spec.r), torch.arange(spec.s))
    yield walk.position, torch.arange(walk.patches.shape[2]).reshape(spec.p, spec.q)[cell.p, cell.q]
    w_flat = F.unfold(walk.w, (spec.r, spec.s))[..., 0]  # each filter is one patch of itself
    yield walk.w_flat, w_flat if spec.groups == 1 else w_flat.unflatten(0, (spec.groups, -1))
    yield walk.w_row, w_flat[cell.k]
    yield walk.y_row, walk.y[cell.n, cell.k].flatten()
    yield walk.gemm, [walk.w_flat.shape[-2], len(walk.x) * walk.y_flat.shape[-1], len(rows)]
    nbytes = [walk.x_nbytes, walk.w_nbytes, walk.y_nbytes, walk.patches_nbytes]
    yield nbytes, [tensor.nbytes // 2 for tensor in (walk.x, walk.w, walk.y_flat, walk.patches)]  # fp32: half of fp64
    yield walk.growth, walk.patches.numel() / walk.x.numel()
    yield walk.w_is_view, walk.w.untyped_storage().data_ptr() == walk.w_flat.untyped_storage().data_ptr()
    yield walk.is_view, walk.y.untyped_storage().data_ptr() == walk.y_flat.untyped_storage().data_ptr()


def _fold(walk: Walk) -> Pairs:
    spec = walk.spec
    ones = walk.x.new_ones((1, 1, spec.h, spec.w))
    reads = fold(unfold(ones, spec), spec)[0, 0]
    rows, columns = (axis.readers for axis in walk.axes)
    yield rows[:, None] * columns, reads
    yield walk.folded, walk.x[walk.cell.n] * reads
    patch = F.pad(reads, _pads(spec))[_patch(walk)]
    row, column = divmod(int(patch.argmax()), spec.s)
    rows, columns = _places(walk)
    seen = [int(_channels(walk)[0]), int(rows[row]), int(columns[column])] if patch.any() else []
    yield [*(walk.seen or ()), walk.seen_readers], [*seen, int(patch.max())]


def _work(walk: Walk, terms: Tensor) -> Pairs:
    in_image = walk.spec.n * walk.spec.k * int(terms.sum())
    ledger = [walk.macs, walk.multiplications, walk.additions + walk.y_flat.numel()]
    yield ledger, [in_image + walk.on_padding] * 3
    yield walk.flops, walk.multiplications + walk.additions + walk.y_flat.numel()
