"""What torch says of strides, padding, dilation and types."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re

from convbench.errors import one_line
from convbench.explain.messages.reading import (
    SOME_W,
    SOME_X,
    ExampleCall,
    MessageReading,
    fitted,
    name_x,
    show,
    sizes,
)
from convbench.explain.messages.shapes import unfold_call


def positive(match: re.Match[str]) -> MessageReading:
    name = match[1] or match[2]
    default = {"stride": 1, "groups": 1}[name]
    return MessageReading(
        function="conv2d",
        meanings=(
            (
                name,
                {
                    "stride": "how far the kernel moves from one output to the next",
                    "groups": "the number of parts the channels are divided into",
                }[name],
            ),
        ),
        fault=f"{name} must be at least 1.",
        fixes=(
            (
                f"{name}={default} is the default:",
                ExampleCall(function="conv2d", operands=(SOME_X, SOME_W), options={name: default}),
            ),
        ),
    )


def negative_padding(match: re.Match[str]) -> MessageReading:
    if match[1]:
        return MessageReading(
            function="conv_transpose2d",
            meanings=(("output_padding", "rows and columns that y gets more, at its end"),),
            fault="output_padding must not be negative, and is less than the stride.",
            fixes=(
                (
                    "output_padding=0 is the default:",
                    ExampleCall(
                        function="conv_transpose2d",
                        operands=((1, 1, 8, 8), (1, 1, 3, 3)),
                        options={"stride": 2, "output_padding": 0},
                    ),
                ),
            ),
        )
    return MessageReading(
        function="conv2d",
        meanings=(("padding", "rows and columns of zeros around x"),),
        fault="padding must not be negative. To drop pixels, slice x: x[..., 1:-1, 1:-1].",
        fixes=(
            (
                "padding=0 is the default:",
                ExampleCall(function="conv2d", operands=(SOME_X, SOME_W), options={"padding": 0}),
            ),
        ),
    )


def small_dilation(match: re.Match[str]) -> MessageReading:
    given = sizes(match[1]) if match[1] else sizes(f"{match[2]} {match[3]}") if match[2] else ()
    return MessageReading(
        function="conv2d",
        meanings=(
            (
                show(given) if given else "dilation",
                "the given dilation: the distance between two pixels under the kernel",
            ),
        ),
        fault="A dilation must be at least 1; 1 is a kernel without gaps. 0 would read one pixel again and again; "
        "a negative one has no meaning here."
        + ("" if given else " torch says this, without numbers, if a dilation is negative."),
        fixes=(
            (
                "dilation=1 is the default:",
                ExampleCall(function="conv2d", operands=(SOME_X, SOME_W), options={"dilation": 1}),
            ),
        ),
    )


def zero_option(match: re.Match[str]) -> MessageReading:
    name, height, width = match[1], int(match[2]), int(match[3])
    option = {"kernel size": "kernel_size"}.get(name, name)
    least = 0 if option == "padding" else 1
    pair = (max(least, height), max(least, width))
    options = {"kernel_size": (2, 2)} | {option: pair}
    return MessageReading(
        function="unfold",
        meanings=((str(height), f"{name} in height"), (str(width), f"{name} in width")),
        fault=f"{name} must be at least {least} in both.",
        fixes=(
            (
                f"{option}={pair}:",
                ExampleCall(function="unfold", operands=((1, 1, max(8, pair[0]), max(8, pair[1])),), options=options),
            ),
        ),
    )


def same(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="conv2d",
        meanings=(("padding='same'", "the padding that keeps H×W"), ("strided", "a stride above 1")),
        fault="With a stride, y cannot have the size of x, and torch does not guess what you mean.",
        fixes=(
            (
                "For half the size, rounded up, use stride 2 with padding (kH−1)/2 for an odd kernel.",
                ExampleCall(
                    function="conv2d", operands=(SOME_X, SOME_W), options={"stride": (2, 2), "padding": (1, 1)}
                ),
            ),
            ("Or stride 1:", ExampleCall(function="conv2d", operands=(SOME_X, SOME_W), options={"padding": "same"})),
        ),
    )


def padding_word(match: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="conv2d",
        meanings=((repr(match[1]), "the given word for padding"),),
        fault="padding is a number, a pair, 'valid' (none) or 'same'. 'full' of other libraries is padding = kernel − "
        "1.",
        fixes=(
            (
                "What 'full' would be for a 3×3 kernel:",
                ExampleCall(function="conv2d", operands=(SOME_X, SOME_W), options={"padding": (2, 2)}),
            ),
            ("Or 'same':", ExampleCall(function="conv2d", operands=(SOME_X, SOME_W), options={"padding": "same"})),
        ),
    )


def padding_mode(match: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="Conv2d",
        meanings=((repr(match[1]), "the given mode"),),
        fault="padding_mode is zeros, reflect, replicate or circular; other libraries call reflect mirror, and "
        "replicate edge.",
        fixes=(
            (
                "The same by hand, before the convolution:",
                ExampleCall(function="pad", operands=(SOME_X,), options={"pad": (1, 1, 1, 1), "mode": "reflect"}),
            ),
        ),
    )


def mode_size(match: re.Match[str]) -> MessageReading:
    pads, axis, x = sizes(match[1]), int(match[2]), sizes(match[3])
    size = x[axis] if axis < len(x) else 1
    most = max(0, size - 1)
    pad = (most, most, 0, 0) if axis == len(x) - 1 else (0, 0, most, most)
    return MessageReading(
        function="pad",
        meanings=(
            (str(pads), "rows or columns before and after"),
            (f"dimension {axis}", f"of x, which has {size} there"),
            (show(x), name_x(x)),
        ),
        fault=f"reflect mirrors without repeating the border, so it can add at most {most} to {size}.",
        fixes=(
            (f"At most {most}:", ExampleCall(function="pad", operands=(x,), options={"pad": pad, "mode": "reflect"})),
            (
                "Or replicate, which has no limit:",
                ExampleCall(
                    function="pad",
                    operands=(x,),
                    options={
                        "pad": (pads[0], pads[-1], 0, 0) if axis == len(x) - 1 else (0, 0, pads[0], pads[-1]),
                        "mode": "replicate",
                    },
                ),
            ),
        ),
    )


def wrapping(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="pad",
        meanings=(("wrapping around", "circular padding takes rows or columns from the other end of x"),),
        fault="circular can add at most the size of x.",
        fixes=(
            (
                "For example, 8 around 8:",
                ExampleCall(function="pad", operands=(SOME_X,), options={"pad": (8, 8, 0, 0), "mode": "circular"}),
            ),
        ),
    )


def scalar_type(match: re.Match[str]) -> MessageReading:
    first, second = match[1], match[2]
    return MessageReading(
        function="conv2d",
        meanings=((first, "the type of x"), (second, "the type of w")),
        fault=f"x and w must have the same type; they are {first} and {second}.",
        fixes=(
            ("Convert one of them: x.to(w.dtype), or layer.to(x.dtype). With both in float32:", fitted(SOME_X, SOME_W)),
        ),
    )


def operand_type(match: re.Match[str]) -> MessageReading:
    x, other, theirs = match[1], match[2], match[3]
    device = ("cuda" in x) != ("cuda" in theirs)
    how = "x.to(layer.weight.device)" if device else "x.to(layer.weight.dtype)"
    return MessageReading(
        function="conv2d",
        meanings=((x, "the type of x, and its device if it is not the CPU"), (theirs, f"the {other}")),
        fault=f"x and the {other} are {'on different devices' if device else 'of different types'}.",
        fixes=((f"Convert one of them: {how}. With both in float32 on the CPU:", fitted(SOME_X, SOME_W)),),
    )


def not_implemented(match: re.Match[str]) -> MessageReading:
    kernel, kind = match[1], match[2]
    unfolds = "im2col" in kernel
    call = unfold_call((1, 1, 4, 4)) if unfolds else fitted(SOME_X, SOME_W)
    if "col2im" in kernel:
        call = ExampleCall(
            function="fold", operands=((1, 4, 9),), options={"output_size": (4, 4), "kernel_size": (2, 2)}
        )
    return MessageReading(
        function=call.function,
        meanings=((kernel, "torch's name for the inner function"), (kind, "the type of the given numbers")),
        fault=f"This function does not support {kind}.",
        fixes=(("Convert first, with x.float():", call),),
    )


def arguments(match: re.Match[str]) -> MessageReading:
    function, given = match[1], one_line(match[2], 200)
    kind = int(function[-2])
    if function != "conv2d":
        w = (3, 4) if function.startswith("conv_transpose") else (4, 3)
        return MessageReading(
            function=function,
            meanings=((given, "the given types, in order"),),
            fault="x, w and bias must be tensors; stride, padding and dilation integers or lists of them.",
            fixes=(
                (
                    "For example, with stride=1:",
                    ExampleCall(
                        function=function, operands=((1, 3, *(8,) * kind), (*w, *(3,) * kind)), options={"stride": 1}
                    ),
                ),
            ),
        )
    return MessageReading(
        function="conv2d",
        meanings=((given, "the given types, in order"),),
        fault="x, w and bias must be tensors; stride, padding and dilation integers or pairs; groups an integer.",
        fixes=(
            (
                "For example:",
                ExampleCall(
                    function="conv2d", operands=(SOME_X, SOME_W), options={"stride": (2, 2), "padding": (1, 1)}
                ),
            ),
        ),
    )


def missing_argument(match: re.Match[str]) -> MessageReading:
    kind, name = match[1], match[2]
    transposed = kind.startswith("ConvTranspose")
    dimensions = int(kind[-2])
    x, taps = (1, 3, *(8,) * dimensions), (3,) * dimensions
    function = f"conv_transpose{dimensions}d" if transposed else f"conv{dimensions}d"
    return MessageReading(
        function=kind,
        meanings=((name, "what was not given"),),
        fault=f"nn.{kind} needs in_channels, out_channels and kernel_size; {name} is missing.",
        fixes=(
            (
                f"For example nn.{kind}(3, 4, kernel_size=3), which computes:",
                ExampleCall(function=function, operands=(x, (3, 4, *taps) if transposed else (4, 3, *taps))),
            ),
        ),
    )
