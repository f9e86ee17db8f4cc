"""A graph as something that runs: own segments and calls of torch, in turn.

Nodes with kernels that follow each other are one segment: one parallel region, whose steps and argument blocks are made
once. What enters a segment is packed into blocks, and what leaves it is unpacked into a new tensor; their addresses are
the only words that a call writes.
"""

import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from convbench.graph.graph import Graph
from convbench.graph.lower import Layout, Lowered, MembersApart
from convbench.graph.memory import Arena, ArenaPlan
from convbench.graph.operations import Flatten, GraphValue, Node
from convbench.jit.target import host
from convbench.jit.team import KernelStep, PreparedRun
from convbench.kernels.blocked.inverted import InvertedPlan
from convbench.kernels.blocked.plan import BlockedPlan
from convbench.kernels.blocked.plan import Places as Operands
from convbench.models.accuracy import relative_error

BY_TORCH = "torch"  # the plan of a node that torch runs
PACK, UNPACK = "pack", "unpack"
# Stands for the address of a tensor that a call brings; no argument of a kernel comes near it.
_TO_COME = 1 << 60
_NEAR = 1 << 44
MOST_KEPT = 3 << 27  # floats of packed weights, while plans are tuned


@dataclass(frozen=True, eq=False)
class WorkItem:
    """One thing that is done in a call.

    Attributes:
        kind: pack, unpack, own or torch.
        node: of own and torch.
        value: of pack and unpack.
    """

    kind: str
    node: Node | None = None
    value: GraphValue | None = None


@dataclass(frozen=True, eq=False)
class Port:
    """Where the address of a tensor goes: words of a block, with what is added to it."""

    value: GraphValue
    words: Sequence[tuple["array[int]", int, int]]

    def write(self, address: int) -> None:
        for block, place, offset in self.words:
            block[place] = address + offset


@dataclass(eq=False)
class Segment:
    """Steps that run in one parallel region.

    Attributes:
        owners: the name of the node of each step.
    """

    steps: list[KernelStep] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    enter: list[Port] = field(default_factory=list)
    leave: list[Port] = field(default_factory=list)
    prepared: PreparedRun | None = None

    def run(self, tensors: dict[GraphValue, Tensor], times: "Times | None" = None) -> None:
        assert self.prepared is not None
        held = []
        for port in self.enter:
            one = tensors[port.value].contiguous()
            held.append(one)
            port.write(one.data_ptr())
        for port in self.leave:
            one = tensors[port.value] = torch.empty(port.value.shape)
            port.write(one.data_ptr())
        if times is None:
            self.prepared()
        else:
            for owner, seconds in zip(self.owners, self.prepared.stamps(), strict=True):
                times.add(owner, seconds)


@dataclass(eq=False)
class TorchNode:
    """A node that torch runs."""

    node: Node

    def run(self, tensors: dict[GraphValue, Tensor], times: "Times | None" = None) -> None:
        start = time.perf_counter()
        made = self.node.operation.run(*[tensors[one] for one in self.node.inputs])
        made = [made] if isinstance(made, Tensor) else made
        tensors.update(zip(self.node.outputs, made, strict=True))
        if times is not None:
            times.add(self.node.name, time.perf_counter() - start)


@dataclass
class Times:
    """Seconds of the nodes in one call."""

    of: dict[str, float] = field(default_factory=dict)

    def add(self, owner: str, seconds: float) -> None:
        self.of[owner] = self.of.get(owner, 0.0) + seconds

    @property
    def total(self) -> float:
        return sum(self.of.values())


