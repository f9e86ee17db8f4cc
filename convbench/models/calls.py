"""What is one convolution of a model: its kind, its sizes, its work?

A transposed convolution is the dgrad of a problem, a 1-D one a problem of a single row. A model may hold 3-D ones and
those of integers too, which no backend here computes; they are counted and have no `spec`.
"""

import re
from dataclasses import dataclass, replace
from math import prod

from convbench.errors import ConvbenchError
from convbench.models.reach import Extent
from convbench.spec import ITEM_NBYTES, ConvSpec, pair_text

Sizes = tuple[int, ...]
Ends = tuple[Sizes, Sizes]  # how many zeros stand before and after each axis of an image


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The numbers of one convolution of any number of dimensions; equal ones are one row of the table.

    Attributes:
        x: (N, C, *sizes).
        w: (K, C/G, *kernel), transposed (C, K/G, *kernel).
        y: (N, K, *sizes).
        padding: for each axis.
        padding_after: the same, but at the end of each axis.
        integers: it is of integers, as in a quantised model.
        dtype: of x, as in --dtype; torch's own name where convbench has none.
        layout: nhwc if x or w is in channels_last, which is what torch goes by.
    """

    x: Sizes
    w: Sizes
    y: Sizes
    stride: Sizes
    padding: Sizes
    padding_after: Sizes
    dilation: Sizes
    groups: int = 1
    transposed: bool = False
    integers: bool = False
    dtype: str = "fp32"
    layout: str = "nchw"

    @property
    def kind(self) -> str:
        """`conv2d`, `conv_transpose3d`."""
        return f"conv{'_transpose' * self.transposed}{len(self.x) - 2}d"

    @property
    def why_no_spec(self) -> str | None:
        """Why this is not a problem for `bench` and `verify`, or None."""
        if self.integers:
            return f"{self.kind} of integers"
        if len(self.x) > 4:
            return self.kind
        try:
            self.spec  # noqa: B018  # what it raises is the answer
        except ConvbenchError as error:
            return str(error)
        return None

    @property
    def spec(self) -> ConvSpec:
        """The problem; of a transposed convolution the one whose dgrad it is. A 1-D one is a single row."""
        rows = 4 - len(self.x)  # that are missing

        def pairs(sizes: Sizes, usual: int) -> Sizes:
            return (usual,) * rows + sizes

        # A transposed convolution maps the outputs of its forward problem to the image.
        (n, c, *image), (_, k, *outputs) = (self.y, self.x) if self.transposed else (self.x, self.y)
        (h, w), (r, s) = pairs(tuple(image), 1), pairs(self.w[2:], 1)
        found = ConvSpec(
            n=n,
            c=c,
            h=h,
            w=w,
            k=k,
            r=r,
            s=s,
            stride=pairs(self.stride, 1),
            padding=pairs(self.padding, 0),
            padding_end=pairs(self.padding_after, 0),
            dilation=pairs(self.dilation, 1),
            groups=self.groups,
        )
        if found.y_shape[2:] != pairs(tuple(outputs), 1):
            raise ConvbenchError(f"{self.kind} whose output_padding is not below its stride: not the dgrad of {found}")
        return found

    def unpadded(self, zeros: Ends) -> "Shape":
        """The same convolution of x before these zeros were put around it."""
        sizes = zip(self.x[2:], *zeros, strict=True)
        before, after = add_ends((self.padding, self.padding_after), zeros)
        image = (size - start - end for size, start, end in sizes)
        return replace(self, x=(*self.x[:2], *image), padding=before, padding_after=after)

    @property
    def pass_(self) -> str:
        """The pass of `spec` that it is."""
        return "dgrad" if self.transposed else "fprop"

    @property
    def macs(self) -> int:
        """Multiply-adds, padding counted.

        Each output takes C/G*R*S of them; in a transposed convolution each input gives K/G*R*S.
        """
        return prod(self.x if self.transposed else self.y) * prod(self.w[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of x, w and y, each once."""
        return (prod(self.x) + prod(self.w) + prod(self.y)) * item_nbytes(self.dtype)

    @property
    def intensity(self) -> float:
        """Operations (two for each multiply-add) for each byte that must be moved at the least."""
        return 2 * self.macs / self.nbytes

    @property
    def blow_up(self) -> float | None:
        """The patch matrix over x, both in elements; a transposed convolution forms columns of its own. None then."""
        if self.transposed:
            return None
        return self.x[1] * prod(self.w[2:]) * prod(self.y[2:]) / prod(self.x[1:])

    def __str__(self) -> str:
        """The text form of the problem, whose dgrad a transposed one is; for other kinds one that no command takes."""
        if self.why_no_spec is None:
            return str(self.spec)
        c_or_k = self.w[1] * self.groups
        k = c_or_k if self.transposed else self.w[0]
        text = f"n{self.x[0]}c{self.x[1]}i{_by(self.x[2:])}k{k}f{_by(self.w[2:])}"
        padding = _by(self.padding)
        if self.padding_after != self.padding:
            padding += f"+{_by(self.padding_after)}"
        for name, value, usual in (
            ("st", _by(self.stride), "1"),
            ("pd", padding, "0"),
            ("dl", _by(self.dilation), "1"),
            ("g", str(self.groups), "1"),
        ):
            text += f"_{name}{value}" if value != usual else ""
        return f"{self.kind}:{text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvCall:
    """One convolution as the model called it.

    Attributes:
        name: of the module, or of the parameter or the module around where a function was called.
        functional: it was no nn.Conv module that called.
        padded: the model pads x beforehand, and `shape` holds that padding.
        field: what of the input one output sees, along each axis of the input; None if it is not followed.
        dgrad, wgrad: a training step takes the gradient of its x, of its w.
    """

    name: str
    shape: Shape
    bias: bool = False
    functional: bool = False
    padded: bool = False
    field: tuple[Extent, ...] | None = None
    dgrad: bool = False
    wgrad: bool = False


def item_nbytes(dtype: str) -> int:
    """Bytes of one number of a dtype by its name, such as fp16, int8, float8_e4m3fn, complex64 or bool."""
    bits = re.search(r"[0-9]+", dtype)
    return ITEM_NBYTES.get(dtype) or (max(1, int(bits[0]) // 8) if bits else 1)


def add_ends(one: Ends, other: Ends) -> Ends:
    """Of an image that is padded twice."""
    before, after = (tuple(map(sum, zip(*both, strict=True))) for both in zip(one, other, strict=True))
    return before, after


def _by(sizes: Sizes) -> str:
    """`3` for (3, 3), `3x1` for (3, 1)."""
    if len(sizes) == 2:
        return pair_text((sizes[0], sizes[1]))
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))
