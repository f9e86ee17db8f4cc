"""A model as nodes over values, and the passes that make fewer nodes of it.

A pass looks for a node whose only reader can be joined to it: BatchNorm into the weights of the convolution before it,
then a sum and an activation onto its store. Numbers of weights change in float64 and are rounded once, when packed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_unflatten

from convbench.graph.operations import (
    NONE,
    Activation,
    Add,
    Affine,
    Conv,
    ConvTranspose,
    GraphValue,
    Linear,
    Node,
)

Leaf = Any  # a GraphValue, or a constant that the model returns as it is


@dataclass
class Graph:
    """A whole model.

    Attributes:
        nodes: in an order in which they may run.
        leaves: what the model returns, flattened.
        structure: how they make up what it returns.
    """

    nodes: list[Node]
    inputs: list[GraphValue]
    leaves: list[Leaf]
    structure: TreeSpec

    def readers(self) -> dict[GraphValue, list[Node]]:
        """Who reads each value."""
        found: dict[GraphValue, list[Node]] = {one: [] for one in self.inputs}
        for node in self.nodes:
            found |= {one: [] for one in node.outputs}
        for node in self.nodes:
            for one in dict.fromkeys(node.inputs):
                found[one].append(node)
        return found

    def results(self) -> list[GraphValue]:
        """The values that the model returns."""
        return [one for one in self.leaves if isinstance(one, GraphValue)]

    def run(self, inputs: Sequence[Tensor], *, exact: bool = False) -> Any:
        """What the model returns, by torch alone; `exact`: all of it in float64, the reference."""

        def widen(one: Tensor) -> Tensor:
            return one.double() if exact and one.dtype == torch.float32 else one

        values: dict[GraphValue, Tensor] = dict(zip(self.inputs, map(widen, inputs), strict=True))
        left = Counter(one for node in self.nodes for one in node.inputs)
        left.update(self.results())
        for node in self.nodes:
            made = node.operation.run(*[values[one] for one in node.inputs])
            made = [made] if isinstance(made, Tensor) else made
            values |= dict(zip(node.outputs, map(widen, made), strict=True))
            for one in node.inputs:
                left[one] -= 1
                if not left[one]:
                    del values[one]
        return self.put_together(values.__getitem__)

    def put_together(self, tensor: Callable[[GraphValue], Tensor]) -> Any:
        """What the model returns, from its values; constants are copied, for the caller may write into them."""

        def put(one: Leaf) -> Any:
            if isinstance(one, GraphValue):
                return tensor(one)
            return one.clone() if isinstance(one, Tensor) else one

        return tree_unflatten(list(map(put, self.leaves)), self.structure)


def drop_unread(graph: Graph) -> None:
    """Nodes whose results nobody reads."""
    wanted = set(graph.results())
    kept = []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    graph.nodes = kept[::-1]


def _only_reader(graph: Graph, readers: dict[GraphValue, list[Node]], node: Node) -> Node | None:
    """The reader of a node's only result, if there is one reader and the result is not the model's."""
    if len(node.outputs) != 1 or node.output in graph.results():
        return None
    found = readers[node.output]
    return found[0] if len(found) == 1 else None


def _join(graph: Graph, node: Node, reader: Node, operation: Any, inputs: list[GraphValue]) -> None:
    """The node takes over its reader's work and result."""
    node.operation, node.inputs, node.outputs = operation, inputs, reader.outputs
    graph.nodes.remove(reader)


def fold_batch_norms(graph: Graph) -> None:
    """scale * (w x + b) + shift = (scale w) x + (scale b + shift)."""
    for node in list(graph.nodes):
        while isinstance(conv := node.operation, Conv | ConvTranspose):
            reader = _only_reader(graph, graph.readers(), node)
            if reader is None or not isinstance(affine := reader.operation, Affine):
                break
            shape = (-1, 1, 1, 1) if isinstance(conv, Conv) else (1, -1, 1, 1)
            weight = conv.weight.double() * affine.scale.view(shape)
            bias = conv.bias.double() * affine.scale + affine.shift
            _join(graph, node, reader, replace(conv, weight=weight, bias=bias), node.inputs)


def join_sums(graph: Graph) -> None:
    """conv + other: the other operand of a sum is read where the convolution is stored.

    Of two convolutions that are summed, the later one takes the sum: the other's result is there by then.
    """
    for node in reversed(list(graph.nodes)):
        reader = _only_reader(graph, graph.readers(), node)
        if reader is None or not isinstance(reader.operation, Add) or not isinstance(node.operation, Conv):
            continue
        if node.operation.activation != NONE or node.operation.residual or reader.inputs.count(node.output) != 1:
            continue
        (other,) = (one for one in reader.inputs if one is not node.output)
        if not _made_before(graph, other, node):
            continue
        joined = replace(node.operation, residual=True, activation=reader.operation.activation)
        _join(graph, node, reader, joined, [*node.inputs, other])


def _made_before(graph: Graph, value: GraphValue, node: Node) -> bool:
    before = graph.nodes[: graph.nodes.index(node)]
    return value in graph.inputs or any(value in one.outputs for one in before)


def join_activations(graph: Graph) -> None:
    """An activation is applied where its operand is stored."""
    for node in list(graph.nodes):
        reader = _only_reader(graph, graph.readers(), node)
        if reader is None or not isinstance(reader.operation, Activation):
            continue
        if isinstance(node.operation, (Conv, ConvTranspose, Linear, Add)) and node.operation.activation == NONE:
            joined = replace(node.operation, activation=reader.operation.name)
            _join(graph, node, reader, joined, node.inputs)
