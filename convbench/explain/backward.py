"""What are the gradients of x and w on the same numbers? Step by step, and proved.

For a gradient g of y: the columns w^T g are folded back onto x, which sums where patches overlap, and
is a transposed convolution; the patches times g give the gradient of w.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.backends import naive_loops
from convbench.case import Case, Problem
from convbench.explain.geometry import channels, pad, window, windows
from convbench.explain.proof import compare, compare_all
from convbench.explain.steps import Cell, Comparison, Walk, flatten_kernel, measure_axes, place_taps
from convbench.ran.by_torch import convolve, fold
from convbench.spec import ConvSpec
from convbench.verify.oracle import count_terms, dgrad_float64, wgrad_float64


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientTerm:
    """One product of a gradient's sum.

    Attributes:
        place: of dx: k, r, s, p, q; of dw: n, h, w, p, q.
        operand: of dx the weight, of dw the pixel.
    """

    place: tuple[int, int, int, int, int]
    operand: float
    g: float

    @property
    def product(self) -> float:
        return self.operand * self.g


@dataclass(frozen=True, slots=True, kw_only=True)
class Backward:
    """dx (N, C, H, W) and dw (K, C/G, R, S) of y for g (N, K, P, Q), in float64.

    Attributes:
        pixel: (n, channel, h, w) of dx that is followed.
        tap: (k, c, r, s) of dw that is followed.
        columns: (N, C*R*S, P*Q), w^T g: the gradient of the patch matrix.
        overlaps: (H, W), F.fold of ones: how many patches hold each pixel.
        into_pixel: the products summed in the followed pixel.
        into_tap: those summed in the followed tap that are on the image.
        proof: empty until `prove` was asked.
    """

    spec: ConvSpec
    cell: Cell
    x: Tensor
    w: Tensor
    g: Tensor
    pixel: tuple[int, int, int, int]
    tap: tuple[int, int, int, int]
    columns: Tensor
    overlaps: Tensor
    dx: Tensor
    dw: Tensor
    into_pixel: tuple[GradientTerm, ...]
    into_tap: tuple[GradientTerm, ...]
    proof: tuple[Comparison, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it is proved and every comparison holds; only then may it be shown."""
        return bool(self.proof) and all(comparison.holds for comparison in self.proof)

    @property
    def group(self) -> int:
        return self.cell.k // self.spec.k_per_group

    @property
    def first_row(self) -> int:
        """Where the columns of the cell's group begin."""
        return self.group * self.spec.taps

    @property
    def own(self) -> Tensor:
        """(C/G*R*S, P*Q), the columns of the cell's image and group."""
        return self.columns[self.cell.n, self.first_row : self.first_row + self.spec.taps]

    @property
    def output_padding(self) -> tuple[int, int]:
        """What a transposed convolution must be told: the rows and columns that the stride leaves over."""
        rows, columns = (axis.rest for axis in measure_axes(self.spec))
        return rows, columns

    @property
    def multiplications(self) -> int:
        """Of each of the two gradients, padding counted."""
        return self.spec.macs


