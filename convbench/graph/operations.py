"""The operations that the graph knows, each with what torch computes for it.

A model is a list of `Node`s over `GraphValue`s. `Operation.run` is torch's own computation of it: the definition, the
fall-back where no kernel does it, and with float64 the reference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, bottom, left, right

NONE = "none"
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
}


@dataclass(eq=False)
class GraphValue:
    """A tensor between two nodes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 4 and self.dtype == torch.float32 and 0 not in self.shape


class Operation(Protocol):
    """What a node computes."""

    @property
    def words(self) -> str: ...
    @property
    def run(self) -> Callable[..., Any]:
        """From the tensors of the inputs to that of the output, or to those of several."""
        ...


@dataclass(eq=False)
class Node:
    """One operation on values."""

    name: str
    operation: Operation
    inputs: list[GraphValue]
    outputs: list[GraphValue]

    @property
    def output(self) -> GraphValue:
        (one,) = self.outputs
        return one


def activate(x: Tensor, activation: str) -> Tensor:
    return x if activation == NONE else ACTIVATIONS[activation](x)


def named(activation: str) -> list[str]:
    """The words of an activation: none, if there is none."""
    return [] if activation == NONE else [activation]


@dataclass(frozen=True, eq=False)
class Conv:
    """activation(convolution of x + bias + residual); inputs: x, and the residual if there is one.

    Attributes:
        weight, bias: the model's own in float32, or in float64 with a BatchNorm folded into them.
        activation: a name of ACTIVATIONS, or NONE.
    """

    weight: Tensor
    bias: Tensor
    stride: Pair
    padding: Sides
    dilation: Pair
    groups: int
    activation: str = NONE
    residual: bool = False

    @property
    def kernel(self) -> Pair:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def before(self) -> Pair:
        """The padding at the top and at the left."""
        return self.padding[0], self.padding[2]

    @property
    def is_depthwise(self) -> bool:
        return self.groups > 1 and self.groups == len(self.weight) and self.weight.shape[1] == 1

    @property
    def words(self) -> str:
        k, c, r, s = self.weight.shape
        more = [f"stride {self.stride[0]}"] if self.stride != (1, 1) else []
        more += [f"dilation {self.dilation[0]}"] if self.dilation != (1, 1) else []
        more += [f"{self.groups} groups"] if self.groups != 1 else []
        more += ["+ residual"] if self.residual else []
        more += named(self.activation)
        return " ".join([f"conv {r}x{s} {c * self.groups}->{k}", *more])

    def run(self, x: Tensor, *residual: Tensor) -> Tensor:
        top, bottom, left, right = self.padding
        padding: Pair = (top, left)
        if (top, left) != (bottom, right):
            x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        y = F.conv2d(
            x, self.weight.to(x.dtype), self.bias.to(x.dtype), self.stride, padding, self.dilation, self.groups
        )
        return activate(y + residual[0] if residual else y, self.activation)


