"""Which operations have a kernel on blocks of channels, and on which geometry does it run?

A value that a kernel writes or reads is `Blocked`, or `Planes` if it is an input of few channels that only dense
convolutions read. Its halo is as wide as the widest of its readers' padding, so no reader meets an edge and nothing is
wider than it is read. Flattening moves nothing, for a linear layer takes its weights in the order of the blocks; only
what a convolution reads with a halo as well is flattened by torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from convbench.graph.graph import Graph
from convbench.graph.operations import (
    NONE,
    Activation,
    Add,
    Affine,
    AveragePool,
    ChannelNorm,
    Concat,
    Conv,
    ConvTranspose,
    Flatten,
    GlobalAverage,
    GraphValue,
    Linear,
    MaxPool,
    Multiply,
    Node,
    Scale,
    Upsample,
)
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked import (
    convolution,
    depthwise,
    elementwise,
    inverted,
    joining,
    linear,
    norm,
    packing,
    pooling,
    transposed,
)
from convbench.kernels.blocked.geometry import NO_HALO, Blocked, Geometry, Planes, Sides, halo_of, widest
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan, Places
from convbench.kernels.blocked.plan import Activation as ActivationName
from convbench.kernels.blocked.problems import BlockedLinear, Convolution, Depthwise

MOST_PLANES = 4  # channels of an input that is kept in planes: in a block most lanes would be empty


@dataclass(frozen=True, eq=False)
class Lowered:
    """A node as a problem of the kernels.

    Attributes:
        plans: the ways to do it, the default first.
        operands: the values at x, and where there are any at the residual and at the second operand.
        weights: (weight, bias) of each operation with weights, as plans pack them.
        more: further plans, each with its x, that complete the same output.
    """

    node: Node
    problem: Any
    plans: Sequence[BlockedPlan]
    x: GraphValue
    residual: GraphValue | None = None
    second: GraphValue | None = None
    weights: Sequence[tuple[Tensor, Tensor]] = ()
    more: Sequence[tuple[GraphValue, BlockedPlan]] = ()


class Layout:
    """The geometry of every value that kernels touch.

    Attributes:
        own: the nodes that kernels do.
        of: by value; those of one root lie in one place.
    """

    def __init__(self, graph: Graph, target: Target) -> None:
        self.graph, self.target = graph, target
        self.roots: dict[GraphValue, GraphValue] = {}
        for node in graph.nodes:
            if isinstance(node.operation, Flatten):
                self.roots[node.output] = self.root(node.inputs[0])
        self.own = [node for node in graph.nodes if self._has_kernel(node)]
        self.of: dict[GraphValue, Geometry] = {}
        self._lay_out()
        padded = {one for one in self.roots if self.root(one) in self.of and self[one].halo != NO_HALO}
        if padded:  # a linear layer reads no halo: what a convolution reads as well is flattened by torch
            self.roots = {one: root for one, root in self.roots.items() if one not in padded}
            self._lay_out()

    def root(self, value: GraphValue) -> GraphValue:
        """The value whose memory it shares."""
        return self.roots.get(value, value)

    def __getitem__(self, value: GraphValue) -> Geometry:
        return self.of[self.root(value)]

    def blocked(self, value: GraphValue) -> Blocked:
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
            case (
                Conv()
                | ConvTranspose()
                | Affine()
                | MaxPool()
                | GlobalAverage()
                | Concat()
                | Upsample()
                | Scale()
                | ChannelNorm()
            ):
                return True
            case _:
                return False

    def _lay_out(self) -> None:
        own = set(self.own)
        touched = [one for node in self.own for one in (*node.inputs, *node.outputs)]
        made = {self.root(one) for node in self.own for one in node.outputs}
        few = {self.root(one) for one in touched} - made
        self.of = {}
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
        if isinstance(node.operation, ConvTranspose):
            problem, _ = self._transposed(node)
            return problem.halo
        if not isinstance(node.operation, Conv):
            return NO_HALO
        conv, x, y = node.operation, self[node.inputs[0]], self[node.output]
        return halo_of((x.h, x.w), (y.h, y.w), conv.kernel, conv.stride, conv.before, conv.dilation)

    # Problems

    def lower(self, node: Node, threads: int, accuracy: str) -> Lowered:
        """The problem of a node that has a kernel, and the ways to do it."""
        operation = node.operation
        if isinstance(operation, Conv | ConvTranspose | Affine | Linear | ChannelNorm):
            return self._with_weights(node, threads, accuracy)
        x, y = self.blocked(node.inputs[0]), self.blocked(node.output)
        second = self.blocked(node.inputs[1]) if len(node.inputs) > 1 else x
        problem: Any
        room: Callable[..., Sequence[BlockedPlan]]
        match operation:
            case MaxPool(kernel, stride, padding, dilation):
                problem, room = pooling.BlockedMaxPool(x, y, kernel, stride, padding, dilation), pooling.candidates
            case AveragePool(kernel, stride, padding, _, counted):
                problem, room = pooling.BlockedAveragePool(x, y, kernel, stride, padding, counted), pooling.candidates
            case GlobalAverage():
                problem, room = pooling.GlobalAveragePool(x, y), pooling.candidates
            case Activation(name):
                problem = elementwise.Elementwise("activate", x, y, activation=cast("ActivationName", name))
                room = elementwise.candidates
            case Add(activation):
                problem = elementwise.Elementwise("add", x, y, second, cast("ActivationName", activation))
                room = elementwise.candidates
            case Multiply():
                problem, room = elementwise.Elementwise("multiply", x, y, second), elementwise.candidates
            case Scale():
                problem, room = elementwise.Elementwise("scale", x, y, second), elementwise.candidates
            case Upsample(_, mode, corners):
                problem, room = joining.BlockedUpsample(x, y, cast("joining.Mode", mode), corners), joining.candidates
            case Concat():
                return self._concatenation(node, threads)
            case _:
                raise TypeError(operation)
        plans = room(problem, self.target, threads)
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
            return Lowered(node, problem, plans, node.inputs[0], weights=[(weight.float(), bias.float())])
        if isinstance(operation, ConvTranspose):
            problem, (weight, bias) = self._transposed(node)
            plans = transposed.candidates(problem, self.target, threads, exact)
            return Lowered(node, problem, plans, node.inputs[0], weights=[(weight.float(), bias.float())])
        if isinstance(operation, ChannelNorm):
            assert isinstance(x, Blocked)
            problem = norm.BlockedLayerNorm(x, y, operation.eps)
            plans = norm.candidates(problem, self.target, threads, exact)
            weight, bias = operation.weight, operation.bias
            return Lowered(node, problem, plans, node.inputs[0], weights=[(weight.float(), bias.float())])
        assert isinstance(operation, Conv | Linear)
        activation = cast("ActivationName", operation.activation)
        if isinstance(operation, Linear):
            assert isinstance(x, Blocked)
            problem = BlockedLinear(x, y, activation, beside)
            plans = linear.candidates(problem, self.target, threads, exact)
        elif operation.is_depthwise:
            assert isinstance(x, Blocked)
            problem = Depthwise(
                x, y, operation.kernel, operation.stride, operation.before, operation.dilation, activation, beside
            )
            plans = depthwise.candidates(problem, self.target, threads, exact)
        else:
            problem = Convolution(
                x, y, operation.kernel, operation.stride, operation.before, operation.dilation, activation, beside,
                operation.groups,
            )  # fmt: skip
            plans = convolution.candidates(problem, self.target, threads, exact)
        weight, bias = operation.weight.float(), operation.bias.float()
        return Lowered(node, problem, plans, node.inputs[0], residual, weights=[(weight, bias)])

    def _transposed(self, node: Node) -> tuple[transposed.TransposedConvolution, tuple[Tensor, Tensor]]:
        """The problem of a transposed convolution, and its weight and bias."""
        operation = node.operation
        assert isinstance(operation, ConvTranspose)
        r, s = operation.weight.shape[2:]
        problem = transposed.TransposedConvolution(
            self.blocked(node.inputs[0]), self.blocked(node.output), (r, s), operation.stride, operation.padding,
            cast("ActivationName", operation.activation),
        )  # fmt: skip
        return problem, (operation.weight, operation.bias)

    def _concatenation(self, node: Node, threads: int) -> Lowered:
        """A copy for each part."""
        parts, first = [], 0
        for one in node.inputs:
            problem = joining.Copy(self.blocked(one), self.blocked(node.output), first)
            parts.append((one, joining.candidates(problem, self.target, threads)))
            first += one.shape[1]
        (x, plans), *more = parts
        return Lowered(node, None, plans, x, more=[(one, found[0]) for one, found in more])

    def groups(self, threads: int, accuracy: str) -> "list[NodeGroup]":
        """Inverted residuals that one kernel can do: expand 1x1, depthwise, project 1x1, read by nobody else."""
        readers, results, own = self.graph.readers(), set(self.graph.results()), set(self.own)
        found: list[NodeGroup] = []

        def before(node: Node) -> Node | None:
            """Who makes the node's x, if nobody else reads it."""
            x = node.inputs[0]
            alone = x not in results and len(readers[x]) == 1 and not any(x in one.inputs[1:] for one in readers[x])
            return next((one for one in self.own if x in one.outputs), None) if alone else None

        for project in self.own:
            depthwise_node = before(project) if _is_pointwise(project) else None
            if depthwise_node is None or depthwise_node not in own or not _is_plain_depthwise(depthwise_node):
                continue
            expand = before(depthwise_node)
            if expand is None or not _is_pointwise(expand) or len(expand.inputs) > 1:
                expand = None
            members = [one for one in (expand, depthwise_node, project) if one is not None]
            if isinstance(self[members[0].inputs[0]], Planes):
                continue
            group = self._inverted(members, threads, accuracy)
            if len(group.lowered.plans) > 1:
                found.append(group)
        return found

    def _inverted(self, members: list[Node], threads: int, accuracy: str) -> "NodeGroup":
        convs = [cast("Conv", one.operation) for one in members]
        *first, middle, last = convs
        x, project = members[0].inputs[0], members[-1]
        residual = project.inputs[1] if last.residual else None
        problem = inverted.InvertedResidual(
            x=self.blocked(x), y=self.blocked(project.output), middle=len(middle.weight), kernel=middle.kernel,
            stride=middle.stride, padding=middle.before, expand=bool(first),
            first=cast("ActivationName", first[0].activation if first else NONE),
            second=cast("ActivationName", middle.activation), activation=cast("ActivationName", last.activation),
            residual=None if residual is None else self.blocked(residual),
        )  # fmt: skip
        plans = inverted.candidates(problem, self.target, threads, cast("Accuracy", accuracy))
        weights = [(one.weight.float(), one.bias.float()) for one in convs]
        node = Node(f"{members[0].name} to {project.name}", Chain(members), project.inputs, project.outputs)
        return NodeGroup(members, Lowered(node, problem, [MembersApart(), *plans], x, residual, weights=weights))

    def pack(self, value: GraphValue, threads: int) -> BlockedPlan:
        """From a contiguous tensor."""
        return packing.candidates(packing.Pack(self[value]), self.target, threads)[0]

    def unpack(self, value: GraphValue, threads: int) -> BlockedPlan:
        """To a contiguous tensor."""
        return packing.candidates(packing.Unpack(self[value]), self.target, threads)[0]


