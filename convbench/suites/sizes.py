"""A problem by its tensor sizes, as in torch: input, weight, stride, padding, dilation."""

import re
from typing import Literal

from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec, same_sides

EXAMPLE = "--input 1x1x4x4 --weight 1x1x2x2 --stride 1 --padding 0"
_NUMBERS = re.compile(r"[0-9]{1,9}(?:x[0-9]{1,9})*", re.ASCII)


def spec_of_sizes(
    x: str, w: str, *, stride: str | None = None, padding: str | None = None, dilation: str | None = None
) -> ConvSpec:
    """The problem of an input NxCxHxW and a weight KxC/GxRxS; the groups follow from their channels.

    Stride and dilation are one number or two, `2x1`; padding is one, two, four (top, bottom, left, right), valid, or
    same, which leaves what an even kernel has over at the end.

    Raises:
        ConvbenchError: they are not such numbers, or together not a problem.
    """
    (n, c, h, width), (k, c_per_group, r, s) = _four("--input", x), _four("--weight", w)
    if c_per_group == 0 or c % c_per_group:
        raise ConvbenchError(
            f"--input {x} has {c} channels and --weight {w} reads {c_per_group} of them: groups would be "
            f"{c}/{c_per_group}; the second size of the weight is C/G"
        )
    strides, apart = _some("--stride", stride or "1", (1, 2)), _some("--dilation", dilation or "1", (1, 2))
    sides = read_padding(padding or "0", strides)
    return ConvSpec(
        n=n,
        c=c,
        h=h,
        w=width,
        k=k,
        r=r,
        s=s,
        stride=strides[0] if len(strides) == 1 else strides,
        padding=same_sides((r, s), (apart[0], apart[-1])) if sides == "same" else sides,
        dilation=apart[0] if len(apart) == 1 else apart,
        groups=c // c_per_group,
    )


def read_padding(text: str, strides: tuple[int, ...], example: str = EXAMPLE) -> tuple[int, ...] | Literal["same"]:
    """Two numbers or four of `1`, `1x0`, `0x1x0x1` or valid; `same` is for the kernel to say.

    Raises:
        ConvbenchError: it is none of them, or same with a stride, which torch does not support.
    """
    word = text.strip().lower()
    if word == "same":
        if max(strides) > 1:
            stride = "x".join(map(str, strides))
            raise ConvbenchError(f"--padding same --stride {stride}: same needs stride 1, as in torch; give numbers")
        return "same"
    sides = _some("--padding", "0" if word == "valid" else word, (1, 2, 4), example)
    return sides * 2 if len(sides) == 1 else sides


def looks_like_sizes(text: str) -> bool:
    """Whether a text is the size of a tensor, 1x1x4x4, instead of a problem."""
    return bool(_NUMBERS.fullmatch(text.strip().lower())) and text.count("x") == 3


def _four(option: str, text: str) -> tuple[int, ...]:
    return _some(option, text, (4,))


def _some(option: str, text: str, counts: tuple[int, ...], example: str = EXAMPLE) -> tuple[int, ...]:
    word = text.strip().lower()
    numbers = tuple(map(int, word.split("x"))) if _NUMBERS.fullmatch(word) else ()
    if len(numbers) not in counts:
        wanted = " or ".join(map(str, counts))
        words = ", same or valid" if option == "--padding" else ""
        raise ConvbenchError(
            f"{option} {text!r}: it takes {wanted} integers with x between them{words}; write {example}"
        )
    return numbers
