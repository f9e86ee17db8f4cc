"""How is a model built, again and again, and what does it say that it is called with?"""

import copy
import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from convbench.errors import ConvbenchError
from convbench.models.inputs import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model that can be built, again and again.

    Attributes:
        name: as given.
        origin: the library and its version, or the module.
        input_shape: the input size that the model declares, without the batch, or None.
        own_inputs: what the model itself says that it is called with; None where it says nothing.
        risk: what a user should know before it is built.
        usage: how it is built, for when it cannot be.
    """

    name: str
    origin: str
    make: Callable[[], Any]
    input_shape: tuple[int, ...] | None = None
    own_inputs: Callable[[Any], Inputs | None] = lambda _: None
    risk: str = ""
    usage: str = "it is called without arguments"

    def build(self, device: str) -> nn.Module:
        """The model alone."""
        return self.build_with_inputs(device)[0]

    def build_with_inputs(self, device: str) -> tuple[nn.Module, Inputs | None]:
        """The model in evaluation mode, its parameters on a device ("meta" costs no memory), and its own inputs.

        Raises:
            ConvbenchError: it returns something that is not a torch.nn.Module.
            Exception: whatever the model raises.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights not initialized as in the paper, and of TorchScript's age
            with torch.device(device):
                made = self.make()
                inputs = self.own_inputs(made) or _example_inputs(made)
                model = made.module() if is_program(made) else made
            if not isinstance(model, nn.Module):
                raise ConvbenchError(f"{self.name} returns a {type(model).__name__}, not a torch.nn.Module")
            if any(one.device.type != device for one in (*model.parameters(), *model.buffers())):
                model = _moved(model, device)
        with suppress(NotImplementedError):  # of a program of torch.export, which is as it was exported
            model.eval()
        return model, inputs and inputs.on(device)


def _moved(model: nn.Module, device: str) -> nn.Module:
    """A copy there: a factory may return the same model again."""
    if not isinstance(model, torch.jit.ScriptModule):
        return copy.deepcopy(model).to(device)
    file = io.BytesIO()  # TorchScript can be copied, but not moved after that
    torch.jit.save(model, file)
    file.seek(0)
    moved: nn.Module = torch.jit.load(file, map_location=device)
    return moved


def is_program(made: object) -> bool:
    """A program of torch.export, whose module takes seconds to import."""
    return type(made).__name__ == "ExportedProgram" and callable(getattr(made, "module", None))


def _example_inputs(made: Any) -> Inputs | None:
    """What a program was exported with, or a module traced with."""
    if is_program(made) and made.example_inputs is not None:
        args, kwargs = made.example_inputs
        return Inputs(args=tuple(args), kwargs=kwargs)
    if isinstance(made, torch.jit.ScriptModule):
        with suppress(AttributeError, RuntimeError, KeyError):
            return Inputs(args=tuple(made._c._retrieve_traced_inputs()["forward"]))  # noqa: SLF001  # no public name
    return None
