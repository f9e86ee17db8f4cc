"""Which operators does a model run on inputs of these sizes?

The model runs once on fake tensors, which have a shape and no numbers, and each operator that it calls becomes a node
of torch.fx. So Python code of any kind is followed, but a model that looks at a number cannot be captured: its next
operator would depend on the input. Operators that write in place become those that return a new tensor, where that is
the same; where it is not, the model is refused.
"""

# ruff: noqa: SLF001  # torch has no public name for the schema of an operator, nor for which storage a tensor has

import copy
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import TreeSpec, tree_flatten

from convbench.errors import in_words
from convbench.graph.errors import UnsupportedModel
from convbench.models.fitness import why_unfit

IDENTITY_IN_EVALUATION = ("dropout", "dropout_", "feature_dropout", "feature_dropout_", "alpha_dropout")


@dataclass(frozen=True, slots=True)
class Captured:
    """The operators of one forward pass.

    Attributes:
        nodes: calls of operators in their order, without the placeholders.
        inputs: the placeholders of the model's inputs.
        constants: what the other placeholders and attributes stand for: parameters, buffers, plain tensors.
        names: of the constants, as in the state dict.
        results: a node or a constant for each leaf of what the model returns.
        structure: how the leaves make up what it returns.
    """

    nodes: tuple[fx.Node, ...]
    inputs: tuple[fx.Node, ...]
    constants: dict[fx.Node, Tensor]
    names: dict[fx.Node, str]
    results: tuple[object, ...]
    structure: TreeSpec


