"""What torch says of poolings, normalisations, losses, upsampling, and weights that are loaded."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re
from typing import Any

from convbench.explain.messages.reading import (
    SOME_W,
    SOME_X,
    ExampleCall,
    MessageReading,
    by,
    fitted,
    show,
    sizes,
)


def _norm(shape: tuple[int, ...], **options: Any) -> ExampleCall:
    """A batch norm of a tensor by its own mean and variance."""
    return ExampleCall(
        function="batch_norm", operands=(shape, shape[1:2], shape[1:2]), options={"training": True} | options
    )


def pool_output(match: re.Match[str]) -> MessageReading:
    x, y = sizes(match[1].replace("x", " ")), sizes(match[2].replace("x", " "))
    kind = f"{len(x) - 1}d"
    image = x[1:]
    channels = max(1, x[0])
    window = tuple(max(1, size) for size in image)
    return MessageReading(
        function=f"max_pool{kind}",
        meanings=(
            (by(x), f"x: {x[0]} channels of {by(image)}"),
            (by(y), f"what would come out: {by(y[1:])}, so no window fits"),
        ),
        fault=f"The pooling's window is larger than x, which is {by(image)} here after the layers before it.",
        fixes=(
            (
                f"A kernel_size of at most {by(window)}:",
                ExampleCall(
                    function=f"avg_pool{kind}", operands=((1, channels, *window),), options={"kernel_size": window}
                ),
            ),
            (
                "Or a pooling that fits every size, adaptive to one output:",
                ExampleCall(
                    function=f"adaptive_avg_pool{kind}",
                    operands=((1, channels, *window),),
                    options={"output_size": (1,) * len(window)},
                ),
            ),
            (
                "Or a larger x: with twice the input size, this one is twice as large. Or fewer strides and poolings.",
                ExampleCall(
                    function=f"max_pool{kind}",
                    operands=((1, channels, *(2 * size for size in window)),),
                    options={"kernel_size": 2},
                ),
            ),
        ),
    )


def pool_row(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="max_pool1d",
        meanings=(("output size", "(L + 2·padding − dilation·(kernel − 1) − 1) // stride + 1"),),
        fault="The pooling's window is longer than x, so nothing comes out.",
        fixes=(
            (
                "A kernel_size of at most the length of x, such as 4 for 4, or a longer x:",
                ExampleCall(function="max_pool1d", operands=((1, 3, 4),), options={"kernel_size": 4}),
            ),
        ),
    )


def pool_padding(match: re.Match[str]) -> MessageReading:
    pad, kernel, dilation = (int(match[i]) for i in (1, 2, 3))
    extent = (kernel - 1) * dilation + 1
    most = max(0, extent // 2)
    return MessageReading(
        function="max_pool2d",
        meanings=(
            (f"pad={pad}", "rows and columns around x"),
            (f"kernel_size={kernel}", f"the window; with dilation {dilation} it spans {extent}"),
        ),
        fault=f"With more than half a window of padding, {extent} // 2 = {most}, a window could hold padding alone.",
        fixes=(
            (
                f"padding={most} is the most that this window allows:",
                ExampleCall(
                    function="max_pool2d",
                    operands=((1, 1, extent + 1, extent + 1),),
                    options={"kernel_size": kernel, "dilation": dilation, "padding": most},
                ),
            ),
            (
                f"Or a kernel_size of {2 * max(0, pad)}, which allows padding={pad}:",
                ExampleCall(
                    function="max_pool2d",
                    operands=((1, 1, 8, 8),),
                    options={"kernel_size": 2 * max(0, pad), "padding": pad},
                ),
            ),
        ),
    )


def pool_dimensions(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="max_pool2d",
        meanings=(("3D or 4D", "(C, H, W) for one image, (N, C, H, W) for a batch, none of them zero"),),
        fault="x is not an image or a batch of images, or one of its sizes is zero.",
        fixes=(
            (
                "For a grey image of H×W, x[None, None] adds N and C:",
                ExampleCall(function="max_pool2d", operands=((1, 1, 8, 8),), options={"kernel_size": 2}),
            ),
        ),
    )


def dimension_range(match: re.Match[str]) -> MessageReading:
    low, high, got = (int(match[i]) for i in (1, 2, 3))
    has, wanted = high + 1, (-got if got < 0 else got + 1)
    if not 0 <= has < wanted <= 8:
        raise ValueError("no number of dimensions that an image has")
    lacking = max(1, wanted - has)
    shape = (1,) * lacking + (8,) * max(0, has)
    names = ", ".join(["None"] * lacking)
    pools = {3: "avg_pool1d", 4: "avg_pool2d", 5: "avg_pool3d"}.get(max(3, len(shape)), "avg_pool2d")
    return MessageReading(
        function="x",
        meanings=(
            (f"[{low}, {high}]", f"the dimensions that x has: {has} of them"),
            (str(got), f"the one asked for: x needs {wanted} dimensions at least"),
        ),
        fault=f"x has {has} dimension{'s' * (has != 1)} where {wanted} are needed: a batch, or channels, is missing.",
        fixes=(
            (
                f"x[{names}] adds {lacking} in front:",
                ExampleCall(
                    function=pools, operands=((1,) * max(0, 3 - len(shape)) + shape,), options={"kernel_size": 2}
                ),
            ),
        ),
    )


def pool_stride(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="max_pool2d",
        meanings=(("stride", "how far the window moves from one output to the next"),),
        fault="The stride of a pooling must be at least 1; without one it is the kernel_size.",
        fixes=(
            (
                "Leave it out, or give the kernel_size, such as 2:",
                ExampleCall(function="max_pool2d", operands=((1, 3, 8, 8),), options={"kernel_size": 2, "stride": 2}),
            ),
        ),
    )


def pool_kernel(match: re.Match[str]) -> MessageReading:
    height, width = int(match[1]), int(match[2])
    window = (max(1, height), max(1, width))
    return MessageReading(
        function="max_pool2d",
        meanings=((f"kH: {height} kW: {width}", "the window, height and width"),),
        fault="The window of a pooling must be at least 1×1.",
        fixes=(
            (
                f"kernel_size={window} is the least here; 2 halves x:",
                ExampleCall(
                    function="max_pool2d",
                    operands=((1, 3, max(8, window[0]), max(8, window[1])),),
                    options={"kernel_size": window},
                ),
            ),
        ),
    )


def unpool(match: re.Match[str]) -> MessageReading:
    x, indices = sizes(match[1]), sizes(match[2])
    return MessageReading(
        function="max_unpool2d",
        meanings=((show(x), "x, what is spread out"), (show(indices), "the places, from return_indices=True")),
        fault="Each value of x needs its place: take the indices of the pooling whose output has the size of x.",
        fixes=(
            (
                f"The pooling whose indices are {by(x[-2:])}:",
                ExampleCall(
                    function="max_pool2d",
                    operands=((*x[:-2], 2 * x[-2], 2 * x[-1]),),
                    options={"kernel_size": 2},
                ),
            ),
        ),
    )


def batch_norm(match: re.Match[str]) -> MessageReading:
    name, wanted, got = match[1], int(match[2]), int(match[3])
    return MessageReading(
        function="batch_norm",
        meanings=(
            (f"{wanted} elements", "one per channel of x: x.shape[1]"),
            (f"not {got}", f"what {name} has: num_features of the layer"),
        ),
        fault=f"The layer normalises {got} channels and x has {wanted}, as many as the convolution before it gives.",
        fixes=(
            (
                f"Change the layer: set num_features to {wanted} (it is {got}), such as nn.BatchNorm2d({wanted}).",
                _norm((2, wanted, 8, 8)),
            ),
            (
                f"Or give the convolution before it {got} filters: set its out_channels to {got}.",
                ExampleCall(function="conv2d", operands=((1, 3, 8, 8), (got, 3, 3, 3))),
            ),
        ),
    )


_NORMS = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}


def batch_norm_dimensions(match: re.Match[str]) -> MessageReading:
    wanted, got = int(match[1]), int(match[2])
    fixes: list[tuple[str, ExampleCall]] = []
    if got == wanted - 1:
        fixes.append(
            (
                "If it is one image without a batch, x[None] adds N; in training a batch norm needs several values.",
                _norm((1, *((8,) * (wanted - 1)))),
            )
        )
    if got in _NORMS:
        fixes.append(
            (
                f"Or, for {got} dimensions, nn.BatchNorm{_NORMS[got]}:",
                _norm((2, *((8,) * (got - 1)))),
            )
        )
    if got == 2 and wanted == 4:
        fixes.append(("Or normalise before flatten, where x is (N, C, H, W).", _norm((2, 8, 4, 4))))
    return MessageReading(
        function="batch_norm",
        meanings=(
            (f"{match[0].split(' input')[0].removeprefix('expected ')}", "what this layer takes, N and C first"),
            (f"{got}D", "what x has"),
        ),
        fault=f"The layer is for another number of dimensions than the {got} of x.",
        fixes=tuple(fixes) or (("For images:", _norm((2, 8, 4, 4))),),
    )


def one_value(match: re.Match[str]) -> MessageReading:
    spatial, x = "spatial" in match[1], sizes(match[2])
    n, *rest = x or (1, 8)
    channels = rest[0] if rest else 1
    larger = (n, channels, *(2 for _ in rest[1:]))
    fixes = (
        (
            "Give it a larger x, 2 or more values per channel: fewer strides before it, or a larger input.",
            _norm(larger) if len(larger) > 2 else _norm((2, channels)),
        ),
        ("Or use the layer in evaluation, model.eval(), with the statistics that it has kept.", _norm((2, *rest))),
    )
    if not spatial:
        fixes = (
            (
                (
                    "Train on batches of 2 or more; DataLoader(drop_last=True) leaves out a last batch of 1. Or call "
                    "model.eval() to use it."
                ),
                _norm((2, *rest)),
            ),
            fixes[0],
        )
    return MessageReading(
        function="batch_norm",
        meanings=((show(x), f"x: {n} image{'s' * (n != 1)}, one value in each channel"),),
        fault="The variance of a single value is zero, so nothing can be normalised by it in training.",
        fixes=fixes,
    )


def group_norm(match: re.Match[str]) -> MessageReading:
    channels, groups = int(match[1]), int(match[2])
    some = [one for one in range(1, min(channels, 4096) + 1) if channels % one == 0]
    near = sorted(some, key=lambda one: abs(one - groups))[:2]
    return MessageReading(
        function="group_norm",
        meanings=((f"num_channels ({channels})", "C of x"), (f"num_groups ({groups})", "parts of equal size")),
        fault=f"{channels} channels cannot be divided into {groups} equal groups.",
        fixes=tuple(
            (
                f"{'Or ' * (place > 0)}num_groups={one}: {channels // one} channels in each.",
                ExampleCall(function="group_norm", operands=((1, channels, 4, 4),), options={"num_groups": one}),
            )
            for place, one in enumerate(sorted(near))
        ),
    )


def group_norm_channels(match: re.Match[str]) -> MessageReading:
    w, x = sizes(match[2]), sizes(match[3])
    channels = x[1]
    return MessageReading(
        function="group_norm",
        meanings=((show(w), f"the {match[1]}: num_channels of the layer"), (show(x), f"x: {channels} channels")),
        fault=f"The layer is for {w[0] if w else 0} channels and x has {channels}.",
        fixes=(
            (
                f"Change the layer: set num_channels to {channels}{f' (it is {w[0]})' if w else ''}.",
                ExampleCall(function="group_norm", operands=(x,), options={"num_groups": 1}),
            ),
        ),
    )


def layer_norm(match: re.Match[str]) -> MessageReading:
    wanted, x = sizes(match[1]), sizes(match[2])
    fixes: list[tuple[str, ExampleCall]] = []
    for shape in (x[1:], x[-len(wanted) :]):
        if shape and shape != wanted:
            fixes.append(
                (
                    f"{'Or ' * bool(fixes)}normalized_shape={shape}, the last {len(shape)} of x's sizes:",
                    ExampleCall(function="layer_norm", operands=(x,), options={"normalized_shape": shape}),
                )
            )
    if len(wanted) == 1 and len(x) == 4 and x[1] == wanted[0]:
        moved = (x[0], *x[2:], x[1])
        fixes.append(
            (
                "Or, to normalise each pixel over its channels, as ConvNeXt does, x.permute(0, 2, 3, 1):",
                ExampleCall(function="layer_norm", operands=(moved,), options={"normalized_shape": wanted}),
            )
        )
    return MessageReading(
        function="layer_norm",
        meanings=(
            (f"normalized_shape={show(wanted)}", "the last sizes that the layer normalises over"),
            (show(x), "x; its last sizes must be those"),
        ),
        fault=f"x ends in {show(x[-max(1, len(wanted)) :])}, not in {show(wanted)}: LayerNorm counts from the last "
        "dimension, and in (N, C, H, W) that is W.",
        fixes=tuple(fixes),
    )


def interpolate(match: re.Match[str]) -> MessageReading:
    x, size = sizes(match[1]), sizes(match[2])
    new = tuple((*size, *size[-1:] * len(x))[: len(x)])
    return MessageReading(
        function="interpolate",
        meanings=((show(x), f"x without N and C: {len(x)} sizes"), (str(size), f"the size asked for: {len(size)}")),
        fault=f"size must have as many numbers as x has after (N, C): {len(x)}, not {len(size)}.",
        fixes=((f"size={new}:", ExampleCall(function="interpolate", operands=((1, 3, *x),), options={"size": new})),),
    )


_MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}


def interpolate_mode(match: re.Match[str]) -> MessageReading:
    got, mode, wanted = int(match[1]), match[2], int(match[3])
    right = _MODES.get(got, "nearest")
    shape = (1, 3, *((8,) * max(1, got - 2)))
    return MessageReading(
        function="interpolate",
        meanings=((f"{got}D", "x, with N and C"), (mode, f"a mode for {wanted} dimensions")),
        fault=f"{mode} is for x of {wanted} dimensions; for {got} it is {right}.",
        fixes=(
            (
                f"mode='{right}', or 'nearest', which takes all:",
                ExampleCall(function="interpolate", operands=(shape,), options={"scale_factor": 2, "mode": right}),
            ),
        ),
    )


def pixel_shuffle(match: re.Match[str]) -> MessageReading:
    got, square = int(match[1]), int(match[2])
    many = max(1, -(-got // square)) * square
    factor = round(square**0.5)
    return MessageReading(
        function="pixel_shuffle",
        meanings=((str(got), "the channels of x"), (str(square), f"upscale_factor²: {factor}·{factor}")),
        fault=f"Each output channel takes {square} of x's, and {got} is no multiple of {square}.",
        fixes=(
            (
                f"Set out_channels of the convolution before it to {many}, for {many // square} channels.",
                ExampleCall(function="pixel_shuffle", operands=((1, many, 4, 4),), options={"upscale_factor": factor}),
            ),
        ),
    )


def crop(_: re.Match[str]) -> MessageReading:
    return MessageReading(
        function="pad",
        meanings=(("length", "what is left of a dimension after negative padding, which crops"),),
        fault="The negative padding crops more rows or columns than x has.",
        fixes=(
            (
                "Crop less than the size, such as 1 on each side of 4:",
                ExampleCall(function="pad", operands=((1, 1, 4, 4),), options={"pad": (-1, -1, 0, 0)}),
            ),
        ),
    )


def prelu(match: re.Match[str]) -> MessageReading:
    got, channels = int(match[1]), int(match[2])
    return MessageReading(
        function="prelu",
        meanings=((str(got), "num_parameters of the layer"), (str(channels), "the channels of x")),
        fault=f"The layer has {got} slopes for {channels} channels; it takes one for each, or one for all.",
        fixes=(
            (
                f"num_parameters={channels}:",
                ExampleCall(function="prelu", operands=((1, channels, 4, 4), (channels,))),
            ),
            ("Or one for all, the default:", ExampleCall(function="prelu", operands=((1, channels, 4, 4), (1,)))),
        ),
    )


def loss_batch(match: re.Match[str]) -> MessageReading:
    x, target = int(match[1]), int(match[2])
    fixes: list[tuple[str, ExampleCall]] = [
        (
            f"Give {x} targets, one for each row:",
            ExampleCall(function="cross_entropy", operands=((x, 10), (x, 10))),
        )
    ]
    reason = ""
    if target and x % target == 0:
        reason = (
            f" {x} is {x // target}·{target}: a view or reshape before the last layer has mixed images and channels."
        )
        fixes.append(
            (
                "Or flatten with x.flatten(1), which keeps the images apart:",
                ExampleCall(function="cross_entropy", operands=((target, 10), (target, 10))),
            )
        )
    return MessageReading(
        function="cross_entropy",
        meanings=((f"({x})", "rows of the model's output"), (f"({target})", "targets")),
        fault=f"The model gives {x} rows and there are {target} targets.{reason}",
        fixes=tuple(fixes),
    )


def target_size(match: re.Match[str]) -> MessageReading:
    target, x = sizes(match[1]), sizes(match[2])
    fixes: list[tuple[str, ExampleCall]] = []
    if len(x) == len(target) == 4 and x[:2] == target[:2]:
        fixes.append(
            (
                f"Bring one to the other's size, such as the output to {by(target[2:])}:",
                ExampleCall(function="interpolate", operands=(x,), options={"size": target[2:]}),
            )
        )
    elif len(target) == len(x) - 1 and x[:1] + x[2:] == target:
        fixes.append(
            ("The target lacks the channels: target[:, None].", ExampleCall(function="mse_loss", operands=(x, x)))
        )
    fixes.append((f"Both must be {show(x)}:", ExampleCall(function="mse_loss", operands=(x, x))))
    return MessageReading(
        function="loss",
        meanings=((show(target), "the target"), (show(x), "the output of the model")),
        fault=f"This loss compares number by number, and the output is {show(x)}, the target {show(target)}.",
        fixes=tuple(fixes),
    )


def load_size(match: re.Match[str]) -> MessageReading:
    name, theirs, ours = match[1], sizes(match[2]), sizes(match[3])
    meanings = (
        (name, "the parameter, by its place in the model"),
        (show(theirs), "its size in the file"),
        (show(ours), "its size in your model"),
    )
    differ = [place for place, (one, other) in enumerate(zip(theirs, ours, strict=False)) if one != other]
    words = {0: "out_channels", 1: "in_channels / groups", 2: "kernel height", 3: "kernel width"}
    if len(theirs) == 2:
        words = {0: "out_features", 1: "in_features"}
    if len(theirs) == 1:
        words = {0: "num_features, out_channels or out_features"}
    if len(theirs) != len(ours):
        fault = f"The file has {len(theirs)} sizes for {name} and the model {len(ours)}: it is another kind of layer."
        change = f"Make the layer one with a parameter of {show(theirs)}."
    else:
        changes = " and ".join(f"{words.get(place, 'a size')} {theirs[place]}" for place in differ)
        fault = f"{name} is {show(theirs)} in the file and {show(ours)} in the model."
        change = f"Build the model as the file has it: {changes} (it is {', '.join(str(ours[p]) for p in differ)})."
    return MessageReading(
        function="load_state_dict",
        meanings=meanings,
        fault=f"{fault} strict=False does not help, as it only skips names.",
        fixes=(
            (change, _of_parameter(theirs)),
            (
                (
                    f"Or leave it out and train it anew, as for a head with other classes: "
                    f"state.pop({name!r}); model.load_state_dict(state, strict=False)."
                ),
                _of_parameter(ours),
            ),
        ),
    )


def _of_parameter(shape: tuple[int, ...]) -> ExampleCall:
    """A call with a parameter of a size."""
    if len(shape) in (3, 4, 5):
        return fitted((1, shape[1], *(max(8, size) for size in shape[2:])), shape)
    if len(shape) == 2:
        return ExampleCall(function="linear", operands=((1, shape[1]), shape))
    channels = shape[0] if shape else 1
    return _norm((2, channels, 8, 8))


def load_keys(match: re.Match[str]) -> MessageReading:
    text = match[0]
    missing, unexpected = (
        re.findall(r'"([^"]{1,200})"', part[1])
        if (part := re.search(rf"{word} key\(s\) in state_dict: ([^:]*)", text))
        else []
        for word in ("Missing", "Unexpected")
    )
    prefix = next(
        (
            one[: -len(other)]
            for one in unexpected
            for other in missing
            if one.endswith(f".{other}") and len(one) > len(other)
        ),
        "",
    )
    added = next((other[: -len(one)] for one in unexpected for other in missing if other.endswith(f".{one}")), "")
    meanings = tuple(
        (f"{len(keys)} {word}", f"{', '.join(keys[:3])}{', ...' * (len(keys) > 3)}: {what}")
        for keys, word, what in (
            (missing, "missing", "in the model, not in the file"),
            (unexpected, "unexpected", "in the file, not in the model"),
        )
        if keys
    )
    if prefix:
        fault = f"The names in the file begin with {prefix!r}, which wrappers such as DataParallel or compile add."
        words = f"Strip it: model.load_state_dict({{k.removeprefix({prefix!r}): v for k, v in state.items()}})."
    elif added:
        fault = f"The names in the model begin with {added!r}, and those in the file do not."
        words = f"Add it: model.load_state_dict({{{added!r} + k: v for k, v in state.items()}})."
    elif missing and not unexpected:
        fault = "The model has parameters that the file does not have, such as the bias of a layer."
        words = "Build the layers as the file has them (bias=False if only biases are missing), or pass strict=False."
    elif unexpected and not missing:
        fault = "The file has parameters that the model does not have, such as the bias of a layer."
        words = "Build the layers as the file has them (bias=True if only biases are left), or pass strict=False."
    else:
        fault = "The file is of another model, or of another version of it: the names differ."
        words = "Compare model.state_dict().keys() with those of the file, and build the same layers."
    return MessageReading(
        function="load_state_dict",
        meanings=meanings or (("keys", "the names of parameters"),),
        fault=fault,
        fixes=((words, fitted(SOME_X, SOME_W)),),
    )
