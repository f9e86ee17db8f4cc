"""Which messages does torch raise around convolution, and does `convbench error` give the number that mends each?

Each call is made twice: with a value that is wrong, and with the one that the advice must name, which must work:
python scripts/provoke_errors.py prints every message with its advice. Exit 1: one is unknown, or its advice is wrong.
"""

# ruff: noqa: RUF001  # the times sign is meant: this is what the advice says

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from convbench.errors import ConvbenchError
from convbench.explain.messages import decode
from convbench.explain.messages.reading import Decoded

z = torch.zeros


@dataclass(frozen=True, slots=True, kw_only=True)
class Provocation:
    """A call that torch refuses, and its repair.

    Attributes:
        name: what was done.
        kind: of the message.
        call: takes the value.
        wrong, right: the value that is refused, and one that is not.
        advice: what the advice must say; the right value as text if empty.
    """

    name: str
    kind: str
    call: Callable[[Any], Any]
    wrong: Any
    right: Any
    advice: str = ""


def one(name: str, kind: str, call: Callable[[Any], Any], wrong: Any, right: Any, advice: str = "") -> Provocation:
    return Provocation(name=name, kind=kind, call=call, wrong=wrong, right=right, advice=advice)


def net(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


PROVOKED = (
    one("conv1d: channels", "channels", lambda c: nn.Conv1d(c, 4, 3)(z(1, 4, 16)), 3, 4, "set in_channels to 4"),
    one(
        "conv2d: channels",
        "channels",
        lambda c: nn.Conv2d(c, 4, 3)(z(1, 4, 8, 8)),
        3,
        4,
        "set in_channels to 4",
    ),
    one(
        "conv3d: channels",
        "channels",
        lambda c: nn.Conv3d(c, 4, 3)(z(1, 4, 8, 8, 8)),
        3,
        4,
        "set in_channels to 4",
    ),
    one(
        "conv2d: channels last",
        "channels",
        nn.Conv2d(3, 4, 3),
        z(1, 9, 8, 3),
        z(1, 9, 8, 3).permute(0, 3, 1, 2),
        "permute(0, 3, 1, 2)",
    ),
    one("conv2d: groups", "channels", lambda g: F.conv2d(z(1, 6, 8, 8), z(6, 1, 3, 3), groups=g), 1, 6, "groups=6"),
    one(
        "conv_transpose1d: channels",
        "channels",
        lambda c: nn.ConvTranspose1d(c, 4, 3)(z(1, 4, 8)),
        3,
        4,
        "set in_channels to 4",
    ),
    one(
        "conv_transpose2d: channels",
        "channels",
        lambda c: nn.ConvTranspose2d(c, 4, 3)(z(1, 4, 8, 8)),
        3,
        4,
        "set in_channels to 4",
    ),
    one(
        "conv_transpose3d: channels",
        "channels",
        lambda c: nn.ConvTranspose3d(c, 4, 3)(z(1, 4, 8, 8, 8)),
        3,
        4,
        "set in_channels to 4",
    ),
    one("conv1d: x of four", "dimensions", nn.Conv1d(3, 4, 3), z(1, 3, 8, 8), z(1, 3, 64), "x.flatten(2)"),
    one("conv2d: x of two", "dimensions", nn.Conv2d(1, 4, 3), z(8, 8), z(1, 1, 8, 8), "x[None, None]"),
    one(
        "conv2d: x of five",
        "dimensions",
        nn.Conv2d(3, 4, 3),
        z(2, 4, 3, 8, 8),
        z(8, 3, 8, 8),
        "x.flatten(0, 1)",
    ),
    one(
        "conv3d: x of three",
        "dimensions",
        nn.Conv3d(1, 4, 3),
        z(8, 8, 8),
        z(1, 1, 8, 8, 8),
        "x[None, None]",
    ),
    one(
        "conv_transpose1d: x of four",
        "dimensions",
        nn.ConvTranspose1d(3, 4, 3),
        z(1, 3, 8, 8),
        z(1, 3, 64),
        "x.flatten(2)",
    ),
    one(
        "conv_transpose2d: x of two",
        "dimensions",
        nn.ConvTranspose2d(1, 4, 3),
        z(8, 8),
        z(1, 1, 8, 8),
        "x[None, None]",
    ),
    one(
        "conv_transpose3d: x of three",
        "dimensions",
        nn.ConvTranspose3d(1, 4, 3),
        z(8, 8, 8),
        z(1, 1, 8, 8, 8),
        "x[None, None]",
    ),
    one("conv1d: kernel", "kernel", lambda p: F.conv1d(z(1, 1, 2), z(1, 1, 5), padding=p), 0, 2, "2 more"),
    one("conv2d: kernel", "kernel", lambda p: F.conv2d(z(1, 1, 2, 2), z(1, 1, 5, 5), padding=p), 0, 2, "2 more"),
    one("conv3d: kernel", "kernel", lambda p: F.conv3d(z(1, 1, 2, 2, 2), z(1, 1, 5, 5, 5), padding=p), 0, 2, "2 more"),
    one("conv1d: stride", "positive", lambda s: nn.Conv1d(1, 1, 3, stride=s)(z(1, 1, 8)), 0, 1, "stride=1"),
    one("conv2d: stride", "positive", lambda s: nn.Conv2d(1, 1, 3, stride=s)(z(1, 1, 8, 8)), 0, 1, "stride=1"),
    one(
        "conv2d: negative stride", "positive", lambda s: nn.Conv2d(1, 1, 3, stride=s)(z(1, 1, 8, 8)), -2, 1, "stride=1"
    ),
    one("conv3d: stride", "positive", lambda s: nn.Conv3d(1, 1, 3, stride=s)(z(1, 1, 8, 8, 8)), 0, 1, "stride=1"),
    one(
        "conv_transpose2d: stride",
        "positive",
        lambda s: nn.ConvTranspose2d(1, 1, 3, stride=s)(z(1, 1, 8, 8)),
        0,
        1,
        "stride=1",
    ),
    one(
        "conv2d: groups of 0", "positive", lambda g: F.conv2d(z(1, 1, 8, 8), z(1, 1, 3, 3), groups=g), 0, 1, "groups=1"
    ),
    one("conv1d: padding", "negative-padding", lambda p: nn.Conv1d(1, 1, 3, padding=p)(z(1, 1, 8)), -1, 0, "padding=0"),
    one(
        "conv2d: padding",
        "negative-padding",
        lambda p: nn.Conv2d(1, 1, 3, padding=p)(z(1, 1, 8, 8)),
        -1,
        0,
        "padding=0",
    ),
    one(
        "conv_transpose2d: padding",
        "negative-padding",
        lambda p: nn.ConvTranspose2d(1, 1, 3, padding=p)(z(1, 1, 8, 8)),
        -1,
        0,
        "padding=0",
    ),
    one("conv1d: dilation", "dilation", lambda d: nn.Conv1d(1, 1, 3, dilation=d)(z(1, 1, 8)), 0, 1, "dilation=1"),
    one("conv2d: dilation", "dilation", lambda d: nn.Conv2d(1, 1, 3, dilation=d)(z(1, 1, 8, 8)), 0, 1, "dilation=1"),
    one("conv3d: dilation", "dilation", lambda d: nn.Conv3d(1, 1, 3, dilation=d)(z(1, 1, 8, 8, 8)), 0, 1, "dilation=1"),
    one(
        "conv_transpose2d: dilation",
        "dilation",
        lambda d: nn.ConvTranspose2d(1, 1, 3, dilation=d)(z(1, 1, 8, 8)),
        0,
        1,
        "dilation=1",
    ),
    one(
        "conv2d: stride of three",
        "pairs",
        lambda s: F.conv2d(z(1, 1, 8, 8), z(1, 1, 3, 3), stride=s),
        (1, 2, 3),
        (1, 2),
        "stride=(1, 2)",
    ),
    one(
        "conv2d: padding of four",
        "pairs",
        lambda p: F.conv2d(z(1, 1, 8, 8), z(1, 1, 3, 3), padding=p),
        (1, 2, 1, 2),
        (1, 2),
        "padding=(1, 2)",
    ),
    one("conv1d: stride of two", "pairs", lambda s: F.conv1d(z(1, 1, 8), z(1, 1, 3), stride=s), (2, 1), 2, "stride=2"),
    one(
        "conv3d: stride of two",
        "pairs",
        lambda s: F.conv3d(z(1, 1, 8, 8, 8), z(1, 1, 3, 3, 3), stride=s),
        (2, 1),
        (2, 1, 1),
        "stride=(2, 1, 1)",
    ),
    one("conv2d: w of three", "pairs", lambda w: F.conv2d(z(1, 1, 8, 8), w), z(1, 3, 3), z(1, 1, 3, 3), "w[None]"),
    one(
        "conv2d: w of two", "flat-weight", lambda w: F.conv2d(z(1, 1, 8, 8), w), z(3, 3), z(1, 1, 3, 3), "w[None, None]"
    ),
    one(
        "conv_transpose2d: output_padding",
        "output-padding",
        lambda o: nn.ConvTranspose2d(1, 1, 3, stride=2, output_padding=o)(z(1, 1, 8, 8)),
        2,
        1,
        "output_padding=1",
    ),
    one(
        "conv_transpose2d: negative output_padding",
        "negative-padding",
        lambda o: F.conv_transpose2d(z(1, 1, 8, 8), z(1, 1, 3, 3), output_padding=o),
        -1,
        0,
        "output_padding=0",
    ),
    one(
        "conv_transpose2d: output_size",
        "output-size",
        lambda s: nn.ConvTranspose2d(1, 1, 3, stride=2)(z(1, 1, 8, 8), output_size=s),
        (20, 20),
        (18, 18),
        "output_size=(18, 18)",
    ),
    one(
        "conv_transpose2d: output_size of three",
        "output-size-length",
        lambda s: nn.ConvTranspose2d(1, 1, 3, stride=2)(z(1, 1, 8, 8), output_size=s),
        (18,),
        (18, 18),
        "2 numbers",
    ),
    one(
        "conv_transpose2d: too much padding",
        "empty-output",
        lambda p: F.conv_transpose2d(z(1, 1, 2, 2), z(1, 1, 3, 3), padding=p),
        3,
        1,
        "Give 2 less of padding",
    ),
    one(
        "conv_transpose2d: padding_mode",
        "transposed-padding-mode",
        lambda m: nn.ConvTranspose2d(1, 1, 3, padding_mode=m),
        "reflect",
        "zeros",
        "zeros",
    ),
    one("conv2d: bias", "bias", lambda k: F.conv2d(z(1, 1, 8, 8), z(2, 1, 3, 3), z(k)), 3, 2, "2 numbers"),
    one(
        "conv_transpose2d: bias",
        "bias",
        lambda k: F.conv_transpose2d(z(1, 1, 8, 8), z(1, 2, 3, 3), z(k)),
        3,
        2,
        "2 numbers",
    ),
    one(
        "conv2d: in_channels and groups",
        "divisible",
        lambda g: nn.Conv2d(3, 4, 3, groups=g),
        2,
        1,
        "in_channels must be a multiple of groups",
    ),
    one(
        "conv2d: out_channels and groups",
        "divisible",
        lambda g: nn.Conv2d(4, 3, 3, groups=g),
        2,
        1,
        "out_channels must be a multiple of groups",
    ),
    one("conv2d: groups below one, module", "positive", lambda g: nn.Conv2d(4, 4, 3, groups=g), 0, 1, "groups=1"),
    one(
        "conv2d: filters and groups",
        "filters",
        lambda k: F.conv2d(z(1, 6, 8, 8), z(k, 3, 3, 3), groups=2),
        3,
        4,
        "out_channels to 4",
    ),
    one("conv2d: same and stride", "same", lambda s: nn.Conv2d(1, 1, 3, padding="same", stride=s), 2, 1, "stride 1"),
    one("conv2d: padding word", "padding-word", lambda p: nn.Conv2d(1, 1, 3, padding=p), "full", "same", "'same'"),
    one(
        "conv2d: padding_mode",
        "padding-mode",
        lambda m: nn.Conv2d(1, 1, 3, padding_mode=m),
        "mirror",
        "reflect",
        "reflect",
    ),
    one(
        "conv2d: reflect",
        "reflect",
        lambda p: nn.Conv2d(1, 1, 3, padding=p, padding_mode="reflect")(z(1, 1, 4, 4)),
        4,
        3,
        "At most 3",
    ),
    one(
        "conv2d: circular",
        "circular",
        lambda p: nn.Conv2d(1, 1, 3, padding=p, padding_mode="circular")(z(1, 1, 4, 4)),
        5,
        4,
        "at most the size of x",
    ),
    one(
        "conv2d: double w",
        "scalar-type",
        lambda t: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3).to(t)),
        torch.float64,
        torch.float32,
        "x.to(w.dtype)",
    ),
    one(
        "conv2d: half model",
        "operand-type",
        lambda t: nn.Conv2d(1, 1, 3).half()(z(1, 1, 4, 4).to(t)),
        torch.float32,
        torch.float16,
        "x.to(layer.weight.dtype)",
    ),
    one(
        "conv2d: uint8 image",
        "operand-type",
        lambda t: nn.Conv2d(1, 1, 3)(z(1, 1, 4, 4).to(t)),
        torch.uint8,
        torch.float32,
        "x.to(layer.weight.dtype)",
    ),
    one(
        "conv2d: int64",
        "not-implemented",
        lambda t: F.conv2d(z(1, 1, 4, 4).to(t), z(1, 1, 3, 3).to(t)),
        torch.bool,
        torch.float32,
        "x.float()",
    ),
    one(
        "conv2d: x is an array",
        "arguments",
        nn.Conv2d(1, 1, 3),
        z(1, 1, 4, 4).tolist(),
        z(1, 1, 4, 4),
        "x, w and bias must be tensors",
    ),
    one(
        "conv2d: stride 1.5",
        "arguments",
        lambda s: F.conv2d(z(1, 1, 4, 4), z(1, 1, 2, 2), stride=s),
        1.5,
        1,
        "stride, padding and dilation integers",
    ),
    one("conv1d: stride 1.5", "arguments", lambda s: F.conv1d(z(1, 1, 4), z(1, 1, 2), stride=s), 1.5, 1, "stride=1"),
    one(
        "conv2d: numpy",
        "arguments",
        lambda x: F.conv2d(x, z(1, 1, 3, 3)),
        z(1, 1, 4, 4).numpy(),
        z(1, 1, 4, 4),
        "x, w and bias must be tensors",
    ),
    one("conv2d: kernel_size missing", "missing-argument", lambda k: nn.Conv2d(*k), (3, 4), (3, 4, 3), "kernel_size"),
    one("unfold: kernel", "blocks", lambda s: F.unfold(z(1, 1, s, s), 3), 2, 3, "3×3"),
    one(
        "unfold: dimensions",
        "unfold-dimensions",
        lambda x: F.unfold(x, 2),
        z(1, 1, 1, 4, 4),
        z(1, 1, 4, 4),
        "x.flatten(0, 1)",
    ),
    one("unfold: stride", "options", lambda s: F.unfold(z(1, 1, 4, 4), 2, stride=s), 0, 1, "stride=(1, 1)"),
    one("unfold: padding", "options", lambda p: F.unfold(z(1, 1, 4, 4), 2, padding=p), -1, 0, "padding=(0, 0)"),
    one("unfold: dilation", "options", lambda d: F.unfold(z(1, 1, 4, 4), 2, dilation=d), 0, 1, "dilation=(1, 1)"),
    one(
        "unfold: int64",
        "not-implemented",
        lambda t: F.unfold(z(1, 1, 4, 4).to(t), 2),
        torch.int64,
        torch.float32,
        "x.float()",
    ),
    one("fold: columns", "fold-length", lambda s: F.fold(z(1, 4, 16), s, 2), (4, 4), (5, 5), "(5, 5)"),
    one("fold: rows", "fold-taps", lambda c: F.fold(z(1, c, 9), (4, 4), 2), 6, 8, "8 rows"),
    one("fold: images", "fold-dimensions", lambda x: F.fold(x, (4, 4), 2), z(1, 1, 4, 9), z(1, 4, 9), "columns"),
    one("fold: stride", "options", lambda s: F.fold(z(1, 4, 9), (4, 4), 2, stride=s), 0, 1, "stride=(1, 1)"),
    one("max_pool2d: too small", "pool-output", lambda k: nn.MaxPool2d(k)(z(1, 3, 1, 1)), 2, 1, "at most 1×1"),
    one("avg_pool2d: too small", "pool-output", lambda k: nn.AvgPool2d(k)(z(1, 512, 4, 4)), 7, 4, "at most 4×4"),
    one("max_pool1d: too small", "pool-row", lambda k: nn.MaxPool1d(k)(z(1, 3, 4)), 5, 4, "at most the length of x"),
    one(
        "max_pool3d: too small",
        "pool-output",
        nn.MaxPool3d(2),
        z(1, 3, 4, 1, 4),
        z(1, 3, 8, 2, 8),
        "torch.randn(1, 3, 8, 2, 8)",
    ),
    one("max_pool2d: padding", "pool-padding", lambda p: nn.MaxPool2d(2, padding=p)(z(1, 3, 8, 8)), 2, 1, "padding=1"),
    one("avg_pool2d: padding", "pool-padding", lambda p: nn.AvgPool2d(3, padding=p)(z(1, 3, 8, 8)), 2, 1, "padding=1"),
    one(
        "max_pool2d: dimensions",
        "pool-dimensions",
        nn.MaxPool2d(2),
        z(8, 8),
        z(1, 1, 8, 8),
        "x[None, None]",
    ),
    one("avg_pool2d: dimensions", "dimension-range", nn.AvgPool2d(2), z(8, 8), z(1, 8, 8), "x[None]"),
    one("max_pool2d: stride", "pool-stride", lambda s: F.max_pool2d(z(1, 3, 8, 8), 2, stride=s), 0, 2, "such as 2"),
    one(
        "max_pool2d: kernel",
        "pool-kernel",
        lambda k: F.max_pool2d(z(1, 3, 8, 8), k, stride=2),
        0,
        (1, 1),
        "kernel_size=(1, 1)",
    ),
    one(
        "max_unpool2d",
        "unpool",
        lambda i: F.max_unpool2d(z(1, 1, 2, 2), i, (2, 2)),
        z(1, 1, 3, 3).long(),
        z(1, 1, 2, 2).long(),
        "indices are 2×2",
    ),
    one("batch_norm: channels", "batch-norm", lambda c: nn.BatchNorm2d(c)(z(2, 8, 4, 4)), 16, 8, "num_features to 8"),
    one(
        "batch_norm: channels, weights",
        "batch-norm",
        lambda c: F.batch_norm(z(2, 8, 4, 4), z(8), z(8), weight=z(c)),
        16,
        8,
        "num_features to 8",
    ),
    one(
        "batch_norm1d: image",
        "batch-norm-dimensions",
        nn.BatchNorm1d(8),
        z(2, 8, 4, 4),
        z(2, 8, 16),
        "nn.BatchNorm2d",
    ),
    one(
        "batch_norm2d: vector",
        "batch-norm-dimensions",
        nn.BatchNorm2d(8),
        z(2, 8),
        z(2, 8, 4, 4),
        "before flatten",
    ),
    one(
        "batch_norm2d: one image without a batch",
        "batch-norm-dimensions",
        nn.BatchNorm2d(8),
        z(8, 4, 4),
        z(1, 8, 4, 4),
        "x[None]",
    ),
    one(
        "batch_norm3d: image",
        "batch-norm-dimensions",
        nn.BatchNorm3d(8),
        z(2, 8, 4, 4),
        z(2, 8, 1, 4, 4),
        "BatchNorm2d",
    ),
    one("batch_norm: one value", "one-value", lambda n: nn.BatchNorm2d(8)(z(n, 8, 1, 1)), 1, 2, "batches of 2 or more"),
    one(
        "instance_norm: one pixel",
        "one-value",
        lambda s: nn.InstanceNorm2d(8)(z(1, 8, s, s)),
        1,
        2,
        "2 or more values per channel",
    ),
    one("group_norm: groups", "group-norm", lambda g: nn.GroupNorm(g, 8), 3, 2, "num_groups=2"),
    one(
        "group_norm: channels",
        "group-norm-channels",
        lambda c: nn.GroupNorm(2, c)(z(1, 8, 4, 4)),
        16,
        8,
        "num_channels to 8",
    ),
    one(
        "layer_norm: shape",
        "layer-norm",
        lambda s: nn.LayerNorm(s)(z(2, 8, 4, 4)),
        8,
        (8, 4, 4),
        "normalized_shape=(8, 4, 4)",
    ),
    one(
        "linear after flatten",
        "product",
        lambda n: net(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(n, 10))(z(2, 3, 8, 8)),
        128,
        288,
        "set in_features to 288",
    ),
    one(
        "linear without flatten",
        "product",
        lambda f: net(nn.Conv2d(3, 8, 3), f, nn.Linear(288, 10))(z(2, 3, 8, 8)),
        nn.Identity(),
        nn.Flatten(1),
        "x.flatten(1)",
    ),
    one("linear: one vector", "product", lambda n: nn.Linear(n, 10)(z(288)), 128, 288, "set in_features to 288"),
    one("view after a convolution", "view", lambda n: z(2, 8, 6, 6).view(2, n), 128, 288, "[2, 288]"),
    one(
        "view of what is not contiguous",
        "view-stride",
        lambda f: f(z(2, 3, 4, 4).permute(0, 2, 3, 1)),
        lambda x: x.view(2, -1),
        lambda x: x.reshape(2, -1),
        "x.reshape(",
    ),
    one("reshape, batch", "view", lambda n: z(5, 8, 2, 2).reshape(n, 32), 4, 5, "[5, 32]"),
    one("reshape of -1", "view", lambda n: z(2, 8, 6, 6).reshape(-1, n), 100, 96, "[-1, 96]"),
    one("cat in a U-Net", "cat", lambda s: torch.cat([z(1, 4, 8, 8), z(1, 4, s, 8)], 1), 7, 8, "size=(8, 8)"),
    one(
        "cat in a U-Net, width", "cat", lambda s: torch.cat([z(1, 4, 8, 28), z(1, 4, 8, s)], 1), 27, 28, "size=(28, 28)"
    ),
    one(
        "cat: dimensions",
        "cat-dimensions",
        lambda x: torch.cat([z(1, 4, 8, 8), x], 1),
        z(4, 8, 8),
        z(1, 4, 8, 8),
        "x[None]",
    ),
    one("cat: types", "cat-empty", torch.cat, [], [z(1)], "at least one tensor"),
    one("stack: sizes", "stack", lambda s: torch.stack([z(3, 8, 8), z(3, 8, s)]), 7, 8, "8×8"),
    one("shortcut: height", "addition", lambda s: z(1, 4, 8, 8) + z(1, 4, s, 8), 7, 8, "padding='same' loses none"),
    one("shortcut: channels", "addition", lambda c: z(1, 64, 8, 8) + z(1, c, 8, 8), 32, 64, "32 channels to 64"),
    one(
        "einsum: taps",
        "einsum",
        lambda t: torch.einsum("bpl,op->bol", z(1, 16, 9), z(4, t)),
        8,
        16,
        "A kernel of 16 numbers",
    ),
    one(
        "load_state_dict: size",
        "load-size",
        lambda k: nn.Conv2d(3, k, 3).load_state_dict(nn.Conv2d(3, 8, 3).state_dict()),
        16,
        8,
        "out_channels 8",
    ),
    one(
        "load_state_dict: head",
        "load-size",
        lambda n: net(nn.Conv2d(3, 8, 3), nn.Linear(8, n)).load_state_dict(
            net(nn.Conv2d(3, 8, 3), nn.Linear(8, 1000)).state_dict()
        ),
        10,
        1000,
        "out_features 1000",
    ),
    one(
        "load_state_dict: missing",
        "load-keys",
        lambda b: nn.Conv2d(3, 8, 3, bias=b).load_state_dict(nn.Conv2d(3, 8, 3, bias=False).state_dict()),
        True,
        False,
        "bias=False",
    ),
    one(
        "load_state_dict: unexpected",
        "load-keys",
        lambda b: nn.Conv2d(3, 8, 3, bias=b).load_state_dict(nn.Conv2d(3, 8, 3).state_dict()),
        False,
        True,
        "bias=True",
    ),
    one(
        "load_state_dict: module.",
        "load-keys",
        lambda p: nn.Conv2d(3, 8, 3).load_state_dict(
            {f"{p}{k}": v for k, v in nn.Conv2d(3, 8, 3).state_dict().items()}
        ),
        "module.",
        "",
        "removeprefix('module.')",
    ),
    one(
        "interpolate: size",
        "interpolate",
        lambda s: F.interpolate(z(1, 3, 8, 8), size=s),
        (16, 16, 16),
        (16, 16),
        "size=(16, 16)",
    ),
    one(
        "interpolate: mode",
        "interpolate-mode",
        lambda m: F.interpolate(z(1, 3, 8, 8), scale_factor=2, mode=m),
        "linear",
        "bilinear",
        "mode='bilinear'",
    ),
    one("pixel_shuffle", "pixel-shuffle", lambda c: nn.PixelShuffle(2)(z(1, c, 4, 4)), 6, 8, "before it to 8"),
    one(
        "pad: negative beyond",
        "crop",
        lambda p: F.pad(z(1, 1, 4, 4), (p, p, 0, 0)),
        -3,
        -1,
        "such as 1 on each side of 4",
    ),
    one("prelu", "prelu", lambda c: nn.PReLU(c)(z(1, 8, 4, 4)), 4, 8, "num_parameters=8"),
    one("cross_entropy: batch", "loss-batch", lambda n: F.cross_entropy(z(4, 10), z(n).long()), 3, 4, "Give 4 targets"),
    one(
        "a mask of another size",
        "target-size",
        lambda s: F.binary_cross_entropy_with_logits(z(1, 1, 8, 8), z(1, 1, s, 8)),
        7,
        8,
        "[1, 1, 8, 8]",
    ),
    one(
        "a mask without channels",
        "target-size",
        lambda mask: F.binary_cross_entropy(z(1, 1, 8, 8), mask),
        z(1, 8, 8),
        z(1, 8, 8)[:, None],
        "target[:, None]",
    ),
)


