"""Which operations have a kernel on blocks of channels, and on which geometry does it run?

A value that a kernel writes or reads is `Blocked`, or `Planes` if it is an input of few channels that only dense
convolutions read. Its halo is as wide as the widest of its readers' padding, so no reader meets an edge and nothing is
wider than it is read. Flattening moves nothing: a linear layer takes its weights in the order of the blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from convbench.graph.graph import Graph
from convbench.graph.operations import (
    Activation,
    Add,
    Affine,
    AveragePool,
    ChannelNorm,
    Concat,
    Conv,
    Flatten,
    GlobalAverage,
    Linear,
    MaxPool,
    Multiply,
    Node,
    Scale,
    Upsample,
    Value,
)
from convbench.jit.target import Target
from convbench.kernels.blocked import convolution, depthwise, elementwise, joining, linear, norm, packing, pooling
from convbench.kernels.blocked.geometry import NO_HALO, Blocked, Planes, Sides, halo_of, widest
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan
from convbench.kernels.blocked.plan import Activation as ActivationName
from convbench.kernels.blocked.problems import Convolution, Depthwise
from convbench.kernels.blocked.problems import Linear as LinearProblem

Geometry = Blocked | Planes
MOST_PLANES = 4  # channels of an input that is kept in planes: in a block most lanes would be empty


@dataclass(frozen=True, eq=False)
class Lowered:
    """A node as a problem of the kernels.

    Attributes:
        plans: the ways to do it, the default first.
        operands: the values at x, and where there are any at the residual and at the second operand.
        weight, bias: as `pack` takes them.
        more: further plans, each with its x, that complete the same output.
    """

    node: Node
    problem: Any
    plans: Sequence[BlockedPlan]
    x: Value
    residual: Value | None = None
    second: Value | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    more: Sequence[tuple[Value, BlockedPlan]] = ()


class Layout:
    """The geometry of every value that kernels touch.

    Attributes:
        own: the nodes that kernels do.
        of: by value; those of one root lie in one place.
    """

    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph, self.target = graph, target
        self.roots: dict[Value, Value] = {}
        for node in graph.nodes:
            if isinstance(node.operation, Flatten):
                self.roots[node.output] = self.root(node.inputs[0])
        self.own = [node for node in graph.nodes if self._has_kernel(node)]
        self.of: dict[Value, Geometry] = {}
        self._lay_out()

    def root(self, value: Value) -> Value:
        """The value whose memory it shares."""
        return self.roots.get(value, value)

    def __getitem__(self, value: Value) -> Geometry:
        return self.of[self.root(value)]

    def blocked(self, value: Value) -> Blocked:
        found = self[value]
        assert isinstance(found, Blocked)
        return found

    def _has_kernel(self, node: Node) -> bool:
        values = [*node.inputs, *node.outputs]
        if len(node.outputs) != 1 or any(one.dtype != torch.float32 or 0 in one.shape for one in values):
            return False
        match node.operation:
            case AveragePool(divisor=divisor):
                return divisor is None
            case Linear():
                return all(len(one.shape) == 2 for one in values)
            case Activation() | Add() | Multiply():
                return all(len(one.shape) == 4 and one.shape == node.output.shape for one in values)
            case Conv() | Affine() | MaxPool() | GlobalAverage() | Concat() | Upsample() | Scale() | ChannelNorm():
                return True
            case _:
                return False

    def _lay_out(self) -> None:
        own = set(self.own)
        touched = [one for node in self.own for one in (*node.inputs, *node.outputs)]
        made = {self.root(one) for node in self.own for one in node.outputs}
        few = {self.root(one) for one in touched} - made
        for node in self.own:  # planes are read by dense convolutions alone
            dense = isinstance(node.operation, Conv) and node.operation.groups == 1
            few -= {self.root(one) for one in node.inputs[0 if not dense else 1 :]}
        for value in dict.fromkeys(map(self.root, touched)):
            n, c, h, w = (*value.shape, 1, 1)[:4]
            planes = value in few and c <= MOST_PLANES
            self.of[value] = Planes(n, c, h, w) if planes else Blocked(n, c, h, w, self.target.lanes)
        for node in self.graph.nodes:
            if node in own:
                x = self.root(node.inputs[0])
                self.of[x] = self.of[x].with_halo(widest(self.of[x].halo, self._halo(node)))

    def _halo(self, node: Node) -> Sides:
        if not isinstance(node.operation, Conv):
            return NO_HALO
        conv, x, y = node.operation, self[node.inputs[0]], self[node.output]
        return halo_of((x.h, x.w), (y.h, y.w), conv.kernel, conv.stride, conv.before, conv.dilation)

    # Problems

    def lower(self, node: Node, threads: int, accuracy: str) -> Lowered:
        """The problem of a node that has a kernel, and the ways to do it."""
        operation = node.operation
        if isinstance(operation, Conv | Affine | Linear | ChannelNorm):
            return self._with_weights(node, threads, accuracy)
        x, y = self.blocked(node.inputs[0]), self.blocked(node.output)
        second = self.blocked(node.inputs[1]) if len(node.inputs) > 1 else x
        problem: Any
        match operation:
            case MaxPool(kernel, stride, padding, dilation):
                problem, room = pooling.MaxPool(x, y, kernel, stride, padding, dilation), pooling.candidates
            case AveragePool(kernel, stride, padding, _, counted):
                problem, room = pooling.AveragePool(x, y, kernel, stride, padding, counted), pooling.candidates
            case GlobalAverage():
                problem, room = pooling.GlobalAveragePool(x, y), pooling.candidates
            case Activation(name):
                problem, room = elementwise.Activate(x, y, cast("ActivationName", name)), elementwise.candidates
            case Add(activation):
                problem = elementwise.Add(x, second, y, cast("ActivationName", activation))
                room = elementwise.candidates
            case Multiply():
                problem, room = elementwise.Multiply(x, second, y), elementwise.candidates
            case Scale():
                problem, room = elementwise.Scale(x, second, y), elementwise.candidates
            case Upsample(_, mode, corners):
                problem, room = joining.Upsample(x, y, cast("joining.Mode", mode), corners), joining.candidates
            case Concat():
                return self._concatenation(node, threads)
            case _:
                raise TypeError(operation)
        plans: Sequence[BlockedPlan] = room(problem, self.target, threads)
        return Lowered(node, problem, plans, node.inputs[0], second=node.inputs[1] if len(node.inputs) > 1 else None)

    def _with_weights(self, node: Node, threads: int, accuracy: str) -> Lowered:
        operation, x, y = node.operation, self[node.inputs[0]], self.blocked(node.output)
        residual = node.inputs[1] if len(node.inputs) > 1 else None
        beside = None if residual is None else self.blocked(residual)
        exact, problem = cast("Accuracy", accuracy), cast("Any", None)
        if isinstance(operation, Affine):
            assert isinstance(x, Blocked)
            problem = Depthwise(x, y, (1, 1))
            plans = depthwise.candidates(problem, self.target, threads, exact)
            weight, bias = operation.scale.view(-1, 1, 1, 1), operation.shift
            return Lowered(node, problem, plans, node.inputs[0], weight=weight.float(), bias=bias.float())
        if isinstance(operation, ChannelNorm):
            assert isinstance(x, Blocked)
            problem = norm.LayerNorm(x, y, operation.eps)
            plans = norm.candidates(problem, self.target, threads, exact)
            weight, bias = operation.weight, operation.bias
            return Lowered(node, problem, plans, node.inputs[0], weight=weight.float(), bias=bias.float())
        assert isinstance(operation, Conv | Linear)
        activation = cast("ActivationName", operation.activation)
        if isinstance(operation, Linear):
            assert isinstance(x, Blocked)
            problem = LinearProblem(x, y, activation, beside)
            plans = linear.candidates(problem, self.target, threads, exact)
        elif operation.is_depthwise:
            assert isinstance(x, Blocked)
            problem = Depthwise(
                x, y, operation.kernel, operation.stride, operation.before, operation.dilation, activation, beside
            )
            plans = depthwise.candidates(problem, self.target, threads, exact)
        else:
            problem = Convolution(
                x, y, operation.kernel, operation.stride, operation.before, operation.dilation, operation.groups,
                activation, beside,
            )  # fmt: skip
            plans = convolution.candidates(problem, self.target, threads, exact)
        weight, bias = operation.weight.float(), operation.bias.float()
        return Lowered(node, problem, plans, node.inputs[0], residual, weight=weight, bias=bias)

    def _concatenation(self, node: Node, threads: int) -> Lowered:
        """A copy for each part."""
        parts, first = [], 0
        for one in node.inputs:
            problem = joining.Copy(self.blocked(one), self.blocked(node.output), first)
            parts.append((one, joining.candidates(problem, self.target, threads)))
            first += one.shape[1]
        (x, plans), *more = parts
        return Lowered(node, None, plans, x, more=[(one, found[0]) for one, found in more])

    def pack(self, value: Value, threads: int) -> BlockedPlan:
        """From a contiguous tensor."""
        return packing.candidates(packing.Pack(self[value]), self.target, threads)[0]

    def unpack(self, value: Value, threads: int) -> BlockedPlan:
        """To a contiguous tensor."""
        return packing.candidates(packing.Unpack(self[value]), self.target, threads)[0]
