"""What does each step of the walk from operands to output show?

Independent results are stored, as whole tensors in float64; what follows from them is a
property. A tap is one (c, r, s) of a kernel; a position is one (p, q) of an output.
"""

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.spec import ITEM_NBYTES, ConvSpec, pair_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The output y[n, k, p, q] that the walk follows."""

    n: int
    k: int
    p: int
    q: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One product of the cell: x[n, channel, row, column] * w[k, c, r, s].

    Attributes:
        c: channel of the kernel, counted within the group; `channel` is the same one in x.
        padding: whether (row, column) lies outside the image, where x is zero.
    """

    c: int
    r: int
    s: int
    channel: int
    row: int
    column: int
    x: float
    w: float
    padding: bool

    @property
    def product(self) -> float:
        return self.x * self.w


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingAxis:
    """How many positions a kernel has along one axis, and how often each input line is read.

    Attributes:
        letters: of the output size, the input size and the kernel size: P H R or Q W S.
        padding, padding_end: before the first row or column, and after the last.
    """

    letters: tuple[str, str, str]
    size: int
    padding: int
    padding_end: int
    dilation: int
    taps: int
    stride: int

    @property
    def lines(self) -> int:
        """Rows or columns of x with its padding."""
        return self.size + self.padding + self.padding_end

    @property
    def room(self) -> int:
        """What the stride divides."""
        return self.lines - self.dilation * (self.taps - 1) - 1

    @property
    def rest(self) -> int:
        """What the floor of room / stride drops."""
        return self.room % self.stride

    @property
    def positions(self) -> int:
        """The output size."""
        return self.room // self.stride + 1

    @property
    def readers(self) -> Tensor:
        """(size,) int: for each row or column of x, how many (position, tap) pairs read it."""
        reads = torch.zeros(self.size, dtype=torch.int64)
        # Tap by tap or position by position, whichever are fewer: what each reads is an evenly spaced slice.
        by_tap, by_position = (self.taps, self.dilation), (self.positions, self.stride)
        (slices, apart), (length, every) = sorted((by_tap, by_position))
        for i in range(slices):
            start = i * apart - self.padding
            stop = start + (length - 1) * every + 1
            reads[start if start >= 0 else start % every : max(0, stop) : every] += 1
        return reads

    @property
    def unread(self) -> tuple[int, ...]:
        """Rows or columns of x that no output reads."""
        return tuple((self.readers == 0).nonzero().flatten().tolist())


def measure_axes(spec: ConvSpec) -> tuple[SlidingAxis, SlidingAxis]:
    """The output-size formula with its values, for the rows and for the columns."""
    rows, columns = (
        SlidingAxis(
            letters=letters,
            size=size,
            padding=spec.padding[axis],
            padding_end=spec.end[axis],
            dilation=spec.dilation[axis],
            taps=taps,
            stride=spec.stride[axis],
        )
        for axis, (letters, size, taps) in enumerate(
            ((("P", "H", "R"), spec.h, spec.r), (("Q", "W", "S"), spec.w, spec.s))
        )
    )
    return rows, columns


def place_taps(axis: SlidingAxis) -> Tensor:
    """(taps, positions): the row or column of x that each tap reads at each position; outside is padding."""
    return torch.arange(axis.positions) * axis.stride - axis.padding + torch.arange(axis.taps)[:, None] * axis.dilation


def inside(axis: SlidingAxis) -> Tensor:
    """(taps, positions) bool: where that row or column is one of x."""
    lines = place_taps(axis)
    return (lines >= 0) & (lines < axis.size)