def check(model: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Raise UnsupportedModel for what can be seen without running the model."""
    for place, one in enumerate(inputs):
        if not isinstance(one, Tensor):
            raise UnsupportedModel(f"input {place} is a {type(one).__name__}; all inputs must be tensors")
    if why := why_unfit(model, inputs):
        raise UnsupportedModel(why)


def _apart(model: nn.Module) -> nn.Module:
    """The modules anew over the same weights: what a forward pass keeps in attributes would be fake tensors."""
    weights = {id(one): one for one in (*model.parameters(), *model.buffers())}
    try:
        return copy.deepcopy(model, weights)
    except Exception:  # whatever a copy raises: such a model is run as it is
        return model


def capture(model: nn.Module, inputs: Sequence[Tensor]) -> Captured:
    """The operators that the model runs on such inputs, in evaluation mode and without gradients.

    Raises:
        UnsupportedModel: the model depends on the numbers of its input, draws random numbers, writes into its state, or
            raises an error.
    """
    check(model, inputs)
    model = _apart(model)
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    structures: list[TreeSpec] = []

    def call(*tensors: Tensor) -> list[object]:
        named = dict(zip(state, tensors, strict=False))
        leaves, structure = tree_flatten(functional_call(model, named, tuple(tensors[len(state) :])))
        structures.append(structure)
        return leaves

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # a model's own warnings come when it runs
        stack.enter_context(torch.no_grad())
        mode = stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        fakes = [mode.from_tensor(one.detach()) for one in (*state.values(), *inputs)]
        try:
            module = make_fx(call, pre_dispatch=True, _allow_non_fake_inputs=True)(*fakes)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise UnsupportedModel(
                f"what the model runs depends on the numbers of its input ({error.func}), so there is no fixed graph"
            ) from None
        except Exception as error:
            raise UnsupportedModel(f"the model cannot be captured on fake tensors: {in_words(error)}") from error
    return _checked(module, list(state), list(state.values()), fakes, len(inputs), structures[-1])


def _checked(
    module: fx.GraphModule, names: list[str], state: list[Tensor], fakes: list[Any], inputs: int, structure: TreeSpec
) -> Captured:
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    for node, fake in zip(placeholders, fakes, strict=True):
        node.meta["val"] = fake
    constants = {node: one.detach() for node, one in zip(placeholders, state, strict=False)}
    names_of = dict(zip(placeholders, names, strict=False))
    for node in module.graph.nodes:
        if node.op == "get_attr":
            constants[node] = getattr(module, str(node.target)).detach()
            node.meta["val"] = constants[node]
    nodes = [node for node in module.graph.nodes if node.op == "call_function"]
    _refuse_random(nodes)
    _without_writes(nodes, placeholders[: len(names)], placeholders[len(names) :])
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    results = output.args[0] if isinstance(output.args[0], (list, tuple)) else [output.args[0]]
    return Captured(
        nodes=tuple(nodes),
        inputs=tuple(placeholders[len(placeholders) - inputs :]),
        constants=constants,
        names=names_of,
        results=tuple(results),
        structure=structure,
    )


def is_identity(node: fx.Node) -> bool:
    """Dropout in evaluation."""
    name = getattr(getattr(node.target, "overloadpacket", None), "__name__", "")
    return name in IDENTITY_IN_EVALUATION and not (node.args[2] if len(node.args) > 2 else node.kwargs.get("train"))


def _refuse_random(nodes: Sequence[fx.Node]) -> None:
    for node in nodes:
        random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if random and not is_identity(node) and not _drops_nothing(node):
            raise UnsupportedModel(
                f"the model draws random numbers ({node.target}), so its output is another each time"
            )


def _drops_nothing(node: fx.Node) -> bool:
    """Attention without dropout."""
    names = [one.name for one in node.target._schema.arguments]  # type: ignore[union-attr]  # an operator, not a name
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    return "dropout_p" in names and not given.get("dropout_p", 0)


def _without_writes(nodes: list[fx.Node], state: list[fx.Node], inputs: list[fx.Node]) -> None:
    """Replace operators that write in place; what they write into may be known by no other name.

    Raises:
        UnsupportedModel: it is.
    """
    order = {node: place for place, node in enumerate(nodes)}
    of_storage: dict[int, list[fx.Node]] = {}
    for node in [*state, *inputs, *nodes]:
        for storage in _storages(node):
            of_storage.setdefault(storage, []).append(node)
    for node in nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is None or not schema.is_mutable or is_identity(node):
            continue
        written = [place for place, one in enumerate(schema.arguments) if one.alias_info and one.alias_info.is_write]
        target = _returning(node.target)
        into = node.args[0] if node.args else None
        if written != [0] or target is None or not isinstance(into, fx.Node):
            raise UnsupportedModel(f"the model calls {node.target}, which writes into tensors that it is given")
        for other in {one for storage in _storages(into) for one in of_storage[storage]}:
            if other in state:
                raise UnsupportedModel(
                    f"the model writes into its own state ({node.target}), so calls depend on each other"
                )
            if other in inputs:
                raise UnsupportedModel(f"the model writes into its input ({node.target})")
            read_later = any(order.get(user, len(nodes)) > order[node] for user in other.users)
            if other is not node and read_later and not _after(node, other, order):
                raise UnsupportedModel(
                    f"the model writes into a tensor ({node.target}) that it also reads by another name"
                )
        node.target = target


def _after(write: fx.Node, other: fx.Node, order: dict[fx.Node, int]) -> bool:
    """Whether the other name came into being through the write: it is its result, or made of it."""
    return order[other] > order[write] and write in _sources(other)


def _sources(node: fx.Node) -> set[fx.Node]:
    found: set[fx.Node] = set()
    left = [node]
    while left:
        for one in left.pop().all_input_nodes:
            if one not in found:
                found.add(one)
                left.append(one)
    return found


def _storages(node: fx.Node) -> list[int]:
    leaves, _ = tree_flatten(node.meta.get("val"))
    return [one.untyped_storage()._cdata for one in leaves if isinstance(one, Tensor)]


def _returning(target: Any) -> Any:
    """`aten.relu.default` of `aten.relu_.default`."""
    namespace, _, name = target._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None) if name.endswith("_") else None
    overload = target._overloadname
    return getattr(packet, overload, None) if packet is not None and overload in packet.overloads() else None