class Program:
    """A graph for so many threads; `load` makes it ready to run.

    Attributes:
        lowered: the nodes that have kernels, by name.
        groups: those that one kernel can do together, by name.
        choices: the plan of each node, as loaded.
    """

    def __init__(self, graph: Graph, threads: int, accuracy: str = "standard") -> None:
        self.graph, self.threads = graph, threads
        self.layout = Layout(graph, host())
        self.lowered: dict[str, Lowered] = {
            node.name: self.layout.lower(node, threads, accuracy) for node in self.layout.own
        }
        self.groups = {one.name: one for one in self.layout.groups(threads, accuracy)}
        self.choices: dict[str, str] = {}
        self._work = self._order()
        self._places = ArenaPlan()
        self._place_of: dict[GraphValue, int] = {}
        self._plan_memory()
        problems = [*self.lowered.values(), *(one.lowered for one in self.groups.values())]
        self._scratch = max((plan.scratch for one in problems for plan in one.plans), default=0)
        self._scratch_at = self._places.add(self._scratch)
        self._activations = Arena(self._places.size)
        self._weights: list[Arena] = []
        self._items: list[Segment | TorchNode] = []
        self._done_with: list[list[GraphValue]] = []
        self._together: dict[str, Lowered | None] = {}  # by members' names: what does them, at the last of them
        self._keeping, self._kept_size = False, 0
        self._kept: dict[str, dict[str, Arena]] = {}
        self._plans: Mapping[str, BlockedPlan] = {}
        self._weights_at: dict[str, int] = {}
        self._torch = {node: replace_weights(node) for node in graph.nodes if node.name not in self.lowered}

    @property
    def workspace(self) -> int:
        """Bytes of activations, scratch and weights."""
        return self._activations.nbytes + sum(one.nbytes for one in self._weights)

    def names(self) -> list[str]:
        """Of the nodes that do something, in order."""
        return [node.name for node in self.graph.nodes if not self._is_alias(node)]

    def loaded(self) -> list[Node]:
        """The nodes that run as loaded: a group whose members are done together is one."""
        found = []
        for node in self.graph.nodes:
            if self._is_alias(node):
                continue
            done: Node | Lowered | None = self._together.get(node.name, node)
            if done is not None:
                found.append(done.node if isinstance(done, Lowered) else done)
        return found

    def _is_alias(self, node: Node) -> bool:
        return isinstance(node.operation, Flatten) and self.layout.root(node.output) in self.layout.of

    @property
    def segments(self) -> list[Segment]:
        return [one for one in self._items if isinstance(one, Segment)]

    def place_of(self, value: GraphValue) -> int:
        """Where it lies among the activations, in floats."""
        return self._place_of[self.layout.root(value)]

    # Planning

    def _order(self) -> list[WorkItem]:
        """All that has a kernel and can run goes before the next call of torch: fewer, longer segments."""
        layout = self.layout
        own = set(layout.own)
        left = list(self.graph.nodes)
        blocked: set[GraphValue] = set()  # roots that lie in blocks
        plain = set(self.graph.inputs)  # values that are tensors
        needed_plain = {one for node in left if node not in own and not self._is_alias(node) for one in node.inputs}
        needed_plain |= set(self.graph.results())
        work: list[WorkItem] = []

        def ready(node: Node) -> bool:
            return all(one in plain or layout.root(one) in blocked for one in node.inputs)

        def unpack(value: GraphValue) -> None:
            if value in needed_plain and value not in plain:
                work.append(WorkItem(UNPACK, value=value))
                plain.add(value)

        def take(node: Node) -> None:
            left.remove(node)
            if self._is_alias(node):
                if layout.root(node.output) in blocked:
                    unpack(node.output)
                else:  # of an input that no kernel has read so far
                    work.append(WorkItem(BY_TORCH, node))
                    plain.add(node.output)
                return
            if node in own:
                for one in node.inputs:
                    if layout.root(one) not in blocked:
                        work.append(WorkItem(PACK, value=layout.root(one)))
                        blocked.add(layout.root(one))
                work.append(WorkItem("own", node))
                blocked.update(layout.root(one) for one in node.outputs)
            else:
                work.append(WorkItem(BY_TORCH, node))
                plain.update(node.outputs)
            for one in node.outputs:
                unpack(one)

        while left:
            found = [node for node in left if ready(node) and (node in own or self._is_alias(node))]
            if not found:
                found = [next(node for node in left if ready(node))]
            take(found[0])
        return work

    def _plan_memory(self) -> None:
        """A place for each root from its first writer to its last reader."""
        last: dict[GraphValue, int] = {}
        early = {one.members[-1].name: one.lowered.x for one in self.groups.values()}
        for at, work in enumerate(self._work):
            for root in self._roots(work):
                last[root] = at
            if work.node is not None and work.node.name in early:  # done together, they read it now
                last[self.layout.root(early[work.node.name])] = at
        for at, work in enumerate(self._work):
            roots = self._roots(work)
            for root in roots:
                if root not in self._place_of:
                    self._place_of[root] = self._places.take(self.layout.of[root])
            for root in [one for one, end in last.items() if end == at]:
                self._places.give(self._place_of[root], self.layout.of[root])

    def _roots(self, work: WorkItem) -> list[GraphValue]:
        """What lies in blocks of what a work touches: the new one first."""
        if work.kind == BY_TORCH:
            return []
        values = [work.value] if work.value is not None else []
        if work.node is not None:
            values += [*work.node.outputs, *work.node.inputs]
        return list(dict.fromkeys(self.layout.root(one) for one in values))

    # Loading

    def load(self, choices: Mapping[str, str]) -> None:
        """Make the steps of these plans; what is not named gets its default.

        A plan that does not exist here counts as none was named.
        """
        plans = {name: chosen_plan(one, choices.get(name)) for name, one in self.lowered.items()}
        self.choices = {name: plans[name].name if name in plans else BY_TORCH for name in self.names()}
        self._together = {}
        for name, group in self.groups.items():
            plan = chosen_plan(group.lowered, choices.get(name))
            self.choices[name] = plan.name
            if not isinstance(plan, MembersApart):
                *others, last = (one.name for one in group.members)
                self._together |= {**dict.fromkeys(others), last: group.lowered}
                plans[name] = plan
        self._plans, self._weights_at = plans, self._place_weights(plans)
        self._items = []
        for is_torch, some in groupby(self._work, key=lambda one: one.kind == BY_TORCH):
            if is_torch:
                self._items += [TorchNode(self._torch[work.node]) for work in some if work.node is not None]
            else:
                self._items.append(self._segment(list(some)))
        self._done_with = self._last_reads()

    def _last_reads(self) -> list[list[GraphValue]]:
        """The tensors that nobody reads after each item."""
        kept, found = set(self.graph.results()), []
        for item in reversed(self._items):
            if isinstance(item, TorchNode):
                touched = {*item.node.inputs, *item.node.outputs}
            else:
                touched = {port.value for port in (*item.enter, *item.leave)}
            found.append([one for one in touched if one not in kept])
            kept |= touched
        return found[::-1]

    def _place_weights(self, plans: Mapping[str, BlockedPlan]) -> dict[str, int]:
        """The address of each node's packed weights: in one arena, in the order of their use."""
        names = [one.node.name for work in self._work if (one := self._done_by(work)) is not None and one.weights]
        if self._keeping:
            arenas = {name: self._kept_arena(name, plans[name]) for name in names}
            self._weights = list(arenas.values())
            return {name: arena.address for name, arena in arenas.items()}
        packed = {name: self._pack(name, plans[name]) for name in names}
        starts, size = {}, 0
        for name in names:
            starts[name], size = size, size + room_for(packed[name])
        whole = Arena(size)
        self._weights = [whole]
        for name, start in starts.items():
            weights = packed.pop(name)
            whole.tensor(start, weights.numel()).copy_(weights)
        return {name: whole.address + 4 * start for name, start in starts.items()}

    def _pack(self, name: str, plan: BlockedPlan) -> Tensor:
        one = self.groups[name].lowered if name in self.groups else self.lowered[name]
        return plan.pack_all(*one.weights) if isinstance(plan, InvertedPlan) else plan.pack(*one.weights[0])

    def _done_by(self, work: WorkItem) -> Lowered | None:
        """What a work does as loaded; None for members that are done with the last of their group."""
        if work.node is None or work.node.name not in self.lowered:
            return None
        name = work.node.name
        return self._together[name] if name in self._together else self.lowered[name]

    def _kept_arena(self, name: str, plan: BlockedPlan) -> Arena:
        """The weights of one plan; plans that pack alike share them, and many are not kept for the next round."""
        kept = self._kept.setdefault(name, {})
        if plan.name not in kept:
            packed = self._pack(name, plan)
            for arena in kept.values():
                if torch.equal(arena.tensor(0, arena.used), packed):
                    kept[plan.name] = arena
                    return arena
            arena = Arena(room_for(packed))
            arena.used = packed.numel()
            arena.tensor(0, arena.used).copy_(packed)
            if self._kept_size + arena.used > MOST_KEPT:
                return arena
            kept[plan.name], self._kept_size = arena, self._kept_size + arena.used
        return kept[plan.name]

    @contextmanager
    def keeping_weights(self) -> Iterator[None]:
        """Within it each plan has an arena of its own, which is kept: the same plans are loaded again and again."""
        self._keeping = True
        try:
            yield
        finally:
            self._keeping, self._kept, self._kept_size = False, {}, 0

    def release(self) -> None:
        """After the last `load`: what is needed only for another one."""
        self.lowered, self.groups, self._torch, self._work, self._together = {}, {}, {}, [], {}
        self.graph = Graph([], self.graph.inputs, self.graph.leaves, self.graph.structure)

    def _segment(self, group: list[WorkItem]) -> Segment:
        segment = Segment()
        for work in group:
            if work.node is not None:
                lowered = self._done_by(work)
                if lowered is None:
                    continue
                owner, plan = lowered.node.name, self._plans[lowered.node.name]
                operands = Operands(
                    x=self._address(lowered.x),
                    y=self._address(work.node.output),
                    weights=self._weights_at.get(owner, 0),
                    residual=0 if lowered.residual is None else self._address(lowered.residual),
                    second=0 if lowered.second is None else self._address(lowered.second),
                    scratch=self._activations.address + 4 * self._scratch_at,
                )
                steps = list(plan.steps(operands))
                for x, further in lowered.more:
                    steps += further.steps(replace(operands, x=self._address(x)))
            else:
                assert work.value is not None
                owner, here = work.kind, self._address(work.value)
                if work.kind == PACK:
                    steps = self.layout.pack(work.value, self.threads).steps(Operands(x=_TO_COME, y=here))
                    segment.enter.append(_port(work.value, steps))
                else:
                    steps = self.layout.unpack(work.value, self.threads).steps(Operands(x=here, y=_TO_COME))
                    segment.leave.append(_port(work.value, steps))
            segment.steps += steps
            segment.owners += [owner] * len(steps)
        segment.prepared = PreparedRun(segment.steps, self.threads)
        return segment

    def _address(self, value: GraphValue) -> int:
        return self._activations.address + 4 * self._place_of[self.layout.root(value)]

    # Running

    def run(self, inputs: Sequence[Tensor], times: Times | None = None) -> Any:
        """What the model returns; one caller at a time."""
        tensors: dict[GraphValue, Tensor] = dict(zip(self.graph.inputs, inputs, strict=True))
        for item, done_with in zip(self._items, self._done_with, strict=True):
            item.run(tensors, times)
            for one in done_with:
                del tensors[one]
        return self.graph.put_together(tensors.__getitem__)

    def errors(self, inputs: Sequence[Tensor]) -> dict[str, float]:
        """Relative L2 of what each kernel writes, against float64 on the operands that it read."""
        tensors: dict[GraphValue, Tensor] = dict(zip(self.graph.inputs, inputs, strict=True))
        found: dict[str, float] = {}
        for work in self._work:
            if work.kind == BY_TORCH:
                assert work.node is not None
                TorchNode(self._torch[work.node]).run(tensors)
                continue
            self._segment([work]).run(tensors)
            done = self._done_by(work)
            if done is not None:
                operands = [self._read(one).double() for one in (done.x, *done.node.inputs[1:])]
                found[done.node.name] = relative_error(self._read(done.node.output), done.node.operation.run(*operands))
        return found

    def _read(self, value: GraphValue) -> Tensor:
        """What lies in blocks, as a tensor."""
        geometry, first = self.layout[value], self._place_of[self.layout.root(value)]
        return geometry.read(self._activations.tensor(first, geometry.size)).reshape(value.shape)


def room_for(packed: Tensor) -> int:
    """Floats, with a few behind it that a kernel may prefetch."""
    return -(-(packed.numel() + 64) // 64) * 64


def chosen_plan(lowered: Lowered, name: str | None) -> BlockedPlan:
    """The plan of that name, or the default."""
    return next((one for one in lowered.plans if one.name == name), lowered.plans[0])


def _port(value: GraphValue, steps: Sequence[KernelStep]) -> Port:
    words = [
        (step.block, place, word - _TO_COME)
        for step in steps
        for place, word in enumerate(step.block)
        if abs(word - _TO_COME) < _NEAR
    ]
    return Port(value, words)


def replace_weights(node: Node) -> Node:
    """The node with a float32 copy of its weights, which are not the model's own."""
    weights = {
        name: one.float().clone()
        for name in ("weight", "bias", "scale", "shift")
        if isinstance(one := getattr(node.operation, name, None), Tensor)
    }
    operation: Any = node.operation
    return Node(node.name, replace(operation, **weights) if weights else operation, node.inputs, node.outputs)