def most_read(axis: SlidingAxis, lines: tuple[int, ...]) -> int | None:
    """The first of those lines of x that most patches read; None if all are padding."""
    of_x = [line for line in lines if 0 <= line < axis.size]
    return of_x[int(axis.readers[of_x].argmax())] if of_x else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The problem when one parameter is another."""

    name: str
    spec: ConvSpec

    @property
    def change(self) -> str:
        return f"{self.name} {pair_text(getattr(self.spec, self.name))}"


def vary(spec: ConvSpec) -> tuple[Variant, ...]:
    """The problem with another stride, dilation or padding, where it still has an output."""
    variants = []
    for name, usual, other in (("stride", 1, 2), ("dilation", 1, 2), ("padding", 0, 1)):
        value = other if getattr(spec, name) == (usual, usual) else usual
        try:
            end = None if name == "padding" else spec.padding_end
            changed = replace(spec, **{name: (value, value), "padding_end": end})  # type: ignore[arg-type]  # only pairs are named
        except ConvbenchError:
            continue  # the dilated kernel has outgrown the input
        variants.append(Variant(name=name, spec=changed))
    return tuple(variants)


def name_formula(spec: ConvSpec) -> str:
    """What torch.einsum is given: b image, g group, o output channel, p tap, l position."""
    return "bpl,op->bol" if spec.groups == 1 else "bgpl,gop->bgol"


def flatten_kernel(w: Tensor, spec: ConvSpec) -> Tensor:
    """(K, C*R*S), or (G, K/G, C/G*R*S) in groups."""
    return w.reshape(spec.k, -1) if spec.groups == 1 else w.reshape(spec.groups, spec.k_per_group, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two computations of the same numbers, compared one by one.

    Attributes:
        name: what was checked.
        against: what it was compared with.
        compared: how many numbers.
        worst: the largest difference.
        evidence: what differs; None when nothing does.
    """

    name: str
    against: str
    compared: int
    worst: float
    evidence: str | None = None

    @property
    def holds(self) -> bool:
        return self.evidence is None