def message(provocation: Provocation) -> str:
    """What torch says of the wrong value.

    Raises:
        AssertionError: nothing.
    """
    try:
        provocation.call(provocation.wrong)
    except Exception as error:  # whatever torch raises is what is read
        return str(error)
    raise AssertionError(f"{provocation.name}: torch takes {provocation.wrong!r}")


def advice(found: Decoded) -> str:
    """All that is said of a message, in one text."""
    lines = [found.fault, *(meaning for _, meaning in found.meanings)]
    return "\n".join([*lines, *(f"{fix.words}\n{fix.call.text}" for fix in found.fixes)])


def faults(provocation: Provocation) -> Iterator[str]:
    """What is wrong with what is said of it."""
    text = message(provocation)
    try:
        found = decode(text)
    except ConvbenchError:
        yield f"{provocation.name}: unknown: {text!r}"
        return
    if found.name != provocation.kind:
        yield f"{provocation.name}: taken for {found.name}: {text!r}"
    if not found.fixes:
        yield f"{provocation.name}: no call that works: {text!r}"
    wanted = provocation.advice or str(provocation.right)
    if not re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", advice(found)):
        yield f"{provocation.name}: the advice does not say {wanted!r}: {advice(found)!r}"
    try:
        provocation.call(provocation.right)
    except Exception as error:  # the advice would not mend it
        yield f"{provocation.name}: {provocation.right!r} does not mend it: {error}"


def main(provoked: tuple[Provocation, ...] = PROVOKED) -> int:
    wrong = 0
    for provocation in provoked:
        found = [*faults(provocation)]
        wrong += bool(found)
        print(f"{provocation.name}\n    {' '.join(message(provocation).split())[:200]}")
        print("\n".join(f"  ✗ {one}" for one in found) or f"  ✓ {provocation.advice or provocation.right}")
    print(f"{len(provoked)} messages of torch {torch.__version__}, {wrong} unknown or with wrong advice")
    return 1 if wrong or not provoked else 0


if __name__ == "__main__":
    sys.exit(main())
