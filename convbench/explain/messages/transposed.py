"""What torch says of transposed convolutions alone: output padding, the size asked for, an output of nothing."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re

from convbench.explain.messages.reading import ExampleCall, MessageReading, by, sizes


def output_padding(match: re.Match[str]) -> MessageReading:
    given, stride, dilation = ((int(match[i]), int(match[i + 1])) for i in (1, 3, 5))
    most = tuple(max(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
    right = tuple(min(one, other) for one, other in zip(given, most, strict=True))
    text = right[0] if len(set(right)) == 1 else right
    return MessageReading(
        function="conv_transpose2d",
        meanings=(
            (by(given), "output_padding: rows and columns added at the end of y"),
            (by(stride), "the stride"),
            (by(dilation), "the dilation"),
        ),
        fault=f"output_padding chooses between the sizes that one stride leaves open, so it is at most {by(most)}.",
        fixes=(
            (
                f"output_padding={text}:",
                ExampleCall(
                    function="conv_transpose2d",
                    operands=((1, 1, 4, 4), (1, 1, 3, 3)),
                    options={"stride": stride, "dilation": dilation, "output_padding": right},
                ),
            ),
        ),
    )


def output_size(match: re.Match[str]) -> MessageReading:
    asked, least, most, x = (sizes(match[i]) for i in (1, 2, 3, 4))
    x = x[-len(least) :]
    stride = tuple(high - low + 1 for low, high in zip(least, most, strict=True))
    near = tuple(min(max(one, low), high) for one, low, high in zip(asked, least, most, strict=False))
    kernel = tuple(low - (size - 1) * step for low, size, step in zip(least, x, stride, strict=True))
    options = {"stride": stride, "output_padding": tuple(o - low for o, low in zip(near, least, strict=True))}
    return MessageReading(
        function=f"conv_transpose{len(least)}d",
        meanings=(
            (by(asked), "the output_size asked for"),
            (f"{by(least)} to {by(most)}", "the sizes that a convolution with this stride takes to the size of x"),
            (by(x), "x without N and C"),
        ),
        fault="No convolution with these options makes x of an image of that size, so it cannot be transposed to it.",
        fixes=(
            (
                f"output_size={near}, the nearest:",
                ExampleCall(
                    function=f"conv_transpose{len(least)}d", operands=((1, 1, *x), (1, 1, *kernel)), options=options
                ),
            ),
        ),
    )


def output_size_length(match: re.Match[str]) -> MessageReading:
    kind, spatial, whole, got = (int(match[i]) for i in (1, 2, 3, 4))
    return MessageReading(
        function=f"conv_transpose{kind}d",
        meanings=((str(got), "numbers in output_size"), (f"{spatial} or {whole}", "the spatial sizes, or all of them")),
        fault=f"output_size needs {spatial} numbers here, one for each spatial size, not {got}.",
        fixes=(
            (
                f"Give {spatial} numbers, such as output_size={(17,) * kind} for 8 with stride 2 and kernel 3:",
                ExampleCall(
                    function=f"conv_transpose{kind}d",
                    operands=((1, 1, *(8,) * kind), (1, 1, *(3,) * kind)),
                    options={"stride": 2},
                ),
            ),
        ),
    )


def empty_output(match: re.Match[str]) -> MessageReading:
    x, y = sizes(match[1]), sizes(match[2])
    less = max(-(-(1 - size) // 2) for size in y)
    kind = f"conv_transpose{len(x)}d"
    return MessageReading(
        function=kind,
        meanings=((by(x), "x without N and C"), (by(y), "y: (H − 1)·stride − 2·padding + dilation·(R − 1) + 1")),
        fault="In a transposed convolution padding is cut off y, here more than there is.",
        fixes=(
            (
                f"Give {less} less of padding: then the least side of y is {min(y) + 2 * less}.",
                ExampleCall(function=kind, operands=((1, 1, *x), (1, 1, *(3,) * len(x))), options={"padding": 1})
                if min(x) > 1
                else ExampleCall(function=kind, operands=((1, 1, *x), (1, 1, *(3,) * len(x)))),
            ),
            (
                "Or a larger x, or a larger kernel:",
                ExampleCall(function=kind, operands=((1, 1, *(max(4, size) for size in x)), (1, 1, *(3,) * len(x)))),
            ),
        ),
    )


def padding_mode(match: re.Match[str]) -> MessageReading:
    kind = match[1]
    x, w = (1, 1, *(8,) * int(kind)), (1, 1, *(3,) * int(kind))
    return MessageReading(
        function=f"ConvTranspose{kind}d",
        meanings=(("padding_mode", "what is around x; a transposed convolution cuts y instead"),),
        fault="A transposed convolution has no border of x to fill, so padding_mode is 'zeros', its default.",
        fixes=(
            (
                "Leave padding_mode out, or 'zeros':",
                ExampleCall(function=f"conv_transpose{kind}d", operands=(x, w), options={"padding": 1}),
            ),
            (
                "Or upsample, and convolve with the mode that you want:",
                ExampleCall(function="interpolate", operands=(x,), options={"scale_factor": 2}),
            ),
        ),
    )