class UnprovedError(Exception):
    """A comparison of a walk fails, so the walk may not be shown."""

    def __init__(self, failures: tuple[Comparison, ...]) -> None:
        super().__init__("; ".join(f"{one.name} fails: {one.evidence}" for one in failures))
        self.failures = failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The seven steps of one problem on x (N, C, H, W) and w (K, C/G, R, S), and their proof.

    Attributes:
        terms: of the cell by the definition, in the order (c, r, s); C/G*R*S of them.
        patches: (N, C*R*S, P*Q), x as a matrix with one column for each position.
        padding: (C/G*R*S, P*Q) bool, the zeros of `own` that stand for padding.
        y_flat: (N, K, P*Q), or (N, G, K/G, P*Q) in groups: the flattened kernel times the patches.
        folded: (C, H, W), F.fold of the patches of the cell's image.
        proof: empty until `prove` was asked.
    """

    spec: ConvSpec
    cell: Cell
    x: Tensor
    w: Tensor
    terms: tuple[Term, ...]
    patches: Tensor
    padding: Tensor
    y_flat: Tensor
    folded: Tensor
    proof: tuple[Comparison, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it is proved and every comparison holds; only then may the walk be shown."""
        return bool(self.proof) and not self.failures

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """The comparisons that do not hold."""
        return tuple(comparison for comparison in self.proof if not comparison.holds)

    @property
    def group(self) -> int:
        """The group of the cell's filter."""
        return self.cell.k // self.spec.k_per_group

    # One cell, by loops.

    @property
    def rows(self) -> tuple[int, ...]:
        """Where the taps r = 0.. fall; negative is padding."""
        return tuple(term.row for term in self.terms[: self.spec.r * self.spec.s : self.spec.s])

    @property
    def columns(self) -> tuple[int, ...]:
        """Where the taps s = 0.. fall; negative is padding."""
        return tuple(term.column for term in self.terms[: self.spec.s])

    def terms_of(self, c: int) -> tuple[Term, ...]:
        """Those of one channel of the kernel."""
        size = self.spec.r * self.spec.s
        return self.terms[c * size : (c + 1) * size]

    @property
    def channel_sums(self) -> tuple[float, ...]:
        """The sum over r and s for each c."""
        return tuple(sum(term.product for term in self.terms_of(c)) for c in range(self.spec.c_per_group))

    @property
    def total(self) -> float:
        return sum(self.channel_sums)

    @property
    def flipped(self) -> float:
        """What the cell would hold if the kernel were flipped, as in a true convolution."""
        return sum(
            term.x * mirrored.w
            for terms in map(self.terms_of, range(self.spec.c_per_group))
            for term, mirrored in zip(terms, reversed(terms), strict=True)
        )

    # Positions.

    @property
    def axes(self) -> tuple[SlidingAxis, SlidingAxis]:
        return measure_axes(self.spec)

    @property
    def variants(self) -> tuple[Variant, ...]:
        return vary(self.spec)

    # Unfold.

    @property
    def first_row(self) -> int:
        """Where `own` begins in the patches."""
        return self.group * self.spec.taps

    @property
    def own(self) -> Tensor:
        """(C/G*R*S, P*Q), the patch rows of the cell's image that the cell's group reads."""
        return self.patches[self.cell.n, self.first_row : self.first_row + self.spec.taps]

    @property
    def taps(self) -> tuple[tuple[int, int, int], ...]:
        """(channel of x, r, s) for each row of `own`."""
        return tuple((term.channel, term.r, term.s) for term in self.terms)

    @property
    def position(self) -> int:
        """The cell's column l = p*Q + q of the patches."""
        return self.cell.p * self.spec.q + self.cell.q

    @property
    def x_nbytes(self) -> int:
        """In fp32."""
        return prod(self.spec.x_shape) * ITEM_NBYTES["fp32"]

    @property
    def w_nbytes(self) -> int:
        """In fp32."""
        return prod(self.spec.w_shape) * ITEM_NBYTES["fp32"]

    @property
    def y_nbytes(self) -> int:
        """In fp32."""
        return prod(self.spec.y_shape) * ITEM_NBYTES["fp32"]

    @property
    def patches_nbytes(self) -> int:
        """In fp32."""
        return self.spec.patch_matrix_nbytes("fp32")

    @property
    def growth(self) -> float:
        return self.patches_nbytes / self.x_nbytes

    # Flatten and multiply.

    @property
    def formula(self) -> str:
        return name_formula(self.spec)

    @property
    def w_flat(self) -> Tensor:
        return flatten_kernel(self.w, self.spec)

    @property
    def w_is_view(self) -> bool:
        """Whether flattening the kernel moved no number."""
        return self.w_flat.data_ptr() == self.w.data_ptr()

    @property
    def w_row(self) -> Tensor:
        """(C/G*R*S,), the cell's filter."""
        return self.w_flat.reshape(self.spec.k, -1)[self.cell.k]

    @property
    def y_row(self) -> Tensor:
        """(P*Q,), what the cell's filter gives for the cell's image."""
        return self.y_flat.reshape(self.spec.n, self.spec.k, -1)[self.cell.n, self.cell.k]

    @property
    def gemm(self) -> tuple[int, int, int]:
        """M, N, K of each group's product."""
        return self.spec.gemm

    @property
    def macs(self) -> int:
        return self.spec.macs

    @property
    def flops(self) -> int:
        return self.spec.flops

    @property
    def multiplications(self) -> int:
        """One for each tap of each output, padding counted."""
        return prod(self.spec.y_shape) * self.spec.taps

    @property
    def additions(self) -> int:
        """One less than the taps, for each output."""
        return prod(self.spec.y_shape) * (self.spec.taps - 1)

    @property
    def on_padding(self) -> int:
        """The multiplications by a zero of the padding."""
        return int(self.padding.sum()) * self.spec.n * self.spec.k

    # Reshape.

    @property
    def y(self) -> Tensor:
        """(N, K, P, Q)."""
        return self.y_flat.reshape(self.spec.y_shape)

    @property
    def is_view(self) -> bool:
        """Whether the reshape moved no number."""
        return self.y.data_ptr() == self.y_flat.data_ptr()

    @property
    def seen(self) -> tuple[int, int, int] | None:
        """(channel, row, column) of the number of x that most patches read, of those the cell reads.

        None when the cell reads only padding.
        """
        row, column = (most_read(axis, lines) for axis, lines in zip(self.axes, (self.rows, self.columns), strict=True))
        return None if row is None or column is None else (self.terms[0].channel, row, column)

    @property
    def seen_readers(self) -> int:
        """How many patches read it."""
        seen = self.seen
        if seen is None:
            return 0
        _, row, column = seen
        return int(self.axes[0].readers[row] * self.axes[1].readers[column])


def is_whole(walk: Walk) -> bool:
    """Whether x and w hold whole numbers alone, so small that every sum is exact in float64."""
    largest = float(walk.x.abs().max()) * float(walk.w.abs().max()) * walk.spec.taps
    return largest < 2.0**53 and all(bool((one == one.round()).all()) for one in (walk.x, walk.w))
