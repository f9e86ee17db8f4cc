"""Which operations have a kernel on blocks of channels, and on which geometry does it run?

A value that a kernel writes or reads is `Blocked`, or `Planes` if it is an input of few channels that only dense
convolutions read. Its halo is as wide as the widest of its readers' padding, so no reader meets an edge and nothing is
wider than it is read. Flattening moves nothing: a linear layer takes its weights in the order of the blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from convbench.graph.graph import Graph
from convbench.graph.operations import Conv, Flatten, Linear, Node, Value
from convbench.jit.target import Target
from convbench.kernels.blocked import convolution, packing
from convbench.kernels.blocked.geometry import NO_HALO, Blocked, Planes, Sides, halo_of, widest
from convbench.kernels.blocked.plan import Accuracy, Activation, BlockedPlan
from convbench.kernels.blocked.problems import Convolution

Geometry = Blocked | Planes
MOST_PLANES = 4  # channels of an input that is kept in planes: in a block most lanes would be empty


@dataclass(frozen=True, eq=False)
class Lowered:
    """A node as a problem of the kernels.

    Attributes:
        plans: the ways to do it, the default first.
        operands: the values at x, and where there are any at the residual and at the second operand.
        weight, bias: as `pack` takes them.
    """

    node: Node
    problem: Any
    plans: Sequence[BlockedPlan]
    x: Value
    residual: Value | None = None
    second: Value | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None


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
        if any(one.dtype != node.output.dtype or 0 in one.shape for one in node.inputs) if len(node.outputs) == 1 else True:
            return False
        match node.operation:
            case Conv() as conv:
                return not _is_depthwise(conv)
            case _:
                return False

    def _lay_out(self) -> None:
        own = set(self.own)
        touched = [one for node in self.own for one in (*node.inputs, *node.outputs)]
        made = {self.root(one) for node in self.own for one in node.outputs}
        few = {self.root(one) for one in touched} - made
        for node in self.own:
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
        match node.operation:
            case Conv() as conv:
                x, y = self[node.inputs[0]], self[node.output]
                kernel = (conv.weight.shape[2], conv.weight.shape[3])
                before = (conv.padding[0], conv.padding[2])
                return halo_of((x.h, x.w), (y.h, y.w), kernel, conv.stride, before, conv.dilation)
            case _:
                return NO_HALO

    # Problems

    def lower(self, node: Node, threads: int, accuracy: str) -> Lowered:
        """The problem of a node that has a kernel, and the ways to do it."""
        match node.operation:
            case Conv() as conv:
                residual = node.inputs[1] if conv.residual else None
                problem = Convolution(
                    x=self[node.inputs[0]],
                    y=self.blocked(node.output),
                    kernel=(conv.weight.shape[2], conv.weight.shape[3]),
                    stride=conv.stride,
                    padding=(conv.padding[0], conv.padding[2]),
                    dilation=conv.dilation,
                    groups=conv.groups,
                    activation=cast("Activation", conv.activation),
                    residual=None if residual is None else self.blocked(residual),
                )
                plans = convolution.candidates(problem, self.target, threads, cast("Accuracy", accuracy))
                return Lowered(
                    node, problem, plans, node.inputs[0], residual,
                    weight=conv.weight.float(), bias=conv.bias.float(),
                )  # fmt: skip
            case _:
                raise TypeError(node.operation)

    def pack(self, value: Value, threads: int) -> BlockedPlan:
        """From a contiguous tensor."""
        return packing.candidates(packing.Pack(self[value]), self.target, threads)[0]

    def unpack(self, value: Value, threads: int) -> BlockedPlan:
        """To a contiguous tensor."""
        return packing.candidates(packing.Unpack(self[value]), self.target, threads)[0]


def _is_depthwise(conv: Conv) -> bool:
    return conv.groups > 1 and conv.groups == len(conv.weight) and conv.weight.shape[1] == 1
