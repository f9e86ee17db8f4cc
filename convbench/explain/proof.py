"""Is every number of the walk right? Each is compared with another way to it, over whole tensors.

x and w are whole numbers, so float64 sums are exact in any order and equal means equal.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.backends.naive_loops import naive_loops
from convbench.case import Case, Problem
from convbench.explain.steps import (
    Axis,
    Cell,
    Comparison,
    Multiplied,
    OneCell,
    Reshaped,
    Unfolded,
    Variant,
)
from convbench.spec import ConvSpec
from convbench.verify.check import conditions, make_exam


def prove(
    x: Tensor,
    w: Tensor,
    spec: ConvSpec,
    cell: Cell,
    one_cell: OneCell,
    axes: tuple[Axis, Axis],
    variants: tuple[Variant, ...],
    unfolded: Unfolded,
    multiplied: Multiplied,
    reshaped: Reshaped,
) -> tuple[Comparison, ...]:
    """Every comparison, in the order of the steps."""
    case = Case(problem=Problem(suite="shape", name=str(spec), spec=spec))
    exam = make_exam(case, x.float(), w.float())
    with conditions(case):
        conv2d = _conv2d(x, w, spec)
        single = _conv2d(exam.x, exam.w, spec)
    y = reshaped.y
    return (
        _check_loops(x, w, case, cell, one_cell, y),
        _check_flipped(x, w, spec, cell, one_cell),
        _check_sizes(spec, axes, variants),
        _check_unfold(x, spec, unfolded),
        _check_padding(spec, unfolded),
        _check_fold(x, spec, cell, axes, reshaped),
        _check_work(spec, multiplied, exam.truth.terms),
        compare("einsum", "F.conv2d in float64", y, conv2d),
        compare("oracle", "shifted views of x, summed", y, exam.truth.y),
        Comparison(
            name="float32",
            against="its bound around float64",
            compared=y.numel(),
            worst=float((single.double() - exam.truth.y).abs().max()),
            evidence=exam.check(single, "vendor").evidence,
        ),
    )


def compare(name: str, against: str, got: Tensor, want: Tensor) -> Comparison:
    """Whether two tensors of one shape hold the same numbers; NaN is equal to nothing."""
    if got.shape != want.shape:
        evidence = f"shape {tuple(got.shape)}, expected {tuple(want.shape)}"
        return Comparison(name=name, against=against, compared=0, worst=float("inf"), evidence=evidence)
    if torch.equal(got, want):
        return Comparison(name=name, against=against, compared=got.numel(), worst=0.0)
    differs = (got != want).flatten()
    first = int(differs.nonzero()[0])
    place = ",".join(str(int(i)) for i in torch.unravel_index(torch.tensor(first), got.shape))
    return Comparison(
        name=name,
        against=against,
        compared=got.numel(),
        worst=float((got.double() - want.double()).abs().max()),
        evidence=(
            f"{int(differs.sum()):,} of {got.numel():,} numbers differ, first at [{place}]: "
            f"{got.flatten()[first].item():g}, expected {want.flatten()[first].item():g}"
        ),
    )


def _conv2d(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def _check_loops(x: Tensor, w: Tensor, case: Case, cell: Cell, one_cell: OneCell, y: Tensor) -> Comparison:
    here = y[cell.n, cell.k, cell.p, cell.q]
    total = torch.tensor(one_cell.total, dtype=torch.float64)
    by_definition = compare("loops", "the cell by its indices", total, here)
    if not by_definition.holds or naive_loops.why_not(case) is not None:
        return by_definition
    loops = naive_loops.fn(x, w, case.spec)
    return compare("loops", "every cell by its indices", loops, y)


def _check_flipped(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell, one_cell: OneCell) -> Comparison:
    y = _conv2d(x[cell.n : cell.n + 1], w.flip(2, 3), spec)
    got = torch.tensor(one_cell.flipped, dtype=torch.float64)
    return compare("flipped", "F.conv2d with w.flip(2, 3)", got, y[0, cell.k, cell.p, cell.q])


def _check_sizes(spec: ConvSpec, axes: tuple[Axis, Axis], variants: tuple[Variant, ...]) -> Comparison:
    sizes = [(axes[0].positions, axes[1].positions), *((variant.spec.p, variant.spec.q) for variant in variants)]
    problems = [spec, *(variant.spec for variant in variants)]
    shapes = [
        _conv2d(
            torch.zeros((1, 1, one.h, one.w)), torch.zeros((1, 1, one.r, one.s)), replace(one, n=1, c=1, k=1, groups=1)
        )
        for one in problems
    ]
    return compare("sizes", "F.conv2d's own shapes", torch.tensor(sizes), torch.tensor([y.shape[2:] for y in shapes]))


def _check_unfold(x: Tensor, spec: ConvSpec, unfolded: Unfolded) -> Comparison:
    """Tap by tap, so that no second patch matrix is held."""
    (stride_h, stride_w), (dilation_h, dilation_w) = spec.stride, spec.dilation
    pad_h, pad_w = spec.padding
    padded = F.pad(x, (pad_w, pad_w, pad_h, pad_h))
    patches = unfolded.patches.reshape(spec.n, spec.c, spec.r, spec.s, spec.p, spec.q)
    against = "x by the index formula"
    for r in range(spec.r):
        rows = torch.arange(spec.p) * stride_h + r * dilation_h
        for s in range(spec.s):
            columns = torch.arange(spec.q) * stride_w + s * dilation_w
            found = compare("unfold", against, patches[:, :, r, s], padded[:, :, rows[:, None], columns])
            if not found.holds:
                return found
    return Comparison(name="unfold", against=against, compared=patches.numel(), worst=0.0)


def _check_padding(spec: ConvSpec, unfolded: Unfolded) -> Comparison:
    ones = torch.ones((1, spec.c_per_group, spec.h, spec.w))
    inside = F.unfold(ones, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)[0]
    return compare("padding", "F.unfold of ones", ~unfolded.padding, inside.bool())


def _check_fold(x: Tensor, spec: ConvSpec, cell: Cell, axes: tuple[Axis, Axis], reshaped: Reshaped) -> Comparison:
    rows, columns = (torch.tensor(axis.readers, dtype=torch.float64) for axis in axes)
    want = x[cell.n] * (rows[:, None] * columns)
    assert want.shape == (spec.c, spec.h, spec.w)
    return compare("fold", "x times its readers", reshaped.folded, want)


def _check_work(spec: ConvSpec, multiplied: Multiplied, terms: Tensor) -> Comparison:
    in_image = spec.n * spec.k * int(terms.sum())
    outputs = multiplied.y_flat.numel()
    ledger = [multiplied.macs, multiplied.multiplications, multiplied.additions + outputs]
    against = "products in x and on padding"
    return compare("work", against, torch.tensor(ledger), torch.tensor([in_image + multiplied.on_padding] * 3))