def gradient(spec: ConvSpec, seed: int = 0, *, ones: bool) -> Tensor:
    """g (N, K, P, Q) in float64: ones, or from -3..3 without zero."""
    if ones:
        return torch.ones(spec.y_shape, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.tensor([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0], dtype=torch.float64)[
        torch.randint(6, spec.y_shape, generator=generator)
    ]


def backward(walk: Walk, g: Tensor) -> Backward:
    """Both gradients of the walk's convolution for g (N, K, P, Q), then the proof."""
    spec, cell = walk.spec, walk.cell
    rows = g.reshape(spec.n, spec.groups, spec.k_per_group, spec.p * spec.q)
    kernels = flatten_kernel(walk.w, spec).reshape(spec.groups, spec.k_per_group, spec.taps)
    columns = (kernels.mT @ rows).flatten(1, 2)
    patches = walk.patches.unflatten(1, (spec.groups, -1))
    ones = torch.ones((1, spec.r * spec.s, spec.p * spec.q), dtype=torch.float64)
    channel, row, column = walk.seen or (walk.terms[0].channel, 0, 0)
    term = next((term for term in walk.terms if not term.padding), walk.terms[0])
    pixel, tap = (cell.n, channel, row, column), (cell.k, term.c, term.r, term.s)
    unproved = Backward(
        spec=spec,
        cell=cell,
        x=walk.x,
        w=walk.w,
        g=g,
        pixel=pixel,
        tap=tap,
        columns=columns,
        overlaps=fold(ones, spec)[0, 0],
        dx=fold(columns, spec),
        dw=torch.einsum("bgol,bgpl->gop", rows, patches).reshape(spec.w_shape),
        into_pixel=tuple(_into_pixel(walk.w, g, spec, pixel)),
        into_tap=tuple(_into_tap(walk.x, g, spec, tap)),
    )
    return replace(unproved, proof=tuple(prove(unproved)))


def _into_pixel(w: Tensor, g: Tensor, spec: ConvSpec, pixel: tuple[int, int, int, int]) -> Iterator[GradientTerm]:
    """By the index formula: the (p, r) and (q, s) whose tap falls on the pixel."""
    n, channel, h, w_ = pixel
    group, c = divmod(channel, spec.c_per_group)
    down, across = (
        (place_taps(axis) == place).nonzero().tolist() for axis, place in zip(measure_axes(spec), (h, w_), strict=True)
    )
    for k in range(group * spec.k_per_group, (group + 1) * spec.k_per_group):
        for r, p in down:
            for s, q in across:
                yield GradientTerm(place=(k, r, s, p, q), operand=w[k, c, r, s].item(), g=g[n, k, p, q].item())


def _into_tap(x: Tensor, g: Tensor, spec: ConvSpec, tap: tuple[int, int, int, int]) -> Iterator[GradientTerm]:
    """By the index formula: what the tap reads for each output of its filter."""
    k, c, r, s = tap
    channel = k // spec.k_per_group * spec.c_per_group + c
    down, across = (place_taps(axis)[one].tolist() for axis, one in zip(measure_axes(spec), (r, s), strict=True))
    for n in range(spec.n):
        for p, row in enumerate(down):
            for q, column in enumerate(across):
                if 0 <= row < spec.h and 0 <= column < spec.w:
                    yield GradientTerm(
                        place=(n, row, column, p, q),
                        operand=x[n, channel, row, column].item(),
                        g=g[n, k, p, q].item(),
                    )


def prove(found: Backward) -> Iterator[Comparison]:
    """Every number by another way: autograd, a transposed convolution, the definition, slices of padded tensors."""
    spec, x, w, g = found.spec, found.x, found.w, found.g
    dx, dw = _autograd(x, w, g, spec)
    yield compare("dx", "autograd of F.conv2d", found.dx, dx)
    yield compare("dw", "autograd of F.conv2d", found.dw, dw)
    top, _, left, _ = spec.sides
    whole = F.conv_transpose2d(g, w, None, spec.stride, 0, found.output_padding, spec.groups, spec.dilation)
    yield compare("dx", "F.conv_transpose2d", found.dx, whole[..., top : top + spec.h, left : left + spec.w])
    yield compare("dx", "w times g, added weight by weight", found.dx, dgrad_float64(g, w, spec))
    yield compare("dw", "shifted views of x times g", found.dw, wgrad_float64(g, x, spec))
    case = Case(problem=Problem(suite="shape", name=str(spec), spec=spec))
    if naive_loops.naive_loops.why_not(case) is None:
        yield compare("dx", "its definition by loops", found.dx, naive_loops.dgrad(g, w, spec))
        yield compare("dw", "its definition by loops", found.dw, naive_loops.wgrad(g, x, spec))
    yield compare("columns", "the gradient of the patches", found.columns, _gradient_of_patches(found))
    yield compare("overlaps", "outputs that read a pixel", found.overlaps, _readers(spec))
    yield compare_all("places", "the walk's cell", _places(found))
    yield compare_all("own", "the columns of the cell's group", [(found.own, _own(found))])
    yield compare_all("pixel", "slices of g and w", _pixel_again(found))
    yield compare_all("tap", "slices of padded x and of g", _tap_again(found))
    work = prod(g.shape) * w[0].numel()
    yield compare_all("work", "sizes of g and of a filter", [(found.multiplications, work)])


def _autograd(x: Tensor, w: Tensor, g: Tensor, spec: ConvSpec) -> tuple[Tensor, Tensor]:
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    convolve(x, w, spec).backward(g)
    assert x.grad is not None
    assert w.grad is not None
    return x.grad, w.grad


def _gradient_of_patches(found: Backward) -> Tensor:
    """Filter by filter: each tap's weight times each output's g."""
    spec = found.spec
    weights = found.w.flatten(1).reshape(spec.groups, 1, spec.k_per_group, spec.taps, 1)
    outputs = found.g.flatten(2).reshape(spec.n, spec.groups, spec.k_per_group, 1, -1)
    columns = torch.zeros((spec.n, spec.groups, spec.taps, outputs.shape[-1]), dtype=torch.float64)
    for k in range(spec.k_per_group):
        columns += weights[:, 0, k] * outputs[:, :, k]
    return columns.flatten(1, 2)


def _readers(spec: ConvSpec) -> Tensor:
    return count_terms(spec, "dgrad") / spec.k_per_group


def _places(found: Backward) -> Iterator[tuple[Any, Any]]:
    """The pixel and the tap: of the cell's image, group and filter, and one that the cell reads if there is one."""
    spec, cell = found.spec, found.cell
    own = channels(spec, cell)
    (n, channel, h, w), (k, c, r, s) = found.pixel, found.tap
    yield [n, k], [cell.n, cell.k]
    yield int((own == channel).sum()), 1
    numbered = torch.arange(1, spec.h * spec.w + 1, dtype=torch.float64).reshape(1, 1, spec.h, spec.w)
    reads = pad(numbered, spec)[0, 0][window(spec, cell.p, cell.q)]
    read = [int(one) for one in reads.flatten() if one]
    yield bool(read) <= (int(numbered[0, 0, h, w]) in read), True
    on_image = reads > 0
    yield bool(on_image.any()) <= bool(on_image[r, s]), True
    yield 0 <= c < len(own), True
    counts = _readers(spec)
    if read:
        yield counts[h, w], counts.flatten()[torch.tensor(read) - 1].max()
    yield found.group, _group(found)
    yield found.first_row, _group(found) * len(own) * spec.r * spec.s
    height, width = spec.kernel_extent
    sizes = [(spec.p - 1) * spec.stride[0] + height, (spec.q - 1) * spec.stride[1] + width]
    padded = pad(numbered, spec).shape[2:]
    yield found.output_padding, [padded[0] - sizes[0], padded[1] - sizes[1]]


def _own(found: Backward) -> Tensor:
    grouped: Tensor = _gradient_of_patches(found)[found.cell.n].unflatten(0, (found.spec.groups, -1))
    return grouped[_group(found)]


def _group(found: Backward) -> int:
    """The group of the cell's filter, looked up."""
    return int((torch.arange(found.spec.k).reshape(found.spec.groups, -1) == found.cell.k).nonzero()[0, 0])


def _pixel_again(found: Backward) -> Iterator[tuple[Any, Any]]:
    """Every (k, r, s, p, q) whose window of the numbered image holds the pixel's number."""
    spec, (n, channel, h, w) = found.spec, found.pixel
    numbered = torch.arange(1, spec.h * spec.w + 1, dtype=torch.float64).reshape(1, 1, spec.h, spec.w)
    views = windows(numbered, spec)[0, 0]  # (P, Q, R, S)
    places = (views.permute(2, 0, 3, 1) == numbered[0, 0, h, w]).nonzero()  # r, p, s, q
    group = channel // spec.c_per_group
    filters = torch.arange(spec.k).reshape(spec.groups, -1)[group]
    r, p, s, q = places.unbind(1)
    want = [
        torch.stack(
            (torch.full_like(r, k), r, s, p, q, found.w[k, channel % spec.c_per_group, r, s], found.g[n, k, p, q]),
            dim=1,
        )
        for k in filters.tolist()
    ]
    got = [[*part.place, part.operand, part.g, part.product] for part in found.into_pixel]
    wanted = torch.cat(want)
    yield got or torch.zeros(0, 8), torch.cat((wanted, wanted[:, 5:6] * wanted[:, 6:]), dim=1)
    yield sum(part.product for part in found.into_pixel), found.dx[found.pixel]
    yield len(found.into_pixel), found.overlaps[h, w] * len(filters)


def _tap_again(found: Backward) -> Iterator[tuple[Any, Any]]:
    """The tap's view of padded x, its places numbered in a second view, without padding."""
    spec, (k, c, r, s) = found.spec, found.tap
    channel = int(channels(spec, replace(found.cell, k=k))[c])
    numbered = torch.arange(1, spec.h * spec.w + 1, dtype=torch.float64).reshape(1, 1, spec.h, spec.w)
    number = windows(numbered, spec)[0, 0, :, :, r, s]
    pixels = windows(found.x, spec)[:, channel, :, :, r, s]
    n, p, q = (number > 0).expand(pixels.shape).nonzero().unbind(1)
    at = number[p, q].long() - 1
    pixel, g = pixels[n, p, q], found.g[n, k, p, q]
    want = torch.stack((n, at // spec.w, at % spec.w, p, q, pixel, g, pixel * g), dim=1)
    got = [[*part.place, part.operand, part.g, part.product] for part in found.into_tap]
    yield got or torch.zeros(0, 8), want
    yield sum(part.product for part in found.into_tap), found.dw[found.tap]
