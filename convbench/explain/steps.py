"""What is there to see in each step of the walk from operands to output?

Every step is a value, computed once and drawn elsewhere. Tensors are float64 and hold whole
tensors, not windows of them. A tap is one (c, r, s) of a kernel; a position is one (p, q) of
an output.
"""

from dataclasses import dataclass

from torch import Tensor

from convbench.spec import ConvSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The output y[n, k, p, q] that the walk follows, and the group of its filter."""

    n: int
    k: int
    p: int
    q: int
    group: int


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
    product: float
    padding: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCell:
    """The cell by the definition: a sum over c, r, s.

    Attributes:
        terms: in the order (c, r, s), C/G*R*S of them.
        channel_sums: the sum over r and s for each c.
        rows, columns: where the taps fall, for r = 0.. and s = 0..; negative is padding.
        flipped: what the cell would hold if the kernel were flipped, as in a true convolution.
    """

    terms: tuple[Term, ...]
    channel_sums: tuple[float, ...]
    total: float
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    flipped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How many positions a kernel has along one axis, and how often each input line is read.

    Attributes:
        letters: of the output size, the input size and the kernel size: P H R or Q W S.
        room: size + 2*padding - dilation*(taps - 1) - 1, what the stride divides.
        rest: what the floor of room / stride drops.
        positions: the output size.
        readers: for each row or column of x, how many (position, tap) pairs read it.
    """

    letters: tuple[str, str, str]
    size: int
    padding: int
    dilation: int
    taps: int
    stride: int
    room: int
    rest: int
    positions: int
    readers: tuple[int, ...]

    @property
    def unread(self) -> tuple[int, ...]:
        """Rows or columns of x that no output reads."""
        return tuple(line for line, count in enumerate(self.readers) if not count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The output size when one parameter is another."""

    change: str
    spec: ConvSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfolded:
    """x as a matrix with one column for each position.

    Attributes:
        patches: (N, C*R*S, P*Q).
        own: (C/G*R*S, P*Q), the rows of the cell's image that the cell's group reads.
        first_row: where `own` begins in `patches`.
        taps: (channel of x, r, s) for each row of `own`.
        padding: (C/G*R*S, P*Q) bool, the zeros that stand for padding.
        column: l = p*Q + q of the cell.
        x_nbytes, patches_nbytes, growth: in fp32, and the ratio of the two.
    """

    patches: Tensor
    own: Tensor
    first_row: int
    taps: tuple[tuple[int, int, int], ...]
    padding: Tensor
    column: int
    x_nbytes: int
    patches_nbytes: int
    growth: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiplied:
    """The kernel as a matrix, and its product with the patches.

    Attributes:
        formula: what torch.einsum was given.
        w_flat: (K, C*R*S), or (G, K/G, C/G*R*S) in groups.
        w_row: (C/G*R*S,), the cell's filter.
        y_flat: (N, K, P*Q), or (N, G, K/G, P*Q) in groups.
        y_row: (P*Q,), what the cell's filter gives for the cell's image.
        gemm: M, N, K of each group's product.
        multiplications: one for each tap of each output, padding counted.
        additions: one less than the taps, for each output.
        on_padding: the multiplications by a zero of the padding.
    """

    formula: str
    w_flat: Tensor
    w_row: Tensor
    y_flat: Tensor
    y_row: Tensor
    gemm: tuple[int, int, int]
    macs: int
    multiplications: int
    additions: int
    on_padding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshaped:
    """The output, and what F.fold gives in its place.

    Attributes:
        y: (N, K, P, Q).
        is_view: whether the reshape moved no number.
        folded: (C, H, W), F.fold of the patches of the cell's image.
        seen: the number of x that most patches read, of those the cell reads, as (channel, row,
            column); None when the cell reads only padding.
        readers: how many patches read it.
    """

    y: Tensor
    is_view: bool
    folded: Tensor
    seen: tuple[int, int, int] | None
    readers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two ways to the same numbers, compared one by one.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The seven steps of one problem on x (N, C, H, W) and w (K, C/G, R, S), and their proof."""

    spec: ConvSpec
    cell: Cell
    x: Tensor
    w: Tensor
    one_cell: OneCell
    axes: tuple[Axis, Axis]
    variants: tuple[Variant, ...]
    unfolded: Unfolded
    multiplied: Multiplied
    reshaped: Reshaped
    proof: tuple[Comparison, ...]

    @property
    def holds(self) -> bool:
        """Whether every comparison holds; only then may the walk be shown."""
        return all(comparison.holds for comparison in self.proof)
