"""What is one 2-D convolution problem, and what follows from its numbers alone?

The letters are the field's: N batch, C input channels, H W input size, K output
channels, R S kernel height and width, P Q output size.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, Self

from convbench.dtypes import DTYPE
from convbench.errors import ConvbenchError

Pair = tuple[int, int]

ITEM_NBYTES = {name: one.nbytes for name, one in DTYPE.items()}

_LEAST = {"n": 0, **dict.fromkeys("chwkrs", 1), "groups": 1}  # an empty batch is legal, and a favourite place for bugs
_LEAST_OF_PAIR = {"stride": 1, "padding": 0, "dilation": 1}
_SIZE = r"[0-9]{1,9}"
_TEXT = re.compile("".join(f"{letter}(?P<{letter}>{_SIZE})" for letter in "nchwkrs") + r"(?P<rest>(?:_\w+)*)", re.ASCII)
_PART = re.compile(rf"(st|pd|dl|g)({_SIZE})(?:x({_SIZE})(?:x({_SIZE})x({_SIZE}))?)?")
_PARTS = {"st": "stride", "pd": "padding", "dl": "dilation", "g": "groups"}
_EXAMPLE = (
    "n8c64h56w56k64r3s3_st1_pd1 (n images of c channels, h by w; k filters of r by s; _st stride, _pd padding, "
    "_dl dilation, _g groups; 2x1 for h and w, _pd0x1x0x1 for top, bottom, left and right)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvSpec:
    """One forward convolution problem, as cross-correlation (the kernel is not flipped).

    y[n, k, p, q] = sum over c, r, s of
        x[n, g*C/G + c, p*stride_h - padding_h + r*dilation_h, q*stride_w - padding_w + s*dilation_w]
        * w[k, c, r, s],   with g = k // (K/G) and zeros outside the image.

    A stride, padding or dilation may be given as one number for both axes: stride=2 is (2, 2). Padding may be given as
    four numbers, top, bottom, left and right: padding=(0, 1, 0, 1) is kept as padding=(0, 0) and padding_end=(1, 1).

    Attributes:
        padding: rows above the image and columns to the left of it.
        padding_end: rows below it and columns to the right, if they differ from those; otherwise None.

    Raises:
        ConvbenchError: a size is not an integer or out of range, groups divide C or K unevenly,
            or the dilated kernel is larger than the padded input.

    Example:
        >>> import convbench as cb
        >>> spec = cb.ConvSpec.parse("n1c4h8w8k6r3s3_st2_pd1")
        >>> spec.x_shape, spec.w_shape, spec.y_shape, spec.macs
        ((1, 4, 8, 8), (6, 4, 3, 3), (1, 6, 4, 4), 3456)
        >>> str(cb.ConvSpec(n=1, c=1, h=4, w=4, k=1, r=2, s=2))
        'n1c1h4w4k1r2s2'
    """

    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    padding_end: Pair | None = None

    if TYPE_CHECKING:  # more types are accepted than are stored

        def __init__(
            self,
            *,
            n: int,
            c: int,
            h: int,
            w: int,
            k: int,
            r: int,
            s: int,
            stride: int | Sequence[int] = (1, 1),
            padding: int | Sequence[int] = (0, 0),
            dilation: int | Sequence[int] = (1, 1),
            groups: int = 1,
            padding_end: int | Sequence[int] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        given: Any = self.padding
        if isinstance(given, list | tuple) and len(given) == 4:
            if self.padding_end is not None:
                raise ConvbenchError(f"padding={given!r} already has all four sides; leave padding_end out")
            object.__setattr__(self, "padding", given[::2])
            object.__setattr__(self, "padding_end", given[1::2])
        if self.padding_end is not None:
            object.__setattr__(self, "padding_end", _as_pair("padding_end", self.padding_end))
        for name in _LEAST_OF_PAIR:
            pair = getattr(self, name)
            if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not int or type(pair[1]) is not int:
                object.__setattr__(self, name, _as_pair(name, pair))
        if self.padding_end == self.padding:  # one problem, one key
            object.__setattr__(self, "padding_end", None)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if type(value) is not int:
                raise ConvbenchError(f"{name} is {value!r}: it must be an integer, such as {name}=1")
            if value < least:
                raise self._too_small(name, value, least)
        for name, least in _LEAST_OF_PAIR.items():
            if (value := min(self.sides if name == "padding" else getattr(self, name))) < least:
                raise self._too_small(name, value, least)
        if self.c % self.groups or self.k % self.groups:
            raise ConvbenchError(f"groups={self.groups} in {self}: it must divide both c={self.c} and k={self.k}")
        if self.p < 1 or self.q < 1:
            raise ConvbenchError(
                f"no output in {self}: the dilated kernel {self.kernel_extent[0]}x{self.kernel_extent[1]} "
                f"is larger than the padded input {self.padded[0]}x{self.padded[1]}; "
                f"try more padding or a smaller kernel"
            )

    def _too_small(self, name: str, value: int, least: int) -> ConvbenchError:
        crop = "; crop the input instead" if name == "padding" else ""
        return ConvbenchError(f"{name} is {value} in {self}: it must be at least {least}{crop}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text form, `n8c64h56w56k64r3s3_st1_pd1_dl1_g1`; case is ignored."""
        match = _TEXT.fullmatch(text.strip().lower())
        if match is None:
            raise ConvbenchError(f"{text!r} is not a valid shape{_fault(text)}; write it like {_EXAMPLE}")
        numbers: dict[str, int] = {letter: int(match[letter]) for letter in "nchwkrs"}
        pairs: dict[str, tuple[int, ...]] = {}
        for word in match["rest"].split("_")[1:]:
            part = _PART.fullmatch(word)
            name = _PARTS[part[1]] if part else ""
            if part is None or (part[3] and name == "groups") or (part[5] and name != "padding"):
                number = ", whose padding must be a number" if word.startswith("pd") else ""
                raise ConvbenchError(
                    f"'_{word}' in {text!r} is not part of a problem{number}; write it like {_EXAMPLE}"
                )
            if name in numbers or name in pairs:
                raise ConvbenchError(f"{name} occurs twice in {text!r}; write it like {_EXAMPLE}")
            if name == "groups":
                numbers[name] = int(part[2])
            elif part[5]:
                pairs[name] = tuple(map(int, part.groups()[1:]))
            else:
                pairs[name] = (int(part[2]), int(part[3] or part[2]))
        return cls(**numbers, **pairs)  # type: ignore[arg-type]  # the two dicts hold disjoint field names

    def __str__(self) -> str:
        """The text form; parts that have their default value are left out."""
        parts = [f"n{self.n}c{self.c}h{self.h}w{self.w}k{self.k}r{self.r}s{self.s}"]
        defaults = {field.name: field.default for field in fields(self)}
        for part, name in _PARTS.items():
            value = getattr(self, name)
            if name == "padding" and self.padding_end is not None:
                parts.append(part + self.padding_text)
            elif value != defaults[name]:
                parts.append(part + (pair_text(value) if isinstance(value, tuple) else str(value)))
        return "_".join(parts)

    @property
    def kernel_extent(self) -> Pair:
        """Rows and columns that the dilated kernel spans: dilation * (size - 1) + 1."""
        return (self.dilation[0] * (self.r - 1) + 1, self.dilation[1] * (self.s - 1) + 1)

    @property
    def end(self) -> Pair:
        """Padding below the image and to the right of it."""
        return self.padding_end or self.padding

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Padding at the top, bottom, left and right."""
        (top, left), (bottom, right) = self.padding, self.end
        return (top, bottom, left, right)

    @property
    def padding_text(self) -> str:
        """`1`, `1x2` for height and width, or all four sides if needed: top, bottom, left, right."""
        return pair_text(self.padding if self.padding_end is None else self.sides)

    @property
    def padded(self) -> Pair:
        """Height and width of the input with its padding."""
        top, bottom, left, right = self.sides
        return (self.h + top + bottom, self.w + left + right)

    @property
    def evened(self) -> "ConvSpec":
        """The same convolution with equal padding, over an input that was first padded by the rest: `surplus`."""
        above, below, before, behind = self.surplus
        top, bottom, left, right = self.sides
        return replace(
            self,
            h=self.h + above + below,
            w=self.w + before + behind,
            padding=(min(top, bottom), min(left, right)),
            padding_end=None,
        )

    @property
    def surplus(self) -> tuple[int, int, int, int]:
        """By how much the top, bottom, left and right are padded more than the opposite side."""
        top, bottom, left, right = self.sides
        return (max(0, top - bottom), max(0, bottom - top), max(0, left - right), max(0, right - left))

    @property
    def p(self) -> int:
        """Output height."""
        return (self.padded[0] - self.kernel_extent[0]) // self.stride[0] + 1

    @property
    def q(self) -> int:
        """Output width."""
        return (self.padded[1] - self.kernel_extent[1]) // self.stride[1] + 1

    @property
    def c_per_group(self) -> int:
        return self.c // self.groups

    @property
    def k_per_group(self) -> int:
        return self.k // self.groups

    @property
    def taps(self) -> int:
        """Products in one output: C/G * R * S."""
        return self.c_per_group * self.r * self.s

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return (self.n, self.c, self.h, self.w)

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return (self.k, self.c_per_group, self.r, self.s)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return (self.n, self.k, self.p, self.q)

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct algorithm, taps on padding counted."""
        return prod(self.y_shape) * self.taps

    @property
    def flops(self) -> int:
        """Two operations per multiply-add."""
        return 2 * self.macs

    @property
    def gemm(self) -> tuple[int, int, int]:
        """M, N, K of each group's matrix product: (K/G) x (N*P*Q) x (C/G*R*S)."""
        return (self.k_per_group, self.n * self.p * self.q, self.taps)

    @property
    def plane(self) -> "ConvSpec":
        """One image, one channel and one filter of it."""
        return replace(self, n=1, c=1, k=1, groups=1)

    def nbytes(self, dtype: str) -> int:
        """Bytes of x, w and y, each once."""
        elements = prod(self.x_shape) + prod(self.w_shape) + prod(self.y_shape)
        return elements * ITEM_NBYTES[dtype]

    def patch_matrix_nbytes(self, dtype: str) -> int:
        """Bytes of the unfolded input, N x (C*R*S) x (P*Q)."""
        return self.n * self.c * self.r * self.s * self.p * self.q * ITEM_NBYTES[dtype]

    def intensity(self, dtype: str) -> float:
        """Operations per byte that must be moved."""
        return self.flops / self.nbytes(dtype)

    @property
    def inner_macs(self) -> int:
        """Multiply-adds whose tap is on the image: those on padding may be skipped."""
        rows, columns = ([len(self._outputs(axis, tap)) for tap in range((self.r, self.s)[axis])] for axis in (0, 1))
        return self.n * self.k * self.c_per_group * sum(rows) * sum(columns)

    def needed_nbytes(self, dtype: str, pass_: str = "fprop") -> int:
        """Bytes of y and of what it depends on, each once: a 1x1 kernel with stride 2 needs a quarter of x.

        For a gradient (`dgrad`, `wgrad`) the same for dy and the other operand, and the whole gradient, zeros included.
        """
        return sum(self._needed(pass_)) * ITEM_NBYTES[dtype]

    def first_nbytes(self, dtype: str, pass_: str = "fprop") -> int:
        """The bytes of x among them; for a gradient those of dy."""
        x, _, y = self._needed(pass_)
        return (x if pass_ == "fprop" else y) * ITEM_NBYTES[dtype]

    def _needed(self, pass_: str) -> tuple[int, int, int]:
        """Elements of x, w and y, or of their gradients, as `needed_nbytes` counts them."""
        pixels = taps = 1
        for axis, kernel in enumerate((self.r, self.s)):
            reached = [
                [place * self.stride[axis] + tap * self.dilation[axis] for place in self._outputs(axis, tap)]
                for tap in range(kernel)
            ]
            pixels *= len({pixel for each in reached for pixel in each})
            taps *= sum(bool(each) for each in reached)
        if self.n == 0:
            return 0, 0, 0
        if pass_ == "dgrad":
            pixels = self.h * self.w
        elif pass_ == "wgrad":
            taps = self.r * self.s
        return self.n * self.c * pixels, self.k * self.c_per_group * taps, prod(self.y_shape)

    def _outputs(self, axis: int, tap: int) -> range:
        """The rows (axis 0) or columns (1) of y for which a tap of the kernel is on the image."""
        size, count, stride = ((self.h, self.w)[axis], (self.p, self.q)[axis], self.stride[axis])
        shift = self.padding[axis] - tap * self.dilation[axis]  # the input is at place * stride - shift
        return range(max(0, -(-shift // stride)), min(count, (size - 1 + shift) // stride + 1))


def _as_pair(name: str, given: Any) -> Pair:
    """One integer for both axes, or two: for the height and the width."""
    pair = (given, given) if type(given) is int else tuple(given) if isinstance(given, list | tuple) else ()
    if len(pair) != 2 or any(type(one) is not int for one in pair):
        raise ConvbenchError(
            f"{name} is {given!r}: it must be an integer, or two for height and width, such as {name}=(2, 1)"
        )
    return pair


def _fault(text: str) -> str:
    """Why a text is not a problem, if that is clear."""
    text = text.strip().lower()
    if re.match(r"n-?[0-9].*-[0-9]|n-[0-9]", text):
        return ": nothing in it may be negative"
    given = re.findall(r"([nchwkrs])[0-9]+", text.partition("_")[0])
    missing = [letter for letter in "nchwkrs" if letter not in given]
    if given and missing:
        return f": it has no {', '.join(missing)}"
    return ": its sizes are in another order" if sorted(given) == sorted("nchwkrs") else ""


def same_sides(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, int, int, int]:
    """Padding that keeps the size at stride 1: with an even kernel the extra row is at the end, as in torch."""
    down, across = (apart * (taps - 1) for taps, apart in zip(kernel, dilation, strict=True))
    return (down // 2, down - down // 2, across // 2, across - across // 2)


def pair_text(pair: Sequence[int]) -> str:
    """`2` for (2, 2), `2x1` for (2, 1), `0x1x0x1` for four."""
    return str(pair[0]) if len(pair) == 2 and pair[0] == pair[1] else "x".join(map(str, pair))
