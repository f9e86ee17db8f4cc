"""What does torch mean by this message about shapes, which number is to be changed, and which call works?

Each message is read by its numbers, and each call that is offered has been run before it is shown.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from convbench.errors import ConvbenchError, one_line
from convbench.explain.messages import channels, folding, joins, layers, options, shapes, transposed
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
        f"unknown message: {one_line(line, 200)!r}; convbench knows PyTorch's messages about shapes, types and options "
        f"of convolution, fold, pooling, normalization and linear layers, of losses, and of functions that join "
        f"tensors (cat, stack); give the whole last line of the traceback, or pipe all of it to 'convbench error -'"
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
        rf"Given (transposed=1, )?weight of size {LIST}, expected bias to be 1-dimensional with {INT} elements, but "
        rf"got bias of size "
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
        rf"Expected ([234])D \(unbatched\) or ([345])D \(batched\) input to (conv(?:_transpose)?[123]d), but got input "
        rf"of size: {LIST}",
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
        "positive",
        "an option must be positive",
        r"non-positive (stride|groups) is not supported|\b(groups) must be a positive integer",
        options.positive,
    ),
    _message(
        "negative-padding",
        "negative padding",
        r"negative (output_)?padding is not supported",
        options.negative_padding,
    ),
    _message(
        "dilation",
        "a dilation below 1",
        rf"dilation should be greater than zero(?:, but got {_PAIR}|, but got dilation_height: {INT}, dilation_width: "
        rf"{INT}|(?!, but got))",
        options.small_dilation,
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
        "a linear layer of the wrong size",
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
        r"\b(conv(?:_transpose)?[123]d)\(\) received an invalid combination of arguments - got \((.*?)\), but expected",
        options.arguments,
    ),
    _message(
        "missing-argument",
        "an argument is missing",
        r"\b(Conv(?:Transpose)?[123]d)\.__init__\(\) missing \d required positional arguments?: '(\w+)'",
        options.missing_argument,
    ),
    _message(
        "output-padding",
        "too much output_padding",
        rf"output padding must be smaller than either stride or dilation, but got output_padding_height: {INT} "
        rf"output_padding_width: {INT} stride_height: {INT} stride_width: {INT} dilation_height: {INT} dilation_width: "
        rf"{INT}",
        transposed.output_padding,
    ),
    _message(
        "output-size",
        "an output_size that no stride leaves open",
        rf"requested an output size of {_PAIR}, but valid sizes range from {_PAIR} to {_PAIR} \(for an input of {LIST}",
        transposed.output_size,
    ),
    _message(
        "output-size-length",
        "output_size has the wrong length",
        rf"ConvTranspose([123])D: for \dD input, output_size must have {INT} or {INT} elements \(got {INT}\)",
        transposed.output_size_length,
    ),
    _message(
        "empty-output",
        "a transposed convolution with an empty output",
        r"Given input size per channel: \(([\d x]+)\)\. Calculated output size per channel: \(([-\d x]+)\)\. Output "
        r"size is too small",
        transposed.empty_output,
    ),
    _message(
        "transposed-padding-mode",
        "padding_mode of a transposed convolution",
        r"Only \"zeros\" padding mode is supported for ConvTranspose([123])d",
        transposed.padding_mode,
    ),
    _message(
        "pool-output",
        "a pooling larger than x",
        r"Given input size: \(([\dx]+)\)\. Calculated output size: \(([-\dx]+)\)\. Output size is too small",
        layers.pool_output,
    ),
    _message("pool-row", "a pooling longer than x", r"max_pool1d\(\) Invalid computed output size", layers.pool_row),
    _message(
        "pool-padding",
        "too much padding for a pooling",
        rf"pad should be at most half of effective kernel size, but got pad={INT}, kernel_size={INT} and "
        rf"dilation={INT}",
        layers.pool_padding,
    ),
    _message(
        "pool-dimensions",
        "x is no image, or is empty",
        r"non-empty 3D or 4D \(batch mode\) tensor expected for input",
        layers.pool_dimensions,
    ),
    _message(
        "dimension-range",
        "x has too few dimensions",
        rf"Dimension out of range \(expected to be in range of \[{INT}, {INT}\], but got {INT}\)",
        layers.dimension_range,
    ),
    _message("pool-stride", "a stride of zero", r"stride should not be zero", layers.pool_stride),
    _message(
        "pool-kernel",
        "a pooling of size zero",
        rf"kernel size should be greater than zero, but got kH: {INT} kW: {INT}",
        layers.pool_kernel,
    ),
    _message(
        "unpool",
        "indices of another pooling",
        rf"Expected shape of indices to be same as that of the input tensor \({LIST}\) but got indices tensor with "
        rf"shape: {LIST}",
        layers.unpool,
    ),
    _message(
        "batch-norm",
        "a batch norm for other channels",
        rf"(running_mean|running_var|weight|bias) should contain {INT} elements not {INT}",
        layers.batch_norm,
    ),
    _message(
        "batch-norm-dimensions",
        "a norm for other dimensions",
        r"expected (?:2D or )?([2345])D input \(got (\d)D input\)",
        layers.batch_norm_dimensions,
    ),
    _message(
        "one-value",
        "one value cannot be normalised",
        rf"Expected more than 1 (value per channel|spatial element) when training, got input size {LIST}",
        layers.one_value,
    ),
    _message(
        "group-norm",
        "groups that do not divide the channels",
        rf"num_channels \({INT}\) must be divisible by num_groups \({INT}\)",
        layers.group_norm,
    ),
    _message(
        "group-norm-channels",
        "a group norm for other channels",
        rf"Expected (weight|bias) to be a vector of size equal to the number of channels in input, but got \w+ of "
        rf"shape {LIST} and input of shape {LIST}",
        layers.group_norm_channels,
    ),
    _message(
        "layer-norm",
        "a layer norm for another size",
        rf"Given normalized_shape={LIST}, expected input with shape \[\*, [\d, ]+\], but got input of size ?{LIST}",
        layers.layer_norm,
    ),
    _message(
        "view",
        "a shape with another number of elements",
        rf"shape '{LIST}' is invalid for input of size {INT}",
        joins.view,
    ),
    _message(
        "view-stride",
        "view of a tensor that is not in order",
        r"view size is not compatible with input tensor's size and stride",
        joins.view_stride,
    ),
    _message(
        "cat",
        "two tensors that do not fit side by side",
        rf"Sizes of tensors must match except in dimension {INT}\. Expected size {INT} but got size {INT} for tensor "
        rf"number {INT} in the list",
        joins.cat,
    ),
    _message(
        "cat-dimensions",
        "tensors with different numbers of dimensions",
        rf"Tensors must have same number of dimensions: got {INT} and {INT}",
        joins.cat_dimensions,
    ),
    _message("cat-empty", "nothing to join", r"expected a non-empty list of Tensors", joins.empty_list),
    _message(
        "stack",
        "images of different sizes in a batch",
        rf"stack expects each tensor to be equal size, but got {LIST} at entry {INT} and {LIST} at entry {INT}",
        joins.stack,
    ),
    _message(
        "target-size",
        "a mask of the wrong size",
        rf"arget size \({LIST}\) (?:that is different to the|must be the same as) input size \({LIST}",
        layers.target_size,
    ),
    _message(
        "load-size",
        "weights of the wrong size",
        rf"size mismatch for ([\w.]+): copying a param with shape {LIST} from checkpoint, the shape in current model "
        rf"is {LIST}",
        layers.load_size,
    ),
    _message(
        "load-keys",
        "weights with other names",
        r"(?:Missing|Unexpected) key\(s\) in state_dict: .*",
        layers.load_keys,
    ),
    _message(
        "interpolate",
        "a size with too many or too few numbers",
        rf"Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of "
        rf"{LIST} and output size of {_PAIR}",
        layers.interpolate,
    ),
    _message(
        "interpolate-mode",
        "a mode for other dimensions",
        r"Got (\d)D input, but (\w+) mode needs (\d)D input",
        layers.interpolate_mode,
    ),
    _message(
        "pixel-shuffle",
        "channels that cannot be shuffled",
        rf"pixel_shuffle expects its input's 'channel' dimension .*? but input\.size\(-3\)={INT} is not divisible by "
        rf"{INT}",
        layers.pixel_shuffle,
    ),
    _message("crop", "more cropped than there is", r"narrow\(\): length must be non-negative", layers.crop),
    _message(
        "prelu",
        "a PReLU for other channels",
        rf"Found parameter numbers = {INT} and channel size = {INT}",
        layers.prelu,
    ),
    _message(
        "loss-batch",
        "as many targets as outputs",
        rf"Expected input batch_size \({INT}\) to match target batch_size \({INT}\)",
        layers.loss_batch,
    ),
)
