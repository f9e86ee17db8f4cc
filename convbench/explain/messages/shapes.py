"""What torch says of sizes and dimensions, and of a product whose sides do not fit."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re
from collections.abc import Callable, Iterator
from math import prod

from convbench.explain.messages.reading import (
    SOME_W,
    SOME_X,
    ExampleCall,
    MessageReading,
    by,
    convolution,
    fitted,
    show,
    sizes,
)


def kernel(match: re.Match[str]) -> MessageReading:
    size, extent = sizes(match[1]), sizes(match[2])
    w = (1, 1, *extent)
    function = convolution(w)
    missing = tuple(max(0, taps - lines) for lines, taps in zip(size, extent, strict=True))
    padding = tuple(-(-lack // 2) for lack in missing)
    fixes = []
    if min(size) > 0:
        more = by(padding) if len(set(padding)) > 1 else str(padding[0])
        fixes.append(
            (
                f"Pad more: {more} more on each side.",
                ExampleCall(function=function, operands=((1, 1, *size), w), options={"padding": padding}),
            )
        )
        smaller = tuple(min(lines, taps) for lines, taps in zip(size, extent, strict=True))
        fixes.append(
            (
                f"Or a smaller kernel, or less dilation: it may span at most {by(smaller)}.",
                ExampleCall(function=function, operands=((1, 1, *size), (1, 1, *smaller))),
            )
        )
    larger = tuple(max(lines, taps, 1) for lines, taps in zip(size, extent, strict=True))
    fixes.append(
        (
            (
                f"Or a larger x: {by(larger)} at least, with its padding. In a network: fewer strides and poolings "
                "before it."
            ),
            ExampleCall(function=function, operands=((1, 1, *larger), w)),
        )
    )
    return MessageReading(
        function=function,
        meanings=(
            (by(size), "x with its padding: H + 2·padding, and so on for each axis"),
            (by(extent), "the kernel with its dilation: dilation·(kH − 1) + 1, and so on"),
        ),
        fault="The kernel is larger than the padded x, so it has no position and y would be empty.",
        fixes=tuple(fixes),
    )


def blocks(match: re.Match[str]) -> MessageReading:
    size, kernel, dilation, padding = (sizes(match[i]) for i in (1, 2, 3, 4))
    blocks = sizes(match[5])
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    more = tuple(max(p, -(-(e - s) // 2)) for s, e, p in zip(size, extent, padding, strict=True))
    options = {"kernel_size": kernel, "dilation": dilation}
    larger = tuple(max(s, e - 2 * p) for s, e, p in zip(size, extent, padding, strict=True))
    return MessageReading(
        function="unfold",
        meanings=(
            (by(size), "x: H×W"),
            (by(kernel), f"the kernel, kH×kW; with dilation {by(dilation)} it spans {by(extent)}"),
            (by(padding), "padding in height and width"),
            (by(blocks), "positions of the kernel, H_out×W_out: none"),
        ),
        fault="The kernel is larger than the padded x, so there is no patch.",
        fixes=(
            (
                f"Pad more: set padding to {more}.",
                ExampleCall(function="unfold", operands=((1, 1, *size),), options=options | {"padding": more}),
            ),
            (
                f"Or a larger x: {by(larger)}.",
                ExampleCall(function="unfold", operands=((1, 1, *larger),), options=options | {"padding": padding}),
            ),
        ),
    )


_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
_LETTERS = {1: "L", 2: "H, W", 3: "D, H, W"}
_COUNTS = {3: "three", 4: "four", 5: "five"}


def dimensions(match: re.Match[str]) -> MessageReading:
    function, x = match[3], sizes(match[4])
    kind = int(function[-2])
    needed, letters = kind + 2, _LETTERS[kind]

    def call(shape: tuple[int, ...]) -> ExampleCall:
        taps = (3,) * (len(shape) - 2)
        if function.startswith("conv_transpose"):
            return ExampleCall(function=f"conv_transpose{len(taps)}d", operands=(shape, (shape[1], 1, *taps)))
        return fitted(shape, (1, shape[1], *taps))

    fixes = _four(x, call) if kind == 2 else _resized(x, needed, call)
    return MessageReading(
        function=function,
        meanings=(
            (show(x), f"x: {len(x)} sizes"),
            (f"{match[1]}D or {match[2]}D", f"(C, {letters}) for one, (N, C, {letters}) for a batch"),
        ),
        fault=f"x has {len(x)} dimension{'s' * (len(x) != 1)}, but a {kind}-D convolution needs {_COUNTS[needed]}: "
        f"images, channels, {', '.join(_AXES[kind])}.",
        fixes=tuple(fixes),
    )


def _resized(
    x: tuple[int, ...], needed: int, call: Callable[[tuple[int, ...]], ExampleCall]
) -> Iterator[tuple[str, ExampleCall]]:
    """Ways to the dimensions of a 1-D or 3-D convolution."""
    if 1 <= len(x) < needed - 1:
        new = ", ".join(["None"] * (needed - len(x)))
        yield f"x[{new}] adds what is missing in front, N and C among it.", call(((1,) * (needed - len(x))) + x)
    elif len(x) > needed:
        if len(x) < 6:
            yield f"If x is right, the layer is another one, for {len(x)} dimensions.", call(x)
        end = x[needed - 1 :]
        yield (
            f"Or make the last {len(end)} one: x.flatten({needed - 1}), of {prod(end)}.",
            call((*x[: needed - 1], prod(end))),
        )
    else:
        yield "For example:", call((1, 3, *(8,) * (needed - 2)))


def _four(x: tuple[int, ...], call: Callable[[tuple[int, ...]], ExampleCall]) -> Iterator[tuple[str, ExampleCall]]:
    """Ways to four dimensions."""
    if len(x) == 2:
        yield "For a grey image, x[None, None] adds N and C before H and W.", call((1, 1, *x))
    elif len(x) == 1:
        yield "For a signal, x[None, None, None] makes an image of one row.", call((1, 1, 1, *x))
    elif len(x) > 4:
        yield f"Merge the leading dimensions into one batch: x.flatten(0, {len(x) - 4}).", call((prod(x[:-3]), *x[-3:]))
    else:
        yield "For example:", call(tuple(max(1, size) for size in (1, 1, 8, 8)[: 4 - len(x)] + x))


def unfold_dimensions(match: re.Match[str]) -> MessageReading:
    x = sizes(match[1])
    if len(x) in (3, 4) and 0 in x[-3:]:
        shape = tuple(size or 8 for size in x)
        fixes: tuple[tuple[str, ExampleCall], ...] = (("Give it pixels and channels:", unfold_call(shape)),)
    else:
        fixes = tuple(_four(x, unfold_call))
    return MessageReading(
        function="unfold",
        meanings=(
            (show(x), "x"),
            ("3D or 4D", "(C, H, W) for one image, (N, C, H, W) for a batch; only N may be zero"),
        ),
        fault="F.unfold needs images with channels, height and width, none of them zero.",
        fixes=fixes,
    )


def unfold_call(shape: tuple[int, ...]) -> ExampleCall:
    kernel = (min(2, shape[-2]), min(2, shape[-1]))
    return ExampleCall(function="unfold", operands=(shape,), options={"kernel_size": kernel})


def pairs(match: re.Match[str]) -> MessageReading:
    name, wanted, given = match[1], int(match[2]), sizes(match[3])
    number = {"stride": 1, "dilation": 1}.get(name, 0)
    if wanted != 2:
        return _other_pairs(name, wanted, given, number)
    pair = tuple((*given, number, number)[:2])
    words = f"Give a pair (height, width): {name}={pair}."
    if name == "padding" and len(given) == 4:
        words += " For four different sides use F.pad(x, (left, right, top, bottom)) first."
    x = (1, 3, *(max(8, 3 * abs(one)) for one in pair))
    return MessageReading(
        function="conv2d",
        meanings=(
            (f"{wanted} values", "height and width"),
            (f"{name}={list(given)}", f"what you gave: {len(given)} values"),
        ),
        fault=f"{name} has {len(given)} values; a 2-D convolution takes one number or two.",
        fixes=((words, ExampleCall(function="conv2d", operands=(x, SOME_W), options={name: pair})),),
    )


def _other_pairs(name: str, wanted: int, given: tuple[int, ...], number: int) -> MessageReading:
    """Values that are not as many as the dimensions of w say: one of the two is wrong."""
    dimensions = wanted + 2
    right = tuple((*given, *[number] * wanted)[:wanted])
    shown = right[0] if wanted == 1 else right
    size = max(8, 3 * max((abs(one) for one in right), default=1))
    values = (
        f"If it is a conv{wanted}d: give {name}={shown}, a number or {wanted} value{'s' * (wanted != 1)}.",
        ExampleCall(
            function=f"conv{wanted}d",
            operands=((1, 3, *(size,) * wanted), (4, 3, *(3,) * wanted)),
            options={name: shown},
        ),
    )
    weight = (
        "If it is a conv2d: give w four sizes, such as w[None] or w.reshape(K, C, R, S):",
        fitted(SOME_X, SOME_W),
    )
    usual = given == (number, number)  # what F.conv2d passes on if none is given
    return MessageReading(
        function="conv2d" if usual else f"conv{wanted}d",
        meanings=(
            (
                f"{wanted} value{'s' * (wanted != 1)}",
                f"torch treats it as a {wanted}-D convolution: w has {dimensions} dimensions",
            ),
            (f"{name}={list(given)}", f"{len(given)} values, as for a {len(given)}-D convolution"),
        ),
        fault=f"w has {dimensions} dimensions, so {name} is one number or {wanted} value{'s' * (wanted != 1)}; conv2d "
        "needs a w of four, (K, C/G, R, S).",
        fixes=(weight, values) if usual else (values, weight),
    )


def flat_weight(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="conv2d",
        meanings=(
            (
                "three dimensions",
                "the minimum: (C_out, C_in/G, kW) of a 1-D convolution; conv2d needs (C_out, C_in/G, kH, kW)",
            ),
        ),
        fault="w is a matrix or a vector; conv2d needs four sizes: filters, channels per group, height, width.",
        fixes=(("For a single kH×kW kernel on one channel, use w[None, None].", fitted((1, 1, 8, 8), (1, 1, 3, 3))),),
    )


def addition(match: re.Match[str]) -> MessageReading:
    a, b, axis = (int(match[i]) for i in (1, 2, 3))
    large, small = max(a, b), min(a, b)
    names = {0: "N, the images", 1: "C, the channels", 2: "H, the height", 3: "W, the width"}
    fixes: list[tuple[str, ExampleCall]] = []
    if axis == 1:
        fixes.append(
            (
                f"Expand the {small} channels to {large} with a 1×1 convolution on that branch:",
                ExampleCall(function="conv2d", operands=((1, small, 8, 8), (large, small, 1, 1))),
            )
        )
    elif axis in (2, 3):
        lost = large - small
        shape = (1, 4, 1, large) if axis == 3 else (1, 4, large, 1)

        def kernel(taps: int) -> tuple[int, int, int, int]:
            return (4, 4, 1, taps) if axis == 3 else (4, 4, taps, 1)

        if lost % 2 == 0:
            pad = (0, lost // 2) if axis == 3 else (lost // 2, 0)
            fixes.append(
                (
                    f"A kernel of {lost + 1} without padding loses {lost}: with padding {lost // 2} it loses none.",
                    ExampleCall(function="conv2d", operands=(shape, kernel(lost + 1)), options={"padding": pad}),
                )
            )
        else:
            fixes.append(
                (
                    f"A kernel of {lost + 1} without padding loses {lost}: padding='same' loses none.",
                    ExampleCall(function="conv2d", operands=(shape, kernel(lost + 1)), options={"padding": "same"}),
                )
            )
        if small and -(-large // 2) == small:
            stride = (1, 2) if axis == 3 else (2, 1)
            fixes.append(
                (
                    (
                        f"Or one branch has stride 2 ({large} becomes {small}): give the other a 1×1 convolution of "
                        "stride 2."
                    ),
                    ExampleCall(function="conv2d", operands=(shape, kernel(1)), options={"stride": stride}),
                )
            )
    return MessageReading(
        function="a + b",
        meanings=(
            (str(a), f"the first tensor's size along dimension {axis}"),
            (str(b), "the second one's"),
            (f"dimension {axis}", f"of images (N, C, H, W): {names.get(axis, 'after W')}"),
        ),
        fault="Two tensors are combined elementwise, for example by a shortcut connection, but this dimension differs.",
        fixes=tuple(fixes),
    )


def matrix_product(match: re.Match[str]) -> MessageReading:
    a, b, c, d = (int(match[i]) for i in (1, 2, 3, 4))
    fixes = []
    if b and c and a * b % c == 0 and 0 < a * b // c < a:
        fixes.append(
            (
                f"{a}·{b} is {a * b // c}·{c}: x.flatten(1) may be missing before the layer.",
                ExampleCall(function="linear", operands=((a * b // c, c), (d, c))),
            )
        )
    fixes.append(
        (
            f"{'Or change' if fixes else 'Change'} the layer: set in_features to {b} (it is {c}).",
            ExampleCall(function="linear", operands=((a, b), (d, b))),
        )
    )
    return MessageReading(
        function="linear",
        meanings=(
            (
                f"{a}x{b}",
                f"{a} row{'s' * (a != 1)} of {b} features: after a convolution, flatten gives C_out·H_out·W_out",
            ),
            (f"{c}x{d}", f"the layer's weight, transposed: it takes {c} features and gives {d}"),
        ),
        fault=f"{b} features meet a layer for {c}: the convolution's output is not the size the layer was built for.",
        fixes=tuple(fixes),
    )


def einsum(match: re.Match[str]) -> MessageReading:
    letter, got, seen = match[1], int(match[2]), int(match[3])
    reason = ""
    if got and seen % got == 0:
        reason = f" {seen} is {seen // got}·{got}: with groups={seen // got} each group has its own {got} rows."
    return MessageReading(
        function="einsum",
        meanings=(
            (letter, "the index of the kernel elements, C_in·kH·kW, in both operands"),
            (str(seen), "rows of the patch matrix: C_in·kH·kW over all channels"),
            (str(got), "numbers in a flattened filter: C_in/G·kH·kW"),
        ),
        fault=f"The flattened kernel has {got} numbers and the patches have {seen}.{reason}",
        fixes=(
            (
                f"A kernel of {seen} numbers matches these patches:",
                ExampleCall(function="linear", operands=((9, seen), (4, seen))),
            ),
        ),
    )
