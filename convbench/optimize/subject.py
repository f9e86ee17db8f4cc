"""The model that is to be made faster: can it be, what is it called with, and is another one the same?"""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from convbench.errors import ConvbenchError, in_words, one_line
from convbench.models.fitness import why_unfit
from convbench.models.inputs import Inputs

PLAIN = (bool, int, float, str, type(None))  # what an export keeps as a constant


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """A model in evaluation mode, with the inputs that it is made faster for.

    Attributes:
        name: for people, and in files.
        rebuilt: the name that `models.load.find_model` builds it again by; "" for a model of this program.
    """

    name: str
    model: nn.Module
    inputs: Inputs
    rebuilt: str = ""

    def call(self) -> Any:
        """The model's own output, without gradients."""
        with torch.no_grad():
            return self.inputs.call(self.model)

    @property
    def shapes(self) -> str:
        """Of the inputs, as `--input` takes them."""
        return ",".join(map(str, self.inputs.given(torch.float32)))


def as_inputs(x: Any) -> Inputs:
    """What a model is called with: a tensor, a sequence of arguments, or a mapping of arguments by name.

    Raises:
        ConvbenchError: it is something else.
    """
    if isinstance(x, Inputs):
        return x
    if isinstance(x, Tensor):
        return Inputs(args=(x,))
    if isinstance(x, Mapping):
        return Inputs(kwargs=dict(x))
    if isinstance(x, Sequence) and not isinstance(x, str):
        return Inputs(args=tuple(x))
    raise ConvbenchError(
        f"x is a {type(x).__name__}; give a tensor, a tuple of the model's arguments, or a dict of them by name"
    )


def require_fit(subject: ModelCall) -> None:
    """Refuse a model that cannot be made faster, or whose output could not be proved.

    Raises:
        ConvbenchError: with what to do.
    """
    model, inputs = subject.model, subject.inputs
    if not isinstance(model, nn.Module):
        raise ConvbenchError(f"the model is a {type(model).__name__}; give a torch.nn.Module")
    if why := why_unfit(model, inputs.tensors):
        raise ConvbenchError(why)
    if not inputs.tensors:
        raise ConvbenchError("the model gets no tensor: give x, the input that it is made faster for")
    if odd := [one for one in tree_leaves((inputs.args, dict(inputs.kwargs))) if not isinstance(one, (Tensor, *PLAIN))]:
        raise ConvbenchError(f"an input is a {type(odd[0]).__name__}; give tensors, numbers and text")


def output_of(subject: ModelCall) -> "Structure":
    """What the model returns, as its first call shows.

    Raises:
        ConvbenchError: it does not run, changes its input, or returns something other than tensors.
    """
    before = [one.clone() for one in subject.inputs.tensors]
    try:
        out = subject.call()
    except Exception as error:  # whatever the model raises
        raise ConvbenchError(f"{subject.name} does not run on {subject.shapes}: {in_words(error)}") from None
    if any(not same(one, own) for one, own in zip(subject.inputs.tensors, before, strict=True)):
        raise ConvbenchError(f"{subject.name} changes its own input, so no two candidates would see the same; copy it")
    leaves, spec = tree_flatten(out)
    if odd := [one for one in leaves if not isinstance(one, (Tensor, *PLAIN))]:
        raise ConvbenchError(
            f"{subject.name} returns a {type(odd[0]).__name__}; optimize takes tensors, and tuples, lists and dicts of "
            f"them"
        )
    if not any(isinstance(one, Tensor) for one in leaves):
        raise ConvbenchError(f"{subject.name} returns no tensor, so there is nothing to compare")
    kinds = tuple(None if isinstance(one, Tensor) else (one,) for one in leaves)
    return Structure(spec=spec, constants=kinds)


def same(one: Tensor, other: Tensor) -> bool:
    """Bit by bit, NaN equal to NaN."""
    return one.shape == other.shape and bool(
        torch.equal(one, other) or ((one == other) | (one.isnan() & other.isnan())).all()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """How an output is put together: exports return a flat list of tensors.

    Attributes:
        constants: for each leaf its value in a tuple, or None for a tensor.
    """

    spec: TreeSpec
    constants: tuple[tuple[Any] | None, ...]

    @property
    def tensors(self) -> int:
        return sum(one is None for one in self.constants)

    def build(self, tensors: Sequence[Tensor]) -> Any:
        """The output with these tensors.

        Raises:
            ValueError: there are too few or too many.
        """
        if len(tensors) != self.tensors:
            raise ValueError(f"it returned {len(tensors)} tensors, and the model {self.tensors}")
        rest = iter(tensors)
        return tree_unflatten([next(rest) if one is None else one[0] for one in self.constants], self.spec)


def tensors_of(out: Any) -> list[Tensor]:
    """The tensors of an output, in order."""
    return [one for one in tree_leaves(out) if isinstance(one, Tensor)]


def signature(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """What must be the same of two calls, so that what was made for one answers the other."""
    leaves, spec = tree_flatten((tuple(args), dict(kwargs)))
    return (spec, *((tuple(one.shape), one.dtype) if isinstance(one, Tensor) else one for one in leaves))


def identity(model: nn.Module, inputs: Inputs) -> str:
    """A digest of the code of the modules, their settings, and the shapes of weights and inputs; not of weights."""
    digest = hashlib.sha256()
    code: dict[type, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        kind = type(module)
        if kind not in code:
            code[kind] = _source(kind)
        digest.update(f"{name} {code[kind]} {_settings(module)}\n".encode())
    for name, one in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        digest.update(f"{name} {tuple(one.shape)} {one.dtype}\n".encode())
    digest.update(repr(signature(inputs.args, inputs.kwargs)).encode())
    return digest.hexdigest()[:32]


def _source(kind: type) -> str:
    """Of a class, as a digest; its compiled code where there is no source."""
    text = kind.__qualname__  # its module has other names: net, __main__, or that of a file that was loaded by its path
    try:
        text += inspect.getsource(kind)
    except (OSError, TypeError):
        with suppress(AttributeError):
            text += str(kind.forward.__code__.co_code)  # type: ignore[attr-defined]  # a module has it
    return hashlib.sha256(text.encode()).hexdigest()


def _settings(module: nn.Module) -> str:
    """The numbers and words among its attributes."""

    def plain(one: object) -> bool:
        return isinstance(one, PLAIN) or (isinstance(one, tuple | list) and all(map(plain, one)))

    own = {name: one for name, one in vars(module).items() if not name.startswith("_") and plain(one)}
    graph = getattr(module, "graph", None)  # of torch.fx, whose code is made anew for each
    return one_line(f"{sorted(own.items())}{graph if isinstance(graph, torch.fx.Graph) else ''}", 10**6)


Tell = Callable[[str], None]