@dataclass(frozen=True)
class MembersApart:
    """The plan of a group whose members run one after the other, each by its own plan."""

    name: str = "apart"
    scratch: int = 0

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        raise TypeError(f"the members pack their weights, such as {w.shape}, {bias is None}")

    def steps(self, places: Places) -> list[KernelStep]:
        raise TypeError(f"the members have steps, not {places}")


@dataclass(frozen=True)
class NodeGroup:
    """Nodes that one kernel can do together; `lowered` has the ways, `MembersApart` first."""

    members: list[Node]
    lowered: Lowered

    @property
    def name(self) -> str:
        return self.lowered.node.name


@dataclass(frozen=True)
class Chain:
    """Nodes one after the other, as an operation: x of the first, and the residual of the last."""

    members: list[Node]

    @property
    def words(self) -> str:
        return " | ".join(one.operation.words for one in self.members)

    def run(self, x: Tensor, *residual: Tensor) -> Tensor:
        *others, last = self.members
        for one in others:
            x = one.operation.run(x)
        return cast("Tensor", last.operation.run(x, *residual))


def _is_pointwise(node: Node) -> bool:
    conv = node.operation
    if not isinstance(conv, Conv):
        return False
    return conv.groups == 1 and (*conv.kernel, *conv.stride, *conv.padding) == (1, 1, 1, 1, 0, 0, 0, 0)


def _is_plain_depthwise(node: Node) -> bool:
    conv = node.operation
    return isinstance(conv, Conv) and conv.is_depthwise and conv.dilation == (1, 1) and not conv.residual
