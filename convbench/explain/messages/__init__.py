"""What does torch mean by this message about shapes, which number is to be changed, and which call works?

Each message is read by its numbers, and each call that is offered has been run before it is shown.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from convbench.errors import ConvbenchError, one_line
from convbench.explain.messages import channels, folding, options, shapes
from convbench.explain.messages.reading import INT, LIST, Decoded, MessageReading, try_out

LONGEST = 20_000  # characters of what is read: a traceback, not a log


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One kind of message: how it is recognised, and how it is read."""

    name: str
    title: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], MessageReading]


def decode(text: str) -> Decoded:
    """What a message, or a traceback that holds one, says.

    Raises:
        ConvbenchError: it is none that is known.
    """
    line = " ".join(text[-LONGEST:].split())
    for message in MESSAGES:
        if (match := message.pattern.search(line)) is None:
            continue
        try:
            reading = message.read(match)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            continue  # the words of torch, but numbers that it never says
        return Decoded(
            name=message.name,
            title=message.title,
            function=reading.function,
            message=match[0],
            meanings=reading.meanings,
            fault=reading.fault,
            fixes=tuple(try_out(reading.fixes)),
        )
    raise ConvbenchError(
        f"unknown message: {one_line(line, 200)!r}; known are messages of conv2d, unfold and fold about "
        f"shapes, types and options; give the whole last line of the traceback, or pipe all of it to 'convbench "
        f"error -'"
    )


def _message(name: str, title: str, pattern: str, read: Callable[[re.Match[str]], MessageReading]) -> Message:
    return Message(name=name, title=title, pattern=re.compile(pattern), read=read)


_PAIR = r"[\[(]([-\d, ]+)[\])]"

