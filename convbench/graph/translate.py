"""From torch's operators to the operations that the graph knows.

An operator is known by its name in torch's ATen library; each has a function that looks at its arguments and returns
the operation, or None where they are unusual. What is not known stays a call of torch.
"""

# ruff: noqa: ARG001, SLF001  # all functions of KNOWN take the same; torch has no public name for a schema

from collections import Counter
from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten, tree_map

from convbench.graph.capture import Captured, is_identity
from convbench.graph.errors import UnsupportedModel
from convbench.graph.graph import Graph, Leaf
from convbench.graph.operations import (
    Activation,
    Add,
    Affine,
    AveragePool,
    Concat,
    Conv,
    ConvTranspose,
    Flatten,
    GlobalAverage,
    GraphValue,
    LayerNorm,
    Linear,
    MaxPool,
    Multiply,
    Node,
    Operation,
    Pair,
    Scale,
    Slot,
    TorchCall,
    Upsample,
)


class OperatorArguments:
    """The arguments of a call by the names of the operator's schema; absent ones have its defaults."""

    def __init__(self, node: fx.Node) -> None:
        schema = node.target._schema.arguments  # type: ignore[union-attr]  # an operator, not a name
        self.of = {one.name: one.default_value for one in schema if one.has_default_value()}
        self.of |= dict(zip((one.name for one in schema), node.args, strict=False)) | node.kwargs

    def __getitem__(self, name: str) -> Any:
        return self.of.get(name)

    def pair(self, name: str, default: int = 0) -> Pair:
        """A size for both axes."""
        given = self.of.get(name)
        sizes = [given] if isinstance(given, int) else list(given or [])
        sizes = sizes or [default]
        return (sizes[0], sizes[-1])


class Translator:
    """Makes the graph of what was captured, node by node."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.values: dict[fx.Node, GraphValue] = {}
        self.constants: dict[fx.Node, Any] = dict(captured.constants)
        self.parts: dict[tuple[fx.Node, int], GraphValue] = {}
        self.nodes: list[Node] = []
        self.names: Counter[str] = Counter()

    def graph(self) -> Graph:
        for place, node in enumerate(self.captured.inputs):
            self.values[node] = self._value(node, node.meta["val"], f"input {place}")
        inputs = [self.values[node] for node in self.captured.inputs]
        for node in self.captured.nodes:
            self._one(node)
        return Graph(self.nodes, inputs, [self._leaf(one) for one in self.captured.results], self.captured.structure)

    def _leaf(self, result: object) -> Leaf:
        if not isinstance(result, fx.Node):
            return result
        return self.values[result] if result in self.values else self.constants[result].clone()

    def _value(self, node: fx.Node, fake: object, name: str = "") -> GraphValue:
        if not isinstance(fake, Tensor):
            raise UnsupportedModel(f"{node.target} returns a {type(fake).__name__}, which the graph cannot pass on")
        if not all(isinstance(size, int) for size in fake.shape):
            raise UnsupportedModel(f"the size of what {node.target} returns depends on the numbers of the input")
        return GraphValue(name or node.name, tuple(fake.shape), fake.dtype)

    def _one(self, node: fx.Node) -> None:
        if all(one in self.constants for one in node.all_input_nodes):
            self._fold(node)
        elif is_identity(node) or _name(node) in ("alias", "detach", "lift_fresh_copy"):
            self._same(node)
        elif node.target is getitem:
            whole, place = node.args
            assert isinstance(whole, fx.Node)
            assert isinstance(place, int)
            self.values[node] = self.parts[whole, place]
        else:
            self._translate(node)

    def _same(self, node: fx.Node) -> None:
        before = node.args[0]
        assert isinstance(before, fx.Node)
        self.values[node] = self.values[before]

    def _fold(self, node: fx.Node) -> None:
        """What no input decides is computed now."""
        args, kwargs = tree_map(
            lambda one: self.constants[one] if isinstance(one, fx.Node) else one, (list(node.args), dict(node.kwargs))
        )
        with torch.no_grad():
            self.constants[node] = node.target(*args, **kwargs)  # type: ignore[operator]  # an operator, not a name

    def _translate(self, node: fx.Node) -> None:
        name = _name(node)
        known = KNOWN.get(name) if _is_atens(node) else None
        found = known(self, OperatorArguments(node), node) if known else None
        if found is not None:
            operation, sources = found
            self._add(operation, [self.values[one] for one in sources], node)
        else:
            self._call(node)

    def _call(self, node: fx.Node) -> None:
        inputs: list[fx.Node] = []

        def slot(one: object) -> object:
            if not isinstance(one, fx.Node):
                return one
            if one in self.constants:
                constant = self.constants[one]
                return constant.clone() if isinstance(constant, Tensor) else constant
            if one not in inputs:
                inputs.append(one)
            return Slot(inputs.index(one))

        args, kwargs = tree_map(slot, (list(node.args), dict(node.kwargs)))
        # A value may lie in memory otherwise than it did in the model.
        target = torch.ops.aten.reshape.default if node.target is torch.ops.aten.view.default else node.target
        self._add(TorchCall(target, tuple(args), kwargs), [self.values[one] for one in inputs], node)

    def _add(self, operation: Operation, inputs: list[GraphValue], node: fx.Node) -> None:
        fake = node.meta.get("val")
        leaves, _ = tree_flatten(fake)
        outputs = [self._value(node, one) for one in leaves]
        if isinstance(fake, Tensor):
            self.values[node] = outputs[0]
        else:
            self.parts |= {(node, place): one for place, one in enumerate(outputs)}
        self.nodes.append(Node(self._unique(self._owner(node)), operation, inputs, outputs))

    def _owner(self, node: fx.Node) -> str:
        """The module whose weight it uses, such as layer1.0.conv1; the operator's name if there is none."""
        for one in node.all_input_nodes:
            if (name := self.captured.names.get(one, "")).endswith(".weight"):
                return name.removesuffix(".weight")
        return _name(node).strip("_")

    def _unique(self, name: str) -> str:
        self.names[name] += 1
        return name if self.names[name] == 1 else f"{name}#{self.names[name]}"

    # The known operators

    def tensor(self, node: object) -> Tensor | None:
        """A constant of float32."""
        constant = self.constants.get(node) if isinstance(node, fx.Node) else None
        return constant if isinstance(constant, Tensor) and constant.dtype == torch.float32 else None

    def image(self, node: object) -> bool:
        return isinstance(node, fx.Node) and node in self.values and self.values[node].is_image

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        return self.values[node].shape


