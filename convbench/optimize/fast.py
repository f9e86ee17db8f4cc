"""A model with a faster way to run it: it is taken where it is right, and the model itself runs otherwise."""

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convbench.errors import ConvbenchError
from convbench.models.fitness import has_modes, trains
from convbench.models.inputs import Inputs
from convbench.models.weights import Weights
from convbench.optimize.candidates import BASELINE
from convbench.optimize.subject import PLAIN, signature

HOST = torch.device("cpu")


class FastModel:
    """Called like the model, from any thread of the process that made it.

    It answers calls with the shapes and dtypes that it was made for, without gradients. With others, in training mode,
    for an input that wants a gradient, under autocast, and after the weights have changed, the model itself answers;
    each of these is said once, by a warning.
    """

    def __init__(self, model: nn.Module, inputs: Inputs, winner: str, call: Callable[..., Any]) -> None:
        self.model = model
        self._call = None if winner == BASELINE else call
        self._signature = signature(inputs.args, inputs.kwargs)
        only = inputs.args[0] if len(inputs.args) == 1 and not inputs.kwargs else None
        self._shape = only.shape if isinstance(only, Tensor) else None
        self._dtype = only.dtype if isinstance(only, Tensor) else None
        self._weights = Weights(model)
        self._modules = list(model.modules()) if has_modes(model) else []
        self._process = os.getpid()
        self._said: set[str] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._call is None:
            return self.model(*args, **kwargs)
        if os.getpid() != self._process:
            raise ConvbenchError(
                "this fast model was made in another process, whose threads a fork does not copy; call "
                "convbench.optimize in this one, with plan= to skip the race"
            )
        if why := self._why_not(args, kwargs):
            if why not in self._said:
                self._said.add(why)
                warnings.warn(f"the model itself runs, not the fast one: {why}", stacklevel=2)
            return self.model(*args, **kwargs)
        with torch.no_grad():
            return self._call(*args, **kwargs)

    def _why_not(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        if trains(self._modules):
            return "it, or a module of it, is in training mode"
        if not self._fits(args, kwargs):
            return "the input has other shapes, dtypes or arguments than it was made for"
        if torch.is_grad_enabled():
            tensors = args if self._shape is not None else tree_leaves((args, dict(kwargs)))
            if any(isinstance(one, Tensor) and one.requires_grad for one in tensors):
                return "the input wants a gradient"
        if torch.is_autocast_enabled("cpu"):
            return "autocast asks for another precision than its fp32"
        if self._weights.changed():
            return "its weights have changed since; call convbench.optimize again"
        return ""

    def _fits(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        if self._shape is not None and len(args) == 1 and not kwargs and type(args[0]) is Tensor:
            (x,) = args
            return bool(x.shape == self._shape and x.dtype == self._dtype and x.device == HOST)
        if any(not isinstance(one, (Tensor, *PLAIN)) for one in tree_leaves((args, dict(kwargs)))):
            return False  # such as an array of numpy, which no == can tell
        return bool(self._signature == signature(args, kwargs))
