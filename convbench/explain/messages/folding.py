"""What torch says of fold."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

from convbench.explain.messages.reading import (
    ExampleCall,
    MessageReading,
    by,
    show,
    sizes,
)


def fold_length(match: re.Match[str]) -> MessageReading:
    size, kernel, dilation, padding, stride = (sizes(match[i]) for i in range(1, 6))
    high, wide, wanted, got = (int(match[i]) for i in (6, 7, 8, 9))
    taps = prod(kernel)
    options: dict[str, Any] = {
        "output_size": size,
        "kernel_size": kernel,
        "dilation": dilation,
        "padding": padding,
        "stride": stride,
    }
    fixes = []
    if wanted > 0:
        fixes.append(
            (
                f"Give it {wanted} columns, one per position: (N, C_in·{taps}, {wanted}).",
                ExampleCall(function="fold", operands=((1, taps, wanted),), options=options),
            )
        )
    fixes += [
        (
            f"Or use output_size={other}, which has {got} columns.",
            ExampleCall(function="fold", operands=((1, taps, got),), options=options | {"output_size": other}),
        )
        for other in _sizes_of(got, kernel, dilation, padding, stride)
    ]
    return MessageReading(
        function="fold",
        meanings=(
            (by(size), "output_size: the image to build, H×W"),
            (by(kernel), f"the kernel, kH×kW; dilation {by(dilation)}, padding {by(padding)}, stride {by(stride)}"),
            (f"{high} * {wide} = {wanted}", "positions of that kernel in that image: H_out·W_out"),
            (str(got), "the given columns: input.size(-1)"),
        ),
        fault=f"An image of {by(size)} has {wanted} patches, but you gave {got}. (If you want y, use a "
        "reshape to (C_out, H_out, W_out).)",
        fixes=tuple(fixes),
    )


def _sizes_of(
    length: int, kernel: tuple[int, ...], dilation: tuple[int, ...], padding: tuple[int, ...], stride: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """The image nearest to a square that has so many patches."""
    for high in range(int(length**0.5), 0, -1):
        if length % high == 0:
            positions = (high, length // high)
            sizes = [
                (count - 1) * step + gap * (taps - 1) + 1 - 2 * pad
                for count, step, gap, taps, pad in zip(positions, stride, dilation, kernel, padding, strict=True)
            ]
            if min(sizes) > 0:
                yield tuple(sizes)
                return


def fold_taps(match: re.Match[str]) -> MessageReading:
    got, kernel = int(match[1]), sizes(match[2])
    taps = prod(kernel)
    many = max(1, -(-got // taps)) * taps
    extent = tuple(max(4, size) for size in kernel)
    length = prod(size - taps_ + 1 for size, taps_ in zip(extent, kernel, strict=True))
    fixes = [
        (
            f"Give it {many} rows: {many // taps} channel{'s' * (many != taps)} of {taps} kernel elements.",
            ExampleCall(
                function="fold", operands=((1, many, length),), options={"output_size": extent, "kernel_size": kernel}
            ),
        )
    ]
    for r, s in product(range(1, 12), repeat=2):
        if r * s == got and abs(r - s) <= 1:
            height = (max(4, r), max(4, s))
            count = (height[0] - r + 1) * (height[1] - s + 1)
            fixes.append(
                (
                    f"Or a kernel of {r}×{s}, which has {got} elements.",
                    ExampleCall(
                        function="fold",
                        operands=((1, got, count),),
                        options={"output_size": height, "kernel_size": (r, s)},
                    ),
                )
            )
            break
    return MessageReading(
        function="fold",
        meanings=(
            (str(got), "the given rows: input.size(1), C_in·kH·kW"),
            (by(kernel), f"the kernel: {taps} elements per channel"),
        ),
        fault=f"{got} rows are not a multiple of the {taps} kernel elements per channel.",
        fixes=tuple(fixes),
    )


def fold_dimensions(match: re.Match[str]) -> MessageReading:
    x = sizes(match[1])
    call = ExampleCall(function="fold", operands=((1, 4, 9),), options={"output_size": (4, 4), "kernel_size": (2, 2)})
    return MessageReading(
        function="fold",
        meanings=(
            (show(x), f"what you gave: {len(x)} sizes"),
            ("2D or 3D", "(C_in·kH·kW, L) for one image, (N, C_in·kH·kW, L) for a batch"),
        ),
        fault="F.fold takes the columns that F.unfold returns, not images.",
        fixes=(("For example, from F.unfold of (1, 1, 4, 4) with a 2×2 kernel:", call),),
    )