@dataclass(frozen=True, eq=False)
class ConvTranspose:
    """activation(transposed convolution of x + bias), of one group and dilation 1; weight is (C, K, R, S)."""

    weight: Tensor
    bias: Tensor
    stride: Pair
    padding: Pair
    more: Pair
    activation: str = NONE

    @property
    def words(self) -> str:
        c, k, r, s = self.weight.shape
        return " ".join([f"transposed conv {r}x{s} {c}->{k} stride {self.stride[0]}", *named(self.activation)])

    def run(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        y = F.conv_transpose2d(x, weight, bias, self.stride, self.padding, self.more)
        return activate(y, self.activation)


@dataclass(frozen=True, eq=False)
class Linear:
    """activation(x @ weight.T + bias)."""

    weight: Tensor
    bias: Tensor
    activation: str = NONE

    @property
    def words(self) -> str:
        return " ".join([f"linear {self.weight.shape[1]}->{self.weight.shape[0]}", *named(self.activation)])

    def run(self, x: Tensor) -> Tensor:
        return activate(F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype)), self.activation)


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + shift for each channel, which a BatchNorm is in evaluation; both in float64."""

    scale: Tensor
    shift: Tensor

    words = "scale and shift"

    def run(self, x: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (x.dim() - 2))
        return x * self.scale.to(x.dtype).view(shape) + self.shift.to(x.dtype).view(shape)


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """The last axis with mean 0 and variance 1, times weight, plus bias."""

    weight: Tensor
    bias: Tensor
    eps: float

    words = "layer norm"

    def run(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, weight.shape, weight, bias, self.eps)


@dataclass(frozen=True, eq=False)
class ChannelNorm:
    """A LayerNorm over the channels of each pixel of (n, c, h, w)."""

    weight: Tensor
    bias: Tensor
    eps: float

    words = "layer norm of channels"

    def run(self, x: Tensor) -> Tensor:
        return LayerNorm(self.weight, self.bias, self.eps).run(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Activation:
    """One of ACTIVATIONS."""

    name: str

    @property
    def words(self) -> str:
        return self.name

    def run(self, x: Tensor) -> Tensor:
        return activate(x, self.name)


@dataclass(frozen=True)
class Add:
    """activation(x + other), both of one shape."""

    activation: str = NONE

    @property
    def words(self) -> str:
        return " ".join(["add", *named(self.activation)])

    def run(self, x: Tensor, other: Tensor) -> Tensor:
        return activate(x + other, self.activation)


@dataclass(frozen=True)
class Multiply:
    """x * other, both of one shape."""

    words = "multiply"

    def run(self, x: Tensor, other: Tensor) -> Tensor:
        return x * other


@dataclass(frozen=True)
class Scale:
    """x (n, c, h, w) times a number for each image and channel, (n, c, 1, 1): the end of squeeze and excitation."""

    words = "scale channels"

    def run(self, x: Tensor, by: Tensor) -> Tensor:
        return x * by


@dataclass(frozen=True)
class MaxPool:
    """The largest of each window."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair = (1, 1)
    ceil: bool = False

    @property
    def words(self) -> str:
        return f"max pool {self.kernel[0]}x{self.kernel[1]} stride {self.stride[0]}"

    def run(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil)


@dataclass(frozen=True)
class AveragePool:
    """The mean of each window."""

    kernel: Pair
    stride: Pair
    padding: Pair
    ceil: bool
    count_padding: bool
    divisor: int | None

    @property
    def words(self) -> str:
        return f"average pool {self.kernel[0]}x{self.kernel[1]} stride {self.stride[0]}"

    def run(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel, self.stride, self.padding, self.ceil, self.count_padding, self.divisor)


@dataclass(frozen=True)
class GlobalAverage:
    """The mean of each channel's image: (n, c, 1, 1), or (n, c) if the axes are not kept."""

    keep: bool = True
    words = "global average pool"

    def run(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=self.keep)


@dataclass(frozen=True)
class Flatten:
    """(n, c, h, w) to (n, c * h * w)."""

    words = "flatten"

    def run(self, x: Tensor) -> Tensor:
        return x.flatten(1)


@dataclass(frozen=True)
class Concat:
    """Images one behind the other along the channels."""

    words = "concatenate channels"

    def run(self, *images: Tensor) -> Tensor:
        return torch.cat(images, 1)


@dataclass(frozen=True)
class Upsample:
    """An image so many times as large: by repeated pixels, or between them."""

    factor: Pair
    mode: str = "nearest"
    align_corners: bool = False

    @property
    def words(self) -> str:
        return f"upsample x{self.factor[0]} {self.mode}"

    def run(self, x: Tensor) -> Tensor:
        size = (x.shape[2] * self.factor[0], x.shape[3] * self.factor[1])
        return F.interpolate(
            x, size, mode=self.mode, align_corners=None if self.mode == "nearest" else self.align_corners
        )


@dataclass(frozen=True, eq=False)
class TorchCall:
    """An operator of torch that the graph does not know; `Slot`s in its arguments stand for the node's inputs."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        return f"torch {self.target}"

    def run(self, *inputs: Tensor) -> Any:
        kwargs = {name: fill(one, inputs) for name, one in self.kwargs.items()}
        return self.target(*[fill(one, inputs) for one in self.args], **kwargs)


@dataclass(frozen=True)
class Slot:
    """The place of an input in the arguments of a TorchCall."""

    place: int


def fill(argument: Any, inputs: Sequence[Tensor]) -> Any:
    """The argument with inputs in place of slots; with inputs in float64, constants and dtypes follow."""
    if isinstance(argument, Slot):
        return inputs[argument.place]
    if isinstance(argument, (list, tuple)):
        return type(argument)(fill(one, inputs) for one in argument)
    if any(one.dtype == torch.float64 for one in inputs):
        if argument is torch.float32:
            return torch.float64
        if isinstance(argument, Tensor) and argument.dtype == torch.float32:
            return argument.double()
    return argument