MESSAGES = (
    _message(
        "channels",
        "x has the wrong number of channels",
        rf"Given (groups|transposed)={INT}, weight of size {LIST}, expected input ?\[([\d, ]+)\] to have "
        rf"{INT} channels, but got {INT} channels",
        channels.channels,
    ),
    _message(
        "filters",
        "groups and filters do not match",
        rf"Given groups={INT}, expected weight to be (at least|divisible by) {INT} at dimension 0, but got weight of "
        rf"size {LIST}",
        channels.weight_groups,
    ),
    _message(
        "divisible",
        "groups do not divide the channels",
        r"\b(in|out)_channels must be divisible by groups",
        channels.indivisible,
    ),
    _message(
        "bias",
        "a bias of the wrong length",
        rf"Given weight of size {LIST}, expected bias to be 1-dimensional with {INT} elements, but got bias of size "
        rf"{LIST}",
        channels.bias,
    ),
    _message(
        "kernel",
        "the kernel is larger than x",
        r"padded input size per channel: \(([\d x]+)\)\. Kernel size: \(([\d x]+)\)\. Kernel size can't be greater "
        r"than",
        shapes.kernel,
    ),
    _message(
        "blocks",
        "the kernel is larger than x",
        rf"Given (?:an )?input with spatial size {_PAIR}, kernel_size={_PAIR}, dilation={_PAIR}, padding={_PAIR}.*?"
        rf"sliding blocks (?:as|is) {_PAIR}",
        shapes.blocks,
    ),
    _message(
        "dimensions",
        "x has the wrong number of dimensions",
        rf"Expected 3D \(unbatched\) or 4D \(batched\) input to (conv2d), but got input of size: {LIST}",
        shapes.dimensions,
    ),
    _message(
        "unfold-dimensions",
        "x has the wrong dimensions, or is empty",
        rf"Expected 3D or 4D \(batch mode\) tensor .*?but got: {_PAIR}",
        shapes.unfold_dimensions,
    ),
    _message(
        "fold-dimensions",
        "F.fold needs columns",
        rf"Expected 2D or 3D \(batch mode\) tensor .*?but got: {_PAIR}",
        folding.fold_dimensions,
    ),
    _message(
        "fold-length",
        "the number of columns is wrong",
        rf"Given output_size={_PAIR}, kernel_size={_PAIR}, dilation={_PAIR}, padding={_PAIR}, stride={_PAIR}, "
        rf"expected .*?sliding blocks {INT} \* {INT} = {INT}, but got input\.size\(-?\d+\)={INT}",
        folding.fold_length,
    ),
    _message(
        "fold-taps",
        "the number of rows is wrong",
        rf"divisible by the product of kernel_size, but got input\.(?:size|shape)[\[(]-?\d+[\])] ?= ?{INT} and "
        rf"kernel_size={_PAIR}",
        folding.fold_taps,
    ),
    _message(
        "pairs",
        "one number or a pair",
        rf"expected (stride|padding|dilation|output_padding) to be a single integer value or a list of {INT} "
        rf"values? to match the convolution dimensions, but got \w+={LIST}",
        shapes.pairs,
    ),
    _message("flat-weight", "w is flat", r"weight should have at least three dimensions", shapes.flat_weight),
    _message(
        "positive", "an option must be positive", r"non-positive (stride|groups) is not supported", options.positive
    ),
    _message("negative-padding", "negative padding", r"negative padding is not supported", options.negative_padding),
    _message(
        "dilation",
        "a dilation of zero",
        rf"dilation should be greater than zero, but got {_PAIR}",
        options.zero_dilation,
    ),
    _message(
        "options",
        "an option is too small",
        rf"(stride|kernel size|dilation|padding) should be (?:greater than zero|non-negative), but got \w+_height: "
        rf"{INT} \w+_width: {INT}",
        options.zero_option,
    ),
    _message(
        "same", "padding='same' and a stride", r"padding='same' is not supported for strided convolutions", options.same
    ),
    _message("padding-word", "padding as a word", r"Invalid padding string:? '([^']*)'", options.padding_word),
    _message(
        "padding-mode",
        "an unknown padding_mode",
        r"padding_mode must be one of .*?padding_mode='([^']*)'",
        options.padding_mode,
    ),
    _message(
        "reflect",
        "more padding than reflect can provide",
        rf"Padding size should be less than the corresponding input dimension, but got: padding \(([-\d, ]+)\) "
        rf"at dimension {INT} of input {LIST}",
        options.mode_size,
    ),
    _message(
        "circular",
        "more padding than circular can provide",
        r"Padding value causes wrapping around more than once",
        options.wrapping,
    ),
    _message(
        "operand-type",
        "x and a weight or bias differ in type or device",
        r"Input type \(([\w.: ]+)\) and (weight|bias) type \(([\w.: ]+)\) should be the same",
        options.operand_type,
    ),
    _message(
        "scalar-type", "x and w differ in type", r"expected scalar type (\w+) but found (\w+)", options.scalar_type
    ),
    _message(
        "not-implemented",
        "this type is not supported",
        r"\"(\w*(?:conv|im2col|col2im)\w*)\" not implemented for '(\w+)'",
        options.not_implemented,
    ),
    _message(
        "addition",
        "two tensors of different sizes",
        rf"The size of tensor a \({INT}\) must match the size of tensor b \({INT}\) at non-singleton dimension "
        rf"{INT}",
        shapes.addition,
    ),
    _message(
        "product",
        "a linear layer of another size",
        rf"mat1 and mat2 shapes cannot be multiplied \({INT}x{INT} and {INT}x{INT}\)",
        shapes.matrix_product,
    ),
    _message(
        "einsum",
        "patches and kernel of different lengths",
        rf"subscript (\w) has size {INT} for operand 1 which does not broadcast with previously seen size {INT}",
        shapes.einsum,
    ),
    _message(
        "arguments",
        "arguments of the wrong type",
        r"conv2d\(\) received an invalid combination of arguments - got \((.*?)\), but expected",
        options.arguments,
    ),
)
