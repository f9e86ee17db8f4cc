"""Layers on the last axis of NHWC images, as those of ConvNeXt, on the same images with the channels first.

A LayerNorm or a linear layer between two permutations takes each pixel by itself, so it is a norm over channels or a
1x1 convolution, and the permutations vanish. Where something else reads the permuted image, it is still made.
"""

from typing import Any

import torch

from convbench.graph.graph import Graph
from convbench.graph.operations import (
    Activation,
    ChannelNorm,
    Conv,
    GraphValue,
    LayerNorm,
    Linear,
    Node,
    Slot,
    TorchCall,
)

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def keep_channels_first(graph: Graph) -> None:
    """Replace what works on the last axis of permuted images."""
    pass_ = _Pass()
    for node in graph.nodes:
        pass_.take(node)
    graph.leaves = [pass_.plain(one) if isinstance(one, GraphValue) else one for one in graph.leaves]
    graph.nodes = pass_.nodes


class _Pass:
    """The new nodes, and the images with channels first of values that have them last."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.first: dict[GraphValue, GraphValue] = {}
        self.made: set[GraphValue] = set()
        self.same: dict[GraphValue, GraphValue] = {}

    def take(self, node: Node) -> None:
        inputs = [self.same.get(one, one) for one in node.inputs]
        x = inputs[0] if inputs else None
        if x is None or len(inputs) != 1 or len(node.outputs) != 1:
            self.keep(node, inputs)
        elif _axes(node) == TO_LAST and x.is_image:
            self.first[node.output] = self.plain(x)
        elif x not in self.first:
            self.keep(node, inputs)
        elif _axes(node) == TO_FIRST:
            self.same[node.output] = self.first[x]
        elif (operation := _on_first(node.operation)) is not None:
            n, h, w, c = node.output.shape
            image = GraphValue(f"{node.output.name} first", (n, c, h, w))
            self.nodes.append(Node(node.name, operation, [self.first[x]], [image]))
            self.first[node.output] = image
        else:
            self.keep(node, inputs)

    def keep(self, node: Node, inputs: list[GraphValue]) -> None:
        node.inputs = [self.plain(one) for one in inputs]
        self.nodes.append(node)

    def plain(self, value: GraphValue) -> GraphValue:
        """The value itself; one that is only there with its channels first is permuted."""
        value = self.same.get(value, value)
        if value in self.first and value not in self.made:
            self.made.add(value)
            permute = TorchCall(torch.ops.aten.permute.default, (Slot(0), TO_LAST))
            self.nodes.append(Node(f"permute of {value.name}", permute, [self.first[value]], [value]))
        return value


def _axes(node: Node) -> list[int] | None:
    """The order of a permutation of four axes."""
    call = node.operation
    if not isinstance(call, TorchCall) or call.target is not torch.ops.aten.permute.default:
        return None
    return [axis % 4 for axis in call.args[1]] if len(call.args[1]) == 4 else None


def _on_first(operation: Any) -> Any:
    """The same operation on images with the channels first, or None."""
    match operation:
        case LayerNorm():
            return ChannelNorm(operation.weight, operation.bias, operation.eps)
        case Linear():
            weight = operation.weight[:, :, None, None]
            return Conv(weight, operation.bias, (1, 1), (0, 0, 0, 0), (1, 1), 1, operation.activation)
        case Activation():
            return operation
        case _:
            return None