Found = tuple[Operation, Sequence[fx.Node]] | None


def _name(node: fx.Node) -> str:
    """Of the operator, without its overload."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _is_atens(node: fx.Node) -> bool:
    """Whether it is torch's own, not another library's of the same name."""
    return getattr(node.target, "namespace", "") == "aten"


def conv2d(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, weight = args["input"], of.tensor(args["weight"])
    bias = of.tensor(args["bias"])
    if not of.image(x) or weight is None or (args["bias"] is not None and bias is None):
        return None
    stride, dilation = args.pair("stride", 1), args.pair("dilation", 1)
    if isinstance(args["padding"], str):
        reach = [(size - 1) * apart for size, apart in zip(weight.shape[2:], dilation, strict=True)]
        if args["padding"] == "valid":
            reach = [0, 0]
        top, left = reach[0] // 2, reach[1] // 2
        sides = (top, reach[0] - top, left, reach[1] - left)
    else:
        top, left = args.pair("padding")
        sides = (top, top, left, left)
    bias = torch.zeros(len(weight)) if bias is None else bias
    return Conv(weight, bias, stride, sides, dilation, int(args["groups"])), [x]


def conv_transpose2d(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, weight, bias = args["input"], of.tensor(args["weight"]), of.tensor(args["bias"])
    if not of.image(x) or weight is None or (args["bias"] is not None and bias is None):
        return None
    stride, padding, more = args.pair("stride", 1), args.pair("padding"), args.pair("output_padding")
    fits = all(step <= taps for step, taps in zip(stride, weight.shape[2:], strict=True))
    if args["groups"] != 1 or args.pair("dilation", 1) != (1, 1) or not fits:
        return None
    bias = torch.zeros(weight.shape[1]) if bias is None else bias
    return ConvTranspose(weight, bias, stride, padding, more), [x]


def linear(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, weight, bias = args["input"], of.tensor(args["weight"]), of.tensor(args["bias"])
    if not isinstance(x, fx.Node) or x not in of.values or weight is None or weight.dim() != 2:
        return None
    if args["bias"] is not None and bias is None:
        return None
    return Linear(weight, torch.zeros(len(weight)) if bias is None else bias), [x]


def batch_norm(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, mean, variance = args["input"], of.tensor(args["running_mean"]), of.tensor(args["running_var"])
    if not of.image(x) or args["training"] or mean is None or variance is None:
        return None
    weight, bias = of.tensor(args["weight"]), of.tensor(args["bias"])
    if (weight is None and args["weight"] is not None) or (bias is None and args["bias"] is not None):
        return None
    scale = (variance.double() + args["eps"]).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = torch.zeros_like(scale) if bias is None else bias.double()
    return Affine(scale, shift - mean.double() * scale), [x]


def activation(name: str) -> "Known":
    def known(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
        x = args["self"]
        if not isinstance(x, fx.Node) or of.values[x].dtype != torch.float32:
            return None
        if name == "gelu" and args["approximate"] != "none":
            return None
        return Activation(name), [x]

    return known


def hardtanh(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    return (Activation("relu6"), [args["self"]]) if (args["min_val"], args["max_val"]) == (0, 6) else None


def clamp(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    limits = (args["min"], args["max"])
    names = {(0, 6): "relu6", (0, None): "relu"}
    return (Activation(names[limits]), [args["self"]]) if limits in names else None


def add(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, other = args["self"], args["other"]
    if (shift := per_channel(of, x, other)) is not None and args["alpha"] in (1, None):
        return Affine(torch.ones_like(shift), shift), [x]
    if args["alpha"] not in (1, None) or not (of.image(x) and of.image(other)):
        return None
    return (Add(), [x, other]) if of.shape(x) == of.shape(other) else None


def per_channel(of: Translator, x: object, by: object) -> Tensor | None:
    """A constant with a number for each channel of x, or one for all, in float64."""
    if not of.image(x):
        return None
    assert isinstance(x, fx.Node)
    channels = of.shape(x)[1]
    if isinstance(by, (int, float)) and not isinstance(by, bool):
        return torch.full((channels,), by, dtype=torch.float64)
    constant = of.tensor(by)
    if constant is None or constant.shape not in ((channels, 1, 1), (1, channels, 1, 1)):
        return None
    return constant.flatten().double()


def layer_norm(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, shape, weight, bias = args["input"], args["normalized_shape"], of.tensor(args["weight"]), of.tensor(args["bias"])
    if len(shape) != 1 or (weight is None and args["weight"] is not None):
        return None
    if (bias is None and args["bias"] is not None) or of.values[x].dtype != torch.float32:
        return None
    weight = torch.ones(shape[0]) if weight is None else weight
    bias = torch.zeros(shape[0]) if bias is None else bias
    return LayerNorm(weight, bias, float(args["eps"])), [x]


def multiply(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, by = args["self"], args["other"]
    for one, other in ((x, by), (by, x)):
        if (scale := per_channel(of, one, other)) is not None:
            return Affine(scale, torch.zeros_like(scale)), [one]
    if not (of.image(x) and of.image(by)):
        return None
    if of.shape(x) == of.shape(by):
        return Multiply(), [x, by]
    if of.shape(x)[2:] == (1, 1):
        x, by = by, x
    wanted = (*of.shape(x)[:2], 1, 1)
    return (Scale(), [x, by]) if of.shape(by) == wanted and of.shape(x)[2:] != (1, 1) else None


def max_pool2d(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    kernel = args.pair("kernel_size")
    stride = args.pair("stride") if args["stride"] else kernel
    if not of.image(args["self"]):
        return None
    pool = MaxPool(kernel, stride, args.pair("padding"), args.pair("dilation", 1), bool(args["ceil_mode"]))
    return pool, [args["self"]]


def avg_pool2d(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    kernel = args.pair("kernel_size")
    stride = args.pair("stride") if args["stride"] else kernel
    if not of.image(args["self"]):
        return None
    counted, divisor = bool(args["count_include_pad"]), args["divisor_override"]
    return AveragePool(kernel, stride, args.pair("padding"), bool(args["ceil_mode"]), counted, divisor), [args["self"]]


def adaptive_avg_pool2d(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, size = args["self"], args.pair("output_size")
    if not of.image(x):
        return None
    if size == (1, 1):
        return GlobalAverage(), [x]
    height, width = of.shape(x)[2:]
    if height % size[0] or width % size[1]:
        return None
    kernel = (height // size[0], width // size[1])
    return AveragePool(kernel, kernel, (0, 0), ceil=False, count_padding=True, divisor=None), [x]


def mean(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x, axes = args["self"], args["dim"]
    if not of.image(x) or args["dtype"] is not None or not axes:
        return None
    return (GlobalAverage(bool(args["keepdim"])), [x]) if sorted(axis % 4 for axis in axes) == [2, 3] else None


def flatten(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    x = args["self"] if isinstance(args["self"], fx.Node) else args["input"]
    if not of.image(x):
        return None
    n, c, h, w = of.shape(x)
    return (Flatten(), [x]) if tuple(node.meta["val"].shape) == (n, c * h * w) else None


def cat(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
    images = args["tensors"]
    return (Concat(), list(images)) if all(map(of.image, images)) and args["dim"] in (1, -3) else None


def upsample(mode: str) -> "Known":
    def known(of: Translator, args: OperatorArguments, node: fx.Node) -> Found:
        x = args["input"] if args["input"] is not None else args["self"]
        if not of.image(x):
            return None
        (h, w), (p, q) = of.shape(x)[2:], node.meta["val"].shape[2:]
        scales = args["scale_factors"]
        if p % h or q % w or (scales and tuple(scales) != (p // h, q // w)):
            return None
        return Upsample((p // h, q // w), mode, bool(args["align_corners"])), [x]

    return known


Known = Callable[[Translator, OperatorArguments, fx.Node], Found]
_ACTIVATIONS = ("relu", "relu6", "hardswish", "hardsigmoid", "sigmoid", "silu", "gelu")
KNOWN: dict[str, Known] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "linear": linear,
    "layer_norm": layer_norm,
    "batch_norm": batch_norm,
    "hardtanh": hardtanh,
    "clamp": clamp,
    "clamp_min": clamp,
    "add": add,
    "mul": multiply,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "mean": mean,
    "flatten": flatten,
    "view": flatten,
    "reshape": flatten,
    "squeeze": flatten,
    "cat": cat,
    "concat": cat,
    "upsample_nearest2d": upsample("nearest"),
    "upsample_bilinear2d": upsample("bilinear"),
    **{name: activation(name) for name in _ACTIVATIONS},
}


def translate(captured: Captured) -> Graph:
    """The graph of a captured model, nothing joined yet."""
    return Translator(captured).graph()
